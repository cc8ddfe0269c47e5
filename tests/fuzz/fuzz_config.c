/* Configurations: whatever the file says, loading ends with a whole snapshot or with at least one
 * mistake, and no secret is in either report. A snapshot's every part is then used as the gateway
 * uses it. */
#include <stdint.h>

#include "base/assert.h"
#include "config/config.h"
#include "state/keys.h"
#include "state/prices.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REPORT_LINE_MAX = 2048 };

static const char secret[] = "s3cr3t-s3cr3t";

struct input {
    const char *bytes;
    size_t len;
};

/* A variable is set when its name begins with S; the values are secrets, sizes, and the like. */
static struct str env(void *arg, const char *name)
{
    (void)arg;
    if (name[0] != 'S')
        return STR_NONE;
    return name[1] == '1' ? STR("1") : name[1] == 'Y' ? STR("${S}*&[{\"") : str_from_c(secret);
}

static enum err file(void *arg, const char *path, struct buf *bytes)
{
    const struct input *input = arg;
    if (strcmp(path, "weir.yaml") == 0)
        buf_append(bytes, input->bytes, input->len);
    else if (strcmp(path, "f") == 0)
        buf_append_str(bytes, str_from_c(secret));
    else
        return ERR_NOT_FOUND;
    return bytes->error;
}

static void check_report(struct buf *report, unsigned count)
{
    struct str rest = buf_str(report);
    ASSERT(report->error == ERR_OK);
    ASSERT(str_find(rest, str_from_c(secret)) < 0);
    ASSERT((rest.len > 0) == (count > 0));
    ASSERT(!rest.len || rest.ptr[rest.len - 1] == '\n');
    while (rest.len)
        ASSERT(str_split(&rest, '\n').len < REPORT_LINE_MAX);
}

static void resolve(const struct config *c, struct str name)
{
    BUF_AUTO struct buf text = {.max = 1 << 16};
    struct config_route route;
    if (config_resolve(c, name, &route) != ERR_OK) {
        config_resolve_explain(c, name, &text);
        ASSERT(text.len > 0 && text.error == ERR_OK);
        return;
    }
    ASSERT(config_route_count(&route) >= 1 && config_route_count(&route) <= CONFIG_TARGETS_MAX);
    ASSERT(route.retry->attempts >= 1 && route.deadline_ms > 0);
    for (size_t i = 0; i < config_route_count(&route); i++) {
        const struct config_target *t = config_route_target(&route, i);
        ASSERT(t->provider && !t->provider->left_out.len && t->model.len && t->upstream.len);
        ASSERT(t->name.len == t->provider->name.len + 1 + t->model.len && t->weight > 0);
    }
}

static void use_snapshot(const struct config *c)
{
    struct limiters *limiters = limiters_new();
    struct keys *keys = keys_build(c, NULL, 0, limiters);
    struct prices *prices = prices_build(c);
    struct usage usage = {.input = 1000, .output = 10, .source = USAGE_PROVIDER};
    for (size_t i = 0; i < c->model_count; i++)
        resolve(c, c->models[i].name);
    for (size_t i = 0; i < c->provider_count; i++) {
        const struct config_provider *p = &c->providers[i];
        ASSERT(config_provider_find(c, p->name) == p && p->index == i);
        ASSERT(p->left_out.len || p->url.host.len);
        resolve(c, p->name);
    }
    for (size_t i = 0; i < c->price_count; i++) {
        struct cost cost;
        enum err e = prices_cost(prices, c->prices[i].target, &usage, &cost);
        ASSERT(e == ERR_OK && !decimal_is_negative(cost.amount));
    }
    ASSERT(keys_count(keys) <= c->key_count);
    ASSERT(c->log.quota_bytes == 0 || c->log.quota_bytes >= 4 << 20);
    resolve(c, STR("local/x"));
    keys_put(keys);
    prices_put(prices);
    limiters_free(limiters);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {(const char *)data, size};
    struct config_source source = {.env = env, .file = file, .arg = &input};
    struct config_options options = {.source = &source};
    struct config_report report;
    struct config *config = NULL;
    /* Where the file itself holds the secret, messages may show it. */
    if (memmem(data, size, "s3cr", 4))
        return 0;
    config_report_init(&report);
    enum err e = config_load(&options, &report, &config);
    check_report(&report.mistakes, report.mistake_count);
    check_report(&report.warnings, report.warning_count);
    ASSERT(e == ERR_OK || e == ERR_CONFIG);
    ASSERT((e == ERR_OK) == (config != NULL) && (e == ERR_OK) == (report.mistake_count == 0));
    if (config)
        use_snapshot(config);
    config_put(config);
    config_report_release(&report);
    return 0;
}
