/* What form an answer is to have: response_format, json_schema, grammar. */
#include <string.h>

#include "model/local/engine_request_int.h"
#include "model/local/schema_grammar.h"

enum { PROBLEM_BYTES_MAX = 400 };

static enum err set_grammar(struct engine_parse *p, const char *param, struct str text,
                            bool is_json)
{
    struct engine_request *r = p->request;
    if (r->grammar.ptr)
        return engine_parse_fail(p, param,
                                 "the answer's form is given twice, the second time by "
                                 "'%s'",
                                 param);
    r->grammar = arena_str(&r->arena, text);
    r->grammar_is_json = is_json;
    return ERR_OK;
}

static enum err set_schema(struct engine_parse *p, const char *param, struct str schema)
{
    BUF_AUTO struct buf grammar;
    BUF_AUTO struct buf why;
    buf_init(&grammar, SCHEMA_GRAMMAR_BYTES_MAX);
    buf_init(&why, PROBLEM_BYTES_MAX);
    if (schema_grammar_add(schema, STR("root"), &grammar, &why) != ERR_OK)
        return engine_parse_fail(p, param, "%.*s", STR_ARG(buf_str(&why)));
    schema_grammar_finish(&grammar);
    return set_grammar(p, param, buf_str(&grammar), true);
}

static enum err set_object(struct engine_parse *p, const char *param)
{
    BUF_AUTO struct buf grammar;
    buf_init(&grammar, SCHEMA_GRAMMAR_BYTES_MAX);
    buf_append_str(&grammar, STR("root ::= object\n"));
    schema_grammar_finish(&grammar);
    return set_grammar(p, param, buf_str(&grammar), true);
}

enum err engine_parse_format(struct engine_parse *p)
{
    struct json_value schema;
    struct json_value v = json_take(&p->json), type = {0};
    if (v.kind == JSON_NULL || p->json.fault)
        return ERR_OK;
    if (v.kind != JSON_OBJECT || !json_find(v.raw, "type", &type))
        return engine_parse_fail(p, "response_format", "'response_format' must have a type");
    if (json_eq(&type, STR("text")))
        return ERR_OK;
    if (json_eq(&type, STR("json_object")))
        return json_find(v.raw, "schema", &schema)
                   ? set_schema(p, "response_format.schema", schema.raw)
                   : set_object(p, "response_format");
    if (!json_eq(&type, STR("json_schema")))
        return engine_parse_fail(p, "response_format.type",
                                 "'response_format.type' must be text, json_object or json_schema");
    if (!json_find(v.raw, "json_schema.schema", &schema))
        return engine_parse_fail(p, "response_format.json_schema",
                                 "'response_format.json_schema' must have a schema");
    return set_schema(p, "response_format.json_schema.schema", schema.raw);
}

enum err engine_parse_schema(struct engine_parse *p)
{
    struct json_value v = json_take(&p->json);
    if (v.kind == JSON_NULL || p->json.fault)
        return ERR_OK;
    return set_schema(p, "json_schema", v.raw);
}

enum err engine_parse_grammar(struct engine_parse *p)
{
    struct json_value v = json_take(&p->json);
    struct str text = json_text(&v, &p->request->arena);
    if (v.kind == JSON_NULL || (v.kind == JSON_STRING && text.len == 0))
        return ERR_OK;
    if (v.kind != JSON_STRING || memchr(text.ptr, 0, text.len))
        return engine_parse_fail(p, "grammar", "'grammar' must be a string in GBNF");
    if (text.len > ENGINE_GRAMMAR_BYTES_MAX)
        return engine_parse_fail(p, "grammar", "'grammar' has %zu bytes; at most %d are possible",
                                 text.len, ENGINE_GRAMMAR_BYTES_MAX);
    return set_grammar(p, "grammar", text, false);
}
