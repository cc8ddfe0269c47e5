/* Reads one answer of a chat call as it comes and judges it: is every token of the mock's text
 * there, once and in order, is the end there? Works on any server; where the text is not the mock's
 * (cli/wire/wire_text.h), events are only counted. */
#ifndef WEIR_CLI_BENCH_ANSWER_H
#define WEIR_CLI_BENCH_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* An unstreamed body, or a line of a stream, beyond this is cut off and then fails the check. */
#define BENCH_BODY_BYTES_MAX ((size_t)64 << 20)

struct bench_answer {
    struct buf kept; /* the body, or the begun line of a stream */
    bool stream;
    bool after_cr;
    bool done;       /* [DONE] */
    bool error_seen; /* an event or body with "error" */
    bool is_text;    /* the first content was the mock's first token */
    uint64_t events; /* with content */
    uint64_t next_token;
    uint64_t lost, doubled, damaged; /* tokens */
    /* For every event with content. NULL: nobody wants to know. */
    void (*on_content)(void *arg);
    void *arg;
};

enum bench_verdict {
    BENCH_GOOD,
    BENCH_NO_TEXT,     /* unstreamed: no content in it; streamed: no event */
    BENCH_ERROR_EVENT, /* an error inside a 200 */
    BENCH_NO_DONE,     /* a stream without [DONE] */
    BENCH_WRONG_TEXT,  /* tokens lost, doubled or damaged */
};

void bench_answer_init(struct bench_answer *answer, void (*on_content)(void *arg), void *arg);
void bench_answer_release(struct bench_answer *answer);
/* Before each answer. */
void bench_answer_begin(struct bench_answer *answer, bool stream);
/* Bytes of its body. */
void bench_answer_feed(struct bench_answer *answer, struct str bytes);
/* The body is whole. expected: tokens that it should have had, when it is the mock's text; 0: as
 * many as came. */
enum bench_verdict bench_answer_end(struct bench_answer *answer, uint64_t expected);

#endif
