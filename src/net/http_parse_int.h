/* One direction of an HTTP/1 connection as a pull parser over llhttp (strict), without sockets.
 *
 *   bytes ──> http_parser_next ──> HEAD, BODY slice…, END, HEAD, … | MORE | ERROR
 *
 * 1. Nothing of the input is kept but the head, which is copied into struct http_head; body slices
 *    point into the input.
 * 2. A head holds at most head_bytes_max bytes, whatever they are (the parser skips some silently),
 *    and HTTP_HEADERS_MAX fields. What surrounds chunks (their sizes, extensions, trailers) may be
 *    that long too, plus HTTP_CHUNK_OVERHEAD bytes for each byte of body. Trailers are dropped. */
#ifndef WEIR_NET_HTTP_PARSE_INT_H
#define WEIR_NET_HTTP_PARSE_INT_H

#include <llhttp.h>

#include "base/buf.h"
#include "net/http.h"

#define HTTP_CHUNK_OVERHEAD 16

/* A message's head. Its memory is kept for the next one. */
struct http_head {
    struct buf text;           /* target, names and values, one after another */
    struct http_header *items; /* while parsing only the lengths are set: the text may move */
    size_t count, cap;
    size_t target_len; /* at the beginning of text */
    bool in_value;     /* the last field's name is complete */
};

struct http_parser {
    llhttp_t ll;
    struct http_head *head; /* set before a message begins */
    size_t head_bytes_max;
    size_t head_bytes;  /* of this message so far */
    size_t extra_bytes; /* around the body's bytes */
    uint64_t body_bytes;
    struct str piece; /* of the body */
    uint8_t event;    /* enum http_parse that stopped the parser */
    bool paused;
    bool in_body; /* the head is complete */
    bool too_large;
};

enum http_parse {
    HTTP_PARSE_MORE, /* the input is used up */
    HTTP_PARSE_HEAD, /* head is complete */
    HTTP_PARSE_BODY, /* a piece */
    HTTP_PARSE_END,  /* the message is complete */
    HTTP_PARSE_ERROR,
};

void http_head_init(struct http_head *head);
void http_head_release(struct http_head *head);
/* Forget the message. Gives back memory above what common messages need. */
void http_head_reset(struct http_head *head);
static inline struct http_headers http_head_fields(const struct http_head *head)
{
    return (struct http_headers){head->items, head->count};
}

void http_parser_init(struct http_parser *p, llhttp_type_t type, size_t head_bytes_max);
/* Begin a message: its head goes to head. */
void http_parser_begin(struct http_parser *p, struct http_head *head);
/* Advance *in up to the next thing. ret_body is set with HTTP_PARSE_BODY. */
enum http_parse http_parser_next(struct http_parser *p, struct str *in, struct str *ret_body);
/* The connection ended: END when that ends the message properly, MORE when none had begun, else
 * ERROR. */
enum http_parse http_parser_finish(struct http_parser *p);
/* Between HEAD and the next call: this response has no body (the request was HEAD or CONNECT). */
void http_parser_skip_body(struct http_parser *p);
/* Between HEAD and END: -1: not known. */
int64_t http_parser_content_length(const struct http_parser *p);
bool http_parser_chunked(const struct http_parser *p);
/* After HTTP_PARSE_ERROR: what is wrong, for people. */
const char *http_parser_mistake(const struct http_parser *p);

#endif
