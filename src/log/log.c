/* Opening and closing the data folder, and the threads between. */
#include "log/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "log/log_int.h"

enum {
    FORMAT_FILE_MAX_BYTES = 4096,
    REPORT_MAX_BYTES = OS_PATH_MAX + 1024,
    RETIRED_MARKER_MAX_BYTES = 64 << 20,
    RETIRE_POLL_US = 100,
    SLACK_BYTES = 64 << 10, /* for files that are there twice while they are replaced */
};

void log_report(const struct log *log, enum log_severity severity, const char *format, ...)
{
    char text[REPORT_MAX_BYTES];
    va_list args;
    if (!log->options.report)
        return;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    log->options.report(log->options.arg, severity, str_of(text, len));
}

/* Memory -------------------------------------------------------------------------------------- */

static char *join(const char *dir, const char *name)
{
    size_t size = strlen(dir) + strlen(name) + 2;
    char *path = mem_alloc(size);
    (void)snprintf(path, size, "%s/%s", dir, name);
    return path;
}

static struct log *log_new(const struct log_options *options)
{
    struct log *log = NEW(struct log);
    log->options = *options;
    log->fs = options->fs ? options->fs : os_fs_machine();
    log->dir = mem_strdup(options->dir, strlen(options->dir));
    log->options.dir = log->dir;
    log->topics_dir = join(log->dir, "topics");
    os_mutex_init(&log->admin_lock);
    os_mutex_init(&log->topics_lock);
    os_mutex_init(&log->evict_lock);
    os_mutex_init(&log->files_lock);
    os_mutex_init(&log->commit_queue_lock);
    os_cond_init(&log->commit_wanted);
    os_mutex_init(&log->sync_lock);
    os_cond_init(&log->sync_wanted);
    os_cond_init(&log->sync_ended);
    os_mutex_init(&log->maintain_lock);
    os_cond_init(&log->maintain_wanted);
    os_mutex_init(&log->pool_lock);
    return log;
}

static void free_pools(struct log *log)
{
    for (struct log_scratch *s = log->scratches, *next; s; s = next) {
        next = s->next;
        compress_free(s->compress);
        buf_release(&s->packed);
        mem_free(s);
    }
    for (struct log_staged *b = log->spare_staged, *next; b; b = next) {
        next = b->next;
        buf_release(&b->records);
        mem_free(b);
    }
}

static void log_free(struct log *log)
{
    for (size_t i = 0; i < log->topic_count; i++)
        log_topic_free(log->topics[i]);
    for (size_t i = 0; i < log->deleted_count; i++)
        log_topic_free(log->deleted[i]);
    log_cluster_free(log);
    mem_free(log->topics);
    mem_free(log->deleted);
    log_marks_forget(log);
    free_pools(log);
    os_file_close(log->lock_file);
    mem_free(log->syncers);
    mem_free(log->topics_dir);
    mem_free(log->dir);
    os_mutex_release(&log->admin_lock);
    os_mutex_release(&log->topics_lock);
    os_mutex_release(&log->evict_lock);
    os_mutex_release(&log->files_lock);
    os_mutex_release(&log->commit_queue_lock);
    os_cond_release(&log->commit_wanted);
    os_mutex_release(&log->sync_lock);
    os_cond_release(&log->sync_wanted);
    os_cond_release(&log->sync_ended);
    os_mutex_release(&log->maintain_lock);
    os_cond_release(&log->maintain_wanted);
    os_mutex_release(&log->pool_lock);
    mem_free(log);
}

/* The folder ---------------------------------------------------------------------------------- */

static enum err fail(struct buf *detail, enum err error, const char *what, const char *path)
{
    buf_printf(detail, "%s %s: %s", what, path, err_text(error));
    return error;
}

/* Make the folder, if it is not there, so that it lasts. */
static enum err make_folder(struct log *log)
{
    enum err error = os_fs_mkdir(log->fs, log->dir);
    if (error != ERR_OK)
        return error == ERR_EXISTS ? ERR_OK : error;
    char *parent = join(log->dir, "..");
    error = os_fs_sync_dir(log->fs, parent);
    mem_free(parent);
    return error;
}

static enum err lock_folder(struct log *log, struct buf *detail)
{
    char *path = join(log->dir, "lock");
    enum err error = make_folder(log);
    if (error == ERR_OK)
        error = os_fs_lock(log->fs, path, &log->lock_file);
    if (error == ERR_IN_USE)
        buf_printf(detail,
                   "the data folder %s is in use by another process; stop that one, or choose "
                   "another folder",
                   log->dir);
    else if (error != ERR_OK)
        (void)fail(detail, error, "cannot open the data folder", log->dir);
    mem_free(path);
    return error;
}

static enum err parse_format(struct str text, struct buf *detail, const char *path)
{
    uint64_t version = 0;
    struct str line = str_split(&text, '\n');
    if (!str_starts(line, STR("weir-log ")) || str_to_u64(str_skip(line, 9), &version) != ERR_OK) {
        buf_printf(
            detail,
            "%s does not say \"weir-log 1\": this is not Weir's data folder, or it is damaged",
            path);
        return ERR_CORRUPT;
    }
    if (version <= LOG_FORMAT_VERSION)
        return ERR_OK;
    buf_printf(detail,
               "%s was written by a newer Weir (format %llu, this one knows %d); use that one, or "
               "an empty folder",
               path, (unsigned long long)version, LOG_FORMAT_VERSION);
    return ERR_NEWER_FORMAT;
}

static enum err write_format(struct log *log, const char *path)
{
    char text[32];
    (void)snprintf(text, sizeof text, "weir-log %d\n", LOG_FORMAT_VERSION);
    TRY(os_fs_write_file(log->fs, path, str_from_c(text)));
    return os_fs_sync_dir(log->fs, log->dir);
}

static enum err check_format(struct log *log, struct buf *detail)
{
    struct buf text BUF_AUTO;
    buf_init(&text, FORMAT_FILE_MAX_BYTES);
    char *path = join(log->dir, "format");
    enum err error = os_fs_read_file(log->fs, path, &text);
    if (error == ERR_OK)
        error = parse_format(buf_str(&text), detail, path);
    else if (error == ERR_NOT_FOUND && !log->options.read_only)
        error = write_format(log, path);
    if (error != ERR_OK && detail->len == 0)
        (void)fail(detail, error, "cannot use", path);
    mem_free(path);
    return error;
}

/* Everything that is there, before anything is changed. */
static enum err count_usage(struct log *log)
{
    uint64_t used = 0;
    uint64_t quarantined = 0;
    char *path = join(log->dir, "quarantine");
    enum err error = log_usage_of(log->fs, log->dir, &used);
    if (error == ERR_OK && log_usage_of(log->fs, path, &quarantined) == ERR_OK)
        atomic_store(&log->quarantined, quarantined);
    mem_free(path);
    atomic_store(&log->used, used + SLACK_BYTES);
    return error;
}

/* The marker is true until something is changed, so it goes before. */
static enum err take_marks(struct log *log)
{
    log_marks_read(log);
    if (log->options.read_only)
        return ERR_OK;
    char *path = join(log->dir, "clean");
    enum err error = os_fs_remove(log->fs, path);
    mem_free(path);
    if (error == ERR_NOT_FOUND)
        return ERR_OK;
    return error == ERR_OK ? os_fs_sync_dir(log->fs, log->dir) : error;
}

static enum err open_folder(struct log *log, struct buf *detail)
{
    bool write = !log->options.read_only;
    enum err error = ERR_OK;
    if (write)
        TRY(lock_folder(log, detail));
    TRY(check_format(log, detail));
    if (write)
        error = os_fs_ensure_dir(log->fs, log->topics_dir);
    if (error == ERR_OK && write)
        error = os_fs_sync_dir(log->fs, log->dir);
    if (error == ERR_OK && write)
        error = count_usage(log);
    if (error == ERR_OK)
        error = take_marks(log);
    if (error == ERR_OK)
        error = log_topics_load(log, detail);
    if (error == ERR_OK)
        error = log_cluster_check(log, detail);
    if (error != ERR_OK && detail->len == 0)
        (void)fail(detail, error, "cannot use the data folder", log->dir);
    log_marks_forget(log);
    return error;
}

/* Threads ------------------------------------------------------------------------------------- */

static void wake_all(struct log *log)
{
    os_mutex_lock(&log->commit_queue_lock);
    os_cond_broadcast(&log->commit_wanted);
    os_mutex_unlock(&log->commit_queue_lock);
    os_mutex_lock(&log->sync_lock);
    os_cond_broadcast(&log->sync_wanted);
    os_mutex_unlock(&log->sync_lock);
    os_mutex_lock(&log->maintain_lock);
    os_cond_broadcast(&log->maintain_wanted);
    os_mutex_unlock(&log->maintain_lock);
}

static void stop_threads(struct log *log)
{
    atomic_store(&log->stopping, true);
    wake_all(log);
    if (log->committer_runs)
        os_thread_join(&log->committer);
    if (log->maintainer_runs)
        os_thread_join(&log->maintainer);
    for (unsigned i = 0; i < log->syncer_count; i++)
        os_thread_join(&log->syncers[i]);
    log->committer_runs = log->maintainer_runs = false;
    log->syncer_count = 0;
}

static enum err start_threads(struct log *log)
{
    unsigned count =
        log->options.sync_threads ? log->options.sync_threads : LOG_SYNC_THREADS_DEFAULT;
    if (log->options.manual || log->options.read_only)
        return ERR_OK;
    TRY(os_thread_start("log-commit", log_committer_run, log, &log->committer));
    log->committer_runs = true;
    TRY(os_thread_start("log-maintain", log_maintainer_run, log, &log->maintainer));
    log->maintainer_runs = true;
    log->syncers = mem_array(count, sizeof *log->syncers);
    for (; log->syncer_count < count; log->syncer_count++)
        TRY(os_thread_start("log-sync", log_syncer_run, log, &log->syncers[log->syncer_count]));
    return ERR_OK;
}

/* Opening and closing ------------------------------------------------------------------------- */

enum err log_open(const struct log_options *options, struct buf *detail, struct log **ret_log)
{
    if (options->quota_bytes > 0 && options->quota_bytes < LOG_QUOTA_MIN_BYTES) {
        buf_printf(detail,
                   "a quota of %llu bytes is below the smallest, %d; raise it, or 0 for none",
                   (unsigned long long)options->quota_bytes, LOG_QUOTA_MIN_BYTES);
        return ERR_INVALID;
    }
    struct log *log = log_new(options);
    enum err error = open_folder(log, detail);
    if (error == ERR_OK && !options->read_only)
        log_quota_keep_spare(log);
    if (error == ERR_OK) {
        error = start_threads(log);
        if (error != ERR_OK)
            (void)fail(detail, error, "cannot start the threads of", log->dir);
    }
    if (error == ERR_OK && options->cluster && !options->read_only)
        error = log_cluster_open(log, detail);
    if (error != ERR_OK) {
        log_cluster_stop(log);
        stop_threads(log);
        log_free(log);
        return error;
    }
    log->options.cluster = NULL; /* the caller's */
    *ret_log = log;
    return ERR_OK;
}

/* No append comes any more; what was accepted ends. */
static void fence_all(struct log *log)
{
    for (size_t t = 0; t < log->topic_count; t++)
        for (uint32_t p = 0; p < log_topic_partitions(log->topics[t]); p++) {
            struct log_part *part = log_topic_part(log->topics[t], p);
            os_mutex_lock(&part->stage_lock);
            if (part->fenced == ERR_OK)
                part->fenced = ERR_CLOSED;
            os_mutex_unlock(&part->stage_lock);
        }
}

static void unfence_all(struct log *log)
{
    for (size_t t = 0; t < log->topic_count; t++)
        for (uint32_t p = 0; p < log_topic_partitions(log->topics[t]); p++) {
            struct log_part *part = log_topic_part(log->topics[t], p);
            os_mutex_lock(&part->stage_lock);
            if (part->fenced == ERR_CLOSED)
                part->fenced = ERR_OK;
            os_mutex_unlock(&part->stage_lock);
        }
}

static enum err wake_up(struct log *log)
{
    mem_free(log->syncers);
    log->syncers = NULL;
    atomic_store(&log->stopping, false);
    TRY(start_threads(log));
    unfence_all(log);
    atomic_store(&log->retired, false);
    return log_cluster_restart(log);
}

static enum err read_marker(struct log *log, struct buf *text)
{
    char *path = join(log->dir, "clean");
    buf_init(text, RETIRED_MARKER_MAX_BYTES);
    enum err error = os_fs_read_file(log->fs, path, text);
    mem_free(path);
    return error;
}

enum err log_retire(struct log *log)
{
    log_cluster_stop(log);
    fence_all(log);
    atomic_store(&log->retired, true);
    stop_threads(log);
    /* Some thread may be inside log_commit still: what it writes is pending until it is done. */
    while (log_run_commit(log) || log_run_sync(log) || atomic_load(&log->pending_bytes))
        os_sleep_us(atomic_load(&log->pending_bytes) ? RETIRE_POLL_US : 0);
    if (atomic_load(&log->failed))
        return ERR_CLOSED;
    enum err error = log_marks_write(log);
    if (error == ERR_OK)
        error = read_marker(log, &log->retired_at);
    if (error != ERR_OK) {
        buf_release(&log->retired_at);
        return take_marks(log) == ERR_OK && wake_up(log) == ERR_OK ? error : ERR_CLOSED;
    }
    os_file_close(log->lock_file);
    log->lock_file = NULL;
    return ERR_OK;
}

enum err log_resume(struct log *log)
{
    BUF_AUTO struct buf now = {.max = 1};
    BUF_AUTO struct buf detail = {.max = 1024};
    ASSERT(atomic_load(&log->retired) && !log->lock_file);
    TRY(lock_folder(log, &detail));
    enum err error = read_marker(log, &now);
    /* It goes before anything is changed, and a clean stop writes what was changed into it. */
    if (error != ERR_OK || !str_eq(buf_str(&now), buf_str(&log->retired_at)))
        error = ERR_OUT_OF_RANGE;
    if (error == ERR_OK)
        error = take_marks(log);
    log_marks_forget(log);
    if (error == ERR_OK)
        error = wake_up(log);
    buf_release(&log->retired_at);
    if (error == ERR_OK)
        return ERR_OK;
    os_file_close(log->lock_file);
    log->lock_file = NULL;
    return error;
}

void log_close(struct log *log)
{
    if (atomic_load(&log->retired)) {
        buf_release(&log->retired_at);
        log_free(log);
        return;
    }
    log_cluster_stop(log);
    fence_all(log);
    stop_threads(log);
    while (log_run_commit(log) || log_run_sync(log))
        ;
    if (!log->options.read_only && !atomic_load(&log->failed) && log_marks_write(log) != ERR_OK)
        log_report(log, LOG_WARN, "event=log_marker_not_written hint=\"%s\"",
                   "the next open reads the last segments");
    log_free(log);
}

void log_stats(struct log *log, struct log_stats *ret_stats)
{
    *ret_stats = (struct log_stats){
        .appends = atomic_load(&log->stats.appends),
        .append_errors = atomic_load(&log->stats.append_errors),
        .batches = atomic_load(&log->stats.batches),
        .bytes = atomic_load(&log->stats.bytes),
        .syncs = atomic_load(&log->stats.syncs),
        .sync_us = atomic_load(&log->stats.sync_us),
        .segments_evicted = atomic_load(&log->stats.evicted),
        .segments_expired = atomic_load(&log->stats.expired),
        .damaged = atomic_load(&log->stats.damaged),
        .pending_bytes = atomic_load(&log->pending_bytes),
    };
}
