#include "kafka/groups.h"

#include "base/assert.h"
#include "base/mem.h"
#include "kafka/groups_int.h"
#include "os/clock.h"

enum {
    TIDY_EVERY_MS = 60000,
    SEGMENT_BYTES = 4 << 20, /* small, so that what was rewritten goes soon */
};

/* ---- Small things ---- */

int64_t groups_now_ms(void)
{
    return (int64_t)(os_now_us() / 1000);
}

struct str group_copy(struct str s)
{
    return s.ptr ? str_of(mem_strdup(s.ptr, s.len), s.len) : STR_NONE;
}

void group_free_str(struct str *s)
{
    mem_free((char *)s->ptr);
    *s = STR_NONE;
}

/* ---- The table ---- */

static size_t place_of(const struct groups *g, struct str id)
{
    size_t low = 0;
    size_t high = g->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (str_cmp(g->groups[middle]->id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct group *groups_find(struct groups *g, struct str id)
{
    size_t at = place_of(g, id);
    return at < g->count && str_eq(g->groups[at]->id, id) ? g->groups[at] : NULL;
}

struct group *groups_get(struct groups *g, struct str id)
{
    size_t at = place_of(g, id);
    if (at < g->count && str_eq(g->groups[at]->id, id))
        return g->groups[at];
    if (g->count >= GROUPS_MAX)
        return NULL;
    if (g->count == g->capacity) {
        g->capacity = g->capacity ? 2 * g->capacity : 16;
        g->groups = mem_resize(g->groups, g->capacity * sizeof *g->groups);
    }
    memmove(g->groups + at + 1, g->groups + at, (g->count - at) * sizeof *g->groups);
    struct group *group = NEW(struct group);
    group->id = group_copy(id);
    group->empty_since_ms = os_wall_us() / 1000;
    g->groups[at] = group;
    g->count++;
    return group;
}

static void group_free(struct group *group)
{
    group_members_free(group);
    group_offsets_free(group);
    group_free_str(&group->id);
    group_free_str(&group->protocol_type);
    group_free_str(&group->protocol);
    group_free_str(&group->leader);
    mem_free(group);
}

void groups_remove(struct groups *g, struct group *group)
{
    size_t at = place_of(g, group->id);
    ASSERT(at < g->count && g->groups[at] == group);
    g->count--;
    memmove(g->groups + at, g->groups + at + 1, (g->count - at) * sizeof *g->groups);
    group_free(group);
}

/* ---- Life ---- */

enum err groups_open(struct log *log, struct groups **ret_groups)
{
    struct log_topic_config config = LOG_TOPIC_CONFIG_DEFAULT;
    struct log_topic *topic = NULL;
    config.durability = LOG_SYNC;
    config.cleanup = LOG_COMPACT;
    config.keep = true;
    config.segment_bytes = SEGMENT_BYTES;
    TRY(log_topic_open(log, STR("__consumer_offsets"), &config, &topic));
    struct groups *g = NEW(struct groups);
    g->log = log;
    g->part = log_topic_part(topic, 0);
    os_mutex_init(&g->lock);
    enum err e = groups_offsets_load(g);
    if (e != ERR_OK) {
        groups_close(g);
        return e;
    }
    *ret_groups = g;
    return ERR_OK;
}

void groups_close(struct groups *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->count; i++)
        group_free(g->groups[i]);
    group_txn_offsets_free(g);
    mem_free(g->groups);
    os_mutex_release(&g->lock);
    mem_free(g);
}

/* ---- Time ---- */

/* Offsets that nobody will ask for, and groups without any. */
static void tidy(struct groups *g)
{
    int64_t wall_ms = os_wall_us() / 1000;
    for (size_t i = g->count; i-- > 0;) {
        struct group *group = g->groups[i];
        if (group->state != GROUP_EMPTY)
            continue;
        group_offsets_expire(g, group, wall_ms);
        if (group->offset_count == 0 && !group->members &&
            wall_ms - group->empty_since_ms > TIDY_EVERY_MS)
            groups_remove(g, group);
    }
}

void groups_tick(struct groups *g)
{
    os_mutex_lock(&g->lock);
    int64_t now_ms = groups_now_ms();
    g->alive = 0;
    for (size_t i = 0; i < g->count; i++) {
        struct group *group = g->groups[i];
        if (group->members)
            group_tick(g, group, now_ms);
        g->alive += group->members != NULL;
    }
    group_offsets_watch(g);
    if (now_ms >= g->tidy_at_ms) {
        g->tidy_at_ms = now_ms + TIDY_EVERY_MS;
        tidy(g);
    }
    os_mutex_unlock(&g->lock);
}

bool groups_busy(struct groups *g)
{
    os_mutex_lock(&g->lock);
    bool busy = g->alive > 0;
    os_mutex_unlock(&g->lock);
    return busy;
}

/* ---- Views ---- */

static const char *state_name(const struct group *group)
{
    static const char *const names[] = {
        [GROUP_EMPTY] = "Empty",
        [GROUP_PREPARING] = "PreparingRebalance",
        [GROUP_COMPLETING] = "CompletingRebalance",
        [GROUP_STABLE] = "Stable",
    };
    return names[group->state];
}

static struct group_view view_of(const struct group *group, struct arena *arena)
{
    return (struct group_view){
        .id = arena_str(arena, group->id),
        .state = state_name(group),
        .protocol_type = arena_str(arena, group->protocol_type),
        .protocol = group->state == GROUP_STABLE ? arena_str(arena, group->protocol) : STR(""),
    };
}

static struct str metadata_of(const struct group *group, const struct group_member *m)
{
    for (size_t i = 0; i < m->protocol_count; i++)
        if (str_eq(m->protocols[i].name, group->protocol))
            return m->protocols[i].metadata;
    return STR("");
}

bool groups_describe(struct groups *g, struct str id, struct arena *arena,
                     struct group_view *ret_view)
{
    os_mutex_lock(&g->lock);
    struct group *group = groups_find(g, id);
    if (group) {
        struct group_view view = view_of(group, arena);
        view.members = ARENA_ARRAY(arena, struct group_member_view, group->member_count);
        for (struct group_member *m = group->members; m; m = m->next) {
            if (m->pending)
                continue;
            bool stable = group->state == GROUP_STABLE;
            view.members[view.member_count++] = (struct group_member_view){
                .id = arena_str(arena, m->id),
                .instance = m->instance.ptr ? arena_str(arena, m->instance) : STR_NONE,
                .client_id = arena_str(arena, m->client_id),
                .host = arena_str(arena, m->host),
                .metadata = stable ? arena_str(arena, metadata_of(group, m)) : STR(""),
                .assignment = stable ? arena_str(arena, m->assignment) : STR(""),
            };
        }
        *ret_view = view;
    }
    os_mutex_unlock(&g->lock);
    return group != NULL;
}

struct group_view *groups_list(struct groups *g, struct arena *arena, size_t *ret_count)
{
    os_mutex_lock(&g->lock);
    struct group_view *views = ARENA_ARRAY(arena, struct group_view, g->count);
    for (size_t i = 0; i < g->count; i++)
        views[i] = view_of(g->groups[i], arena);
    *ret_count = g->count;
    os_mutex_unlock(&g->lock);
    return views;
}

bool groups_exists(struct groups *g, struct str id)
{
    os_mutex_lock(&g->lock);
    bool there = groups_find(g, id) != NULL;
    os_mutex_unlock(&g->lock);
    return there;
}

int16_t groups_delete(struct groups *g, struct str id)
{
    os_mutex_lock(&g->lock);
    struct group *group = groups_find(g, id);
    int16_t error = !group           ? KAFKA_GROUP_ID_NOT_FOUND
                    : group->members ? KAFKA_NON_EMPTY_GROUP
                                     : KAFKA_NONE;
    if (error == KAFKA_NONE) {
        group_offsets_drop(g, group);
        groups_remove(g, group);
    }
    os_mutex_unlock(&g->lock);
    return error;
}
