#include "model/local/text_gate.h"

#include "base/assert.h"

/* A token's piece is a few bytes; templates of long runs ("-----…") are some hundred. */
#define HELD_BYTES_MAX ((size_t)1 << 20)

void text_gate_init(struct text_gate *g, const struct str *stops, size_t stop_count)
{
    ASSERT(stop_count <= TEXT_STOPS_MAX);
    *g = (struct text_gate){.stop_count = stop_count};
    for (size_t i = 0; i < stop_count; i++) {
        ASSERT(stops[i].len > 0 && stops[i].len <= TEXT_STOP_BYTES_MAX);
        g->stops[i] = stops[i];
    }
    buf_init(&g->held, HELD_BYTES_MAX);
}

void text_gate_release(struct text_gate *g)
{
    buf_release(&g->held);
}

/* Where the earliest stop string begins, or -1. */
static ptrdiff_t find_stop(const struct text_gate *g, struct str text)
{
    ptrdiff_t first = -1;
    for (size_t i = 0; i < g->stop_count; i++) {
        ptrdiff_t at = str_find(text, g->stops[i]);
        if (at >= 0 && (first < 0 || at < first))
            first = at;
    }
    return first;
}

/* Bytes at the text's end that begin a stop string: the most that any of them claims. */
static size_t stop_begun(const struct text_gate *g, struct str text)
{
    size_t most = 0;
    for (size_t i = 0; i < g->stop_count; i++) {
        struct str stop = g->stops[i];
        size_t n = stop.len - 1 < text.len ? stop.len - 1 : text.len;
        while (n > most && memcmp(text.ptr + text.len - n, stop.ptr, n) != 0)
            n--;
        most = n > most ? n : most;
    }
    return most;
}

/* Bytes at the text's end that are a character's beginning, 0…3. */
static size_t character_begun(struct str text)
{
    for (size_t back = 1; back <= 3 && back <= text.len; back++) {
        unsigned char c = (unsigned char)text.ptr[text.len - back];
        if (c >= 0xC0) {
            size_t size = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
            return c < 0xF8 && size > back ? back : 0;
        }
        if (c < 0x80)
            return 0;
    }
    return 0;
}

bool text_gate_push(struct text_gate *g, struct str piece, struct buf *out)
{
    ASSERT(!g->stopped);
    buf_append_str(&g->held, piece);
    struct str text = buf_str(&g->held);
    ptrdiff_t stop = find_stop(g, text);
    if (stop >= 0) {
        buf_append(out, text.ptr, (size_t)stop);
        buf_reset(&g->held);
        g->stopped = true;
        return true;
    }
    size_t keep = stop_begun(g, text);
    /* A stop string that begins inside a character cannot be: both are UTF-8, so the character's
     * part is looked for in what the stop strings leave. */
    keep += character_begun(str_take(text, text.len - keep));
    buf_append(out, text.ptr, text.len - keep);
    buf_consume(&g->held, text.len - keep);
    return false;
}

void text_gate_finish(struct text_gate *g, struct buf *out)
{
    buf_append_str(out, buf_str(&g->held));
    buf_reset(&g->held);
}
