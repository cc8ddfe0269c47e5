/* A template, a zero byte, JSON that it is rendered with. Limits hold, and what is foreign lies in
 * the text. */
#include "base/assert.h"
#include "base/mem.h"
#include "codec/json_scan.h"
#include "text/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_output(const struct jinja_output *out)
{
    const struct jinja_span *span = (const void *)out->foreign.ptr;
    size_t end = 0;
    for (size_t i = 0; i < out->foreign.len / sizeof *span; i++) {
        ASSERT(span[i].len > 0 && (i == 0 ? span[i].at >= end : span[i].at > end));
        end = span[i].at + span[i].len;
    }
    ASSERT(end <= out->text.len);
}

static void render(const struct jinja_template *t, struct str json, struct buf *problem)
{
    struct json_value v;
    struct jinja_output out;
    bool fine = json_validate(json, 100, &v) == ERR_OK;
    const struct jinja_input inputs[] = {
        {STR("messages"), fine ? v.raw : STR("[{\"role\":\"user\",\"content\":\"x\"}]"), false},
        {STR("bos_token"), STR("\"<s>\""), true},
        {STR("x"), STR("{\"a\":[1,2.5,null,true,\"\\u00e9\"],\"b\":\"c d\"}"), false},
    };
    struct jinja_options o = {inputs, 3, 1790000000};
    jinja_output_init(&out, 1 << 20);
    if (jinja_render(t, &o, &out, problem, NULL) == ERR_OK)
        check_output(&out);
    else
        ASSERT(problem->len > 0 || problem->error != ERR_OK);
    jinja_output_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    BUF_AUTO struct buf problem;
    struct jinja_template *t;
    struct str rest = str_of((const char *)data, size);
    if (size > 20000)
        return 0;
    struct str source = str_split(&rest, 0);
    buf_init(&problem, 1000);
    if (jinja_parse(source, &problem, &t) != ERR_OK) {
        ASSERT(problem.len > 0);
        return 0;
    }
    render(t, rest.ptr ? rest : STR_NONE, &problem);
    jinja_free(t);
    return 0;
}
