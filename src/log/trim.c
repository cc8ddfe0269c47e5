/* Records that were deleted on request. <partition folder>/log-start-offset holds the offset from
 * which on records are readable, in decimal and a newline; it is there only when it says more than
 * the first segment's name. */
#include "log/log_int.h"

#include <stdio.h>

enum { FILE_MAX_BYTES = 64 };

static void path_of(const struct log_part *part, char ret_path[OS_PATH_MAX])
{
    int n = snprintf(ret_path, OS_PATH_MAX, "%s/log-start-offset", part->dir);
    ASSERT(n > 0 && n < OS_PATH_MAX);
}

/* What cannot be read deletes nothing. */
enum err log_floor_read(struct log_part *part)
{
    char path[OS_PATH_MAX];
    struct buf text BUF_AUTO;
    int64_t offset = 0;
    buf_init(&text, FILE_MAX_BYTES);
    path_of(part, path);
    enum err e = os_fs_read_file(part->log->fs, path, &text);
    if (e == ERR_NOT_FOUND || e == ERR_TOO_LARGE)
        return ERR_OK;
    TRY(e);
    struct str rest = buf_str(&text);
    if (str_to_i64(str_split(&rest, '\n'), &offset) != ERR_OK || offset < 0)
        return ERR_OK;
    part->floor = offset < part->end_offset ? offset : part->end_offset;
    return ERR_OK;
}

static enum err write_floor(struct log_part *part, int64_t offset)
{
    char path[OS_PATH_MAX];
    struct buf text BUF_AUTO;
    buf_init(&text, FILE_MAX_BYTES);
    buf_printf(&text, "%lld\n", (long long)offset);
    path_of(part, path);
    TRY(os_fs_write_file(part->log->fs, path, buf_str(&text)));
    return os_fs_sync_dir(part->log->fs, part->dir);
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
    TRY(write_floor(part, offset));
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
