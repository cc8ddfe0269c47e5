/* `weir import SOURCE FILE`: what others have kept becomes calls. The file is sent to a running
 * server piece by piece; the server knows how far it came, so that it can be begun again. */
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/member.h"
#include "cli/remote.h"
#include "codec/digest.h"
#include "codec/json_scan.h"
#include "dialect/import.h"
#include "os/file.h"

enum {
    PIECE_BYTES = 4 << 20,
    DIGEST_OF_BYTES = 1 << 20, /* with its size they name the file */
    LINE_BYTES_MAX = 12 << 20, /* as the server has it */
    DIGEST_DIGITS = 16,
    REASONS_MAX = 16,
    REASON_BYTES = 200,
};

#define FILE_BYTES_MAX (UINT64_C(8) << 30)

struct reason {
    char text[REASON_BYTES];
    int64_t count;
};

struct import {
    struct remote remote;
    struct str source;
    bool json, again;
    struct str text; /* the whole file */
    char digest[DIGEST_DIGITS + 1];
    struct buf piece;
    uint64_t lines; /* in the piece */
    uint64_t at;    /* lines before it */
    int64_t read, stored, rejected;
    struct reason reasons[REASONS_MAX];
    size_t reason_count;
};

/* ---- The file ---- */

static int load(struct import *im, struct str name)
{
    struct os_stat stat;
    struct os_file *file = NULL;
    size_t got = 0;
    struct buf path BUF_AUTO;
    buf_init(&path, OS_PATH_MAX);
    buf_append_str(&path, name);
    enum err error = os_fs_stat(os_fs_machine(), buf_cstr(&path), &stat);
    if (error == ERR_OK && stat.size_bytes > FILE_BYTES_MAX)
        error = ERR_TOO_LARGE;
    if (error == ERR_OK)
        error = os_file_open(os_fs_machine(), buf_cstr(&path), 0, &file);
    if (error == ERR_OK) {
        char *bytes = mem_resize(NULL, (size_t)stat.size_bytes + 1);
        error = os_file_read(file, bytes, (size_t)stat.size_bytes, 0, &got);
        os_file_close(file);
        im->text = str_of(bytes, got);
    }
    if (error != ERR_OK)
        return cli_fail(&cli_import, 1, "%.*s: %s", STR_ARG(name), err_text(error));
    uint8_t digest[DIGEST_BYTES];
    struct digest *d = digest_new();
    digest_update(d, str_take(im->text, DIGEST_OF_BYTES));
    digest_update(d, str_of((const char *)&got, sizeof got));
    digest_final(d, digest);
    digest_free(d);
    hex_encode(digest, DIGEST_DIGITS / 2, im->digest);
    im->digest[DIGEST_DIGITS] = 0;
    return 0;
}

/* ---- Sending ---- */

static void add_reason(struct import *im, struct str text, int64_t count)
{
    for (size_t i = 0; i < im->reason_count; i++)
        if (str_eq(text, str_from_c(im->reasons[i].text))) {
            im->reasons[i].count += count;
            return;
        }
    if (im->reason_count == REASONS_MAX)
        return;
    struct reason *r = &im->reasons[im->reason_count++];
    (void)snprintf(r->text, sizeof r->text, "%.*s", STR_ARG(str_take(text, REASON_BYTES - 1)));
    r->count = count;
}

static void take_answer(struct import *im, struct str answer)
{
    struct json_value reasons;
    struct json_reader r;
    struct json_value key;
    struct arena a;
    im->read += member_number(answer, "read");
    im->stored += member_number(answer, "stored");
    im->rejected += member_number(answer, "rejected");
    if (!json_find(answer, "reasons", &reasons))
        return;
    arena_init(&a);
    json_reader_init(&r, reasons.raw, 4);
    if (json_enter(&r, JSON_OBJECT))
        while (json_next_member(&r, &key)) {
            struct json_value value = json_take(&r);
            int64_t count;
            if (json_to_i64(&value, &count) == ERR_OK)
                add_reason(im, json_text(&key, &a), count);
        }
    arena_release(&a);
}

static void show_progress(const struct import *im, size_t done_bytes)
{
    if (isatty(STDERR_FILENO) && !im->json)
        fprintf(stderr, "\r%5.1f %%  %lld read, %lld stored, %lld rejected ",
                im->text.len ? 100.0 * (double)done_bytes / (double)im->text.len : 100.0,
                (long long)im->read, (long long)im->stored, (long long)im->rejected);
}

/* An exit code; 0: go on. */
static int send_piece(struct import *im, size_t done_bytes)
{
    struct buf path BUF_AUTO;
    struct remote_answer answer;
    int code = 1;
    if (!im->lines)
        return 0;
    buf_init(&path, 1024);
    buf_printf(&path, "/api/v1/import?source=%.*s&digest=%s&at=%llu", STR_ARG(im->source),
               im->digest, (unsigned long long)im->at);
    if (remote_ask(&cli_import, &im->remote, STR("POST"), buf_str(&path), buf_str(&im->piece), NULL,
                   NULL, &answer)) {
        code = answer.status == 200 ? 0 : remote_refused(&cli_import, &answer);
        if (code == 0)
            take_answer(im, buf_str(&answer.body));
    }
    remote_answer_release(&answer);
    im->at += im->lines;
    im->lines = 0;
    buf_reset(&im->piece);
    show_progress(im, done_bytes);
    return code;
}

/* One line, or one element: on one line, so that a piece is lines. */
static int take(struct import *im, struct str line, uint64_t *skip)
{
    if (*skip) {
        --*skip;
        return 0;
    }
    if (line.len > LINE_BYTES_MAX) {
        int code = send_piece(im, (size_t)(line.ptr - im->text.ptr));
        im->read++;
        im->rejected++;
        im->at++;
        add_reason(im, STR("it is larger than 12 MiB"), 1);
        return code;
    }
    bool quoted = false;
    for (size_t i = 0; i < line.len; i++) {
        char c = line.ptr[i];
        if (c == '\\' && quoted && i + 1 < line.len) {
            buf_append(&im->piece, line.ptr + i, 2);
            i++;
            continue;
        }
        quoted ^= c == '"';
        buf_append_char(&im->piece, c == '\n' || c == '\r' ? ' ' : c);
    }
    buf_append_char(&im->piece, '\n');
    im->lines++;
    size_t done = (size_t)(line.ptr - im->text.ptr) + line.len;
    return im->piece.len >= PIECE_BYTES ? send_piece(im, done) : 0;
}

/* A JSON array, one of the members `data` or `observations`, or a JSON value a line. */
static int each(struct import *im, uint64_t skip)
{
    struct json_reader r;
    struct json_value whole;
    int code = 0;
    struct str rest = im->text;
    if (json_validate(im->text, JSON_DEPTH_MAX, &whole) == ERR_OK) {
        struct json_value inner;
        if (whole.kind == JSON_OBJECT &&
            (json_find(whole.raw, "data", &inner) ||
             json_find(whole.raw, "observations", &inner)) &&
            inner.kind == JSON_ARRAY)
            whole = inner;
        json_reader_init(&r, whole.raw, JSON_DEPTH_MAX);
        if (json_enter(&r, JSON_ARRAY)) {
            while (code == 0 && json_next_element(&r)) {
                struct json_value value = json_take(&r);
                code = take(im, value.raw, &skip);
            }
            return code;
        }
    }
    while (rest.ptr && code == 0) {
        struct str line = str_trim(str_split(&rest, '\n'));
        if (line.len && !(line.len == 1 && line.ptr[0] == '\r'))
            code = take(im, line, &skip);
    }
    return code;
}

/* Lines that are on the log already; -1 after a failure. */
static int64_t ask_position(struct import *im)
{
    struct buf path BUF_AUTO;
    struct remote_answer answer;
    int64_t next = -1;
    buf_init(&path, 1024);
    buf_printf(&path, "/api/v1/import?digest=%s", im->digest);
    if (remote_ask(&cli_import, &im->remote, STR("GET"), buf_str(&path), STR_NONE, NULL, NULL,
                   &answer)) {
        if (answer.status == 200)
            next = member_number(buf_str(&answer.body), "next");
        else
            (void)remote_refused(&cli_import, &answer);
    }
    remote_answer_release(&answer);
    return next;
}

static void tell(const struct import *im, int64_t before)
{
    if (isatty(STDERR_FILENO) && !im->json)
        fprintf(stderr, "\n");
    if (im->json) {
        printf("{\"before\":%lld,\"read\":%lld,\"stored\":%lld,\"rejected\":%lld}\n",
               (long long)before, (long long)im->read, (long long)im->stored,
               (long long)im->rejected);
        return;
    }
    if (before)
        printf("%lld were here already\n", (long long)before);
    printf("%lld read = %lld stored + %lld rejected\n", (long long)im->read, (long long)im->stored,
           (long long)im->rejected);
    for (size_t i = 0; i < im->reason_count; i++)
        printf("  %lld × %s\n", (long long)im->reasons[i].count, im->reasons[i].text);
}

static int import(struct import *im, struct str file)
{
    int code = load(im, file);
    if (code)
        return code;
    int64_t before = im->again ? 0 : ask_position(im);
    if (before < 0)
        return 1;
    im->at = (uint64_t)before;
    code = each(im, (uint64_t)before);
    if (code == 0)
        code = send_piece(im, im->text.len);
    tell(im, before);
    return code;
}

static int run(int argc, char **argv)
{
    struct import im = {.at = 0};
    struct cli_args args;
    enum import_source source;
    remote_init(&im.remote);
    const struct cli_option options[] = {
        {"--again", NULL, "from the beginning, although some of it was imported before",
         .flag = &im.again},
        {"--json", NULL, "the counts as one JSON object", .flag = &im.json},
        REMOTE_OPTIONS(&im.remote),
    };
    switch (
        cli_parse(&cli_import, options, sizeof options / sizeof options[0], argc, argv, &args)) {
    case CLI_HELP_SHOWN: return 0;
    case CLI_WRONG: return 2;
    case CLI_GO: break;
    }
    if (args.count != 2 || import_source_from_name(args.words[0], &source) != ERR_OK)
        return cli_fail(&cli_import, 2,
                        "say whose export it is, and the file: weir import "
                        "litellm|helicone|langfuse|openai|anthropic FILE");
    im.source = import_source_name(source);
    buf_init(&im.piece, PIECE_BYTES + LINE_BYTES_MAX + 16);
    int code = import(&im, args.words[1]);
    buf_release(&im.piece);
    mem_free((char *)(uintptr_t)im.text.ptr);
    return code;
}

const struct cli_command cli_import = {
    .name = "import",
    .usage = "weir import litellm|helicone|langfuse|openai|anthropic FILE [--again] [--json]",
    .summary = "Calls that others have kept, from their exports",
    .details =
        "FILE is a JSON value a line, or a JSON array. A stop at any moment loses nothing: the "
        "same command goes on\nwhere it was. Every line that becomes no call is counted, "
        "with the reason. Needs an admin key.",
    .run = run,
};
