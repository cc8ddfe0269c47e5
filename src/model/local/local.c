#include "model/local/local.h"

/* Until engines can be started there is no local model: the folder is empty, whatever is in it. */
struct local_models {
    bool opened;
};

static struct local_models none;

const char *local_state_text(enum local_state state)
{
    static const char *const texts[] = {"unloaded", "loading", "ready", "failed"};
    return texts[state];
}

enum err local_models_open(const struct local_options *options, struct local_models **ret_models)
{
    (void)options;
    *ret_models = &none;
    return ERR_OK;
}

void local_models_stop(struct local_models *models, size_t loop_index)
{
    (void)models;
    (void)loop_index;
}

void local_models_free(struct local_models *models)
{
    (void)models;
}

size_t local_models_list(struct local_models *models, struct local_model_info *ret_infos,
                         size_t max)
{
    (void)models;
    (void)ret_infos;
    (void)max;
    return 0;
}

bool local_models_find(struct local_models *models, struct str name,
                       struct local_model_info *ret_info)
{
    (void)models;
    (void)name;
    (void)ret_info;
    return false;
}

static enum err start(void *driver, const struct model_request *request,
                      const struct model_events *events, void *arg, struct model_use **ret_use)
{
    (void)driver;
    (void)request;
    (void)events;
    (void)arg;
    (void)ret_use;
    return ERR_NOT_FOUND;
}

struct model_target local_models_target(struct local_models *models, size_t loop_index)
{
    static const struct model_ops ops = {.start = start};
    (void)loop_index;
    return (struct model_target){.ops = &ops, .driver = models};
}
