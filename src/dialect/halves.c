#include "dialect/halves.h"

void halves_init(struct halves *h)
{
    *h = (struct halves){0};
    buf_init(&h->joined, HALVES_BYTES_MAX);
}

void halves_release(struct halves *h)
{
    buf_release(&h->joined);
}

static bool is_text(enum answer_event_kind kind)
{
    return kind == ANSWER_TEXT || kind == ANSWER_THINKING || kind == ANSWER_REFUSAL ||
           kind == ANSWER_TOOL_ARGS;
}

static inline bool is_high(char c)
{
    return c == '8' || c == '9' || (c | 0x20) == 'a' || (c | 0x20) == 'b';
}

/* Does an escaped text end in \ud800 … \udbff, whose backslash is not itself escaped? */
static bool ends_in_half(struct str text)
{
    if (text.len < HALF_BYTES)
        return false;
    const char *p = text.ptr + text.len - HALF_BYTES;
    if (p[0] != '\\' || p[1] != 'u' || (p[2] | 0x20) != 'd' || !is_high(p[3]))
        return false;
    size_t backslashes = 0;
    while (p > text.ptr && p[-1] == '\\') {
        p--;
        backslashes++;
    }
    return backslashes % 2 == 0;
}

static bool goes_on(const struct halves *h, const struct answer_event *e)
{
    return e->kind == h->of.kind && e->choice == h->of.choice && e->tool == h->of.tool;
}

static void give_up(struct halves *h)
{
    struct answer_event event = h->of;
    h->held = false;
    event.text = STR("\\ufffd");
    answer_emit(h->out, &event);
}

static void take(void *arg, const struct answer_event *e)
{
    struct halves *h = arg;
    struct answer_event event = *e;
    bool text = is_text(e->kind);
    if (!h->held && !(text && ends_in_half(e->text))) {
        answer_emit(h->out, e);
        return;
    }
    if (text && e->text.len == 0)
        return;
    if (h->held && goes_on(h, e)) {
        buf_reset(&h->joined);
        buf_append(&h->joined, h->half, HALF_BYTES);
        buf_append_str(&h->joined, e->text);
        event.text = buf_str(&h->joined);
        h->held = false;
    } else if (h->held && e->kind != ANSWER_PING && e->kind != ANSWER_USAGE) {
        give_up(h);
    }
    if (text && ends_in_half(event.text)) {
        event.text.len -= HALF_BYTES;
        memcpy(h->half, event.text.ptr + event.text.len, HALF_BYTES);
        h->held = true;
        h->of = (struct answer_event){.kind = e->kind, .choice = e->choice, .tool = e->tool};
        if (event.text.len == 0)
            return;
    }
    answer_emit(h->out, &event);
}

struct answer_sink halves_sink(struct halves *h, struct answer_sink out)
{
    h->out = out;
    return (struct answer_sink){take, h};
}
