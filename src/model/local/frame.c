#include "model/local/frame.h"

#include "base/assert.h"

enum {
    ROOM_BYTES = 64 << 10,
    /* An empty reader gives larger memory back: a big request is rare. */
    KEEP_BYTES = 256 << 10,
    WINDOW_PAYLOAD = 4,
    HEAD_PAYLOAD = 8,
};

static uint32_t get_u32(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static uint64_t get_u64(const char *p)
{
    return (uint64_t)get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

static void put_u32(char *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (char)(value >> (8 * i) & 0xFF);
}

static void put_u64(char *p, uint64_t value)
{
    put_u32(p, (uint32_t)value);
    put_u32(p + 4, (uint32_t)(value >> 32));
}

size_t frame_payload_max(enum frame_kind kind)
{
    switch (kind) {
    case FRAME_START: return FRAME_START_BYTES + FRAME_NAME_BYTES_MAX + FRAME_REQUEST_BYTES_MAX;
    case FRAME_WINDOW: return WINDOW_PAYLOAD;
    case FRAME_READY:
    case FRAME_FAILED: return FRAME_TEXT_BYTES_MAX;
    case FRAME_HEAD: return FRAME_HEAD_BYTES_MAX;
    case FRAME_BODY: return FRAME_BODY_BYTES_MAX;
    case FRAME_CANCEL:
    case FRAME_END: return 0;
    }
    return 0;
}

static bool kind_known(unsigned kind, enum frame_side side)
{
    return side == FRAME_TO_ENGINE ? kind >= FRAME_START && kind <= FRAME_WINDOW
                                   : kind >= FRAME_READY && kind <= FRAME_END;
}

void frame_append_header(struct buf *out, enum frame_kind kind, uint64_t id, size_t payload_len)
{
    ASSERT(payload_len <= frame_payload_max(kind));
    char h[FRAME_HEADER_BYTES] = {0};
    put_u32(h, (uint32_t)payload_len);
    h[4] = (char)kind;
    put_u64(h + 8, id);
    buf_append(out, h, sizeof h);
}

void frame_append(struct buf *out, enum frame_kind kind, uint64_t id, struct str payload)
{
    frame_append_header(out, kind, id, payload.len);
    buf_append_str(out, payload);
}

void frame_append_window(struct buf *out, uint64_t id, uint32_t bytes)
{
    char p[WINDOW_PAYLOAD];
    put_u32(p, bytes);
    frame_append(out, FRAME_WINDOW, id, str_of(p, sizeof p));
}

void frame_append_start(struct buf *out, uint64_t id, const struct frame_start *start,
                        size_t body_len)
{
    char p[FRAME_START_BYTES] = {(char)start->task, (char)start->adapter.len};
    ASSERT(start->adapter.len <= FRAME_NAME_BYTES_MAX);
    put_u64(p + 4, start->caller);
    frame_append_header(out, FRAME_START, id, sizeof p + start->adapter.len + body_len);
    buf_append(out, p, sizeof p);
    buf_append_str(out, start->adapter);
}

enum err frame_read_start(const struct frame *frame, struct frame_start *ret_start,
                          struct str *ret_body)
{
    struct str p = frame->payload;
    if (frame->kind != FRAME_START || p.len < FRAME_START_BYTES || p.ptr[2] || p.ptr[3])
        return ERR_PROTOCOL;
    unsigned char task = (unsigned char)p.ptr[0], name = (unsigned char)p.ptr[1];
    if (task < FRAME_TASK_CHAT || task > FRAME_TASK_TOKENIZE || name > FRAME_NAME_BYTES_MAX ||
        p.len - FRAME_START_BYTES < name)
        return ERR_PROTOCOL;
    *ret_start = (struct frame_start){.task = (enum frame_task)task,
                                      .caller = get_u64(p.ptr + 4),
                                      .adapter = str_take(str_skip(p, FRAME_START_BYTES), name)};
    *ret_body = str_skip(p, FRAME_START_BYTES + name);
    return ERR_OK;
}

enum err frame_read_window(const struct frame *frame, uint32_t *ret_bytes)
{
    if (frame->kind != FRAME_WINDOW || frame->payload.len != WINDOW_PAYLOAD)
        return ERR_PROTOCOL;
    *ret_bytes = get_u32(frame->payload.ptr);
    return ERR_OK;
}

void frame_append_head(struct buf *out, uint64_t id, const struct frame_head *head)
{
    char p[HEAD_PAYLOAD] = {(char)(head->status & 0xFF), (char)(head->status >> 8)};
    put_u32(p + 4, head->retry_after_ms);
    frame_append_header(out, FRAME_HEAD, id, sizeof p + head->content_type.len);
    buf_append(out, p, sizeof p);
    buf_append_str(out, head->content_type);
}

enum err frame_read_head(const struct frame *frame, struct frame_head *ret_head)
{
    struct str p = frame->payload;
    if (frame->kind != FRAME_HEAD || p.len < HEAD_PAYLOAD)
        return ERR_PROTOCOL;
    unsigned status = (unsigned)(unsigned char)p.ptr[0] | (unsigned)(unsigned char)p.ptr[1] << 8;
    if (status < 200 || status > 599)
        return ERR_PROTOCOL;
    *ret_head =
        (struct frame_head){(uint16_t)status, get_u32(p.ptr + 4), str_skip(p, HEAD_PAYLOAD)};
    return ERR_OK;
}

void frame_reader_init(struct frame_reader *r, enum frame_side side)
{
    buf_init(&r->in, (size_t)FRAME_REQUEST_BYTES_MAX + ROOM_BYTES + FRAME_HEADER_BYTES);
    r->used = 0;
    r->side = side;
}

void frame_reader_release(struct frame_reader *r)
{
    buf_release(&r->in);
}

char *frame_reader_room(struct frame_reader *r, size_t *ret_len)
{
    size_t max = r->in.max;
    if (r->used == r->in.len && r->in.cap > KEEP_BYTES) {
        buf_release(&r->in);
        buf_init(&r->in, max);
    } else {
        buf_consume(&r->in, r->used);
    }
    r->used = 0;
    size_t lacks = ROOM_BYTES;
    if (r->in.len >= FRAME_HEADER_BYTES) {
        size_t payload = get_u32(r->in.ptr); /* not validated before frame_reader_next */
        size_t whole = FRAME_HEADER_BYTES + (payload <= FRAME_REQUEST_BYTES_MAX ? payload : 0);
        lacks = whole > r->in.len && whole - r->in.len > lacks ? whole - r->in.len : lacks;
    }
    bool fits = buf_reserve(&r->in, lacks);
    ASSERT(fits);
    *ret_len = lacks;
    return r->in.ptr + r->in.len;
}

void frame_reader_filled(struct frame_reader *r, size_t len)
{
    ASSERT(len <= r->in.cap - r->in.len);
    r->in.len += len;
}

enum err frame_reader_next(struct frame_reader *r, struct frame *ret_frame)
{
    size_t have = r->in.len - r->used;
    if (have < FRAME_HEADER_BYTES)
        return ERR_TRUNCATED;
    const char *h = r->in.ptr + r->used;
    unsigned kind = (unsigned char)h[4];
    size_t len = get_u32(h);
    if (!kind_known(kind, r->side) || h[5] || h[6] || h[7] ||
        len > frame_payload_max((enum frame_kind)kind))
        return ERR_PROTOCOL;
    if (have - FRAME_HEADER_BYTES < len)
        return ERR_TRUNCATED;
    *ret_frame =
        (struct frame){(enum frame_kind)kind, get_u64(h + 8), str_of(h + FRAME_HEADER_BYTES, len)};
    r->used += FRAME_HEADER_BYTES + len;
    return ERR_OK;
}
