#include "model/local/engine_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    /* Output that waits for a gateway that does not read: then nothing more is read from it. */
    OUT_BYTES_HIGH = 4 << 20,
    /* Bytes read from one link in one round, so that a large request does not hold tokens back. */
    READ_BYTES_A_ROUND = 256 << 10,
    FLUSH_WAIT_MS = 2000,
};

void engine_links_open(struct engine *e)
{
    unsigned n = e->options->link_count;
    e->links = mem_array(n, sizeof *e->links);
    for (unsigned i = 0; i < n; i++) {
        struct engine_link *link = &e->links[i];
        link->engine = e;
        link->fd = e->options->first_fd + (int)i;
        fcntl(link->fd, F_SETFL, fcntl(link->fd, F_GETFL) | O_NONBLOCK);
        fcntl(link->fd, F_SETFD, FD_CLOEXEC);
        frame_reader_init(&link->in, FRAME_TO_ENGINE);
        buf_init(&link->out, SIZE_MAX); /* bounded by the uses' windows and OUT_BYTES_HIGH */
    }
}

static void link_close(struct engine_link *link)
{
    while (link->uses)
        engine_use_drop(link->uses);
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
    frame_reader_release(&link->in);
    buf_release(&link->out);
    link->out_sent = 0;
}

void engine_links_release(struct engine *e)
{
    for (unsigned i = 0; i < e->options->link_count; i++)
        link_close(&e->links[i]);
    mem_free(e->links);
}

void engine_links_tell(struct engine *e, enum frame_kind kind, struct str payload)
{
    for (unsigned i = 0; i < e->options->link_count; i++)
        if (e->links[i].fd >= 0)
            frame_append(&e->links[i].out, kind, 0, str_take(payload, frame_payload_max(kind)));
}

static size_t link_pending(const struct engine_link *link)
{
    return link->out.len - link->out_sent;
}

/* False: the link is broken. */
static bool link_write(struct engine_link *link)
{
    while (link_pending(link)) {
        ssize_t n = send(link->fd, link->out.ptr + link->out_sent, link_pending(link),
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        link->out_sent += (size_t)n;
    }
    buf_reset(&link->out);
    link->out_sent = 0;
    return true;
}

static bool take_window(struct engine_link *link, const struct frame *frame)
{
    uint32_t bytes;
    if (frame_read_window(frame, &bytes) != ERR_OK)
        return false;
    struct engine_use *use = engine_use_find(link, frame->id);
    if (!use)
        return true;
    if (bytes > FRAME_WINDOW_BYTES - use->window)
        return false;
    use->window += bytes;
    engine_use_flush(use);
    return true;
}

static bool take_start(struct engine_link *link, const struct frame *frame)
{
    struct frame_start start;
    struct str body;
    if (engine_use_find(link, frame->id) || frame_read_start(frame, &start, &body) != ERR_OK)
        return false;
    engine_use_start(link, frame->id, &start, body);
    return true;
}

/* False: the gateway broke the protocol. */
static bool link_take(struct engine_link *link, const struct frame *frame)
{
    struct engine_use *use = engine_use_find(link, frame->id);
    switch (frame->kind) {
    case FRAME_START: return take_start(link, frame);
    case FRAME_CANCEL:
        if (use)
            engine_use_drop(use);
        return true;
    case FRAME_WINDOW: return take_window(link, frame);
    case FRAME_READY:
    case FRAME_FAILED:
    case FRAME_HEAD:
    case FRAME_BODY:
    case FRAME_END: break;
    }
    return false;
}

static bool link_take_frames(struct engine_link *link)
{
    struct frame frame;
    enum err e;
    while ((e = frame_reader_next(&link->in, &frame)) == ERR_OK)
        if (!link_take(link, &frame))
            return false;
    return e == ERR_TRUNCATED;
}

static bool link_read(struct engine_link *link)
{
    for (size_t total = 0; total < READ_BYTES_A_ROUND;) {
        size_t room;
        char *to = frame_reader_room(&link->in, &room);
        ssize_t n = recv(link->fd, to, room, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        if (n == 0)
            return false;
        frame_reader_filled(&link->in, (size_t)n);
        total += (size_t)n;
        if (!link_take_frames(link))
            return false;
        if ((size_t)n < room)
            break;
    }
    return true;
}

static bool poll_links(struct engine *e, struct pollfd *fds, int timeout_ms)
{
    bool open = false;
    for (unsigned i = 0; i < e->options->link_count; i++) {
        const struct engine_link *link = &e->links[i];
        size_t pending = link->fd >= 0 ? link_pending(link) : 0;
        int events = (pending ? POLLOUT : 0) | (pending < OUT_BYTES_HIGH ? POLLIN : 0);
        fds[i] = (struct pollfd){.fd = link->fd, .events = (short)events};
        open |= link->fd >= 0;
    }
    if (open && poll(fds, e->options->link_count, timeout_ms) < 0)
        ASSERT(errno == EINTR || errno == EAGAIN);
    return open;
}

bool engine_links_serve(struct engine *e, bool idle)
{
    struct pollfd fds[ENGINE_LINKS_MAX] = {0};
    for (unsigned i = 0; i < e->options->link_count; i++)
        if (e->links[i].fd >= 0 && !link_write(&e->links[i]))
            link_close(&e->links[i]);
    if (!poll_links(e, fds, idle ? -1 : 0))
        return false;
    for (unsigned i = 0; i < e->options->link_count; i++) {
        struct engine_link *link = &e->links[i];
        if (link->fd < 0 || !fds[i].revents)
            continue;
        bool fine = true;
        if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
            fine = link_read(link);
        if (!fine || !link_write(link))
            link_close(link);
    }
    return true;
}

void engine_links_flush(struct engine *e)
{
    for (unsigned i = 0; i < e->options->link_count; i++) {
        struct engine_link *link = &e->links[i];
        while (link->fd >= 0 && link_pending(link)) {
            struct pollfd fd = {.fd = link->fd, .events = POLLOUT};
            if (poll(&fd, 1, FLUSH_WAIT_MS) <= 0 || !link_write(link))
                link_close(link);
        }
    }
}
