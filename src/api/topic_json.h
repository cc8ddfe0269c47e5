/* Topics and records as the native API gives them, from a running server or a data folder. */
#ifndef WEIR_API_TOPIC_JSON_H
#define WEIR_API_TOPIC_JSON_H

#include "codec/json_write.h"
#include "log/log.h"

/* {"name", "durability", "compression", "retention_ms", "retention_bytes", "partitions":
 * [{"partition", "start_offset", "end_offset", "bytes", "segments", "newest_ms"}]} */
void topic_json_write(struct json_writer *w, struct log_topic *topic);
/* {"topics":[…]}, by name. */
void topic_json_write_all(struct json_writer *w, struct log *log);
/* {"partition", "offset", "timestamp_ms", "key", "value", "headers": {}}. Text that is JSON is
 * given as JSON, other text as a string, other bytes as {"$base64": "…"}. */
void topic_json_write_record(struct json_writer *w, const struct log_part *part,
                             const struct log_entry *entry);

#endif
