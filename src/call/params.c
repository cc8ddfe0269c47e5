/* An alias's `params`: members that the request is given where it is silent. */
#include "call/call_int.h"
#include "codec/json_write.h"

/* Which of the parameters the body has already: a bit each. */
static uint32_t present(struct str body, const struct config_model *alias)
{
    struct json_reader r;
    struct json_value key;
    uint32_t found = 0;
    _Static_assert(CONFIG_PARAMS_MAX <= 32, "one bit for each parameter");
    json_reader_init(&r, body, JSON_DEPTH_MAX);
    if (json_enter(&r, JSON_OBJECT))
        while (json_next_member(&r, &key))
            for (size_t i = 0; i < alias->param_count; i++)
                if (json_eq(&key, alias->params[i].name))
                    found |= UINT32_C(1) << i;
    return found;
}

struct str call_params_added(struct str body, const struct config_model *alias, struct arena *a)
{
    uint32_t have = present(body, alias);
    BUF_AUTO struct buf out = {.max = SIZE_MAX / 2};
    size_t brace = (size_t)str_index(body, '{') + 1; /* it was read: it is an object, not empty */
    buf_append_str(&out, str_take(body, brace));
    for (size_t i = 0; i < alias->param_count; i++) {
        if (have >> i & 1)
            continue;
        buf_append_char(&out, '"');
        json_escape_append(&out, alias->params[i].name);
        buf_append_str(&out, STR("\":"));
        buf_append_str(&out, alias->params[i].json);
        buf_append_char(&out, ',');
    }
    if (out.len == brace)
        return body;
    buf_append_str(&out, str_skip(body, brace));
    return arena_str(a, buf_str(&out));
}
