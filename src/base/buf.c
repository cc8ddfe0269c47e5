#include "base/buf.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"

enum { BUF_FIRST_CAP = 64 };

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max = max_bytes};
}

void buf_release(struct buf *b)
{
    mem_free(b->ptr);
    *b = (struct buf){.max = b->max};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->error = ERR_OK;
}

bool buf_reserve(struct buf *b, size_t n)
{
    if (b->error != ERR_OK)
        return false;
    if (n > b->max - b->len) {
        b->error = ERR_TOO_LARGE;
        return false;
    }
    if (b->cap - b->len >= n)
        return true;
    size_t cap = b->cap ? b->cap : BUF_FIRST_CAP;
    while (cap - b->len < n)
        cap *= 2;
    char *ptr = realloc(b->ptr, cap);
    if (!ptr) {
        b->error = ERR_NO_MEMORY;
        return false;
    }
    b->ptr = ptr;
    b->cap = cap;
    return true;
}

void buf_append(struct buf *b, const void *bytes, size_t n)
{
    if (n == 0 || !buf_reserve(b, n))
        return;
    memcpy(b->ptr + b->len, bytes, n);
    b->len += n;
}

void buf_append_str(struct buf *b, struct str s)
{
    buf_append(b, s.ptr, s.len);
}

void buf_append_char(struct buf *b, char c)
{
    if (buf_reserve(b, 1))
        b->ptr[b->len++] = c;
}

void buf_append_u64(struct buf *b, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    buf_append(b, digits + at, sizeof digits - at);
}

void buf_append_i64(struct buf *b, int64_t value)
{
    if (value < 0)
        buf_append_char(b, '-');
    buf_append_u64(b, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void buf_vprintf(struct buf *b, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    ASSERT(n >= 0);
    /* vsnprintf writes a NUL, which must fit but is not counted. */
    if (buf_reserve(b, (size_t)n + 1)) {
        (void)vsnprintf(b->ptr + b->len, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(b, format, args);
    va_end(args);
}

void buf_consume(struct buf *b, size_t n)
{
    ASSERT(n <= b->len);
    if (n == 0)
        return;
    memmove(b->ptr, b->ptr + n, b->len - n);
    b->len -= n;
}

const char *buf_cstr(struct buf *b)
{
    if (!buf_reserve(b, 1))
        return "";
    b->ptr[b->len] = 0;
    return b->ptr;
}

struct str buf_take(struct buf *b)
{
    struct str taken = buf_str(b);
    *b = (struct buf){.max = b->max};
    return taken;
}
