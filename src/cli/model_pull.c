/* source ─> NAME.gguf.part ─> digest, header ─> NAME.gguf
 *
 * 1. NAME.gguf is there whole or not at all: it gets its name when its bytes are on the disk, have
 *    the digest that was asked for, and begin with a header of GGUF that can be.
 * 2. A part that does not prove right is removed: it would only be completed to the same. */
#include "cli/model_pull.h"

#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "model/local/model_file.h"
#include "net/http_simple.h"
#include "os/clock.h"
#include "os/file.h"

enum {
    PIECE_BYTES = 1 << 20,
    REDIRECTS_MAX = 5,
    PROGRESS_MS = 200,
    CONNECT_MS = 15000,
    IDLE_MS = 60000,
};

struct work {
    const struct cli_command *command;
    const struct model_pull *pull;
    struct buf path, part;
    struct os_file *file;
    uint64_t done, total; /* bytes; total 0: not known */
    uint64_t shown_us;
    struct buf location;
    enum err error;
    bool answered; /* the transfer's bytes count */
};

/* ---- Progress ---- */

static void show(struct work *w, const char *what, bool now)
{
    uint64_t now_us = os_now_us();
    if (!isatty(STDERR_FILENO) || (!now && now_us - w->shown_us < PROGRESS_MS * 1000))
        return;
    w->shown_us = now_us;
    fprintf(stderr, "\r\033[K%s %.1f", what, (double)w->done / 1e6);
    if (w->total)
        fprintf(stderr, " of %.1f MB, %llu%%", (double)w->total / 1e6,
                (unsigned long long)(w->done * 100 / w->total));
    else
        fputs(" MB", stderr);
    fputs(now ? "\n" : "", stderr);
}

static enum err append(struct work *w, struct str bytes)
{
    const struct iovec part = {(void *)(uintptr_t)bytes.ptr, bytes.len};
    TRY(os_file_write(w->file, &part, 1, w->done));
    w->done += bytes.len;
    return ERR_OK;
}

/* ---- Files ---- */

static enum err copy_file(struct work *w)
{
    struct os_file *from;
    BUF_AUTO struct buf path;
    buf_init(&path, OS_PATH_MAX);
    buf_append_str(&path, w->pull->source);
    TRY(os_file_open(os_fs_machine(), buf_cstr(&path), 0, &from));
    char *piece = mem_alloc(PIECE_BYTES);
    size_t n = 1;
    enum err e = os_file_size(from, &w->total);
    w->done = w->done > w->total ? 0 : w->done;
    while (e == ERR_OK && n > 0) {
        e = os_file_read(from, piece, PIECE_BYTES, w->done, &n);
        if (e == ERR_OK && n > 0)
            e = append(w, str_of(piece, n));
        show(w, "copied", false);
    }
    mem_free(piece);
    os_file_close(from);
    return e;
}

/* ---- URLs ---- */

static void on_head(const struct http_response *response, void *arg)
{
    struct work *w = arg;
    struct str location = http_headers_get(&response->headers, STR("location"));
    buf_reset(&w->location);
    if (response->status >= 300 && response->status < 400)
        buf_append_str(&w->location, location);
    if (response->status == 200)
        w->done = 0; /* from the beginning, whatever was asked for */
    w->answered = response->status == 200 || response->status == 206;
    w->total = response->content_length > 0 ? w->done + (uint64_t)response->content_length : 0;
}

static bool on_body(int status, struct str bytes, void *arg)
{
    struct work *w = arg;
    (void)status;
    if (w->answered)
        w->error = append(w, bytes);
    show(w, "fetched", false);
    return w->error == ERR_OK;
}

/* One request; a status of 300 and more is left to the caller. */
static enum err request(struct work *w, struct str url, int *ret_status, struct buf *detail)
{
    char range[64];
    struct http_simple_response response;
    snprintf(range, sizeof range, "bytes=%llu-", (unsigned long long)w->done);
    const struct http_header headers[] = {HTTP_HEADER("range", str_from_c(range))};
    const struct http_simple_request r = {
        .url = url,
        .headers = headers,
        .header_count = w->done > 0,
        .ca_file = w->pull->ca,
        .timeouts = {.connect_ms = CONNECT_MS, .first_byte_ms = IDLE_MS, .idle_ms = IDLE_MS},
        .on_head = on_head,
        .on_body = on_body,
        .arg = w};
    TRY(http_simple_fetch(&r, detail, &response));
    *ret_status = response.status;
    http_simple_release(&response);
    return w->error;
}

/* The next place of a redirection, in *url. False: it is not one that is followed. */
static bool follow(struct work *w, struct buf *url)
{
    struct str to = buf_str(&w->location), from = buf_str(url);
    if (str_starts(to, STR("http://")) && str_starts(from, STR("https://")))
        return false;
    if (str_starts(to, STR("/"))) { /* on the same server */
        ptrdiff_t host = str_find(from, STR("://"));
        ptrdiff_t path = str_index(str_skip(from, (size_t)host + 3), '/');
        url->len = path < 0 ? url->len : (size_t)host + 3 + (size_t)path;
    } else {
        buf_reset(url);
    }
    buf_append_str(url, to);
    return to.len > 0 && url->error == ERR_OK;
}

static enum err fetch(struct work *w, struct buf *detail)
{
    BUF_AUTO struct buf url;
    buf_init(&url, 8192);
    buf_append_str(&url, w->pull->source);
    for (int i = 0; i <= REDIRECTS_MAX; i++) {
        int status = 0;
        TRY(request(w, buf_str(&url), &status, detail));
        if (status == 200 || status == 206)
            return w->total && w->done < w->total ? ERR_TRUNCATED : ERR_OK;
        if (status == 416 && w->done > 0)
            return ERR_OK; /* it was whole already; the digest will say */
        if (status < 300 || status >= 400 || !follow(w, &url)) {
            buf_printf(detail, "the server answers %d", status);
            return ERR_NOT_FOUND;
        }
    }
    buf_append_str(detail, STR("the server redirects again and again"));
    return ERR_PROTOCOL;
}

/* ---- Proving ---- */

static enum err source_read(void *arg, uint64_t position, void *ret_bytes, size_t len)
{
    size_t got;
    TRY(os_file_read(arg, ret_bytes, len, position, &got));
    return got == len ? ERR_OK : ERR_TRUNCATED;
}

static enum err digest_of(struct work *w, char ret_hex[DIGEST_HEX_BYTES])
{
    uint8_t bytes[DIGEST_BYTES];
    char *piece = mem_alloc(PIECE_BYTES);
    struct digest *d = digest_new();
    enum err e = ERR_OK;
    size_t n = 1;
    for (uint64_t at = 0; e == ERR_OK && n > 0; at += n) {
        e = os_file_read(w->file, piece, PIECE_BYTES, at, &n);
        digest_update(d, str_of(piece, e == ERR_OK ? n : 0));
    }
    digest_final(d, bytes);
    hex_encode(bytes, DIGEST_BYTES, ret_hex);
    digest_free(d);
    mem_free(piece);
    return e;
}

static enum err prove(struct work *w, char hex[DIGEST_HEX_BYTES], struct buf *detail)
{
    struct model_file_facts facts;
    struct model_file_source source = {.read = source_read, .arg = w->file, .size_bytes = w->done};
    TRY(os_file_truncate(w->file, w->done));
    TRY(os_file_datasync(w->file));
    TRY(digest_of(w, hex));
    struct str want = w->pull->sha256;
    if (want.len && !str_eq_nocase(want, str_of(hex, DIGEST_HEX_BYTES))) {
        buf_printf(detail, "its SHA-256 is %.*s, not %.*s", DIGEST_HEX_BYTES, hex, STR_ARG(want));
        return ERR_CORRUPT;
    }
    return model_file_check(&source, detail, &facts);
}

/* ---- The whole ---- */

static bool is_url(struct str source)
{
    return str_starts(source, STR("http://")) || str_starts(source, STR("https://"));
}

static bool name_paths(struct work *w)
{
    struct str name = w->pull->name, rest = w->pull->source;
    if (!name.len) {
        while (rest.ptr)
            name = str_split(&rest, '/');
        ptrdiff_t query = str_index(name, '?');
        name = query < 0 ? name : str_take(name, (size_t)query);
        if (str_ends(name, STR(".gguf")))
            name.len -= sizeof ".gguf" - 1;
    }
    if (!name.len || str_index(name, '/') >= 0 || name.ptr[0] == '.')
        return false;
    buf_printf(&w->path, "%.*s/%.*s.gguf", STR_ARG(w->pull->dir), STR_ARG(name));
    buf_printf(&w->part, "%.*s.part", STR_ARG(buf_str(&w->path)));
    return w->part.error == ERR_OK;
}

static enum err bring(struct work *w, char hex[DIGEST_HEX_BYTES], struct buf *detail)
{
    const struct os_fs *fs = os_fs_machine();
    BUF_AUTO struct buf dir;
    buf_init(&dir, OS_PATH_MAX);
    buf_append_str(&dir, w->pull->dir);
    enum err e = os_fs_mkdir(fs, buf_cstr(&dir));
    if (e != ERR_OK && e != ERR_EXISTS)
        return e;
    TRY(os_file_open(fs, buf_cstr(&w->part), OS_OPEN_WRITE | OS_OPEN_CREATE, &w->file));
    e = os_file_size(w->file, &w->done);
    if (e == ERR_OK)
        e = is_url(w->pull->source) ? fetch(w, detail) : copy_file(w);
    if (e == ERR_OK) {
        show(w, "whole:", true);
        e = prove(w, hex, detail);
        if (e != ERR_OK) {
            enum err gone = os_fs_remove(fs, buf_cstr(&w->part));
            (void)gone;
        }
    }
    os_file_close(w->file);
    if (e == ERR_OK)
        e = os_fs_rename(fs, buf_cstr(&w->part), buf_cstr(&w->path));
    return e == ERR_OK ? fs->sync_dir(fs, buf_cstr(&dir)) : e;
}

int model_pull_run(const struct cli_command *command, const struct model_pull *pull)
{
    struct work w = {.command = command, .pull = pull};
    char hex[DIGEST_HEX_BYTES];
    BUF_AUTO struct buf detail;
    buf_init(&detail, 600);
    buf_init(&w.path, OS_PATH_MAX);
    buf_init(&w.part, OS_PATH_MAX);
    buf_init(&w.location, 8192);
    int code = 0;
    if (pull->sha256.len && pull->sha256.len != DIGEST_HEX_BYTES)
        code = cli_fail(command, 2, "--sha256 has %d hexadecimal digits", DIGEST_HEX_BYTES);
    else if (!name_paths(&w))
        code = cli_fail(command, 2, "give the model a name with --name");
    enum err e = code ? ERR_USAGE : bring(&w, hex, &detail);
    if (!code && e != ERR_OK)
        code = cli_fail(command, err_exit_code(e) == 3 ? 1 : err_exit_code(e), "%.*s: %s%s%.*s",
                        STR_ARG(pull->source), err_text(e), detail.len ? ": " : "",
                        STR_ARG(buf_str(&detail)));
    if (code == 0)
        printf("%.*s  sha256:%.*s\n", STR_ARG(buf_str(&w.path)), DIGEST_HEX_BYTES, hex);
    buf_release(&w.path);
    buf_release(&w.part);
    buf_release(&w.location);
    return code;
}
