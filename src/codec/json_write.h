/* Writes JSON text into a struct buf; commas come by themselves.
 *
 *     struct json_writer w;
 *     json_writer_init(&w, out);
 *     json_object_begin(&w);
 *     json_member_str(&w, STR("id"), id);
 *     json_key(&w, STR("parts"));
 *     json_array_begin(&w);
 *     json_u64(&w, 3);
 *     json_array_end(&w);
 *     json_object_end(&w);                       {"id":"…","parts":[3]}
 *
 * Errors stick in the buffer (base/buf.h): check out->error once, at the end. Strings may hold any
 * bytes: what is not UTF-8 (surrogates included) is written as U+FFFD, so the output is always
 * valid. Whoever calls is trusted to open and close in order, and to give keys in objects only. */
#ifndef WEIR_CODEC_JSON_WRITE_H
#define WEIR_CODEC_JSON_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct json_writer {
    struct buf *out;
    bool comma; /* the next key or value needs one before it */
};

void json_writer_init(struct json_writer *w, struct buf *out);

void json_object_begin(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array_begin(struct json_writer *w);
void json_array_end(struct json_writer *w);
/* The next value belongs to it. */
void json_key(struct json_writer *w, struct str key);

void json_str(struct json_writer *w, struct str text);
/* A string whose inside is escaped already. */
void json_str_raw(struct json_writer *w, struct str inside);
/* A string in pieces: between the two, append escaped text to w->out. */
void json_str_begin(struct json_writer *w);
void json_str_end(struct json_writer *w);
/* A key whose inside is escaped already. */
void json_key_raw(struct json_writer *w, struct str inside);
void json_u64(struct json_writer *w, uint64_t value);
void json_i64(struct json_writer *w, int64_t value);
/* Shortest text that reads back as the same double; null for what JSON has no number for. */
void json_double(struct json_writer *w, double value);
void json_bool(struct json_writer *w, bool value);
void json_null(struct json_writer *w);
/* A value that is JSON already, e.g. a span of a validated text, or digits. Must not be empty. */
void json_raw(struct json_writer *w, struct str value);

/* Key and value in one. */
void json_member_str(struct json_writer *w, struct str key, struct str text);
/* null where text.ptr is NULL. */
void json_member_str_or_null(struct json_writer *w, struct str key, struct str text);
void json_member_u64(struct json_writer *w, struct str key, uint64_t value);
void json_member_i64(struct json_writer *w, struct str key, int64_t value);
void json_member_bool(struct json_writer *w, struct str key, bool value);
void json_member_raw(struct json_writer *w, struct str key, struct str value);
/* A string whose inside is escaped already. */
void json_member_str_raw(struct json_writer *w, struct str key, struct str inside);

/* The text's bytes as they stand between quotes, without them. */
void json_escape_append(struct buf *out, struct str text);

#endif
