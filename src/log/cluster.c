/* Opening and closing the cluster's side of a log, and which topics are on it.
 *
 *     <dir>/cluster    weir-cluster 1
 *                      cluster=<the cluster's id>
 *                      origin=<16 hex digits, of this folder>
 *                      run=<opens so far>
 *
 * The file is written by the first open with brokers and stands for good: from then on the topics
 * of the folder are copies, and neither an embedded log nor another cluster may go on with them. */
#include "log/cluster_int.h"

#include <stdio.h>

#include "os/random.h"

enum { FILE_MAX_BYTES = 4096, POLL_US = 2000 };

struct identity {
    struct str cluster;
    struct str origin;
    uint64_t run;
};

/* The file ------------------------------------------------------------------------------------ */

static void path_of(const struct log *log, char ret_path[OS_PATH_MAX])
{
    int n = snprintf(ret_path, OS_PATH_MAX, "%s/cluster", log->dir);
    ASSERT(n > 0 && n < OS_PATH_MAX);
}

/* Views into text. */
static enum err parse(struct str text, struct identity *ret_identity)
{
    struct identity found = {0};
    struct str rest = text;
    if (!str_eq(str_split(&rest, '\n'), STR("weir-cluster 1")))
        return ERR_NEWER_FORMAT;
    while (rest.len > 0) {
        struct str value = str_split(&rest, '\n');
        struct str key = str_split(&value, '=');
        if (str_eq(key, STR("cluster")))
            found.cluster = value;
        else if (str_eq(key, STR("origin")))
            found.origin = value;
        else if (str_eq(key, STR("run")) && str_to_u64(value, &found.run) != ERR_OK)
            return ERR_CORRUPT;
    }
    if (found.cluster.len == 0 || found.origin.len != CLUSTER_ORIGIN_BYTES)
        return ERR_CORRUPT;
    *ret_identity = found;
    return ERR_OK;
}

static enum err write_identity(struct cluster *c, struct str cluster_id)
{
    char path[OS_PATH_MAX];
    struct buf text BUF_AUTO;
    buf_init(&text, FILE_MAX_BYTES);
    path_of(c->log, path);
    buf_printf(&text, "weir-cluster 1\ncluster=%.*s\norigin=%s\nrun=%llu\n", STR_ARG(cluster_id),
               c->origin, (unsigned long long)c->run);
    TRY(os_fs_write_file(c->log->fs, path, buf_str(&text)));
    return os_fs_sync_dir(c->log->fs, c->log->dir);
}

bool log_cluster_keeps(struct str topic)
{
    return str_starts(topic, STR(CLUSTER_SPOOL)) || str_starts(topic, STR("__"));
}

/* A topic with records that came from no cluster. */
static const char *embedded_topic(struct log *log)
{
    for (size_t t = 0; t < log->topic_count; t++) {
        struct log_topic *topic = log->topics[t];
        for (uint32_t p = 0; p < log_topic_partitions(topic); p++)
            if (!log_cluster_keeps(log_topic_name(topic)) &&
                log_part_end(log_topic_part(topic, p)) > 0)
                return topic->name;
    }
    return NULL;
}

static enum err first_open(struct cluster *c, struct buf *detail)
{
    struct buf id BUF_AUTO;
    uint8_t random[CLUSTER_ORIGIN_BYTES / 2];
    buf_init(&id, FILE_MAX_BYTES / 2);
    const char *topic = embedded_topic(c->log);
    if (topic) {
        buf_printf(detail,
                   "log.kafka: the data folder %s has an embedded log already (topic %s): "
                   "choose an empty data folder; what is in this one stays readable there",
                   c->log->dir, topic);
        return ERR_CONFIG;
    }
    if (kafka_store_id(c->store, CLUSTER_CONTACT_MS, &id) != ERR_OK) {
        buf_printf(detail,
                   "log.kafka: no broker of %s answers; the first start with a data folder needs "
                   "one (later ones do not)",
                   c->brokers);
        return ERR_TIMEOUT;
    }
    os_random_bytes(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(c->origin + 2 * i, 3, "%02x", random[i]);
    c->run = 1;
    return write_identity(c, buf_str(&id));
}

static enum err check_id(struct cluster *c, struct str expected, struct buf *detail)
{
    struct buf id BUF_AUTO;
    buf_init(&id, FILE_MAX_BYTES / 2);
    if (kafka_store_id(c->store, CLUSTER_CONTACT_MS / 10, &id) != ERR_OK ||
        str_eq(buf_str(&id), expected))
        return ERR_OK; /* or nobody answers: the spool is there for that */
    buf_printf(detail,
               "log.kafka: %s is the cluster %.*s, but the data folder %s copies the cluster %.*s; "
               "choose another data folder",
               c->brokers, STR_ARG(buf_str(&id)), c->log->dir, STR_ARG(expected));
    return ERR_CONFIG;
}

static enum err identify(struct cluster *c, struct buf *detail)
{
    char path[OS_PATH_MAX];
    struct identity identity;
    struct buf text BUF_AUTO;
    buf_init(&text, FILE_MAX_BYTES);
    path_of(c->log, path);
    enum err error = os_fs_read_file(c->log->fs, path, &text);
    if (error == ERR_NOT_FOUND)
        return first_open(c, detail);
    if (error == ERR_OK)
        error = parse(buf_str(&text), &identity);
    if (error != ERR_OK) {
        buf_printf(detail, "cannot use %s: %s", path, err_text(error));
        return error;
    }
    memcpy(c->origin, identity.origin.ptr, CLUSTER_ORIGIN_BYTES);
    c->run = identity.run + 1;
    TRY(check_id(c, identity.cluster, detail));
    return write_identity(c, identity.cluster);
}

enum err log_cluster_check(struct log *log, struct buf *detail)
{
    char path[OS_PATH_MAX];
    struct buf text BUF_AUTO;
    buf_init(&text, FILE_MAX_BYTES);
    path_of(log, path);
    if (log->options.read_only || log->options.cluster ||
        os_fs_read_file(log->fs, path, &text) == ERR_NOT_FOUND)
        return ERR_OK;
    buf_printf(detail,
               "the data folder %s holds copies of an Apache Kafka's topics: set log.kafka to its "
               "brokers, or start anew in an empty data folder",
               log->dir);
    return ERR_CONFIG;
}

/* Topics -------------------------------------------------------------------------------------- */

struct cluster_follow *cluster_follow_of(struct cluster *c, const struct log_part *part)
{
    for (size_t i = 0; i < c->follow_count; i++)
        if (c->follows[i].part == part)
            return &c->follows[i];
    return NULL;
}

/* From now on its records are the cluster's. */
static void follow(struct cluster *c, struct log_topic *topic)
{
    os_mutex_lock(&c->lock);
    for (uint32_t p = 0; p < log_topic_partitions(topic); p++) {
        struct log_part *part = log_topic_part(topic, p);
        if (cluster_follow_of(c, part))
            continue;
        c->follows = mem_resize(c->follows, (c->follow_count + 1) * sizeof *c->follows);
        c->follows[c->follow_count++] = (struct cluster_follow){.part = part};
        c->follow_dirty = true;
    }
    atomic_store(&topic->remote, true);
    os_mutex_unlock(&c->lock);
}

void cluster_follow_again(struct cluster *c)
{
    os_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->follow_count; i++)
        c->follows[i].started = c->follows[i].current = false;
    c->follow_dirty = true;
    os_mutex_unlock(&c->lock);
}

/* Until the copy is what the cluster has now, or nobody answers. */
static void wait_until_current(struct cluster *c, struct log_topic *topic, uint64_t for_us)
{
    uint64_t end_us = os_now_us() + for_us;
    os_mutex_lock(&c->lock);
    for (;;) {
        bool current = !c->follow_dirty;
        for (size_t i = 0; i < c->follow_count; i++)
            current = current && (c->follows[i].part->topic != topic || c->follows[i].current ||
                                  c->follows[i].diverged);
        if (current || !c->running || os_now_us() >= end_us || !kafka_store_is_up(c->store))
            break;
        (void)os_cond_wait_for(&c->changed, &c->lock, POLL_US);
    }
    os_mutex_unlock(&c->lock);
}

/* Of what must be folded whole the copy is waited for; of others for a moment, by which it mostly
 * is there. */
enum err log_cluster_topic_open(struct log *log, struct str name,
                                const struct log_topic_config *config, struct log_topic **ret_topic)
{
    struct cluster *c = log->cluster;
    struct log_topic_config wanted = *config;
    struct log_topic *topic = log_topic_find(log, name);
    if (!topic) {
        char text[LOG_TOPIC_NAME_MAX + 1];
        struct buf detail BUF_AUTO;
        buf_init(&detail, 1024);
        if (!log_topic_name_valid(name) || config->partitions < 1)
            return ERR_INVALID;
        (void)snprintf(text, sizeof text, "%.*s", STR_ARG(name));
        enum err error = kafka_store_topic(c->store, text, config, CLUSTER_CONTACT_MS, &detail,
                                           &wanted.partitions);
        if (error != ERR_OK) {
            log_report(log, LOG_ERROR, "event=cluster_topic topic=%s error=\"%s\" reason=\"%.*s\"",
                       text, err_text(error), STR_ARG(buf_str(&detail)));
            return error;
        }
        TRY(log_topic_open_local(log, name, &wanted, &topic));
        follow(c, topic);
    }
    wait_until_current(c, topic, config->keep ? CLUSTER_CATCH_UP_US : CLUSTER_GLANCE_US);
    *ret_topic = topic;
    return ERR_OK;
}

static void follow_all(struct cluster *c)
{
    for (size_t t = 0; t < c->log->topic_count; t++)
        if (!log_cluster_keeps(log_topic_name(c->log->topics[t])))
            follow(c, c->log->topics[t]);
}

/* Life ---------------------------------------------------------------------------------------- */

static enum err open_spool(struct cluster *c)
{
    struct log_topic_config config = LOG_TOPIC_CONFIG_DEFAULT;
    struct log_topic *topic = NULL;
    struct log_part_info info;
    config.keep = true;
    config.segment_bytes = c->spool_max_bytes / 16;
    if (config.segment_bytes > (16 << 20))
        config.segment_bytes = 16 << 20;
    TRY(log_topic_open_local(c->log, STR(CLUSTER_SPOOL), &config, &topic));
    c->spool = log_topic_part(topic, 0);
    log_part_describe(c->spool, &info);
    c->base = c->trimmed_to = info.start_offset;
    c->own_from = info.end_offset;
    c->earlier_bytes = info.start_offset < info.end_offset ? info.bytes : 0;
    atomic_store(&c->pending_bytes, c->earlier_bytes);
    return ERR_OK;
}

static enum err connect(struct cluster *c, struct buf *detail)
{
    struct kafka_store_options options = {
        .brokers = c->brokers,
        .settings = c->settings,
        .setting_count = c->setting_count,
        .delivered = cluster_delivered,
        .arg = c,
    };
    return kafka_store_open(&options, detail, &c->store);
}

/* The threads, with everything to be learnt anew. */
static enum err run(struct cluster *c)
{
    atomic_store(&c->stopping, false);
    /* What is spooled from before goes first, and nobody waits for that. */
    c->spooling = cluster_base(c) < log_part_end(c->spool);
    c->resumed = c->renew = false;
    TRY(os_thread_start("cluster-drain", cluster_drain_run, c, &c->drainer));
    enum err error = os_thread_start("cluster-follow", cluster_follow_run, c, &c->follower);
    if (error != ERR_OK) {
        atomic_store(&c->stopping, true);
        os_thread_join(&c->drainer);
        return error;
    }
    c->running = true;
    return ERR_OK;
}

static void copy_options(struct cluster *c, const struct log_cluster_options *from)
{
    c->brokers = mem_strdup(from->brokers, strlen(from->brokers));
    c->settings = mem_array(from->setting_count + 1, sizeof *c->settings);
    c->setting_count = from->setting_count;
    for (size_t i = 0; i < c->setting_count; i++) {
        const struct log_cluster_setting *s = &from->settings[i];
        c->settings[i].name = mem_strdup(s->name, strlen(s->name));
        c->settings[i].value = mem_strdup(s->value, strlen(s->value));
    }
    c->spool_max_bytes = from->spool_max_bytes;
}

enum err log_cluster_open(struct log *log, struct buf *detail)
{
    struct cluster *c = NEW(struct cluster);
    c->log = log;
    os_mutex_init(&c->append_lock);
    os_mutex_init(&c->lock);
    os_cond_init(&c->changed);
    copy_options(c, log->options.cluster);
    log->cluster = c;
    TRY(connect(c, detail));
    TRY(identify(c, detail));
    TRY(open_spool(c));
    follow_all(c);
    return run(c);
}

/* Whatever is under way gets a moment; what is left then is in the spool. */
static void let_end(struct cluster *c)
{
    uint64_t end_us = os_now_us() + CLUSTER_STOP_US;
    os_mutex_lock(&c->lock);
    while (!c->spooling && c->count > 0 && os_now_us() < end_us)
        (void)os_cond_wait_for(&c->changed, &c->lock, POLL_US);
    c->running = false;
    os_mutex_unlock(&c->lock);
}

void log_cluster_stop(struct log *log)
{
    struct cluster *c = log->cluster;
    if (!c)
        return;
    if (c->running) {
        let_end(c);
        atomic_store(&c->stopping, true);
        os_thread_join(&c->drainer);
        os_thread_join(&c->follower);
        cluster_begin_spooling(c, NULL);
    }
    kafka_store_close(c->store);
    c->store = NULL;
}

enum err log_cluster_restart(struct log *log)
{
    struct buf detail BUF_AUTO;
    struct cluster *c = log->cluster;
    buf_init(&detail, 1024);
    if (!c)
        return ERR_OK;
    TRY(connect(c, &detail));
    cluster_follow_again(c);
    return run(c);
}

void log_cluster_free(struct log *log)
{
    struct cluster *c = log->cluster;
    if (!c)
        return;
    for (size_t i = 0; i < c->setting_count; i++) {
        mem_free((void *)c->settings[i].name);
        mem_free((void *)c->settings[i].value);
    }
    mem_free(c->settings);
    mem_free(c->brokers);
    mem_free(c->entries);
    mem_free(c->follows);
    os_mutex_release(&c->append_lock);
    os_mutex_release(&c->lock);
    os_cond_release(&c->changed);
    mem_free(c);
    log->cluster = NULL;
}

bool log_cluster_describe(struct log *log, struct log_cluster_info *ret_info)
{
    struct cluster *c = log->cluster;
    if (!c)
        return false;
    int64_t end = log_part_end(c->spool);
    os_mutex_lock(&c->lock);
    *ret_info = (struct log_cluster_info){
        .brokers = c->brokers,
        .reached = !c->spooling,
        .spool_records = end > c->base ? (uint64_t)(end - c->base) : 0,
        .spool_bytes = atomic_load(&c->pending_bytes),
        .spool_max_bytes = c->spool_max_bytes,
        .delivered = c->delivered_total,
        .refused = c->refused_total,
    };
    os_mutex_unlock(&c->lock);
    return true;
}
