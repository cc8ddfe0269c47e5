/* A configuration loaded from texts: file, other files, environment. */
#ifndef WEIR_TESTS_UNIT_CONFIG_LOADED_H
#define WEIR_TESTS_UNIT_CONFIG_LOADED_H

#include "config/config.h"

/* Names and values in turn, ended by a NULL name. */
struct outside {
    const char *yaml; /* of weir.yaml; NULL: there is none */
    const char *const *env;
    const char *const *files;
};

static inline const char *pairs_find(const char *const *pairs, const char *name)
{
    for (; pairs && pairs[0]; pairs += 2)
        if (strcmp(pairs[0], name) == 0)
            return pairs[1];
    return NULL;
}

static inline struct str outside_env(void *arg, const char *name)
{
    return str_from_c(pairs_find(((struct outside *)arg)->env, name));
}

static inline enum err outside_file(void *arg, const char *path, struct buf *bytes)
{
    struct outside *o = (struct outside *)arg;
    const char *text = strcmp(path, "weir.yaml") == 0 ? o->yaml : pairs_find(o->files, path);
    if (!text)
        return ERR_NOT_FOUND;
    buf_append_str(bytes, str_from_c(text));
    return bytes->error;
}

struct loaded {
    enum err error;
    struct config *config; /* NULL on error */
    struct config_report report;
    const char *mistakes;
    const char *warnings;
};

static inline void loaded_from(struct loaded *l, struct outside outside,
                               struct config_options options)
{
    struct config_source source = {.env = outside_env, .file = outside_file, .arg = &outside};
    l->config = NULL;
    options.source = &source;
    config_report_init(&l->report);
    l->error = config_load(&options, &l->report, &l->config);
    l->mistakes = buf_cstr(&l->report.mistakes);
    l->warnings = buf_cstr(&l->report.warnings);
}

static inline void loaded_yaml(struct loaded *l, const char *yaml)
{
    loaded_from(l, (struct outside){.yaml = yaml}, (struct config_options){.source = NULL});
}

static inline void loaded_release(struct loaded *l)
{
    config_put(l->config);
    config_report_release(&l->report);
}

#endif
