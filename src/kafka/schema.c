#include "kafka/schema.h"

#include "base/assert.h"
#include "codec/endian.h"
#include "codec/varint.h"

enum {
    SCALAR_MAX_BYTES = 16,
    STRING_MAX_BYTES = INT16_MAX, /* where lengths are not compact */
};

/* What an array's two members are in every struct. */
struct array {
    char *items;
    int32_t count;
};

static const uint8_t wire_bytes[] = {
    [KAFKA_KIND_BOOL] = 1,  [KAFKA_KIND_INT8] = 1,  [KAFKA_KIND_INT16] = 2,
    [KAFKA_KIND_INT32] = 4, [KAFKA_KIND_INT64] = 8, [KAFKA_KIND_UUID] = 16,
};

static bool is_scalar(uint8_t kind)
{
    return kind <= KAFKA_KIND_UUID;
}

static size_t item_bytes(const struct kafka_field *f)
{
    if (f->kind == KAFKA_KIND_STRUCT)
        return f->of->size_bytes;
    if (f->kind == KAFKA_KIND_RECORDS)
        return sizeof(struct kafka_records);
    return is_scalar(f->kind) ? wire_bytes[f->kind] : sizeof(struct str);
}

static bool within(int16_t version, int16_t first, int16_t last)
{
    return version >= first && version <= last;
}

/* Defaults ------------------------------------------------------------------------------------ */

static void set_scalar(uint8_t kind, int64_t value, char *at)
{
    switch (kind) {
    case KAFKA_KIND_BOOL: *(bool *)at = value != 0; break;
    case KAFKA_KIND_INT8: *(int8_t *)at = (int8_t)value; break;
    case KAFKA_KIND_INT16: *(int16_t *)at = (int16_t)value; break;
    case KAFKA_KIND_INT32: *(int32_t *)at = (int32_t)value; break;
    case KAFKA_KIND_INT64: *(int64_t *)at = value; break;
    default: *(struct uuid *)at = (struct uuid){{0}}; break;
    }
}

static void set_defaults(const struct kafka_struct *of, char *message);

static void set_default(const struct kafka_field *f, char *message)
{
    char *at = message + f->at;
    bool null = f->flags & KAFKA_FIELD_NULL_BY_DEFAULT;
    if (f->flags & KAFKA_FIELD_ARRAY)
        *(struct array *)at = (struct array){NULL, null ? -1 : 0};
    else if (is_scalar(f->kind))
        set_scalar(f->kind, f->by_default, at);
    else if (f->kind == KAFKA_KIND_STRUCT)
        set_defaults(f->of, at);
    else if (f->kind == KAFKA_KIND_RECORDS)
        *(struct kafka_records *)at = (struct kafka_records){0};
    else
        *(struct str *)at = null ? STR_NONE : STR("");
}

static void set_defaults(const struct kafka_struct *of, char *message)
{
    for (size_t i = 0; i < of->count; i++)
        set_default(&of->fields[i], message);
}

void *kafka_new(const struct kafka_struct *of, struct arena *arena, size_t count)
{
    char *items = arena_alloc(arena, of->size_bytes * count);
    for (size_t i = 0; i < count; i++)
        set_defaults(of, items + i * of->size_bytes);
    return items;
}

/* Reading ------------------------------------------------------------------------------------- */

struct reader {
    struct str rest;
    int16_t version;
    bool flexible;
    struct arena *arena;
};

MUST_CHECK static enum err take(struct str *rest, size_t n, const char **ret_at)
{
    if (n > rest->len)
        return ERR_TRUNCATED;
    *ret_at = rest->ptr;
    *rest = str_skip(*rest, n);
    return ERR_OK;
}

MUST_CHECK static enum err read_scalar(struct reader *r, uint8_t kind, char *to)
{
    const char *at = NULL;
    TRY(take(&r->rest, wire_bytes[kind], &at));
    switch (kind) {
    case KAFKA_KIND_BOOL: *(bool *)to = *at != 0; break;
    case KAFKA_KIND_INT8: *(int8_t *)to = (int8_t)*at; break;
    case KAFKA_KIND_INT16: *(int16_t *)to = (int16_t)be16_get(at); break;
    case KAFKA_KIND_INT32: *(int32_t *)to = (int32_t)be32_get(at); break;
    case KAFKA_KIND_INT64: *(int64_t *)to = (int64_t)be64_get(at); break;
    default: memcpy(to, at, sizeof(struct uuid)); break;
    }
    return ERR_OK;
}

/* The length of a string, of bytes or of an array: -1 is null. */
MUST_CHECK static enum err read_length(struct reader *r, bool is_short, int32_t *ret_length)
{
    const char *at = NULL;
    if (r->flexible) {
        uint64_t n = 0;
        TRY(varint_u64_get(&r->rest, &n));
        if (n > (uint64_t)INT32_MAX + 1)
            return ERR_CORRUPT;
        *ret_length = (int32_t)((int64_t)n - 1);
        return ERR_OK;
    }
    TRY(take(&r->rest, is_short ? 2 : 4, &at));
    *ret_length = is_short ? (int16_t)be16_get(at) : (int32_t)be32_get(at);
    return *ret_length < -1 ? ERR_CORRUPT : ERR_OK;
}

MUST_CHECK static enum err read_str(struct reader *r, uint8_t kind, bool may_be_null,
                                    struct str *to)
{
    int32_t length = 0;
    const char *at = NULL;
    TRY(read_length(r, kind == KAFKA_KIND_STRING, &length));
    if (length < 0) {
        *to = STR_NONE;
        return may_be_null ? ERR_OK : ERR_CORRUPT;
    }
    TRY(take(&r->rest, (size_t)length, &at));
    *to = str_of(at, (size_t)length);
    return ERR_OK;
}

MUST_CHECK static enum err read_records(struct reader *r, struct kafka_records *to)
{
    struct str bytes = STR_NONE;
    TRY(read_str(r, KAFKA_KIND_BYTES, true, &bytes));
    *to = (struct kafka_records){bytes.ptr != NULL, (uint32_t)bytes.len, bytes.ptr};
    return ERR_OK;
}

MUST_CHECK static enum err read_struct(struct reader *r, const struct kafka_struct *of, char *to);

MUST_CHECK static enum err read_item(struct reader *r, const struct kafka_field *f,
                                     bool may_be_null, char *to)
{
    if (is_scalar(f->kind))
        return read_scalar(r, f->kind, to);
    if (f->kind == KAFKA_KIND_STRUCT)
        return read_struct(r, f->of, to);
    if (f->kind == KAFKA_KIND_RECORDS)
        return read_records(r, (struct kafka_records *)to);
    return read_str(r, f->kind, may_be_null, (struct str *)to);
}

MUST_CHECK static enum err read_array(struct reader *r, const struct kafka_field *f,
                                      bool may_be_null, struct array *to)
{
    int32_t count = 0;
    TRY(read_length(r, false, &count));
    *to = (struct array){NULL, count};
    if (count < 0)
        return may_be_null ? ERR_OK : ERR_CORRUPT;
    if ((size_t)count > r->rest.len) /* the smallest item takes a byte */
        return ERR_TRUNCATED;
    size_t size = item_bytes(f);
    if ((size_t)count * size > KAFKA_READ_ARENA_MAX_BYTES - r->arena->used_bytes)
        return ERR_TOO_LARGE;
    to->items = arena_alloc(r->arena, (size_t)count * size);
    for (int32_t i = 0; i < count; i++)
        TRY(read_item(r, f, false, to->items + (size_t)i * size));
    return ERR_OK;
}

MUST_CHECK static enum err read_field(struct reader *r, const struct kafka_field *f, char *message)
{
    bool may_be_null = within(r->version, f->null_first, f->null_last);
    char *at = message + f->at;
    if (f->flags & KAFKA_FIELD_ARRAY)
        return read_array(r, f, may_be_null, (struct array *)at);
    return read_item(r, f, may_be_null, at);
}

static const struct kafka_field *find_tag(const struct reader *r, const struct kafka_struct *of,
                                          uint64_t tag)
{
    for (size_t i = 0; i < of->count; i++) {
        const struct kafka_field *f = &of->fields[i];
        if (f->tag >= 0 && (uint64_t)f->tag == tag && within(r->version, f->first, f->last))
            return f;
    }
    return NULL;
}

/* Tagged fields end every flexible struct: count, then (tag, length, value)*; what is unknown is
 * stepped over. */
MUST_CHECK static enum err read_tags(struct reader *r, const struct kafka_struct *of, char *to)
{
    uint64_t count = 0;
    TRY(varint_u64_get(&r->rest, &count));
    for (uint64_t i = 0; i < count; i++) {
        uint64_t tag = 0;
        uint64_t length = 0;
        const char *at = NULL;
        TRY(varint_u64_get(&r->rest, &tag));
        TRY(varint_u64_get(&r->rest, &length));
        if (length > r->rest.len)
            return ERR_TRUNCATED;
        TRY(take(&r->rest, (size_t)length, &at));
        const struct kafka_field *f = of ? find_tag(r, of, tag) : NULL;
        if (!f)
            continue;
        struct reader inner = *r;
        inner.rest = str_of(at, (size_t)length);
        TRY(read_field(&inner, f, to));
        if (inner.rest.len > 0)
            return ERR_CORRUPT;
    }
    return ERR_OK;
}

static enum err read_struct(struct reader *r, const struct kafka_struct *of, char *to)
{
    for (size_t i = 0; i < of->count; i++) {
        const struct kafka_field *f = &of->fields[i];
        if (f->tag >= 0 || !within(r->version, f->first, f->last))
            set_default(f, to);
        else
            TRY(read_field(r, f, to));
    }
    return r->flexible ? read_tags(r, of, to) : ERR_OK;
}

enum err kafka_read(const struct kafka_struct *of, int16_t version, bool flexible, struct str bytes,
                    struct arena *arena, void **ret_message)
{
    struct reader r = {bytes, version, flexible, arena};
    void *message = arena_alloc(arena, of->size_bytes);
    TRY(read_struct(&r, of, message));
    *ret_message = message;
    return ERR_OK;
}

/* Writing ------------------------------------------------------------------------------------- */

static void write_varint(struct buf *out, uint64_t value)
{
    char bytes[VARINT_MAX_BYTES];
    buf_append(out, bytes, (size_t)(varint_u64_put(bytes, value) - bytes));
}

static void write_scalar(struct buf *out, uint8_t kind, const char *from)
{
    char bytes[SCALAR_MAX_BYTES];
    switch (kind) {
    case KAFKA_KIND_BOOL: bytes[0] = *(const bool *)from; break;
    case KAFKA_KIND_INT8: bytes[0] = *from; break;
    case KAFKA_KIND_INT16: be16_put(bytes, (uint16_t) * (const int16_t *)from); break;
    case KAFKA_KIND_INT32: be32_put(bytes, (uint32_t) * (const int32_t *)from); break;
    case KAFKA_KIND_INT64: be64_put(bytes, (uint64_t) * (const int64_t *)from); break;
    default: memcpy(bytes, from, sizeof(struct uuid)); break;
    }
    buf_append(out, bytes, wire_bytes[kind]);
}

/* length -1: null. */
static void write_length(const struct kafka_writer *w, bool is_short, int64_t length)
{
    char bytes[4];
    if (w->flexible) {
        write_varint(w->out, (uint64_t)(length + 1));
    } else if (is_short) {
        be16_put(bytes, (uint16_t)length);
        buf_append(w->out, bytes, 2);
    } else {
        be32_put(bytes, (uint32_t)length);
        buf_append(w->out, bytes, 4);
    }
}

static void write_str(const struct kafka_writer *w, uint8_t kind, bool may_be_null, struct str s)
{
    if (!s.ptr && may_be_null) {
        write_length(w, kind == KAFKA_KIND_STRING, -1);
        return;
    }
    if (kind == KAFKA_KIND_STRING && !w->flexible)
        s = str_take(s, STRING_MAX_BYTES);
    write_length(w, kind == KAFKA_KIND_STRING, (int64_t)s.len);
    buf_append_str(w->out, s);
}

static void write_records(const struct kafka_writer *w, const struct kafka_records *records)
{
    write_length(w, false, records->present ? (int64_t)records->length : -1);
    if (!records->present)
        return;
    if (w->records)
        w->records(w->arg, records);
    else
        buf_append(w->out, records->source, records->length);
}

static void write_item(const struct kafka_writer *w, const struct kafka_field *f, bool may_be_null,
                       const char *from)
{
    if (is_scalar(f->kind))
        write_scalar(w->out, f->kind, from);
    else if (f->kind == KAFKA_KIND_STRUCT)
        kafka_write(w, f->of, from);
    else if (f->kind == KAFKA_KIND_RECORDS)
        write_records(w, (const struct kafka_records *)from);
    else
        write_str(w, f->kind, may_be_null, *(const struct str *)from);
}

static void write_field(const struct kafka_writer *w, const struct kafka_field *f,
                        const char *message)
{
    bool may_be_null = within(w->version, f->null_first, f->null_last);
    const char *at = message + f->at;
    if (!(f->flags & KAFKA_FIELD_ARRAY)) {
        write_item(w, f, may_be_null, at);
        return;
    }
    const struct array *a = (const struct array *)at;
    int32_t count = a->count < 0 && !may_be_null ? 0 : a->count;
    write_length(w, false, count);
    for (int32_t i = 0; i < count; i++)
        write_item(w, f, false, a->items + (size_t)i * item_bytes(f));
}

static bool scalar_is(uint8_t kind, const char *at, int64_t value)
{
    static const struct uuid zero;
    switch (kind) {
    case KAFKA_KIND_BOOL: return *(const bool *)at == (value != 0);
    case KAFKA_KIND_INT8: return *(const int8_t *)at == value;
    case KAFKA_KIND_INT16: return *(const int16_t *)at == value;
    case KAFKA_KIND_INT32: return *(const int32_t *)at == value;
    case KAFKA_KIND_INT64: return *(const int64_t *)at == value;
    default: return memcmp(at, &zero, sizeof zero) == 0;
    }
}

/* A tagged field with its default is left out. */
static bool is_default(const struct kafka_field *f, const char *message)
{
    const char *at = message + f->at;
    if (f->flags & KAFKA_FIELD_ARRAY)
        return ((const struct array *)at)->count <= 0;
    if (is_scalar(f->kind))
        return scalar_is(f->kind, at, f->by_default);
    if (f->kind == KAFKA_KIND_RECORDS)
        return !((const struct kafka_records *)at)->present;
    if (f->kind != KAFKA_KIND_STRUCT)
        return ((const struct str *)at)->len == 0;
    for (size_t i = 0; i < f->of->count; i++)
        if (!is_default(&f->of->fields[i], at))
            return false;
    return true;
}

static bool is_tagged(const struct kafka_writer *w, const struct kafka_field *f,
                      const char *message)
{
    return f->tag >= 0 && within(w->version, f->first, f->last) && !is_default(f, message);
}

/* Its length comes before it and is known after it: the value is moved up to make room. */
static void write_tagged(const struct kafka_writer *w, const struct kafka_field *f,
                         const char *message)
{
    write_varint(w->out, (uint64_t)f->tag);
    size_t start = w->out->len;
    write_field(w, f, message);
    size_t length = w->out->len - start;
    size_t room = varint_u64_size(length);
    if (!buf_reserve(w->out, room))
        return;
    memmove(w->out->ptr + start + room, w->out->ptr + start, length);
    (void)varint_u64_put(w->out->ptr + start, length);
    w->out->len += room;
}

static void write_tags(const struct kafka_writer *w, const struct kafka_struct *of,
                       const char *message)
{
    uint64_t count = 0;
    for (size_t i = 0; i < of->count; i++)
        count += is_tagged(w, &of->fields[i], message);
    write_varint(w->out, count);
    for (int16_t tag = 0; count > 0; tag++) /* in ascending order */
        for (size_t i = 0; i < of->count; i++)
            if (of->fields[i].tag == tag && is_tagged(w, &of->fields[i], message)) {
                write_tagged(w, &of->fields[i], message);
                count--;
            }
}

void kafka_write(const struct kafka_writer *w, const struct kafka_struct *of, const void *message)
{
    for (size_t i = 0; i < of->count; i++) {
        const struct kafka_field *f = &of->fields[i];
        if (f->tag < 0 && within(w->version, f->first, f->last))
            write_field(w, f, message);
    }
    if (w->flexible)
        write_tags(w, of, message);
}

/* Headers ------------------------------------------------------------------------------------- */

enum err kafka_header_read(struct str *rest, struct kafka_header *ret_header)
{
    struct reader r = {.rest = *rest};
    struct kafka_header h = {0};
    TRY(read_scalar(&r, KAFKA_KIND_INT16, (char *)&h.key));
    TRY(read_scalar(&r, KAFKA_KIND_INT16, (char *)&h.version));
    TRY(read_scalar(&r, KAFKA_KIND_INT32, (char *)&h.correlation_id));
    TRY(read_str(&r, KAFKA_KIND_STRING, true, &h.client_id));
    const struct kafka_api *api = kafka_api_find(h.key);
    if (api && kafka_api_flexible(api, h.version)) {
        r.flexible = true;
        TRY(read_tags(&r, NULL, NULL));
    }
    *rest = r.rest;
    *ret_header = h;
    return ERR_OK;
}

void kafka_header_write(struct buf *out, const struct kafka_api *api, int16_t version,
                        int32_t correlation_id)
{
    enum { API_VERSIONS = 18 };
    write_scalar(out, KAFKA_KIND_INT32, (const char *)&correlation_id);
    if (kafka_api_flexible(api, version) && api->key != API_VERSIONS)
        buf_append_char(out, 0);
}
