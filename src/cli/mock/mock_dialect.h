/* The languages that the mock answers in. Each writes a whole body, or the events of a stream one
 * by one; what a fault changes in their contents (usage, the last event) happens here, what it
 * changes in the bytes around them in mock_frame.c. */
#ifndef WEIR_CLI_MOCK_DIALECT_H
#define WEIR_CLI_MOCK_DIALECT_H

#include "cli/mock/mock_ask.h"

struct mock_dialect {
    /* The whole answer, unstreamed. */
    void (*body)(const struct mock_ask *ask, struct buf *out);
    /* Events in a stream, the closing mark included. */
    size_t (*events)(const struct mock_ask *ask);
    /* Index of the first event with content, and of the first behind the content. */
    size_t (*first_content)(const struct mock_ask *ask);
    size_t (*after_content)(const struct mock_ask *ask);
    /* Append event i's data; returns its type, empty for none. */
    struct str (*event)(const struct mock_ask *ask, size_t i, struct buf *out);
    /* The body of an error. */
    void (*error)(int status, struct str message, struct buf *out);
    /* The data of an error inside a stream, as its event i, where it differs from the body; or
     * NULL. */
    void (*error_event)(int status, struct str message, size_t i, struct buf *out);
    struct str error_event_type;
};

extern const struct mock_dialect mock_openai;
extern const struct mock_dialect mock_responses;
extern const struct mock_dialect mock_anthropic;
extern const struct mock_dialect mock_gemini;

/* The dialect of an API; OpenAI's for what is none. */
const struct mock_dialect *mock_dialect_of(enum mock_api api);

/* mock_vector.c */

/* Append an embedding of input i as a JSON array, or as base64 in quotes. */
void mock_vector_append(const struct mock_ask *ask, size_t i, struct buf *out);

#endif
