/* The reader against JSONTestSuite (Seriot, "Parsing JSON is a Minefield"): y_ must be taken, n_
 * must be refused, i_ is left to the implementation. The package holds the texts as one JSON array
 * in a JavaScript file, [{"name": …, "input": …}, …], so the reader reads its own test too. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "codec/json_scan.h"

enum { SUITE_BYTES_MAX = 8 << 20 };

static void read_suite(struct buf *out)
{
    char folder[1024] = "", bytes[4096];
    FILE *get = popen("deps/get json-suite", "r"); // NOLINT(cert-env33-c): a fixed command
    assert_non_null(get);
    assert_non_null(fgets(folder, sizeof folder, get));
    assert_int_equal(pclose(get), 0);
    folder[strcspn(folder, "\n")] = 0;
    struct buf path BUF_AUTO;
    buf_init(&path, 2048);
    buf_printf(&path, "%s/parsing.js", folder);
    FILE *file = fopen(buf_cstr(&path), "rb");
    assert_non_null(file);
    size_t n;
    while ((n = fread(bytes, 1, sizeof bytes, file)) > 0)
        buf_append(out, bytes, n);
    (void)fclose(file);
}

static void agrees_with_the_suite(void **state)
{
    (void)state;
    struct buf suite BUF_AUTO;
    struct arena arena;
    struct json_reader r;
    struct json_value key, value;
    int cases = 0;
    buf_init(&suite, SUITE_BYTES_MAX);
    arena_init(&arena);
    read_suite(&suite);
    ptrdiff_t start = str_find(buf_str(&suite), STR("[\n"));
    assert_true(start > 0);
    struct str array = str_skip(buf_str(&suite), (size_t)start);
    while (array.len && array.ptr[array.len - 1] != ']')
        array.len--;
    json_reader_init(&r, array, JSON_DEPTH_MAX);
    assert_true(json_enter(&r, JSON_ARRAY));
    while (json_next_element(&r)) {
        struct json_value name = {0}, input = {0};
        assert_true(json_enter(&r, JSON_OBJECT));
        while (json_next_member(&r, &key))
            if (json_eq(&key, STR("name")))
                name = json_take(&r);
            else if (json_eq(&key, STR("input")))
                input = json_take(&r);
        struct str file = json_text(&name, &arena);
        enum err e = json_validate(json_text(&input, &arena), JSON_DEPTH_MAX, &value);
        if ((str_starts(file, STR("y_")) && e) || (str_starts(file, STR("n_")) && !e))
            fail_msg("%.*s: %s", STR_ARG(file), err_text(e));
        cases++;
    }
    assert_true(json_finish(&r));
    assert_true(cases > 300);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
