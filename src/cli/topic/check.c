/* `weir topic verify` and `weir topic dump`: the log's files themselves. */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "cli/topic/topic_int.h"
#include "codec/endian.h"
#include "codec/json_write.h"
#include "os/file.h"

enum {
    INDEX_BYTES_MAX = 64 << 20,
    UNPACKED_BYTES_MAX = 64 << 20,
    LINE_BYTES_MAX = 128 << 20,
};

#define DATA_DEFAULT "./weir-data"

/* Damage -------------------------------------------------------------------------------------- */

struct verification {
    const struct topic_command *c;
    uint64_t damages;
    uint64_t parts;
    uint64_t bytes;
    uint64_t records;
};

static void print_damage(bool json, const struct log_damage *d)
{
    struct str topic = d->part ? log_topic_name(log_part_topic(d->part)) : STR_NONE;
    if (!json) {
        if (d->part)
            printf("%.*s-%u ", STR_ARG(topic), log_part_index(d->part));
        printf("segment %" PRId64 " position %" PRIu64 " bytes %" PRIu64 " offset %" PRId64
               " next %" PRId64 ": %s\n",
               d->segment, d->position, d->length, d->offset, d->next_offset, d->reason);
        return;
    }
    struct buf line BUF_AUTO;
    struct json_writer w;
    buf_init(&line, LINE_BYTES_MAX);
    json_writer_init(&w, &line);
    json_object_begin(&w);
    if (d->part) {
        json_member_str(&w, STR("topic"), topic);
        json_member_u64(&w, STR("partition"), log_part_index(d->part));
    }
    json_member_i64(&w, STR("segment"), d->segment);
    json_member_u64(&w, STR("position"), d->position);
    json_member_u64(&w, STR("bytes"), d->length);
    json_member_i64(&w, STR("offset"), d->offset);
    json_member_i64(&w, STR("next_offset"), d->next_offset);
    json_member_str(&w, STR("damage"), str_from_c(d->reason));
    json_object_end(&w);
    printf("%.*s\n", STR_ARG(buf_str(&line)));
}

static void on_damage(void *arg, const struct log_damage *damage)
{
    struct verification *v = arg;
    v->damages++;
    print_damage(v->c->json, damage);
}

/* What the open finds of the folder itself; damage in segments is found again by reading them. */
static uint64_t open_damages;

static void on_report(void *arg, enum log_severity severity, struct str text)
{
    (void)arg;
    if (severity != LOG_ERROR || !str_starts(text, STR("event=log_topic_damaged")))
        return;
    open_damages++;
    fprintf(stderr, "%.*s\n", STR_ARG(text));
}

static enum err verify_topic(struct verification *v, struct log_topic *topic)
{
    for (uint32_t i = 0; i < log_topic_partitions(topic); i++) {
        struct log_part *part = log_topic_part(topic, i);
        struct log_part_info info;
        TRY(log_part_verify(part, on_damage, v));
        log_part_describe(part, &info);
        v->parts++;
        v->bytes += info.bytes;
        v->records += (uint64_t)(info.end_offset - info.start_offset);
    }
    return ERR_OK;
}

static void print_summary(const struct verification *v)
{
    if (v->c->json)
        printf("{\"partitions\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"offsets\":%" PRIu64
               ",\"damaged\":%" PRIu64 "}\n",
               v->parts, v->bytes, v->records, v->damages);
    else
        printf("%" PRIu64 " partition%s, %" PRIu64 " bytes, %" PRIu64 " offsets: %s\n", v->parts,
               v->parts == 1 ? "" : "s", v->bytes, v->records,
               v->damages ? "damaged" : "no damage");
}

static enum err verify_all(struct verification *v)
{
    struct log_topic **topics = NULL;
    size_t count = 0;
    enum err error = ERR_OK;
    log_topic_list(v->c->log, &topics, &count);
    for (size_t i = 0; i < count && error == ERR_OK; i++)
        error = verify_topic(v, topics[i]);
    mem_free(topics);
    return error;
}

int topic_verify(struct topic_command *c, struct str name)
{
    struct verification v = {.c = c};
    if (!c->data.len)
        c->data = STR(DATA_DEFAULT);
    int code = topic_open_data(c, on_report);
    if (code)
        return code;
    struct log_topic *topic = log_topic_find(c->log, name);
    if (name.len && !topic)
        return cli_fail(&cli_topic, 1, "no topic '%.*s' in %.*s", STR_ARG(str_take(name, 100)),
                        STR_ARG(c->data));
    enum err error = topic ? verify_topic(&v, topic) : verify_all(&v);
    if (error != ERR_OK)
        return cli_fail(&cli_topic, err_exit_code(error), "reading %.*s: %s", STR_ARG(c->data),
                        err_text(error));
    v.damages += open_damages;
    print_summary(&v);
    return v.damages ? 1 : 0;
}

/* A file -------------------------------------------------------------------------------------- */

struct dump {
    const struct topic_command *c;
    struct compress *compress;
    struct buf unpacked;
    struct buf line;
    uint64_t damages;
};

static void json_batch(struct json_writer *w, uint64_t position, const struct batch_header *h)
{
    json_object_begin(w);
    json_member_i64(w, STR("base_offset"), h->base_offset);
    json_member_i64(w, STR("last_offset"), batch_last_offset(h));
    json_member_i64(w, STR("count"), h->count);
    json_member_u64(w, STR("position"), position);
    json_member_u64(w, STR("bytes"), h->size_bytes);
    json_member_str(w, STR("compression"), str_from_c(compress_name(batch_codec(h))));
    json_member_i64(w, STR("base_timestamp_ms"), h->base_timestamp_ms);
    json_member_i64(w, STR("max_timestamp_ms"), h->max_timestamp_ms);
    json_member_i64(w, STR("leader_epoch"), h->leader_epoch);
    json_member_i64(w, STR("producer_id"), h->producer_id);
    json_member_i64(w, STR("producer_epoch"), h->producer_epoch);
    json_member_i64(w, STR("base_sequence"), h->base_sequence);
    json_member_bool(w, STR("transactional"), h->attributes & BATCH_TRANSACTIONAL);
    json_member_bool(w, STR("control"), h->attributes & BATCH_CONTROL);
    json_object_end(w);
}

static void print_batch(struct dump *d, uint64_t position, const struct batch_header *h)
{
    if (d->c->json) {
        struct json_writer w;
        buf_reset(&d->line);
        json_writer_init(&w, &d->line);
        json_batch(&w, position, h);
        printf("%.*s\n", STR_ARG(buf_str(&d->line)));
        return;
    }
    printf("batch %" PRId64 "-%" PRId64 " count %d position %" PRIu64 " bytes %u compression %s"
           " time %" PRId64 "-%" PRId64 " epoch %d producer %" PRId64
           "/%d sequence %d crc %08x%s%s\n",
           h->base_offset, batch_last_offset(h), h->count, position, h->size_bytes,
           compress_name(batch_codec(h)), h->base_timestamp_ms, h->max_timestamp_ms,
           h->leader_epoch, h->producer_id, h->producer_epoch, h->base_sequence, h->crc,
           h->attributes & BATCH_TRANSACTIONAL ? " transactional" : "",
           h->attributes & BATCH_CONTROL ? " control" : "");
}

static void print_record(struct dump *d, const struct batch_header *h, const struct record_view *r)
{
    struct json_writer w;
    struct str headers = r->headers;
    buf_reset(&d->line);
    json_writer_init(&w, &d->line);
    json_object_begin(&w);
    json_member_i64(&w, STR("offset"), h->base_offset + r->offset_delta);
    json_member_i64(&w, STR("timestamp_ms"), h->base_timestamp_ms + r->timestamp_delta_ms);
    json_member_str(&w, STR("key"), r->key);
    json_member_str(&w, STR("value"), r->value);
    json_key(&w, STR("headers"));
    json_object_begin(&w);
    struct record_header header;
    for (int32_t i = 0; i < r->header_count && record_header_read(&headers, &header) == ERR_OK; i++)
        json_member_str(&w, header.name, header.value);
    json_object_end(&w);
    json_object_end(&w);
    printf("%s%.*s\n", d->c->json ? "" : "  ", STR_ARG(buf_str(&d->line)));
}

static void on_batch(void *arg, uint64_t position, const struct batch_header *h, struct str bytes)
{
    struct dump *d = arg;
    print_batch(d, position, h);
    if (!d->c->records)
        return;
    buf_reset(&d->unpacked);
    enum err error = batch_unpack(d->compress, h, bytes, UNPACKED_BYTES_MAX, &d->unpacked);
    struct str rest = buf_str(&d->unpacked);
    for (int32_t i = 0; i < h->count && error == ERR_OK; i++) {
        struct record_view r;
        error = record_read(&rest, &r);
        if (error == ERR_OK)
            print_record(d, h, &r);
    }
    if (error == ERR_OK)
        return;
    d->damages++;
    fprintf(stderr, "weir topic: the records of batch %" PRId64 " cannot be read: %s\n",
            h->base_offset, err_text(error));
}

static void on_file_damage(void *arg, const struct log_damage *damage)
{
    struct dump *d = arg;
    d->damages++;
    print_damage(d->c->json, damage);
}

static int dump_log(struct topic_command *c, struct str path)
{
    struct dump d = {.c = c};
    d.compress = compress_new();
    buf_init(&d.unpacked, UNPACKED_BYTES_MAX);
    buf_init(&d.line, LINE_BYTES_MAX);
    enum err error = log_file_scan(path.ptr, on_batch, on_file_damage, &d);
    compress_free(d.compress);
    buf_release(&d.unpacked);
    buf_release(&d.line);
    if (error != ERR_OK)
        return cli_fail(&cli_topic, 1, "%.*s: %s", STR_ARG(path), err_text(error));
    return d.damages ? 1 : 0;
}

static void print_index_entry(const struct topic_command *c, const char *entry, bool times)
{
    if (times && c->json)
        printf("{\"timestamp_ms\":%" PRId64 ",\"relative_offset\":%u}\n", (int64_t)be64_get(entry),
               be32_get(entry + 8));
    else if (times)
        printf("time %" PRId64 " relative offset %u\n", (int64_t)be64_get(entry),
               be32_get(entry + 8));
    else if (c->json)
        printf("{\"relative_offset\":%u,\"position\":%u}\n", be32_get(entry), be32_get(entry + 4));
    else
        printf("relative offset %u position %u\n", be32_get(entry), be32_get(entry + 4));
}

static int dump_index(struct topic_command *c, struct str path, bool times)
{
    struct buf text BUF_AUTO;
    size_t entry_bytes = times ? 12 : 8;
    buf_init(&text, INDEX_BYTES_MAX);
    enum err error = os_fs_read_file(os_fs_machine(), path.ptr, &text);
    if (error != ERR_OK)
        return cli_fail(&cli_topic, 1, "%.*s: %s", STR_ARG(path), err_text(error));
    for (size_t at = 0; at + entry_bytes <= text.len; at += entry_bytes)
        print_index_entry(c, text.ptr + at, times);
    if (text.len % entry_bytes)
        return cli_fail(&cli_topic, 1, "%.*s: %zu bytes are no whole entries of %zu", STR_ARG(path),
                        text.len, entry_bytes);
    return 0;
}

int topic_dump(struct topic_command *c, struct str path)
{
    if (!path.len)
        return cli_fail(&cli_topic, 2,
                        "dump needs a file: a .log, .index or .timeindex under DATA/topics/");
    if (str_ends(path, STR(".timeindex")))
        return dump_index(c, path, true);
    return str_ends(path, STR(".index")) ? dump_index(c, path, false) : dump_log(c, path);
}
