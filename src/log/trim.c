/* Records that were deleted on request. <partition folder>/log-start-offset holds the offset from
 * which on records are readable, in decimal and a newline; it is there only when it says more than
 * the first segment's name. */
#include "log/log_int.h"

#include <stdio.h>

enum { FILE_MAX_BYTES = 64 };

static void path_of(const struct log_part *part, const char *name, char ret_path[OS_PATH_MAX])
{
    int n = snprintf(ret_path, OS_PATH_MAX, "%s/%s", part->dir, name);
    ASSERT(n > 0 && n < OS_PATH_MAX);
}

static enum err read_number(struct log_part *part, const char *name, int64_t *ret_number)
{
    char path[OS_PATH_MAX];
    struct buf text BUF_AUTO;
    int64_t number = 0;
    buf_init(&text, FILE_MAX_BYTES);
    path_of(part, name, path);
    TRY(os_fs_read_file(part->log->fs, path, &text));
    struct str rest = buf_str(&text);
    if (str_to_i64(str_split(&rest, '\n'), &number) != ERR_OK || number < 0)
        return ERR_NOT_FOUND;
    *ret_number = number;
    return ERR_OK;
}

bool log_number_read(struct log_part *part, const char *name, int64_t *ret_number)
{
    return read_number(part, name, ret_number) == ERR_OK;
}

enum err log_number_write(struct log_part *part, const char *name, int64_t number)
{
    char path[OS_PATH_MAX];
    struct buf text BUF_AUTO;
    buf_init(&text, FILE_MAX_BYTES);
    buf_printf(&text, "%lld\n", (long long)number);
    path_of(part, name, path);
    TRY(os_fs_write_file(part->log->fs, path, buf_str(&text)));
    return os_fs_sync_dir(part->log->fs, part->dir);
}

/* What cannot be read deletes nothing. */
enum err log_floor_read(struct log_part *part)
{
    int64_t offset = 0;
    enum err e = read_number(part, "log-start-offset", &offset);
    if (e == ERR_NOT_FOUND || e == ERR_TOO_LARGE)
        return ERR_OK;
    TRY(e);
    part->floor = offset < part->end_offset ? offset : part->end_offset;
    return ERR_OK;
}

static enum err raise_floor(struct log_part *part, int64_t offset)
{
    if (atomic_load(&part->topic->deleted))
        return ERR_NOT_FOUND;
    if (offset > log_part_end(part))
        return ERR_OUT_OF_RANGE;
    if (offset <= log_part_start(part))
        return ERR_OK;
    log_sync_part(part); /* offsets up to it are not given out again, whatever happens */
    TRY(log_number_write(part, "log-start-offset", offset));
    os_mutex_lock(&part->view_lock);
    part->floor = offset;
    os_mutex_unlock(&part->view_lock);
    return ERR_OK;
}

enum err log_part_delete_before(struct log_part *part, int64_t offset, int64_t *ret_start)
{
    if (part->log->options.read_only)
        return ERR_ACCESS;
    os_mutex_lock(&part->log->admin_lock);
    enum err e = raise_floor(part, offset);
    os_mutex_unlock(&part->log->admin_lock);
    TRY(e);
    log_part_expire(part);
    *ret_start = log_part_start(part);
    return ERR_OK;
}
