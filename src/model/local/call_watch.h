/* Waits in an answer for the mark that a tool call begins with, so that from there on a grammar can
 * hold the call to its form. Pure. */
#ifndef WEIR_MODEL_LOCAL_CALL_WATCH_H
#define WEIR_MODEL_LOCAL_CALL_WATCH_H

#include <stdbool.h>

#include "base/str.h"

enum { CALL_WATCH_MARK_MAX = 16 };

struct call_watch {
    struct str mark; /* empty: nothing is waited for any more */
    bool at_begin;   /* it can only be what the answer begins with */
    size_t tail_len;
    char tail[CALL_WATCH_MARK_MAX]; /* the end of what came, with which the mark begins */
};

/* mark: 1 to CALL_WATCH_MARK_MAX bytes that stay. */
void call_watch_init(struct call_watch *w, struct str mark, bool at_begin);
/* More of the answer. True, once: a call begins in it; *ret_begun is what of the text comes
 * behind the mark. */
bool call_watch_push(struct call_watch *w, struct str text, struct str *ret_begun);

#endif
