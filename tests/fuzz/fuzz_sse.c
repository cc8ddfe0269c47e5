/* Server-sent events, in any cuts, beside a second reading of the standard that is slow and plain.
 */
#include <stdint.h>

#include "base/assert.h"
#include "net/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES_MAX = 64 << 10 };

static void note(struct buf *out, struct str type, struct str data, bool has_id, struct str id)
{
    buf_printf(out, "<%.*s|%.*s|%d%.*s>", STR_ARG(type), STR_ARG(data), has_id, STR_ARG(id));
}

/* ---- The standard's steps, one by one ---- */

struct plain {
    struct buf data, type, id;
    bool has_data, has_id;
};

static void plain_field(struct plain *p, struct str line)
{
    ptrdiff_t colon = str_index(line, ':');
    struct str name = colon < 0 ? line : str_take(line, (size_t)colon);
    struct str value = colon < 0 ? STR_NONE : str_skip(line, (size_t)colon + 1);
    if (str_starts(value, STR(" ")))
        value = str_skip(value, 1);
    if (str_eq(name, STR("data"))) {
        buf_append_str(&p->data, value);
        buf_append_char(&p->data, '\n');
        p->has_data = true;
    } else if (str_eq(name, STR("event"))) {
        buf_reset(&p->type);
        buf_append_str(&p->type, value);
    } else if (str_eq(name, STR("id")) && str_index(value, 0) < 0) {
        buf_reset(&p->id);
        buf_append_str(&p->id, value);
        p->has_id = true;
    }
}

static void plain_dispatch(struct plain *p, struct buf *out)
{
    if (p->has_data)
        note(out, buf_str(&p->type), str_take(buf_str(&p->data), p->data.len - 1), p->has_id,
             buf_str(&p->id));
    buf_reset(&p->data);
    buf_reset(&p->type);
    buf_reset(&p->id);
    p->has_data = p->has_id = false;
}

static void plain_read(struct str s, struct buf *out)
{
    struct plain p = {0};
    buf_init(&p.data, INPUT_BYTES_MAX);
    buf_init(&p.type, INPUT_BYTES_MAX);
    buf_init(&p.id, INPUT_BYTES_MAX);
    if (str_starts(s, STR("\xef\xbb\xbf")))
        s = str_skip(s, 3);
    size_t begin = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '\n' && s.ptr[i] != '\r')
            continue;
        struct str line = str_of(s.ptr + begin, i - begin);
        if (s.ptr[i] == '\r' && i + 1 < s.len && s.ptr[i + 1] == '\n')
            i++;
        begin = i + 1;
        if (line.len == 0)
            plain_dispatch(&p, out);
        else if (line.ptr[0] != ':')
            plain_field(&p, line);
    }
    buf_release(&p.data);
    buf_release(&p.type);
    buf_release(&p.id);
}

/* ---- Ours ---- */

static void run(struct str input, uint32_t seed, struct buf *out, struct buf *raw)
{
    struct sse_parser p;
    struct sse_event e;
    sse_parser_init(&p, INPUT_BYTES_MAX);
    while (input.len > 0) {
        seed = seed * 1664525 + 1013904223;
        struct str in = str_take(input, 1 + (seed >> 16) % 24);
        input = str_skip(input, in.len);
        enum sse_result r;
        while ((r = sse_parser_next(&p, &in, &e)) == SSE_EVENT) {
            buf_append_str(raw, e.raw);
            ASSERT(e.raw.len > 0 && e.retry_ms >= -1);
            if (e.has_data)
                note(out, e.type, e.data, e.has_id, e.id);
        }
        ASSERT(r == SSE_MORE && in.len == 0);
    }
    buf_append_str(raw, sse_parser_finish(&p));
    sse_parser_release(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4 || size > INPUT_BYTES_MAX)
        return 0;
    uint32_t seed;
    memcpy(&seed, data, sizeof seed);
    struct str input = str_of((const char *)data + sizeof seed, size - sizeof seed);
    BUF_AUTO struct buf expected = {.max = 4 << 20}, told = {.max = 4 << 20},
                        raw = {.max = 4 << 20};
    plain_read(input, &expected);
    run(input, seed, &told, &raw);
    ASSERT(str_eq(buf_str(&told), buf_str(&expected)));
    ASSERT(str_eq(buf_str(&raw), input));
    return 0;
}
