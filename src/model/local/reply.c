#include "model/local/reply.h"

#include "codec/json_scan.h"

enum { NESTING_MAX = 128 };
#define HELD_BYTES_MAX ((size_t)8 << 20)

static const struct {
    struct str open;
    struct str close; /* empty: the answer's end */
} marks[] = {
    {STR_INIT("<tool_call>"), STR_INIT("</tool_call>")},
    {STR_INIT("[TOOL_CALLS]"), STR_INIT("")},
    {STR_INIT("<|python_tag|>"), STR_INIT("")},
    {STR_INIT("<function_call>"), STR_INIT("</function_call>")},
};
enum { MARKS = sizeof marks / sizeof *marks };

static const struct str think = STR_INIT("<think>"), think_end = STR_INIT("</think>");

void reply_init(struct reply *r, const struct str *tools, size_t tool_count, bool splits_reasoning,
                bool reasons)
{
    *r = (struct reply){.tools = tools,
                        .tool_count = tool_count,
                        .splits_reasoning = splits_reasoning,
                        .state = splits_reasoning && reasons ? REPLY_REASONING : REPLY_BEGIN};
    buf_init(&r->held, HELD_BYTES_MAX);
    buf_reserve(&r->held, 1); /* from here on its pointer is one */
}

void reply_release(struct reply *r)
{
    buf_release(&r->held);
}

/* ---- Calls ---- */

static bool is_tool(const struct reply *r, struct str name)
{
    for (size_t i = 0; i < r->tool_count; i++)
        if (str_eq(r->tools[i], name))
            return true;
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static struct str trim(struct str s)
{
    while (s.len && is_space(s.ptr[0]))
        s = str_skip(s, 1);
    while (s.len && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* The JSON value that the text begins with, and what follows it. */
static bool first_value(struct str text, struct json_value *ret_value, struct str *ret_rest)
{
    struct json_reader r;
    json_reader_init(&r, text, NESTING_MAX);
    struct json_value v = json_take(&r);
    if (v.kind == JSON_NONE)
        return false;
    *ret_value = v;
    *ret_rest =
        str_of(v.raw.ptr + v.raw.len, (size_t)(text.ptr + text.len - v.raw.ptr) - v.raw.len);
    return true;
}

/* One call in JSON: {"name": …, "arguments" or "parameters": {…}}, maybe inside of "function". */
static bool read_call(const struct reply *r, const struct json_value *v, struct arena *arena,
                      struct str *ret_name, struct str *ret_arguments)
{
    struct json_value inner, name, arguments;
    struct str object = v->raw;
    if (v->kind != JSON_OBJECT)
        return false;
    if (json_find(object, "function", &inner) && inner.kind == JSON_OBJECT)
        object = inner.raw;
    if (!json_find(object, "name", &name) || name.kind != JSON_STRING ||
        !is_tool(r, json_text(&name, arena)))
        return false;
    *ret_name = json_text(&name, arena);
    *ret_arguments = STR("{}");
    if (!json_find(object, "arguments", &arguments) && !json_find(object, "parameters", &arguments))
        return true;
    struct str text = arguments.kind == JSON_STRING ? json_text(&arguments, arena) : arguments.raw;
    if (json_validate(text, NESTING_MAX, &arguments) != ERR_OK || arguments.kind != JSON_OBJECT)
        return false;
    *ret_arguments = arguments.raw;
    return true;
}

struct hand {
    struct reply *reply;
    const struct reply_events *events; /* NULL: only look */
    void *arg;
    struct arena arena;
    unsigned calls;
};

static bool hand_out(struct hand *h, const struct json_value *v)
{
    struct str name, arguments;
    if (!read_call(h->reply, v, &h->arena, &name, &arguments))
        return false;
    if (h->events) {
        h->events->on_call(h->arg, name, arguments);
        h->reply->calls++;
    }
    h->calls++;
    return true;
}

/* A list's elements. */
static bool hand_out_list(struct hand *h, struct str list)
{
    struct json_reader r;
    json_reader_init(&r, list, NESTING_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return false;
    while (json_next_element(&r)) {
        struct json_value v = json_take(&r);
        if (!hand_out(h, &v))
            return false;
    }
    return true;
}

/* name[ARGS]{…} as newer Mistral models write it. */
static bool hand_out_named(struct hand *h, struct str *text)
{
    ptrdiff_t mark = str_find(*text, STR("[ARGS]"));
    struct json_value v;
    struct str rest;
    if (mark <= 0 || !first_value(str_skip(*text, (size_t)mark + 6), &v, &rest) ||
        v.kind != JSON_OBJECT)
        return false;
    struct str name = trim(str_take(*text, (size_t)mark));
    if (!is_tool(h->reply, name))
        return false;
    if (h->events) {
        h->events->on_call(h->arg, name, v.raw);
        h->reply->calls++;
    }
    h->calls++;
    *text = rest;
    return true;
}

static bool hand_out_all(struct hand *h, struct str text)
{
    struct json_value v;
    struct str rest;
    for (text = trim(text); text.len; text = trim(text)) {
        if (text.ptr[0] == ';' || text.ptr[0] == ',') {
            text = str_skip(text, 1);
        } else if (str_starts(text, STR("[TOOL_CALLS]"))) {
            text = str_skip(text, 12);
        } else if (text.ptr[0] != '{' && text.ptr[0] != '[') {
            if (!hand_out_named(h, &text))
                return false;
        } else {
            if (!first_value(text, &v, &rest) ||
                !(v.kind == JSON_ARRAY ? hand_out_list(h, v.raw) : hand_out(h, &v)))
                return false;
            text = rest;
        }
    }
    return h->calls > 0;
}

/* The text's calls, all or none. */
static bool take_calls(struct reply *r, struct str text, const struct reply_events *events,
                       void *arg)
{
    struct hand look = {.reply = r}, give = {.reply = r, .events = events, .arg = arg};
    arena_init(&look.arena);
    arena_init(&give.arena);
    bool fine = hand_out_all(&look, text) && hand_out_all(&give, text);
    arena_release(&look.arena);
    arena_release(&give.arena);
    return fine;
}

/* ---- States ---- */

/* Bytes at the text's end that begin the mark. */
static size_t begun(struct str text, struct str mark)
{
    size_t n = mark.len - 1 < text.len ? mark.len - 1 : text.len;
    while (n > 0 && memcmp(text.ptr + text.len - n, mark.ptr, n) != 0)
        n--;
    return n;
}

static size_t spaces_at_end(struct str text)
{
    size_t n = 0;
    while (n < text.len && is_space(text.ptr[text.len - 1 - n]))
        n++;
    return n;
}

static size_t spaces_at_begin(struct str text)
{
    size_t n = 0;
    while (n < text.len && is_space(text.ptr[n]))
        n++;
    return n;
}

static void give_text(struct reply *r, size_t n, const struct reply_events *events, void *arg)
{
    if (n)
        events->on_text(arg, str_of(r->held.ptr, n));
    buf_consume(&r->held, n);
}

/* Step functions: true when the state changed, or something was consumed and there may be more. */

static bool step_begin(struct reply *r, bool last)
{
    struct str held = buf_str(&r->held), rest = str_skip(held, spaces_at_begin(held));
    if (r->splits_reasoning && r->state == REPLY_BEGIN) {
        if (str_starts(rest, think)) {
            buf_consume(&r->held, held.len - rest.len + think.len);
            r->state = REPLY_REASONING;
            return true;
        }
        if (!last && str_starts(think, rest))
            return false;
    }
    static const struct str fence = STR_INIT("```"), list = STR_INIT("[TOOL_CALLS]");
    bool waits = r->tool_count && !last;
    if (rest.len == 0 && !last)
        return false;
    if (waits && (str_starts(fence, rest) || str_starts(list, rest)) && rest.len < fence.len)
        return false;
    if (waits && str_starts(list, rest) && rest.len < list.len)
        return false;
    bool bare = str_starts(rest, STR("{")) || str_starts(rest, fence) ||
                (str_starts(rest, STR("[")) && !str_starts(rest, list));
    if (r->state == REPLY_REASONED)
        buf_consume(&r->held, held.len - rest.len);
    r->state = r->tool_count && bare ? REPLY_BARE : REPLY_TEXT;
    return true;
}

static bool step_reasoning(struct reply *r, bool last, const struct reply_events *events, void *arg)
{
    struct str held = buf_str(&r->held);
    ptrdiff_t end = str_find(held, think_end);
    struct str text = end >= 0 ? str_take(held, (size_t)end) : held;
    size_t keep = end >= 0 || last ? 0 : begun(text, think_end);
    /* White space around it belongs to the marks. */
    struct str shown = str_take(text, text.len - keep);
    shown.len -= spaces_at_end(shown);
    struct str given = r->reasoned ? shown : str_skip(shown, spaces_at_begin(shown));
    if (given.len)
        events->on_reasoning(arg, given);
    r->reasoned |= given.len > 0;
    if (end >= 0) {
        buf_consume(&r->held, (size_t)end + think_end.len);
        r->state = REPLY_REASONED;
        return true;
    }
    buf_consume(&r->held, last ? held.len : shown.len);
    return false;
}

/* The first mark that opens a call; MARKS: none. *ret_keep: bytes at the end that may become one.
 */
static unsigned find_mark(const struct reply *r, struct str text, size_t *ret_at, size_t *ret_keep)
{
    unsigned found = MARKS;
    *ret_keep = 0;
    for (unsigned i = 0; r->tool_count && i < MARKS; i++) {
        ptrdiff_t at = str_find(text, marks[i].open);
        size_t keep = begun(text, marks[i].open);
        if (at >= 0 && (found == MARKS || (size_t)at < *ret_at)) {
            found = i;
            *ret_at = (size_t)at;
        }
        *ret_keep = keep > *ret_keep ? keep : *ret_keep;
    }
    return found;
}

static bool step_text(struct reply *r, bool last, const struct reply_events *events, void *arg)
{
    struct str held = buf_str(&r->held);
    size_t at = held.len, keep;
    if (r->after_call) { /* white space between calls and after them is none of the content */
        size_t n = spaces_at_begin(held);
        buf_consume(&r->held, n);
        held = buf_str(&r->held);
        at = held.len;
        r->after_call = held.len == 0;
    }
    unsigned mark = find_mark(r, held, &at, &keep);
    if (mark < MARKS) {
        struct str before = str_take(held, at);
        give_text(r, before.len - spaces_at_end(before), events, arg);
        buf_consume(&r->held, spaces_at_begin(buf_str(&r->held)) + marks[mark].open.len);
        r->mark = mark;
        r->state = REPLY_CALL;
        return true;
    }
    size_t n = held.len - (last ? 0 : keep);
    if (r->tool_count && !last)
        n -= spaces_at_end(str_take(held, n)); /* a call may follow */
    give_text(r, n, events, arg);
    return false;
}

/* What was taken for a call is none. */
static void give_as_text(struct reply *r, struct str text, const struct reply_events *events,
                         void *arg)
{
    events->on_text(arg, marks[r->mark].open);
    if (text.len)
        events->on_text(arg, text);
}

static bool step_call(struct reply *r, bool last, const struct reply_events *events, void *arg)
{
    struct str held = buf_str(&r->held), close = marks[r->mark].close;
    for (size_t from = 0; close.len;) { /* a closing mark may stand inside an argument */
        ptrdiff_t end = str_find(str_skip(held, from), close);
        if (end < 0)
            break;
        size_t n = from + (size_t)end;
        if (take_calls(r, str_take(held, n), events, arg)) {
            buf_consume(&r->held, n + close.len);
            r->state = REPLY_TEXT;
            r->after_call = true;
            return true;
        }
        from = n + close.len;
    }
    if (!last)
        return false;
    if (!take_calls(r, held, events, arg))
        give_as_text(r, held, events, arg);
    buf_reset(&r->held);
    return false;
}

static struct str without_fence(struct str text)
{
    text = trim(text);
    if (!str_starts(text, STR("```")))
        return text;
    ptrdiff_t line = str_index(text, '\n');
    if (line < 0 || !str_ends(text, STR("```")) || text.len < (size_t)line + 4)
        return text;
    return str_of(text.ptr + line, text.len - (size_t)line - 3);
}

static bool step_bare(struct reply *r, bool last, const struct reply_events *events, void *arg)
{
    if (!last)
        return false;
    struct str held = buf_str(&r->held);
    if (!take_calls(r, without_fence(held), events, arg) && held.len)
        events->on_text(arg, held);
    buf_reset(&r->held);
    return false;
}

static bool step(struct reply *r, bool last, const struct reply_events *events, void *arg)
{
    switch (r->state) {
    case REPLY_BEGIN:
    case REPLY_REASONED: return step_begin(r, last);
    case REPLY_REASONING: return step_reasoning(r, last, events, arg);
    case REPLY_TEXT: return step_text(r, last, events, arg);
    case REPLY_CALL: return step_call(r, last, events, arg);
    case REPLY_BARE: return step_bare(r, last, events, arg);
    }
    return false;
}

void reply_push(struct reply *r, struct str text, const struct reply_events *events, void *arg)
{
    if (r->held.len + text.len > HELD_BYTES_MAX) { /* no call is so long */
        give_text(r, r->held.len, events, arg);
        r->state = REPLY_TEXT;
    }
    buf_append_str(&r->held, text);
    while (step(r, false, events, arg))
        continue;
}

void reply_finish(struct reply *r, const struct reply_events *events, void *arg)
{
    while (step(r, true, events, arg))
        continue;
}
