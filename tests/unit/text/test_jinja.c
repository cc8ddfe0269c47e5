/* Templates, values from JSON, and what comes out. What real templates make of real chats is held
 * against Jinja itself by tests/clients/test_local_templates.py. */
#include "tests/unit/unit.h"

#include "base/mem.h"
#include "text/jinja.h"

/* Of values: a is "A b", n is 3, l is [1, 2, 3], d is {"k": "v", "items": 1}, f is 1.5 and nothing
 * is undefined. */
static const struct jinja_input inputs[] = {
    {STR_INIT("a"), STR_INIT("\"A b\""), false},
    {STR_INIT("n"), STR_INIT("3"), false},
    {STR_INIT("l"), STR_INIT("[1, 2, 3]"), false},
    {STR_INIT("d"), STR_INIT("{\"k\": \"v\", \"items\": 1}"), false},
    {STR_INIT("f"), STR_INIT("1.5"), true},
    {STR_INIT("who"), STR_INIT("[{\"name\": \"x\", \"age\": 3}, {\"name\": \"Y\", \"age\": 1}]"),
     false},
};

static enum err render(const char *source, struct jinja_output *out, struct buf *problem,
                       bool *raised)
{
    struct jinja_template *t;
    struct jinja_options o = {inputs, sizeof inputs / sizeof *inputs, 1790000000};
    TRY(jinja_parse(str_from_c(source), problem, &t));
    enum err e = jinja_render(t, &o, out, problem, raised);
    jinja_free(t);
    return e;
}

static const struct {
    const char *in, *out;
} cases[] = {
    {"plain { text } %}", "plain { text } %}"},
    {"", ""},
    {"x\n", "x"},
    {"x\n\n", "x\n"},
    {"a\r\nb\rc", "a\nb\nc"},
    /* White space. */
    {"  {% if n %}  \n  y\n  {% endif %}  \nz", "  \n  y\n  \nz"},
    {"  {% if n %}\n  y\n  {% endif %}\nz", "  y\nz"},
    {"{{ n }}\n{{ n }}", "3\n3"},
    {"a  {{- n -}}  b", "a3b"},
    {"a\n {%- if 1 -%} \n b {%- endif %} c", "ab c"},
    {"  {%+ if 1 %}x{% endif %}", "  x"},
    {"a{# no {{ n }} #}b\n{# x #}\nc", "ab\nc"},
    {"{% raw %}{{ n }}{% endraw %}", "{{ n }}"},
    /* Values and operators. */
    {"{{ 1 + 2 * 3 ** 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }}", "19 3 -4 2 3.5"},
    {"{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ not 1 == 2 }}", "True False True"},
    {"{{ a ~ n ~ none }} {{ 'x' 'y' }} {{ 'ab' * 2 }}", "A b3None xy abab"},
    {"{{ 1.0 }} {{ 1e20 }} {{ 0.1 + 0.2 }} {{ 1e-5 }}", "1.0 1e+20 0.30000000000000004 1e-05"},
    {"{{ [1, 'a', none, true] }} {{ (1,) }} {{ {'a': 1} }}", "[1, 'a', None, True] (1,) {'a': 1}"},
    {"{{ \"it's\" }} {{ [\"it's\"] }} {{ ['\\n'] }}", "it's [\"it's\"] ['\\n']"},
    {"{{ 'yes' if n > 2 else 'no' }}{{ 'x' if false }}", "yes"},
    {"{{ 2 in l }} {{ 'k' in d }} {{ 'b' not in a }}", "True True False"},
    {"{{ nothing }}{{ nothing is defined }} {{ d.no is none }} {{ d.get('no') is none }}",
     "False False True"},
    {"{{ d.k }}{{ d['k'] }}{{ d['items'] }}", "vv1"},
    {"{{ l[0] }}{{ l[-1] }}{{ l[1:] }}{{ l[::-1] }}{{ a[0] }}{{ a[-1:] }}{{ l[7] }}",
     "13[2, 3][3, 2, 1]Ab"},
    {"{{ '\\u00e9é'|length }} {{ 'éa'[1] }} {{ 'aé'[::-1] }}", "2 a éa"},
    /* Statements. */
    {"{% for x in l %}{{ loop.index }}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}",
     "11,22,33"},
    {"{% for x in l if x > 1 %}{{ loop.length }}{{ x }}{% else %}none{% endfor %}", "2223"},
    {"{% for x in [] %}{% else %}none{% endfor %}", "none"},
    {"{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "k=v;items=1;"},
    {"{% for x in l %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% break %}{% endfor %}", "1"},
    {"{% for x in l %}{{ loop.previtem }}-{{ loop.nextitem }} {% endfor %}", "-2 1-3 2- "},
    {"{% set x = 1 %}{% for y in l %}{% set x = x + y %}{% endfor %}{{ x }}", "1"},
    {"{% set ns = namespace(x=1) %}{% for y in l %}{% set ns.x = ns.x + y %}{% endfor %}{{ ns.x }}",
     "7"},
    {"{% set p, q = 1, 2 %}{{ p }}{{ q }}{% set s %}a{{ n }}{% endset %}{{ s|upper }}", "12A3"},
    {"{% macro m(x, y=2) %}[{{ x }}{{ y }}{{ n }}]{% endmacro %}{{ m(1) }}{{ m(1, y=5) }}",
     "[123][153]"},
    {"{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}in{% endcall %}", "<in>"},
    {"{% filter upper %}a{{ n }}b{% endfilter %}{% with x=1 %}{{ x }}{% endwith %}{{ x }}", "A3B1"},
    {"{% generation %}x{% endgeneration %}", "x"},
    {"{% for x in [[1, [2]], 3] recursive %}{{ loop(x) if x is not number else x }}{% endfor %}",
     "123"},
    /* Filters, tests, methods. */
    {"{{ who|map(attribute='name')|join('+') }} {{ who|selectattr('age', 'gt', 2)|list|length }}",
     "x+Y 1"},
    {"{{ who|sort(attribute='age')|map(attribute='age')|list }} {{ ['b', 'A']|sort }}",
     "[1, 3] ['A', 'b']"},
    {"{{ d|tojson }} {{ 'é\"\\n'|tojson }} {{ f|tojson }} {{ none|tojson }}",
     "{\"k\": \"v\", \"items\": 1} \"é\\\"\\n\" 1.5 null"},
    {"{{ {'b': [1], 'a': {}}|tojson(indent=2) }}", "{\n  \"b\": [\n    1\n  ],\n  \"a\": {}\n}"},
    {"{{ {'b': 1, 'a': 2}|tojson(separators=(',', ':'), sort_keys=true) }}", "{\"a\":2,\"b\":1}"},
    {"{{ '<é>'|tojson(ensure_ascii=true) }}", "\"<\\u00e9>\""},
    {"{{ ' x '|trim }}{{ nothing|default('d') }}{{ ''|default('e', true) }}", "xde"},
    {"{{ 'a-b-c'.split('-') }} {{ ' a  b '.split() }} {{ 'a-b-c'.rsplit('-', 1)[0] }}",
     "['a', 'b', 'c'] ['a', 'b'] a-b"},
    {"{{ 'x<think>y'.split('<think>')[-1] }} {{ 'aXbX'.replace('X', '') }} {{ 'ab'.replace('', "
     "'-') }}",
     "y ab -a-b-"},
    {"{{ 'abc'.startswith(('x', 'a')) }} {{ 'xxaxx'.strip('x') }} {{ 'hello world'.title() }}",
     "True a Hello World"},
    {"{{ '{} {1}{n}'.format('a', 'b', n=3) }} {{ '%s-%d'|format('x', 4) }}", "a b3 x-4"},
    {"{{ a is string }} {{ d is mapping }} {{ l is iterable }} {{ n is odd }} {{ true is boolean "
     "}}",
     "True True True True True"},
    {"{{ n is divisibleby 3 }} {{ 'x' is in ['x'] }} {{ 1 is number and 1 is not string }}",
     "True True True"},
    {"{{ 'a\nb'|indent(2) }} {{ '7x'|int(5) }} {{ '12'|int + 1 }} {{ l|sum }} {{ l|max }}",
     "a\n  b 5 13 6 3"},
    {"{{ [3, 1, 3]|unique|list }} {{ l|reverse|list }} {{ l|first }}{{ l|last }}",
     "[3, 1] [3, 2, 1] 13"},
    {"{{ range(3)|list }} {{ range(5, 0, -2)|list }} {{ dict(a=1) }}",
     "[0, 1, 2] [5, 3, 1] {'a': 1}"},
    {"{{ '[1, {\"a\": null}]'|from_json }} {{ d|dictsort }}",
     "[1, {'a': None}] [('items', 1), ('k', 'v')]"},
    {"{{ strftime_now('%d %b %Y, %-d %B') }}", "21 Sep 2026, 21 September"},
};

static void it_renders(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        BUF_AUTO struct buf problem;
        struct jinja_output out;
        buf_init(&problem, 400);
        jinja_output_init(&out, 10000);
        enum err e = render(cases[i].in, &out, &problem, NULL);
        if (e != ERR_OK)
            fail_msg("%s: %.*s", cases[i].in, STR_ARG(buf_str(&problem)));
        if (!str_eq(buf_str(&out.text), str_from_c(cases[i].out)))
            fail_msg("%s gives %.*s", cases[i].in, STR_ARG(buf_str(&out.text)));
        jinja_output_release(&out);
    }
}

static const struct {
    const char *in, *problem;
} mistakes[] = {
    {"\n{% if %}x{% endif %}", "line 2: '' stands where a value should"},
    {"{% for x in l %}", "the template ends where 'else' should come"},
    {"{{ n", "line 1: a tag has no end"},
    {"{{ 'n }}", "a string has no end"},
    {"{# x", "a comment has no end"},
    {"{% include 'x' %}", "'include' is not a statement that is supported"},
    {"{{ n|nofilter }}", "there is no filter 'nofilter'"},
    {"{{ n is notest }}", "there is no test 'notest'"},
    {"{{ nothing.x }}", "'nothing' is undefined"},
    {"{{ nothing() }}", "'nothing' is undefined"},
    {"{{ n() }}", "a int cannot be called"},
    {"{{ l.append(1) }}", "'append' would change a value"},
    {"{{ n.__class__ }}", "access to '__class__' is not allowed"},
    {"{{ a + n }}", "an operator does not take a str and a int"},
    {"{{ 1 // 0 }}", "division by zero"},
    {"\xC1x", "the template is not valid UTF-8"},
    {"{% break %}", "break and continue belong into a for"},
    {"{% set n.x = 1 %}", "attributes can be set on a namespace only"},
    {"{% for x in n %}{% endfor %}", "a int cannot be gone over"},
    {"{{ 9223372036854775807 + 1 }}", "a number has more than 64 bits"},
    {"{{ range(99999999999)|list }}", "the template takes too much memory"},
    {"{{ 'abcdefgh' * 99999999 }}", "the template takes too much memory"},
    {"{% set r = range(9999) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}",
     "the template takes more than 20000000 steps"},
    {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
     "the template nests deeper than 600 levels"},
};

static void mistakes_say_where(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        BUF_AUTO struct buf problem;
        struct jinja_output out;
        buf_init(&problem, 400);
        jinja_output_init(&out, 10000);
        assert_int_equal(render(mistakes[i].in, &out, &problem, NULL), ERR_INVALID);
        if (str_find(buf_str(&problem), str_from_c(mistakes[i].problem)) < 0)
            fail_msg("%s: %.*s", mistakes[i].in, STR_ARG(buf_str(&problem)));
        jinja_output_release(&out);
    }
}

static void a_template_may_refuse(void **state)
{
    BUF_AUTO struct buf problem;
    struct jinja_output out;
    bool raised = false;
    (void)state;
    buf_init(&problem, 400);
    jinja_output_init(&out, 10000);
    assert_int_equal(render("{{ raise_exception('roles ' ~ n) }}", &out, &problem, &raised),
                     ERR_INVALID);
    assert_true(raised);
    assert_string_equal(buf_cstr(&problem), "roles 3");
    jinja_output_release(&out);
}

/* Foreign bytes in square brackets. */
static void expect_foreign(const char *source, const char *expected)
{
    BUF_AUTO struct buf problem;
    BUF_AUTO struct buf shown;
    struct jinja_output out;
    size_t at = 0;
    buf_init(&problem, 400);
    buf_init(&shown, 10000);
    jinja_output_init(&out, 10000);
    assert_int_equal(render(source, &out, &problem, NULL), ERR_OK);
    const struct jinja_span *span = (const void *)out.foreign.ptr;
    for (size_t i = 0; i < out.foreign.len / sizeof *span; i++) {
        buf_append(&shown, out.text.ptr + at, span[i].at - at);
        buf_printf(&shown, "[%.*s]", (int)span[i].len, out.text.ptr + span[i].at);
        at = span[i].at + span[i].len;
    }
    buf_append_str(&shown, str_skip(buf_str(&out.text), at));
    assert_string_equal(buf_cstr(&shown), expected);
    jinja_output_release(&out);
}

static void the_output_knows_what_is_foreign(void **state)
{
    (void)state;
    expect_foreign("x{{ a }}y", "x[A b]y");
    expect_foreign("{{ 'x' + a|upper + 'y' ~ a }}", "x[A B]y[A b]");
    expect_foreign("{{ a.split(' ')[1] }}{{ a[0] }}{{ a.replace('b', 'c') }}", "[bAA ]c");
    expect_foreign("{{ d|tojson }}", "{\"[k]\": \"[v]\", \"[items]\": 1}");
    expect_foreign("{% set s %}<{{ a }}>{% endset %}{{ s|trim('<>') }}{{ s|length }}", "[A b]5");
    expect_foreign("{{ [a, 'x']|join('-') }}{{ [a] }}", "[A b]-x['[A b]']");
    expect_foreign("{{ n }}{{ f }}", "31.5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_renders),
        cmocka_unit_test(mistakes_say_where),
        cmocka_unit_test(a_template_may_refuse),
        cmocka_unit_test(the_output_knows_what_is_foreign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
