/* <data>/blobs/<first two hex digits>/<64 hex digits>: content-addressed, so equal bodies are kept
 * once. */
#include "call/blob.h"

#include <stdio.h>

#include "codec/digest.h"
#include "os/file.h"

enum { NAME_HEX_AT = 7 /* after "sha256:" */ };

/* depth 0: …/blobs; 1: the folder in it; 2: the file. */
static enum err make_path(struct str data_dir, const char *hex, int depth, char *path)
{
    int n =
        snprintf(path, OS_PATH_MAX, "%.*s/blobs%s%.2s%s%s", STR_ARG(data_dir), depth > 0 ? "/" : "",
                 depth > 0 ? hex : "", depth > 1 ? "/" : "", depth > 1 ? hex : "");
    return n > 0 && n < OS_PATH_MAX ? ERR_OK : ERR_TOO_LARGE;
}

static enum err ensure_dirs(const struct os_fs *fs, struct str data_dir, const char *hex)
{
    char path[OS_PATH_MAX];
    TRY(make_path(data_dir, hex, 0, path));
    TRY(os_fs_ensure_dir(fs, path));
    TRY(make_path(data_dir, hex, 1, path));
    return os_fs_ensure_dir(fs, path);
}

enum err blob_write(struct log *log, struct str data_dir, struct str bytes,
                    char ret_name[BLOB_NAME_BYTES + 1])
{
    const struct os_fs *fs = os_fs_machine();
    uint8_t digest[DIGEST_BYTES];
    char name[NAME_HEX_AT + DIGEST_HEX_BYTES + 1] = "sha256:";
    char path[OS_PATH_MAX];
    struct os_stat stat;
    digest_sha256(bytes, digest);
    hex_encode(digest, sizeof digest, name + NAME_HEX_AT);
    name[sizeof name - 1] = 0;
    TRY(make_path(data_dir, name + NAME_HEX_AT, 2, path));
    if (os_fs_stat(fs, path, &stat) != ERR_OK) {
        uint64_t reserved = log_quota_file_bytes(bytes.len);
        TRY(log_quota_reserve(log, reserved));
        enum err err = ensure_dirs(fs, data_dir, name + NAME_HEX_AT);
        if (err == ERR_OK)
            err = os_fs_write_file(fs, path, bytes);
        if (err != ERR_OK) {
            log_quota_release(log, reserved);
            return err;
        }
    }
    memcpy(ret_name, name, sizeof name);
    return ERR_OK;
}

enum err blob_read(struct str data_dir, struct str name, struct buf *ret_bytes)
{
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_BYTES + 1];
    char path[OS_PATH_MAX];
    if (!str_starts(name, STR("sha256:")) ||
        hex_decode(str_skip(name, NAME_HEX_AT), digest, sizeof digest) != ERR_OK)
        return ERR_INVALID;
    hex_encode(digest, sizeof digest, hex);
    hex[DIGEST_HEX_BYTES] = 0;
    TRY(make_path(data_dir, hex, 2, path));
    return os_fs_read_file(os_fs_machine(), path, ret_bytes);
}
