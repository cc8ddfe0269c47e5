/* W3C Trace Context: the traceparent header, version 00 (https://www.w3.org/TR/trace-context/). */
#ifndef WEIR_CALL_TRACE_H
#define WEIR_CALL_TRACE_H

#include <stdbool.h>

#include "base/str.h"

enum { TRACE_ID_HEX = 32, SPAN_ID_HEX = 16, TRACEPARENT_BYTES = 55 };

struct trace {
    char id[TRACE_ID_HEX + 1];
    char parent[SPAN_ID_HEX + 1]; /* the caller's span; empty: none */
    char span[SPAN_ID_HEX + 1];   /* this call's */
    char flags[3];
};

/* Take part in the caller's trace, or begin one: then its id is own_id (32 lower-case hex digits).
 * A header that is not valid is as none, as the standard says. */
void trace_begin(struct trace *t, struct str traceparent, struct str own_id);
/* The header for the next hop: its parent is this call's span. */
struct str trace_parent_format(const struct trace *t, char text[TRACEPARENT_BYTES + 1]);

#endif
