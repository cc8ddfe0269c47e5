#include "call/route.h"

#include <math.h>

#include "base/assert.h"
#include "base/mem.h"
#include "os/random.h"

_Static_assert(CONFIG_TARGETS_MAX <= 32, "one bit for each target");

#define BIT(i) (UINT32_C(1) << (i))

/* ---- States of a snapshot's targets ---- */

struct route_table {
    struct targets *registry;
    size_t provider_count;     /* with the built-in local one */
    struct target_state **any; /* by config_provider.index */
    size_t model_count;
    struct target_state ***models; /* by config_model.index, then by target */
    size_t *target_counts;
};

static struct target_state *any_of(struct targets *registry, const struct config_provider *p)
{
    BUF_AUTO struct buf name = {.max = CONFIG_NAME_BYTES_MAX + 2};
    buf_append_str(&name, p->name);
    buf_append_str(&name, STR("/*"));
    return target_state_get(registry, buf_str(&name), p);
}

struct route_table *route_table_new(struct targets *registry, const struct config *c)
{
    struct route_table *t = NEW(struct route_table);
    t->registry = registry;
    t->provider_count = c->provider_count + 1;
    t->any = mem_array(t->provider_count, sizeof *t->any);
    for (size_t i = 0; i < c->provider_count; i++)
        t->any[i] = any_of(registry, &c->providers[i]);
    t->any[c->provider_count] = any_of(registry, c->local_provider);
    t->model_count = c->model_count;
    t->models = mem_array(c->model_count + 1, sizeof *t->models);
    t->target_counts = mem_array(c->model_count + 1, sizeof *t->target_counts);
    for (size_t m = 0; m < c->model_count; m++) {
        const struct config_model *model = &c->models[m];
        t->target_counts[m] = model->target_count;
        t->models[m] = mem_array(model->target_count + 1, sizeof **t->models);
        for (size_t i = 0; i < model->target_count; i++)
            t->models[m][i] =
                target_state_get(registry, model->targets[i].name, model->targets[i].provider);
    }
    return t;
}

void route_table_free(struct route_table *t)
{
    if (!t)
        return;
    for (size_t m = 0; m < t->model_count; m++) {
        for (size_t i = 0; i < t->target_counts[m]; i++)
            target_state_put(t->registry, t->models[m][i]);
        mem_free(t->models[m]);
    }
    for (size_t i = 0; i < t->provider_count; i++)
        target_state_put(t->registry, t->any[i]);
    mem_free(t->target_counts);
    mem_free(t->models);
    mem_free(t->any);
    mem_free(t);
}

struct provider_state *route_table_provider(const struct route_table *table,
                                            const struct config_provider *p)
{
    ASSERT(p->index < table->provider_count);
    return table->any[p->index]->provider;
}

/* ---- Candidates ---- */

static void skip(struct route *r, size_t i, enum target_skip reason)
{
    struct route_skip *s = ARENA_NEW(r->arena, struct route_skip);
    *s = (struct route_skip){.target = config_route_target(r->to, i), .reason = reason};
    *r->skips_end = s;
    r->skips_end = &s->next;
}

struct route_skip *route_take_skips(struct route *r)
{
    struct route_skip *all = r->skips;
    r->skips = NULL;
    r->skips_end = &r->skips;
    return all;
}

static bool conditions_hold(const struct config_target *target, const struct expr_facts *facts,
                            struct arena *arena)
{
    for (size_t i = 0; i < target->condition_count; i++)
        if (!expr_holds(target->conditions[i], facts, arena))
            return false;
    return true;
}

bool route_begin(struct route *r, const struct config_route *to, const struct route_table *table,
                 uint32_t unable, const struct expr_facts *facts, struct arena *arena)
{
    const struct config_model *alias = to->alias;
    *r = (struct route){.to = to, .arena = arena};
    r->skips_end = &r->skips;
    r->states = alias ? table->models[alias->index] : &table->any[to->direct.provider->index];
    if (alias && alias->sticky == CONFIG_STICKY_USER)
        r->sticky = facts->user;
    for (size_t i = 0; i < config_route_count(to); i++) {
        if (unable & BIT(i))
            skip(r, i, TARGET_SKIP_UNABLE);
        else if (conditions_hold(config_route_target(to, i), facts, arena))
            r->candidates |= BIT(i);
        else
            skip(r, i, TARGET_SKIP_CONDITION);
    }
    r->untried = r->candidates;
    r->rounds = 1;
    return r->candidates != 0;
}

/* ---- Strategies: one of the targets in `set`, which is not empty ---- */

static size_t lowest(uint32_t set)
{
    ASSERT(set);
    return (size_t)__builtin_ctz(set);
}

/* The n-th of them, from 0. */
static size_t nth(uint32_t set, unsigned n)
{
    while (n--)
        set &= set - 1;
    return lowest(set);
}

static size_t pick_weighted(const struct route *r, uint32_t set)
{
    uint64_t total = 0;
    for (uint32_t left = set; left; left &= left - 1)
        total += config_route_target(r->to, lowest(left))->weight;
    ASSERT(total > 0);
    uint64_t at = os_random_u64() % total; /* the bias is below 2^-38 */
    uint32_t left = set;
    for (;; left &= left - 1) {
        uint64_t weight = config_route_target(r->to, lowest(left))->weight;
        if (at < weight)
            return lowest(left);
        at -= weight;
    }
}

/* The better of two random ones: nearly as good as the best of all, and no herd runs to it. */
static size_t pick_latency(const struct route *r, uint32_t set, uint64_t now_us)
{
    unsigned count = (unsigned)__builtin_popcount(set);
    unsigned first = (unsigned)(os_random_u64() % count);
    if (count == 1)
        return lowest(set);
    unsigned second = (unsigned)(os_random_u64() % (count - 1));
    second += second >= first;
    size_t a = nth(set, first), b = nth(set, second);
    return target_is_better(r->states[b], r->states[a], now_us) ? b : a;
}

static uint64_t mix(uint64_t h)
{
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 33;
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 33;
}

/* FNV-1a; the same in every version and on every machine, or users would move. */
static uint64_t hash(uint64_t h, struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        h = (h ^ (unsigned char)text.ptr[i]) * UINT64_C(1099511628211);
    return h;
}

double route_sticky_score(struct str user, struct str target, uint32_t weight)
{
    uint64_t h = hash(UINT64_C(14695981039346656037), user);
    h = mix(hash(h ^ UINT64_C(0xff), target));
    double place = ((double)(h >> 11) + 0.5) * 0x1p-53; /* in (0, 1) */
    return -(double)weight / log(place);
}

static size_t pick_sticky(const struct route *r, uint32_t set)
{
    size_t best = lowest(set);
    double best_score = -1;
    for (uint32_t left = set; left; left &= left - 1) {
        const struct config_target *t = config_route_target(r->to, lowest(left));
        double score = route_sticky_score(r->sticky, t->name, t->weight);
        if (score > best_score) {
            best_score = score;
            best = lowest(left);
        }
    }
    return best;
}

static size_t pick(const struct route *r, uint32_t set, uint64_t now_us, const char **ret_by)
{
    enum config_strategy strategy =
        r->to->alias ? r->to->alias->strategy : CONFIG_STRATEGY_FALLBACK;
    *ret_by = "order";
    if (strategy == CONFIG_STRATEGY_FALLBACK)
        return lowest(set);
    *ret_by = "sticky";
    if (r->sticky.len)
        return pick_sticky(r, set);
    *ret_by = "latency";
    if (strategy == CONFIG_STRATEGY_LATENCY)
        return pick_latency(r, set, now_us);
    *ret_by = "weight";
    return pick_weighted(r, set);
}

/* ---- Picking ---- */

static bool asked_provider(const struct route *r, const struct config_provider *p)
{
    for (uint32_t left = r->asked; left; left &= left - 1)
        if (config_route_target(r->to, lowest(left))->provider == p)
            return true;
    return false;
}

static bool enter(struct route *r, size_t i, bool force, uint64_t now_us,
                  struct route_pick *ret_pick)
{
    const struct config_target *target = config_route_target(r->to, i);
    struct target_ask ask = {
        .config = target, .retry = asked_provider(r, target->provider), .force = force};
    enum target_skip reason = target_enter(r->states[i], &ask, now_us, &ret_pick->permit);
    if (reason != TARGET_SKIP_NONE) {
        skip(r, i, reason);
        return false;
    }
    ret_pick->target = target;
    ret_pick->index = i;
    r->untried &= ~BIT(i);
    r->asked |= BIT(i);
    return true;
}

static bool pick_among(struct route *r, uint32_t set, uint64_t now_us, struct route_pick *ret_pick)
{
    bool only = (r->candidates & (r->candidates - 1)) == 0;
    while (set) {
        size_t i = pick(r, set, now_us, &ret_pick->by);
        set &= ~BIT(i);
        if (enter(r, i, only, now_us, ret_pick))
            return true;
    }
    return false;
}

/* All are down or full: of those, the one that will be up first and has room. */
static bool pick_last_resort(struct route *r, uint64_t now_us, struct route_pick *ret_pick)
{
    uint32_t set = r->candidates;
    ret_pick->by = "last_resort";
    while (set) {
        size_t best = lowest(set);
        for (uint32_t left = set; left; left &= left - 1)
            if (target_up_at_us(r->states[lowest(left)]) < target_up_at_us(r->states[best]))
                best = lowest(left);
        set &= ~BIT(best);
        if (!target_is_up(r->states[best], config_route_target(r->to, best), now_us) &&
            enter(r, best, true, now_us, ret_pick))
            return true;
    }
    return false;
}

bool route_next(struct route *r, uint64_t now_us, struct route_pick *ret_pick)
{
    uint32_t before = r->untried;
    if (pick_among(r, before, now_us, ret_pick))
        return true;
    if (!r->asked)
        return r->candidates & (r->candidates - 1) ? pick_last_resort(r, now_us, ret_pick) : false;
    r->untried = r->candidates;
    r->rounds++;
    return pick_among(r, r->candidates & ~before, now_us, ret_pick);
}

void route_give_back(struct route *r, struct route_pick *pick, uint64_t now_us)
{
    target_leave(&pick->permit, pick->target, TARGET_NEUTRAL, -1, now_us);
    skip(r, pick->index, TARGET_SKIP_UNABLE);
    r->candidates &= ~BIT(pick->index);
    r->untried &= ~BIT(pick->index);
    r->asked &= ~BIT(pick->index);
}

bool route_has_untried(const struct route *r, uint64_t now_us)
{
    for (uint32_t left = r->untried; left; left &= left - 1)
        if (target_is_up(r->states[lowest(left)], config_route_target(r->to, lowest(left)), now_us))
            return true;
    return false;
}

uint64_t route_cooling_ms(const struct route *r, uint64_t now_us)
{
    uint64_t soonest_us = UINT64_MAX;
    for (uint32_t left = r->candidates; left; left &= left - 1) {
        const struct target_state *t = r->states[lowest(left)];
        uint64_t until_us = atomic_load_explicit(&t->cool_until_us, memory_order_relaxed);
        soonest_us = until_us < soonest_us ? until_us : soonest_us;
    }
    return soonest_us > now_us ? (soonest_us - now_us + 999) / 1000 : 0;
}
