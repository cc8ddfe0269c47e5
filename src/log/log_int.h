/* What the files of src/log share.
 *
 *     append.c    records into a partition's staged batches            any thread
 *     commit.c    staged batches into the active segment, one write    committer, or log_commit
 *     producers.c batches that are sent twice, open transactions       the same
 *     producer_files.c  what is known of producers, on the disk       the same, open, sealing
 *     aborted.c   aborted transactions                                 all
 *     sync.c      fdatasync, then what waited for it, then sealing     sync threads
 *     segment.c   one .log file with its indexes (index.c)             all
 *     part.c      a partition's segments, what readers see, rolling    all
 *     load.c      a partition's files at open (mark.c, epoch.c, usage.c)
 *     scan.c      batches of a file; repair.c around damage            open, readers, maintenance
 *     read.c, cursor.c, time.c, verify.c, refresh.c                    readers
 *     quota.c     bytes of the folder                                  committer, maintenance
 *     retain.c    removal by age and size                              maintenance
 *     compact.c, compact_map.c, compact_swap.c  the newest record of each key   maintenance
 *     trim.c      removal on request                                   any thread that may wait
 *     topic.c     configurations; log.c open, close, threads; fatal.c the end
 *     cluster.c   topics that live on an Apache Kafka; spool.c, drain.c, follow.c, kafka_store.c
 *
 * Locks, outermost first; a thread holding one may only take those after it:
 *   1. log.admin_lock     creating, changing and removing topics, over their files too
 *   2. part.commit_lock   who may write to the active segment. done() runs under it. A second one
 *                         only by try-lock (making room).
 *   3. log.evict_lock     who removes segments to make room
 *   4. part.stage_lock    what was accepted and is not yet written
 *   5. part.view_lock     segments, what of them is visible, indexes in memory, waiters, watches
 *   6. log.files_lock     open files
 *   7. log.topics_lock, log.commit_queue_lock, log.sync_lock, log.pool_lock: lists and queues
 * 4 to 7 are held for memory operations only (6 also for open and close), never over a write or a
 * sync; so a reader never waits for an append.
 *
 * Invariants:
 *  1. A segment's bytes below `visible` are whole batches and never change.
 *  2. part.end_offset is the offset after the last batch below `visible` of the last segment that
 *     has any; both change together under view_lock.
 *  3. visible <= size <= the file's size. What the file has beyond size is being written, or is
 *     left from a write that failed and is cut off before anything else is written (cut_needed).
 *  4. A .index file of a segment that is not the last exists only if the .log was synced whole
 *     before. So after a crash only segments without one, and the last, are scanned.
 *  5. log.used is at least what the folder takes, at every moment: it grows before a write and
 *     shrinks after a removal. */
#ifndef WEIR_LOG_LOG_INT_H
#define WEIR_LOG_LOG_INT_H

#include <stdatomic.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/batch.h"
#include "codec/compress.h"
#include "log/log.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/thread.h"

enum {
    LOG_FORMAT_VERSION = 1,
    LOG_INDEX_INTERVAL_BYTES = 4096,
    LOG_OFFSET_ENTRY_BYTES = 8,
    LOG_TIME_ENTRY_BYTES = 12,
    LOG_ABORTED_BYTES = 34,
    LOG_UNPACKED_MAX_BYTES = 64 << 20, /* records of one batch, when read */
    LOG_SYNC_TARGET_US = 5000,         /* written bytes are on disk within this */
    LOG_GROUP_BATCHES_MAX = 64,        /* batches in one write */
    LOG_GROUP_BYTES_MAX = 4 << 20,
    LOG_UNSEALED_MAX = 4, /* rolled segments that wait for their sync: then the committer waits */
    LOG_HOLES_MAX = 256,  /* damaged ranges of a segment; what follows the last is one range */
    LOG_OPEN_FILES_MAX = 512,
    LOG_MAINTAIN_INTERVAL_US = 2000000,
    LOG_SEGMENT_MIN_BYTES = 64 << 10,
    LOG_SEGMENT_MAX_BYTES = 1 << 30, /* positions in an index have 31 bits */
    LOG_SEGMENT_NAMES_BYTES = 256,   /* three names in a folder */
    LOG_PART_COST_BYTES = 4 * 4096,  /* folder, checkpoint, its line in the marker */
    LOG_QUOTA_SPARE_PART = 32,       /* this part of the quota is kept free ahead of need */
    LOG_EPOCHS_MAX = 256,            /* kept in the checkpoint; older ones are forgotten */
    LOG_PRODUCER_BATCHES = 5,        /* of each producer that are known again */
    LOG_SPARE_STAGED_MAX = 32,
    LOG_SPARE_STAGED_BYTES = 64 << 10, /* a larger buffer is given back */
    LOG_QUARANTINE_PART = 16,          /* set aside is at most this part of the quota */
    LOG_QUARANTINE_MAX_BYTES = 64 << 20,
};

/* index.c: the two indexes of a segment as they will be in its files -------------------------- */

struct log_index {
    struct buf offsets;         /* (relative last offset, position) big-endian, see index.c */
    struct buf times;           /* (timestamp, relative offset) */
    uint64_t bytes_since_entry; /* as Kafka counts them */
    int64_t max_timestamp_ms;   /* -1: no batch yet */
    int64_t max_timestamp_offset;
};

/* Where entries are read from: memory, or a file when there is none. */
struct log_index_view {
    const char *memory;
    struct os_file *file;
    size_t count;
};

/* A batch in a segment. {0, -1}: the segment's start, of which no index speaks. */
struct log_place {
    uint64_t position;
    int64_t last_offset;
};

void log_index_init(struct log_index *index);
void log_index_release(struct log_index *index);
/* A batch was appended at position of the segment that starts at base. */
void log_index_add(struct log_index *index, int64_t base, const struct batch_header *h,
                   uint64_t position);
/* The last time entry, which tells the segment's largest timestamp. */
void log_index_finish(struct log_index *index, int64_t base);
/* The last batch in the index that ends at or below offset. */
MUST_CHECK enum err log_index_find_offset(struct log_index_view offsets, int64_t base,
                                          int64_t offset, struct log_place *ret_place);
/* The last batch in the index that starts at or below limit. */
MUST_CHECK enum err log_index_find_position(struct log_index_view offsets, int64_t base,
                                            uint64_t limit, struct log_place *ret_place);
/* An offset before which every timestamp is below timestamp_ms; base when no entry says. */
MUST_CHECK enum err log_index_find_time(struct log_index_view times, int64_t base,
                                        int64_t timestamp_ms, int64_t *ret_offset);
/* Of a .timeindex file's content: its last entry's timestamp. -1 when there is none. */
MUST_CHECK enum err log_index_last_time(struct log_index_view times, int64_t *ret_timestamp_ms);
/* Entries ascend and stay within the segment. For what comes from a file. */
bool log_index_is_sane(struct str offsets, struct str times, uint64_t segment_size);

/* A segment ----------------------------------------------------------------------------------- */

struct log_hole {
    uint64_t position;
    uint64_t end;
    int64_t offset;      /* the first lost */
    int64_t next_offset; /* of the batch at end; -1: none follows */
    const char *reason;
    enum err set_aside; /* what came of it; ERR_BUSY: not tried yet */
};

struct log_holes {
    struct log_hole *items; /* by position */
    size_t count;
};

struct log_segment {
    struct log_part *part;
    int64_t base_offset;
    atomic_int refs; /* the partition's list, ranges, cursors, a sync */

    /* Changed under commit_lock and view_lock both, so that either is enough to read; constant once
     * another segment is active. */
    uint64_t size;
    int64_t next_offset;
    uint64_t cost;      /* bytes of the quota */
    uint64_t side_cost; /* of it: its .snapshot */
    int64_t created_ms;

    /* Under view_lock. */
    uint64_t visible;
    bool dirty;  /* has bytes that no sync has begun for; then the file is held */
    bool sealed; /* its indexes are in its files */
    bool busy;   /* being replaced: nobody else removes it */
    atomic_bool
        removed; /* readers find it no more; the quota is returned with the last reference */
    struct log_index *index;  /* until sealed */
    struct buf aborted;       /* aborted.c: entries that are not in the file yet */
    size_t aborted_count;     /* in the file */
    struct buf end_state;     /* producer_files.c: what the next segment's .snapshot will say, until
                                 it is written */
    int64_t end_state_offset; /* that one's base */
    size_t offset_count;      /* entries in the files, when sealed */
    size_t time_count;
    int64_t max_timestamp_ms; /* when sealed; -1 none */
    uint64_t touched_us;      /* last append, os_now_us; before the open: by the file's time */
    struct log_holes holes;   /* damage that was met */

    /* Under files_lock. */
    struct os_file *file;
    struct os_file *index_file; /* only when sealed */
    int holds;
    struct log_segment *idle_next; /* open files that nobody uses, least recent first */
    struct log_segment *idle_previous;
    bool idle;
};

/* One reference for the caller. */
struct log_segment *log_segment_new(struct log_part *part, int64_t base_offset);
void log_segment_ref(struct log_segment *s);
void log_segment_unref(struct log_segment *s);
/* "<dir>/<20-digit base><suffix>" into ret_path. */
void log_segment_path(const struct log_part *part, int64_t base_offset, const char *suffix,
                      char ret_path[OS_PATH_MAX]);
/* Have the file open until the drop. ERR_NOT_FOUND when it is gone: removed, or replaced by others
 * (removed says so: look again at the offset); or its owner took it away from one that only looks.
 */
MUST_CHECK enum err log_segment_hold(struct log_segment *s, struct os_file **ret_file);
void log_segment_hold_new(struct log_segment *s, struct os_file *file);
void log_segment_drop(struct log_segment *s);
/* Largest timestamp, -1: none. Under view_lock. */
int64_t log_segment_newest(const struct log_segment *s);
/* What the segment costs of the quota at this size with so many entries. */
uint64_t log_segment_cost(uint64_t size, size_t offset_entries, size_t time_entries);
/* Look up in memory or in the file; while held. An index file is not believed blindly: the batch at
 * the place must have that last offset, or the answer is the segment's start. */
MUST_CHECK enum err log_segment_find_offset(struct log_segment *s, int64_t offset,
                                            struct log_place *ret_place);
MUST_CHECK enum err log_segment_find_position(struct log_segment *s, uint64_t limit,
                                              struct log_place *ret_place);
MUST_CHECK enum err log_segment_find_time(struct log_segment *s, int64_t timestamp_ms,
                                          int64_t *ret_offset);
/* Write what is in end_state to the next segment's .snapshot. */
MUST_CHECK enum err log_segment_write_state(struct log_segment *s);
/* Write the index files from the memory; the .log was synced whole before. */
MUST_CHECK enum err log_segment_write_index(struct log_segment *s);
/* Give the memory up for the files. False when the segment was removed meanwhile. */
bool log_segment_seal(struct log_segment *s);
/* Unlink the three files, for good: a loss of power must not bring them back, they would be more
 * than the quota. The quota follows with the last reference. */
void log_segment_remove_files(struct log_segment *s);

/* scan.c: batches of a file ------------------------------------------------------------------- */

/* A window on a file. Zeroed memory with file, limit and chunk set is ready. */
struct log_reader {
    struct os_file *file;
    uint64_t limit; /* bytes of the file that count */
    size_t chunk;   /* read at least so much at once */
    char *memory;
    size_t capacity;
    uint64_t start; /* of what memory holds */
    size_t len;
};

enum { LOG_CHUNK_WALK = 4 << 10, LOG_CHUNK_CURSOR = 64 << 10, LOG_CHUNK_SCAN = 1 << 20 };

void log_reader_release(struct log_reader *r);
/* len bytes at position, fewer only at the limit. The view lives until the next call. */
MUST_CHECK enum err log_reader_bytes(struct log_reader *r, uint64_t position, size_t len,
                                     struct str *ret_bytes);
/* The batch's header at position. ERR_TRUNCATED, ERR_CORRUPT, ERR_UNSUPPORTED: there is none. */
MUST_CHECK enum err log_reader_header(struct log_reader *r, uint64_t position,
                                      struct batch_header *ret_header);
/* The whole batch, CRC checked. */
MUST_CHECK enum err log_reader_batch(struct log_reader *r, uint64_t position,
                                     struct batch_header *ret_header, struct str *ret_bytes);
/* Can the batch at position have this base offset? min_offset: the end of what stands before it;
 * max_offset: where others' begin. */
bool log_reader_fits(struct log_reader *r, uint64_t position, const struct batch_header *h,
                     int64_t min_offset, int64_t max_offset);
/* ERR_IO and the like, as opposed to bytes that are no batch. */
bool log_error_is_damage(enum err error);
/* The first position from `from` on where a whole batch with min <= base offset < max starts.
 * ERR_NOT_FOUND. */
MUST_CHECK enum err log_reader_find_batch(struct log_reader *r, uint64_t from, int64_t min_offset,
                                          int64_t max_offset, uint64_t *ret_position,
                                          struct batch_header *ret_header);

struct log_scan {
    int64_t base;
    struct log_index index;
    uint64_t end;        /* of the last good batch */
    int64_t next_offset; /* after it */
    struct log_holes holes;
};

/* Called with every good batch. */
typedef void log_scan_fn(void *arg, uint64_t position, const struct batch_header *h,
                         struct str batch);

/* Read a segment's file from scan->end to size, checking every batch; batches at or above
 * max_offset are not its own. Damage that nothing good follows is the last hole, with next_offset
 * -1. The scan grows as far as it came, also on ERR_IO and the like. */
MUST_CHECK enum err log_scan_file(struct log_scan *scan, struct os_file *file, uint64_t size,
                                  int64_t max_offset, log_scan_fn *each, void *arg);
void log_scan_init(struct log_scan *scan, int64_t base);
void log_scan_release(struct log_scan *scan);
void log_holes_add(struct log_holes *holes, const struct log_hole *hole);
void log_holes_release(struct log_holes *holes);

/* A partition --------------------------------------------------------------------------------- */

/* The transaction that a marker ends. */
struct log_ended {
    int64_t first;  /* its first offset; -1: it had no batch here */
    int64_t stable; /* the last stable offset then */
};

/* A batch in the making. */
struct log_staged {
    struct log_staged *next;
    struct buf records; /* or a producer's whole batch */
    bool whole;
    bool packed;              /* nothing more goes in */
    bool judged;              /* its producer may send it; goes back on failure */
    enum batch_marker marker; /* it ends a transaction */
    struct log_ended ended;   /* which: set when it is judged */
    bool placed;              /* its offsets are given: of a cluster's records */
    struct batch_header header;
    size_t pending_bytes;     /* of log.pending_bytes */
    struct log_append *first; /* in the order of their records */
    struct log_append *last;
};

/* From start on batches carry this epoch. */
struct log_epoch {
    int32_t epoch;
    int64_t start;
};

enum log_sync_state { LOG_SYNC_IDLE, LOG_SYNC_LATER, LOG_SYNC_NOW, LOG_SYNC_RUNNING };

struct log_part {
    struct log *log;
    struct log_topic *topic;
    char *dir;
    uint32_t number;
    atomic_int leader_epoch; /* changed at the open only */

    struct os_mutex stage_lock;
    struct os_mutex commit_lock;
    struct os_mutex view_lock;

    /* Under stage_lock. */
    struct log_staged *staged_first;
    struct log_staged *staged_last;
    bool queued;     /* in the commit queue, or about to be */
    enum err fenced; /* what appends are answered with; ERR_OK: they are taken */

    /* Under commit_lock. */
    bool cut_needed;            /* a failed write may have left bytes behind active->size */
    bool index_is_stale;        /* the active segment has index files from a clean stop */
    uint64_t cut_cost;          /* quota that such bytes keep */
    struct log_segment *active; /* NULL before the first append; in segments too */
    int64_t next_offset;
    struct log_producers *producers; /* NULL: not read yet */
    bool has_producers;              /* some have written here */

    /* Maintenance's. */
    int64_t compacted;          /* compact.c: up to here each key is there once; -1: not read yet */
    int64_t compact_horizon_ms; /* when tombstones may go */

    /* Under view_lock. */
    struct log_segment **segments; /* by base offset; the last is active */
    size_t segment_count;
    size_t segment_capacity;
    _Atomic size_t
        unsealed;  /* rolled segments without index files; the writer looks without view_lock */
    int64_t floor; /* records below it were deleted: trim.c */
    int64_t end_offset;
    int64_t written_offset; /* next_offset, for those who have view_lock only */
    int64_t synced_offset;
    int64_t first_open; /* where the oldest open transaction begins; INT64_MAX: there is none */
    struct log_append *waiting_first; /* for a sync, by offset */
    struct log_append *waiting_last;
    struct log_watch *watches;
    bool dir_dirty;     /* names in dir that are not synced */
    bool repair_wanted; /* some segment has holes */

    /* Under log.sync_lock. */
    enum log_sync_state sync_state;
    bool sync_again; /* written or wanted while it ran */
    bool sync_again_now;
    uint64_t sync_due_us;
    struct log_part *sync_next;
    struct log_part *sync_previous;

    /* Under log.commit_queue_lock. */
    struct log_part *commit_next;

    /* Constant after the open. */
    struct log_epoch *epochs;
    size_t epoch_count;
};

struct log_topic {
    struct log *log;
    char *name;
    size_t name_len;
    uint8_t id[16];
    struct log_topic_config config; /* under topics_lock; the copies below are for the hot path */
    atomic_int durability;
    atomic_int compression;
    _Atomic uint64_t segment_bytes; /* resolved */
    _Atomic int64_t segment_ms;
    atomic_bool keep;
    atomic_bool append_time;
    atomic_bool keys_needed; /* it is compacted */
    atomic_uint batch_max_bytes;
    atomic_bool deleted;
    atomic_bool remote;                /* lives on a cluster */
    _Atomic(struct log_part **) parts; /* grows by replacement; old arrays live until the close */
    atomic_uint part_count;
    struct log_part ***old_parts;
    size_t old_parts_count;
};

/* Where the clean stop left a partition. */
struct log_mark {
    char *name; /* "<topic>-<partition>" */
    int64_t base_offset;
    uint64_t size;
    int64_t next_offset;
    uint32_t index_crc; /* of both index files' content */
};

/* First in, first out. */
struct log_part_queue {
    struct log_part *first;
    struct log_part *last;
};

/* What a committing thread works with. */
struct log_scratch {
    struct log_scratch *next;
    struct compress *compress;
    struct buf packed;
    char headers[LOG_GROUP_BATCHES_MAX][BATCH_HEADER_BYTES];
    struct iovec parts[2 * LOG_GROUP_BATCHES_MAX];
};

struct log {
    struct log_options options;
    const struct os_fs *fs;
    char *dir;
    char *topics_dir;
    struct os_file *lock_file;
    atomic_bool failed; /* a sync failed: nothing is acknowledged any more */
    atomic_bool stopping;
    atomic_bool retired;   /* another process may have the folder */
    struct buf retired_at; /* the marker that was left to it */

    struct os_mutex admin_lock;
    struct os_mutex topics_lock;
    struct log_topic **topics; /* by name */
    size_t topic_count;
    struct log_topic **deleted; /* live until the close */
    size_t deleted_count;
    struct log_mark *marks; /* only while opening */
    size_t mark_count;

    struct os_mutex evict_lock;
    _Atomic uint64_t used;
    _Atomic uint64_t quarantined; /* bytes set aside */

    struct os_mutex files_lock;
    struct log_segment *idle_first;
    struct log_segment *idle_last;
    size_t idle_count;

    struct os_mutex commit_queue_lock;
    struct os_cond commit_wanted;
    struct log_part_queue commit_queue;
    atomic_bool committer_asleep;

    struct os_mutex sync_lock;
    struct os_cond sync_wanted;
    struct os_cond sync_ended; /* some partition's */
    struct log_part_queue sync_now;
    struct log_part_queue sync_later; /* by due time */
    bool sync_timer;                  /* a thread waits for the head of sync_later */
    _Atomic uint64_t sync_usual_us;   /* moving average of one sync */

    struct os_mutex maintain_lock;
    struct os_cond maintain_wanted;
    bool maintain_now;

    struct os_mutex pool_lock;
    struct log_scratch *scratches;
    struct log_staged *spare_staged;
    size_t spare_staged_count;

    _Atomic uint64_t pending_bytes;
    struct {
        _Atomic uint64_t appends, append_errors, batches, bytes, syncs, sync_us, evicted, expired,
            damaged;
    } stats;

    struct cluster *cluster; /* NULL: an embedded log */

    struct os_thread committer;
    struct os_thread maintainer;
    struct os_thread *syncers;
    unsigned syncer_count;
    bool committer_runs;
    bool maintainer_runs;
};

/* part.c -------------------------------------------------------------------------------------- */

struct log_found {
    struct log_segment *segment; /* a reference; NULL: the offset is the end */
    uint64_t visible;
    int64_t next_base;  /* where the next segment starts, or the end */
    int64_t end_offset; /* of the partition */
    bool has_holes;
};

struct log_part *log_part_new(struct log_topic *topic, uint32_t number);
void log_part_free(struct log_part *part);
/* The segment that offset is in, or in the gap behind. ERR_OUT_OF_RANGE. */
MUST_CHECK enum err log_part_find(struct log_part *part, int64_t offset,
                                  struct log_found *ret_found);
/* All segments with a reference each; release them together. */
size_t log_part_segments(struct log_part *part, struct log_segment ***ret_segments);
void log_part_segments_release(struct log_segment **segments, size_t count);
/* Where the next batch goes. */
int64_t log_part_next(struct log_part *part);
/* Under view_lock: change the list, whose references they move. */
void log_part_insert(struct log_part *part, size_t at, struct log_segment *s);
void log_part_take_out(struct log_part *part, size_t at);
/* Under view_lock: let readers see everything up to visible bytes of `last`, where end_offset is.
 */
void log_part_publish(struct log_part *part, struct log_segment *last, uint64_t visible,
                      int64_t end_offset);
/* Under commit_lock: a new active segment at next_offset. */
MUST_CHECK enum err log_part_roll(struct log_part *part);
/* The same, without asking for quota: the old segment goes at once and lends its own. */
MUST_CHECK enum err log_part_replace_active(struct log_part *part);
/* Take the first segment away from readers if it is this one and not the active: the caller gets
 * the list's reference, removes the files, and drops it. NULL otherwise. */
struct log_segment *log_part_take_first(struct log_part *part, const struct log_segment *expected);

/* read.c -------------------------------------------------------------------------------------- */

/* The first batch at or behind *position (where a batch starts) that ends at or above offset, holes
 * stepped over. min_offset: what the batch at *position starts at or above, or it is damage.
 * ERR_NOT_FOUND: none below f->visible. The segment is held, r reads its file. */
MUST_CHECK enum err log_find_batch(struct log_found *f, struct log_reader *r, int64_t min_offset,
                                   int64_t offset, uint64_t *position,
                                   struct batch_header *ret_header);
/* Where the index says that a walk to offset can start, and what the batch there starts at or
 * above. */
MUST_CHECK enum err log_find_start(struct log_found *f, struct log_reader *r, int64_t offset,
                                   uint64_t *ret_position, int64_t *ret_min_offset);
/* log_find_batch from there. */
MUST_CHECK enum err log_find_batch_from_index(struct log_found *f, struct log_reader *r,
                                              int64_t offset, uint64_t *ret_position,
                                              struct batch_header *ret_header);

/* commit.c ------------------------------------------------------------------------------------ */

void log_committer_run(void *log);
void log_commit_queue_push(struct log *log, struct log_part *part);
void log_committer_wake(struct log *log);
/* Under commit_lock: write what is staged. fast: nothing that waits; what would is left staged and
 * handed to the committer: false. */
bool log_part_commit(struct log_part *part, bool fast);
struct log_staged *log_staged_new(struct log *log);
void log_staged_free(struct log *log, struct log_staged *staged);
/* End appends: done() with this error and offset -1. */
void log_fail_appends(struct log *log, struct log_append *first, enum err error);

/* Appends that end together, by owner. */
enum { LOG_DONE_OWNERS = 16 };
struct log_done {
    struct {
        struct log_append *first;
        struct log_append *last;
    } lists[LOG_DONE_OWNERS];
    size_t count;
};
/* append->error and offset are set. */
void log_done_add(struct log_done *done, struct log_append *append);
void log_done_run(struct log_done *done);

/* producers.c: under commit_lock -------------------------------------------------------------- */

struct log_kept_batch {
    int32_t first; /* sequence */
    int32_t last;
    int64_t offset; /* of the first record */
};

struct log_producer_state {
    int64_t id;
    int16_t epoch; /* -1: none yet */
    uint8_t count;
    int32_t coordinator_epoch;                           /* of the last marker; -1: none */
    int64_t txn_first;                                   /* of the open transaction; -1: none is */
    int64_t last_ms;                                     /* wall clock */
    uint64_t heard;                                      /* of producers.clock */
    struct log_kept_batch batches[LOG_PRODUCER_BATCHES]; /* oldest first */
};

struct log_producers {
    struct log_producer_state *items; /* by id */
    size_t count;
    size_t capacity;
    uint64_t clock;
    int64_t end;        /* behind the last batch that counts, which may not be in the file yet */
    size_t open;        /* transactions */
    int64_t first_open; /* INT64_MAX: none */
};

struct log_producers *log_producers_new(void);
void log_producers_free(struct log_producers *all);
/* Found or made. */
struct log_producer_state *log_producers_get(struct log_producers *all, int64_t id);
/* Sequences go from 0 to INT32_MAX, then begin anew. */
int32_t log_sequence_add(int32_t sequence, int32_t delta);
/* What stands in the file counts, whatever it is. */
void log_producers_take_batch(struct log_producers *all, const struct batch_header *h,
                              int64_t offset, int64_t now_ms);
struct log_ended log_producers_take_marker(struct log_producers *all, const struct batch_header *h,
                                           int64_t offset, int64_t now_ms);
/* Forget those that have been silent for long. */
void log_producers_expire(struct log_part *part, int64_t now_ms);
/* Is it known what producers have sent? fast: without reading files. */
bool log_producers_ready(struct log_part *part, bool fast);
/* May this batch be written at offset? Then it counts as written. ERR_EXISTS: it is on the log
 * already, at *ret_offset; ERR_SEQUENCE: one before it is missing; ERR_FENCED: of an old epoch;
 * ERR_TRANSACTION: its producer has a transaction open that it is not part of. */
MUST_CHECK enum err log_producers_judge(struct log_part *part, struct log_staged *b, int64_t offset,
                                        int64_t *ret_offset);
/* What was judged is not in the file. */
void log_producers_forget(struct log_part *part);

/* producer_files.c: under commit_lock, or nobody else has the partition yet ------------------- */

/* Read them from the files. at_open: the aborted transactions of segments that are not sealed too.
 */
void log_producers_load(struct log_part *part, bool at_open);
/* The bytes of a snapshot at next_offset into *out: of what is in the files, not of batches that
 * are judged and still to be written. */
void log_producers_now(struct log_part *part, struct str aborted, struct buf *out);
/* A snapshot's bytes into *out. aborted: entries of the segment that the offset lies in. */
void log_producers_write(const struct log_producers *all, struct str aborted, struct buf *out);
/* ERR_CORRUPT. *ret_aborted is a view into bytes. */
MUST_CHECK enum err log_producers_parse(struct str bytes, struct log_producers **ret_all,
                                        struct str *ret_aborted);
MUST_CHECK enum err log_producers_save(struct log_part *part, int64_t offset, struct str bytes);
/* At a clean stop. */
MUST_CHECK enum err log_producers_save_end(struct log_part *part);
/* Remove snapshots that are no segment's. */
void log_producers_tidy(struct log_part *part);

/* aborted.c ----------------------------------------------------------------------------------- */

void log_aborted_add(struct buf *entries, int64_t producer_id, const struct log_ended *ended,
                     int64_t marker_offset);
/* What the file takes of the quota, with so many more entries. */
uint64_t log_aborted_cost(const struct log_segment *s, size_t more);
/* Append a segment's entries to *out. */
MUST_CHECK enum err log_segment_aborted(struct log_segment *s, struct buf *out);
/* Is a batch at offset part of one of these? */
bool log_aborted_has(struct str entries, int64_t producer_id, int64_t offset);
/* Those of another file that belong to this segment, which nobody else has yet. */
void log_aborted_adopt(struct log_segment *to, struct str entries, int64_t next_base);
/* Write the file, if there are any in memory. */
MUST_CHECK enum err log_aborted_write(struct log_segment *s);

/* sync.c -------------------------------------------------------------------------------------- */

void log_syncer_run(void *log);
/* Something was written; now: somebody waits for its sync. */
void log_sync_schedule(struct log_part *part, bool now);
/* Sync what is written by now, on this thread. Another's sync of it is waited for. */
void log_sync_part(struct log_part *part);
/* A sync failed: end the process. */
void log_fatal(struct log *log, const char *what, const char *path, enum err error);

/* quota.c ------------------------------------------------------------------------------------- */

/* Without making room. */
bool log_quota_take(struct log *log, uint64_t bytes);
void log_quota_return(struct log *log, uint64_t bytes);
/* Making room. held: the partition whose commit_lock the caller has, or NULL. ERR_QUOTA. */
MUST_CHECK enum err log_quota_make(struct log *log, uint64_t bytes, struct log_part *held);
void log_quota_keep_spare(struct log *log);

/* load.c -------------------------------------------------------------------------------------- */

/* Read a partition's folder and recover it. mark: where the clean stop left it, or NULL. */
MUST_CHECK enum err log_part_load(struct log_part *part, const struct log_mark *mark);
/* A segment from its file, every batch read; synced and with its index files written unless it is
 * the last. aborted: entries of which it takes its own. */
MUST_CHECK enum err log_segment_load(struct log_part *part, int64_t base, int64_t next_base,
                                     struct str aborted, struct log_segment **ret_segment);

/* epoch.c: leader-epoch-checkpoint ------------------------------------------------------------ */

MUST_CHECK enum err log_epochs_read(struct log_part *part);
/* sync: it must last. */
MUST_CHECK enum err log_epochs_write(struct log_part *part, bool sync);
/* Begin a new one at the partition's end, because what was beyond it is gone. */
MUST_CHECK enum err log_epochs_begin(struct log_part *part);

/* repair.c ------------------------------------------------------------------------------------ */

/* Rewrite a segment's file as one file for each run of good batches, and set aside what is between.
 * The caller has commit_lock, or nobody else has the partition yet. ERR_QUOTA, ERR_NO_SPACE …:
 * nothing is changed, or it can be done again. */
MUST_CHECK enum err log_repair_files(struct log_part *part, struct os_file *file, int64_t base,
                                     uint64_t size, struct log_holes *holes);
/* Repair what readers met. */
void log_part_repair(struct log_part *part);
/* A reader met bytes that are no batch, at or after position: read the whole segment once, remember
 * its holes and report them. Then log_segment_hole tells. */
MUST_CHECK enum err log_segment_examine(struct log_segment *s);
void log_hole_report(const struct log_part *part, int64_t base, const struct log_hole *hole);
/* The first hole that ends after position: true. */
bool log_segment_hole(struct log_segment *s, uint64_t position, struct log_hole *ret_hole);
/* Remove the oldest file that was set aside; false when there is none. */
bool log_quarantine_shrink(struct log *log);

/* topic.c ------------------------------------------------------------------------------------- */

/* log_topic_open in this folder, wherever the log's topics live. */
MUST_CHECK enum err log_topic_open_local(struct log *log, struct str name,
                                         const struct log_topic_config *config,
                                         struct log_topic **ret_topic);

MUST_CHECK enum err log_topics_load(struct log *log, struct buf *detail);
void log_topic_free(struct log_topic *topic);

/* retain.c ------------------------------------------------------------------------------------ */

void log_maintainer_run(void *log);

/* Remove what is too old, too much, or deleted. */
void log_part_expire(struct log_part *part);

/* Compact, if there is enough to be gained. */
void log_part_compact(struct log_part *part, const struct log_topic_config *config, int64_t now_ms);

/* compact_map.c ------------------------------------------------------------------------------- */

struct log_key_map;

struct log_key_map *log_key_map_new(void);
void log_key_map_free(struct log_key_map *m);
/* False: it is full, and the key is not in it. */
bool log_key_map_put(struct log_key_map *m, struct str key, int64_t offset);
/* -1: not in it. */
int64_t log_key_map_newest(const struct log_key_map *m, struct str key);

/* compact_swap.c ------------------------------------------------------------------------------ */

/* Let the file at path, which is synced, take the place of segments that stand beside one another.
 * The caller has references. ERR_BUSY: they are not there any more. The file is gone afterwards. */
MUST_CHECK enum err log_segments_replace(struct log_part *part, struct log_segment **old,
                                         size_t count, const char *path);
/* At open, before the folder is listed. */
MUST_CHECK enum err log_swaps_finish(struct log_part *part);

/* trim.c: log-start-offset ----------------------------------------------------------------------
 */

/* A number in a file of its own in the partition's folder. False: there is none. */
bool log_number_read(struct log_part *part, const char *name, int64_t *ret_number);
MUST_CHECK enum err log_number_write(struct log_part *part, const char *name, int64_t number);

MUST_CHECK enum err log_floor_read(struct log_part *part);

/* usage.c ------------------------------------------------------------------------------------- */

/* What a folder takes as the quota counts it, with everything below. */
MUST_CHECK enum err log_usage_of(const struct os_fs *fs, const char *path, uint64_t *ret_bytes);

/* mark.c: the clean marker -------------------------------------------------------------------- */

/* Read it into log.marks; an absent or damaged one leaves none. */
void log_marks_read(struct log *log);
void log_marks_forget(struct log *log);
const struct log_mark *log_marks_find(const struct log *log, const char *name);
/* At a clean stop: index files of active segments, then the marker. */
MUST_CHECK enum err log_marks_write(struct log *log);

/* append.c ------------------------------------------------------------------------------------ */

/* Write a batch of records that have their offsets, which is taken over; not below log_part_next.
 * Waits for the disk where it must. */
MUST_CHECK enum err log_place(struct log_part *part, struct log_staged *batch);

/* cluster.c, spool.c: nothing happens where there is no cluster ------------------------------- */

/* The folder is not another kind of log's. */
MUST_CHECK enum err log_cluster_check(struct log *log, struct buf *detail);
/* After the threads have started. On failure stop and free. */
MUST_CHECK enum err log_cluster_open(struct log *log, struct buf *detail);
void log_cluster_stop(struct log *log);
MUST_CHECK enum err log_cluster_restart(struct log *log);
void log_cluster_free(struct log *log);
MUST_CHECK enum err log_cluster_topic_open(struct log *log, struct str name,
                                           const struct log_topic_config *config,
                                           struct log_topic **ret_topic);
MUST_CHECK enum err log_cluster_append(struct log_part *part, const struct log_record *record,
                                       struct log_append *append);
/* Is the topic of this folder only? */
bool log_cluster_keeps(struct str topic);

/* log.c --------------------------------------------------------------------------------------- */

void log_report(const struct log *log, enum log_severity severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
