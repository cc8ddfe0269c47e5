/* A growing byte buffer with a maximum, and an error that sticks.
 *
 * Appending past the maximum sets the error and appends nothing, then and from then on; so a writer
 * of many parts checks once, at the end. buf_reset clears bytes and error and keeps the memory. */
#ifndef WEIR_BASE_BUF_H
#define WEIR_BASE_BUF_H

#include <stdarg.h>

#include "base/err.h"
#include "base/str.h"

struct buf {
    char *ptr;
    size_t len;
    size_t cap;
    size_t max; /* bytes */
    enum err error;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_release(struct buf *b);
void buf_reset(struct buf *b);
/* Make room for n more bytes; the pointer may move. False (and the sticky error) past the maximum.
 */
bool buf_reserve(struct buf *b, size_t n);
void buf_append(struct buf *b, const void *bytes, size_t n);
void buf_append_str(struct buf *b, struct str s);
void buf_append_char(struct buf *b, char c);
void buf_append_u64(struct buf *b, uint64_t value);
void buf_append_i64(struct buf *b, int64_t value);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* Drop the first n bytes, moving the rest down. */
void buf_consume(struct buf *b, size_t n);
/* Terminate with a NUL that is not counted in len, for libraries that want C strings. "" on error.
 */
const char *buf_cstr(struct buf *b);
/* Take the memory out: the caller frees it with mem_free; the buffer is empty afterwards. */
struct str buf_take(struct buf *b);

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->ptr, b->len};
}

#define BUF_AUTO __attribute__((cleanup(buf_release)))

#endif
