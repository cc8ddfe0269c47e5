#include "dialect/replay.h"

#include <string.h>

void replay_line_append(struct buf *out, struct str json)
{
    size_t from = 0;
    if (!json.len)
        return;
    for (size_t i = 0; i < json.len; i++) {
        if (json.ptr[i] != '\n' && json.ptr[i] != '\r')
            continue;
        buf_append(out, json.ptr + from, i - from);
        from = i + 1;
    }
    buf_append(out, json.ptr + from, json.len - from);
}

static size_t escape_length(struct str raw)
{
    if (raw.len < 2 || raw.ptr[1] != 'u')
        return 2;
    /* The halves of a surrogate pair stay together. */
    bool high = raw.len >= 12 && (raw.ptr[2] == 'd' || raw.ptr[2] == 'D') &&
                strchr("89abAB", raw.ptr[3]) && raw.ptr[6] == '\\' && raw.ptr[7] == 'u';
    return high ? 12 : 6;
}

struct str replay_piece(struct str raw)
{
    size_t end = 0;
    while (end < raw.len) {
        size_t next = end + 1;
        if (raw.ptr[end] == '\\')
            next = end + escape_length(str_skip(raw, end));
        while (next < raw.len && ((unsigned char)raw.ptr[next] & 0xc0) == 0x80)
            next++;
        if (next > REPLAY_DELTA_BYTES && end > 0)
            break;
        end = next;
    }
    return str_take(raw, end);
}
