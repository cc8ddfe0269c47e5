/* A TCP connection with buffered output and optional TLS: what HTTP (and other protocols) speak
 * over.
 *
 *   write ──> out (plain bytes) ──[TLS]──> wire ──> socket        at the end of the loop's turn
 *   on_read <──[TLS]── the loop's one read buffer <── socket
 *
 * 1. Belongs to one loop's thread. Embedded in what owns it; the memory stays until on_closed.
 * 2. stream_write… never calls back. Callbacks come from the flush at the turn's end and from the
 *    socket's events; any of them may close the stream.
 * 3. After on_error nothing comes but on_closed, and what is written is dropped. Its owner closes
 * it.
 * 4. An idle stream holds no buffer: bytes read are handed out from memory that all streams of the
 * loop share, output blocks return to the loop's pool. */
#ifndef WEIR_NET_STREAM_H
#define WEIR_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "net/loop_int.h"
#include "net/tls.h"

struct os_file;
struct stream;
struct stream_block;
struct tls_session;

/* Any may be NULL. */
struct stream_events {
    /* Bytes came; valid during the call, all are to be taken. After stream_read_stop up to
     * LOOP_READ_BYTES that were read before may still come. */
    void (*on_read)(struct stream *s, struct str bytes);
    /* The peer has closed its half (with TLS: properly). */
    void (*on_eof)(struct stream *s);
    /* The connection is unusable. detail: one line for people. */
    void (*on_error)(struct stream *s, enum err error, struct str detail);
    void (*on_connected)(struct stream *s); /* stream_connect is done */
    void (*on_secured)(struct stream *s);   /* TLS is established */
    void (*on_blocked)(struct stream *s);   /* the kernel did not take all output */
    void (*on_drain)(struct stream *s);     /* output fell to low_bytes after having been above */
    void (*on_flushed)(struct stream *s);   /* the kernel has taken all output */
    void (*on_closed)(struct stream *s);    /* the memory may go */
};

struct stream_queue {
    struct stream_block *first, *last;
    size_t bytes;
};

struct stream {
    uv_tcp_t tcp;
    struct loop *loop;
    const struct stream_events *events;
    struct stream_queue out;  /* plain */
    struct stream_queue wire; /* encrypted; unused without TLS */
    struct tls_session *tls;
    struct loop_flush flush;
    struct loop_task closed;
    struct buf *memory; /* not NULL: no socket, output is appended here (tests) */
    size_t low_bytes;   /* see on_drain */
    size_t in_flight;   /* bytes that libuv writes by itself after the kernel refused some */
    uint64_t bytes_in;  /* from the socket */
    uint64_t bytes_out; /* taken by the kernel */
    enum err error;     /* why it is broken */
    bool broken;
    bool write_failed; /* the peer takes nothing; told when reading ends */
    bool closing;
    bool reading;
    bool above_low;
    bool secured;     /* TLS handshake done */
    bool shut_wanted; /* close our half after the output */
    bool shut;
};

/* The output above which stream_write tries the socket at once instead of at the turn's end. */
#define STREAM_CORK_BYTES ((size_t)32 << 10)
/* Shorter external pieces are copied: cheaper than one more element of writev. */
#define STREAM_COPY_BYTES ((size_t)4 << 10)

/* A stream without a connection. */
void stream_init(struct stream *s, struct loop *loop, const struct stream_events *events);
/* The same without a socket, for tests: feed it with stream_feed, its output goes to *memory. */
void stream_init_memory(struct stream *s, struct loop *loop, const struct stream_events *events,
                        struct buf *memory);
void stream_feed(struct stream *s, struct str bytes);

/* Take a connection that listener offers. */
MUST_CHECK enum err stream_accept(struct stream *s, uv_stream_t *listener);
/* Connect; on_connected or on_error follow. */
MUST_CHECK enum err stream_connect(struct stream *s, const struct sockaddr *address);

struct tls_start {
    struct tls_context *context;
    bool server;
    struct str host; /* client: name or address that the certificate must be for */
    void *resume;    /* client: SSL_SESSION to offer, or NULL */
    /* Client: called with every SSL_SESSION that the server hands out; keep it with
     * SSL_SESSION_up_ref. */
    void (*on_session)(void *arg, void *session);
    void *arg;
};

/* Speak TLS from now on; on_secured or on_error follow. */
MUST_CHECK enum err stream_start_tls(struct stream *s, const struct tls_start *start);

void stream_read_start(struct stream *s);
void stream_read_stop(struct stream *s);

/* Copied. */
void stream_write(struct stream *s, const void *bytes, size_t len);
/* Referenced, when long: stays valid until on_flushed or stream_close. */
void stream_write_external(struct stream *s, const void *bytes, size_t len);
/* Bytes of a file, which stay in it until the socket takes them: a slow peer costs no memory. file
 * stays open, and these bytes as they are, until on_flushed or on_closed. Not before
 * stream_shutdown. */
void stream_write_file(struct stream *s, struct os_file *file, uint64_t position, size_t len);
/* Of in_flight, what libuv has given to the kernel by now. */
static inline size_t stream_landed(const struct stream *s)
{
    return s->in_flight == 0 ? 0 : s->in_flight - s->tcp.write_queue_size;
}

/* Output that the kernel has not taken. */
static inline size_t stream_pending(const struct stream *s)
{
    return s->out.bytes + s->wire.bytes - stream_landed(s);
}

/* Bytes that the kernel has taken in all: grows as long as the peer reads. */
static inline uint64_t stream_taken(const struct stream *s)
{
    return s->bytes_out + stream_landed(s);
}

/* Give the kernel what it takes now, without callbacks (errors come at the turn's end). */
void stream_flush_now(struct stream *s);

/* Close our half of the connection once the output has left. */
void stream_shutdown(struct stream *s);
/* Close at once; output that waits is dropped. on_closed follows. Twice is once. */
void stream_close(struct stream *s);

/* Give the loop's pooled output blocks back. */
void stream_blocks_free(struct loop *loop);

#endif
