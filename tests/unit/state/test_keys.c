#include "tests/unit/unit.h"

#include "codec/digest.h"
#include "codec/json_scan.h"
#include "state/keys.h"
#include "tests/unit/config/loaded.h"

#define assert_str(s, literal) assert_true(str_eq((s), STR(literal)))

static struct key_spec spec(const char *name, const char *key, bool admin)
{
    struct key_spec s = {.name = str_from_c(name), .admin = admin, .any_model = true};
    key_hash(str_from_c(key), s.hash);
    return s;
}

/* A configuration whose keys are "web" (secret-a), "ops" (secret-b) and "off" (the example's
 * placeholder). */
static void load(struct loaded *l)
{
    struct buf yaml BUF_AUTO;
    static const char *const keys[][2] = {{"web", "secret-a"}, {"ops", "secret-b"}, {"off", NULL}};
    buf_init(&yaml, 4096);
    buf_append_str(&yaml, STR("models: {fast: local/x, smart: local/y}\nkeys:\n"));
    for (size_t i = 0; i < 3; i++) {
        uint8_t hash[KEY_HASH_BYTES] = {0};
        char hex[2 * KEY_HASH_BYTES];
        if (keys[i][1])
            key_hash(str_from_c(keys[i][1]), hash);
        hex_encode(hash, sizeof hash, hex);
        buf_printf(&yaml, "- {name: %s, hash: 'sha256:%.*s', %s}\n", keys[i][0],
                   keys[i][1] ? (int)sizeof hex : (int)sizeof "…" - 1, keys[i][1] ? hex : "…",
                   i ? "admin: true" : "models: [smart, 'local/*', fast]");
    }
    loaded_yaml(l, buf_cstr(&yaml));
}

static void keys_are_found_by_what_is_presented(void **state)
{
    (void)state;
    struct loaded l;
    struct limiters *limiters = limiters_new();
    struct key_spec more[] = {spec("command line", "cli", true), spec("web", "other", false),
                              spec("twin", "secret-b", false)};
    load(&l);
    assert_string_equal(l.mistakes, "");
    struct keys *k = keys_build(l.config, more, 3, limiters);
    loaded_release(&l); /* the snapshot needs nothing of it */
    assert_int_equal(keys_count(k), 3);
    assert_str(keys_find(k, STR("secret-a"))->name, "web");
    assert_false(keys_find(k, STR("secret-a"))->admin);
    assert_str(keys_find(k, STR("secret-b"))->name, "ops"); /* the first with that hash */
    assert_true(keys_find(k, STR("secret-b"))->admin);
    assert_str(keys_find(k, STR("cli"))->name, "command line");
    assert_null(keys_find(k, STR("other"))); /* its name was taken */
    assert_null(keys_find(k, STR("")));
    assert_null(keys_find(k, STR("secret-")));
    assert_null(keys_find(k, STR("secret-a ")));
    assert_null(keys_find(k, STR("…")));
    static char huge[KEY_PRESENTED_BYTES_MAX + 1];
    assert_null(keys_find(k, str_of(huge, sizeof huge)));
    struct keys *again = keys_get(k);
    keys_put(k);
    assert_non_null(keys_find(again, STR("cli")));
    keys_put(again);
    limiters_free(limiters);
}

static void many_keys_are_all_found(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    static struct key_spec specs[COUNT];
    static char texts[COUNT][KEY_TEXT_BYTES + 1];
    struct loaded l;
    struct limiters *limiters = limiters_new();
    loaded_yaml(&l, "");
    for (size_t i = 0; i < COUNT; i++) {
        key_make(texts[i]);
        specs[i] = spec(texts[i], texts[i], false);
    }
    struct keys *k = keys_build(l.config, specs, COUNT, limiters);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(str_eq(keys_find(k, str_from_c(texts[i]))->name, str_from_c(texts[i])));
    keys_put(k);
    loaded_release(&l);
    limiters_free(limiters);
}

static void a_key_calls_what_its_list_says(void **state)
{
    (void)state;
    static const struct str list[] = {STR_INIT("smart"), STR_INIT("openai/*"), STR_INIT("a/b/*"),
                                      STR_INIT("local/x")};
    static const struct {
        const char *model;
        bool allowed;
    } cases[] = {
        {"smart", true},      {"smart2", false},  {"smar", false},      {"", false},
        {"openai/gpt", true}, {"openai/", true},  {"openai", false},    {"openai2/x", false},
        {"local/x", true},    {"local/y", false}, {"openai/a/b", true}, {"a/b/c", false},
        {"*", false},
    };
    struct loaded l;
    struct limiters *limiters = limiters_new();
    loaded_yaml(&l, "");
    struct key_spec specs[] = {spec("some", "1", false), spec("none", "2", false),
                               spec("admin", "3", true), spec("any", "4", false)};
    specs[0].any_model = specs[1].any_model = specs[2].any_model = false;
    specs[0].models = list;
    specs[0].model_count = 4;
    struct keys *k = keys_build(l.config, specs, 4, limiters);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str model = str_from_c(cases[i].model);
        assert_int_equal(key_allows_model(keys_find(k, STR("1")), model), cases[i].allowed);
        assert_false(key_allows_model(keys_find(k, STR("2")), model));
        assert_true(key_allows_model(keys_find(k, STR("3")), model));
        assert_true(key_allows_model(keys_find(k, STR("4")), model));
    }
    static char long_model[4096];
    memset(long_model, 'a', sizeof long_model);
    long_model[4000] = '/';
    assert_false(key_allows_model(keys_find(k, STR("1")), str_of(long_model, sizeof long_model)));
    keys_put(k);
    loaded_release(&l);
    limiters_free(limiters);
}

static void the_limiter_stays_through_a_reload(void **state)
{
    (void)state;
    struct loaded l;
    struct limiters *limiters = limiters_new();
    load(&l);
    struct keys *before = keys_build(l.config, NULL, 0, limiters);
    struct keys *after = keys_build(l.config, NULL, 0, limiters);
    assert_ptr_equal(keys_find(before, STR("secret-a"))->limiter,
                     keys_find(after, STR("secret-a"))->limiter);
    assert_ptr_not_equal(keys_find(after, STR("secret-a"))->limiter,
                         keys_find(after, STR("secret-b"))->limiter);
    keys_put(before);
    keys_put(after);
    loaded_release(&l);
    limiters_free(limiters);
}

static void made_keys_are_long_and_different(void **state)
{
    (void)state;
    char a[KEY_TEXT_BYTES + 1];
    char b[KEY_TEXT_BYTES + 1];
    size_t seen[128] = {0};
    for (int i = 0; i < 1000; i++) {
        key_make(a);
        key_make(b);
        assert_int_equal(strlen(a), KEY_TEXT_BYTES);
        assert_memory_equal(a, "weir_", 5);
        assert_string_not_equal(a, b);
        for (const char *c = a + 6; *c; c++)
            seen[(unsigned char)*c]++;
    }
    /* Each of the 62 digits comes about 42,000 / 62 = 677 times; the first is smaller, as 2^256 is.
     */
    for (int c = 0; c < 128; c++) {
        bool digit = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        assert_true(digit ? seen[c] > 500 && seen[c] < 900 : seen[c] == 0);
    }
}

/* ---- Records ---- */

static void records_go_both_ways(void **state)
{
    (void)state;
    static const struct str models[] = {STR_INIT("fast"), STR_INIT("a\"b")};
    struct arena arena;
    struct buf json BUF_AUTO;
    struct json_value value;
    struct key_record back;
    struct key_record record = {.version = 3, .expect = 2, .spec = spec("web", "x", true)};
    record.spec.any_model = false;
    record.spec.models = models;
    record.spec.model_count = 2;
    record.spec.limits = (struct config_key_limits){
        .requests = {600, 60000000}, .tokens = {5, INT64_C(86400000000)}, .concurrent = 32};
    arena_init(&arena);
    buf_init(&json, 4096);
    key_record_write(&record, INT64_C(1763978400123456), &json);
    assert_int_equal(key_record_parse(buf_str(&json), &arena, &back), ERR_OK);
    assert_true(!back.deleted && back.version == 3 && back.expect == 2 && back.spec.admin);
    assert_str(back.spec.name, "web");
    assert_memory_equal(back.spec.hash, record.spec.hash, KEY_HASH_BYTES);
    assert_int_equal(back.spec.model_count, 2);
    assert_str(back.spec.models[1], "a\"b");
    assert_memory_equal(&back.spec.limits, &record.spec.limits, sizeof record.spec.limits);
    assert_true(json_find(buf_str(&json), "time", &value));
    assert_str(value.raw, "\"2025-11-24T10:00:00.123456Z\"");
    assert_true(json_find(buf_str(&json), "kind", &value));
    assert_str(value.raw, "\"key\"");
    assert_true(json_find(buf_str(&json), "body.limits.tokens", &value));
    assert_str(value.raw, "\"5/d\"");
    buf_reset(&json);
    record = (struct key_record){
        .deleted = true, .version = 4, .expect = 3, .spec = {.name = STR("web")}};
    key_record_write(&record, 0, &json);
    assert_int_equal(key_record_parse(buf_str(&json), &arena, &back), ERR_OK);
    assert_true(back.deleted);
    buf_reset(&json);
    key_record_key(STR("web"), &json);
    assert_string_equal(buf_cstr(&json), "key/web");
    arena_release(&arena);
}

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void other_texts_are_no_records(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        enum err error;
    } cases[] = {
        {"{\"body\":{\"hash\":\"sha256:" HEX "\",\"new\":[1]},\"later\":{},\"name\":\"a\","
         "\"version\":1,\"op\":\"put\",\"expect\":0,\"kind\":\"key\"}",
         ERR_OK},
        {"{\"kind\":\"prompt\",\"name\":\"a\",\"version\":1}", ERR_NOT_FOUND},
        {"", ERR_INVALID},
        {"[]", ERR_INVALID},
        {"{}", ERR_INVALID},
        {"{\"kind\":\"key\"", ERR_INVALID},
        {"{\"kind\":\"key\",\"name\":\"a\",\"version\":1,\"op\":\"put\",\"expect\":0}",
         ERR_INVALID},
        {"{\"kind\":\"key\",\"name\":\"\",\"version\":1,\"op\":\"delete\",\"expect\":0}",
         ERR_INVALID},
        {"{\"kind\":\"key\",\"name\":\"a\",\"version\":0,\"op\":\"delete\",\"expect\":0}",
         ERR_INVALID},
        {"{\"kind\":\"key\",\"name\":\"a\",\"version\":1,\"op\":\"patch\",\"expect\":0,"
         "\"body\":{\"hash\":\"sha256:" HEX "\"}}",
         ERR_INVALID},
        {"{\"kind\":\"key\",\"name\":\"a\",\"version\":1,\"op\":\"put\",\"expect\":0,"
         "\"body\":{\"hash\":\"md5:" HEX "\"}}",
         ERR_INVALID},
        {"{\"kind\":\"key\",\"name\":\"a\",\"version\":1,\"op\":\"put\",\"expect\":0,"
         "\"body\":{\"hash\":\"sha256:" HEX "\",\"admin\":1}}",
         ERR_INVALID},
        {"{\"kind\":\"key\",\"name\":\"a\",\"version\":1,\"op\":\"put\",\"expect\":0,"
         "\"body\":{\"hash\":\"sha256:" HEX "\",\"models\":[1]}}",
         ERR_INVALID},
        {"{\"kind\":\"key\",\"name\":\"a\",\"version\":1,\"op\":\"put\",\"expect\":0,"
         "\"body\":{\"hash\":\"sha256:" HEX "\",\"models\":[\"a\",\"b\"],\"models\":[\"c\"]}}",
         ERR_OK},
        {"{\"kind\":\"key\",\"name\":\"a\",\"version\":1,\"op\":\"put\",\"expect\":0,"
         "\"body\":{\"hash\":\"sha256:" HEX "\",\"limits\":{\"requests\":\"many\"}}}",
         ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena;
        struct key_record record = {.version = -7};
        arena_init(&arena);
        if (key_record_parse(str_from_c(cases[i].json), &arena, &record) != cases[i].error)
            fail_msg("%s", cases[i].json);
        assert_int_equal(record.version == -7, cases[i].error != ERR_OK);
        arena_release(&arena);
    }
}

static enum err apply(struct key_fold *f, const char *name, const char *key, int64_t expect,
                      bool deleted)
{
    struct buf json BUF_AUTO;
    struct key_record record = {
        .version = expect + 1, .expect = expect, .deleted = deleted, .spec = spec(name, key, true)};
    buf_init(&json, 4096);
    key_record_write(&record, 0, &json);
    return key_fold_apply(f, buf_str(&json));
}

static void the_fold_follows_versions(void **state)
{
    (void)state;
    struct key_fold *f = key_fold_new();
    size_t count;
    (void)key_fold_items(f, &count);
    assert_int_equal(count, 0);
    assert_int_equal(apply(f, "admin", "1", 0, false), ERR_OK);
    assert_int_equal(apply(f, "admin", "2", 0, false), ERR_EXISTS);
    assert_int_equal(apply(f, "other", "3", 5, false), ERR_OK); /* its past was compacted away */
    assert_int_equal(key_fold_apply(f, STR("{\"kind\":\"prompt\"}")), ERR_NOT_FOUND);
    assert_int_equal(key_fold_apply(f, STR("{")), ERR_INVALID);
    const struct key_spec *items = key_fold_items(f, &count);
    assert_int_equal(count, 2);
    assert_str(items[0].name, "admin");
    struct key_spec first = spec("admin", "1", true);
    assert_memory_equal(items[0].hash, first.hash, KEY_HASH_BYTES);
    assert_int_equal(apply(f, "admin", "", 1, true), ERR_OK);
    items = key_fold_items(f, &count);
    assert_int_equal(count, 1);
    assert_str(items[0].name, "other");
    assert_int_equal(apply(f, "admin", "4", 1, false), ERR_EXISTS);
    assert_int_equal(apply(f, "admin", "4", 2, false), ERR_OK);
    for (int64_t version = 6; version < 100; version++)
        assert_int_equal(apply(f, "other", "5", version, false), ERR_OK);
    (void)key_fold_items(f, &count);
    assert_int_equal(count, 2);
    key_fold_free(f);
    key_fold_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_found_by_what_is_presented),
        cmocka_unit_test(many_keys_are_all_found),
        cmocka_unit_test(a_key_calls_what_its_list_says),
        cmocka_unit_test(the_limiter_stays_through_a_reload),
        cmocka_unit_test(made_keys_are_long_and_different),
        cmocka_unit_test(records_go_both_ways),
        cmocka_unit_test(other_texts_are_no_records),
        cmocka_unit_test(the_fold_follows_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
