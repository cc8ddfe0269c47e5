#include "codec/protobuf.h"

#include <endian.h>

#include "codec/varint.h"

static bool take_fixed(struct str *rest, size_t bytes, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (rest->len < bytes)
        return false;
    memcpy(&value, rest->ptr, bytes);
    *ret_value = le64toh(value);
    *rest = str_skip(*rest, bytes);
    return true;
}

static bool take(struct str *rest, enum pb_wire wire, uint64_t *ret_value)
{
    switch (wire) {
    case PB_FIXED64: return take_fixed(rest, 8, ret_value);
    case PB_FIXED32: return take_fixed(rest, 4, ret_value);
    case PB_VARINT: return varint_u64_get(rest, ret_value) == ERR_OK;
    case PB_BYTES: break;
    }
    return false;
}

bool pb_packed(struct str *rest, enum pb_wire wire, uint64_t *ret_value)
{
    return take(rest, wire, ret_value);
}

static bool read_field(struct pb_reader *r, struct pb_field *field)
{
    uint64_t tag;
    uint64_t length;
    if (varint_u64_get(&r->rest, &tag) != ERR_OK || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3)
        return false;
    *field = (struct pb_field){.number = (uint32_t)(tag >> 3), .wire = (enum pb_wire)(tag & 7)};
    if (field->wire != PB_BYTES)
        return take(&r->rest, field->wire, &field->value);
    if (varint_u64_get(&r->rest, &length) != ERR_OK || length > r->rest.len)
        return false;
    field->bytes = str_take(r->rest, (size_t)length);
    r->rest = str_skip(r->rest, (size_t)length);
    return true;
}

bool pb_next(struct pb_reader *r, struct pb_field *ret_field)
{
    if (r->fault || r->rest.len == 0)
        return false;
    r->fault = !read_field(r, ret_field);
    return !r->fault;
}

double pb_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

int64_t pb_zigzag(uint64_t value)
{
    return varint_unzigzag(value);
}

/* ---- Writing ---- */

static void put_varint(struct buf *out, uint64_t value)
{
    char bytes[VARINT_MAX_BYTES];
    char *end = varint_u64_put(bytes, value);
    buf_append(out, bytes, (size_t)(end - bytes));
}

static void put_tag(struct buf *out, uint32_t number, enum pb_wire wire)
{
    put_varint(out, (uint64_t)number << 3 | wire);
}

void pb_write_varint(struct buf *out, uint32_t number, uint64_t value)
{
    put_tag(out, number, PB_VARINT);
    put_varint(out, value);
}

void pb_write_fixed64(struct buf *out, uint32_t number, uint64_t value)
{
    put_tag(out, number, PB_FIXED64);
    value = htole64(value);
    buf_append(out, &value, sizeof value);
}

void pb_write_fixed32(struct buf *out, uint32_t number, uint32_t value)
{
    put_tag(out, number, PB_FIXED32);
    value = htole32(value);
    buf_append(out, &value, sizeof value);
}

void pb_write_double(struct buf *out, uint32_t number, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    pb_write_fixed64(out, number, bits);
}

void pb_write_bytes(struct buf *out, uint32_t number, struct str bytes)
{
    put_tag(out, number, PB_BYTES);
    put_varint(out, bytes.len);
    buf_append_str(out, bytes);
}

size_t pb_begin(struct buf *out, uint32_t number)
{
    put_tag(out, number, PB_BYTES);
    buf_append_char(out, 0); /* the length, of which more digits are made room for at the end */
    return out->len;
}

void pb_end(struct buf *out, size_t begun)
{
    if (out->error != ERR_OK)
        return;
    size_t length = out->len - begun;
    size_t digits = varint_u64_size(length);
    char bytes[VARINT_MAX_BYTES];
    (void)varint_u64_put(bytes, length);
    if (digits > 1) {
        if (!buf_reserve(out, digits - 1))
            return;
        memmove(out->ptr + begun + digits - 1, out->ptr + begun, length);
        out->len += digits - 1;
    }
    memcpy(out->ptr + begun - 1, bytes, digits);
}
