/* What nobody asks for but time: removal by age and size, rolling by age, room ahead of need,
 * repair of what readers met. One thread, every few seconds or when it is woken. */
#include "log/log_int.h"

/* Kafka's rules: a segment goes when its newest record is too old, or when the partition without it
 * is still large enough. */
static bool is_expired(const struct log_topic_config *config, const struct log_segment *s,
                       uint64_t total, int64_t now_ms)
{
    int64_t newest = log_segment_newest(s);
    if (s->next_offset <= s->part->floor)
        return true;
    if (config->cleanup == LOG_COMPACT)
        return false;
    if (config->retention_ms >= 0 && newest >= 0 && now_ms - newest > config->retention_ms)
        return true;
    return config->retention_bytes >= 0 &&
           total - s->visible >= (uint64_t)config->retention_bytes && total > s->visible;
}

/* The first segment, with a reference, if it may go. */
static struct log_segment *expired_first(struct log_part *part,
                                         const struct log_topic_config *config, int64_t now_ms)
{
    struct log_segment *first = NULL;
    uint64_t total = 0;
    os_mutex_lock(&part->view_lock);
    for (size_t i = 0; i < part->segment_count; i++)
        total += part->segments[i]->visible;
    if (part->segment_count > 1 && part->segments[0]->sealed &&
        is_expired(config, part->segments[0], total, now_ms)) {
        first = part->segments[0];
        log_segment_ref(first);
    }
    os_mutex_unlock(&part->view_lock);
    return first;
}

static bool expire_one(struct log_part *part, const struct log_topic_config *config, int64_t now_ms)
{
    struct log *log = part->log;
    struct log_segment *first = expired_first(part, config, now_ms);
    if (!first)
        return false;
    struct log_segment *taken = log_part_take_first(part, first);
    if (taken) {
        log_report(log, LOG_INFO,
                   "event=log_expired topic=%s partition=%u segment=%lld next=%lld bytes=%llu",
                   part->topic->name, part->number, (long long)taken->base_offset,
                   (long long)taken->next_offset, (unsigned long long)taken->size);
        atomic_fetch_add(&log->stats.expired, 1);
        log_segment_remove_files(taken);
        log_segment_unref(taken);
    }
    log_segment_unref(first);
    return taken != NULL;
}

/* The active segment: too old to take more, or with nothing that is still kept. Then a new one
 * begins, and the old goes by the rules. */
static bool should_roll(struct log_part *part, const struct log_topic_config *config,
                        int64_t now_ms)
{
    os_mutex_lock(&part->view_lock);
    const struct log_segment *s = part->active;
    bool roll =
        s && s->size > 0 &&
        (now_ms - s->created_ms >= atomic_load(&part->topic->segment_ms) ||
         (config->cleanup != LOG_COMPACT && config->retention_ms >= 0 &&
          log_segment_newest(s) >= 0 && now_ms - log_segment_newest(s) > config->retention_ms));
    os_mutex_unlock(&part->view_lock);
    return roll;
}

static void roll_by_age(struct log_part *part, const struct log_topic_config *config,
                        int64_t now_ms)
{
    if (!should_roll(part, config, now_ms) || !os_mutex_try_lock(&part->commit_lock))
        return;
    enum err error = ERR_OK;
    if (should_roll(part, config, now_ms) && !part->cut_needed)
        error = log_part_roll(part);
    os_mutex_unlock(&part->commit_lock);
    if (error != ERR_OK) /* it goes on taking records, and the next round tries again */
        log_report(part->log, LOG_WARN, "event=log_roll_failed topic=%s partition=%u error=%s",
                   part->topic->name, part->number, err_name(error));
}

void log_part_expire(struct log_part *part)
{
    struct log_topic_config config = log_topic_config(part->topic);
    while (expire_one(part, &config, os_wall_us() / 1000))
        ;
}

static void maintain_part(struct log_part *part, const struct log_topic_config *config)
{
    int64_t now_ms = os_wall_us() / 1000;
    roll_by_age(part, config, now_ms);
    while (expire_one(part, config, now_ms))
        ;
    if (config->cleanup != LOG_DELETE)
        log_part_compact(part, config, now_ms);
    os_mutex_lock(&part->view_lock);
    bool repair = part->repair_wanted;
    os_mutex_unlock(&part->view_lock);
    if (repair)
        log_part_repair(part);
    if (part->has_producers && os_mutex_try_lock(&part->commit_lock)) {
        log_producers_expire(part, now_ms);
        os_mutex_unlock(&part->commit_lock);
    }
}

void log_maintain(struct log *log)
{
    struct log_topic **topics = NULL;
    size_t count = 0;
    if (log->options.read_only || atomic_load(&log->failed))
        return;
    log_topic_list(log, &topics, &count);
    for (size_t t = 0; t < count; t++) {
        struct log_topic_config config = log_topic_config(topics[t]);
        for (uint32_t p = 0; p < log_topic_partitions(topics[t]); p++)
            maintain_part(log_topic_part(topics[t], p), &config);
    }
    mem_free(topics);
    log_quota_keep_spare(log);
}

void log_maintainer_run(void *arg)
{
    struct log *log = arg;
    os_mutex_lock(&log->maintain_lock);
    while (!atomic_load(&log->stopping)) {
        (void)os_cond_wait_for(&log->maintain_wanted, &log->maintain_lock,
                               LOG_MAINTAIN_INTERVAL_US);
        if (atomic_load(&log->stopping))
            break;
        os_mutex_unlock(&log->maintain_lock);
        log_maintain(log);
        os_mutex_lock(&log->maintain_lock);
    }
    os_mutex_unlock(&log->maintain_lock);
}
