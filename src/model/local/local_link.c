/* One loop's socket to one engine: requests out, frames in. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "model/local/local_int.h"
#include "os/clock.h"

enum {
    READ_ROUNDS = 4, /* reads of one event; what is left comes in the next turn */
};

struct link_poll {
    uv_poll_t handle;
    struct local_link *link; /* NULL: closing */
};

static void on_ask(void *arg);
static void on_mail(void *arg);

void local_link_init(struct local_link *link, struct local_loop *loop, struct local_model *model)
{
    link->loop = loop;
    link->model = model;
    link->fd = -1;
    link->mail_fd = -1;
    frame_reader_init(&link->in, FRAME_FROM_ENGINE);
    buf_init(&link->out, SIZE_MAX); /* one request beyond LOCAL_OUT_BYTES_HIGH, and small frames */
    loop_task_init(&link->ask, on_ask, link);
    loop_task_init(&link->mail, on_mail, link);
}

/* ---- Asking the first loop ---- */

static void on_ask(void *arg)
{
    struct local_link *link = arg;
    atomic_store(&link->ask_posted, false);
    local_engine_ask(link, atomic_exchange(&link->ask_wants, false));
}

static void ask(struct local_link *link, bool wants)
{
    atomic_store(&link->ask_generation, link->generation);
    if (wants) {
        link->state = LINK_ASKED;
        atomic_store(&link->ask_wants, true);
    }
    if (!atomic_exchange(&link->ask_posted, true))
        loop_post(link->loop->models->loops[0].loop, &link->ask);
}

/* ---- The socket ---- */

static void on_poll_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void watch(struct local_link *link)
{
    bool blocked = link->out.len > link->out_sent;
    uv_poll_start(&link->poll->handle, UV_READABLE | (blocked ? UV_WRITABLE : 0), on_poll);
    /* Without a use nobody waits for it. */
    if (link->use_count > 0)
        uv_ref((uv_handle_t *)&link->poll->handle);
    else
        uv_unref((uv_handle_t *)&link->poll->handle);
}

static bool open_socket(struct local_link *link, uint64_t generation, int fd)
{
    struct link_poll *poll = NEW(struct link_poll);
    if (uv_poll_init(loop_uv(link->loop->loop), &poll->handle, fd) != 0) {
        mem_free(poll);
        return false;
    }
    poll->handle.data = poll;
    poll->link = link;
    link->poll = poll;
    link->fd = fd;
    link->generation = generation;
    link->state = LINK_LOADING;
    watch(link);
    return true;
}

static void close_socket(struct local_link *link)
{
    if (link->fd < 0)
        return;
    link->poll->link = NULL;
    uv_poll_stop(&link->poll->handle);
    uv_close((uv_handle_t *)&link->poll->handle, on_poll_closed);
    close(link->fd);
    link->poll = NULL;
    link->fd = -1;
    link->state = LINK_NONE;
    frame_reader_release(&link->in);
    frame_reader_init(&link->in, FRAME_FROM_ENGINE);
    buf_release(&link->out);
    link->out_sent = 0;
}

static void refuse_unsent(struct local_link *link, const struct local_refusal *refusal)
{
    struct local_use *next;
    for (struct local_use *use = link->first; use; use = next) {
        next = use->next;
        if (use->id == 0)
            local_use_refuse(use, refusal);
    }
}

/* The engine is gone. What it had is lost; what it had not is for the next one, unless this one
 * never came to work. */
static void lost(struct local_link *link)
{
    bool loading = link->state == LINK_LOADING;
    struct local_use *next;
    close_socket(link);
    for (struct local_use *use = link->first; use; use = next) {
        next = use->next;
        if (use->id != 0)
            local_use_lost(use);
    }
    if (loading) {
        struct local_refusal refusal = {.status = 503, .retry_ms = LOCAL_RETRY_MIN_MS * 10};
        snprintf(refusal.text, sizeof refusal.text,
                 "the engine of model '%s' ended while it loaded the model", link->model->name);
        refuse_unsent(link, &refusal);
    }
    /* Should it be alive all the same, because it broke the rules. */
    ask(link, false);
    local_link_pump(link);
}

/* ---- Out ---- */

struct buf *local_link_out(struct local_link *link)
{
    return &link->out;
}

static size_t pending(const struct local_link *link)
{
    return link->out.len - link->out_sent;
}

/* A socket that does not take it is found broken when it is read. */
static void write_out(struct local_link *link)
{
    while (pending(link)) {
        ssize_t n = send(link->fd, link->out.ptr + link->out_sent, pending(link),
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return;
        link->out_sent += (size_t)n;
    }
    if (link->out.cap > LOCAL_OUT_BYTES_HIGH)
        buf_release(&link->out);
    buf_reset(&link->out);
    link->out_sent = 0;
}

static struct local_use *first_unsent(const struct local_link *link)
{
    struct local_use *use = link->last;
    if (!use || use->id != 0)
        return NULL;
    while (use->prev && use->prev->id == 0)
        use = use->prev;
    return use;
}

void local_link_pump(struct local_link *link)
{
    if (link->state == LINK_NONE && link->use_count > 0)
        ask(link, true);
    if (link->state == LINK_READY) {
        struct local_use *next;
        for (struct local_use *use = first_unsent(link);
             use && pending(link) < LOCAL_OUT_BYTES_HIGH; use = next) {
            next = use->next;
            use->id = ++link->next_id;
            local_use_send(use);
        }
    }
    if (link->fd >= 0) {
        write_out(link);
        watch(link);
    }
}

/* ---- In ---- */

static struct local_use *find_use(const struct local_link *link, uint64_t id)
{
    struct local_use *use = link->first;
    while (use && use->id != id)
        use = use->next;
    return use;
}

static bool is_first_loop(const struct local_link *link)
{
    return link->loop->index == 0;
}

static bool take_ready(struct local_link *link, struct str facts)
{
    if (link->state != LINK_LOADING)
        return false;
    link->state = LINK_READY;
    if (is_first_loop(link))
        local_engine_ready(link->model, link->generation, facts);
    return true;
}

static bool take_failed(struct local_link *link, struct str text)
{
    struct local_refusal refusal = {.status = 503, .retry_ms = LOCAL_RETRY_MAX_MS};
    if (link->state != LINK_LOADING)
        return false;
    if (is_first_loop(link))
        local_engine_failed(link->model, link->generation, text);
    snprintf(refusal.text, sizeof refusal.text, "model '%s' cannot be loaded: %.*s",
             link->model->name, STR_ARG(text));
    refuse_unsent(link, &refusal);
    return false; /* it ends */
}

static bool take(struct local_link *link, const struct frame *frame)
{
    if (frame->kind == FRAME_READY)
        return take_ready(link, frame->payload);
    if (frame->kind == FRAME_FAILED)
        return take_failed(link, frame->payload);
    struct local_use *use = find_use(link, frame->id);
    return frame->id != 0 && (!use || local_use_frame(use, frame));
}

/* False: broken, or closed. */
static bool take_all(struct local_link *link)
{
    struct frame frame;
    enum err e;
    while ((e = frame_reader_next(&link->in, &frame)) == ERR_OK)
        if (!take(link, &frame))
            return false;
    return e == ERR_TRUNCATED;
}

static bool read_in(struct local_link *link)
{
    for (int i = 0; i < READ_ROUNDS; i++) {
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
        if (!take_all(link))
            return false;
        if ((size_t)n < room)
            return true;
    }
    return true;
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct link_poll *poll = handle->data;
    struct local_link *link = poll->link;
    if (!link)
        return;
    loop_entered(link->loop->loop);
    bool fine = true;
    if (status < 0 || (events & UV_READABLE))
        fine = read_in(link);
    if (poll->link != link)
        return; /* the loop stopped in a callback */
    if (fine)
        local_link_pump(link);
    else
        lost(link);
}

/* ---- Mail from the first loop ---- */

static void post_mail(struct local_link *link)
{
    if (!link->mail_posted)
        loop_post(link->loop->loop, &link->mail);
    link->mail_posted = true;
}

void local_link_mail_socket(struct local_link *link, uint64_t generation, int fd)
{
    struct os_mutex *lock = &link->loop->models->lock;
    os_mutex_lock(lock);
    int unread = link->mail_closed ? fd : link->mail_fd;
    if (!link->mail_closed) {
        link->mail_fd = fd;
        link->mail_generation = generation;
        link->mail_refusal.status = 0;
        post_mail(link);
    }
    os_mutex_unlock(lock);
    if (unread >= 0)
        close(unread);
}

void local_link_mail_refusal(struct local_link *link, const struct local_refusal *refusal)
{
    struct os_mutex *lock = &link->loop->models->lock;
    os_mutex_lock(lock);
    if (!link->mail_closed) {
        link->mail_refusal = *refusal;
        post_mail(link);
    }
    os_mutex_unlock(lock);
}

static void on_mail(void *arg)
{
    struct local_link *link = arg;
    struct os_mutex *lock = &link->loop->models->lock;
    os_mutex_lock(lock);
    int fd = link->mail_fd;
    uint64_t generation = link->mail_generation;
    struct local_refusal refusal = link->mail_refusal;
    link->mail_fd = -1;
    link->mail_refusal.status = 0;
    link->mail_posted = false;
    os_mutex_unlock(lock);
    if (fd >= 0) {
        if (link->fd >= 0)
            lost(link); /* a newer engine is there, so the older one is gone */
        if (!open_socket(link, generation, fd)) {
            close(fd);
            refusal = (struct local_refusal){503, FRAME_NO_RETRY, NULL, "no poll handle"};
        }
    }
    if (refusal.status != 0 && link->state == LINK_ASKED) {
        link->state = LINK_NONE;
        refuse_unsent(link, &refusal);
    }
    local_link_pump(link);
}

/* ---- Uses ---- */

void local_link_add(struct local_link *link, struct local_use *use)
{
    unsigned before = atomic_fetch_add(&link->model->uses, 1);
    atomic_store(&link->model->last_use_us, os_now_us());
    /* Its engine is being ended: nobody else uses it. */
    if (before & LOCAL_LEAVING)
        close_socket(link);
    use->link = link;
    use->prev = link->last;
    use->next = NULL;
    if (link->last)
        link->last->next = use;
    else
        link->first = use;
    link->last = use;
    link->use_count++;
}

void local_link_remove(struct local_link *link, struct local_use *use)
{
    if (use->prev)
        use->prev->next = use->next;
    else
        link->first = use->next;
    if (use->next)
        use->next->prev = use->prev;
    else
        link->last = use->prev;
    use->next = use->prev = NULL;
    use->link = NULL;
    link->use_count--;
    atomic_store(&link->model->last_use_us, os_now_us());
    atomic_fetch_sub(&link->model->uses, 1);
}

void local_link_stop(struct local_link *link)
{
    struct os_mutex *lock = &link->loop->models->lock;
    close_socket(link);
    link->state = LINK_NONE;
    while (link->first)
        local_use_fail(link->first, ERR_CLOSED, "the server stops");
    os_mutex_lock(lock);
    link->mail_closed = true;
    int fd = link->mail_fd;
    link->mail_fd = -1;
    os_mutex_unlock(lock);
    if (fd >= 0)
        close(fd);
    frame_reader_release(&link->in);
    buf_release(&link->out);
}
