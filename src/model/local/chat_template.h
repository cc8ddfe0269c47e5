/* A model's own chat template (Jinja, from its file): which parts of a chat it knows, and chats
 * written with it.
 *
 * Templates differ in what they take. What one knows is found out by asking it: it is rendered with
 * small chats in which every part has a word to be looked for in the output.
 *
 *   system      no: the system's text is put before the next user's
 *   typed       content must be a list of parts, not a string
 *   tools       no, or calls or results not either: tools, calls and results are written as text
 *               (chat_tools.h)
 *   arguments   of calls: as an object, or as OpenAI's string of JSON
 *   calls       the form in which the model writes its calls; unknown: as text, too */
#ifndef WEIR_MODEL_LOCAL_CHAT_TEMPLATE_H
#define WEIR_MODEL_LOCAL_CHAT_TEMPLATE_H

#include "model/local/chat_tools.h"
#include "model/local/engine_request.h"
#include "text/jinja.h"

struct chat_template {
    struct jinja_template *jinja;
    struct str begin, end; /* texts of the tokens that begin and end a text; the caller's */
    bool system;
    bool typed;
    bool tools;
    bool arguments_text;
    bool short_ids;        /* calls' ids must have nine letters and digits */
    enum chat_calls calls; /* how the model writes them */
};

/* source: the template's text. begin, end: must outlive it. ERR_INVALID with a line for people in
 * problem: it cannot be read, or does not take a user's message. */
MUST_CHECK enum err chat_template_init(struct chat_template *t, struct str source, struct str begin,
                                       struct str end, struct buf *problem);
void chat_template_release(struct chat_template *t);

/* The request's messages and tools as the model is to see them, up to where it answers. Foreign is
 * what came from the request. ERR_INVALID with a problem: the template refuses them. */
MUST_CHECK enum err chat_template_render(const struct chat_template *t,
                                         const struct engine_request *r, int64_t now_s,
                                         struct jinja_output *out, struct buf *problem);

#endif
