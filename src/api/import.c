/* POST /api/v1/import?source=NAME&digest=HEX&at=N: lines that others have kept become calls.
 * GET /api/v1/import?digest=HEX: how many lines of that file are on the log already.
 *
 * The position is in the records: each has a header `import`, "DIGEST:LINES", so that it is there
 * exactly when what was read before it is; a file can be sent again from there after any stop. */
#include <inttypes.h>
#include <stdio.h>

#include "api/api_int.h"
#include "api/ingest.h"
#include "api/telemetry.h"
#include "call/history.h"
#include "codec/digest.h"
#include "codec/json_scan.h"
#include "codec/uuid.h"
#include "dialect/import.h"
#include "net/work.h"
#include "os/clock.h"
#include "os/random.h"

enum { DIGEST_DIGITS = 16, REASONS_MAX = 16, LINE_BYTES_MAX = 12 << 20, ID_BYTES = 33 };

struct reason {
    const char *why; /* texts of import.c: compared by address */
    uint64_t count;
};

struct import_work {
    struct api_request *r;
    enum import_source source;
    struct str digest;
    uint64_t at; /* lines before the body's first */
    struct ingest *ingest;
    struct arena scratch;
    uint64_t read, stored, rejected;
    struct reason reasons[REASONS_MAX];
    size_t reason_count;
    int64_t now_us;
    struct loop_task done;
    enum err err;
};

static void reject(struct import_work *w, const char *why)
{
    w->rejected++;
    for (size_t i = 0; i < w->reason_count; i++)
        if (w->reasons[i].why == why) {
            w->reasons[i].count++;
            return;
        }
    if (w->reason_count < REASONS_MAX)
        w->reasons[w->reason_count++] = (struct reason){why, 1};
}

/* id and trace_id: of the moment of the import, which is what finds a call by its id. */
static void write_ids(struct import_work *w, struct buf *out, char id[ID_BYTES])
{
    uint8_t random[8];
    os_random_bytes(random, sizeof random);
    struct uuid u = uuid_v7(w->now_us / 1000 * 1000, random);
    hex_encode(u.bytes, sizeof u.bytes, id);
    id[ID_BYTES - 1] = 0;
    os_random_bytes(random, sizeof random);
    char span[17];
    hex_encode(random, sizeof random, span);
    span[16] = 0;
    buf_printf(out, "{\"id\":\"%s\",\"trace_id\":\"%s\",\"span_id\":\"%s\",", id, id, span);
}

static struct str text_at(struct str record, const char *path, struct arena *a)
{
    struct json_value value;
    if (!json_find(record, path, &value))
        return STR("");
    struct str text = value.kind == JSON_STRING ? json_text(&value, a)
                      : value.kind == JSON_NULL ? STR("")
                                                : value.raw;
    return arena_str(a, text);
}

static int64_t count_at(struct str record, const char *path)
{
    struct json_value value;
    int64_t count = 0;
    return json_find(record, path, &value) && json_to_i64(&value, &count) == ERR_OK ? count : 0;
}

/* "1234", or with a name before it "NAME:1234". */
static struct str number_text(struct str name, int64_t number, struct arena *a)
{
    char text[80];
    int n =
        snprintf(text, sizeof text, "%.*s%s%" PRId64, STR_ARG(name), name.len ? ":" : "", number);
    return arena_str(a, str_of(text, (size_t)n));
}

static void take_line(struct import_work *w, struct str line)
{
    struct buf record BUF_AUTO;
    const char *why = NULL;
    char id[ID_BYTES];
    buf_init(&record, LINE_BYTES_MAX);
    arena_reset(&w->scratch);
    w->read++;
    enum err error = import_call_write(w->source, line, w->now_us, &w->scratch, &record, &why);
    if (error != ERR_OK) {
        reject(w, why ? why : "it is larger than 12 MiB");
        return;
    }
    struct str rest = buf_str(&record);
    struct arena *a = ingest_arena(w->ingest);
    write_ids(w, ingest_value(w->ingest), id);
    buf_append_str(ingest_value(w->ingest), str_skip(rest, 1));
    int64_t tokens = count_at(rest, "usage.input") + count_at(rest, "usage.output");
    const struct record_header headers[] = {
        {STR("model"), text_at(rest, "model", a)},
        {STR("status"), text_at(rest, "status", a)},
        {STR("tokens"), number_text(STR_NONE, tokens, a)},
        {STR("cost"), text_at(rest, "cost.amount", a)},
        {STR("key"), text_at(rest, "key", a)},
        {STR("import"), number_text(w->digest, (int64_t)(w->at + w->read), a)},
    };
    error = ingest_add(w->ingest, arena_str(a, str_from_c(id)), headers,
                       sizeof headers / sizeof headers[0], 1);
    if (error != ERR_OK)
        reject(w, "it is larger than a record may be");
    else
        w->stored++;
}

static void on_stored(void *arg, enum err error)
{
    struct import_work *w = arg;
    w->err = error;
    loop_post(w->r->x->loop, &w->done);
}

static void run(void *arg)
{
    struct import_work *w = arg;
    struct str rest = w->r->x->body;
    while (rest.ptr) {
        struct str line = str_trim(str_split(&rest, '\n'));
        if (line.len && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (line.len)
            take_line(w, line);
    }
    ingest_send(w->ingest, on_stored, w);
}

static void on_run(void *arg)
{
    (void)arg; /* on_stored's task goes on */
}

static void write_reasons(struct json_writer *out, const struct import_work *w)
{
    json_key(out, STR("reasons"));
    json_object_begin(out);
    for (size_t i = 0; i < w->reason_count; i++)
        json_member_u64(out, str_from_c(w->reasons[i].why), w->reasons[i].count);
    json_object_end(out);
}

static void answer(void *arg)
{
    struct import_work *w = arg;
    struct http_exchange *x = w->r->x;
    struct buf body BUF_AUTO;
    struct json_writer out;
    buf_init(&body, 65536);
    if (w->err != ERR_OK) {
        api_error(
            x, err_http_status(w->err), w->err, NULL,
            "the calls were not written: %s; ask GET /api/v1/import how far it came, and go on "
            "from there",
            err_text(w->err));
    } else {
        json_writer_init(&out, &body);
        json_object_begin(&out);
        json_member_u64(&out, STR("read"), w->read);
        json_member_u64(&out, STR("stored"), w->stored);
        json_member_u64(&out, STR("rejected"), w->rejected);
        write_reasons(&out, w);
        json_member_u64(&out, STR("next"), w->at + w->read);
        json_object_end(&out);
        api_json(x, 200, buf_str(&body));
    }
    ingest_free(w->ingest);
    arena_release(&w->scratch);
}

/* False after answering 400. */
static bool read_digest(struct http_exchange *x, struct str *ret_digest)
{
    uint8_t bytes[DIGEST_DIGITS / 2];
    struct str digest = api_query(x, STR("digest"));
    if (hex_decode(digest, bytes, sizeof bytes) == ERR_OK) {
        *ret_digest = digest;
        return true;
    }
    api_error(
        x, 400, ERR_INVALID, "digest",
        "digest is '%.*s': write %d hexadecimal digits that name the file, always the same for "
        "the same file",
        STR_ARG(str_take(digest, 40)), DIGEST_DIGITS);
    return false;
}

void api_import(struct api_request *r)
{
    struct import_work *w = ARENA_NEW(r->x->arena, struct import_work);
    struct str source = api_query(r->x, STR("source"));
    w->r = r;
    if (import_source_from_name(source, &w->source) != ERR_OK) {
        api_error(r->x, 400, ERR_INVALID, "source",
                  "source is '%.*s': write litellm, helicone, langfuse, openai or anthropic",
                  STR_ARG(str_take(source, 40)));
        return;
    }
    if (!str_trim(r->x->body).len) {
        api_error(r->x, 400, ERR_INVALID, NULL,
                  "the body is empty: send the file's lines, each a JSON object");
        return;
    }
    if (!read_digest(r->x, &w->digest) || !api_query_number(r->x, STR("at"), 0, INT64_MAX, &w->at))
        return;
    w->now_us = os_wall_us();
    w->ingest = ingest_new(gateway_calls(r->api->gateway), w->now_us / 1000);
    arena_init(&w->scratch);
    loop_task_init(&w->done, answer, w);
    work_start(r->x->loop, run, on_run, w);
}

/* ---- How far ---- */

struct position_work {
    struct api_request *r;
    struct str digest;
    uint64_t next;
    enum err err;
};

static enum err find_position(struct position_work *w)
{
    struct log_part *calls = gateway_calls(w->r->api->gateway);
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    enum err error = ERR_OK;
    TRY(log_cursor_open(calls, log_part_end(calls), LOG_BACKWARD, &cursor));
    for (unsigned seen = 0; seen < HISTORY_SCAN_MAX && !w->next; seen++) {
        error = log_cursor_next(cursor, &entry);
        if (error != ERR_OK || !entry)
            break;
        const struct str *header = log_entry_header(entry, STR("import"));
        struct str rest = header ? *header : STR_NONE;
        struct str digest = str_split(&rest, ':');
        if (header && str_eq(digest, w->digest) && str_to_u64(rest, &w->next) != ERR_OK)
            w->next = 0;
    }
    log_cursor_close(cursor);
    return error;
}

static void run_position(void *arg)
{
    struct position_work *w = arg;
    w->err = find_position(w);
}

static void answer_position(void *arg)
{
    struct position_work *w = arg;
    struct buf body BUF_AUTO;
    buf_init(&body, 256);
    buf_printf(&body, "{\"next\":%llu}", (unsigned long long)w->next);
    if (w->err == ERR_OK)
        api_json(w->r->x, 200, buf_str(&body));
    else
        api_error(w->r->x, err_http_status(w->err), w->err, NULL, "reading calls: %s",
                  err_text(w->err));
}

void api_import_position(struct api_request *r)
{
    struct position_work *w = ARENA_NEW(r->x->arena, struct position_work);
    w->r = r;
    if (read_digest(r->x, &w->digest))
        work_start(r->x->loop, run_position, answer_position, w);
}
