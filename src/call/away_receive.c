/* The successor's end: records of the process before, appended to the log that is here now. */
#include <stdatomic.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/mem.h"
#include "call/away.h"
#include "os/channel.h"
#include "os/thread.h"

struct received {
    struct log_record record;
    struct str value;
    struct log_append append;
    int64_t from_offset;
    bool maybe;
    bool known; /* it is on the log already */
};

struct away_receiver {
    struct log_part *part;
    int fd;
    atomic_bool done;
    struct os_thread thread;
    struct os_mutex lock; /* leaf */
    struct os_cond appended;
    unsigned waiting; /* appends that are not done */
};

/* ---- Reading a batch ---- */

struct reading {
    struct str rest;
    bool bad;
};

static void get(struct reading *r, void *ret, size_t len)
{
    if (r->rest.len < len) {
        r->bad = true;
        memset(ret, 0, len);
        return;
    }
    memcpy(ret, r->rest.ptr, len);
    r->rest = str_skip(r->rest, len);
}

static struct str get_text(struct reading *r)
{
    uint32_t len;
    get(r, &len, sizeof len);
    r->bad = r->bad || len > r->rest.len;
    struct str text = str_take(r->rest, r->bad ? 0 : len);
    r->rest = str_skip(r->rest, text.len);
    return text;
}

static void get_record(struct reading *r, struct arena *a, struct received *ret)
{
    uint32_t maybe, headers;
    get(r, &maybe, sizeof maybe);
    get(r, &ret->from_offset, sizeof ret->from_offset);
    get(r, &ret->record.timestamp_ms, sizeof ret->record.timestamp_ms);
    ret->maybe = maybe != 0;
    ret->record.key = get_text(r);
    ret->value = get_text(r);
    ret->record.value = &ret->value;
    ret->record.value_parts = 1;
    get(r, &headers, sizeof headers);
    r->bad = r->bad || headers > LOG_HEADERS_MAX;
    struct record_header *h = ARENA_ARRAY(a, struct record_header, LOG_HEADERS_MAX);
    for (uint32_t i = 0; i < headers && !r->bad; i++) {
        h[i].name = get_text(r);
        h[i].value = get_text(r);
    }
    ret->record.headers = h;
    ret->record.header_count = headers;
}

/* ---- What is there already ---- */

static void compare(struct received *all, uint32_t count, const struct log_entry *entry)
{
    for (uint32_t i = 0; i < count; i++)
        if (all[i].maybe && str_eq(all[i].record.key, entry->key) &&
            str_eq(all[i].value, entry->value))
            all[i].known = true;
}

static void find_known(struct log_part *part, struct received *all, uint32_t count)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    bool any = false;
    for (uint32_t i = 0; i < count; i++)
        any = any || all[i].maybe;
    if (!any || log_cursor_open(part, all[0].from_offset, LOG_FORWARD, &cursor) != ERR_OK)
        return;
    while (log_cursor_next(cursor, &entry) == ERR_OK && entry)
        compare(all, count, entry);
    log_cursor_close(cursor);
}

/* ---- Appending ---- */

static void on_appended(struct log_append *first)
{
    struct away_receiver *r = first->owner;
    os_mutex_lock(&r->lock);
    for (; first; first = first->next)
        r->waiting--;
    os_cond_signal(&r->appended);
    os_mutex_unlock(&r->lock);
}

static void append_all(struct away_receiver *r, struct received *all, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].known)
            continue;
        all[i].append = (struct log_append){.done = on_appended, .owner = r};
        os_mutex_lock(&r->lock);
        r->waiting++;
        os_mutex_unlock(&r->lock);
        enum err err = log_append(r->part, &all[i].record, &all[i].append);
        if (err == ERR_OK)
            continue;
        all[i].append.error = err;
        os_mutex_lock(&r->lock);
        r->waiting--;
        os_mutex_unlock(&r->lock);
    }
    os_mutex_lock(&r->lock);
    while (r->waiting)
        os_cond_wait(&r->appended, &r->lock);
    os_mutex_unlock(&r->lock);
}

static enum err receive(struct away_receiver *r, struct arena *a)
{
    uint32_t bytes, count;
    TRY(os_channel_read(r->fd, &bytes, sizeof bytes, 0));
    if (bytes < sizeof count || bytes > 2 * AWAY_BYTES_MAX)
        return ERR_PROTOCOL;
    char *batch = arena_alloc(a, bytes);
    TRY(os_channel_read(r->fd, batch, bytes, 0));
    struct reading reading = {.rest = str_of(batch, bytes)};
    get(&reading, &count, sizeof count);
    if (count == 0 || count > AWAY_BATCH_MAX)
        return ERR_PROTOCOL;
    struct received *all = ARENA_ARRAY(a, struct received, count);
    for (uint32_t i = 0; i < count; i++)
        get_record(&reading, a, &all[i]);
    if (reading.bad || reading.rest.len)
        return ERR_PROTOCOL;
    find_known(r->part, all, count);
    append_all(r, all, count);
    int32_t errors[AWAY_BATCH_MAX];
    for (uint32_t i = 0; i < count; i++)
        errors[i] = (int32_t)all[i].append.error;
    return os_channel_write(r->fd, errors, count * sizeof errors[0]);
}

static void receive_all(void *arg)
{
    struct away_receiver *r = arg;
    enum err err;
    do {
        struct arena a;
        arena_init(&a);
        err = receive(r, &a);
        arena_release(&a);
    } while (err == ERR_OK);
    os_channel_shut(r->fd); /* on a wrong batch too: the sender keeps its records */
    atomic_store(&r->done, true);
}

enum err away_receiver_start(struct log_part *part, int fd, struct away_receiver **ret_receiver)
{
    struct away_receiver *r = NEW(struct away_receiver);
    r->part = part;
    r->fd = fd;
    os_mutex_init(&r->lock);
    os_cond_init(&r->appended);
    enum err err = os_thread_start("away", receive_all, r, &r->thread);
    if (err != ERR_OK) {
        mem_free(r);
        return err;
    }
    *ret_receiver = r;
    return ERR_OK;
}

bool away_receiver_done(struct away_receiver *r)
{
    return atomic_load(&r->done);
}

void away_receiver_stop(struct away_receiver *r)
{
    if (!r)
        return;
    os_channel_shut(r->fd);
    os_thread_join(&r->thread);
    os_cond_release(&r->appended);
    os_mutex_release(&r->lock);
    mem_free(r);
}
