/* A call's record (docs/calls.md), read in one pass for what a view keeps of it. */
#include "codec/decimal.h"
#include "codec/time.h"
#include "view/view_int.h"

enum { DEPTH_MAX = 200 };

static int64_t number(struct json_reader *r)
{
    struct json_value value = json_take(r);
    int64_t n;
    return json_to_i64(&value, &n) == ERR_OK && n >= 0 ? n : -1;
}

static struct str text(struct json_reader *r, struct arena *a)
{
    struct json_value value = json_take(r);
    return str_take(json_text(&value, a), VIEW_NAME_BYTES);
}

static void read_timing(struct json_reader *r, struct view_row *row)
{
    struct json_value key;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key)) {
        if (json_eq(&key, STR("total_us")))
            row->total_us = number(r);
        else if (json_eq(&key, STR("first_token_us")))
            row->first_us = number(r);
        else if (json_eq(&key, STR("overhead_us")))
            row->overhead_us = number(r);
    }
}

static void read_usage(struct json_reader *r, struct view_row *row)
{
    struct json_value key;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key)) {
        if (json_eq(&key, STR("input")))
            row->input = number(r);
        else if (json_eq(&key, STR("cached_input")))
            row->cached = number(r);
        else if (json_eq(&key, STR("output")))
            row->output = number(r);
        else if (json_eq(&key, STR("reasoning")))
            row->reasoning = number(r);
    }
}

static void read_cost(struct json_reader *r, struct arena *a, struct view_row *row)
{
    struct json_value key;
    struct decimal amount;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key)) {
        if (!json_eq(&key, STR("amount")))
            continue;
        if (decimal_parse(text(r, a), &amount) == ERR_OK && amount.steps >= 0 &&
            amount.steps / 1000 <= INT64_MAX)
            row->cost = (int64_t)(amount.steps / 1000);
    }
}

/* Members that hold what somebody wrote, wherever they stand. */
static bool is_said(const struct json_value *key)
{
    static const struct str names[] = {STR_INIT("content"),   STR_INIT("text"),
                                       STR_INIT("input"),     STR_INIT("prompt"),
                                       STR_INIT("arguments"), STR_INIT("instructions"),
                                       STR_INIT("system"),    STR_INIT("thinking"),
                                       STR_INIT("output"),    STR_INIT("reasoning_content"),
                                       STR_INIT("message")};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (json_eq(key, names[i]))
            return true;
    return false;
}

/* Of a long string the part that read_body will keep, and more. It is cut at a space, which is
 * never inside an escape or a character; the space takes the place of the quote. */
static struct json_value part_of(struct json_value string, bool keep_end)
{
    size_t most = 2 * (size_t)VIEW_TEXT_BYTES;
    struct str raw = string.raw;
    if (raw.len <= most)
        return string;
    size_t at = keep_end ? raw.len - most : most;
    const char *space = memchr(raw.ptr + at, ' ', keep_end ? most : raw.len - at);
    if (!space)
        return string;
    at = (size_t)(space - raw.ptr);
    string.raw = keep_end ? str_skip(raw, at) : str_take(raw, at + 1);
    string.escape_bytes = 0;
    return string;
}

/* The texts of a body, one after another. said: they are what somebody wrote. */
static void collect(struct json_reader *r, bool said, bool keep_end, struct buf *out)
{
    struct json_value key;
    switch (json_peek(r)) {
    case JSON_OBJECT:
        (void)json_enter(r, JSON_OBJECT);
        while (json_next_member(r, &key))
            collect(r, is_said(&key), keep_end, out);
        break;
    case JSON_ARRAY:
        (void)json_enter(r, JSON_ARRAY);
        while (json_next_element(r))
            collect(r, said, keep_end, out);
        break;
    case JSON_STRING:
        key = json_take(r);
        if (said && json_text_len(&key) > 0) {
            key = part_of(key, keep_end);
            json_text_append(&key, out);
            buf_append_char(out, '\n');
        }
        break;
    default: (void)json_take(r);
    }
}

/* A character is not cut in two. */
static size_t whole_start(struct str text, size_t at)
{
    while (at < text.len && ((unsigned char)text.ptr[at] & 0xC0) == 0x80)
        at++;
    return at;
}

/* What was asked last is at the end of a request, what was answered first at the begin: those are
 * kept. */
static void read_body(struct json_reader *r, bool keep_end, struct view_row *row)
{
    size_t before = row->text.len;
    collect(r, json_peek(r) == JSON_STRING, keep_end, &row->text);
    if (row->text.len - before <= VIEW_TEXT_BYTES)
        return;
    if (!keep_end) {
        row->text.len = before + VIEW_TEXT_BYTES;
        return;
    }
    struct str all = buf_str(&row->text);
    size_t from = whole_start(all, all.len - VIEW_TEXT_BYTES);
    memmove(row->text.ptr + before, row->text.ptr + from, all.len - from);
    row->text.len = before + all.len - from;
}

static void read_member(struct json_reader *r, const struct json_value *key, struct arena *a,
                        struct view_row *row)
{
    static const struct {
        struct str name;
        size_t at;
    } texts[] = {
        {STR_INIT("model"), offsetof(struct view_row, model)},
        {STR_INIT("target"), offsetof(struct view_row, target)},
        {STR_INIT("key"), offsetof(struct view_row, key)},
        {STR_INIT("endpoint"), offsetof(struct view_row, endpoint)},
        {STR_INIT("outcome"), offsetof(struct view_row, outcome)},
        {STR_INIT("user"), offsetof(struct view_row, user)},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (json_eq(key, texts[i].name)) {
            *(struct str *)((char *)row + texts[i].at) = text(r, a);
            return;
        }
    if (json_eq(key, STR("time"))) {
        if (time_parse(text(r, a), &row->time_us) != ERR_OK)
            row->time_us = -1;
    } else if (json_eq(key, STR("status")))
        row->status = number(r);
    else if (json_eq(key, STR("timing")))
        read_timing(r, row);
    else if (json_eq(key, STR("usage")))
        read_usage(r, row);
    else if (json_eq(key, STR("cost")))
        read_cost(r, a, row);
    else if (json_eq(key, STR("request")))
        read_body(r, true, row);
    else if (json_eq(key, STR("response")) || json_eq(key, STR("error")))
        read_body(r, false, row);
}

bool view_row_read(struct str value, struct arena *a, struct view_row *ret_row)
{
    struct json_reader r;
    struct json_value key;
    struct buf text = ret_row->text;
    buf_reset(&text);
    *ret_row = (struct view_row){.time_us = -1,
                                 .status = -1,
                                 .input = -1,
                                 .cached = -1,
                                 .output = -1,
                                 .reasoning = -1,
                                 .cost = -1,
                                 .total_us = -1,
                                 .first_us = -1,
                                 .overhead_us = -1,
                                 .text = text};
    json_reader_init(&r, value, DEPTH_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return false;
    while (json_next_member(&r, &key))
        read_member(&r, &key, a, ret_row);
    return json_finish(&r) && ret_row->time_us >= 0 && ret_row->endpoint.len > 0;
}
