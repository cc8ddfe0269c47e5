/* A partition's files of any content: the log opens, what is good is read, what is not is set
 * aside, and afterwards nothing is wrong any more. The input is a list of pieces that become
 * segment and index files:
 *
 *     0 n bytes…   n bytes as they are           4 n m   the first n + 256 m bytes of a good batch
 *     1 n m        a good batch of n + 1 records with values of m bytes
 *     2 n          the same, n offsets later     5       the next segment
 *     3            the same, at offset 0         6 n bytes…, 7 n bytes…   .index and .timeindex */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "log/log.h"
#include "os/sim_fs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_MAX = 1 << 18 };

struct build {
    struct sim_fs *disk;
    struct str rest; /* of the input */
    int64_t base;    /* of the segment at hand */
    int64_t next;    /* offset of the next good batch */
    uint64_t records;
    bool certain; /* every good batch must come back */
    struct buf log, offsets, times;
};

static unsigned take(struct build *b)
{
    unsigned byte = b->rest.len > 0 ? (unsigned char)b->rest.ptr[0] : 0;
    b->rest = str_skip(b->rest, 1);
    return byte;
}

static void take_bytes(struct build *b, struct buf *out)
{
    struct str bytes = str_take(b->rest, take(b));
    bytes = str_take(b->rest, bytes.len);
    buf_append_str(out, bytes);
    b->rest = str_skip(b->rest, bytes.len);
}

static void make_batch(struct buf *out, int64_t offset, unsigned count, unsigned value_len)
{
    static char zeros[256];
    char header[BATCH_HEADER_BYTES];
    struct buf records BUF_AUTO;
    struct str value = str_of(zeros, value_len);
    struct record_fields f = {.value = &value, .value_parts = 1};
    buf_init(&records, FILE_MAX);
    for (unsigned i = 0; i < count; i++)
        record_write(&records, &f, (int64_t)i, (int32_t)i);
    struct batch_header h = {.base_offset = offset,
                             .last_offset_delta = (int32_t)count - 1,
                             .base_timestamp_ms = offset,
                             .max_timestamp_ms = offset + (int64_t)count - 1,
                             .producer_id = -1,
                             .producer_epoch = -1,
                             .base_sequence = -1,
                             .count = (int32_t)count};
    struct str body = buf_str(&records);
    batch_header_write(&h, &body, 1, header);
    buf_append(out, header, sizeof header);
    buf_append_str(out, body);
}

static void write_file(struct build *b, const char *suffix, struct buf *content)
{
    char path[128];
    (void)snprintf(path, sizeof path, "/data/topics/t-0/%020lld%s", (long long)b->base, suffix);
    ASSERT(os_fs_write_file(sim_fs_table(b->disk), path, buf_str(content)) == ERR_OK);
    buf_reset(content);
}

static void end_segment(struct build *b)
{
    write_file(b, ".log", &b->log);
    if (b->offsets.len > 0 || b->times.len > 0) {
        write_file(b, ".index", &b->offsets);
        write_file(b, ".timeindex", &b->times);
        b->certain = false; /* it may be believed, and lead past something */
    }
}

static void good_batch(struct build *b, int64_t offset, unsigned count, unsigned value_len)
{
    make_batch(&b->log, offset, count, value_len);
    b->next = offset + (int64_t)count;
    b->records += count;
}

static void piece(struct build *b)
{
    struct buf cut BUF_AUTO;
    unsigned kind = take(b) % 8;
    unsigned n = kind == 1 || kind == 2 || kind == 4 ? take(b) : 0;
    unsigned m = kind == 1 || kind == 4 ? take(b) : 0;
    buf_init(&cut, FILE_MAX);
    switch (kind) {
    case 0:
        take_bytes(b, &b->log);
        b->certain = false; /* they may be anything, a good batch too */
        break;
    case 1: good_batch(b, b->next, n + 1, m); break;
    case 2: good_batch(b, b->next + (int64_t)n, 1, 10); break;
    case 3: /* not its place, unless it is the first */
        if (b->next == 0)
            b->certain = false;
        make_batch(&b->log, 0, 1, 10);
        break;
    case 4:
        make_batch(&cut, b->next, 3, 200);
        /* Its last bytes are zeros, as the first of what follows may be: those must not complete
         * it. */
        cut.len = n + 256 * m < cut.len - 16 ? n + 256 * m : cut.len - 16;
        buf_append_str(&b->log, buf_str(&cut));
        break;
    case 5:
        if (b->next > b->base) {
            end_segment(b);
            b->base = b->next;
        }
        break;
    case 6: take_bytes(b, &b->offsets); break;
    default: take_bytes(b, &b->times); break;
    }
}

static struct log *open_log(const struct build *b)
{
    struct log_options options = {.fs = sim_fs_table(b->disk), .dir = "/data", .manual = true};
    struct buf detail BUF_AUTO;
    struct log *log = NULL;
    buf_init(&detail, 4096);
    ASSERT(log_open(&options, &detail, &log) == ERR_OK);
    return log;
}

static uint64_t read_all(struct log_part *part, enum log_direction direction)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *e = NULL;
    uint64_t count = 0;
    int64_t before = direction == LOG_FORWARD ? -1 : INT64_MAX;
    int64_t from = direction == LOG_FORWARD ? 0 : log_part_end(part);
    ASSERT(log_cursor_open(part, from, direction, &cursor) == ERR_OK);
    while (log_cursor_next(cursor, &e) == ERR_OK && e) {
        ASSERT(direction == LOG_FORWARD ? e->offset > before : e->offset < before);
        before = e->offset;
        count++;
    }
    log_cursor_close(cursor);
    return count;
}

static void no_damage(void *arg, const struct log_damage *damage)
{
    (void)arg;
    /* Index files that are believed after a stop are not read whole; that is what verifying is for.
     */
    ASSERT(strstr(damage->reason, "index") || strstr(damage->reason, "records"));
}

static void append(struct log_part *part)
{
    struct str value = STR("x");
    struct log_record record = {.timestamp_ms = 1, .value = &value, .value_parts = 1};
    int64_t end = log_part_end(part);
    int64_t offset = -1;
    ASSERT(log_append_wait(part, &record, LOG_ACK_SYNC, &offset) == ERR_OK);
    ASSERT(offset == end);
}

static void check(const struct build *b)
{
    uint64_t count = 0;
    for (int round = 0; round < 3; round++) {
        struct log *log = open_log(b);
        struct log_topic *topic = log_topic_find(log, STR("t"));
        ASSERT(topic);
        struct log_part *part = log_topic_part(topic, 0);
        uint64_t forward = read_all(part, LOG_FORWARD);
        log_maintain(log); /* repairs what the reading met */
        ASSERT(read_all(part, LOG_FORWARD) == forward);
        ASSERT(read_all(part, LOG_BACKWARD) == forward);
        ASSERT(round > 0 || !b->certain || forward == b->records);
        ASSERT(round == 0 || forward == count);
        ASSERT(log_part_verify(part, no_damage, NULL) == ERR_OK);
        append(part);
        count = forward + 1;
        if (round == 1)
            sim_fs_kill(b->disk);
        log_close(log);
        sim_fs_restart(b->disk);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct build b = {.rest = str_of((const char *)data, size), .certain = true};
    if (size > 4096)
        return 0;
    b.disk = sim_fs_new(1);
    const struct os_fs *fs = sim_fs_table(b.disk);
    ASSERT(os_fs_mkdir(fs, "/data") == ERR_OK && os_fs_mkdir(fs, "/data/topics") == ERR_OK &&
           os_fs_mkdir(fs, "/data/topics/t-0") == ERR_OK);
    buf_init(&b.log, 1 << 24);
    buf_init(&b.offsets, FILE_MAX);
    buf_init(&b.times, FILE_MAX);
    while (b.rest.len > 0 && b.log.len < FILE_MAX)
        piece(&b);
    end_segment(&b);
    check(&b);
    buf_release(&b.log);
    buf_release(&b.offsets);
    buf_release(&b.times);
    sim_fs_free(b.disk);
    return 0;
}
