/* Files: the only door to the machine's disk. Everything goes through a table of functions, so that
 * a simulated disk, one that fails on request or one that is slow can stand in (os/sim_fs.h).
 *
 * Paths are C strings. Errors are those of err_from_errno. A path's file is made durable by two
 * steps: its bytes by os_file_datasync, its name by os_fs_sync_dir of the folder. Any thread; a
 * file's functions may run on several threads at once, but for close. */
#ifndef WEIR_OS_FILE_H
#define WEIR_OS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum {
    OS_PATH_MAX = 4096, /* with the NUL */
    OS_IOV_MAX = 1024,  /* parts of one write */
};

enum os_open {
    OS_OPEN_WRITE = 1,  /* reading is always allowed */
    OS_OPEN_CREATE = 2, /* if it is not there */
    OS_OPEN_FRESH = 4,  /* with CREATE: cut to nothing if it is there */
};

struct os_stat {
    uint64_t size_bytes;
    uint64_t disk_bytes; /* really taken */
    int64_t modified_ms; /* since 1970 */
    bool is_dir;
};

struct os_fs;

/* An open file; implementations put their own behind it. */
struct os_file {
    const struct os_fs *fs;
    int fd; /* -1 where there is none (a simulation) */
};

typedef void os_list_fn(void *arg, struct str name, bool is_dir);

struct os_fs {
    void *arg;
    enum err (*open)(const struct os_fs *fs, const char *path, unsigned flags,
                     struct os_file **ret_file);
    void (*close)(struct os_file *file);
    enum err (*read)(struct os_file *file, void *ret_bytes, size_t len, uint64_t position,
                     size_t *ret_read);
    enum err (*write)(struct os_file *file, const struct iovec *parts, int count,
                      uint64_t position);
    enum err (*datasync)(struct os_file *file);
    enum err (*truncate)(struct os_file *file, uint64_t size_bytes);
    enum err (*size)(struct os_file *file, uint64_t *ret_bytes);
    enum err (*stat)(const struct os_fs *fs, const char *path, struct os_stat *ret_stat);
    enum err (*rename)(const struct os_fs *fs, const char *from, const char *to);
    enum err (*remove)(const struct os_fs *fs, const char *path);
    enum err (*mkdir)(const struct os_fs *fs, const char *path);
    enum err (*rmdir)(const struct os_fs *fs, const char *path);
    enum err (*list)(const struct os_fs *fs, const char *path, os_list_fn *found, void *arg);
    enum err (*sync_dir)(const struct os_fs *fs, const char *path);
    enum err (*lock)(const struct os_fs *fs, const char *path, struct os_file **ret_file);
};

/* The machine's. */
const struct os_fs *os_fs_machine(void);

MUST_CHECK static inline enum err os_file_open(const struct os_fs *fs, const char *path,
                                               unsigned flags, struct os_file **ret_file)
{
    return fs->open(fs, path, flags, ret_file);
}

/* NULL is fine. */
static inline void os_file_close(struct os_file *file)
{
    if (file)
        file->fs->close(file);
}

/* Fewer bytes than asked for only at the end of the file. */
MUST_CHECK static inline enum err os_file_read(struct os_file *file, void *ret_bytes, size_t len,
                                               uint64_t position, size_t *ret_read)
{
    return file->fs->read(file, ret_bytes, len, position, ret_read);
}

/* All of it, at most OS_IOV_MAX parts; after an error any part of it may be there. */
MUST_CHECK static inline enum err os_file_write(struct os_file *file, const struct iovec *parts,
                                                int count, uint64_t position)
{
    return file->fs->write(file, parts, count, position);
}

/* Bytes and size to the disk. After an error nothing is known of what was written before. */
MUST_CHECK static inline enum err os_file_datasync(struct os_file *file)
{
    return file->fs->datasync(file);
}

MUST_CHECK static inline enum err os_file_truncate(struct os_file *file, uint64_t size_bytes)
{
    return file->fs->truncate(file, size_bytes);
}

MUST_CHECK static inline enum err os_file_size(struct os_file *file, uint64_t *ret_bytes)
{
    return file->fs->size(file, ret_bytes);
}

/* -1 where there is none. For sendfile. */
static inline int os_file_fd(const struct os_file *file)
{
    return file->fd;
}

/* Give a socket up to len bytes of the file, without a copy where the kernel can. It takes what it
 * has room for: *ret_sent, at least 1. ERR_BUSY: nothing at the moment; ERR_TRUNCATED: the file
 * ends at position; ERR_RESET, …: the socket's. */
MUST_CHECK enum err os_file_send(struct os_file *file, int socket, uint64_t position, size_t len,
                                 size_t *ret_sent);

MUST_CHECK static inline enum err os_fs_stat(const struct os_fs *fs, const char *path,
                                             struct os_stat *ret_stat)
{
    return fs->stat(fs, path, ret_stat);
}

/* Replaces `to` in one step. */
MUST_CHECK static inline enum err os_fs_rename(const struct os_fs *fs, const char *from,
                                               const char *to)
{
    return fs->rename(fs, from, to);
}

/* A file's name; its bytes go when nobody has it open any more. */
MUST_CHECK static inline enum err os_fs_remove(const struct os_fs *fs, const char *path)
{
    return fs->remove(fs, path);
}

MUST_CHECK static inline enum err os_fs_mkdir(const struct os_fs *fs, const char *path)
{
    return fs->mkdir(fs, path);
}

/* Must be empty. */
MUST_CHECK static inline enum err os_fs_rmdir(const struct os_fs *fs, const char *path)
{
    return fs->rmdir(fs, path);
}

/* Call found() for every name in the folder but . and .., in no order. */
MUST_CHECK static inline enum err os_fs_list(const struct os_fs *fs, const char *path,
                                             os_list_fn *found, void *arg)
{
    return fs->list(fs, path, found, arg);
}

/* Names that were made, changed or removed in the folder. */
MUST_CHECK static inline enum err os_fs_sync_dir(const struct os_fs *fs, const char *path)
{
    return fs->sync_dir(fs, path);
}

/* Make the file and hold it alone until it is closed or the process ends. ERR_IN_USE. */
MUST_CHECK static inline enum err os_fs_lock(const struct os_fs *fs, const char *path,
                                             struct os_file **ret_file)
{
    return fs->lock(fs, path, ret_file);
}

/* One part. */
MUST_CHECK enum err os_file_write_str(struct os_file *file, struct str bytes, uint64_t position);
/* Append a whole file to *out; ERR_TOO_LARGE beyond out's maximum. */
MUST_CHECK enum err os_fs_read_file(const struct os_fs *fs, const char *path, struct buf *out);
/* Replace the file's content in one step: by way of "<path>.tmp", synced before it takes the name.
 * The name itself is not: see os_fs_sync_dir. */
MUST_CHECK enum err os_fs_write_file(const struct os_fs *fs, const char *path, struct str content);
/* mkdir that is content when the folder is there. */
MUST_CHECK enum err os_fs_ensure_dir(const struct os_fs *fs, const char *path);

#endif
