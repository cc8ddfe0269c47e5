/* Tools of a chat, for models whose template knows nothing of them, and grammars of calls that are
 * required. Pure. */
#ifndef WEIR_MODEL_LOCAL_CHAT_TOOLS_H
#define WEIR_MODEL_LOCAL_CHAT_TOOLS_H

#include "model/local/engine_request.h"

/* How a model writes its calls. */
enum chat_calls {
    CHAT_CALLS_HERMES,  /* <tool_call>{"name": …, "arguments": …}</tool_call> */
    CHAT_CALLS_MISTRAL, /* [TOOL_CALLS] [{"name": …, "arguments": …}] */
    CHAT_CALLS_LLAMA,   /* {"name": …, "parameters": …} */
};

/* From a template that writes calls itself. */
enum chat_calls chat_calls_of(struct str template_text);

/* The messages as text alone: tools are described in the system's message, calls and results are
 * written as Hermes models were taught. The list is the arena's. */
void chat_tools_flatten(const struct engine_request *r, struct arena *arena,
                        struct engine_message **ret_messages, size_t *ret_count);

/* Append a grammar of which each text is one or more calls of the request's tools. ERR_UNSUPPORTED
 * and others with a line for people in problem: a tool's schema cannot be kept. */
MUST_CHECK enum err chat_tools_grammar(const struct engine_request *r, enum chat_calls form,
                                       struct buf *grammar, struct buf *problem);

#endif
