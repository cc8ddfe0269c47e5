/* Groups for Weir's own API: what there is, and where one goes on reading. */
#include "kafka/kafka_int.h"
#include "os/clock.h"
#include "os/thread.h"

void kafka_server_groups(const struct kafka_server *server,
                         void (*each)(void *arg, const struct kafka_group *group), void *arg)
{
    struct arena arena;
    size_t count = 0;
    arena_init(&arena);
    struct group_view *groups = groups_list(server->groups, &arena, &count);
    for (size_t i = 0; i < count; i++) {
        struct group_view whole = groups[i];
        if (!groups_describe(server->groups, groups[i].id, &arena, &whole))
            continue;
        const struct kafka_group group = {whole.id, whole.state, whole.protocol,
                                          whole.member_count};
        each(arg, &group);
    }
    arena_release(&arena);
}

/* A commit that a thread waits for. */
struct move {
    struct group_commit commit; /* first */
    struct groups *groups;
    struct os_mutex lock;
    struct os_cond cond;
    bool over;
};

static void on_moved(struct kafka_append *a)
{
    struct move *m = (struct move *)a;
    groups_commit_end(m->groups, &m->commit);
    os_mutex_lock(&m->lock);
    m->over = true;
    os_cond_signal(&m->cond);
    os_mutex_unlock(&m->lock);
}

static enum err commit_and_wait(struct kafka_server *server, struct move *m)
{
    os_mutex_init(&m->lock);
    os_cond_init(&m->cond);
    kafka_append_init(&m->commit.append, &server->halves[0], on_moved);
    m->commit.append.append.lazy = false;
    enum err error = groups_commit_append(m->groups, &m->commit);
    if (error == ERR_OK) {
        os_mutex_lock(&m->lock);
        while (!m->over)
            os_cond_wait(&m->cond, &m->lock);
        os_mutex_unlock(&m->lock);
        error = m->commit.append.append.error;
    }
    os_cond_release(&m->cond);
    os_mutex_release(&m->lock);
    return error;
}

enum err kafka_server_group_move(struct kafka_server *server, struct str group, struct str topic,
                                 int32_t partition, int64_t offset, int64_t *ret_from)
{
    struct arena arena;
    const struct group_from from = {.group = group, .member_id = STR(""), .generation = -1};
    if (!groups_exists(server->groups, group))
        return ERR_NOT_FOUND;
    if (groups_commit_check(server->groups, &from) != 0)
        return ERR_BUSY;
    arena_init(&arena);
    int64_t before = groups_offset(server->groups, group, topic, partition, &arena).offset;
    arena_release(&arena);
    struct move m = {.commit = {.group = group,
                                .offset = {topic, partition, offset, -1, STR("")},
                                .commit_ms = os_wall_us() / 1000},
                     .groups = server->groups};
    enum err error = commit_and_wait(server, &m);
    if (error == ERR_OK)
        *ret_from = before;
    return error;
}
