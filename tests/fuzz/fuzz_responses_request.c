/* Requests of the Responses API: read, and written for every target. What is taken is written as
 * JSON or refused with a reason; a conversation put together from a turn and a request is read like
 * any other request. */
#include <stdint.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "dialect/dialect.h"
#include "dialect/responses_items.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_BYTES_MAX = 1 << 15, DEPTH_MAX = 64 };

static void check_json(struct str text)
{
    struct json_value value;
    ASSERT(json_validate(text, JSON_DEPTH_MAX, &value) == ERR_OK && value.kind == JSON_OBJECT);
}

static void write_for(const struct dialect *target, const char *model, const struct ask *ask,
                      struct arena *a)
{
    struct ask_target to = {.model = str_from_c(model)};
    struct ask_plan plan = {.single_tool = false};
    struct openai_problem problem = {.message = ""};
    struct buf out BUF_AUTO;
    buf_init(&out, (size_t)BODY_BYTES_MAX * 64);
    enum err err = target->write_ask(ask, &to, a, &out, &plan, &problem);
    if (err == ERR_OK)
        check_json(buf_str(&out));
    else
        ASSERT(*problem.message);
}

/* Whatever was asked for by reference is this. */
static enum err find(void *arg, struct str id, struct buf *out)
{
    (void)arg;
    if (id.len > 8)
        return ERR_NOT_FOUND;
    buf_append_str(out, STR("{\"type\":\"message\",\"role\":\"assistant\",\"content\":\"x\"}"));
    return ERR_OK;
}

static void put_together(struct str body, const struct responses_lean *lean, struct arena *a)
{
    static const struct responses_finder finder = {.find = find};
    struct responses_turn turn = {
        STR("0123456789abcdef0123456789abcdef"),
        lean->input,
        {.raw = STR_INIT("[{\"type\":\"reasoning\",\"summary\":[]}]"), .kind = JSON_ARRAY}};
    struct buf whole BUF_AUTO;
    struct buf list BUF_AUTO;
    struct ask *ask;
    struct openai_problem problem = {.message = ""};
    buf_init(&whole, (size_t)BODY_BYTES_MAX * 64);
    buf_init(&list, (size_t)BODY_BYTES_MAX * 64);
    if (responses_expand(body, &turn, 1, &finder, &whole) == ERR_OK) {
        check_json(buf_str(&whole));
        enum err err =
            dialect_responses.read_ask(buf_str(&whole), JSON_DEPTH_MAX, a, &ask, &problem);
        ASSERT(err == ERR_OK || *problem.message);
    }
    struct responses_page page = {.limit = 5, .ascending = body.len & 1};
    if (responses_list_items(&turn, 1, &turn, &finder, &page, &list) == ERR_OK)
        check_json(buf_str(&list));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct ask *ask = NULL;
    struct openai_problem problem = {.message = ""};
    struct chat_request request;
    struct responses_lean lean;
    if (size > BODY_BYTES_MAX)
        return 0;
    struct str body = str_of((const char *)data, size);
    arena_init(&a);
    enum err err = dialect_responses.read_ask(body, DEPTH_MAX, &a, &ask, &problem);
    if (err == ERR_OK) {
        write_for(&dialect_openai, "gpt-5", ask, &a);
        write_for(&dialect_anthropic, "claude-sonnet-4-5", ask, &a);
        write_for(&dialect_gemini, "gemini-3-pro", ask, &a);
        write_for(&dialect_gemini, "gemini-2.5-flash", ask, &a);
    } else {
        ASSERT(*problem.message && *problem.type);
    }
    if (dialect_responses.watch->read_request(body, DEPTH_MAX, &a, &request, &problem) == ERR_OK)
        ASSERT(request.prompt_tokens >= 0 && request.max_tokens >= 0 && request.n == 1);
    if (responses_lean_read(body, DEPTH_MAX, &a, &lean) == ERR_OK)
        put_together(body, &lean, &a);
    arena_release(&a);
    return 0;
}
