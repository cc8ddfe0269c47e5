#include "model/local/call_watch.h"

#include "base/assert.h"

void call_watch_init(struct call_watch *w, struct str mark, bool at_begin)
{
    ASSERT(mark.len > 0 && mark.len <= CALL_WATCH_MARK_MAX);
    *w = (struct call_watch){.mark = mark, .at_begin = at_begin};
}

/* How many bytes of the mark the tail and the text begin with, at the tail's byte `from`. */
static size_t matches(const struct call_watch *w, size_t from, struct str text)
{
    size_t n = 0, have = w->tail_len - from + text.len;
    for (; n < w->mark.len && n < have; n++) {
        char c = from + n < w->tail_len ? w->tail[from + n] : text.ptr[from + n - w->tail_len];
        if (c != w->mark.ptr[n])
            break;
    }
    return n;
}

static bool found(struct call_watch *w, struct str text, size_t taken, struct str *ret_begun)
{
    *ret_begun = str_skip(text, taken);
    w->mark.len = 0;
    return true;
}

/* The tail is what the mark begins with. */
static bool push_begin(struct call_watch *w, struct str text, struct str *ret_begun)
{
    while (w->tail_len == 0 && text.len && (text.ptr[0] == ' ' || text.ptr[0] == '\n'))
        text = str_skip(text, 1);
    size_t n = matches(w, 0, text);
    if (n == w->mark.len)
        return found(w, text, n - w->tail_len, ret_begun);
    if (n < w->tail_len + text.len) {
        w->mark.len = 0;
        return false;
    }
    memcpy(w->tail, w->mark.ptr, n);
    w->tail_len = n;
    return false;
}

bool call_watch_push(struct call_watch *w, struct str text, struct str *ret_begun)
{
    if (w->mark.len == 0 || text.len == 0)
        return false;
    if (w->at_begin)
        return push_begin(w, text, ret_begun);
    size_t keep = 0;
    for (size_t from = 0; from < w->tail_len + text.len; from++) {
        size_t n = matches(w, from, text);
        if (n == w->mark.len)
            return found(w, text, from + n - w->tail_len, ret_begun);
        if (from + n == w->tail_len + text.len) {
            keep = n;
            break;
        }
    }
    /* The longest end of what came that the mark begins with is the beginning of the mark. */
    memcpy(w->tail, w->mark.ptr, keep);
    w->tail_len = keep;
    return false;
}
