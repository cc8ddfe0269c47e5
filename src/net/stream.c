#include "net/stream.h"

#include "base/assert.h"
#include "base/mem.h"
#include "net/tls_int.h"
#include "os/file.h"

enum {
    BLOCK_BYTES = 16 << 10,       /* memory of one output block, header included */
    BLOCKS_KEPT_MAX = 128,        /* free ones that a loop keeps; more go back to the allocator */
    IOV_MAX_ONCE = 64,            /* pieces of one writev */
    RECORD_BYTES = 16 << 10,      /* plain bytes of one TLS record */
    WIRE_AHEAD_BYTES = 256 << 10, /* encrypted of a file before the socket has taken it */
};

struct stream_block {
    struct stream_block *next;
    const char *ptr; /* what waits */
    size_t len;
    size_t room; /* after it; 0 for external bytes */
    bool external;
    struct os_file *file; /* not NULL: len bytes of it at position wait, ptr is of no use */
    uint64_t position;
    char bytes[];
};

/* ---- The queue ---- */

static struct stream_block *block_take(struct loop *loop)
{
    struct stream_block *b = loop->blocks;
    if (b) {
        loop->blocks = b->next;
        loop->block_count--;
    } else {
        b = mem_resize(NULL, BLOCK_BYTES);
    }
    *b = (struct stream_block){.ptr = b->bytes, .room = BLOCK_BYTES - sizeof *b};
    return b;
}

static void block_give(struct loop *loop, struct stream_block *b)
{
    if (b->external || b->file || loop->block_count >= BLOCKS_KEPT_MAX) {
        mem_free(b);
        return;
    }
    b->next = loop->blocks;
    loop->blocks = b;
    loop->block_count++;
}

void stream_blocks_free(struct loop *loop)
{
    while (loop->blocks) {
        struct stream_block *b = loop->blocks;
        loop->blocks = b->next;
        mem_free(b);
    }
    loop->block_count = 0;
}

static void queue_add(struct stream_queue *q, struct stream_block *b)
{
    if (q->last)
        q->last->next = b;
    else
        q->first = b;
    q->last = b;
}

static void queue_copy(struct loop *loop, struct stream_queue *q, const char *bytes, size_t len)
{
    q->bytes += len;
    while (len > 0) {
        struct stream_block *b = q->last;
        if (!b || b->room == 0) {
            b = block_take(loop);
            queue_add(q, b);
        }
        size_t n = len < b->room ? len : b->room;
        memcpy(b->bytes + (BLOCK_BYTES - sizeof *b - b->room), bytes, n);
        b->len += n;
        b->room -= n;
        bytes += n;
        len -= n;
    }
}

static void queue_refer(struct stream_queue *q, const char *bytes, size_t len)
{
    struct stream_block *b = NEW(struct stream_block);
    *b = (struct stream_block){.ptr = bytes, .len = len, .external = true};
    queue_add(q, b);
    q->bytes += len;
}

static void queue_refer_file(struct stream_queue *q, struct os_file *file, uint64_t position,
                             size_t len)
{
    struct stream_block *b = NEW(struct stream_block);
    *b = (struct stream_block){.file = file, .position = position, .len = len};
    queue_add(q, b);
    q->bytes += len;
}

/* Read a piece of the file that stands first into a block before it. */
static enum err queue_load(struct loop *loop, struct stream_queue *q)
{
    struct stream_block *from = q->first;
    struct stream_block *b = block_take(loop);
    size_t len = from->len < b->room ? from->len : b->room;
    size_t n = 0;
    enum err e = os_file_read(from->file, b->bytes, len, from->position, &n);
    if (e == ERR_OK && n < len)
        e = ERR_TRUNCATED;
    if (e != ERR_OK) {
        block_give(loop, b);
        return e;
    }
    b->len = len;
    b->room = 0;
    b->next = from;
    q->first = b;
    from->position += len;
    from->len -= len;
    if (from->len == 0) {
        b->next = from->next;
        if (!b->next)
            q->last = b;
        block_give(loop, from);
    }
    return ERR_OK;
}

static void queue_consume(struct loop *loop, struct stream_queue *q, size_t n)
{
    ASSERT(n <= q->bytes);
    q->bytes -= n;
    while (n > 0) {
        struct stream_block *b = q->first;
        ASSERT(b);
        size_t part = n < b->len ? n : b->len;
        if (b->file)
            b->position += part;
        else
            b->ptr += part;
        b->len -= part;
        n -= part;
        if (b->len > 0)
            break;
        q->first = b->next;
        if (!q->first)
            q->last = NULL;
        block_give(loop, b);
    }
}

static unsigned queue_gather(const struct stream_queue *q, uv_buf_t *iov, size_t *ret_bytes)
{
    unsigned count = 0;
    *ret_bytes = 0;
    for (struct stream_block *b = q->first; b && !b->file && count < IOV_MAX_ONCE; b = b->next) {
        iov[count++] = uv_buf_init((char *)b->ptr, (unsigned)b->len);
        *ret_bytes += b->len;
    }
    return count;
}

static void queue_clear(struct loop *loop, struct stream_queue *q)
{
    queue_consume(loop, q, q->bytes);
}

/* ---- Breaking and closing ---- */

static void queues_clear(struct stream *s)
{
    queue_clear(s->loop, &s->out);
    queue_clear(s->loop, &s->wire);
}

static void break_with(struct stream *s, enum err error, struct str detail)
{
    if (s->broken || s->closing)
        return;
    s->broken = true;
    s->error = error;
    stream_read_stop(s);
    if (s->in_flight == 0) /* else libuv may still read the blocks */
        queues_clear(s);
    if (s->events->on_error)
        s->events->on_error(s, error, detail);
}

static void break_uv(struct stream *s, int rc)
{
    break_with(s, ERR_RESET, str_from_c(uv_strerror(rc)));
}

/* The peer takes nothing any more, but what it said before may still be there to read (a refusal
 * sent ahead of a request's end): reading goes on and meets the error after it. */
static void write_failed(struct stream *s, int rc)
{
    if (!s->reading) {
        break_uv(s, rc);
        return;
    }
    s->write_failed = true;
    queues_clear(s);
}

static void closed(void *arg)
{
    struct stream *s = arg;
    queues_clear(s);
    if (s->events->on_closed)
        s->events->on_closed(s);
}

static void on_uv_closed(uv_handle_t *handle)
{
    closed(handle->data);
}

void stream_close(struct stream *s)
{
    if (s->closing)
        return;
    s->closing = true;
    loop_flush_forget(s->loop, &s->flush);
    tls_session_free(s->tls);
    s->tls = NULL;
    if (s->memory)
        loop_defer(s->loop, &s->closed);
    else
        uv_close((uv_handle_t *)&s->tcp, on_uv_closed);
}

/* ---- Output ---- */

static void to_wire(void *arg, const char *bytes, size_t len)
{
    struct stream *s = arg;
    queue_copy(s->loop, &s->wire, bytes, len);
}

static struct stream_queue *socket_queue(struct stream *s)
{
    return s->tls ? &s->wire : &s->out;
}

/* Of a file only so much that the rest can follow when the socket has taken it. */
static bool encrypt(struct stream *s)
{
    while (s->out.bytes > 0) {
        if (s->out.first->file && s->wire.bytes >= WIRE_AHEAD_BYTES)
            return true;
        if (s->out.first->file && queue_load(s->loop, &s->out) != ERR_OK)
            return false;
        struct stream_block *b = s->out.first;
        size_t n = b->len < RECORD_BYTES ? b->len : RECORD_BYTES;
        if (tls_session_write(s->tls, b->ptr, n) != TLS_DONE)
            return false;
        queue_consume(s->loop, &s->out, n);
    }
    return true;
}

static void taken(struct stream *s, size_t n)
{
    queue_consume(s->loop, socket_queue(s), n);
    s->bytes_out += n;
}

static void flush_all(struct stream *s);

static void on_written(uv_write_t *req, int rc)
{
    struct stream *s = req->data;
    mem_free(req);
    size_t n = s->in_flight;
    s->in_flight = 0;
    if (s->closing)
        return;
    loop_touch(s->loop);
    if (s->broken) {
        queues_clear(s);
        return;
    }
    if (rc != 0) {
        write_failed(s, rc);
        return;
    }
    taken(s, n);
    flush_all(s);
}

/* The kernel is full: libuv writes the rest when it can. */
static int write_later(struct stream *s)
{
    uv_buf_t iov[IOV_MAX_ONCE];
    size_t bytes = 0;
    if (socket_queue(s)->first->file && queue_load(s->loop, socket_queue(s)) != ERR_OK)
        return UV_EIO;
    unsigned count = queue_gather(socket_queue(s), iov, &bytes);
    uv_write_t *req = NEW(uv_write_t);
    req->data = s;
    int rc = uv_write(req, (uv_stream_t *)&s->tcp, iov, count, on_written);
    if (rc != 0) {
        mem_free(req);
        return rc;
    }
    s->in_flight = bytes;
    return 0;
}

/* Once: 0 when something was taken, 1 when the kernel is full, or a libuv error. */
static int push_file(struct stream *s)
{
    struct stream_block *b = s->out.first;
    uv_os_fd_t fd = -1;
    size_t n = 0;
    int rc = uv_fileno((uv_handle_t *)&s->tcp, &fd);
    if (rc != 0)
        return rc;
    enum err e = os_file_send(b->file, fd, b->position, b->len, &n);
    if (e == ERR_BUSY)
        return 1;
    if (e != ERR_OK)
        return e == ERR_RESET ? UV_EPIPE : UV_EIO;
    taken(s, n);
    return 0;
}

/* Give the kernel what it takes. Returns a libuv error, 0 when nothing is left, 1 when it is full.
 */
static int push(struct stream *s)
{
    if (s->in_flight > 0)
        return 1;
    struct stream_queue *q = socket_queue(s);
    while (q->bytes > 0) {
        if (q->first->file && !s->memory) {
            int rc = push_file(s);
            if (rc != 0)
                return rc;
            continue;
        }
        if (q->first->file && queue_load(s->loop, q) != ERR_OK)
            return UV_EIO;
        uv_buf_t iov[IOV_MAX_ONCE];
        size_t bytes = 0;
        unsigned count = queue_gather(q, iov, &bytes);
        if (s->memory) {
            for (unsigned i = 0; i < count; i++)
                buf_append(s->memory, iov[i].base, iov[i].len);
            taken(s, bytes);
            continue;
        }
        int n = uv_try_write((uv_stream_t *)&s->tcp, iov, count);
        if (n < 0 && n != UV_EAGAIN)
            return n;
        if (n > 0)
            taken(s, (size_t)n);
        if (n < 0 || (size_t)n < bytes)
            return 1;
    }
    return 0;
}

static void on_shut(uv_shutdown_t *req, int rc)
{
    (void)rc;
    mem_free(req);
}

static void shut(struct stream *s)
{
    if (s->shut || s->memory)
        return;
    s->shut = true;
    uv_shutdown_t *req = NEW(uv_shutdown_t);
    if (uv_shutdown(req, (uv_stream_t *)&s->tcp, on_shut) != 0)
        mem_free(req);
}

static void after_push(struct stream *s)
{
    if (s->above_low && stream_pending(s) <= s->low_bytes) {
        s->above_low = false;
        if (s->events->on_drain)
            s->events->on_drain(s);
    }
    if (stream_pending(s) > 0 || s->closing || s->broken)
        return;
    if (s->events->on_flushed)
        s->events->on_flushed(s);
    if (stream_pending(s) > 0 || s->closing || s->broken || !s->shut_wanted || s->shut)
        return;
    shut(s);
}

static void flush_all(struct stream *s)
{
    if (s->closing || s->broken || s->write_failed)
        return;
    bool was_in_flight = s->in_flight > 0;
    int rc = 0;
    do { /* more than once for a file that is encrypted in pieces */
        if (s->tls && s->secured && !encrypt(s)) {
            break_with(s, ERR_TLS, tls_session_detail(s->tls));
            return;
        }
        rc = push(s);
    } while (rc == 0 && s->tls && s->secured && s->out.bytes > 0);
    if (rc == 1 && !was_in_flight)
        rc = write_later(s);
    if (rc < 0) {
        write_failed(s, rc);
        return;
    }
    if (s->in_flight > 0 && !was_in_flight && s->events->on_blocked)
        s->events->on_blocked(s);
    after_push(s);
}

static void on_flush(struct loop_flush *flush)
{
    flush_all((struct stream *)((char *)flush - offsetof(struct stream, flush)));
}

void stream_flush_now(struct stream *s)
{
    if (s->broken || s->closing || s->in_flight > 0 || (s->tls && !s->secured))
        return;
    if (!s->tls || encrypt(s))
        (void)push(s);
}

/* Called by every writer: note that there is output, and let long output go at once. */
static void wrote(struct stream *s)
{
    if (stream_pending(s) >= STREAM_CORK_BYTES)
        stream_flush_now(s);
    if (stream_pending(s) > s->low_bytes)
        s->above_low = true;
    loop_flush_later(s->loop, &s->flush);
}

void stream_write(struct stream *s, const void *bytes, size_t len)
{
    if (s->broken || s->closing || s->write_failed || len == 0)
        return;
    queue_copy(s->loop, &s->out, bytes, len);
    wrote(s);
}

void stream_write_external(struct stream *s, const void *bytes, size_t len)
{
    if (s->broken || s->closing || s->write_failed || len == 0)
        return;
    if (len <= STREAM_COPY_BYTES)
        queue_copy(s->loop, &s->out, bytes, len);
    else
        queue_refer(&s->out, bytes, len);
    wrote(s);
}

void stream_write_file(struct stream *s, struct os_file *file, uint64_t position, size_t len)
{
    if (s->broken || s->closing || s->write_failed || len == 0)
        return;
    queue_refer_file(&s->out, file, position, len);
    wrote(s);
}

void stream_shutdown(struct stream *s)
{
    if (s->shut_wanted || s->broken || s->closing)
        return;
    s->shut_wanted = true;
    if (s->tls && s->secured) {
        if (!encrypt(s))
            return;
        tls_session_shutdown(s->tls);
    }
    loop_flush_later(s->loop, &s->flush);
}

/* ---- Input ---- */

static void secured(struct stream *s)
{
    s->secured = true;
    if (s->events->on_secured)
        s->events->on_secured(s);
    loop_flush_later(s->loop, &s->flush);
}

static bool handshake(struct stream *s)
{
    enum tls_result r = tls_session_handshake(s->tls);
    loop_flush_later(s->loop, &s->flush); /* our side of it, or the alert */
    if (r == TLS_FAILED) {
        (void)push(s);
        break_with(s, ERR_TLS, tls_session_detail(s->tls));
        return false;
    }
    if (r != TLS_DONE)
        return false;
    secured(s);
    return !s->closing && !s->broken;
}

static void decrypt(struct stream *s, struct str bytes)
{
    struct loop *loop = s->loop;
    if (!loop->plain_bytes)
        loop->plain_bytes = mem_resize(NULL, LOOP_READ_BYTES);
    tls_session_input(s->tls, bytes);
    if (!s->secured && !handshake(s))
        return;
    for (;;) {
        size_t n = 0;
        enum tls_result r = tls_session_read(s->tls, loop->plain_bytes, LOOP_READ_BYTES, &n);
        if (r == TLS_DONE) {
            s->events->on_read(s, str_of(loop->plain_bytes, n));
        } else if (r == TLS_EOF) {
            stream_read_stop(s);
            if (s->events->on_eof)
                s->events->on_eof(s);
        } else if (r == TLS_FAILED) {
            break_with(s, ERR_TLS, tls_session_detail(s->tls));
        }
        if (r != TLS_DONE || s->closing || s->broken)
            break;
    }
    if (!s->closing && !s->broken) /* answers of TLS itself, such as key updates */
        loop_flush_later(s->loop, &s->flush);
}

void stream_feed(struct stream *s, struct str bytes)
{
    if (s->closing || s->broken)
        return;
    s->bytes_in += bytes.len;
    if (s->tls)
        decrypt(s, bytes);
    else
        s->events->on_read(s, bytes);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    struct stream *s = handle->data;
    *ret_buf = uv_buf_init(s->loop->read_bytes, LOOP_READ_BYTES);
}

static void on_uv_read(uv_stream_t *handle, ssize_t nread, const uv_buf_t *b)
{
    struct stream *s = handle->data;
    if (nread == 0)
        return;
    loop_touch(s->loop);
    if (nread > 0) {
        stream_feed(s, str_of(b->base, (size_t)nread));
    } else if (nread == UV_EOF && (!s->tls || s->shut)) {
        stream_read_stop(s);
        if (s->events->on_eof)
            s->events->on_eof(s);
    } else if (nread == UV_EOF) {
        break_with(s, s->secured ? ERR_RESET : ERR_TLS,
                   s->secured ? STR("connection closed without TLS goodbye")
                              : STR("connection closed during the TLS handshake"));
    } else {
        break_uv(s, (int)nread);
    }
}

void stream_read_start(struct stream *s)
{
    if (s->reading || s->closing || s->broken)
        return;
    s->reading = true;
    if (!s->memory)
        uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_uv_read);
}

void stream_read_stop(struct stream *s)
{
    if (!s->reading)
        return;
    s->reading = false;
    if (!s->memory && !s->closing)
        uv_read_stop((uv_stream_t *)&s->tcp);
}

/* ---- Life ---- */

static void init(struct stream *s, struct loop *loop, const struct stream_events *events)
{
    *s = (struct stream){.loop = loop, .events = events, .low_bytes = (size_t)64 << 10};
    s->flush.fn = on_flush;
    loop_task_init(&s->closed, closed, s);
}

void stream_init(struct stream *s, struct loop *loop, const struct stream_events *events)
{
    init(s, loop, events);
    uv_tcp_init(&loop->uv, &s->tcp);
    s->tcp.data = s;
}

void stream_init_memory(struct stream *s, struct loop *loop, const struct stream_events *events,
                        struct buf *memory)
{
    init(s, loop, events);
    s->memory = memory;
}

enum err stream_accept(struct stream *s, uv_stream_t *listener)
{
    int rc = uv_accept(listener, (uv_stream_t *)&s->tcp);
    if (rc == 0)
        rc = uv_tcp_nodelay(&s->tcp, 1);
    return rc == 0 ? ERR_OK : err_from_errno(-rc);
}

static void on_uv_connect(uv_connect_t *req, int rc)
{
    struct stream *s = req->data;
    mem_free(req);
    if (s->closing)
        return;
    loop_touch(s->loop);
    if (rc != 0) {
        break_with(s, ERR_CONNECT, str_from_c(uv_strerror(rc)));
        return;
    }
    uv_tcp_nodelay(&s->tcp, 1);
    if (s->events->on_connected)
        s->events->on_connected(s);
}

enum err stream_connect(struct stream *s, const struct sockaddr *address)
{
    uv_connect_t *req = NEW(uv_connect_t);
    req->data = s;
    int rc = uv_tcp_connect(req, &s->tcp, address, on_uv_connect);
    if (rc == 0)
        return ERR_OK;
    mem_free(req);
    return ERR_CONNECT;
}

enum err stream_start_tls(struct stream *s, const struct tls_start *start)
{
    ASSERT(!s->tls && s->out.bytes == 0);
    TRY(tls_session_new(start, to_wire, s, &s->tls));
    stream_read_start(s);
    if (!start->server) {
        (void)tls_session_handshake(s->tls);
        loop_flush_later(s->loop, &s->flush);
    }
    return ERR_OK;
}
