/* A reply with two tools. The first byte says where the text is cut; cut or whole, it is the same.
 */
#include "base/assert.h"
#include "codec/json_scan.h"
#include "model/local/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_text(void *arg, struct str text)
{
    ASSERT(text.len > 0);
    buf_append_str(arg, text);
}

static void on_reasoning(void *arg, struct str text)
{
    ASSERT(text.len > 0);
    buf_append_str((struct buf *)arg + 1, text);
}

static void on_call(void *arg, struct str name, struct str arguments)
{
    struct json_value v;
    ASSERT(json_validate(arguments, 200, &v) == ERR_OK && v.kind == JSON_OBJECT);
    buf_printf((struct buf *)arg + 2, "%.*s%.*s", STR_ARG(name), STR_ARG(arguments));
}

static void take_apart(struct str text, size_t cut, struct buf parts[3])
{
    static const struct reply_events events = {on_text, on_reasoning, on_call};
    static const struct str tools[] = {STR_INIT("f"), STR_INIT("g")};
    struct reply r;
    reply_init(&r, tools, 2, true, false);
    for (int i = 0; i < 3; i++)
        buf_init(&parts[i], 1 << 20);
    for (; text.len; text = str_skip(text, cut))
        reply_push(&r, str_take(text, cut), &events, parts);
    reply_finish(&r, &events, parts);
    reply_release(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole[3], cut[3];
    if (size == 0 || size > 4096)
        return 0;
    struct str text = str_of((const char *)data + 1, size - 1);
    take_apart(text, text.len + 1, whole);
    take_apart(text, (size_t)data[0] % 16 + 1, cut);
    for (int i = 0; i < 3; i++) {
        ASSERT(str_eq(buf_str(&whole[i]), buf_str(&cut[i])));
        buf_release(&whole[i]);
        buf_release(&cut[i]);
    }
    return 0;
}
