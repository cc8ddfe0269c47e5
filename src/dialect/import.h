/* Calls that others have kept, as records of weir.calls: lines of LiteLLM's spend logs, of
 * Helicone's and Langfuse's exports, of OpenAI's and Anthropic's batch results and stored
 * completions. Pure. docs/import.md says what each becomes. */
#ifndef WEIR_DIALECT_IMPORT_H
#define WEIR_DIALECT_IMPORT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum import_source {
    IMPORT_LITELLM,
    IMPORT_HELICONE,
    IMPORT_LANGFUSE,
    IMPORT_OPENAI,
    IMPORT_ANTHROPIC,
    IMPORT_SOURCES,
};

/* "litellm" … */
struct str import_source_name(enum import_source source);
MUST_CHECK enum err import_source_from_name(struct str name, enum import_source *ret_source);

/* Append the record that one line (a JSON value) becomes: all members but id, which whoever appends
 * it to the log gives. now_us: its time where the line has none. ERR_INVALID: it becomes none;
 * *ret_why says why, in few words that repeat. */
MUST_CHECK enum err import_call_write(enum import_source source, struct str line, int64_t now_us,
                                      struct arena *a, struct buf *out, const char **ret_why);

#endif
