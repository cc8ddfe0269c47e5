/* Lookups in a finished snapshot. No allocation, no lock: this is each call's way to its targets.
 */
#include "config/config_int.h"

#include "base/assert.h"

enum {
    MODEL_BYTES_MAX = 1024, /* longer names are nobody's */
    SHOWN_BYTES_MAX = 100
};

const struct config_provider *config_provider_find(const struct config *c, struct str name)
{
    if (str_eq(name, STR("local")))
        return c->local_provider;
    int64_t i = name_index_find(c->private_->provider_index, name);
    return i == NAME_INDEX_NONE ? NULL : &c->providers[i];
}

const struct config_model *config_model_find(const struct config *c, struct str name)
{
    int64_t i = name_index_find(c->private_->model_index, name);
    return i == NAME_INDEX_NONE ? NULL : &c->models[i];
}

bool config_provider_upstream(const struct config_provider *p, struct str model,
                              struct str *ret_upstream)
{
    if (model.len == 0)
        return false;
    if (p->model_count == 0) {
        *ret_upstream = model;
        return true;
    }
    int64_t i = name_index_find(p->model_index, model);
    if (i == NAME_INDEX_NONE)
        return false;
    *ret_upstream = p->models[i].upstream;
    return true;
}

enum err config_resolve(const struct config *c, struct str model, struct config_route *ret_route)
{
    struct config_route route = {.retry = &c->private_->default_retry,
                                 .deadline_ms = CONFIG_DEADLINE_DEFAULT_MS};
    if (model.len > MODEL_BYTES_MAX)
        return ERR_NOT_FOUND;
    route.alias = config_model_find(c, model);
    if (route.alias) {
        if (route.alias->target_count == 0)
            return ERR_NOT_FOUND;
        route.retry = &route.alias->retry;
        route.deadline_ms = route.alias->deadline_ms;
        *ret_route = route;
        return ERR_OK;
    }
    struct str rest = model;
    struct str name = str_split(&rest, '/');
    const struct config_provider *p = rest.ptr ? config_provider_find(c, name) : NULL;
    route.direct = (struct config_target){.provider = p, .model = rest, .name = model, .weight = 1};
    if (!p || p->left_out.len || !config_provider_upstream(p, rest, &route.direct.upstream))
        return ERR_NOT_FOUND;
    *ret_route = route;
    return ERR_OK;
}

/* ---- Why not ---- */

static void append_shown(struct buf *text, struct str name)
{
    struct str part = str_take(name, SHOWN_BYTES_MAX);
    while (part.len < name.len && part.len && ((unsigned char)name.ptr[part.len] & 0xc0) == 0x80)
        part.len--;
    for (size_t i = 0; i < part.len; i++) {
        unsigned char c = (unsigned char)part.ptr[i];
        buf_append_char(text, c < 0x20 || c == 0x7f ? '?' : (char)c);
    }
    if (part.len < name.len)
        buf_append_str(text, STR("…"));
}

/* A provider that lists this bare name, e.g. 'vllm' for 'qwen3-32b'. */
static const struct config_provider *find_lister(const struct config *c, struct str model)
{
    ASSERT(c->providers || !c->provider_count);
    for (size_t i = 0; i < c->provider_count; i++) {
        const struct config_provider *p = &c->providers[i];
        if (p->model_count && name_index_find(p->model_index, model) != NAME_INDEX_NONE)
            return p;
    }
    return NULL;
}

static void explain_provider(const struct config_provider *p, struct str model, struct buf *text)
{
    struct suggestion near = suggestion_for(model);
    if (p->left_out.len) {
        buf_printf(text, ": provider '%.*s' is left out, because %.*s", STR_ARG(p->name),
                   STR_ARG(p->left_out));
        return;
    }
    if (model.len == 0) {
        buf_printf(text, ": write a model's name after '%.*s/'", STR_ARG(p->name));
        return;
    }
    for (size_t i = 0; i < p->model_count; i++)
        suggestion_offer(&near, p->models[i].name);
    if (near.best.ptr)
        buf_printf(text, ", did you mean '%.*s/%.*s'?", STR_ARG(p->name), STR_ARG(near.best));
    else
        buf_printf(text, ": provider '%.*s' lists its models, and this is none of them",
                   STR_ARG(p->name));
}

static void explain_unknown(const struct config *c, struct str model, struct buf *text)
{
    struct suggestion near = suggestion_for(model);
    const struct config_provider *lister = find_lister(c, model);
    if (lister) {
        buf_printf(text, ", did you mean '%.*s/%.*s'?", STR_ARG(lister->name), STR_ARG(model));
        return;
    }
    ASSERT(c->models || !c->model_count);
    for (size_t i = 0; i < c->model_count; i++)
        suggestion_offer(&near, c->models[i].name);
    if (near.best.ptr)
        buf_printf(text, ", did you mean '%.*s'?", STR_ARG(near.best));
    else
        buf_append_str(text, STR(": write an alias, provider/model or local/name; GET /v1/models "
                                 "lists them"));
}

void config_resolve_explain(const struct config *c, struct str model, struct buf *text)
{
    const struct config_model *alias = config_model_find(c, model);
    struct str rest = model;
    struct str name = str_split(&rest, '/');
    const struct config_provider *p = rest.ptr ? config_provider_find(c, name) : NULL;
    buf_append_str(text, alias ? STR("no target of model '") : STR("unknown model '"));
    append_shown(text, model);
    buf_append_char(text, '\'');
    if (alias)
        buf_printf(text, " is there: %.*s", STR_ARG(alias->left_out));
    else if (p)
        explain_provider(p, rest, text);
    else
        explain_unknown(c, model, text);
}
