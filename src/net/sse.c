#include "net/sse.h"

#include "base/assert.h"

enum {
    PAST_MARK = 255,
    RETRY_DIGITS_MAX = 15,
    KEPT_BYTES = 64 << 10, /* memory that is held on to between events */
};

static const char mark[3] = {'\xef', '\xbb', '\xbf'};

void sse_parser_init(struct sse_parser *p, size_t max_bytes)
{
    *p = (struct sse_parser){.max_bytes = max_bytes, .line_empty = true};
    buf_init(&p->kept, max_bytes);
    buf_init(&p->joined, max_bytes);
}

void sse_parser_release(struct sse_parser *p)
{
    buf_release(&p->kept);
    buf_release(&p->joined);
}

static void empty(struct buf *b)
{
    buf_reset(b);
    if (b->cap > KEPT_BYTES)
        buf_release(b);
}

/* ---- Where an event ends ---- */

/* The first LF or CR at or after `from`; s.len when there is none. */
static size_t line_end(struct str s, size_t from)
{
    const char *at = s.ptr + from;
    size_t left = s.len - from;
    const char *lf = memchr(at, '\n', left);
    if (lf)
        left = (size_t)(lf - at);
    const char *cr = left > 0 ? memchr(at, '\r', left) : NULL;
    return cr ? (size_t)(cr - s.ptr) : lf ? (size_t)(lf - s.ptr) : s.len;
}

/* The mark is no part of the first line. Returns how many bytes at the beginning of s belong to it;
 * a beginning that turns out to be something else is content. */
static size_t skip_mark(struct sse_parser *p, struct str s)
{
    size_t i = 0;
    while (p->mark < sizeof mark && i < s.len) {
        if (s.ptr[i] != mark[p->mark]) {
            p->line_empty = p->mark == 0;
            p->mark = PAST_MARK;
            break;
        }
        p->mark++;
        i++;
    }
    return i;
}

/* How many bytes of s complete the event; 0: none do, all of s belongs to it. */
static size_t find_end(struct sse_parser *p, struct str s)
{
    size_t i = skip_mark(p, s);
    while (i < s.len) {
        char c = s.ptr[i];
        if (p->after_cr && c == '\n') { /* its line was ended by the CR */
            p->after_cr = false;
            i++;
            continue;
        }
        p->after_cr = c == '\r';
        if (c != '\n' && c != '\r') {
            p->line_empty = false;
            i = line_end(s, i);
            continue;
        }
        i++;
        if (p->line_empty) {
            if (p->after_cr && i < s.len && s.ptr[i] == '\n') {
                p->after_cr = false;
                i++;
            }
            return i;
        }
        p->line_empty = true;
    }
    return 0;
}

/* ---- What it says ---- */

static int64_t retry_of(struct str value)
{
    uint64_t ms = 0;
    if (value.len > RETRY_DIGITS_MAX || str_to_u64(value, &ms) != ERR_OK)
        return -1;
    return (int64_t)ms;
}

static void add_data(struct sse_parser *p, struct sse_event *event, struct str value)
{
    if (!event->has_data) {
        event->has_data = true;
        event->data = value;
        return;
    }
    if (p->joined.len == 0)
        buf_append_str(&p->joined, event->data);
    buf_append_char(&p->joined, '\n');
    buf_append_str(&p->joined, value);
    ASSERT(p->joined.error == ERR_OK); /* shorter than the raw bytes */
    event->data = buf_str(&p->joined);
}

static void parse_line(struct sse_parser *p, struct str line, struct sse_event *event)
{
    struct str value = line;
    struct str name = str_split(&value, ':');
    if (value.len > 0 && value.ptr[0] == ' ')
        value = str_skip(value, 1);
    if (str_eq(name, STR("data"))) {
        add_data(p, event, value);
    } else if (str_eq(name, STR("event"))) {
        event->type = value;
    } else if (str_eq(name, STR("id"))) {
        if (str_index(value, 0) < 0) {
            event->id = value;
            event->has_id = true;
        }
    } else if (str_eq(name, STR("retry"))) {
        event->retry_ms = retry_of(value);
    }
}

static void parse_event(struct sse_parser *p, struct str raw, bool first, struct sse_event *event)
{
    *event = (struct sse_event){.raw = raw, .retry_ms = -1};
    empty(&p->joined);
    struct str s = raw;
    if (first && str_starts(s, str_of(mark, sizeof mark)))
        s = str_skip(s, sizeof mark);
    while (s.len > 0) {
        size_t end = line_end(s, 0);
        /* An empty line is the event's end, or the LF of a CR. A line with ':' first is a comment:
         * its name is empty. */
        if (end > 0)
            parse_line(p, str_take(s, end), event);
        s = str_skip(s, end + 1);
    }
}

/* ---- The parser ---- */

static enum sse_result too_large(struct sse_parser *p, struct str *in)
{
    p->failed = true;
    *in = STR_NONE;
    buf_release(&p->kept);
    return SSE_TOO_LARGE;
}

enum sse_result sse_parser_next(struct sse_parser *p, struct str *in, struct sse_event *ret_event)
{
    if (p->failed)
        return too_large(p, in);
    if (p->kept_out) {
        empty(&p->kept);
        p->kept_out = false;
    }
    if (in->len == 0)
        return SSE_MORE;
    struct str raw = *in;
    if (p->after_cr && p->line_empty && p->kept.len == 0 && raw.ptr[0] == '\n') {
        /* The event's end was CR LF, cut between the two. */
        p->after_cr = false;
        *ret_event = (struct sse_event){.raw = str_take(raw, 1), .retry_ms = -1};
        *in = str_skip(raw, 1);
        return SSE_EVENT;
    }
    size_t end = find_end(p, raw);
    raw = str_take(raw, end > 0 ? end : raw.len);
    if (raw.len > p->max_bytes - p->kept.len)
        return too_large(p, in);
    *in = str_skip(*in, raw.len);
    if (end == 0 || p->kept.len > 0) {
        buf_append_str(&p->kept, raw);
        raw = buf_str(&p->kept);
    }
    if (end == 0)
        return SSE_MORE;
    p->kept_out = p->kept.len > 0;
    bool first = !p->started;
    p->started = true;
    p->mark = PAST_MARK;
    parse_event(p, raw, first, ret_event);
    return SSE_EVENT;
}

struct str sse_parser_finish(struct sse_parser *p)
{
    return p->kept_out || p->failed ? STR_NONE : buf_str(&p->kept);
}

/* ---- Writing ---- */

void sse_write_event(struct buf *out, struct str type, struct str data)
{
    if (type.len > 0) {
        buf_append_str(out, STR("event: "));
        buf_append_str(out, type);
        buf_append_char(out, '\n');
    }
    for (;;) {
        size_t end = data.len > 0 ? line_end(data, 0) : 0;
        buf_append_str(out, STR("data: "));
        buf_append(out, data.ptr, end);
        buf_append_char(out, '\n');
        if (end == data.len)
            break;
        bool crlf = data.ptr[end] == '\r' && end + 1 < data.len && data.ptr[end + 1] == '\n';
        data = str_skip(data, end + 1 + crlf);
    }
    buf_append_char(out, '\n');
}

void sse_write_comment(struct buf *out, struct str text)
{
    buf_append_str(out, STR(": "));
    buf_append_str(out, text);
    buf_append(out, "\n\n", 2);
}
