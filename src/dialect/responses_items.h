/* The Responses API's conversations: what a request leans on (`previous_response_id`, references to
 * items), and the items of turns that were stored.
 *
 *   response   resp_<call id, 32 hex digits>
 *   item       <kind>_<call id><its place in the output, 4 hex digits>      of an answer
 *              <kind>_<call id>i<its place in the input, 4 hex digits>      of a request
 *
 * So an id says which call to read; nothing needs an index from ids to records. Pure, any thread.
 */
#ifndef WEIR_DIALECT_RESPONSES_ITEMS_H
#define WEIR_DIALECT_RESPONSES_ITEMS_H

#include "base/arena.h"
#include "base/buf.h"
#include "codec/json_scan.h"

enum {
    RESPONSES_CALL_HEX = 32,
    RESPONSES_ID_BYTES = 5 + RESPONSES_CALL_HEX,
    RESPONSES_ITEMS_MAX = 0xFFFF, /* of one input or output: its place has four digits */
    RESPONSES_ITEM_ID_BYTES = 41, /* the longest id of an item, without a NUL */
};

/* The call that a response's id names; false: not an id of ours. */
bool responses_id_call(struct str id, struct str *ret_call);
/* The call and the place that an item's id names. */
bool responses_item_id_read(struct str id, struct str *ret_call, bool *ret_of_input,
                            size_t *ret_place);
/* An answer's item. Returns the text, NUL-terminated. */
struct str responses_item_id(const char *kind, struct str call, size_t place,
                             char text[RESPONSES_ITEM_ID_BYTES + 1]);

/* What a request says of stored things. Spans point into the body or the arena. */
struct responses_lean {
    struct str previous;     /* previous_response_id, unescaped; empty: none, null */
    struct json_value input; /* JSON_NONE: absent */
    bool store;              /* `store` is not false */
    bool references;         /* the input has references to items */
};

/* ERR_INVALID, ERR_TRUNCATED: not a JSON object. What else may be wrong with the request is for its
 * reader to find. */
MUST_CHECK enum err responses_lean_read(struct str body, unsigned max_depth, struct arena *a,
                                        struct responses_lean *ret_lean);

/* One stored turn: the request's `input` and the answer's `output`, as they stand. */
struct responses_turn {
    struct str call; /* id, 32 hex digits */
    struct json_value input;
    struct json_value output;
};

/* Finds the item that an id names and appends it, a JSON object, to *out. */
struct responses_finder {
    enum err (*find)(void *arg, struct str id, struct buf *out);
    void *arg;
};

/* Append the body with its input preceded by the turns, oldest first, with references replaced by
 * what they name, and without previous_response_id. Its other members stay as they are. Errors: the
 * finder's. */
MUST_CHECK enum err responses_expand(struct str body, const struct responses_turn *turns,
                                     size_t turn_count, const struct responses_finder *finder,
                                     struct buf *out);

/* Which part of a list. */
struct responses_page {
    struct str after; /* an item's id; empty: from the beginning */
    size_t limit;
    bool ascending;
};

/* Append the list object of what a response was made from: the turns before it, oldest first, with
 * their answers, then its own input. Each item has an id. ERR_NOT_FOUND: nothing is called `after`.
 * Errors of the finder. */
MUST_CHECK enum err responses_list_items(const struct responses_turn *turns, size_t turn_count,
                                         const struct responses_turn *own,
                                         const struct responses_finder *finder,
                                         const struct responses_page *page, struct buf *out);
/* Append the item at that place of a turn's input (with an id) or output. ERR_NOT_FOUND. */
MUST_CHECK enum err responses_turn_item(const struct responses_turn *turn, bool of_input,
                                        size_t place, struct buf *out);

#endif
