/* Bytes that a gateway reads from an engine, or an engine from a gateway; the first byte says
 * which, and in what pieces they come. */
#include "model/local/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const struct frame *frame)
{
    struct frame_head head;
    uint32_t bytes;
    if (frame->payload.len > frame_payload_max(frame->kind))
        __builtin_trap();
    if (frame_read_head(frame, &head) == ERR_OK && (head.status < 200 || head.status > 599))
        __builtin_trap();
    if (frame_read_window(frame, &bytes) == ERR_OK && frame->kind != FRAME_WINDOW)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct frame_reader r;
    struct frame frame;
    enum err e = ERR_TRUNCATED;
    size_t step = (size_t)(data[0] >> 1) + 1;
    frame_reader_init(&r, data[0] & 1 ? FRAME_TO_ENGINE : FRAME_FROM_ENGINE);
    for (size_t at = 1; at < size && e == ERR_TRUNCATED;) {
        size_t room;
        char *to = frame_reader_room(&r, &room);
        size_t n = size - at < step ? size - at : step;
        n = n < room ? n : room;
        memcpy(to, data + at, n);
        frame_reader_filled(&r, n);
        at += n;
        while ((e = frame_reader_next(&r, &frame)) == ERR_OK)
            look(&frame);
    }
    frame_reader_release(&r);
    return 0;
}
