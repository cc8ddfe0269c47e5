#include "api/topic_json.h"

#include "base/mem.h"
#include "codec/base64.h"
#include "codec/json_scan.h"
#include "codec/utf8.h"

enum { NESTING_MAX = 256 };

static void write_part(struct json_writer *w, struct log_part *part)
{
    struct log_part_info info;
    log_part_describe(part, &info);
    json_object_begin(w);
    json_member_u64(w, STR("partition"), log_part_index(part));
    json_member_i64(w, STR("start_offset"), info.start_offset);
    json_member_i64(w, STR("end_offset"), info.end_offset);
    json_member_u64(w, STR("bytes"), info.bytes);
    json_member_u64(w, STR("segments"), info.segments);
    json_member_i64(w, STR("newest_ms"), info.newest_ms);
    json_object_end(w);
}

void topic_json_write(struct json_writer *w, struct log_topic *topic)
{
    struct log_topic_config config = log_topic_config(topic);
    json_object_begin(w);
    json_member_str(w, STR("name"), log_topic_name(topic));
    json_member_str(w, STR("durability"),
                    config.durability == LOG_SYNC ? STR("sync") : STR("write"));
    json_member_str(w, STR("compression"), str_from_c(compress_name(config.compression)));
    json_member_i64(w, STR("retention_ms"), config.retention_ms);
    json_member_i64(w, STR("retention_bytes"), config.retention_bytes);
    json_key(w, STR("partitions"));
    json_array_begin(w);
    for (uint32_t i = 0; i < log_topic_partitions(topic); i++)
        write_part(w, log_topic_part(topic, i));
    json_array_end(w);
    json_object_end(w);
}

void topic_json_write_all(struct json_writer *w, struct log *log)
{
    struct log_topic **topics = NULL;
    size_t count = 0;
    log_topic_list(log, &topics, &count);
    json_object_begin(w);
    json_key(w, STR("topics"));
    json_array_begin(w);
    for (size_t i = 0; i < count; i++)
        topic_json_write(w, topics[i]);
    json_array_end(w);
    json_object_end(w);
    mem_free(topics);
}

/* Text that is JSON is given as JSON, other text as a string, other bytes in base64. */
static void write_bytes(struct json_writer *w, struct str name, struct str bytes)
{
    struct json_value value;
    json_key(w, name);
    if (!bytes.ptr) {
        json_null(w);
        return;
    }
    if (bytes.len && (bytes.ptr[0] == '{' || bytes.ptr[0] == '[') &&
        json_validate(bytes, NESTING_MAX, &value) == ERR_OK) {
        json_raw(w, value.raw);
        return;
    }
    if (utf8_valid(bytes)) {
        json_str(w, bytes);
        return;
    }
    struct buf text BUF_AUTO;
    buf_init(&text, 2 * bytes.len + 16);
    base64_encode(bytes, &text);
    json_object_begin(w);
    json_member_str(w, STR("$base64"), buf_str(&text));
    json_object_end(w);
}

void topic_json_write_record(struct json_writer *w, const struct log_part *part,
                             const struct log_entry *entry)
{
    json_object_begin(w);
    json_member_u64(w, STR("partition"), log_part_index(part));
    json_member_i64(w, STR("offset"), entry->offset);
    json_member_i64(w, STR("timestamp_ms"), entry->timestamp_ms);
    write_bytes(w, STR("key"), entry->key);
    write_bytes(w, STR("value"), entry->value);
    json_key(w, STR("headers"));
    json_object_begin(w);
    for (size_t i = 0; i < entry->header_count; i++)
        write_bytes(w, entry->headers[i].name, entry->headers[i].value);
    json_object_end(w);
    json_object_end(w);
}
