/* Reads HTTP/1 messages, requests or responses, one after another: llhttp with one callback. */
#ifndef WEIR_CLI_WIRE_HTTP_H
#define WEIR_CLI_WIRE_HTTP_H

#include <llhttp.h>
#include <stdbool.h>

#include "base/str.h"

enum wire_part {
    WIRE_BEGIN,   /* a message's first byte */
    WIRE_METHOD,  /* a request's; parts with text come in pieces of any length */
    WIRE_TARGET,  /* a request's */
    WIRE_VERSION, /* "1.1" */
    WIRE_NAME,    /* of a field */
    WIRE_NAME_END,
    WIRE_VALUE,
    WIRE_VALUE_END,
    WIRE_HEAD_END,
    WIRE_BODY,
};

struct wire_reader {
    llhttp_t native;
    /* False gives up: the message is WIRE_BAD. */
    bool (*on_part)(void *arg, enum wire_part part, struct str text);
    void *arg;
};

enum wire_read { WIRE_MORE, WIRE_WHOLE, WIRE_BAD };

/* Also to start anew on a new connection. */
void wire_reader_init(struct wire_reader *reader, bool responses,
                      bool (*on_part)(void *arg, enum wire_part part, struct str text), void *arg);
/* WIRE_MORE: all bytes are used. WIRE_WHOLE: a message ended *ret_used bytes on; the rest belongs
 * to the next. After WIRE_BAD the reader is of no use any more. */
enum wire_read wire_reader_feed(struct wire_reader *reader, struct str bytes, size_t *ret_used);
/* The connection has ended: WIRE_WHOLE when that ends the message, WIRE_BAD when it cuts it. */
enum wire_read wire_reader_end(struct wire_reader *reader);

/* From WIRE_HEAD_END until the next message begins. */
int wire_reader_status(const struct wire_reader *reader);
bool wire_reader_is_http_1_0(const struct wire_reader *reader);
/* May the connection be used again? */
bool wire_reader_keeps(const struct wire_reader *reader);

#endif
