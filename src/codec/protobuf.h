/* Protocol Buffers' wire form: a message is fields, one after another, each a number, a wire type
 * and a value (https://protobuf.dev/programming-guides/encoding/).
 *
 *   tag = number << 3 | wire      0 varint | 1 eight bytes | 2 length, bytes | 5 four bytes
 *
 * Reading allocates nothing: bytes are spans of the text. What a field means, and how deep messages
 * may nest, is the caller's business. Any thread. */
#ifndef WEIR_CODEC_PROTOBUF_H
#define WEIR_CODEC_PROTOBUF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_field {
    uint32_t number;
    enum pb_wire wire;
    uint64_t value;   /* of all wires but PB_BYTES */
    struct str bytes; /* of PB_BYTES */
};

struct pb_reader {
    struct str rest;
    bool fault; /* the text is no message; sticks */
};

static inline struct pb_reader pb_reader_of(struct str message)
{
    return (struct pb_reader){.rest = message};
}

/* The next field. False at the end, and at a fault: groups, which nobody writes any more, are one.
 */
bool pb_next(struct pb_reader *r, struct pb_field *ret_field);
/* Take one value off the front of a packed field. False: it ends inside one. Not empty. */
bool pb_packed(struct str *rest, enum pb_wire wire, uint64_t *ret_value);
double pb_double(uint64_t bits);
int64_t pb_zigzag(uint64_t value);

/* Writing. Errors stick in the buffer. */
void pb_write_varint(struct buf *out, uint32_t number, uint64_t value);
void pb_write_fixed64(struct buf *out, uint32_t number, uint64_t value);
void pb_write_fixed32(struct buf *out, uint32_t number, uint32_t value);
void pb_write_double(struct buf *out, uint32_t number, double value);
void pb_write_bytes(struct buf *out, uint32_t number, struct str bytes);
/* A message in a message: begin, write its fields, end with what begin returned. */
size_t pb_begin(struct buf *out, uint32_t number);
void pb_end(struct buf *out, size_t begun);

#endif
