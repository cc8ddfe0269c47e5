#include "config/config.h"

#include <stdlib.h>

#include "os/file.h"

static struct str process_env(void *arg, const char *name)
{
    (void)arg;
    return str_from_c(getenv(name));
}

static enum err process_file(void *arg, const char *path, struct buf *bytes)
{
    (void)arg;
    return os_fs_read_file(os_fs_machine(), path, bytes);
}

const struct config_source config_source_process = {.env = process_env, .file = process_file};
