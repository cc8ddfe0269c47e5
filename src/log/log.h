/* The log: topics of append-only partitions in Kafka's own files, in one data folder.
 *
 *     <dir>/lock                        held while a process has the folder open for writing
 *     <dir>/format                      "weir-log 1"
 *     <dir>/clean                       where every partition ended, written by a clean stop
 *     <dir>/topics/<topic>.topic        a topic's configuration
 *     <dir>/topics/<topic>-<partition>/ <base offset>.log .index .timeindex, the leader epochs
 *     <dir>/quarantine/                 damaged bytes that were set aside
 *     <dir>/anything else               counted against the quota, otherwise left alone
 *
 * Any thread may call any function here unless its comment says otherwise. Nothing here waits for
 * the disk but log_open, log_close, log_topic_*, log_maintain, the *_wait functions and reading.
 *
 * Invariants a user may build on:
 *  1. An append whose done() says ERR_OK is on the log once, at that offset, for good: after
 *     LOG_ACK_WRITE it survives the death of the process at once and of the machine after 5 ms,
 *     after LOG_ACK_SYNC both at once. One whose done() says anything else is not on the log.
 *  2. Offsets of a partition grow, and done() runs in their order (for one kind of ack).
 *  3. A reader sees a record no earlier than its topic's durability makes it acknowledged.
 *  4. The folder never grows past the quota.
 *  5. A sync that fails ends the process: what the kernel dropped cannot be written again.
 *
 * docs/internals/log.md explains files, threads and recovery. */
#ifndef WEIR_LOG_LOG_H
#define WEIR_LOG_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/batch.h"
#include "codec/compress.h"

struct log;
struct log_topic;
struct log_part; /* a partition */
struct log_cursor;
struct log_segment;
struct os_fs;
struct os_file;

enum {
    LOG_TOPIC_NAME_MAX = 249,          /* Kafka's limit */
    LOG_PARTITIONS_MAX = 10000,        /* of one topic */
    LOG_RECORD_MAX_BYTES = 16 << 20,   /* key, value and headers together: ERR_TOO_LARGE */
    LOG_BATCH_MAX_BYTES = 17 << 20,    /* an encoded batch: ERR_TOO_LARGE */
    LOG_BATCH_TARGET_BYTES = 1 << 20,  /* pending records are cut into batches of about this */
    LOG_PENDING_MAX_BYTES = 128 << 20, /* accepted and not yet written, all partitions: ERR_BUSY */
    LOG_HEADERS_MAX = 64,              /* of one record: ERR_TOO_LARGE */
    LOG_SEGMENT_DEFAULT_BYTES = 64 << 20,
    LOG_QUOTA_MIN_BYTES = 4 << 20,
};

/* Opening and closing ------------------------------------------------------------------------- */

enum log_severity { LOG_INFO, LOG_WARN, LOG_ERROR };

/* One event of the log as text, "event=log_tail_cut topic=weir.calls partition=0 offset=17 …", for
 * the edge to write somewhere; the log itself never prints. Called on any thread; the text is gone
 * after the call; must not call the log. Events: see docs/internals/log.md. */
typedef void log_report_fn(void *arg, enum log_severity severity, struct str text);

/* A setting of librdkafka, by its own name: security.protocol, sasl.username, ssl.ca.location, … */
struct log_cluster_setting {
    const char *name;
    const char *value; /* may be a secret */
};

/* Topics live on an Apache Kafka; the folder has a copy of each, with the same offsets, and a spool
 * of what the cluster has not taken yet. What is different then:
 *   log_append: done() comes when the cluster has the record and readers see it, or, while no
 * broker answers, when it is in the spool, with offset -1. ERR_QUOTA: the spool is full.
 *   log_append_batch is ERR_UNSUPPORTED.
 *   log_topic_open makes the topic on the cluster: ERR_TIMEOUT when that needs a broker and none
 *     answers. Of a topic with `keep` it waits until the copy is what the cluster has, if it can.
 *   log_topic_configure and log_topic_delete are about the copy alone.
 *   LOG_ACK_SYNC: synced in the spool, acknowledged by all of the cluster's in-sync replicas. */
struct log_cluster_options {
    const char *brokers; /* "host:port,host:port" */
    const struct log_cluster_setting *settings;
    size_t setting_count;
    uint64_t spool_max_bytes; /* keys, values and headers that wait for a broker */
};

struct log_options {
    const struct os_fs *fs; /* NULL: the machine's */
    const char *dir;        /* made if missing (not when read_only) */
    uint64_t quota_bytes;   /* for everything under dir; 0: none */
    uint32_t protect_ms;    /* what is younger is never removed to make room */
    uint64_t segment_bytes; /* for topics that do not say; 0: LOG_SEGMENT_DEFAULT_BYTES. With a
                               quota never more than a sixteenth of it. */
    /* Look only: no lock is taken and no byte is changed, so another process may be writing.
     * Appends are ERR_ACCESS. log_part_refresh sees what was added. */
    bool read_only;
    unsigned sync_threads; /* 0: LOG_SYNC_THREADS_DEFAULT */
    /* No threads: the caller turns the wheel by log_run_commit, log_run_sync and log_maintain. For
     * simulation. */
    bool manual;
    const struct log_cluster_options *cluster; /* NULL: the log is embedded */
    log_report_fn *report;                     /* may be NULL */
    /* Called when a sync failed; NULL (always, outside tests): write a line to standard error and
     * end the process. Should it return, the log answers everything with ERR_CLOSED. */
    void (*fatal)(void *arg, struct str text);
    void *arg; /* for report and fatal */
};

enum { LOG_SYNC_THREADS_DEFAULT = 4 };

/* Open the folder, making it if it is not there, and recover what an unclean stop left: a torn tail
 * is cut, damage before it is set aside; neither stops the open, both are reported.
 * ERR_IN_USE: another process has it; ERR_NEWER_FORMAT; ERR_INVALID: a quota below
 * LOG_QUOTA_MIN_BYTES; ERR_ACCESS, ERR_IO, …: unreadable. *detail then holds a sentence for people.
 */
MUST_CHECK enum err log_open(const struct log_options *options, struct buf *detail,
                             struct log **ret_log);
/* Clean stop: write and sync what is pending (every done() has run when this returns), then leave
 * the marker by which the next open need not look. Ranges and cursors must be released before;
 * appends must have ended. */
void log_close(struct log *log);

/* Let another process have the folder, as after a clean stop: what was accepted is written and
 * synced and its done() has run; from then on appends are ERR_CLOSED, the quota is the other's, and
 * reading goes on over what was there. Other threads may be using the log. ERR_CLOSED: a sync had
 * failed; other errors: the marker could not be written, and the log is resumed. */
MUST_CHECK enum err log_retire(struct log *log);
/* Take the folder back, if nobody has changed it since: ERR_IN_USE: somebody has it;
 * ERR_OUT_OF_RANGE: somebody has had it. Then only log_close is left to do with this log. */
MUST_CHECK enum err log_resume(struct log *log);

/* Topics -------------------------------------------------------------------------------------- */

enum log_durability {
    LOG_WRITE, /* acknowledged when written to the page cache; on disk within 5 ms */
    LOG_SYNC,  /* acknowledged, and visible to readers, when on disk */
};

/* What becomes of old records: removed by age and size; of each key all but the newest removed; or
 * both. */
enum log_cleanup { LOG_DELETE, LOG_COMPACT, LOG_COMPACT_DELETE };

struct log_topic_config {
    uint32_t partitions; /* at least 1 */
    enum log_durability durability;
    enum compress_codec compression; /* of batches that Weir makes: none, lz4 or zstd */
    int64_t retention_ms;            /* older segments are removed; -1: never */
    int64_t retention_bytes;         /* of each partition, as Kafka has it; -1: no limit */
    uint64_t segment_bytes;          /* 0: the log's */
    int64_t segment_ms;              /* a segment that old takes no more; 0: 7 days, as Kafka */
    enum log_cleanup cleanup;
    int64_t compact_lag_ms;   /* younger records are not compacted */
    int64_t tombstones_ms;    /* they stay so long once they are clean; 0: a day; -1: no time */
    int dirty_percent;        /* compact when so much is not clean; 0: 50; -1: always */
    bool append_time;         /* records get the time of their appending */
    uint32_t batch_max_bytes; /* of producers' batches; 0: LOG_BATCH_MAX_BYTES */
    bool keep;                /* never removed to make room under the quota */
};

#define LOG_TOPIC_CONFIG_DEFAULT                                                                   \
    ((struct log_topic_config){                                                                    \
        .partitions = 1, .compression = COMPRESS_LZ4, .retention_ms = -1, .retention_bytes = -1})

/* [a-zA-Z0-9._-], 1 to 249 long, not "." or "..". */
bool log_topic_name_valid(struct str name);
/* Find a topic, or create it with this configuration. An existing one keeps its own configuration,
 * whatever config says (compare log_topic_config, change with log_topic_configure).
 * ERR_INVALID: name, partitions or compression; ERR_QUOTA; ERR_NOT_FOUND in read_only. */
MUST_CHECK enum err log_topic_open(struct log *log, struct str name,
                                   const struct log_topic_config *config,
                                   struct log_topic **ret_topic);
/* NULL when there is none. Topics and partitions live until log_close, deleted ones too. */
struct log_topic *log_topic_find(struct log *log, struct str name);
/* The same by log_topic_id. */
struct log_topic *log_topic_find_id(struct log *log, const uint8_t id[16]);
/* Change the configuration, durably. partitions may only grow: ERR_INVALID. */
MUST_CHECK enum err log_topic_configure(struct log_topic *topic,
                                        const struct log_topic_config *config);
/* Remove it with everything in it. Later appends and reads are ERR_NOT_FOUND. */
MUST_CHECK enum err log_topic_delete(struct log_topic *topic);
/* All topics by name. Free *ret_topics (not what it points to) with mem_free. */
void log_topic_list(struct log *log, struct log_topic ***ret_topics, size_t *ret_count);

struct str log_topic_name(const struct log_topic *topic);
struct log_topic_config log_topic_config(struct log_topic *topic);
/* The topic's UUID, made with it, stable (Kafka's topic id). */
void log_topic_id(const struct log_topic *topic, uint8_t ret_id[16]);
uint32_t log_topic_partitions(const struct log_topic *topic);
/* NULL when index is not below log_topic_partitions. */
struct log_part *log_topic_part(struct log_topic *topic, uint32_t index);
struct log_topic *log_part_topic(const struct log_part *part);
uint32_t log_part_index(const struct log_part *part);

struct log_part_info {
    int64_t start_offset;  /* earliest readable */
    int64_t end_offset;    /* the next visible record's */
    int64_t stable_offset; /* log_part_stable */
    uint64_t bytes;        /* of the .log files */
    uint32_t segments;
    int64_t newest_ms; /* largest timestamp, -1 when empty */
    int32_t leader_epoch;
};

void log_part_describe(struct log_part *part, struct log_part_info *ret_info);
int32_t log_part_leader_epoch(const struct log_part *part);
/* Where the largest epoch at or below `epoch` ends, and which that is, as Kafka's
 * OffsetForLeaderEpoch means it; -1 and -1 when `epoch` is none yet. */
void log_part_epoch_end(struct log_part *part, int32_t epoch, int32_t *ret_epoch,
                        int64_t *ret_end_offset);
int64_t log_part_start(struct log_part *part);
int64_t log_part_end(struct log_part *part);
/* The last stable offset: below it every transaction has ended. */
int64_t log_part_stable(struct log_part *part);

struct log_aborted {
    int64_t producer_id;
    int64_t first_offset;
};

/* Append the aborted transactions (struct log_aborted) with records between the two offsets to
 * *out: what a reader leaves out, of each from its first offset to its marker. May read a file. */
MUST_CHECK enum err log_part_aborted(struct log_part *part, int64_t from, int64_t to,
                                     struct buf *out);

struct log_producer {
    int64_t id;
    int16_t epoch;
    int32_t last_sequence; /* -1: none */
    int64_t last_ms;
    int32_t coordinator_epoch;
    int64_t transaction_first; /* -1: none is open */
};

/* Who has written in the last day, by id. Free with mem_free. Waits for writing. */
size_t log_part_producers(struct log_part *part, struct log_producer **ret_producers);
/* Records below offset are gone, durably: readers find the start at it, and segments that hold
 * nothing else are removed. ERR_OUT_OF_RANGE above the end; below the start nothing happens.
 * *ret_start: the start afterwards. Waits for the disk. */
MUST_CHECK enum err log_part_delete_before(struct log_part *part, int64_t offset,
                                           int64_t *ret_start);
/* read_only: look at the files again for what was added. Not while a cursor of the same log is in
 * a call. No effect otherwise. */
MUST_CHECK enum err log_part_refresh(struct log_part *part);

/* Appending ----------------------------------------------------------------------------------- */

enum log_ack {
    LOG_ACK_TOPIC = 0, /* as the topic's durability says */
    LOG_ACK_WRITE,
    LOG_ACK_SYNC,
};

struct log_record {
    int64_t timestamp_ms;    /* since 1970; below 0: now */
    struct str key;          /* .ptr NULL: no key */
    const struct str *value; /* parts, joined; NULL with value_parts 0: null (a tombstone) */
    size_t value_parts;
    const struct record_header *headers;
    size_t header_count;
};

/* An append under way: memory of the caller, untouched by it until done(). */
struct log_append {
    /* Set by the caller. */
    /* The append and those completed with it that have the same done and owner, linked by next, in
     * the order of their offsets within each partition; error and offset are set in each. So one
     * call is one wake-up of one event loop. Runs on a thread of the log or inside anybody's
     * log_commit; must be quick and must not wait; may append again. The memory is the caller's
     * again. */
    void (*done)(struct log_append *first);
    void *owner; /* the log only compares it */
    enum log_ack ack;
    /* The caller will call log_commit very soon (at the end of its loop's turn): no thread is woken
     * for this append. */
    bool lazy;

    /* Set by the log. */
    enum err error;
    int64_t offset;    /* of the record, or of a batch's first; -1 unless ERR_OK, and in a spool */
    int64_t append_ms; /* the time that a topic with append_time has given it; else -1 */
    struct log_append *next;

    bool sync_; /* the log's own */
};

/* Take one record. Its bytes are copied before this returns; everything pending on a partition
 * becomes one record batch.
 * ERR_TOO_LARGE, ERR_BUSY (LOG_PENDING_MAX_BYTES are waiting for the disk), ERR_ACCESS (read_only),
 * ERR_NOT_FOUND (topic deleted), ERR_CLOSED: done() will not run. Through done(): ERR_QUOTA,
 * ERR_NO_SPACE, ERR_IO, ERR_CLOSED. */
MUST_CHECK enum err log_append(struct log_part *part, const struct log_record *record,
                               struct log_append *append);
/* Take an encoded record batch v2 as a producer made it; checked whole (length, CRC, count, no
 * control batch; compressed records are not unpacked) and written as it is, but for base offset and
 * leader epoch, which the CRC does not cover. In addition ERR_CORRUPT, ERR_INVALID, ERR_UNSUPPORTED
 * (magic below 2).
 * A batch with a producer id must follow the producer's last one: through done() ERR_SEQUENCE when
 * it does not, ERR_FENCED when its epoch is old, ERR_TRANSACTION when its producer has a
 * transaction open that it is not part of. One of its last five sent again is ERR_OK, at the offset
 * that it has; nothing is written. */
MUST_CHECK enum err log_append_batch(struct log_part *part, struct str batch,
                                     struct log_append *append);
/* The same for a batch that Weir itself has made and that no producer may send: a control batch (a
 * transaction's marker), or one of a transaction without sequences. It is still ERR_FENCED if a
 * newer epoch of its producer has written. */
MUST_CHECK enum err log_append_own(struct log_part *part, struct str batch,
                                   struct log_append *append);
/* Write what is pending on this thread now, as far as it takes no waiting: what needs a new
 * segment, room under the quota, or a partition that is being written at the moment is left to the
 * committer. The cheapest way for an event loop: append with lazy set, and call this once at the
 * end of a turn; done() of its appends then mostly runs in here, without any other thread. */
void log_commit(struct log *log);
/* Append and wait for it. Not on an event loop. */
MUST_CHECK enum err log_append_wait(struct log_part *part, const struct log_record *record,
                                    enum log_ack ack, int64_t *ret_offset);

/* Reading ------------------------------------------------------------------------------------- */

/* Whole batches in a segment's file, kept readable by the reference until released, whatever
 * retention does. Bytes below position + length never change. */
struct log_range {
    struct os_file *file; /* os_file_fd() for sendfile; owned by the segment */
    uint64_t position;
    size_t length;       /* 0: the offset is the end of the log, nothing to release */
    int64_t base_offset; /* of the first batch: may be below what was asked for */
    int64_t next_offset; /* where to read on */
    struct log_segment *segment_;
};

/* Batches from the one that holds offset on (or from the first after it, where there is a gap): as
 * many as fit max_bytes, from one segment; at least one, however large. offset may be the end: then
 * length is 0. ERR_OUT_OF_RANGE below the start or above the end. Damaged batches are stepped
 * over and reported. */
MUST_CHECK enum err log_read(struct log_part *part, int64_t offset, size_t max_bytes,
                             struct log_range *ret_range);
/* The same, but nothing at or above limit, where a batch begins (log_part_stable). */
MUST_CHECK enum err log_read_below(struct log_part *part, int64_t offset, int64_t limit,
                                   size_t max_bytes, struct log_range *ret_range);
void log_range_release(struct log_range *range);
/* Append the range's bytes to *out. */
MUST_CHECK enum err log_range_copy(const struct log_range *range, struct buf *out);

/* The first record whose timestamp is at least timestamp_ms, as Kafka's ListOffsets means it: its
 * offset and timestamp, or the end and -1 when there is none. */
MUST_CHECK enum err log_find_time(struct log_part *part, int64_t timestamp_ms, int64_t *ret_offset,
                                  int64_t *ret_timestamp_ms);

/* A decoded record. The strings live until the cursor's next call. */
struct log_entry {
    int64_t offset;
    int64_t timestamp_ms;
    struct str key;   /* .ptr NULL: no key */
    struct str value; /* .ptr NULL: null */
    struct record_header
        headers[LOG_HEADERS_MAX]; /* records of others may have more: those are cut */
    size_t header_count;
    int64_t producer_id; /* -1: none */
    bool transactional;
    bool control; /* a transaction's marker, not a record of a user */
};

/* NULL when the record has no such header. */
const struct str *log_entry_header(const struct log_entry *entry, struct str name);

enum log_direction { LOG_FORWARD, LOG_BACKWARD };

/* Walk records from offset on (clamped to what there is): forward, the first is the one at offset
 * or after it; backward, the one before offset; so log_part_end() starts at the newest. A cursor is
 * used by one thread at a time. */
MUST_CHECK enum err log_cursor_open(struct log_part *part, int64_t offset,
                                    enum log_direction direction, struct log_cursor **ret_cursor);
void log_cursor_close(struct log_cursor *cursor);
/* The next record, or NULL at the end (forward: call again when there are more, see log_watch).
 * Damaged batches are reported, set aside and stepped over; a record removed by retention meanwhile
 * is stepped over. Fails only on ERR_IO and the like. */
MUST_CHECK enum err log_cursor_next(struct log_cursor *cursor, const struct log_entry **ret_entry);
/* Forward: the offset that the next call reads from. Backward: one above it. */
int64_t log_cursor_offset(const struct log_cursor *cursor);

/* To be told once when there is something to read. Memory of the caller. */
struct log_watch {
    void (*wake)(
        struct log_watch *watch); /* on a thread of the log or in log_commit; quick, no log calls */
    struct log_part *part_;
    struct log_watch *next_;
    struct log_watch **link_;
    int64_t offset_;
};

/* Have wake() called once when the end passes offset. True when it has already: read at once,
 * nothing is registered and wake() will not run. */
bool log_watch_add(struct log_part *part, struct log_watch *watch, int64_t offset);
/* No wake() runs after this returns. Also after it has fired, or was never added (zeroed memory).
 */
void log_watch_remove(struct log_watch *watch);

/* Room ---------------------------------------------------------------------------------------- */

/* Count bytes that another part is about to write under dir (a blob, a database), making room as
 * for records; ERR_QUOTA. Count a file as log_quota_file_bytes(size) to be exact. What is there at
 * log_open is counted already. */
MUST_CHECK enum err log_quota_reserve(struct log *log, uint64_t bytes);
void log_quota_release(struct log *log, uint64_t bytes);
/* What a file of that size takes on disk, as the quota counts it. */
uint64_t log_quota_file_bytes(uint64_t size_bytes);
/* quota 0: none. */
void log_quota_usage(struct log *log, uint64_t *ret_used_bytes, uint64_t *ret_quota_bytes);

/* Counters since log_open, for /metrics. */
struct log_stats {
    uint64_t appends; /* acknowledged */
    uint64_t append_errors;
    uint64_t batches;
    uint64_t bytes; /* written to .log files */
    uint64_t syncs;
    uint64_t sync_us;          /* all together */
    uint64_t segments_evicted; /* to make room */
    uint64_t segments_expired; /* by retention */
    uint64_t damaged;          /* ranges met */
    uint64_t pending_bytes;    /* now */
};

void log_stats(struct log *log, struct log_stats *ret_stats);

struct log_cluster_info {
    const char *brokers;    /* as given; lives as long as the log */
    bool reached;           /* appends reach the cluster; else they are in the spool */
    uint64_t spool_records; /* that wait */
    uint64_t spool_bytes;
    uint64_t spool_max_bytes;
    uint64_t delivered; /* since log_open */
    uint64_t refused;   /* by the cluster for good; kept on the topic weir.spool-refused */
};

/* Would so many bytes be too many for the spool? An embedded log has none. */
bool log_spool_is_full(struct log *log, uint64_t bytes);
/* False when the log is embedded. */
bool log_cluster_describe(struct log *log, struct log_cluster_info *ret_info);

/* Checking ------------------------------------------------------------------------------------ */

struct log_damage {
    struct log_part *part;
    int64_t segment;     /* base offset, the file's name */
    uint64_t position;   /* first damaged byte */
    uint64_t length;     /* bytes */
    int64_t offset;      /* first offset that is lost */
    int64_t next_offset; /* first good one after it; -1 when there is none in the segment */
    const char *reason;
};

/* Read every byte of a partition and check it: batches, CRCs, records, offsets, indexes against
 * the log. Changes nothing. found() is called for each damage. */
MUST_CHECK enum err log_part_verify(struct log_part *part,
                                    void (*found)(void *arg, const struct log_damage *damage),
                                    void *arg);

/* Read one .log file, of an open log or of none: batch() for every good batch, damage() for the
 * rest (part is NULL, segment what the file's name says, or 0). Either may be NULL. ERR_NOT_FOUND,
 * ERR_IO, … */
MUST_CHECK enum err
log_file_scan(const char *path,
              void (*batch)(void *arg, uint64_t position, const struct batch_header *header,
                            struct str bytes),
              void (*damage)(void *arg, const struct log_damage *damage), void *arg);

/* The wheel, in manual mode ------------------------------------------------------------------- */

/* One round of retention, quota headroom, rolling by age. The log's own thread does it every few
 * seconds. */
void log_maintain(struct log *log);
/* Write what is pending; true when there was something. */
bool log_run_commit(struct log *log);
/* Sync one partition that has something unsynced, due or not; true when there was one. */
bool log_run_sync(struct log *log);

#endif
