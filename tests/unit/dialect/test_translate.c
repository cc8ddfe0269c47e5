/* Every pair of dialects, in × out, over one table of cases: the files of tests/data/dialect,
 * whose form the README there explains. */
#include "tests/unit/unit.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "dialect/dialect.h"
#include "tests/unit/dialect/grammar.h"

enum { SECTIONS_MAX = 256, BYTES_MAX = 1 << 20, DEPTH_MAX = 128 };

struct section {
    struct str kind;
    struct str dialect;
    struct str more[2]; /* what else its line says */
    struct str text;
};

struct test_case {
    const char *path;
    char *bytes;
    struct section sections[SECTIONS_MAX];
    size_t count;
};

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *bytes = calloc(1, BYTES_MAX + 1);
    assert_true(fread(bytes, 1, BYTES_MAX, file) < BYTES_MAX);
    (void)fclose(file);
    return bytes;
}

static struct section read_head(struct str line)
{
    struct section s = {0};
    struct str *words[] = {&s.kind, &s.dialect, &s.more[0], &s.more[1]};
    for (size_t i = 0; i < 4 && line.ptr; i++)
        *words[i] = str_split(&line, ' ');
    return s;
}

static void read_case(struct test_case *c, const char *path)
{
    *c = (struct test_case){.path = path, .bytes = read_file(path)};
    struct str rest = str_from_c(c->bytes);
    struct section *now = NULL;
    while (rest.ptr && rest.len) {
        const char *start = rest.ptr;
        struct str line = str_split(&rest, '\n');
        if (str_starts(line, STR("=== "))) {
            assert_true(c->count < SECTIONS_MAX);
            now = &c->sections[c->count++];
            *now = read_head(str_skip(line, 4));
            now->text = str_of(start + line.len + 1, 0);
        } else if (now) {
            now->text.len = (size_t)(line.ptr + line.len - now->text.ptr);
        }
    }
}

/* The section with that kind and dialect, for the other side of the pair if there is one, else for
 * any. */
static const struct section *find(const struct test_case *c, const char *kind, struct str dialect,
                                  const char *way, struct str other)
{
    const struct section *general = NULL;
    for (size_t i = 0; i < c->count; i++) {
        const struct section *s = &c->sections[i];
        if (!str_eq(s->kind, str_from_c(kind)) || !str_eq(s->dialect, dialect))
            continue;
        if (str_eq(s->more[0], str_from_c(way)) && str_eq(s->more[1], other))
            return s;
        if (!s->more[0].len)
            general = s;
    }
    return general;
}

static size_t checks, failures;

static void fail_at(const struct test_case *c, const char *what, struct str in, struct str out,
                    struct str got)
{
    print_error("%s: %s, %.*s to %.*s:\n%.*s\n", c->path, what, STR_ARG(in), STR_ARG(out),
                STR_ARG(got));
    failures++;
}

static bool same_json(struct str a, struct str b)
{
    yyjson_doc *x = yyjson_read(a.ptr, a.len, 0), *y = yyjson_read(b.ptr, b.len, 0);
    bool same = x && y && yyjson_equals(yyjson_doc_get_root(x), yyjson_doc_get_root(y));
    yyjson_doc_free(x);
    yyjson_doc_free(y);
    return same;
}

static struct answer_options options_of(struct ask_plan plan)
{
    return (struct answer_options){.plan = plan,
                                   .max_depth = DEPTH_MAX,
                                   .max_bytes = BYTES_MAX,
                                   .id = STR("weir"),
                                   .model = STR("asked-for"),
                                   .call = STR("0123456789abcdef0123456789abcdef"),
                                   .created_s = 1700000000,
                                   .include_usage = true};
}

/* ---- Requests ---- */

static struct str model_of(const struct test_case *c, struct str dialect)
{
    const struct section *s = find(c, "model", dialect, "", STR(""));
    return s ? str_trim(s->text) : dialect;
}

/* Returns the plan; false: refused, as it should be. */
static bool check_request(const struct test_case *c, const struct dialect *in,
                          const struct dialect *out, struct arena *a, struct ask_plan *ret_plan)
{
    const struct section *request = find(c, "request", in->name, "to", out->name);
    const struct section *body = find(c, "body", out->name, "from", in->name);
    const struct section *refusal = find(c, "refuse", out->name, "from", in->name);
    struct openai_problem problem = {0};
    struct ask *ask;
    struct buf text BUF_AUTO;
    buf_init(&text, BYTES_MAX);
    if (!request || (!body && !refusal))
        return request != NULL;
    checks++;
    if (in->read_ask(request->text, DEPTH_MAX, a, &ask, &problem) != ERR_OK) {
        fail_at(c, "request not read", in->name, out->name, str_from_c(problem.message));
        return false;
    }
    struct ask_target target = {.model = model_of(c, out->name)};
    enum err e = out->write_ask(ask, &target, a, &text, ret_plan, &problem);
    if (refusal && !(body && body->more[0].len)) {
        struct str param = str_trim(refusal->text);
        if (e != ERR_UNSUPPORTED || !str_eq(param, str_from_c(problem.param)))
            fail_at(c, "not refused so", in->name, out->name, str_from_c(problem.param));
        assert_true(*problem.message);
        return false;
    }
    if (e != ERR_OK)
        fail_at(c, "request refused", in->name, out->name, str_from_c(problem.message));
    if (!same_json(buf_str(&text), body->text))
        fail_at(c, "request", in->name, out->name, buf_str(&text));
    return true;
}

/* ---- Answers ---- */

/* Any events, taken one by one. */
static void feed(const struct dialect *d, struct answer_reader *r, struct str stream,
                 struct answer_sink sink)
{
    struct str name = STR("");
    while (stream.ptr) {
        struct str line = str_split(&stream, '\n');
        if (line.len == 0)
            name = STR("");
        else if (str_starts(line, STR("event: ")))
            name = str_skip(line, 7);
        else if (str_starts(line, STR("data: ")))
            d->reader_feed(r, name, str_skip(line, 6), sink);
        else
            assert_true(str_starts(line, STR(":")));
    }
    d->reader_end(r, sink);
}

static void read_stream(const struct dialect *d, struct str stream, struct ask_plan plan,
                        struct answer_sink sink)
{
    struct answer_options options = options_of(plan);
    struct answer_reader *r = d->reader_new(&options);
    feed(d, r, stream, sink);
    d->reader_free(r);
}

/* What a caller sees of an answer: its form in one piece, or the problem's type. */
static void show(const struct dialect *in, const struct answer *answer, struct buf *out)
{
    struct answer_options options = options_of((struct ask_plan){0});
    if (answer->failed)
        in->write_error(out, 200, &answer->problem);
    else
        in->write_answer(answer, &options, out);
}

static void check_shown(const struct test_case *c, const char *what, const struct dialect *in,
                        const struct dialect *out, const struct answer *answer, struct str wanted)
{
    struct buf shown BUF_AUTO;
    buf_init(&shown, BYTES_MAX);
    checks++;
    show(in, answer, &shown);
    if (!same_json(buf_str(&shown), wanted))
        fail_at(c, what, in->name, out->name, buf_str(&shown));
}

struct relay {
    const struct dialect *in;
    struct answer_writer *writer;
    struct buf out;
};

static void relay_take(void *arg, const struct answer_event *event)
{
    struct relay *relay = arg;
    relay->in->writer_take(relay->writer, event, &relay->out);
}

/* Where the caller's language has no reader: its last event repeats the answer in one piece. */
static void check_last(const struct test_case *c, const struct dialect *in,
                       const struct dialect *out, struct str stream, struct str wanted)
{
    struct json_value response;
    struct str last = STR_NONE;
    for (struct str rest = stream; rest.ptr;) {
        struct str line = str_split(&rest, '\n');
        if (str_starts(line, STR("data: ")))
            last = str_skip(line, 6);
    }
    if (!json_find(last, "response", &response) || !same_json(response.raw, wanted))
        fail_at(c, "written stream", in->name, out->name, stream);
}

/* The caller's stream is read again with the caller's own reader, and watched. */
static void check_read_again(const struct test_case *c, const struct dialect *in,
                             const struct dialect *out, struct str stream, struct str wanted)
{
    struct answer answer;
    dialect_answer_init(&answer, BYTES_MAX);
    read_stream(in, stream, (struct ask_plan){0}, answer_sink_of(&answer));
    if (!answer.whole && !answer.failed)
        fail_at(c, "written stream is not whole", in->name, out->name, stream);
    check_shown(c, "written stream", in, out, &answer, wanted);
    dialect_answer_release(&answer);
}

static void check_written(const struct test_case *c, const struct dialect *in,
                          const struct dialect *out, struct str stream, struct ask_plan plan,
                          struct str wanted)
{
    struct answer_options options = options_of(plan);
    struct relay relay = {.in = in, .writer = in->writer_new(&options)};
    buf_init(&relay.out, BYTES_MAX);
    read_stream(out, stream, plan, (struct answer_sink){relay_take, &relay});
    if (in->reader_new)
        check_read_again(c, in, out, buf_str(&relay.out), wanted);
    else
        check_last(c, in, out, buf_str(&relay.out), wanted);
    const char *broken = grammar_check(in->name, buf_str(&relay.out));
    if (broken) {
        print_error("rule: %s\n", broken);
        fail_at(c, "the language's rules", in->name, out->name, buf_str(&relay.out));
    }
    const struct section *literal = find(c, "written", in->name, "from", out->name);
    if (literal && !str_eq(str_trim(literal->text), STR("")) &&
        str_find(buf_str(&relay.out), literal->text) < 0)
        fail_at(c, "written bytes", in->name, out->name, buf_str(&relay.out));
    buf_release(&relay.out);
    in->writer_free(relay.writer);
}

static void check_answer(const struct test_case *c, const struct dialect *in,
                         const struct dialect *out, struct ask_plan plan)
{
    const struct section *client = find(c, "client", in->name, "from", out->name);
    const struct section *whole = find(c, "answer", out->name, "to", in->name);
    struct answer_options options = options_of(plan);
    struct answer answer;
    if (!client)
        return;
    dialect_answer_init(&answer, BYTES_MAX);
    if (whole) {
        if (out->read_answer(whole->text, &options, answer_sink_of(&answer)) != ERR_OK)
            fail_at(c, "answer not read", in->name, out->name, whole->text);
        check_shown(c, "answer", in, out, &answer, client->text);
    }
    for (size_t i = 0; i < c->count; i++) {
        const struct section *s = &c->sections[i];
        if (!str_eq(s->kind, STR("stream")) || !str_eq(s->dialect, out->name))
            continue;
        dialect_answer_reset(&answer);
        read_stream(out, s->text, plan, answer_sink_of(&answer));
        check_shown(c, "stream", in, out, &answer, client->text);
        if (in->writer_new)
            check_written(c, in, out, s->text, plan, client->text);
    }
    dialect_answer_release(&answer);
}

/* ---- The table ---- */

static void check_case(const char *path)
{
    struct test_case c;
    size_t before = checks;
    read_case(&c, path);
    for (const struct dialect *const *in = dialect_table; *in; in++)
        for (const struct dialect *const *out = dialect_table; *out; out++) {
            struct arena a;
            struct ask_plan plan = {0};
            arena_init(&a);
            if ((*in)->read_ask && check_request(&c, *in, *out, &a, &plan))
                check_answer(&c, *in, *out, plan);
            arena_release(&a);
        }
    free(c.bytes);
    if (checks == before) {
        print_error("%s: says nothing that is checked\n", path);
        failures++;
    }
}

static void every_pair_passes_every_case(void **state)
{
    (void)state;
    glob_t found;
    assert_int_equal(glob("tests/data/dialect/*.case", 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= 40);
    for (size_t i = 0; i < found.gl_pathc; i++)
        check_case(found.gl_pathv[i]);
    globfree(&found);
    assert_int_equal(failures, 0);
    assert_true(checks > 250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_passes_every_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
