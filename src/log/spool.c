/* Appends to a topic of the cluster: into the spool first, done when the cluster has them. */
#include "log/cluster_int.h"

#include <stdio.h>

enum {
    ENTRIES_FIRST = 256,
    TO_BYTES = LOG_TOPIC_NAME_MAX + 16,
    FROM_BYTES = CLUSTER_ORIGIN_BYTES + 48,
};

/* An append to the spool on behalf of one to the cluster. */
struct spooled {
    struct log_append append; /* first */
    struct log_append *user;
    struct cluster *cluster;
    uint32_t bytes;
};

/* Entries ------------------------------------------------------------------------------------- */

static struct cluster_entry *entry_of(struct cluster *c, size_t index)
{
    ASSERT(c->capacity > 0);
    return &c->entries[(c->head + index) % c->capacity];
}

static void grow(struct cluster *c, size_t wanted)
{
    size_t capacity = c->capacity ? c->capacity : ENTRIES_FIRST;
    while (capacity < wanted)
        capacity *= 2;
    struct cluster_entry *more = mem_array(capacity, sizeof *more);
    for (size_t i = 0; i < c->count; i++)
        more[i] = *entry_of(c, i);
    mem_free(c->entries);
    c->entries = more;
    c->capacity = capacity;
    c->head = 0;
}

int64_t cluster_base(struct cluster *c)
{
    os_mutex_lock(&c->lock);
    int64_t base = c->base;
    os_mutex_unlock(&c->lock);
    return base;
}

struct cluster_entry *cluster_entry_at(struct cluster *c, int64_t spool_offset)
{
    if (spool_offset < c->base)
        return NULL;
    size_t index = (size_t)(spool_offset - c->base);
    if (index >= c->capacity)
        grow(c, index + 1);
    if (c->count == 0)
        c->progress_us = os_now_us();
    for (; c->count <= index; c->count++)
        *entry_of(c, c->count) = (struct cluster_entry){
            .offset = -1, .attached = c->base + (int64_t)c->count < c->own_from};
    return entry_of(c, index);
}

/* Ending -------------------------------------------------------------------------------------- */

/* Appends that end, chained by next; run without locks, but maybe under the spool's commit_lock. */
static void end_users(struct log_append *first)
{
    struct log_done done = {.count = 0};
    for (struct log_append *next; first; first = next) {
        next = first->next;
        log_done_add(&done, first);
    }
    log_done_run(&done);
}

static void chain(struct log_append ***tail, struct log_append *user, enum err error,
                  int64_t offset)
{
    user->error = error;
    user->offset = error == ERR_OK ? offset : -1;
    user->next = NULL;
    **tail = user;
    *tail = &user->next;
}

static bool is_settled(const struct cluster_entry *e)
{
    return e->delivered && e->attached && (!e->part || e->offset < log_part_end(e->part));
}

void cluster_settle(struct cluster *c)
{
    struct log_append *first = NULL;
    struct log_append **tail = &first;
    os_mutex_lock(&c->lock);
    while (c->count > 0 && is_settled(entry_of(c, 0))) {
        struct cluster_entry *e = entry_of(c, 0);
        if (e->user)
            chain(&tail, e->user, ERR_OK, e->offset);
        atomic_fetch_sub(&c->pending_bytes, e->bytes);
        c->head = (c->head + 1) % c->capacity;
        c->count--;
        c->base++;
        c->progress_us = os_now_us();
    }
    os_mutex_unlock(&c->lock);
    end_users(first);
}

void cluster_begin_spooling(struct cluster *c, const char *why)
{
    struct log_append *first = NULL;
    struct log_append **tail = &first;
    os_mutex_lock(&c->lock);
    bool news = !c->spooling;
    c->spooling = true;
    for (size_t i = 0; i < c->count; i++) {
        struct cluster_entry *e = entry_of(c, i);
        if (e->user)
            chain(&tail, e->user, ERR_OK, e->delivered ? e->offset : -1);
        e->user = NULL;
    }
    os_mutex_unlock(&c->lock);
    end_users(first);
    if (news && why)
        log_report(c->log, LOG_WARN,
                   "event=cluster_away brokers=\"%s\" reason=\"%s\" note=\"records are kept in the "
                   "spool and sent when a broker is back\"",
                   c->brokers, why);
}

static uint64_t hold_us(struct cluster *c)
{
    if (!kafka_store_is_up(c->store))
        return CLUSTER_HOLD_DOWN_US;
    return kafka_store_is_warm(c->store) ? CLUSTER_HOLD_US : CLUSTER_HOLD_COLD_US;
}

void cluster_watch_time(struct cluster *c)
{
    uint64_t now = os_now_us();
    uint64_t hold = hold_us(c);
    os_mutex_lock(&c->lock);
    bool stuck = !c->spooling && c->count > 0 && now - c->progress_us > hold;
    bool moving = c->count == 0 ||
                  (c->count < CLUSTER_DIRECT_MAX && now - c->progress_us < CLUSTER_HOLD_DOWN_US);
    bool drained = c->spooling && moving && c->resumed && c->sent_to >= log_part_end(c->spool);
    if (drained)
        c->spooling = false;
    uint64_t sent = c->delivered_total;
    os_mutex_unlock(&c->lock);
    if (stuck)
        cluster_begin_spooling(c, "nothing is acknowledged");
    if (drained)
        log_report(c->log, LOG_INFO, "event=cluster_reached brokers=\"%s\" delivered=%llu",
                   c->brokers, (unsigned long long)sent);
}

/* Appending ----------------------------------------------------------------------------------- */

/* The spool has it: true when its user is not to wait for the cluster. */
static bool attach(struct cluster *c, const struct spooled *s)
{
    os_mutex_lock(&c->lock);
    struct cluster_entry *e = cluster_entry_at(c, s->append.offset);
    ASSERT(e);
    e->attached = true;
    e->bytes = s->bytes;
    bool over = c->spooling;
    e->user = over ? NULL : s->user;
    os_mutex_unlock(&c->lock);
    return over;
}

static void on_spooled(struct log_append *chained)
{
    struct log_append *first = NULL;
    struct log_append **tail = &first;
    for (struct log_append *next; chained; chained = next) {
        struct spooled *s = (struct spooled *)chained;
        next = chained->next;
        if (s->append.error != ERR_OK) {
            atomic_fetch_sub(&s->cluster->pending_bytes, s->bytes);
            chain(&tail, s->user, s->append.error, -1);
        } else if (attach(s->cluster, s)) {
            chain(&tail, s->user, ERR_OK, -1);
        }
        mem_free(s);
    }
    end_users(first);
}

static enum err admit(struct cluster *c, uint64_t bytes)
{
    uint64_t before = atomic_fetch_add(&c->pending_bytes, bytes);
    if (before + bytes <= c->spool_max_bytes)
        return ERR_OK;
    atomic_fetch_sub(&c->pending_bytes, bytes);
    return ERR_QUOTA;
}

bool log_spool_is_full(struct log *log, uint64_t bytes)
{
    struct cluster *c = log->cluster;
    return c && atomic_load(&c->pending_bytes) + bytes > c->spool_max_bytes;
}

/* The numbers along the spool must grow, so one thread at a time gives them. */
static enum err append_numbered(struct cluster *c, struct log_part *part,
                                const struct log_record *record, struct spooled *s)
{
    char to[TO_BYTES];
    char from[FROM_BYTES];
    struct record_header headers[LOG_HEADERS_MAX];
    struct log_record wrapped = *record;
    if (record->header_count > 0)
        memcpy(headers, record->headers, record->header_count * sizeof headers[0]);
    int to_len = snprintf(to, sizeof to, "%s/%u", part->topic->name, part->number);
    os_mutex_lock(&c->append_lock);
    int from_len = snprintf(from, sizeof from, "%s.%llu.%llu", c->origin,
                            (unsigned long long)c->run, (unsigned long long)++c->number);
    headers[record->header_count] =
        (struct record_header){STR(CLUSTER_TO), str_of(to, (size_t)to_len)};
    headers[record->header_count + 1] =
        (struct record_header){STR(CLUSTER_FROM), str_of(from, (size_t)from_len)};
    wrapped.headers = headers;
    wrapped.header_count = record->header_count + 2;
    enum err error = log_append(c->spool, &wrapped, &s->append);
    os_mutex_unlock(&c->append_lock);
    return error;
}

enum err log_cluster_append(struct log_part *part, const struct log_record *record,
                            struct log_append *append)
{
    struct cluster *c = part->log->cluster;
    struct record_fields f = {record->key, record->value, record->value_parts, record->headers,
                              record->header_count};
    if (record->header_count > CLUSTER_HEADERS_MAX)
        return ERR_TOO_LARGE;
    size_t size = record_size(&f, 0, 0);
    if (size > LOG_RECORD_MAX_BYTES)
        return ERR_TOO_LARGE;
    TRY(admit(c, size));
    bool sync = append->ack == LOG_ACK_SYNC ||
                (append->ack == LOG_ACK_TOPIC &&
                 atomic_load_explicit(&part->topic->durability, memory_order_relaxed) == LOG_SYNC);
    struct spooled *s = NEW(struct spooled);
    *s = (struct spooled){.append = {.done = on_spooled,
                                     .owner = append->owner,
                                     .ack = sync ? LOG_ACK_SYNC : LOG_ACK_WRITE,
                                     .lazy = append->lazy},
                          .user = append,
                          .cluster = c,
                          .bytes = (uint32_t)size};
    append->error = ERR_OK;
    append->offset = append->append_ms = -1;
    append->next = NULL;
    enum err error = append_numbered(c, part, record, s);
    if (error != ERR_OK) {
        atomic_fetch_sub(&c->pending_bytes, size);
        mem_free(s);
    }
    return error;
}

/* Marks --------------------------------------------------------------------------------------- */

bool cluster_mark_of(const struct cluster *c, const struct log_entry *e,
                     struct cluster_mark *ret_mark)
{
    const struct str *from = log_entry_header(e, STR(CLUSTER_FROM));
    if (!from)
        return false;
    struct str rest = *from;
    struct cluster_mark mark;
    if (!str_eq(str_split(&rest, '.'), str_from_c(c->origin)) ||
        str_to_u64(str_split(&rest, '.'), &mark.run) != ERR_OK ||
        str_to_u64(rest, &mark.number) != ERR_OK)
        return false;
    *ret_mark = mark;
    return true;
}
