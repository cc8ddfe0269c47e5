/* What a folder takes on disk, counted once at open; afterwards reservations keep the number true.
 */
#include "log/log_int.h"

#include <stdio.h>

enum {
    DEPTH_MAX = 32,
    NAMES_PER_BLOCK = 64, /* of a folder */
    BLOCK_BYTES = 4096,
};

struct entry {
    struct entry *next;
    bool is_dir;
    size_t len;
    char name[];
};

struct listing {
    struct entry *first;
    size_t count;
};

static void note(void *arg, struct str name, bool is_dir)
{
    struct listing *listing = arg;
    struct entry *e = mem_alloc(sizeof *e + name.len + 1);
    e->is_dir = is_dir;
    e->len = name.len;
    memcpy(e->name, name.ptr, name.len);
    e->next = listing->first;
    listing->first = e;
    listing->count++;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static enum err add_dir(const struct os_fs *fs, const char *path, unsigned depth,
                        uint64_t *total_bytes);

static enum err add_entry(const struct os_fs *fs, const char *dir, const struct entry *e,
                          unsigned depth, uint64_t *total_bytes)
{
    char path[OS_PATH_MAX];
    struct os_stat st;
    int n = snprintf(path, sizeof path, "%s/%s", dir, e->name);
    if (n < 0 || (size_t)n >= sizeof path)
        return ERR_TOO_LARGE;
    if (e->is_dir)
        return add_dir(fs, path, depth + 1, total_bytes);
    enum err error = os_fs_stat(fs, path, &st);
    if (error == ERR_NOT_FOUND) /* gone meanwhile */
        return ERR_OK;
    TRY(error);
    *total_bytes += larger(log_quota_file_bytes(st.size_bytes), st.disk_bytes);
    return ERR_OK;
}

static enum err add_dir(const struct os_fs *fs, const char *path, unsigned depth,
                        uint64_t *total_bytes)
{
    struct listing listing = {0};
    if (depth > DEPTH_MAX)
        return ERR_TOO_LARGE;
    enum err error = os_fs_list(fs, path, note, &listing);
    *total_bytes += BLOCK_BYTES * (1 + listing.count / NAMES_PER_BLOCK);
    for (struct entry *e = listing.first, *next; e; e = next) {
        next = e->next;
        if (error == ERR_OK)
            error = add_entry(fs, path, e, depth, total_bytes);
        mem_free(e);
    }
    return error;
}

enum err log_usage_of(const struct os_fs *fs, const char *path, uint64_t *ret_bytes)
{
    uint64_t total = 0;
    TRY(add_dir(fs, path, 0, &total));
    *ret_bytes = total;
    return ERR_OK;
}
