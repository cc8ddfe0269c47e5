/* Requests of any bytes, from one dialect to another, which the first two bytes choose. What is
 * written is a JSON object, which the target's own reader understands; what is refused says why.
 * The third byte chooses a model of the target. */
#include <stdint.h>

#include "base/assert.h"
#include "dialect/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_BYTES_MAX = 1 << 16, OUT_BYTES_MAX = 64 << 20, DEPTH_MAX = 128 };

static const struct str models[] = {
    STR_INIT("claude-sonnet-4-5"),
    STR_INIT("claude-opus-4-7"),
    STR_INIT("claude-3-5-haiku"),
    STR_INIT("gpt-5"),
    STR_INIT("qwen3"),
    STR_INIT("gemini-2.5-pro"),
    STR_INIT("a/\"b\""),
};

static const struct dialect *choose(uint8_t byte)
{
    size_t count = 1;
    while (dialect_table[count])
        count++;
    ASSERT(count > 0);
    return dialect_table[byte % count];
}

/* The target's own reader takes it; its limits count what came of one part, so they may refuse. */
static void read_again(const struct dialect *out, struct str body, struct arena *a)
{
    struct openai_problem problem = {0};
    struct ask *ask;
    if (!out->read_ask)
        return;
    enum err e = out->read_ask(body, JSON_DEPTH_MAX, a, &ask, &problem);
    ASSERT(e == ERR_OK || e == ERR_TOO_LARGE || e == ERR_INVALID || e == ERR_UNSUPPORTED);
    ASSERT(e == ERR_OK || *problem.message);
}

static void write(const struct ask *ask, const struct dialect *out, struct str model,
                  struct arena *a)
{
    struct ask_target target = {.model = model};
    struct ask_plan plan = {0};
    struct openai_problem problem = {0};
    struct json_value value;
    struct buf body BUF_AUTO;
    buf_init(&body, OUT_BYTES_MAX);
    enum err e = out->write_ask(ask, &target, a, &body, &plan, &problem);
    ASSERT(e == ERR_OK || *problem.message);
    if (e != ERR_OK)
        return;
    ASSERT(json_validate(buf_str(&body), JSON_DEPTH_MAX, &value) == ERR_OK);
    ASSERT(value.kind == JSON_OBJECT);
    read_again(out, buf_str(&body), a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct openai_problem problem = {0};
    struct arena a;
    struct ask *ask;
    if (size < 3 || size > BODY_BYTES_MAX)
        return 0;
    const struct dialect *in = choose(data[0]), *out = choose(data[1]);
    struct str body = str_of((const char *)data + 3, size - 3);
    if (!in->read_ask || !out->write_ask)
        return 0;
    arena_init(&a);
    if (in->read_ask(body, DEPTH_MAX, &a, &ask, &problem) == ERR_OK)
        write(ask, out, models[data[2] % (sizeof models / sizeof *models)], &a);
    else
        ASSERT(*problem.message);
    arena_release(&a);
    return 0;
}
