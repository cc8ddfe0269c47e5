/* A group's state machine: joining, syncing, beating, leaving, dying. */
#include "base/assert.h"
#include "base/mem.h"
#include "codec/uuid.h"
#include "kafka/groups_int.h"
#include "os/clock.h"
#include "os/random.h"

/* ---- Waits ---- */

static void end_wait(struct group_wait *w, int16_t error)
{
    w->waiting_ = NULL;
    w->error = error;
    w->done(w);
}

static void end_parked(struct group_wait **place, int16_t error)
{
    struct group_wait *w = *place;
    if (!w)
        return;
    *place = NULL;
    end_wait(w, error);
}

/* Whoever waited there before is a connection that its client has given up. */
static void park(struct group_wait **place, struct group_wait *w)
{
    end_parked(place, KAFKA_REBALANCE_IN_PROGRESS);
    *place = w;
    w->waiting_ = place;
}

bool groups_cancel(struct groups *g, struct group_wait *w)
{
    os_mutex_lock(&g->lock);
    bool waited = w->waiting_ != NULL;
    if (waited)
        *w->waiting_ = NULL;
    w->waiting_ = NULL;
    os_mutex_unlock(&g->lock);
    return waited;
}

/* ---- Members ---- */

struct group_member *group_member_find(struct group *group, struct str id)
{
    for (struct group_member *m = group->members; m; m = m->next)
        if (str_eq(m->id, id))
            return m;
    return NULL;
}

static struct group_member *find_instance(struct group *group, struct str instance)
{
    for (struct group_member *m = group->members; m && instance.ptr; m = m->next)
        if (m->instance.ptr && str_eq(m->instance, instance))
            return m;
    return NULL;
}

void group_member_touch(struct group_member *m, int64_t now_ms)
{
    m->deadline_ms = now_ms + m->session_ms;
}

static void protocols_free(struct group_member *m)
{
    for (size_t i = 0; i < m->protocol_count; i++) {
        group_free_str(&m->protocols[i].name);
        group_free_str(&m->protocols[i].metadata);
    }
    mem_free(m->protocols);
    m->protocols = NULL;
    m->protocol_count = 0;
}

static void member_update(struct group_member *m, const struct group_join *q)
{
    protocols_free(m);
    m->protocols = mem_array(q->protocol_count, sizeof *m->protocols);
    for (size_t i = 0; i < q->protocol_count; i++)
        m->protocols[i] = (struct group_protocol){group_copy(q->protocols[i].name),
                                                  group_copy(q->protocols[i].metadata)};
    m->protocol_count = q->protocol_count;
    m->session_ms = q->session_ms;
    m->rebalance_ms = q->rebalance_ms;
}

static void member_free(struct group_member *m)
{
    ASSERT(!m->join && !m->sync);
    protocols_free(m);
    group_free_str(&m->id);
    group_free_str(&m->instance);
    group_free_str(&m->client_id);
    group_free_str(&m->host);
    group_free_str(&m->assignment);
    mem_free(m);
}

void group_members_free(struct group *group)
{
    while (group->members) {
        struct group_member *m = group->members;
        group->members = m->next;
        member_free(m);
    }
}

/* "<client or instance>-<uuid>", heap. */
static struct str new_id(const struct group_join *q)
{
    uint8_t random[16];
    char text[UUID_TEXT_BYTES + 1];
    struct str front = q->instance.ptr ? q->instance : q->client_id;
    BUF_AUTO struct buf id = {.max = 4096};
    os_random_bytes(random, sizeof random);
    buf_append_str(&id, str_take(front, 1024));
    buf_append_char(&id, '-');
    buf_append_str(&id, uuid_format(uuid_v4(random), text));
    return buf_take(&id);
}

static struct group_member *member_add(struct groups *g, struct group *group,
                                       const struct group_join *q, bool pending)
{
    struct group_member *m = NEW(struct group_member);
    struct group_member **end = &group->members;
    m->id = new_id(q);
    m->instance = group_copy(q->instance);
    m->client_id = group_copy(q->client_id);
    m->host = group_copy(q->host);
    m->pending = pending;
    m->session_ms = q->session_ms;
    if (!group->members)
        g->alive++;
    while (*end)
        end = &(*end)->next;
    *end = m;
    if (pending)
        group->pending_count++;
    else
        group->member_count++;
    return m;
}

/* ---- What members have in common ---- */

static const struct group_protocol *protocol_of(const struct group_member *m, struct str name)
{
    for (size_t i = 0; i < m->protocol_count; i++)
        if (str_eq(m->protocols[i].name, name))
            return &m->protocols[i];
    return NULL;
}

static bool all_speak(const struct group *group, struct str name, const struct group_member *but)
{
    for (const struct group_member *m = group->members; m; m = m->next)
        if (m != but && !m->pending && !protocol_of(m, name))
            return false;
    return true;
}

/* Could this member be one of the group? */
static bool fits(const struct group *group, const struct group_join *q,
                 const struct group_member *own)
{
    if (q->protocol_type.len == 0 || q->protocol_count == 0)
        return false;
    if (group->member_count == 0 || (group->member_count == 1 && own && !own->pending))
        return true;
    if (!str_eq(group->protocol_type, q->protocol_type))
        return false;
    for (size_t i = 0; i < q->protocol_count; i++)
        if (all_speak(group, q->protocols[i].name, own))
            return true;
    return false;
}

static bool same_protocols(const struct group_member *m, const struct group_join *q)
{
    if (m->protocol_count != q->protocol_count)
        return false;
    for (size_t i = 0; i < q->protocol_count; i++)
        if (!str_eq(m->protocols[i].name, q->protocols[i].name) ||
            !str_eq(m->protocols[i].metadata, q->protocols[i].metadata))
            return false;
    return true;
}

static void set_str(struct str *to, struct str s)
{
    struct str copy = group_copy(s); /* s may be part of *to */
    group_free_str(to);
    *to = copy;
}

/* Each member votes for the first of its protocols that all speak. */
static struct str elect_protocol(const struct group *group)
{
    struct str best = STR_NONE;
    size_t best_votes = 0;
    for (const struct group_member *c = group->members; c; c = c->next)
        for (size_t i = 0; i < c->protocol_count && !c->pending; i++) {
            struct str name = c->protocols[i].name;
            size_t votes = 0;
            if (!all_speak(group, name, NULL))
                continue;
            for (const struct group_member *m = group->members; m; m = m->next)
                for (size_t p = 0; p < m->protocol_count && !m->pending; p++)
                    if (all_speak(group, m->protocols[p].name, NULL)) {
                        votes += str_eq(m->protocols[p].name, name);
                        break;
                    }
            if (votes > best_votes) {
                best = name;
                best_votes = votes;
            }
            break;
        }
    return best;
}

/* ---- The rebalance ---- */

static void list_members(const struct group *group, struct group_wait *w)
{
    w->members = ARENA_ARRAY(w->arena, struct group_member_view, group->member_count);
    for (const struct group_member *m = group->members; m; m = m->next) {
        const struct group_protocol *p = m->pending ? NULL : protocol_of(m, group->protocol);
        if (!p)
            continue;
        w->members[w->member_count++] = (struct group_member_view){
            .id = arena_str(w->arena, m->id),
            .instance = m->instance.ptr ? arena_str(w->arena, m->instance) : STR_NONE,
            .metadata = arena_str(w->arena, p->metadata),
        };
    }
}

static bool leads(const struct group *group, const struct group_member *m)
{
    return group->leader.ptr && str_eq(group->leader, m->id);
}

static void fill_joined(const struct group *group, const struct group_member *m,
                        struct group_wait *w)
{
    w->generation = group->generation;
    w->protocol_type = arena_str(w->arena, group->protocol_type);
    w->protocol = arena_str(w->arena, group->protocol);
    w->leader = arena_str(w->arena, group->leader);
    w->member_id = arena_str(w->arena, m->id);
    if (leads(group, m))
        list_members(group, w);
}

static int64_t longest_rebalance_ms(const struct group *group)
{
    int64_t longest = 0;
    for (const struct group_member *m = group->members; m; m = m->next)
        if (!m->pending && m->rebalance_ms > longest)
            longest = m->rebalance_ms;
    return longest;
}

static void become_empty(struct group *group)
{
    group->state = GROUP_EMPTY;
    group->generation++;
    group->empty_since_ms = os_wall_us() / 1000;
    group_free_str(&group->protocol);
    group_free_str(&group->leader);
}

/* The leader stays if it has joined; else the first that has leads. False: nobody has. */
static bool elect_leader(struct group *group)
{
    struct group_member *leader =
        group->leader.ptr ? group_member_find(group, group->leader) : NULL;
    if (leader && leader->join)
        return true;
    for (struct group_member *m = group->members; m; m = m->next)
        if (m->join) {
            set_str(&group->leader, m->id);
            return true;
        }
    return false;
}

static void next_generation(struct group *group, int64_t now_ms)
{
    group->generation = group->generation == INT32_MAX ? 1 : group->generation + 1;
    set_str(&group->protocol, elect_protocol(group));
    group->state = GROUP_COMPLETING;
    group->deadline_ms = now_ms + longest_rebalance_ms(group);
    for (struct group_member *m = group->members; m; m = m->next) {
        group_free_str(&m->assignment);
        m->synced = false;
        if (m->pending)
            continue;
        group_member_touch(m, now_ms);
        if (m->join) {
            fill_joined(group, m, m->join);
            end_parked(&m->join, KAFKA_NONE);
        }
    }
}

static void complete(struct group *group, int64_t now_ms)
{
    if (group->member_count == 0) {
        become_empty(group);
        return;
    }
    if (!elect_leader(group)) { /* static members only, all of them away: their sessions decide */
        group->deadline_ms = now_ms + longest_rebalance_ms(group);
        return;
    }
    next_generation(group, now_ms);
}

static void complete_if_all_joined(struct group *group, int64_t now_ms)
{
    if (group->state != GROUP_PREPARING || group->pending_count > 0)
        return;
    for (const struct group_member *m = group->members; m; m = m->next)
        if (!m->pending && !m->join)
            return;
    complete(group, now_ms);
}

static void prepare(struct group *group, int64_t now_ms)
{
    for (struct group_member *m = group->members; m; m = m->next)
        end_parked(&m->sync, KAFKA_REBALANCE_IN_PROGRESS);
    group->state = GROUP_PREPARING;
    group->deadline_ms = now_ms + longest_rebalance_ms(group);
    complete_if_all_joined(group, now_ms);
}

static void rebalance(struct group *group, int64_t now_ms)
{
    if (group->state == GROUP_PREPARING)
        complete_if_all_joined(group, now_ms);
    else
        prepare(group, now_ms);
}

static void unlink_member(struct groups *g, struct group *group, struct group_member *m)
{
    struct group_member **at = &group->members;
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    if (m->pending)
        group->pending_count--;
    else
        group->member_count--;
    end_parked(&m->join, KAFKA_UNKNOWN_MEMBER_ID);
    end_parked(&m->sync, KAFKA_UNKNOWN_MEMBER_ID);
    if (leads(group, m))
        group_free_str(&group->leader);
    member_free(m);
    if (!group->members && g->alive > 0)
        g->alive--;
}

static void remove_member(struct groups *g, struct group *group, struct group_member *m,
                          int64_t now_ms)
{
    bool was_pending = m->pending;
    unlink_member(g, group, m);
    if (was_pending)
        complete_if_all_joined(group, now_ms);
    else
        rebalance(group, now_ms);
}

/* ---- Joining ---- */

static void join_parked(struct group *group, struct group_member *m, struct group_wait *w,
                        int64_t now_ms)
{
    park(&m->join, w);
    rebalance(group, now_ms);
}

static void join_new(struct groups *g, struct group *group, const struct group_join *q,
                     struct group_wait *w, int64_t now_ms)
{
    if (group->member_count + group->pending_count >= GROUP_MEMBERS_MAX) {
        end_wait(w, KAFKA_GROUP_MAX_SIZE_REACHED);
        return;
    }
    bool tell_id = q->id_required && !q->instance.ptr;
    struct group_member *m = member_add(g, group, q, tell_id);
    group_member_touch(m, now_ms);
    if (tell_id) {
        w->member_id = arena_str(w->arena, m->id);
        end_wait(w, KAFKA_MEMBER_ID_REQUIRED);
        return;
    }
    member_update(m, q);
    set_str(&group->protocol_type, q->protocol_type);
    join_parked(group, m, w, now_ms);
}

/* It was told its id and has come back. */
static void join_pending(struct group *group, struct group_member *m, const struct group_join *q,
                         struct group_wait *w, int64_t now_ms)
{
    m->pending = false;
    group->pending_count--;
    group->member_count++;
    member_update(m, q);
    group_member_touch(m, now_ms);
    set_str(&group->protocol_type, q->protocol_type);
    join_parked(group, m, w, now_ms);
}

static void answer_current(struct group *group, struct group_member *m, struct group_wait *w,
                           int64_t now_ms)
{
    group_member_touch(m, now_ms);
    fill_joined(group, m, w);
    end_wait(w, KAFKA_NONE);
}

static void join_again(struct group *group, struct group_member *m, const struct group_join *q,
                       struct group_wait *w, int64_t now_ms)
{
    bool same = same_protocols(m, q);
    bool is_leader = leads(group, m);
    if ((group->state == GROUP_COMPLETING && same) ||
        (group->state == GROUP_STABLE && same && !is_leader)) {
        answer_current(group, m, w, now_ms);
        return;
    }
    member_update(m, q);
    set_str(&group->protocol_type, q->protocol_type);
    group_member_touch(m, now_ms);
    join_parked(group, m, w, now_ms);
}

/* A static member that was restarted: it takes the place of its former self, who is fenced. While
 * nothing else changed, the group goes on as it is (KIP-345); a leader that understands it is told
 * to leave the assignment alone (KIP-814), another takes itself for a follower. */
static void join_replacing(struct group *group, struct group_member *m, const struct group_join *q,
                           struct group_wait *w, int64_t now_ms)
{
    const struct group_protocol *now = group->protocol.ptr ? protocol_of(m, group->protocol) : NULL;
    bool same = false;
    for (size_t i = 0; i < q->protocol_count && now; i++)
        same |= str_eq(q->protocols[i].name, now->name) &&
                str_eq(q->protocols[i].metadata, now->metadata);
    bool led = leads(group, m);
    end_parked(&m->join, KAFKA_FENCED_INSTANCE_ID);
    end_parked(&m->sync, KAFKA_FENCED_INSTANCE_ID);
    struct str old_leader = group->leader.ptr ? arena_str(w->arena, group->leader) : STR_NONE;
    group_free_str(&m->id);
    m->id = new_id(q);
    if (led)
        set_str(&group->leader, m->id);
    member_update(m, q);
    group_member_touch(m, now_ms);
    if (group->state != GROUP_STABLE || !same) {
        join_parked(group, m, w, now_ms);
        return;
    }
    fill_joined(group, m, w);
    w->skip_assignment = led && q->can_skip;
    if (led && !q->can_skip) {
        w->leader = old_leader;
        w->member_count = 0;
    }
    end_wait(w, KAFKA_NONE);
}

static int16_t check_join(const struct group_join *q)
{
    if (q->group.len == 0 || q->group.len > GROUP_ID_MAX_BYTES)
        return KAFKA_INVALID_GROUP_ID;
    if (q->session_ms < GROUP_SESSION_MIN_MS || q->session_ms > GROUP_SESSION_MAX_MS)
        return KAFKA_INVALID_SESSION_TIMEOUT;
    return KAFKA_NONE;
}

static void join(struct groups *g, const struct group_join *q, struct group_wait *w, int64_t now_ms)
{
    struct group *group = q->member_id.len > 0 ? groups_find(g, q->group) : groups_get(g, q->group);
    if (!group) {
        end_wait(w, q->member_id.len > 0 ? KAFKA_UNKNOWN_MEMBER_ID : KAFKA_GROUP_MAX_SIZE_REACHED);
        return;
    }
    struct group_member *named = group_member_find(group, q->member_id);
    struct group_member *own = find_instance(group, q->instance);
    if (!fits(group, q, q->instance.ptr ? own : named))
        end_wait(w, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    else if (q->member_id.len == 0 && own)
        join_replacing(group, own, q, w, now_ms);
    else if (q->member_id.len == 0)
        join_new(g, group, q, w, now_ms);
    else if (q->instance.ptr && own && own != named)
        end_wait(w, KAFKA_FENCED_INSTANCE_ID);
    else if (!named || (q->instance.ptr && !own))
        end_wait(w, KAFKA_UNKNOWN_MEMBER_ID);
    else if (named->pending)
        join_pending(group, named, q, w, now_ms);
    else
        join_again(group, named, q, w, now_ms);
}

void groups_join(struct groups *g, const struct group_join *q, struct group_wait *w)
{
    int16_t error = check_join(q);
    w->generation = -1;
    w->member_id = q->member_id;
    os_mutex_lock(&g->lock);
    if (error != KAFKA_NONE)
        end_wait(w, error);
    else
        join(g, q, w, groups_now_ms());
    os_mutex_unlock(&g->lock);
}

/* ---- Everything that a member does later ---- */

int16_t group_check_member(struct group *group, const struct group_from *from,
                           struct group_member **ret_member)
{
    struct group_member *named = group_member_find(group, from->member_id);
    struct group_member *own = find_instance(group, from->instance);
    if (from->instance.ptr && own && own != named)
        return KAFKA_FENCED_INSTANCE_ID;
    if (!named || named->pending || (from->instance.ptr && !own))
        return KAFKA_UNKNOWN_MEMBER_ID;
    if (from->generation != group->generation)
        return KAFKA_ILLEGAL_GENERATION;
    *ret_member = named;
    return KAFKA_NONE;
}

static int16_t check(struct groups *g, const struct group_from *from, struct group **ret_group,
                     struct group_member **ret_member)
{
    if (from->group.len == 0)
        return KAFKA_INVALID_GROUP_ID;
    *ret_group = groups_find(g, from->group);
    return *ret_group ? group_check_member(*ret_group, from, ret_member) : KAFKA_UNKNOWN_MEMBER_ID;
}

static void end_sync(const struct group *group, struct group_member *m, struct group_wait *w,
                     int64_t now_ms)
{
    group_member_touch(m, now_ms);
    w->protocol_type = arena_str(w->arena, group->protocol_type);
    w->protocol = arena_str(w->arena, group->protocol);
    w->assignment = arena_str(w->arena, m->assignment);
    end_wait(w, KAFKA_NONE);
}

static void take_assignments(struct group *group, const struct group_assignment *assignments,
                             size_t count, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        struct group_member *m = group_member_find(group, assignments[i].member_id);
        if (m && !m->pending)
            set_str(&m->assignment, assignments[i].bytes);
    }
    group->state = GROUP_STABLE;
    for (struct group_member *m = group->members; m; m = m->next) {
        struct group_wait *w = m->sync;
        m->sync = NULL;
        if (w)
            end_sync(group, m, w, now_ms);
    }
}

static void sync(struct group *group, struct group_member *m,
                 const struct group_assignment *assignments, size_t count, struct group_wait *w,
                 int64_t now_ms)
{
    switch (group->state) {
    case GROUP_EMPTY: end_wait(w, KAFKA_UNKNOWN_MEMBER_ID); break;
    case GROUP_PREPARING: end_wait(w, KAFKA_REBALANCE_IN_PROGRESS); break;
    case GROUP_STABLE: end_sync(group, m, w, now_ms); break;
    case GROUP_COMPLETING:
        m->synced = true;
        group_member_touch(m, now_ms);
        park(&m->sync, w);
        if (leads(group, m))
            take_assignments(group, assignments, count, now_ms);
        break;
    }
}

void groups_sync(struct groups *g, const struct group_from *from, struct str protocol_type,
                 struct str protocol, const struct group_assignment *assignments, size_t count,
                 struct group_wait *w)
{
    struct group *group = NULL;
    struct group_member *m = NULL;
    w->assignment = STR("");
    os_mutex_lock(&g->lock);
    int16_t error = check(g, from, &group, &m);
    if (error == KAFKA_NONE &&
        ((protocol_type.ptr && !str_eq(protocol_type, group->protocol_type)) ||
         (protocol.ptr && group->protocol.ptr && !str_eq(protocol, group->protocol))))
        error = KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    if (error == KAFKA_NONE)
        sync(group, m, assignments, count, w, groups_now_ms());
    else
        end_wait(w, error);
    os_mutex_unlock(&g->lock);
}

int16_t groups_heartbeat(struct groups *g, const struct group_from *from)
{
    struct group *group = NULL;
    struct group_member *m = NULL;
    os_mutex_lock(&g->lock);
    int16_t error = check(g, from, &group, &m);
    if (error == KAFKA_NONE) {
        group_member_touch(m, groups_now_ms());
        if (group->state == GROUP_PREPARING)
            error = KAFKA_REBALANCE_IN_PROGRESS;
    }
    os_mutex_unlock(&g->lock);
    return error;
}

int16_t groups_leave(struct groups *g, const struct group_from *from)
{
    os_mutex_lock(&g->lock);
    struct group *group = groups_find(g, from->group);
    struct group_member *named = group ? group_member_find(group, from->member_id) : NULL;
    struct group_member *own = group ? find_instance(group, from->instance) : NULL;
    int16_t error = KAFKA_NONE;
    if (from->instance.ptr && own && from->member_id.len > 0 && own != named)
        error = KAFKA_FENCED_INSTANCE_ID;
    else if (from->instance.ptr ? !own : !named)
        error = KAFKA_UNKNOWN_MEMBER_ID;
    else
        remove_member(g, group, from->instance.ptr ? own : named, groups_now_ms());
    os_mutex_unlock(&g->lock);
    return error;
}

/* ---- Time ---- */

static bool is_late(const struct group *group, const struct group_member *m, int64_t now_ms)
{
    if (m->join || m->sync) /* its client waits for us */
        return false;
    if (group->state == GROUP_COMPLETING && !m->pending && !m->synced &&
        now_ms >= group->deadline_ms)
        return true;
    /* It did not come to the rebalance. A static one may be on its way back. */
    if (group->state == GROUP_PREPARING && !m->pending && !m->instance.ptr &&
        now_ms >= group->deadline_ms)
        return true;
    return now_ms >= m->deadline_ms;
}

void group_tick(struct groups *g, struct group *group, int64_t now_ms)
{
    bool over = group->state == GROUP_PREPARING && now_ms >= group->deadline_ms;
    bool left = false;
    struct group_member *next;
    for (struct group_member *m = group->members; m; m = next) {
        next = m->next;
        if (!is_late(group, m, now_ms))
            continue;
        left |= !m->pending;
        unlink_member(g, group, m);
    }
    if (over)
        complete(group, now_ms);
    else if (left)
        rebalance(group, now_ms);
    else
        complete_if_all_joined(group, now_ms);
}
