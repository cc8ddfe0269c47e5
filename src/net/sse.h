/* Server-sent events, incrementally (WHATWG HTML §9.2 "Server-sent events").
 *
 *   feed bytes, in any cuts:   struct str in = bytes;
 *                              while (sse_parser_next(&p, &in, &event) == SSE_EVENT) …
 *
 * 1. The same bytes give the same events with data, however they are cut. Lines end with LF, CRLF
 * or CR.
 * 2. The raw bytes of all events, in order, then what sse_parser_finish returns, are the input,
 *    byte for byte: a gateway may pass raw on untouched while it watches. (An LF that comes in a
 *    later input than the CR that ended its event is an event of its own, without data.)
 * 3. Nothing is copied when an event lies whole in one input and has one data line. An event that
 * is cut is collected in the parser, up to max_bytes.
 * 4. A block of lines ended by an empty line is one event here even if it has no data (a comment,
 *    a bare `event:`): the standard drops those, so has_data is false then. */
#ifndef WEIR_NET_SSE_H
#define WEIR_NET_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define SSE_EVENT_BYTES_MAX ((size_t)8 << 20)

/* Slices of the input or of the parser: valid until the next call. */
struct sse_event {
    struct str raw;  /* every byte, with its end and with comments */
    struct str data; /* data lines joined by LF */
    struct str type; /* the last `event:`; empty means "message" */
    struct str id;   /* the last `id:` of this block; meaningful when has_id */
    bool has_data;   /* false: the standard dispatches nothing */
    bool has_id;
    int64_t retry_ms; /* -1: none */
};

struct sse_parser {
    struct buf kept;   /* raw bytes of an event that began in an earlier input */
    struct buf joined; /* data of an event with several data lines */
    size_t max_bytes;
    bool kept_out;   /* kept was handed out and is emptied by the next call */
    bool line_empty; /* no byte in the current line yet */
    bool after_cr;   /* the last byte was a CR: an LF now belongs to it */
    uint8_t mark;    /* bytes of a byte order mark seen at the very beginning; 255: past it */
    bool started;    /* past the first event */
    bool failed;
};

enum sse_result {
    SSE_EVENT,     /* *ret_event is set, *in advanced behind it: call again */
    SSE_MORE,      /* *in is used up */
    SSE_TOO_LARGE, /* an event above max_bytes; the parser gives nothing else any more */
};

/* max_bytes: of one event's raw bytes; SSE_EVENT_BYTES_MAX where nothing else is asked for. */
void sse_parser_init(struct sse_parser *p, size_t max_bytes);
void sse_parser_release(struct sse_parser *p);
enum sse_result sse_parser_next(struct sse_parser *p, struct str *in, struct sse_event *ret_event);
/* At the end of the input: the raw bytes of an event that was not ended (to be dropped, says the
 * standard), empty when there is none. */
struct str sse_parser_finish(struct sse_parser *p);

/* Writing. type may be empty. data may have several lines. */
void sse_write_event(struct buf *out, struct str type, struct str data);
/* ": text", for keeping a connection alive; text without line ends. */
void sse_write_comment(struct buf *out, struct str text);

#endif
