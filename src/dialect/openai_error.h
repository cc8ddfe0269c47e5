/* Errors in OpenAI's form, out and in:
 *
 *     {"error": {"message": "…", "type": "invalid_request_error", "param": "model", "code": null}}
 */
#ifndef WEIR_DIALECT_OPENAI_ERROR_H
#define WEIR_DIALECT_OPENAI_ERROR_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* An error as its four fields, NUL-terminated; longer text is cut at a character. Owns its texts:
 * may be copied, outlives any body. */
struct openai_problem {
    char message[500];
    char type[64]; /* of these three "" is null on the wire */
    char param[64];
    char code[64];
};

/* Set all four. message is a format; type, param and code may be NULL. */
void openai_problem_set(struct openai_problem *p, const char *type, const char *param,
                        const char *code, const char *message, ...)
    __attribute__((format(printf, 5, 6)));
/* The type and code that go with an error of ours (never NULL; "" is null): ERR_UNAUTHORIZED is
 * invalid_request_error and invalid_api_key, … */
const char *openai_error_type(enum err e);
const char *openai_error_code(enum err e);

/* Append the body. param and code: STR_NONE or empty is null. */
void openai_error_write(struct buf *out, struct str message, struct str type, struct str param,
                        struct str code);
void openai_problem_write(struct buf *out, const struct openai_problem *p);
/* Append the same as a stream's event, "data: {…}\n\n", for what goes wrong after a 200. */
void openai_error_event_write(struct buf *out, const struct openai_problem *p);

/* Read what an upstream sent with an error status: OpenAI's form, an `error` that is only a string,
 * vLLM's and FastAPI's forms. Anything else (HTML, plain text, nothing) becomes a short message
 * without markup and control characters, "HTTP 502 with an HTML page: Bad Gateway". Never fails; a
 * body of any size, of which the first 64 KiB count. */
void openai_error_read(struct str body, int status, struct openai_problem *ret_problem);

#endif
