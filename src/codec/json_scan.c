#include "codec/json_scan.h"

#include "base/assert.h"
#include "codec/json_int.h"

/* The functions below that take and return a position return NULL after they set the fault. */

static const char *fault(struct json_reader *r, enum json_fault what, const char *at)
{
    r->fault = what;
    r->fault_at = (size_t)(at - r->text);
    r->at_hand = false;
    return NULL;
}

static const char *unexpected(struct json_reader *r, const char *at)
{
    return fault(r, at == r->end ? JSON_FAULT_TRUNCATED : JSON_FAULT_UNEXPECTED, at);
}

static inline bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline const char *skip_space(const struct json_reader *r, const char *p)
{
    while (p < r->end && is_space(*p))
        p++;
    return p;
}

static const char *escape_fault(struct json_reader *r, const char *p)
{
    /* Is it wrong already, or only cut? */
    const char *q = p + 1;
    if (q < r->end && *q == 'u')
        for (q++; q < r->end && q < p + 6; q++) {
            bool hex = (*q >= '0' && *q <= '9') || ((*q | 0x20) >= 'a' && (*q | 0x20) <= 'f');
            if (!hex)
                break;
        }
    return q == r->end ? fault(r, JSON_FAULT_TRUNCATED, q) : fault(r, JSON_FAULT_ESCAPE, p);
}

/* p: behind the opening quote. Returns behind the closing one; sets r->escape_bytes. */
static const char *skip_string(struct json_reader *r, const char *p)
{
    size_t escape_bytes = 0;
    for (;;) {
        p = json_plain_skip(p, r->end);
        if (p == r->end)
            return fault(r, JSON_FAULT_TRUNCATED, p);
        if (*p == '"') {
            r->escape_bytes = escape_bytes;
            return p + 1;
        }
        if (*p == '\\') {
            uint32_t c = 0;
            size_t n = json_escape_read(p, r->end, &c);
            if (n == 0)
                return escape_fault(r, p);
            escape_bytes += n - utf8_size(c);
            p += n;
            continue;
        }
        if (*p >= 0 && *p < 0x20)
            return fault(r, JSON_FAULT_CONTROL, p);
        do {
            size_t n = utf8_sequence(p, (size_t)(r->end - p));
            if (n == 0)
                return fault(r, JSON_FAULT_UTF8, p);
            p += n;
        } while (p < r->end && (signed char)*p < 0);
    }
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* p: the first digit that must be there. */
static const char *need_digits(struct json_reader *r, const char *p)
{
    const char *q = skip_digits(p, r->end);
    if (q == p)
        return fault(r, p == r->end ? JSON_FAULT_TRUNCATED : JSON_FAULT_NUMBER, p);
    return q;
}

static const char *skip_number(struct json_reader *r, const char *p)
{
    if (*p == '-')
        p++;
    if (p < r->end && *p == '0') {
        p++;
        if (p < r->end && *p >= '0' && *p <= '9')
            return fault(r, JSON_FAULT_NUMBER, p);
    } else {
        p = need_digits(r, p);
    }
    if (p && p < r->end && *p == '.')
        p = need_digits(r, p + 1);
    if (p && p < r->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < r->end && (*p == '+' || *p == '-'))
            p++;
        p = need_digits(r, p);
    }
    return p;
}

static const char *skip_word(struct json_reader *r, const char *p, struct str word)
{
    for (size_t i = 0; i < word.len; i++)
        if (p + i == r->end || p[i] != word.ptr[i])
            return unexpected(r, p + i);
    return p + word.len;
}

static enum json_kind kind_of(char c)
{
    static const unsigned char kinds[256] = {
        ['"'] = JSON_STRING, ['{'] = JSON_OBJECT, ['['] = JSON_ARRAY,  ['t'] = JSON_TRUE,
        ['f'] = JSON_FALSE,  ['n'] = JSON_NULL,   ['-'] = JSON_NUMBER, ['0' ... '9'] = JSON_NUMBER,
    };
    return (enum json_kind)kinds[(unsigned char)c];
}

/* Anything but a container; p is at its first byte (or at the end). */
static const char *skip_scalar(struct json_reader *r, const char *p)
{
    if (p == r->end)
        return fault(r, JSON_FAULT_TRUNCATED, p);
    switch (kind_of(*p)) {
    case JSON_STRING: return skip_string(r, p + 1);
    case JSON_NUMBER: return skip_number(r, p);
    case JSON_TRUE: return skip_word(r, p, STR("true"));
    case JSON_FALSE: return skip_word(r, p, STR("false"));
    case JSON_NULL: return skip_word(r, p, STR("null"));
    default: return unexpected(r, p);
    }
}

/* p: a key's opening quote. Returns behind the closing one. */
static inline const char *skip_key(struct json_reader *r, const char *p)
{
    if (p == r->end || *p != '"')
        return unexpected(r, p);
    return skip_string(r, p + 1);
}

/* p: behind a key. Returns the value's first byte. */
static inline const char *skip_colon(struct json_reader *r, const char *p)
{
    p = skip_space(r, p);
    if (p == r->end || *p != ':')
        return unexpected(r, p);
    return skip_space(r, p + 1);
}

/* The containers that are open while one is skipped: a bit for each, set for an object. */
struct nest {
    uint64_t objects[JSON_DEPTH_MAX / 64];
    unsigned depth;
};

static inline void nest_push(struct nest *n, bool object)
{
    unsigned at = n->depth % 64;
    uint64_t *word = &n->objects[n->depth / 64];
    uint64_t below = at ? *word & ((UINT64_C(1) << at) - 1) : 0;
    *word = below | (uint64_t)object << at;
    n->depth++;
}

static inline bool nest_in_object(const struct nest *n)
{
    unsigned top = n->depth - 1;
    return n->objects[top / 64] >> (top % 64) & 1;
}

/* After a value: pass commas and closing brackets. Returns the next key or value, or, when the
 * outermost container is closed (depth 0), the byte behind it. */
static inline const char *skip_closed(struct json_reader *r, struct nest *n, const char *p)
{
    for (;;) {
        p = skip_space(r, p);
        if (p == r->end)
            return fault(r, JSON_FAULT_TRUNCATED, p);
        if (*p == ',')
            return skip_space(r, p + 1);
        if (*p != (nest_in_object(n) ? '}' : ']'))
            return fault(r, JSON_FAULT_UNEXPECTED, p);
        p++;
        if (--n->depth == 0)
            return p;
    }
}

/* p: the opening bracket. Iterative, so that depth costs a bit and not a stack frame. */
static __attribute__((noinline)) const char *skip_container(struct json_reader *r, const char *p)
{
    struct nest n;
    n.depth = 0;
    do {
        if (n.depth > 0 && nest_in_object(&n)) {
            p = skip_key(r, p);
            p = p ? skip_colon(r, p) : NULL;
            if (!p)
                return NULL;
        }
        if (p < r->end && (*p == '{' || *p == '[')) {
            if (r->depth + n.depth >= r->max_depth)
                return fault(r, JSON_FAULT_DEPTH, p);
            nest_push(&n, *p == '{');
            const char *inner = skip_space(r, p + 1);
            if (inner == r->end || *inner != (*p == '{' ? '}' : ']')) {
                p = inner;
                continue;
            }
            p = inner;
        } else {
            p = skip_scalar(r, p);
            if (!p)
                return NULL;
        }
        p = skip_closed(r, &n, p);
        if (!p)
            return NULL;
    } while (n.depth > 0);
    return p;
}

void json_reader_init(struct json_reader *r, struct str text, unsigned max_depth)
{
    ASSERT(max_depth > 0 && max_depth <= JSON_DEPTH_MAX);
    const char *start = text.ptr ? text.ptr : "";
    *r = (struct json_reader){
        .text = start, .at = start, .end = start + text.len, .max_depth = max_depth};
    r->at = skip_space(r, start);
    r->at_hand = r->at < r->end;
    if (!r->at_hand)
        fault(r, JSON_FAULT_EMPTY, r->at);
}

enum json_kind json_peek(const struct json_reader *r)
{
    return r->at_hand && r->at < r->end ? kind_of(*r->at) : JSON_NONE;
}

bool json_enter(struct json_reader *r, enum json_kind kind)
{
    ASSERT(kind == JSON_OBJECT || kind == JSON_ARRAY);
    if (json_peek(r) != kind)
        return false;
    if (r->depth >= r->max_depth) {
        fault(r, JSON_FAULT_DEPTH, r->at);
        return false;
    }
    r->depth++;
    r->at++;
    r->fresh = true;
    r->at_hand = false;
    return true;
}

/* Pass what is left of the last item, and its comma. False at the closing bracket, which is
 * consumed, and on a fault. */
static inline bool next_item(struct json_reader *r, char closing)
{
    if (r->at_hand)
        json_take(r);
    if (r->fault)
        return false;
    ASSERT(r->depth > 0);
    const char *p = skip_space(r, r->at);
    if (p < r->end && *p == closing) {
        r->depth--;
        r->fresh = false;
        r->at = p + 1;
        return false;
    }
    if (!r->fresh) {
        if (p == r->end || *p != ',') {
            unexpected(r, p);
            return false;
        }
        p = skip_space(r, p + 1);
    }
    r->fresh = false;
    r->at = p;
    return true;
}

bool json_next_member(struct json_reader *r, struct json_value *ret_key)
{
    if (!next_item(r, '}'))
        return false;
    const char *key = r->at, *key_end = skip_key(r, key);
    if (!key_end)
        return false;
    ret_key->raw = str_of(key, (size_t)(key_end - key));
    ret_key->escape_bytes = r->escape_bytes;
    ret_key->kind = JSON_STRING;
    const char *p = skip_colon(r, key_end);
    if (!p)
        return false;
    r->at = p;
    r->at_hand = true;
    return true;
}

bool json_next_element(struct json_reader *r)
{
    if (!next_item(r, ']'))
        return false;
    r->at_hand = true;
    return true;
}

struct json_value json_take(struct json_reader *r)
{
    const char *p = r->at, *end = NULL;
    enum json_kind kind = json_peek(r);
    if (kind == JSON_OBJECT || kind == JSON_ARRAY)
        end = skip_container(r, p);
    else if (r->at_hand)
        end = skip_scalar(r, p);
    if (!end)
        return (struct json_value){0};
    r->at = end;
    r->at_hand = false;
    return (struct json_value){
        .raw = {p, (size_t)(end - p)},
        .escape_bytes = kind == JSON_STRING ? r->escape_bytes : 0,
        .kind = kind,
    };
}

bool json_finish(struct json_reader *r)
{
    if (r->at_hand)
        json_take(r);
    if (r->fault)
        return false;
    ASSERT(r->depth == 0);
    r->at = skip_space(r, r->at);
    if (r->at < r->end)
        fault(r, JSON_FAULT_TRAILING, r->at);
    return !r->fault;
}

enum err json_reader_error(const struct json_reader *r)
{
    switch (r->fault) {
    case JSON_FAULT_NONE: return ERR_OK;
    case JSON_FAULT_EMPTY:
    case JSON_FAULT_TRUNCATED: return ERR_TRUNCATED;
    default: return ERR_INVALID;
    }
}

void json_fault_describe(const struct json_reader *r, struct buf *out)
{
    static const char *const texts[] = {
        [JSON_FAULT_EMPTY] = "it is empty",
        [JSON_FAULT_TRUNCATED] = "it ends too early",
        [JSON_FAULT_UNEXPECTED] = "unexpected character",
        [JSON_FAULT_NUMBER] = "malformed number",
        [JSON_FAULT_ESCAPE] = "invalid escape in a string",
        [JSON_FAULT_CONTROL] = "raw control character in a string",
        [JSON_FAULT_UTF8] = "invalid UTF-8",
        [JSON_FAULT_DEPTH] = "nested too deeply",
        [JSON_FAULT_TRAILING] = "unexpected text after the end",
    };
    if (r->fault == JSON_FAULT_EMPTY)
        buf_append_str(out, str_from_c(texts[r->fault]));
    else if (r->fault)
        buf_printf(out, "%s, at byte %zu", texts[r->fault], r->fault_at);
}

enum err json_validate(struct str text, unsigned max_depth, struct json_value *ret_value)
{
    struct json_reader r;
    json_reader_init(&r, text, max_depth);
    struct json_value value = json_take(&r);
    if (!json_finish(&r))
        return json_reader_error(&r);
    *ret_value = value;
    return ERR_OK;
}
