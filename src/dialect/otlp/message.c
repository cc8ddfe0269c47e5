/* Messages by tables of fields, from protobuf and from JSON. */
#include "codec/base64.h"
#include "codec/digest.h"
#include "codec/json_scan.h"
#include "codec/protobuf.h"
#include "dialect/otlp/otlp.h"

enum type {
    END,
    TEXT,
    ID, /* bytes; in JSON hexadecimal */
    VARINT,
    SINT, /* zigzag */
    FIXED32,
    FIXED64,
    SFIXED64,
    DOUBLE,
    BOOL,
    MESSAGE,    /* part of the struct */
    LIST,       /* of messages: struct otlp_list */
    ATTRIBUTES, /* struct otlp_attributes */
    VALUE,      /* struct otlp_value */
    FIXED64S,   /* struct otlp_numbers, packed */
    VARINTS,
    DOUBLES,
};

struct message;

struct field {
    uint8_t number;
    uint8_t type;
    uint8_t seen; /* bits to set in the struct's first member; 0: none */
    uint16_t offset;
    struct str name;
    const struct message *message; /* of MESSAGE and LIST */
};

struct message {
    size_t size; /* of an element of a LIST */
    const struct field *fields;
};

struct decoder {
    struct arena *arena;
    unsigned values; /* made so far */
    enum err error;
};

#define AT(type, number, struct_name, member, json)                                                \
    {                                                                                              \
        number, type, 0, offsetof(struct struct_name, member), STR_INIT(json), NULL                \
    }
#define AT_SEEN(type, number, struct_name, member, json, seen)                                     \
    {                                                                                              \
        number, type, seen, offsetof(struct struct_name, member), STR_INIT(json), NULL             \
    }
#define AT_MESSAGE(type, number, struct_name, member, json, message)                               \
    {                                                                                              \
        number, type, 0, offsetof(struct struct_name, member), STR_INIT(json), &(message)          \
    }
#define FIELDS_END                                                                                 \
    {                                                                                              \
        .type = END                                                                                \
    }

static const struct field resource_fields[] = {
    AT(ATTRIBUTES, 1, otlp_resource, attributes, "attributes"),
    FIELDS_END,
};
static const struct message resource_message = {sizeof(struct otlp_resource), resource_fields};

static const struct field scope_fields[] = {
    AT(TEXT, 1, otlp_scope, name, "name"),
    AT(TEXT, 2, otlp_scope, version, "version"),
    AT(ATTRIBUTES, 3, otlp_scope, attributes, "attributes"),
    FIELDS_END,
};
static const struct message scope_message = {sizeof(struct otlp_scope), scope_fields};

static const struct field event_fields[] = {
    AT(FIXED64, 1, otlp_event, time_ns, "timeUnixNano"),
    AT(TEXT, 2, otlp_event, name, "name"),
    AT(ATTRIBUTES, 3, otlp_event, attributes, "attributes"),
    AT(VARINT, 4, otlp_event, dropped_attributes, "droppedAttributesCount"),
    FIELDS_END,
};
static const struct message event_message = {sizeof(struct otlp_event), event_fields};

static const struct field link_fields[] = {
    AT(ID, 1, otlp_link, trace_id, "traceId"),
    AT(ID, 2, otlp_link, span_id, "spanId"),
    AT(TEXT, 3, otlp_link, trace_state, "traceState"),
    AT(ATTRIBUTES, 4, otlp_link, attributes, "attributes"),
    AT(VARINT, 5, otlp_link, dropped_attributes, "droppedAttributesCount"),
    AT(FIXED32, 6, otlp_link, flags, "flags"),
    FIELDS_END,
};
static const struct message link_message = {sizeof(struct otlp_link), link_fields};

static const struct field status_fields[] = {
    AT(TEXT, 2, otlp_status, message, "message"),
    AT(VARINT, 3, otlp_status, code, "code"),
    FIELDS_END,
};
static const struct message status_message = {sizeof(struct otlp_status), status_fields};

static const struct field span_fields[] = {
    AT(ID, 1, otlp_span, trace_id, "traceId"),
    AT(ID, 2, otlp_span, span_id, "spanId"),
    AT(TEXT, 3, otlp_span, trace_state, "traceState"),
    AT(ID, 4, otlp_span, parent_span_id, "parentSpanId"),
    AT(TEXT, 5, otlp_span, name, "name"),
    AT(VARINT, 6, otlp_span, kind, "kind"),
    AT(FIXED64, 7, otlp_span, start_ns, "startTimeUnixNano"),
    AT(FIXED64, 8, otlp_span, end_ns, "endTimeUnixNano"),
    AT(ATTRIBUTES, 9, otlp_span, attributes, "attributes"),
    AT(VARINT, 10, otlp_span, dropped_attributes, "droppedAttributesCount"),
    AT_MESSAGE(LIST, 11, otlp_span, events, "events", event_message),
    AT(VARINT, 12, otlp_span, dropped_events, "droppedEventsCount"),
    AT_MESSAGE(LIST, 13, otlp_span, links, "links", link_message),
    AT(VARINT, 14, otlp_span, dropped_links, "droppedLinksCount"),
    AT_MESSAGE(MESSAGE, 15, otlp_span, status, "status", status_message),
    AT(FIXED32, 16, otlp_span, flags, "flags"),
    FIELDS_END,
};
static const struct message span_message = {sizeof(struct otlp_span), span_fields};

static const struct field log_fields[] = {
    AT(FIXED64, 1, otlp_log, time_ns, "timeUnixNano"),
    AT(FIXED64, 11, otlp_log, observed_ns, "observedTimeUnixNano"),
    AT(VARINT, 2, otlp_log, severity_number, "severityNumber"),
    AT(TEXT, 3, otlp_log, severity_text, "severityText"),
    AT(VALUE, 5, otlp_log, body, "body"),
    AT(ATTRIBUTES, 6, otlp_log, attributes, "attributes"),
    AT(VARINT, 7, otlp_log, dropped_attributes, "droppedAttributesCount"),
    AT(FIXED32, 8, otlp_log, flags, "flags"),
    AT(ID, 9, otlp_log, trace_id, "traceId"),
    AT(ID, 10, otlp_log, span_id, "spanId"),
    AT(TEXT, 12, otlp_log, event_name, "eventName"),
    FIELDS_END,
};
static const struct message log_message = {sizeof(struct otlp_log), log_fields};

static const struct field number_point_fields[] = {
    AT(ATTRIBUTES, 7, otlp_point, attributes, "attributes"),
    AT(FIXED64, 2, otlp_point, start_ns, "startTimeUnixNano"),
    AT(FIXED64, 3, otlp_point, time_ns, "timeUnixNano"),
    AT_SEEN(DOUBLE, 4, otlp_point, as_double, "asDouble", OTLP_SEEN_DOUBLE),
    AT_SEEN(SFIXED64, 6, otlp_point, as_int, "asInt", OTLP_SEEN_INT),
    AT(VARINT, 8, otlp_point, flags, "flags"),
    FIELDS_END,
};
static const struct message number_point = {sizeof(struct otlp_point), number_point_fields};

static const struct field histogram_point_fields[] = {
    AT(ATTRIBUTES, 9, otlp_point, attributes, "attributes"),
    AT(FIXED64, 2, otlp_point, start_ns, "startTimeUnixNano"),
    AT(FIXED64, 3, otlp_point, time_ns, "timeUnixNano"),
    AT(FIXED64, 4, otlp_point, count, "count"),
    AT_SEEN(DOUBLE, 5, otlp_point, sum, "sum", OTLP_SEEN_SUM),
    AT(FIXED64S, 6, otlp_point, bucket_counts, "bucketCounts"),
    AT(DOUBLES, 7, otlp_point, bounds, "explicitBounds"),
    AT(VARINT, 10, otlp_point, flags, "flags"),
    AT_SEEN(DOUBLE, 11, otlp_point, min, "min", OTLP_SEEN_MIN),
    AT_SEEN(DOUBLE, 12, otlp_point, max, "max", OTLP_SEEN_MAX),
    FIELDS_END,
};
static const struct message histogram_point = {sizeof(struct otlp_point), histogram_point_fields};

static const struct field buckets_fields[] = {
    AT(SINT, 1, otlp_buckets, offset, "offset"),
    AT(VARINTS, 2, otlp_buckets, counts, "bucketCounts"),
    FIELDS_END,
};
static const struct message buckets_message = {sizeof(struct otlp_buckets), buckets_fields};

static const struct field exponential_point_fields[] = {
    AT(ATTRIBUTES, 1, otlp_point, attributes, "attributes"),
    AT(FIXED64, 2, otlp_point, start_ns, "startTimeUnixNano"),
    AT(FIXED64, 3, otlp_point, time_ns, "timeUnixNano"),
    AT(FIXED64, 4, otlp_point, count, "count"),
    AT_SEEN(DOUBLE, 5, otlp_point, sum, "sum", OTLP_SEEN_SUM),
    AT(SINT, 6, otlp_point, scale, "scale"),
    AT(FIXED64, 7, otlp_point, zero_count, "zeroCount"),
    AT_MESSAGE(MESSAGE, 8, otlp_point, positive, "positive", buckets_message),
    AT_MESSAGE(MESSAGE, 9, otlp_point, negative, "negative", buckets_message),
    AT(VARINT, 10, otlp_point, flags, "flags"),
    AT_SEEN(DOUBLE, 12, otlp_point, min, "min", OTLP_SEEN_MIN),
    AT_SEEN(DOUBLE, 13, otlp_point, max, "max", OTLP_SEEN_MAX),
    AT(DOUBLE, 14, otlp_point, zero_threshold, "zeroThreshold"),
    FIELDS_END,
};
static const struct message exponential_point = {sizeof(struct otlp_point),
                                                 exponential_point_fields};

static const struct field quantile_fields[] = {
    AT(DOUBLE, 1, otlp_quantile, quantile, "quantile"),
    AT(DOUBLE, 2, otlp_quantile, value, "value"),
    FIELDS_END,
};
static const struct message quantile_message = {sizeof(struct otlp_quantile), quantile_fields};

static const struct field summary_point_fields[] = {
    AT(ATTRIBUTES, 7, otlp_point, attributes, "attributes"),
    AT(FIXED64, 2, otlp_point, start_ns, "startTimeUnixNano"),
    AT(FIXED64, 3, otlp_point, time_ns, "timeUnixNano"),
    AT(FIXED64, 4, otlp_point, count, "count"),
    AT_SEEN(DOUBLE, 5, otlp_point, sum, "sum", OTLP_SEEN_SUM),
    AT_MESSAGE(LIST, 6, otlp_point, quantiles, "quantileValues", quantile_message),
    AT(VARINT, 8, otlp_point, flags, "flags"),
    FIELDS_END,
};
static const struct message summary_point = {sizeof(struct otlp_point), summary_point_fields};

#define POINTS(name, point)                                                                        \
    static const struct field name##_fields[] = {                                                  \
        AT_MESSAGE(LIST, 1, otlp_points, points, "dataPoints", point),                             \
        AT(VARINT, 2, otlp_points, temporality, "aggregationTemporality"),                         \
        AT(BOOL, 3, otlp_points, monotonic, "isMonotonic"), FIELDS_END};                           \
    static const struct message name##_message = {sizeof(struct otlp_points), name##_fields}

POINTS(number, number_point);
POINTS(histogram, histogram_point);
POINTS(exponential, exponential_point);
POINTS(summary, summary_point);

static const struct field metric_fields[] = {
    AT(TEXT, 1, otlp_metric, name, "name"),
    AT(TEXT, 2, otlp_metric, description, "description"),
    AT(TEXT, 3, otlp_metric, unit, "unit"),
    AT_MESSAGE(MESSAGE, 5, otlp_metric, gauge, "gauge", number_message),
    AT_MESSAGE(MESSAGE, 7, otlp_metric, sum, "sum", number_message),
    AT_MESSAGE(MESSAGE, 9, otlp_metric, histogram, "histogram", histogram_message),
    AT_MESSAGE(MESSAGE, 10, otlp_metric, exponential, "exponentialHistogram", exponential_message),
    AT_MESSAGE(MESSAGE, 11, otlp_metric, summary, "summary", summary_message),
    FIELDS_END,
};
static const struct message metric_message = {sizeof(struct otlp_metric), metric_fields};

/* ---- What both forms need ---- */

static bool fail(struct decoder *d, enum err error)
{
    if (d->error == ERR_OK)
        d->error = error;
    return false;
}

/* Room for one more element. */
static void *grow(struct decoder *d, void **at, size_t *count, size_t *room, size_t size)
{
    if (++d->values > OTLP_VALUES_MAX) {
        (void)fail(d, ERR_TOO_LARGE);
        return NULL;
    }
    if (*count == *room) {
        size_t wanted = *room ? *room * 2 : 8;
        char *grown = arena_alloc(d->arena, wanted * size);
        if (*count)
            memcpy(grown, *at, *count * size);
        *at = grown;
        *room = wanted;
    }
    return (char *)*at + (*count)++ * size;
}

static struct otlp_attribute *grow_attributes(struct decoder *d, struct otlp_attributes *a)
{
    void *at = a->at;
    struct otlp_attribute *added = grow(d, &at, &a->count, &a->room, sizeof *a->at);
    a->at = at;
    return added;
}

static bool add_number(struct decoder *d, struct otlp_numbers *n, uint64_t value)
{
    void *at = n->at;
    uint64_t *added = grow(d, &at, &n->count, &n->room, sizeof *n->at);
    n->at = at;
    if (added)
        *added = value;
    return added != NULL;
}

static void set_seen(void *into, const struct field *f)
{
    if (f->seen)
        *(uint64_t *)into |= f->seen;
}

const struct otlp_value *otlp_find(const struct otlp_attributes *a, struct str key)
{
    for (size_t i = 0; i < a->count; i++)
        if (str_eq(a->at[i].key, key))
            return &a->at[i].value;
    return NULL;
}

/* ---- Protobuf ---- */

static bool pb_read(struct decoder *d, const struct message *m, struct str text, void *into);
static bool pb_attribute(struct decoder *d, struct str text, unsigned depth,
                         struct otlp_attribute *into);

static bool pb_items(struct decoder *d, struct str text, unsigned depth, bool map,
                     struct otlp_value *into);

/* AnyValue. */
static bool pb_value(struct decoder *d, struct str text, unsigned depth, struct otlp_value *into)
{
    struct pb_reader r = pb_reader_of(text);
    struct pb_field f;
    if (depth == 0)
        return fail(d, ERR_TOO_LARGE);
    while (pb_next(&r, &f)) {
        bool bytes = f.wire == PB_BYTES;
        if ((f.number == 1 || f.number == 7) && bytes)
            *into = (struct otlp_value){.kind = f.number == 1 ? OTLP_STRING : OTLP_BYTES,
                                        .text = f.bytes};
        else if (f.number == 2 && f.wire == PB_VARINT)
            *into = (struct otlp_value){.kind = OTLP_BOOL, .flag = f.value != 0};
        else if (f.number == 3 && f.wire == PB_VARINT)
            *into = (struct otlp_value){.kind = OTLP_INT, .number = (int64_t)f.value};
        else if (f.number == 4 && f.wire == PB_FIXED64)
            *into = (struct otlp_value){.kind = OTLP_DOUBLE, .real = pb_double(f.value)};
        else if ((f.number == 5 || f.number == 6) && bytes &&
                 !pb_items(d, f.bytes, depth - 1, f.number == 6, into))
            return false;
    }
    return r.fault ? fail(d, ERR_INVALID) : true;
}

/* ArrayValue, KeyValueList. */
static bool pb_items(struct decoder *d, struct str text, unsigned depth, bool map,
                     struct otlp_value *into)
{
    struct pb_reader r = pb_reader_of(text);
    struct pb_field f;
    into->kind = map ? OTLP_MAP : OTLP_ARRAY;
    into->items = ARENA_NEW(d->arena, struct otlp_attributes);
    while (pb_next(&r, &f)) {
        if (f.number != 1 || f.wire != PB_BYTES)
            continue;
        struct otlp_attribute *added = grow_attributes(d, into->items);
        if (!added || !(map ? pb_attribute(d, f.bytes, depth, added)
                            : pb_value(d, f.bytes, depth, &added->value)))
            return false;
    }
    return r.fault ? fail(d, ERR_INVALID) : true;
}

/* KeyValue. */
static bool pb_attribute(struct decoder *d, struct str text, unsigned depth,
                         struct otlp_attribute *into)
{
    struct pb_reader r = pb_reader_of(text);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (f.wire != PB_BYTES)
            continue;
        if (f.number == 1)
            into->key = f.bytes;
        else if (f.number == 2 && !pb_value(d, f.bytes, depth, &into->value))
            return false;
    }
    return r.fault ? fail(d, ERR_INVALID) : true;
}

/* Repeated numbers come packed or one by one. */
static bool pb_numbers(struct decoder *d, enum pb_wire wire, const struct pb_field *from,
                       struct otlp_numbers *into)
{
    struct str rest = from->bytes;
    if (from->wire == wire)
        return add_number(d, into, from->value);
    while (rest.len) {
        uint64_t value;
        if (!pb_packed(&rest, wire, &value))
            return fail(d, ERR_TRUNCATED);
        if (!add_number(d, into, value))
            return false;
    }
    return true;
}

static enum pb_wire wire_of(enum type type)
{
    switch (type) {
    case VARINT:
    case SINT:
    case BOOL: return PB_VARINT;
    case FIXED32: return PB_FIXED32;
    case FIXED64:
    case SFIXED64:
    case DOUBLE: return PB_FIXED64;
    default: return PB_BYTES;
    }
}

static void pb_scalar(const struct field *f, const struct pb_field *from, void *at)
{
    switch ((enum type)f->type) {
    case TEXT:
    case ID: *(struct str *)at = from->bytes; break;
    case VARINT:
    case FIXED32:
    case FIXED64: *(uint64_t *)at = from->value; break;
    case SFIXED64: *(int64_t *)at = (int64_t)from->value; break;
    case SINT: *(int64_t *)at = pb_zigzag(from->value); break;
    case DOUBLE: *(double *)at = pb_double(from->value); break;
    case BOOL: *(bool *)at = from->value != 0; break;
    default: break;
    }
}

static bool pb_list_element(struct decoder *d, const struct field *f, struct str text,
                            struct otlp_list *list)
{
    void *added = grow(d, &list->at, &list->count, &list->room, f->message->size);
    return added && pb_read(d, f->message, text, added);
}

static bool pb_member(struct decoder *d, const struct field *f, const struct pb_field *from,
                      void *into)
{
    void *at = (char *)into + f->offset;
    if (f->type == FIXED64S || f->type == DOUBLES)
        return pb_numbers(d, PB_FIXED64, from, at);
    if (f->type == VARINTS)
        return pb_numbers(d, PB_VARINT, from, at);
    if (from->wire != wire_of((enum type)f->type))
        return fail(d, ERR_INVALID);
    set_seen(into, f);
    struct otlp_attribute *added;
    switch ((enum type)f->type) {
    case MESSAGE: return pb_read(d, f->message, from->bytes, at);
    case LIST: return pb_list_element(d, f, from->bytes, at);
    case VALUE: return pb_value(d, from->bytes, OTLP_DEPTH_MAX, at);
    case ATTRIBUTES:
        added = grow_attributes(d, at);
        return added && pb_attribute(d, from->bytes, OTLP_DEPTH_MAX, added);
    default: pb_scalar(f, from, at); return true;
    }
}

static bool pb_read(struct decoder *d, const struct message *m, struct str text, void *into)
{
    struct pb_reader r = pb_reader_of(text);
    struct pb_field from;
    while (pb_next(&r, &from)) {
        const struct field *f = m->fields;
        while (f->type != END && f->number != from.number)
            f++;
        if (f->type != END && !pb_member(d, f, &from, into))
            return false;
    }
    return r.fault ? fail(d, ERR_TRUNCATED) : true;
}

/* ---- JSON ---- */

static bool json_read(struct decoder *d, const struct message *m, struct json_reader *r,
                      void *into);

/* Integers may be texts: JSON's numbers are doubles to many. */
static bool json_integer(struct decoder *d, const struct json_value *value, bool is_signed,
                         uint64_t *ret_value)
{
    struct str text = value->kind == JSON_STRING ? json_text_raw(value) : value->raw;
    int64_t number = 0;
    if (value->kind == JSON_NULL)
        return true;
    if (!is_signed && str_to_u64(text, ret_value) == ERR_OK)
        return true;
    if (str_to_i64(text, &number) != ERR_OK && json_to_i64(value, &number) != ERR_OK)
        return fail(d, ERR_INVALID);
    if (!is_signed && number < 0)
        return fail(d, ERR_INVALID);
    *ret_value = (uint64_t)number;
    return true;
}

static bool json_real(struct decoder *d, const struct json_value *value, double *ret_value)
{
    static const struct {
        struct str name;
        double value;
    } words[] = {{STR_INIT("NaN"), __builtin_nan("")},
                 {STR_INIT("Infinity"), __builtin_inf()},
                 {STR_INIT("-Infinity"), -__builtin_inf()}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (json_eq(value, words[i].name)) {
            *ret_value = words[i].value;
            return true;
        }
    struct json_value number = *value;
    if (value->kind == JSON_STRING && json_validate(json_text_raw(value), 1, &number) != ERR_OK)
        return fail(d, ERR_INVALID);
    return json_to_double(&number, ret_value) == ERR_OK || value->kind == JSON_NULL ||
           fail(d, ERR_INVALID);
}

static bool json_hex(struct decoder *d, const struct json_value *value, struct str *ret_bytes)
{
    struct str text = json_text(value, d->arena);
    uint8_t *bytes = arena_alloc(d->arena, text.len / 2 + 1);
    if (value->kind == JSON_NULL)
        return true;
    if (value->kind != JSON_STRING || text.len % 2 || hex_decode(text, bytes, text.len / 2))
        return fail(d, ERR_INVALID);
    *ret_bytes = str_of((const char *)bytes, text.len / 2);
    return true;
}

static bool json_base64(struct decoder *d, const struct json_value *value, struct str *ret_bytes)
{
    struct buf bytes BUF_AUTO;
    buf_init(&bytes, OTLP_ITEM_BYTES_MAX);
    if (base64_decode(json_text(value, d->arena), &bytes) != ERR_OK)
        return fail(d, ERR_INVALID);
    *ret_bytes = arena_str(d->arena, buf_str(&bytes));
    return true;
}

static bool json_any(struct decoder *d, struct json_reader *r, unsigned depth,
                     struct otlp_value *into);

/* An array of KeyValue objects. */
static bool json_attributes(struct decoder *d, struct json_reader *r, unsigned depth,
                            struct otlp_attributes *into)
{
    struct json_value key;
    if (json_peek(r) == JSON_NULL) {
        (void)json_take(r);
        return true;
    }
    if (!json_enter(r, JSON_ARRAY))
        return fail(d, ERR_INVALID);
    while (json_next_element(r)) {
        struct otlp_attribute *added = grow_attributes(d, into);
        if (!added || !json_enter(r, JSON_OBJECT))
            return fail(d, ERR_INVALID);
        while (json_next_member(r, &key)) {
            if (json_eq(&key, STR("key"))) {
                struct json_value name = json_take(r);
                added->key = json_text(&name, d->arena);
            } else if (json_eq(&key, STR("value")) && !json_any(d, r, depth, &added->value)) {
                return false;
            }
        }
    }
    return true;
}

/* {"values": […]} of an array or a map. */
static bool json_items(struct decoder *d, struct json_reader *r, unsigned depth, bool map,
                       struct otlp_value *into)
{
    struct json_value key;
    into->kind = map ? OTLP_MAP : OTLP_ARRAY;
    into->items = ARENA_NEW(d->arena, struct otlp_attributes);
    if (!json_enter(r, JSON_OBJECT))
        return fail(d, ERR_INVALID);
    while (json_next_member(r, &key)) {
        if (!json_eq(&key, STR("values")))
            continue;
        if (map) {
            if (!json_attributes(d, r, depth, into->items))
                return false;
            continue;
        }
        if (!json_enter(r, JSON_ARRAY))
            return fail(d, ERR_INVALID);
        while (json_next_element(r)) {
            struct otlp_attribute *added = grow_attributes(d, into->items);
            if (!added || !json_any(d, r, depth, &added->value))
                return false;
        }
    }
    return true;
}

static bool json_any_scalar(struct decoder *d, const struct json_value *key,
                            const struct json_value *value, struct otlp_value *into)
{
    if (json_eq(key, STR("stringValue"))) {
        *into = (struct otlp_value){.kind = OTLP_STRING, .text = json_text(value, d->arena)};
        return value->kind == JSON_STRING || fail(d, ERR_INVALID);
    }
    if (json_eq(key, STR("boolValue"))) {
        into->kind = OTLP_BOOL;
        return json_to_bool(value, &into->flag) == ERR_OK || fail(d, ERR_INVALID);
    }
    if (json_eq(key, STR("intValue"))) {
        into->kind = OTLP_INT;
        return json_integer(d, value, true, (uint64_t *)&into->number);
    }
    if (json_eq(key, STR("doubleValue"))) {
        into->kind = OTLP_DOUBLE;
        return json_real(d, value, &into->real);
    }
    if (json_eq(key, STR("bytesValue"))) {
        into->kind = OTLP_BYTES;
        return json_base64(d, value, &into->text);
    }
    return true;
}

static bool json_any(struct decoder *d, struct json_reader *r, unsigned depth,
                     struct otlp_value *into)
{
    struct json_value key;
    if (depth == 0)
        return fail(d, ERR_TOO_LARGE);
    if (json_peek(r) == JSON_NULL) {
        (void)json_take(r);
        return true;
    }
    if (!json_enter(r, JSON_OBJECT))
        return fail(d, ERR_INVALID);
    while (json_next_member(r, &key)) {
        bool map = json_eq(&key, STR("kvlistValue"));
        if (map || json_eq(&key, STR("arrayValue"))) {
            if (!json_items(d, r, depth - 1, map, into))
                return false;
            continue;
        }
        struct json_value value = json_take(r);
        if (!json_any_scalar(d, &key, &value, into))
            return false;
    }
    return true;
}

static bool json_numbers(struct decoder *d, struct json_reader *r, enum type type,
                         struct otlp_numbers *into)
{
    if (!json_enter(r, JSON_ARRAY))
        return fail(d, ERR_INVALID);
    while (json_next_element(r)) {
        struct json_value value = json_take(r);
        uint64_t bits = 0;
        double real = 0;
        bool good =
            type == DOUBLES ? json_real(d, &value, &real) : json_integer(d, &value, false, &bits);
        if (type == DOUBLES)
            memcpy(&bits, &real, sizeof bits);
        if (!good || !add_number(d, into, bits))
            return false;
    }
    return true;
}

static bool json_list(struct decoder *d, const struct field *f, struct json_reader *r,
                      struct otlp_list *list)
{
    if (!json_enter(r, JSON_ARRAY))
        return fail(d, ERR_INVALID);
    while (json_next_element(r)) {
        void *added = grow(d, &list->at, &list->count, &list->room, f->message->size);
        if (!added || !json_read(d, f->message, r, added))
            return false;
    }
    return true;
}

static bool json_scalar(struct decoder *d, const struct field *f, const struct json_value *value,
                        void *at)
{
    switch ((enum type)f->type) {
    case TEXT:
        *(struct str *)at = json_text(value, d->arena);
        return value->kind == JSON_STRING || fail(d, ERR_INVALID);
    case ID: return json_hex(d, value, at);
    case SINT:
    case SFIXED64: return json_integer(d, value, true, at);
    case DOUBLE: return json_real(d, value, at);
    case BOOL: return json_to_bool(value, at) == ERR_OK || fail(d, ERR_INVALID);
    default: return json_integer(d, value, false, at);
    }
}

static bool json_member(struct decoder *d, const struct field *f, struct json_reader *r, void *into)
{
    void *at = (char *)into + f->offset;
    if (json_peek(r) == JSON_NULL) {
        (void)json_take(r);
        return true;
    }
    set_seen(into, f);
    switch ((enum type)f->type) {
    case MESSAGE: return json_read(d, f->message, r, at);
    case LIST: return json_list(d, f, r, at);
    case VALUE: return json_any(d, r, OTLP_DEPTH_MAX, at);
    case ATTRIBUTES: return json_attributes(d, r, OTLP_DEPTH_MAX, at);
    case FIXED64S:
    case VARINTS:
    case DOUBLES: return json_numbers(d, r, (enum type)f->type, at);
    default: {
        struct json_value value = json_take(r);
        return json_scalar(d, f, &value, at);
    }
    }
}

static bool json_read(struct decoder *d, const struct message *m, struct json_reader *r, void *into)
{
    struct json_value key;
    if (!json_enter(r, JSON_OBJECT))
        return fail(d, ERR_INVALID);
    while (json_next_member(r, &key)) {
        const struct field *f = m->fields;
        while (f->type != END && !json_eq(&key, f->name))
            f++;
        if (f->type != END && !json_member(d, f, r, into))
            return false;
    }
    return true;
}

/* ---- One message ---- */

enum { NESTING_MAX = 4 * OTLP_DEPTH_MAX + 32 };

static enum err read_message(enum otlp_form form, const struct message *m, struct str text,
                             struct arena *a, void *into)
{
    struct decoder d = {.arena = a};
    if (text.len > OTLP_ITEM_BYTES_MAX)
        return ERR_TOO_LARGE;
    if (form == OTLP_PROTOBUF) {
        (void)pb_read(&d, m, text, into);
        return d.error;
    }
    struct json_reader r;
    json_reader_init(&r, text, NESTING_MAX);
    if (json_read(&d, m, &r, into) && !json_finish(&r))
        d.error = json_reader_error(&r);
    return d.error;
}

enum err otlp_span_read(const struct otlp_item *item, struct arena *a, struct otlp_span *ret_span)
{
    *ret_span = (struct otlp_span){.kind = 0};
    return read_message(item->form, &span_message, item->raw, a, ret_span);
}

enum err otlp_log_read(const struct otlp_item *item, struct arena *a, struct otlp_log *ret_log)
{
    *ret_log = (struct otlp_log){.time_ns = 0};
    return read_message(item->form, &log_message, item->raw, a, ret_log);
}

enum err otlp_metric_read(const struct otlp_item *item, struct arena *a,
                          struct otlp_metric *ret_metric)
{
    *ret_metric = (struct otlp_metric){.name = STR_NONE};
    return read_message(item->form, &metric_message, item->raw, a, ret_metric);
}

/* ---- A request ---- */

struct walk {
    enum otlp_form form;
    struct arena *lasting;
    enum err (*fn)(void *arg, const struct otlp_item *item);
    void *arg;
    struct buf *detail;
    struct str names[3]; /* of the three levels, in JSON */
    struct otlp_item item;
};

/* What a level holds: what describes it, and the list of the next level. */
struct level {
    struct str about; /* resource or scope */
    struct str schema_url;
    struct str lists; /* of JSON: the array */
    struct str text;  /* of protobuf: the message, whose fields 2 are the list */
};

static enum err wrong(const struct walk *w, const char *what)
{
    buf_printf(w->detail, "%s", what);
    return ERR_INVALID;
}

static enum err read_level(const struct walk *w, struct str text, const char *about, unsigned depth,
                           struct level *ret_level)
{
    struct level l = {.text = text};
    if (w->form == OTLP_PROTOBUF) {
        struct pb_reader r = pb_reader_of(text);
        struct pb_field f;
        while (pb_next(&r, &f)) {
            if (f.number <= 3 && f.wire != PB_BYTES)
                return wrong(w, "a field that should be a message is none");
            if (f.number == 1)
                l.about = f.bytes;
            else if (f.number == 3)
                l.schema_url = f.bytes;
        }
        *ret_level = l;
        return r.fault ? wrong(w, "it is no protobuf message of that kind") : ERR_OK;
    }
    struct json_reader r;
    struct json_value key;
    json_reader_init(&r, text, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return wrong(w, "an object is missing");
    while (json_next_member(&r, &key)) {
        struct json_value value = json_take(&r);
        if (json_eq(&key, str_from_c(about)))
            l.about = value.raw;
        else if (json_eq(&key, STR("schemaUrl")))
            l.schema_url = json_text(&value, w->lasting);
        else if (json_eq(&key, w->names[depth]))
            l.lists = value.raw;
    }
    *ret_level = l;
    return ERR_OK;
}

/* Each element of the list in a level. */
static enum err each(struct walk *w, const struct level *l, uint32_t number,
                     enum err (*fn)(struct walk *w, struct str text))
{
    if (w->form == OTLP_PROTOBUF) {
        struct pb_reader r = pb_reader_of(l->text);
        struct pb_field f;
        while (pb_next(&r, &f))
            if (f.number == number && f.wire == PB_BYTES)
                TRY(fn(w, f.bytes));
        return r.fault ? wrong(w, "it is no protobuf message of that kind") : ERR_OK;
    }
    if (!l->lists.len || str_eq(l->lists, STR("null")))
        return ERR_OK;
    struct json_reader r;
    json_reader_init(&r, l->lists, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return wrong(w, "a list is missing");
    while (json_next_element(&r)) {
        struct json_value value = json_take(&r);
        TRY(fn(w, value.raw));
    }
    return ERR_OK;
}

static enum err on_item(struct walk *w, struct str text)
{
    w->item.raw = text;
    return w->fn(w->arg, &w->item);
}

static enum err on_scope(struct walk *w, struct str text)
{
    struct level l = {.about = STR_NONE};
    struct otlp_scope *scope = ARENA_NEW(w->lasting, struct otlp_scope);
    TRY(read_level(w, text, "scope", 2, &l));
    if (l.about.len && !str_eq(l.about, STR("null")) &&
        read_message(w->form, &scope_message, l.about, w->lasting, scope) != ERR_OK)
        return wrong(w, "a scope cannot be read");
    scope->schema_url = l.schema_url;
    w->item.scope = scope;
    return each(w, &l, 2, on_item);
}

static enum err on_resource(struct walk *w, struct str text)
{
    struct level l = {.about = STR_NONE};
    struct otlp_resource *resource = ARENA_NEW(w->lasting, struct otlp_resource);
    TRY(read_level(w, text, "resource", 1, &l));
    if (l.about.len && !str_eq(l.about, STR("null")) &&
        read_message(w->form, &resource_message, l.about, w->lasting, resource) != ERR_OK)
        return wrong(w, "a resource cannot be read");
    resource->schema_url = l.schema_url;
    w->item.resource = resource;
    return each(w, &l, 2, on_scope);
}

enum err otlp_read(enum otlp_signal signal, enum otlp_form form, struct str request,
                   struct arena *lasting, enum err (*fn)(void *arg, const struct otlp_item *item),
                   void *arg, struct buf *detail)
{
    static const struct str names[OTLP_SIGNAL_COUNT][3] = {
        [OTLP_TRACES] = {STR_INIT("resourceSpans"), STR_INIT("scopeSpans"), STR_INIT("spans")},
        [OTLP_METRICS] = {STR_INIT("resourceMetrics"), STR_INIT("scopeMetrics"),
                          STR_INIT("metrics")},
        [OTLP_LOGS] = {STR_INIT("resourceLogs"), STR_INIT("scopeLogs"), STR_INIT("logRecords")},
    };
    struct walk w = {.form = form,
                     .lasting = lasting,
                     .fn = fn,
                     .arg = arg,
                     .detail = detail,
                     .item = {.form = form}};
    struct level top = {.text = request};
    memcpy(w.names, names[signal], sizeof w.names);
    if (form == OTLP_JSON) {
        struct json_value whole;
        struct json_reader r;
        json_reader_init(&r, request, NESTING_MAX);
        whole = json_take(&r);
        if (!json_finish(&r) || whole.kind != JSON_OBJECT) {
            buf_append_str(detail, STR("the body is not a JSON object: "));
            json_fault_describe(&r, detail);
            return ERR_INVALID;
        }
        TRY(read_level(&w, whole.raw, "", 0, &top));
    }
    return each(&w, &top, 1, on_resource);
}
