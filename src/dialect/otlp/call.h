/* A call's record (docs/calls.md) as a span of OTLP, in OpenTelemetry's gen_ai.* conventions. Pure.
 */
#ifndef WEIR_DIALECT_OTLP_CALL_H
#define WEIR_DIALECT_OTLP_CALL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

/* Append field 2 of ScopeSpans: the span. messages: with what was asked and answered. False: it is
 * no record of a call; nothing is appended. */
bool otlp_call_write(struct str record, bool messages, struct arena *a, struct buf *out);
/* Append what stands around the spans of a request: its one resource and scope. */
void otlp_request_write(struct str spans, struct str version, struct buf *out);

#endif
