#include "os/file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    FILE_MODE = 0640,
    DIR_MODE = 0750,
};

static enum err last_error(void)
{
    return err_from_errno(errno);
}

/* A call that may be interrupted by a signal. */
#define RETRY(result, call)                                                                        \
    do {                                                                                           \
        (result) = (call);                                                                         \
    } while ((result) < 0 && errno == EINTR)

static enum err wrap(const struct os_fs *fs, int fd, struct os_file **ret_file)
{
    struct os_file *file = NEW(struct os_file);
    *file = (struct os_file){fs, fd};
    *ret_file = file;
    return ERR_OK;
}

static enum err machine_open(const struct os_fs *fs, const char *path, unsigned flags,
                             struct os_file **ret_file)
{
    int native = O_CLOEXEC | (flags & OS_OPEN_WRITE ? O_RDWR : O_RDONLY);
    native |= flags & OS_OPEN_CREATE ? O_CREAT : 0;
    native |= flags & OS_OPEN_FRESH ? O_TRUNC : 0;
    int fd;
    RETRY(fd, open(path, native, FILE_MODE));
    return fd < 0 ? last_error() : wrap(fs, fd, ret_file);
}

static void machine_close(struct os_file *file)
{
    close(file->fd);
    mem_free(file);
}

static enum err machine_read(struct os_file *file, void *ret_bytes, size_t len, uint64_t position,
                             size_t *ret_read)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n;
        RETRY(n, pread(file->fd, (char *)ret_bytes + done, len - done, (off_t)(position + done)));
        if (n < 0 && errno == ESPIPE) /* a pipe: it has one position, its own */
            RETRY(n, read(file->fd, (char *)ret_bytes + done, len - done));
        if (n < 0)
            return last_error();
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *ret_read = done;
    return ERR_OK;
}

static enum err write_part(int fd, struct iovec part, uint64_t position)
{
    while (part.iov_len > 0) {
        ssize_t n;
        RETRY(n, pwrite(fd, part.iov_base, part.iov_len, (off_t)position));
        if (n < 0)
            return last_error();
        part.iov_base = (char *)part.iov_base + n;
        part.iov_len -= (size_t)n;
        position += (size_t)n;
    }
    return ERR_OK;
}

static enum err machine_write(struct os_file *file, const struct iovec *parts, int count,
                              uint64_t position)
{
    ASSERT(count <= OS_IOV_MAX);
    ssize_t n;
    RETRY(n, pwritev(file->fd, parts, count, (off_t)position));
    if (n < 0)
        return last_error();
    /* A short write is rare (a full disk): go on part by part, which brings the error out. */
    size_t skip = (size_t)n;
    for (int i = 0; i < count; i++) {
        struct iovec part = parts[i];
        size_t done = skip < part.iov_len ? skip : part.iov_len;
        skip -= done;
        if (done)
            part.iov_base = (char *)part.iov_base + done;
        part.iov_len -= done;
        position += done;
        TRY(write_part(file->fd, part, position));
        position += part.iov_len;
    }
    return ERR_OK;
}

static enum err machine_datasync(struct os_file *file)
{
    return fdatasync(file->fd) == 0 ? ERR_OK : last_error();
}

static enum err machine_truncate(struct os_file *file, uint64_t size_bytes)
{
    int result;
    RETRY(result, ftruncate(file->fd, (off_t)size_bytes));
    return result == 0 ? ERR_OK : last_error();
}

static enum err machine_size(struct os_file *file, uint64_t *ret_bytes)
{
    struct stat st;
    if (fstat(file->fd, &st) != 0)
        return last_error();
    *ret_bytes = (uint64_t)st.st_size;
    return ERR_OK;
}

static enum err machine_stat(const struct os_fs *fs, const char *path, struct os_stat *ret_stat)
{
    (void)fs;
    struct stat st;
    if (lstat(path, &st) != 0)
        return last_error();
    *ret_stat = (struct os_stat){
        .size_bytes = (uint64_t)st.st_size,
        .disk_bytes = (uint64_t)st.st_blocks * 512,
        .modified_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000,
        .is_dir = S_ISDIR(st.st_mode),
    };
    return ERR_OK;
}

static enum err machine_rename(const struct os_fs *fs, const char *from, const char *to)
{
    (void)fs;
    return rename(from, to) == 0 ? ERR_OK : last_error();
}

static enum err machine_remove(const struct os_fs *fs, const char *path)
{
    (void)fs;
    return unlink(path) == 0 ? ERR_OK : last_error();
}

static enum err machine_mkdir(const struct os_fs *fs, const char *path)
{
    (void)fs;
    return mkdir(path, DIR_MODE) == 0 ? ERR_OK : last_error();
}

static enum err machine_rmdir(const struct os_fs *fs, const char *path)
{
    (void)fs;
    return rmdir(path) == 0 ? ERR_OK : last_error();
}

static bool entry_is_dir(DIR *dir, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static enum err machine_list(const struct os_fs *fs, const char *path, os_list_fn *found, void *arg)
{
    (void)fs;
    DIR *dir = opendir(path);
    if (!dir)
        return last_error();
    errno = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL; errno = 0) {
        struct str name = str_from_c(e->d_name);
        if (!str_eq(name, STR(".")) && !str_eq(name, STR("..")))
            found(arg, name, entry_is_dir(dir, e));
    }
    enum err error = last_error();
    closedir(dir);
    return error;
}

static enum err machine_sync_dir(const struct os_fs *fs, const char *path)
{
    (void)fs;
    int fd;
    RETRY(fd, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd < 0)
        return last_error();
    enum err error = fsync(fd) == 0 ? ERR_OK : last_error();
    close(fd);
    return error;
}

static enum err machine_lock(const struct os_fs *fs, const char *path, struct os_file **ret_file)
{
    int fd;
    RETRY(fd, open(path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE));
    if (fd < 0)
        return last_error();
    int result;
    RETRY(result, flock(fd, LOCK_EX | LOCK_NB));
    if (result != 0) {
        enum err error = errno == EWOULDBLOCK ? ERR_IN_USE : last_error();
        close(fd);
        return error;
    }
    return wrap(fs, fd, ret_file);
}

static_assert(OS_IOV_MAX <= IOV_MAX, "one write is one system call");

const struct os_fs *os_fs_machine(void)
{
    static const struct os_fs machine = {
        .open = machine_open,
        .close = machine_close,
        .read = machine_read,
        .write = machine_write,
        .datasync = machine_datasync,
        .truncate = machine_truncate,
        .size = machine_size,
        .stat = machine_stat,
        .rename = machine_rename,
        .remove = machine_remove,
        .mkdir = machine_mkdir,
        .rmdir = machine_rmdir,
        .list = machine_list,
        .sync_dir = machine_sync_dir,
        .lock = machine_lock,
    };
    return &machine;
}

/* Helpers over any table ---------------------------------------------------------------------- */

enum err os_file_write_str(struct os_file *file, struct str bytes, uint64_t position)
{
    struct iovec part = {(void *)(uintptr_t)bytes.ptr, bytes.len};
    return os_file_write(file, &part, 1, position);
}

/* What has no size to begin with (a pipe, a file of /proc), or none at all. */
static enum err read_to_end(struct os_file *file, struct buf *out)
{
    char bytes[4096];
    uint64_t position = 0;
    size_t n = 0;
    do {
        TRY(os_file_read(file, bytes, sizeof bytes, position, &n));
        buf_append(out, bytes, n);
        position += n;
    } while (n > 0 && out->error == ERR_OK);
    return out->error;
}

enum err os_fs_read_file(const struct os_fs *fs, const char *path, struct buf *out)
{
    struct os_file *file = NULL;
    uint64_t size = 0;
    size_t n = 0;
    TRY(os_file_open(fs, path, 0, &file));
    enum err error = os_file_size(file, &size);
    if (error == ERR_OK && !buf_reserve(out, size))
        error = out->error;
    if (error == ERR_OK && size > 0)
        error = os_file_read(file, out->ptr + out->len, size, 0, &n);
    if (error == ERR_OK)
        out->len += n;
    if (error == ERR_OK && size == 0)
        error = read_to_end(file, out);
    os_file_close(file);
    return error;
}

enum err os_fs_write_file(const struct os_fs *fs, const char *path, struct str content)
{
    char temporary[OS_PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return ERR_TOO_LARGE;
    struct os_file *file = NULL;
    TRY(os_file_open(fs, temporary, OS_OPEN_WRITE | OS_OPEN_CREATE | OS_OPEN_FRESH, &file));
    enum err error = os_file_write_str(file, content, 0);
    if (error == ERR_OK)
        error = os_file_datasync(file);
    os_file_close(file);
    if (error == ERR_OK)
        error = os_fs_rename(fs, temporary, path);
    if (error != ERR_OK && os_fs_remove(fs, temporary) != ERR_OK)
        return error; /* the first one is what matters */
    return error;
}

enum err os_fs_ensure_dir(const struct os_fs *fs, const char *path)
{
    enum err error = os_fs_mkdir(fs, path);
    return error == ERR_EXISTS ? ERR_OK : error;
}

enum { SEND_PIECE_BYTES = 16 << 10 };

/* For files that the kernel does not know. */
static enum err send_copy(struct os_file *file, int socket, uint64_t position, size_t len,
                          size_t *ret_sent)
{
    char piece[SEND_PIECE_BYTES];
    size_t n = 0;
    TRY(os_file_read(file, piece, len < sizeof piece ? len : sizeof piece, position, &n));
    if (n == 0)
        return ERR_TRUNCATED;
    ssize_t sent;
    RETRY(sent, send(socket, piece, n, MSG_NOSIGNAL | MSG_DONTWAIT));
    if (sent < 0)
        return last_error();
    *ret_sent = (size_t)sent;
    return ERR_OK;
}

enum err os_file_send(struct os_file *file, int socket, uint64_t position, size_t len,
                      size_t *ret_sent)
{
    if (file->fd < 0)
        return send_copy(file, socket, position, len, ret_sent);
    off_t at = (off_t)position;
    ssize_t n;
    RETRY(n, sendfile(socket, file->fd, &at, len));
    if (n < 0)
        return last_error();
    if (n == 0)
        return ERR_TRUNCATED;
    *ret_sent = (size_t)n;
    return ERR_OK;
}
