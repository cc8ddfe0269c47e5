#include "call/trace.h"

#include <stdio.h>

#include "base/assert.h"
#include "os/random.h"

/* Lower-case hexadecimal digits, so many. */
static bool is_hex(struct str s, size_t digits)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'f')))
            return false;
    return s.len == digits;
}

static bool is_zero(struct str s)
{
    while (s.len && s.ptr[0] == '0')
        s = str_skip(s, 1);
    return s.len == 0;
}

/* 00-<32 hex>-<16 hex>-<2 hex>; a later version may have more behind another dash. */
static bool parse(struct trace *t, struct str header)
{
    struct str rest = header;
    struct str version = str_split(&rest, '-');
    struct str id = str_split(&rest, '-');
    struct str parent = str_split(&rest, '-');
    struct str flags = str_split(&rest, '-');
    if (!is_hex(version, 2) || str_eq(version, STR("ff")) || !is_hex(flags, 2))
        return false;
    if (!is_hex(id, TRACE_ID_HEX) || is_zero(id) || !is_hex(parent, SPAN_ID_HEX) || is_zero(parent))
        return false;
    if (rest.ptr && str_eq(version, STR("00")))
        return false;
    memcpy(t->id, id.ptr, id.len);
    memcpy(t->parent, parent.ptr, parent.len);
    memcpy(t->flags, flags.ptr, flags.len);
    return true;
}

static void random_span(char span[SPAN_ID_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t bits = os_random_u64() | 1; /* all zeros is not a span */
    for (int i = 0; i < SPAN_ID_HEX; i++, bits >>= 4)
        span[i] = digits[bits & 15];
    span[SPAN_ID_HEX] = 0;
}

void trace_begin(struct trace *t, struct str traceparent, struct str own_id)
{
    ASSERT(own_id.len == TRACE_ID_HEX);
    *t = (struct trace){.flags = "01"};
    random_span(t->span);
    if (!parse(t, traceparent))
        memcpy(t->id, own_id.ptr, own_id.len);
}

struct str trace_parent_format(const struct trace *t, char text[TRACEPARENT_BYTES + 1])
{
    int n = snprintf(text, TRACEPARENT_BYTES + 1, "00-%s-%s-%s", t->id, t->span, t->flags);
    ASSERT(n == TRACEPARENT_BYTES);
    return str_of(text, TRACEPARENT_BYTES);
}
