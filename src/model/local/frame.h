/* Frames: what the gateway and an engine process say to each other over a socket pair.
 *
 *   0        4      5      6     8            16
 *   ┌────────┬──────┬──────┬─────┬────────────┬─────────────┐
 *   │ length │ kind │ 0    │ 0   │ id         │ payload …   │   little-endian
 *   └────────┴──────┴──────┴─────┴────────────┴─────────────┘
 *   length   of the payload; each kind has a maximum (frame_payload_max)
 *   id       of the use it is about, chosen by the gateway, unique on its socket; 0: the engine
 *
 *   to the engine    START   u8 task (enum frame_task), u8 bytes of the adapter's name, u16 0, u64
 *                            caller, the adapter's name, the request's JSON body
 *                    CANCEL  -
 *                    WINDOW  u32: so many bytes more than FRAME_WINDOW_BYTES of BODY may come
 *   from the engine  READY   JSON facts about the loaded model, once
 *                    FAILED  text: it could not be loaded; the engine ends
 *                    HEAD    u16 status, u16 0, u32 Retry-After in ms or FRAME_NO_RETRY, content
 *                            type
 *                    BODY    bytes of the answer
 *                    END     -
 *
 * 1. A reader accepts the kinds of its direction only. What breaks a rule above is ERR_PROTOCOL,
 *    and the socket is closed: an engine that misbehaves is killed.
 * 2. After CANCEL the engine may still send what was under way, then never mentions the id again.
 *    An id is never used twice.
 * 3. Pure: no system calls. One reader, one thread. */
#ifndef WEIR_MODEL_LOCAL_FRAME_H
#define WEIR_MODEL_LOCAL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum frame_kind {
    FRAME_START = 1,
    FRAME_CANCEL = 2,
    FRAME_WINDOW = 3,
    FRAME_READY = 16,
    FRAME_FAILED = 17,
    FRAME_HEAD = 18,
    FRAME_BODY = 19,
    FRAME_END = 20,
};

/* What a START asks for. */
enum frame_task {
    FRAME_TASK_CHAT = 1,
    FRAME_TASK_COMPLETION = 2,
    FRAME_TASK_EMBEDDING = 3,
    FRAME_TASK_RERANK = 4,
    FRAME_TASK_TOKENIZE = 5,
};

enum frame_side { FRAME_TO_ENGINE, FRAME_FROM_ENGINE };

enum {
    FRAME_HEADER_BYTES = 16,
    FRAME_WINDOW_BYTES = 64 << 10,      /* of BODY that may be under way for one use */
    FRAME_BODY_BYTES_MAX = 16 << 10,    /* of one BODY frame */
    FRAME_REQUEST_BYTES_MAX = 32 << 20, /* of one request's body */
    FRAME_START_BYTES = 12,             /* of START before the adapter's name */
    FRAME_NAME_BYTES_MAX = 128,         /* of an adapter's name */
    FRAME_TEXT_BYTES_MAX = 4 << 10,     /* READY, FAILED */
    FRAME_HEAD_BYTES_MAX = 8 + 64,
};
#define FRAME_NO_RETRY UINT32_MAX

struct frame {
    enum frame_kind kind;
    uint64_t id;
    struct str payload; /* points into the reader; valid until its next call */
};

/* The most that a frame of that kind carries. */
size_t frame_payload_max(enum frame_kind kind);

/* Append a whole frame. The payload is within the kind's maximum. */
void frame_append(struct buf *out, enum frame_kind kind, uint64_t id, struct str payload);
/* Append a header only; payload_len bytes are appended by the caller. */
void frame_append_header(struct buf *out, enum frame_kind kind, uint64_t id, size_t payload_len);
void frame_append_window(struct buf *out, uint64_t id, uint32_t bytes);

struct frame_head {
    uint16_t status;
    uint32_t retry_after_ms; /* FRAME_NO_RETRY */
    struct str content_type; /* at most 64 bytes */
};
void frame_append_head(struct buf *out, uint64_t id, const struct frame_head *head);
MUST_CHECK enum err frame_read_head(const struct frame *frame, struct frame_head *ret_head);
MUST_CHECK enum err frame_read_window(const struct frame *frame, uint32_t *ret_bytes);

struct frame_start {
    enum frame_task task;
    uint64_t caller;    /* whose turns it is counted among */
    struct str adapter; /* empty: the model as it is; at most FRAME_NAME_BYTES_MAX */
};
/* Append what stands before a request's body_len bytes, which the caller appends. */
void frame_append_start(struct buf *out, uint64_t id, const struct frame_start *start,
                        size_t body_len);
MUST_CHECK enum err frame_read_start(const struct frame *frame, struct frame_start *ret_start,
                                     struct str *ret_body);

struct frame_reader {
    struct buf in;
    size_t used; /* bytes of `in` that were handed out */
    enum frame_side side;
};

void frame_reader_init(struct frame_reader *r, enum frame_side side);
void frame_reader_release(struct frame_reader *r);
/* Room to read into, at least 1 byte, at most about 64 KiB or what the frame at hand lacks. */
char *frame_reader_room(struct frame_reader *r, size_t *ret_len);
/* So many bytes of the room were filled. */
void frame_reader_filled(struct frame_reader *r, size_t len);
/* The next whole frame. ERR_TRUNCATED: more bytes are needed; ERR_PROTOCOL. */
MUST_CHECK enum err frame_reader_next(struct frame_reader *r, struct frame *ret_frame);

#endif
