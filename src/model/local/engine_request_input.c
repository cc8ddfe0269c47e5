/* Prompts, inputs and documents: text, tokens, lists of either. */
#include <stdio.h>
#include <string.h>

#include "model/local/engine_request_int.h"

/* Tokens are given as numbers of at most some digits; a body holds no more of them than that. */
enum { TOKEN_LIST_BYTES_MAX = FRAME_REQUEST_BYTES_MAX * 2 };

struct list {
    struct buf inputs; /* of struct engine_input */
    struct buf tokens; /* of int32_t, of the input at hand */
};

static enum err add_token(struct engine_parse *p, const char *name, struct buf *tokens)
{
    int64_t number;
    struct json_value v = json_take(&p->json);
    if (json_to_i64(&v, &number) != ERR_OK || number < 0 || number > INT32_MAX)
        return engine_parse_fail(p, name, "'%s' holds a token that is not a whole number", name);
    int32_t token = (int32_t)number;
    buf_append(tokens, &token, sizeof token);
    return ERR_OK;
}

static enum err add_input(struct engine_parse *p, const char *name, struct list *list,
                          const struct engine_input *input)
{
    if (list->inputs.len / sizeof *input == ENGINE_INPUTS_MAX)
        return engine_parse_fail(p, name, "'%s' has more than %d entries", name, ENGINE_INPUTS_MAX);
    buf_append(&list->inputs, input, sizeof *input);
    return ERR_OK;
}

/* The tokens collected are an input. */
static enum err add_tokens(struct engine_parse *p, const char *name, struct list *list)
{
    struct engine_input input = {.token_count = list->tokens.len / sizeof(int32_t)};
    if (input.token_count == 0)
        return engine_parse_fail(p, name, "'%s' holds an empty list of tokens", name);
    int32_t *tokens = ARENA_ARRAY(&p->request->arena, int32_t, input.token_count);
    memcpy(tokens, list->tokens.ptr, list->tokens.len);
    input.tokens = tokens;
    buf_reset(&list->tokens);
    return add_input(p, name, list, &input);
}

static enum err add_string(struct engine_parse *p, const char *name, struct list *list)
{
    struct json_value v = json_take(&p->json);
    struct engine_input input = {.text = json_text(&v, &p->request->arena)};
    return add_input(p, name, list, &input);
}

static enum err add_token_list(struct engine_parse *p, const char *name, struct list *list)
{
    if (!json_enter(&p->json, JSON_ARRAY))
        return engine_parse_fail(
            p, name, "'%s' must be a string, a list of tokens, or a list of either", name);
    while (json_next_element(&p->json))
        TRY(add_token(p, name, &list->tokens));
    return add_tokens(p, name, list);
}

/* A list: of tokens (one input), or of inputs. */
static enum err add_list(struct engine_parse *p, const char *name, struct list *list)
{
    while (json_next_element(&p->json)) {
        enum json_kind kind = json_peek(&p->json);
        if (kind == JSON_NUMBER && list->inputs.len == 0)
            TRY(add_token(p, name, &list->tokens));
        else if (list->tokens.len > 0)
            return engine_parse_fail(p, name, "'%s' mixes tokens with other values", name);
        else if (kind == JSON_STRING)
            TRY(add_string(p, name, list));
        else
            TRY(add_token_list(p, name, list));
    }
    if (list->tokens.len > 0)
        return add_tokens(p, name, list);
    p->request->inputs_listed = true;
    if (list->inputs.len == 0 && !p->json.fault)
        return engine_parse_fail(p, name, "'%s' is an empty list", name);
    return ERR_OK;
}

static void keep(struct engine_parse *p, const struct list *list)
{
    struct engine_request *r = p->request;
    r->input_count = list->inputs.len / sizeof *r->inputs;
    r->inputs = ARENA_ARRAY(&r->arena, struct engine_input, r->input_count + 1);
    if (r->input_count)
        memcpy(r->inputs, list->inputs.ptr, list->inputs.len);
}

static void list_init(struct list *list)
{
    buf_init(&list->inputs, ENGINE_INPUTS_MAX * sizeof(struct engine_input));
    buf_init(&list->tokens, TOKEN_LIST_BYTES_MAX);
}

static void list_release(struct list *list)
{
    buf_release(&list->inputs);
    buf_release(&list->tokens);
}

enum err engine_parse_inputs(struct engine_parse *p, const char *name)
{
    struct list list;
    enum err e;
    list_init(&list);
    p->request->inputs_listed = false;
    if (json_peek(&p->json) == JSON_STRING)
        e = add_string(p, name, &list);
    else if (json_enter(&p->json, JSON_ARRAY))
        e = add_list(p, name, &list);
    else
        e = engine_parse_fail(p, name,
                              "'%s' must be a string, a list of tokens, or a list of either", name);
    if (e == ERR_OK)
        keep(p, &list);
    list_release(&list);
    return e;
}

/* ---- Documents ---- */

static enum err add_document(struct engine_parse *p, struct list *list)
{
    struct json_value key, text = {0};
    if (json_peek(&p->json) == JSON_STRING)
        return add_string(p, "documents", list);
    if (!json_enter(&p->json, JSON_OBJECT))
        return engine_parse_fail(p, "documents",
                                 "an entry of 'documents' must be a string or {\"text\": …}");
    while (json_next_member(&p->json, &key))
        if (json_eq(&key, STR("text")))
            text = json_take(&p->json);
    if (text.kind != JSON_STRING)
        return engine_parse_fail(p, "documents", "an entry of 'documents' has no text");
    struct engine_input input = {.text = json_text(&text, &p->request->arena)};
    return add_input(p, "documents", list, &input);
}

static enum err add_documents(struct engine_parse *p, struct list *list)
{
    if (!json_enter(&p->json, JSON_ARRAY))
        return engine_parse_fail(p, "documents", "'documents' must be a list");
    while (json_next_element(&p->json))
        TRY(add_document(p, list));
    return ERR_OK;
}

enum err engine_parse_documents(struct engine_parse *p)
{
    struct list list;
    list_init(&list);
    enum err e = add_documents(p, &list);
    if (e == ERR_OK)
        keep(p, &list);
    list_release(&list);
    return e;
}

enum err engine_parse_query(struct engine_parse *p)
{
    struct json_value v = json_take(&p->json);
    if (v.kind != JSON_STRING)
        return engine_parse_fail(p, "query", "'query' must be a string");
    p->request->query = json_text(&v, &p->request->arena);
    return ERR_OK;
}

enum err engine_parse_encoding(struct engine_parse *p)
{
    struct json_value v = json_take(&p->json);
    bool base64 = json_eq(&v, STR("base64"));
    if (v.kind != JSON_NULL && !base64 && !json_eq(&v, STR("float")))
        return engine_parse_fail(p, "encoding_format",
                                 "'encoding_format' must be \"float\" or \"base64\"");
    p->request->base64 = base64;
    return ERR_OK;
}
