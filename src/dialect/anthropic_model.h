/* What Anthropic's models can be asked for, by their names: docs/dialects.md has the table. Private
 * to src/dialect. */
#ifndef WEIR_DIALECT_ANTHROPIC_MODEL_H
#define WEIR_DIALECT_ANTHROPIC_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum anthropic_thinking {
    ANTHROPIC_THINKS_NOT,
    ANTHROPIC_THINKS_BUDGET,   /* {"type":"enabled","budget_tokens":…} */
    ANTHROPIC_THINKS_ADAPTIVE, /* {"type":"adaptive"} and output_config.effort */
};

struct anthropic_model {
    enum anthropic_thinking thinking;
    int64_t max_tokens;    /* where the caller names no limit */
    bool formats;          /* output_config.format */
    bool xhigh;            /* an effort between high and max */
    bool shows_on_request; /* thinking is not shown unless it is asked for */
};

/* Names may stand behind a prefix ("anthropic/claude-…", "us.anthropic.claude-…"). A name without
 * "claude" is somebody's imitation of the API: 4,096 tokens, a budget, formats by a tool. */
struct anthropic_model anthropic_model_of(struct str name);

#endif
