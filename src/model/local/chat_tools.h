/* Tools of a chat, for models whose template knows nothing of them, and grammars of calls that are
 * required. Pure. */
#ifndef WEIR_MODEL_LOCAL_CHAT_TOOLS_H
#define WEIR_MODEL_LOCAL_CHAT_TOOLS_H

#include "model/local/engine_request.h"

/* How a model writes its calls. */
enum chat_calls {
    CHAT_CALLS_HERMES,     /* <tool_call>{"name": …, "arguments": …}</tool_call> */
    CHAT_CALLS_MISTRAL,    /* [TOOL_CALLS] [{"name": …, "arguments": …}] */
    CHAT_CALLS_MISTRAL_11, /* [TOOL_CALLS]name[CALL_ID]…[ARGS]{…} */
    CHAT_CALLS_MISTRAL_13, /* [TOOL_CALLS]name[ARGS]{…} */
    CHAT_CALLS_LLAMA,      /* {"name": …, "parameters": {…}}, and nothing else */
};

/* From a chat as the template writes it, which calls the tool of that name. False: in none of these
 * forms. */
bool chat_calls_of(struct str chat, struct str name, enum chat_calls *ret_calls);

/* The messages as text alone: tools are described in the system's message, calls and results are
 * written as Hermes models were taught. The list is the arena's. */
void chat_tools_flatten(const struct engine_request *r, struct arena *arena,
                        struct engine_message **ret_messages, size_t *ret_count);

/* Append a grammar. Each text of its rule `root` is one or more calls of the request's tools, of
 * `rest` what comes of one behind its mark. ERR_UNSUPPORTED and others with a line for people in
 * problem: the schema of a tool that must be kept to (tool_choice required, strict) cannot be. */
MUST_CHECK enum err chat_tools_grammar(const struct engine_request *r, enum chat_calls form,
                                       struct buf *grammar, struct buf *problem);

/* What calls begin with; Llama's only at the answer's begin. */
struct str chat_calls_mark(enum chat_calls form);

#endif
