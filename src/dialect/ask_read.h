/* Building an ask: what the readers of all dialects share. Private to src/dialect.
 *
 * A reading keeps the first thing that is wrong; from then on nothing more is added, so that a
 * reader of many parts checks once in a while and at the end. */
#ifndef WEIR_DIALECT_ASK_READ_H
#define WEIR_DIALECT_ASK_READ_H

#include "dialect/ask.h"

struct ask_reading {
    struct ask *ask;
    struct arena *a;
    struct openai_problem *problem;
    enum err error; /* the first; problem says what */
    uint32_t parts; /* of all messages and results */
    uint32_t others;
    unsigned level; /* content within content */
    struct ask_message *last_message;
    struct ask_tool *last_tool;
    struct ask_member *last_member;
};

/* A list of parts that grows at its end. */
struct ask_parts {
    struct ask_part *first;
    struct ask_part *last;
};

void ask_reading_init(struct ask_reading *x, struct arena *a, struct openai_problem *problem);
/* Keep the first problem, of kind e. param may have one %u for `at`. */
void ask_wrong(struct ask_reading *x, enum err e, const char *param, const char *message, ...)
    __attribute__((format(printf, 4, 5)));

/* NULL past a limit. */
struct ask_message *ask_message_add(struct ask_reading *x, enum ask_role role, uint32_t at);
struct ask_part *ask_part_add(struct ask_reading *x, struct ask_parts *to, enum ask_part_kind kind);
/* A text part, with an empty text too. */
void ask_text_add(struct ask_reading *x, struct ask_parts *to, struct str escaped);
/* A part of a kind that is not known: its raw JSON and the type that it says it has. */
void ask_other_add(struct ask_reading *x, struct ask_parts *to, const struct json_value *part,
                   const struct json_value *type);
struct ask_tool *ask_tool_add(struct ask_reading *x, enum ask_tool_kind kind);
/* Keep a member with no field. NEEDED ones that say nothing (false, 0, [], {}) are left out. */
void ask_member_add(struct ask_reading *x, enum ask_member_class class,
                    const struct json_value *key, const struct json_value *value);

/* Members that must have a kind, or be absent. */
struct json_value ask_number(struct ask_reading *x, const struct json_value *value,
                             const char *param);
/* Whole and ≥ least; 0 where absent; cut to CHAT_TOKENS_MAX. */
int64_t ask_count(struct ask_reading *x, const struct json_value *value, int64_t least,
                  const char *param);
struct json_value ask_bool(struct ask_reading *x, const struct json_value *value,
                           const char *param);
struct json_value ask_object(struct ask_reading *x, const struct json_value *value,
                             const char *param);
/* The string that must be there; empty (and wrong) where it is not. */
struct str ask_string(struct ask_reading *x, const struct json_value *value, const char *param);
/* stop, stop_sequences: a string or an array of strings. */
void ask_stops(struct ask_reading *x, const struct json_value *value, const char *param);
/* A list's elements one after another, with their places, until something is wrong; nothing where
 * it is no list. */
void ask_each(struct ask_reading *x, const struct json_value *list,
              void (*take)(struct ask_reading *x, const struct json_value *element, uint32_t at));
/* `messages`, which must be a list. */
void ask_messages(struct ask_reading *x, const struct json_value *messages,
                  void (*take)(struct ask_reading *x, const struct json_value *message,
                               uint32_t at));
/* Say what is wrong with a body that fields_read refused. */
void ask_body_wrong(struct ask_reading *x, struct str body, unsigned max_depth);

#endif
