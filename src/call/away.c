#include "call/away.h"

#include "base/mem.h"
#include "os/channel.h"
#include "os/thread.h"

struct item {
    struct item *next;
    struct log_append *append;
    bool maybe; /* it was sent, and nobody said what became of it */
    struct log_record record;
    struct str value;
    size_t bytes;
};

struct away {
    struct os_mutex lock; /* leaf */
    struct os_cond wanted;
    struct item *first;
    struct item **end;
    size_t count; /* waiting and under way */
    size_t bytes;
    int64_t from_offset;
    struct log_part *home; /* the log is here again */
    bool lost;             /* nobody takes them any more */
    int fd;
    bool running;
    bool stopping;
    bool broken;
    struct os_thread thread;
};

struct away *away_new(void)
{
    struct away *a = NEW(struct away);
    os_mutex_init(&a->lock);
    os_cond_init(&a->wanted);
    a->end = &a->first;
    return a;
}

void away_begin(struct away *a)
{
    os_mutex_lock(&a->lock);
    a->home = NULL;
    os_mutex_unlock(&a->lock);
}

void away_set_from(struct away *a, int64_t from_offset)
{
    a->from_offset = from_offset;
}

void away_free(struct away *a)
{
    if (!a)
        return;
    os_cond_release(&a->wanted);
    os_mutex_release(&a->lock);
    mem_free(a);
}

/* ---- Items: one allocation each ---- */

static char *copy(char **at, struct str from)
{
    char *to = *at;
    if (from.len)
        memcpy(to, from.ptr, from.len);
    *at += from.len;
    return to;
}

static size_t text_bytes(const struct log_record *r)
{
    size_t n = r->key.len;
    for (size_t i = 0; i < r->value_parts; i++)
        n += r->value[i].len;
    for (size_t i = 0; i < r->header_count; i++)
        n += r->headers[i].name.len + r->headers[i].value.len;
    return n;
}

static struct item *item_new(const struct log_record *r, struct log_append *append)
{
    size_t texts = text_bytes(r);
    size_t headers = r->header_count * sizeof(struct record_header);
    struct item *item = mem_alloc(sizeof *item + headers + texts);
    struct record_header *h = (struct record_header *)(item + 1);
    char *at = (char *)(h + r->header_count);
    item->append = append;
    item->bytes = sizeof *item + headers + texts;
    item->record = *r;
    item->record.key = str_of(copy(&at, r->key), r->key.len);
    item->value.ptr = at;
    for (size_t i = 0; i < r->value_parts; i++) {
        (void)copy(&at, r->value[i]);
        item->value.len += r->value[i].len;
    }
    item->record.value = &item->value;
    item->record.value_parts = 1;
    for (size_t i = 0; i < r->header_count; i++) {
        h[i].name = str_of(copy(&at, r->headers[i].name), r->headers[i].name.len);
        h[i].value = str_of(copy(&at, r->headers[i].value), r->headers[i].value.len);
    }
    item->record.headers = h;
    return item;
}

enum err away_append(struct away *a, const struct log_record *record, struct log_append *append)
{
    struct item *item = item_new(record, append);
    os_mutex_lock(&a->lock);
    struct log_part *home = a->home;
    bool lost = a->lost;
    bool room = !home && !lost && a->bytes + item->bytes <= AWAY_BYTES_MAX;
    if (room) {
        a->bytes += item->bytes;
        a->count++;
        *a->end = item;
        a->end = &item->next;
        os_cond_signal(&a->wanted);
    }
    os_mutex_unlock(&a->lock);
    if (room)
        return ERR_OK;
    mem_free(item);
    if (home) {
        append->lazy = false;
        return log_append(home, record, append);
    }
    return lost ? ERR_CLOSED : ERR_BUSY;
}

static void finish(struct away *a, struct item *item, enum err error)
{
    struct log_append *append = item->append;
    os_mutex_lock(&a->lock);
    a->bytes -= item->bytes;
    a->count--;
    os_mutex_unlock(&a->lock);
    mem_free(item);
    append->error = error;
    append->next = NULL;
    append->done(append);
}

/* ---- Sending ---- */

static void put_u32(struct buf *b, uint32_t value)
{
    buf_append(b, &value, sizeof value);
}

static void put_text(struct buf *b, struct str text)
{
    put_u32(b, (uint32_t)text.len);
    buf_append_str(b, text);
}

static void put_item(struct buf *b, const struct item *item, int64_t from_offset)
{
    const struct log_record *r = &item->record;
    put_u32(b, item->maybe);
    buf_append(b, &from_offset, sizeof from_offset);
    buf_append(b, &r->timestamp_ms, sizeof r->timestamp_ms);
    put_text(b, r->key);
    put_text(b, item->value);
    put_u32(b, (uint32_t)r->header_count);
    for (size_t i = 0; i < r->header_count; i++) {
        put_text(b, r->headers[i].name);
        put_text(b, r->headers[i].value);
    }
}

/* Send them, and hear what became of each. */
static enum err exchange(struct away *a, struct item *items, uint32_t count, int32_t *ret_errors)
{
    BUF_AUTO struct buf batch = {.max = 2 * AWAY_BYTES_MAX};
    put_u32(&batch, 0);
    put_u32(&batch, count);
    for (struct item *item = items; item; item = item->next)
        put_item(&batch, item, a->from_offset);
    if (batch.error != ERR_OK)
        return batch.error;
    uint32_t bytes = (uint32_t)(batch.len - sizeof bytes);
    memcpy(batch.ptr, &bytes, sizeof bytes);
    TRY(os_channel_write(a->fd, batch.ptr, batch.len));
    return os_channel_read(a->fd, ret_errors, count * sizeof *ret_errors, 0);
}

/* Up to AWAY_BATCH_MAX from the queue's head; NULL when stopping. */
static struct item *take(struct away *a, uint32_t *ret_count)
{
    os_mutex_lock(&a->lock);
    while (!a->first && !a->stopping)
        os_cond_wait(&a->wanted, &a->lock);
    struct item *items = a->stopping ? NULL : a->first;
    struct item *last = NULL;
    *ret_count = 0;
    for (struct item *i = items; i && *ret_count < AWAY_BATCH_MAX; i = i->next) {
        last = i;
        ++*ret_count;
    }
    if (last) {
        a->first = last->next;
        last->next = NULL;
        if (!a->first)
            a->end = &a->first;
    }
    os_mutex_unlock(&a->lock);
    return items;
}

static void put_back(struct away *a, struct item *items)
{
    struct item *last = items;
    for (struct item *i = items; i; i = i->next) {
        i->maybe = true;
        last = i;
    }
    os_mutex_lock(&a->lock);
    last->next = a->first;
    if (!a->first)
        a->end = &last->next;
    a->first = items;
    a->broken = true;
    os_mutex_unlock(&a->lock);
}

static void send_all(void *arg)
{
    struct away *a = arg;
    uint32_t count;
    struct item *items;
    while ((items = take(a, &count)) != NULL) {
        int32_t errors[AWAY_BATCH_MAX];
        if (exchange(a, items, count, errors) != ERR_OK) {
            put_back(a, items);
            return;
        }
        for (uint32_t i = 0; i < count; i++) {
            struct item *next = items->next;
            finish(a, items, (enum err)errors[i]);
            items = next;
        }
    }
}

enum err away_send_to(struct away *a, int fd)
{
    a->fd = fd;
    a->stopping = a->broken = false;
    TRY(os_thread_start("away", send_all, a, &a->thread));
    a->running = true;
    return ERR_OK;
}

bool away_is_broken(struct away *a)
{
    os_mutex_lock(&a->lock);
    bool broken = a->broken;
    os_mutex_unlock(&a->lock);
    return broken;
}

size_t away_waiting(struct away *a)
{
    os_mutex_lock(&a->lock);
    size_t count = a->count;
    os_mutex_unlock(&a->lock);
    return count;
}

void away_stop(struct away *a)
{
    os_mutex_lock(&a->lock);
    a->stopping = true;
    os_cond_signal(&a->wanted);
    os_mutex_unlock(&a->lock);
    if (!a->running)
        return;
    os_channel_shut(a->fd);
    os_thread_join(&a->thread);
    a->running = false;
}

/* ---- Without a successor ---- */

static struct item *take_all(struct away *a)
{
    os_mutex_lock(&a->lock);
    struct item *all = a->first;
    a->first = NULL;
    a->end = &a->first;
    os_mutex_unlock(&a->lock);
    return all;
}

void away_append_here(struct away *a, struct log_part *part)
{
    os_mutex_lock(&a->lock);
    a->home = part;
    os_mutex_unlock(&a->lock);
    for (struct item *item = take_all(a), *next; item; item = next) {
        next = item->next;
        item->append->lazy = false;
        enum err err = log_append(part, &item->record, item->append);
        if (err != ERR_OK) {
            finish(a, item, err);
            continue;
        }
        os_mutex_lock(&a->lock);
        a->bytes -= item->bytes;
        a->count--;
        os_mutex_unlock(&a->lock);
        mem_free(item);
    }
}

void away_give_up(struct away *a)
{
    os_mutex_lock(&a->lock);
    a->lost = true;
    os_mutex_unlock(&a->lock);
    for (struct item *item = take_all(a), *next; item; item = next) {
        next = item->next;
        finish(a, item, ERR_CLOSED);
    }
}
