/* The generated layouts and the codec that works by them: every message in every version that is
 * served survives writing and reading; and, byte by byte, messages as Kafka's clients send them. */
#include "tests/unit/unit.h"

#include "base/mem.h"
#include "codec/endian.h"
#include "kafka/messages.h"
#include "os/random.h"

struct array {
    char *items;
    int32_t count;
};

static bool within(int16_t version, int16_t first, int16_t last)
{
    return version >= first && version <= last;
}

static void fill(const struct kafka_struct *of, int16_t version, struct arena *arena,
                 char *message);

static void fill_item(const struct kafka_field *f, int16_t version, bool may_be_null,
                      struct arena *arena, char *at)
{
    uint64_t random = os_random_u64();
    static const char text[] = "the quick brown fox jumps over the lazy dog";
    struct str s = str_of(text, random % sizeof text);
    switch (f->kind) {
    case KAFKA_KIND_BOOL: *(bool *)at = random & 1; break;
    case KAFKA_KIND_INT8: *(int8_t *)at = (int8_t)random; break;
    case KAFKA_KIND_INT16: *(int16_t *)at = (int16_t)random; break;
    case KAFKA_KIND_INT32: *(int32_t *)at = (int32_t)random; break;
    case KAFKA_KIND_INT64: *(int64_t *)at = (int64_t)random; break;
    case KAFKA_KIND_UUID: memcpy(at, &random, sizeof random); break;
    case KAFKA_KIND_STRUCT: fill(f->of, version, arena, at); break;
    case KAFKA_KIND_RECORDS:
        *(struct kafka_records *)at =
            (struct kafka_records){random % 3 > 0, (uint32_t)s.len, s.ptr};
        break;
    default: *(struct str *)at = may_be_null && random % 3 == 0 ? STR_NONE : s; break;
    }
}

static void fill_array(const struct kafka_field *f, int16_t version, bool may_be_null,
                       struct arena *arena, struct array *to)
{
    static const uint8_t sizes[] = {1, 1, 2, 4, 8, 16, sizeof(struct str), sizeof(struct str)};
    size_t size = f->kind == KAFKA_KIND_STRUCT ? f->of->size_bytes : sizes[f->kind];
    uint64_t random = os_random_u64();
    if (may_be_null && random % 4 == 0) {
        to->count = -1;
        return;
    }
    to->count = (int32_t)(random % 200 == 7 ? 150 : random % 4);
    to->items = arena_alloc(arena, size * (size_t)to->count);
    for (int32_t i = 0; i < to->count; i++)
        fill_item(f, version, false, arena, to->items + (size_t)i * size);
}

/* Random values in the fields that this version has; the others keep their defaults. */
static void fill(const struct kafka_struct *of, int16_t version, struct arena *arena, char *message)
{
    void *defaults = kafka_new(of, arena, 1);
    memcpy(message, defaults, of->size_bytes);
    for (size_t i = 0; i < of->count; i++) {
        const struct kafka_field *f = &of->fields[i];
        bool may_be_null = within(version, f->null_first, f->null_last);
        if (!within(version, f->first, f->last))
            continue;
        if (f->flags & KAFKA_FIELD_ARRAY)
            fill_array(f, version, may_be_null, arena, (struct array *)(message + f->at));
        else
            fill_item(f, version, may_be_null, arena, message + f->at);
    }
}

static void write_to(const struct kafka_struct *of, int16_t version, bool flexible,
                     const void *message, struct buf *out)
{
    const struct kafka_writer w = {.out = out, .version = version, .flexible = flexible};
    kafka_write(&w, of, message);
    assert_int_equal(out->error, ERR_OK);
}

/* What the other way round gives the same bytes again, and no shorter piece of them is a message.
 */
static void round_trip(const struct kafka_struct *of, int16_t version, bool flexible)
{
    struct arena arena;
    BUF_AUTO struct buf first = {.max = 16 << 20};
    BUF_AUTO struct buf second = {.max = 16 << 20};
    void *back = NULL;
    arena_init(&arena);
    char *message = arena_alloc(&arena, of->size_bytes);
    fill(of, version, &arena, message);
    write_to(of, version, flexible, message, &first);
    assert_int_equal(kafka_read(of, version, flexible, buf_str(&first), &arena, &back), ERR_OK);
    write_to(of, version, flexible, back, &second);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.ptr, second.ptr, first.len);
    size_t cut = first.len > 0 ? os_random_u64() % first.len : 0;
    if (first.len > 0)
        assert_int_not_equal(
            kafka_read(of, version, flexible, str_take(buf_str(&first), cut), &arena, &back),
            ERR_OK);
    arena_release(&arena);
}

static void test_every_version_survives(void **state)
{
    size_t count = 0;
    const struct kafka_api *apis = kafka_api_list(&count);
    (void)state;
    os_random_seed(6);
    assert_int_equal(count, 35);
    for (size_t i = 0; i < count; i++)
        for (int16_t version = apis[i].oldest; version <= apis[i].newest; version++)
            for (int n = 0; n < 30; n++) {
                bool flexible = kafka_api_flexible(&apis[i], version);
                round_trip(apis[i].request, version, flexible);
                round_trip(apis[i].response, version, flexible);
            }
}

/* As librdkafka 2.12 sends it: ApiVersions 3, header 2. */
static void test_api_versions_request(void **state)
{
    static const char bytes[] = "\x00\x12\x00\x03\x00\x00\x00\x01\x00\x07rdkafka\x00"
                                "\x0blibrdkafka\x07"
                                "2.12.0\x00";
    struct str rest = str_of(bytes, sizeof bytes - 1);
    struct kafka_header header;
    struct arena arena;
    void *body = NULL;
    (void)state;
    arena_init(&arena);
    assert_int_equal(kafka_header_read(&rest, &header), ERR_OK);
    assert_int_equal(header.key, KAFKA_KEY_API_VERSIONS);
    assert_int_equal(header.version, 3);
    assert_int_equal(header.correlation_id, 1);
    assert_true(str_eq(header.client_id, STR("rdkafka")));
    assert_int_equal(kafka_read(&kafka_api_versions_request_struct, 3, true, rest, &arena, &body),
                     ERR_OK);
    const struct kafka_api_versions_request *q = body;
    assert_true(str_eq(q->client_software_name, STR("librdkafka")));
    assert_true(str_eq(q->client_software_version, STR("2.12.0")));
    arena_release(&arena);
}

/* Whatever its version, this response has a plain header, or a client cannot learn what is spoken.
 */
static void test_headers_of_responses(void **state)
{
    BUF_AUTO struct buf out = {.max = 100};
    (void)state;
    kafka_header_write(&out, kafka_api_find(KAFKA_KEY_API_VERSIONS), 4, 7);
    assert_int_equal(out.len, 4);
    kafka_header_write(&out, kafka_api_find(KAFKA_KEY_METADATA), 9, 7);
    assert_int_equal(out.len, 4 + 5);
    kafka_header_write(&out, kafka_api_find(KAFKA_KEY_METADATA), 8, 7);
    assert_int_equal(out.len, 4 + 5 + 4);
    assert_memory_equal(out.ptr, "\0\0\0\7\0\0\0\7\0\0\0\0\7", out.len);
}

static void test_what_a_version_does_not_have_is_its_default(void **state)
{
    static const char bytes[] = "\x00\x00\x00\x01\x00\x01t"; /* Metadata 1: one topic */
    struct arena arena;
    void *body = NULL;
    (void)state;
    arena_init(&arena);
    assert_int_equal(kafka_read(&kafka_metadata_request_struct, 1, false,
                                str_of(bytes, sizeof bytes - 1), &arena, &body),
                     ERR_OK);
    const struct kafka_metadata_request *q = body;
    assert_int_equal(q->topics_count, 1);
    assert_true(str_eq(q->topics[0].name, STR("t")));
    assert_true(q->allow_auto_topic_creation);
    assert_int_equal(kafka_read(&kafka_metadata_request_struct, 1, false,
                                str_of("\xff\xff\xff\xff", 4), &arena, &body),
                     ERR_OK);
    q = body;
    assert_int_equal(q->topics_count, -1); /* null: all */
    assert_int_equal(kafka_read(&kafka_metadata_request_struct, 0, false,
                                str_of("\xff\xff\xff\xff", 4), &arena, &body),
                     ERR_CORRUPT);
    arena_release(&arena);
}

static void test_tagged_fields(void **state)
{
    /* Heartbeat 4 with two tagged fields that nobody knows. */
    static const char bytes[] = "\x02g\x00\x00\x00\x05\x02m\x00\x02\x00\x03"
                                "abc\x63\x00";
    BUF_AUTO struct buf out = {.max = 1000};
    struct arena arena;
    void *body = NULL;
    (void)state;
    arena_init(&arena);
    assert_int_equal(kafka_read(&kafka_heartbeat_request_struct, 4, true,
                                str_of(bytes, sizeof bytes - 1), &arena, &body),
                     ERR_OK);
    const struct kafka_heartbeat_request *q = body;
    assert_int_equal(q->generation_id, 5);
    assert_null(q->group_instance_id.ptr);
    /* A field with its default is left out, another is written with its length. */
    struct kafka_fetch_response_partition *p = KAFKA_NEW(&arena, fetch_response_partition, 1);
    write_to(&kafka_fetch_response_partition_struct, 12, true, p, &out);
    assert_int_equal(out.ptr[out.len - 1], 0);
    size_t plain = out.len;
    p->diverging_epoch.epoch = 3;
    p->diverging_epoch.end_offset = 9;
    buf_reset(&out);
    write_to(&kafka_fetch_response_partition_struct, 12, true, p, &out);
    static const char tagged[] = "\x01\x00\x0d\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x09\x00";
    assert_int_equal(out.len, plain - 1 + sizeof tagged - 1);
    assert_memory_equal(out.ptr + plain - 1, tagged, sizeof tagged - 1);
    arena_release(&arena);
}

/* A few bytes cannot make the reader take much memory. */
static void test_counts_are_not_believed(void **state)
{
    struct arena arena;
    void *body = NULL;
    (void)state;
    arena_init(&arena);
    assert_int_equal(kafka_read(&kafka_metadata_request_struct, 1, false,
                                str_of("\x7f\xff\xff\xff", 4), &arena, &body),
                     ERR_TRUNCATED);
    assert_true(arena.used_bytes < 1000);
    size_t size = 8 << 20;
    char *many = mem_alloc(size);
    be32_put(many, 0x7ffffc); /* as many empty names as there are bytes behind it */
    assert_int_equal(
        kafka_read(&kafka_metadata_request_struct, 1, false, str_of(many, size), &arena, &body),
        ERR_TOO_LARGE);
    assert_true(arena.used_bytes < 1000);
    mem_free(many);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_version_survives),
        cmocka_unit_test(test_api_versions_request),
        cmocka_unit_test(test_headers_of_responses),
        cmocka_unit_test(test_what_a_version_does_not_have_is_its_default),
        cmocka_unit_test(test_tagged_fields),
        cmocka_unit_test(test_counts_are_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
