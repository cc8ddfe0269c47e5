/* Topics and the files that say what they are, <dir>/topics/<name>.topic:
 *
 *     weir-topic 1
 *     id=<32 hex digits>
 *     partitions=1
 *     durability=write|sync
 *     compression=none|lz4|zstd
 *     retention_ms=-1 … one line for each field of struct log_topic_config
 *     crc=<CRC-32C of the lines above, 8 hex digits>
 *
 * A topic exists when its file does: its folders are made before and removed after ("deleted=1"
 * marks the time between). Lines that are not known are for versions to come and are ignored. A
 * damaged file does not take its records with it: the topic is what its folders show, with the
 * default configuration. */
#include "log/log_int.h"

#include <stdio.h>

#include "codec/crc32c.h"
#include "os/random.h"

enum {
    TOPIC_FILE_MAX_BYTES = 4096,
    DEFAULT_SEGMENT_MS = 7 * 24 * 3600 * 1000,
    SEGMENTS_PER_QUOTA = 16, /* no segment takes more than this part of it */
};

/* Names --------------------------------------------------------------------------------------- */

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool log_topic_name_valid(struct str name)
{
    if (name.len == 0 || name.len > LOG_TOPIC_NAME_MAX || str_eq(name, STR(".")) ||
        str_eq(name, STR("..")))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!is_name_char(name.ptr[i]))
            return false;
    return true;
}

static bool config_is_valid(const struct log_topic_config *c)
{
    return c->partitions >= 1 && c->partitions <= LOG_PARTITIONS_MAX &&
           (c->compression == COMPRESS_NONE || c->compression == COMPRESS_LZ4 ||
            c->compression == COMPRESS_ZSTD) &&
           (c->durability == LOG_WRITE || c->durability == LOG_SYNC) && c->retention_ms >= -1 &&
           c->retention_bytes >= -1 && c->segment_ms >= 0 && c->cleanup <= LOG_COMPACT_DELETE &&
           c->batch_max_bytes <= LOG_BATCH_MAX_BYTES && c->compact_lag_ms >= 0 &&
           c->tombstones_ms >= -1 && c->dirty_percent >= -1 && c->dirty_percent <= 100;
}

/* The file ------------------------------------------------------------------------------------ */

static void path_of(const struct log *log, const char *name, char ret_path[OS_PATH_MAX])
{
    int n = snprintf(ret_path, OS_PATH_MAX, "%s/%s.topic", log->topics_dir, name);
    ASSERT(n > 0 && n < OS_PATH_MAX);
}

static enum err write_file(struct log_topic *t, const struct log_topic_config *c, bool deleted)
{
    char path[OS_PATH_MAX];
    struct buf text BUF_AUTO;
    buf_init(&text, TOPIC_FILE_MAX_BYTES);
    buf_printf(&text, "weir-topic %d\nid=", LOG_FORMAT_VERSION);
    for (size_t i = 0; i < sizeof t->id; i++)
        buf_printf(&text, "%02x", t->id[i]);
    buf_printf(&text, "\npartitions=%u\ndurability=%s\ncompression=%s\n", c->partitions,
               c->durability == LOG_SYNC ? "sync" : "write", compress_name(c->compression));
    buf_printf(&text, "retention_ms=%lld\nretention_bytes=%lld\n", (long long)c->retention_ms,
               (long long)c->retention_bytes);
    buf_printf(&text, "segment_bytes=%llu\nsegment_ms=%lld\nkeep=%d\n",
               (unsigned long long)c->segment_bytes, (long long)c->segment_ms, c->keep);
    buf_printf(&text, "cleanup=%d\nbatch_max_bytes=%u\n", (int)c->cleanup, c->batch_max_bytes);
    buf_printf(&text, "compact_lag_ms=%lld\ntombstones_ms=%lld\ndirty_percent=%d\nappend_time=%d\n",
               (long long)c->compact_lag_ms, (long long)c->tombstones_ms, c->dirty_percent,
               c->append_time);
    if (deleted)
        buf_append_str(&text, STR("deleted=1\n"));
    uint32_t crc = crc32c(0, text.ptr, text.len);
    buf_printf(&text, "crc=%08x\n", crc);
    ASSERT(text.error == ERR_OK);
    path_of(t->log, t->name, path);
    TRY(os_fs_write_file(t->log->fs, path, buf_str(&text)));
    return os_fs_sync_dir(t->log->fs, t->log->topics_dir);
}

static enum err parse_id(struct str value, uint8_t ret_id[16])
{
    if (value.len != 32)
        return ERR_CORRUPT;
    for (size_t i = 0; i < 16; i++) {
        char digits[3] = {value.ptr[2 * i], value.ptr[2 * i + 1], 0};
        char *end = NULL;
        ret_id[i] = (uint8_t)strtoul(digits, &end, 16);
        if (end != digits + 2)
            return ERR_CORRUPT;
    }
    return ERR_OK;
}

static enum err parse_number(struct str value, int64_t *ret_number)
{
    return str_to_i64(value, ret_number) == ERR_OK ? ERR_OK : ERR_CORRUPT;
}

struct parsed {
    struct log_topic_config config;
    uint8_t id[16];
    bool deleted;
};

static enum err parse_field(struct str key, struct str value, struct parsed *p)
{
    int64_t number = 0;
    if (str_eq(key, STR("id")))
        return parse_id(value, p->id);
    if (str_eq(key, STR("compression")))
        return compress_from_name(value, &p->config.compression) == ERR_OK ? ERR_OK : ERR_CORRUPT;
    if (str_eq(key, STR("durability"))) {
        p->config.durability = str_eq(value, STR("sync")) ? LOG_SYNC : LOG_WRITE;
        return ERR_OK;
    }
    if (parse_number(value, &number) != ERR_OK)
        return ERR_OK; /* of a version to come; the CRC has vouched for the known ones */
    if (str_eq(key, STR("partitions")) && number >= 1 && number <= LOG_PARTITIONS_MAX)
        p->config.partitions = (uint32_t)number;
    else if (str_eq(key, STR("retention_ms")))
        p->config.retention_ms = number;
    else if (str_eq(key, STR("retention_bytes")))
        p->config.retention_bytes = number;
    else if (str_eq(key, STR("segment_bytes")))
        p->config.segment_bytes = (uint64_t)number;
    else if (str_eq(key, STR("segment_ms")))
        p->config.segment_ms = number;
    else if (str_eq(key, STR("cleanup")) && number >= 0 && number <= LOG_COMPACT_DELETE)
        p->config.cleanup = (enum log_cleanup)number;
    else if (str_eq(key, STR("batch_max_bytes")) && number >= 0 && number <= LOG_BATCH_MAX_BYTES)
        p->config.batch_max_bytes = (uint32_t)number;
    else if (str_eq(key, STR("compact_lag_ms")))
        p->config.compact_lag_ms = number;
    else if (str_eq(key, STR("tombstones_ms")))
        p->config.tombstones_ms = number;
    else if (str_eq(key, STR("dirty_percent")) && number >= -1 && number <= 100)
        p->config.dirty_percent = (int)number;
    else if (str_eq(key, STR("append_time")))
        p->config.append_time = number != 0;
    else if (str_eq(key, STR("keep")))
        p->config.keep = number != 0;
    else if (str_eq(key, STR("deleted")))
        p->deleted = number != 0;
    return ERR_OK;
}

/* ERR_NEWER_FORMAT, ERR_CORRUPT. */
static enum err parse(struct str text, struct parsed *ret_parsed)
{
    struct parsed p = {.config = LOG_TOPIC_CONFIG_DEFAULT};
    char expected[24];
    uint64_t version = 0;
    struct str rest = text;
    struct str first = str_split(&rest, '\n');
    if (!str_starts(first, STR("weir-topic ")) ||
        str_to_u64(str_skip(first, 11), &version) != ERR_OK)
        return ERR_CORRUPT;
    if (version > LOG_FORMAT_VERSION)
        return ERR_NEWER_FORMAT;
    ptrdiff_t end = str_find(text, STR("\ncrc="));
    if (end < 0)
        return ERR_CORRUPT;
    (void)snprintf(expected, sizeof expected, "crc=%08x\n", crc32c(0, text.ptr, (size_t)end + 1));
    if (!str_eq(str_skip(text, (size_t)end + 1), str_from_c(expected)))
        return ERR_CORRUPT;
    rest = str_take(rest, rest.len - strlen(expected));
    while (rest.len > 0) {
        struct str value = str_split(&rest, '\n');
        struct str key = str_split(&value, '=');
        TRY(parse_field(key, value, &p));
    }
    if (!config_is_valid(&p.config))
        return ERR_CORRUPT;
    *ret_parsed = p;
    return ERR_OK;
}

/* A topic in memory --------------------------------------------------------------------------- */

static uint64_t segment_bytes(const struct log *log, const struct log_topic_config *c)
{
    uint64_t bytes = c->segment_bytes ? c->segment_bytes : log->options.segment_bytes;
    bytes = bytes ? bytes : LOG_SEGMENT_DEFAULT_BYTES;
    uint64_t part = log->options.quota_bytes / SEGMENTS_PER_QUOTA;
    if (part > 0 && bytes > part)
        bytes = part;
    if (bytes < LOG_SEGMENT_MIN_BYTES)
        bytes = LOG_SEGMENT_MIN_BYTES;
    return bytes < LOG_SEGMENT_MAX_BYTES ? bytes : LOG_SEGMENT_MAX_BYTES;
}

static void apply_config(struct log_topic *t, const struct log_topic_config *c)
{
    os_mutex_lock(&t->log->topics_lock);
    t->config = *c;
    os_mutex_unlock(&t->log->topics_lock);
    atomic_store(&t->durability, (int)c->durability);
    atomic_store(&t->compression, (int)c->compression);
    atomic_store(&t->keep, c->keep);
    atomic_store(&t->append_time, c->append_time);
    atomic_store(&t->keys_needed, c->cleanup != LOG_DELETE);
    atomic_store(&t->batch_max_bytes,
                 c->batch_max_bytes ? c->batch_max_bytes : (uint32_t)LOG_BATCH_MAX_BYTES);
    atomic_store(&t->segment_bytes, segment_bytes(t->log, c));
    atomic_store(&t->segment_ms, c->segment_ms ? c->segment_ms : DEFAULT_SEGMENT_MS);
}

static struct log_topic *topic_new(struct log *log, struct str name)
{
    struct log_topic *t = NEW(struct log_topic);
    t->log = log;
    t->name = mem_strdup(name.ptr, name.len);
    t->name_len = name.len;
    return t;
}

/* More partitions, in a new array: the old one may be in use by another thread. */
static void add_parts(struct log_topic *t, uint32_t count)
{
    uint32_t before = atomic_load(&t->part_count);
    struct log_part **old = atomic_load(&t->parts);
    struct log_part **parts = mem_array(count, sizeof(struct log_part *));
    for (uint32_t i = 0; i < count; i++)
        parts[i] = i < before ? old[i] : log_part_new(t, i);
    if (old) {
        t->old_parts =
            mem_resize(t->old_parts, (t->old_parts_count + 1) * sizeof(struct log_part **));
        t->old_parts[t->old_parts_count++] = old;
    }
    atomic_store(&t->parts, parts);
}

void log_topic_free(struct log_topic *t)
{
    struct log_part **parts = atomic_load(&t->parts);
    for (uint32_t i = 0; i < atomic_load(&t->part_count); i++)
        log_part_free(parts[i]);
    for (size_t i = 0; i < t->old_parts_count; i++)
        mem_free(t->old_parts[i]);
    mem_free(t->old_parts);
    mem_free(parts);
    mem_free(t->name);
    mem_free(t);
}

struct str log_topic_name(const struct log_topic *topic)
{
    return str_of(topic->name, topic->name_len);
}

struct log_topic_config log_topic_config(struct log_topic *topic)
{
    os_mutex_lock(&topic->log->topics_lock);
    struct log_topic_config config = topic->config;
    os_mutex_unlock(&topic->log->topics_lock);
    return config;
}

void log_topic_id(const struct log_topic *topic, uint8_t ret_id[16])
{
    memcpy(ret_id, topic->id, sizeof topic->id);
}

uint32_t log_topic_partitions(const struct log_topic *topic)
{
    return atomic_load(&topic->part_count);
}

struct log_part *log_topic_part(struct log_topic *topic, uint32_t index)
{
    return index < atomic_load(&topic->part_count) ? atomic_load(&topic->parts)[index] : NULL;
}

/* The list ------------------------------------------------------------------------------------ */

/* Where the name is, or would be. */
static size_t place_of(const struct log *log, struct str name)
{
    size_t low = 0;
    size_t high = log->topic_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (str_cmp(log_topic_name(log->topics[middle]), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct log_topic *log_topic_find(struct log *log, struct str name)
{
    os_mutex_lock(&log->topics_lock);
    size_t at = place_of(log, name);
    bool there = at < log->topic_count && str_eq(log_topic_name(log->topics[at]), name);
    struct log_topic *t = there ? log->topics[at] : NULL;
    os_mutex_unlock(&log->topics_lock);
    return t;
}

struct log_topic *log_topic_find_id(struct log *log, const uint8_t id[16])
{
    struct log_topic *t = NULL;
    os_mutex_lock(&log->topics_lock);
    for (size_t i = 0; i < log->topic_count && !t; i++)
        if (memcmp(log->topics[i]->id, id, sizeof log->topics[i]->id) == 0)
            t = log->topics[i];
    os_mutex_unlock(&log->topics_lock);
    return t;
}

static void list_insert(struct log *log, struct log_topic *t)
{
    os_mutex_lock(&log->topics_lock);
    size_t at = place_of(log, log_topic_name(t));
    log->topics = mem_resize(log->topics, (log->topic_count + 1) * sizeof(struct log_topic *));
    memmove(log->topics + at + 1, log->topics + at,
            (log->topic_count - at) * sizeof(struct log_topic *));
    log->topics[at] = t;
    log->topic_count++;
    os_mutex_unlock(&log->topics_lock);
}

static void list_remove(struct log *log, struct log_topic *t)
{
    os_mutex_lock(&log->topics_lock);
    size_t at = place_of(log, log_topic_name(t));
    ASSERT(at < log->topic_count && log->topics[at] == t);
    log->topic_count--;
    memmove(log->topics + at, log->topics + at + 1,
            (log->topic_count - at) * sizeof(struct log_topic *));
    log->deleted = mem_resize(log->deleted, (log->deleted_count + 1) * sizeof(struct log_topic *));
    log->deleted[log->deleted_count++] = t;
    os_mutex_unlock(&log->topics_lock);
}

void log_topic_list(struct log *log, struct log_topic ***ret_topics, size_t *ret_count)
{
    os_mutex_lock(&log->topics_lock);
    size_t count = log->topic_count;
    struct log_topic **topics = mem_array(count, sizeof(struct log_topic *));
    if (count > 0)
        memcpy(topics, log->topics, count * sizeof(struct log_topic *));
    os_mutex_unlock(&log->topics_lock);
    *ret_topics = topics;
    *ret_count = count;
}

/* Creating and changing ----------------------------------------------------------------------- */

/* Folders of partitions from `from` on. */
static enum err make_dirs(struct log_topic *t, uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i < count; i++) {
        struct log_part *part = atomic_load(&t->parts)[i];
        TRY(os_fs_ensure_dir(t->log->fs, part->dir));
        TRY(log_epochs_read(part));
        TRY(log_epochs_write(part, false));
    }
    return os_fs_sync_dir(t->log->fs, t->log->topics_dir);
}

static uint64_t cost_of(uint32_t partitions)
{
    return log_quota_file_bytes(TOPIC_FILE_MAX_BYTES) + partitions * (uint64_t)LOG_PART_COST_BYTES;
}

static enum err create(struct log *log, struct str name, const struct log_topic_config *config,
                       struct log_topic **ret_topic)
{
    if (!log_topic_name_valid(name) || !config_is_valid(config))
        return ERR_INVALID;
    TRY(log_quota_make(log, cost_of(config->partitions), NULL));
    struct log_topic *t = topic_new(log, name);
    os_random_bytes(t->id, sizeof t->id);
    apply_config(t, config);
    add_parts(t, config->partitions);
    atomic_store(&t->part_count, config->partitions);
    enum err error = make_dirs(t, 0, config->partitions);
    if (error == ERR_OK)
        error = write_file(t, config, false);
    if (error != ERR_OK) {
        /* Empty folders may stay; the next attempt or open takes them. */
        log_quota_return(log, cost_of(config->partitions));
        log_topic_free(t);
        return error;
    }
    list_insert(log, t);
    *ret_topic = t;
    return ERR_OK;
}

enum err log_topic_open(struct log *log, struct str name, const struct log_topic_config *config,
                        struct log_topic **ret_topic)
{
    if (log->cluster && !log_cluster_keeps(name))
        return log_cluster_topic_open(log, name, config, ret_topic);
    return log_topic_open_local(log, name, config, ret_topic);
}

enum err log_topic_open_local(struct log *log, struct str name,
                              const struct log_topic_config *config, struct log_topic **ret_topic)
{
    struct log_topic *t = log_topic_find(log, name);
    if (t) {
        *ret_topic = t;
        return ERR_OK;
    }
    if (log->options.read_only)
        return ERR_NOT_FOUND;
    os_mutex_lock(&log->admin_lock);
    t = log_topic_find(log, name);
    enum err error = t ? ERR_OK : create(log, name, config, &t);
    os_mutex_unlock(&log->admin_lock);
    if (error == ERR_OK)
        *ret_topic = t;
    return error;
}

static enum err configure(struct log_topic *t, const struct log_topic_config *config)
{
    uint32_t before = atomic_load(&t->part_count);
    if (!config_is_valid(config) || config->partitions < before)
        return ERR_INVALID;
    if (atomic_load(&t->deleted))
        return ERR_NOT_FOUND;
    uint64_t cost = (config->partitions - before) * (uint64_t)LOG_PART_COST_BYTES;
    TRY(log_quota_make(t->log, cost, NULL));
    if (config->partitions > before)
        add_parts(t, config->partitions);
    enum err error = make_dirs(t, before, config->partitions);
    if (error == ERR_OK)
        error = write_file(t, config, false);
    if (error == ERR_OK) {
        atomic_store(&t->part_count, config->partitions);
        apply_config(t, config);
        return ERR_OK;
    }
    struct log_part **parts = atomic_load(&t->parts);
    for (uint32_t i = before; i < config->partitions; i++)
        log_part_free(parts[i]);
    log_quota_return(t->log, cost);
    return error;
}

enum err log_topic_configure(struct log_topic *topic, const struct log_topic_config *config)
{
    if (topic->log->options.read_only)
        return ERR_ACCESS;
    os_mutex_lock(&topic->log->admin_lock);
    enum err error = configure(topic, config);
    os_mutex_unlock(&topic->log->admin_lock);
    return error;
}

/* Deleting ------------------------------------------------------------------------------------ */

static void fence(struct log_part *part)
{
    os_mutex_lock(&part->stage_lock);
    part->fenced = ERR_NOT_FOUND;
    struct log_staged *staged = part->staged_first;
    part->staged_first = part->staged_last = NULL;
    os_mutex_unlock(&part->stage_lock);
    for (struct log_staged *b = staged, *next; b; b = next) {
        next = b->next;
        log_fail_appends(part->log, b->first, ERR_NOT_FOUND);
        log_staged_free(part->log, b);
    }
}

/* Everything that readers could find, and what waits for a sync. Under commit_lock. */
static void empty(struct log_part *part)
{
    os_mutex_lock(&part->view_lock);
    struct log_segment **segments = part->segments;
    size_t count = part->segment_count;
    struct log_append *waiting = part->waiting_first;
    part->segments = NULL;
    part->segment_count = part->segment_capacity = 0;
    part->unsealed = 0;
    part->waiting_first = part->waiting_last = NULL;
    part->active = NULL;
    for (size_t i = 0; i < count; i++) {
        atomic_store(&segments[i]->removed, true);
        if (segments[i]->dirty)
            log_segment_drop(segments[i]);
        segments[i]->dirty = false;
    }
    os_mutex_unlock(&part->view_lock);
    log_fail_appends(part->log, waiting, ERR_NOT_FOUND);
    for (size_t i = 0; i < count; i++)
        log_segment_remove_files(segments[i]);
    log_part_segments_release(segments, count);
}

struct leftovers {
    const struct log *log;
    const char *dir;
};

static void remove_leftover(void *arg, struct str name, bool is_dir)
{
    struct leftovers *l = arg;
    char path[OS_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%.*s", l->dir, STR_ARG(name));
    if (!is_dir && n > 0 && (size_t)n < sizeof path && os_fs_remove(l->log->fs, path) != ERR_OK)
        log_report(l->log, LOG_WARN, "event=log_remove_failed file=%s", path);
}

static enum err remove_dir(const struct log *log, const char *dir)
{
    struct leftovers l = {log, dir};
    enum err error = os_fs_list(log->fs, dir, remove_leftover, &l);
    if (error == ERR_OK)
        error = os_fs_rmdir(log->fs, dir);
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

static enum err delete_topic(struct log_topic *t)
{
    struct log *log = t->log;
    char path[OS_PATH_MAX];
    struct log_topic_config config = log_topic_config(t);
    if (atomic_load(&t->deleted))
        return ERR_NOT_FOUND;
    TRY(write_file(t, &config, true));
    atomic_store(&t->deleted, true);
    list_remove(log, t);
    enum err error = ERR_OK;
    for (uint32_t i = 0; i < config.partitions; i++) {
        struct log_part *part = log_topic_part(t, i);
        fence(part);
        os_mutex_lock(&part->commit_lock);
        empty(part);
        os_mutex_unlock(&part->commit_lock);
        /* A sync under way holds the segments, and would miss the folder. None comes after it. */
        log_sync_part(part);
        enum err failed = remove_dir(log, part->dir);
        error = error == ERR_OK ? failed : error;
    }
    path_of(log, t->name, path);
    if (error == ERR_OK)
        error = os_fs_remove(log->fs, path);
    if (error == ERR_OK)
        error = os_fs_sync_dir(log->fs, log->topics_dir);
    if (error == ERR_OK)
        log_quota_return(log, cost_of(config.partitions));
    return error;
}

enum err log_topic_delete(struct log_topic *topic)
{
    if (topic->log->options.read_only)
        return ERR_ACCESS;
    os_mutex_lock(&topic->log->admin_lock);
    enum err error = delete_topic(topic);
    os_mutex_unlock(&topic->log->admin_lock);
    return error;
}

/* At open ------------------------------------------------------------------------------------- */

struct name {
    struct name *next;
    char *text;     /* of a topic */
    uint32_t parts; /* one more than the largest folder's number */
    bool has_file;
};

struct found {
    struct name *names;
};

static struct name *name_of(struct found *found, struct str text)
{
    for (struct name *n = found->names; n; n = n->next)
        if (str_eq(str_from_c(n->text), text))
            return n;
    struct name *n = NEW(struct name);
    n->text = mem_strdup(text.ptr, text.len);
    n->next = found->names;
    found->names = n;
    return n;
}

/* "<topic>-<partition>" */
static bool split_dir_name(struct str name, struct str *ret_topic, uint32_t *ret_number)
{
    uint64_t number = 0;
    size_t at = name.len;
    while (at > 0 && name.ptr[at - 1] != '-')
        at--;
    if (at < 2 || str_to_u64(str_skip(name, at), &number) != ERR_OK || number >= LOG_PARTITIONS_MAX)
        return false;
    *ret_topic = str_take(name, at - 1);
    *ret_number = (uint32_t)number;
    return log_topic_name_valid(*ret_topic);
}

static void note(void *arg, struct str name, bool is_dir)
{
    struct str topic = STR_NONE;
    uint32_t number = 0;
    if (is_dir && split_dir_name(name, &topic, &number)) {
        struct name *n = name_of(arg, topic);
        n->parts = n->parts > number ? n->parts : number + 1;
    } else if (!is_dir && str_ends(name, STR(".topic"))) {
        topic = str_take(name, name.len - 6);
        if (log_topic_name_valid(topic))
            name_of(arg, topic)->has_file = true;
    }
}

static enum err read_file(struct log *log, const char *name, struct parsed *ret_parsed)
{
    char path[OS_PATH_MAX];
    struct buf text BUF_AUTO;
    buf_init(&text, TOPIC_FILE_MAX_BYTES);
    path_of(log, name, path);
    enum err error = os_fs_read_file(log->fs, path, &text);
    if (error == ERR_OK)
        error = parse(buf_str(&text), ret_parsed);
    return error == ERR_TOO_LARGE || error == ERR_NOT_FOUND ? ERR_CORRUPT : error;
}

static enum err finish_deletion(struct log *log, const struct name *n, uint32_t partitions)
{
    char path[OS_PATH_MAX];
    if (log->options.read_only)
        return ERR_OK;
    for (uint32_t i = 0; i < partitions; i++) {
        int len = snprintf(path, sizeof path, "%s/%s-%u", log->topics_dir, n->text, i);
        ASSERT(len > 0 && len < OS_PATH_MAX);
        TRY(remove_dir(log, path));
    }
    path_of(log, n->text, path);
    enum err error = os_fs_remove(log->fs, path);
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

static enum err load_parts(struct log_topic *t, uint32_t count)
{
    struct log *log = t->log;
    add_parts(t, count);
    atomic_store(&t->part_count, count);
    for (uint32_t i = 0; i < count; i++) {
        struct log_part *part = log_topic_part(t, i);
        const char *name = part->dir + strlen(log->topics_dir) + 1;
        if (!log->options.read_only)
            TRY(os_fs_ensure_dir(log->fs, part->dir));
        TRY(log_part_load(part, log_marks_find(log, name)));
    }
    return ERR_OK;
}

/* Folders without a readable file. Empty ones are left from a creation that did not get to its end.
 */
static enum err rescue(struct log *log, const struct name *n, struct parsed *ret_parsed)
{
    struct parsed p = {.config = LOG_TOPIC_CONFIG_DEFAULT};
    p.config.partitions = n->parts;
    os_random_bytes(p.id, sizeof p.id);
    log_report(log, LOG_ERROR, "event=log_topic_damaged topic=%s partitions=%u hint=\"%s\"",
               n->text, n->parts,
               "its file was not readable: it has the default configuration now");
    *ret_parsed = p;
    return ERR_OK;
}

static bool has_records(const struct log_topic *t)
{
    struct log_part **parts = atomic_load(&t->parts);
    for (uint32_t i = 0; i < atomic_load(&t->part_count); i++)
        if (parts[i]->segment_count > 0)
            return true;
    return false;
}

static enum err load_topic(struct log *log, const struct name *n)
{
    struct parsed p;
    enum err error = read_file(log, n->text, &p);
    bool whole = error == ERR_OK;
    if (error == ERR_CORRUPT && n->parts == 0)
        return finish_deletion(log, n, 0); /* nothing is in it */
    if (error == ERR_CORRUPT)
        error = rescue(log, n, &p);
    TRY(error);
    if (p.deleted)
        return finish_deletion(log, n,
                               n->parts > p.config.partitions ? n->parts : p.config.partitions);
    struct log_topic *t = topic_new(log, str_from_c(n->text));
    memcpy(t->id, p.id, sizeof t->id);
    apply_config(t, &p.config);
    error = load_parts(t, p.config.partitions);
    bool wanted = whole || n->has_file || has_records(t);
    if (error == ERR_OK && wanted && !whole && !log->options.read_only)
        error = write_file(t, &p.config, false);
    if (error != ERR_OK || !wanted) {
        log_topic_free(t);
        return error;
    }
    list_insert(log, t);
    return ERR_OK;
}

enum err log_topics_load(struct log *log, struct buf *detail)
{
    struct found found = {0};
    enum err error = os_fs_list(log->fs, log->topics_dir, note, &found);
    if (error == ERR_NOT_FOUND && log->options.read_only)
        error = ERR_OK;
    if (error != ERR_OK)
        buf_printf(detail, "cannot read %s: %s", log->topics_dir, err_text(error));
    for (struct name *n = found.names, *next; n; n = next) {
        next = n->next;
        if (error == ERR_OK && (error = load_topic(log, n)) != ERR_OK)
            buf_printf(detail, "topic %s under %s: %s", n->text, log->topics_dir, err_text(error));
        mem_free(n->text);
        mem_free(n);
    }
    return error;
}
