#include "cli/bench/bench_answer.h"

#include "cli/wire/wire_text.h"

void bench_answer_init(struct bench_answer *answer, void (*on_content)(void *arg), void *arg)
{
    *answer = (struct bench_answer){.on_content = on_content, .arg = arg};
    buf_init(&answer->kept, BENCH_BODY_BYTES_MAX);
}

void bench_answer_release(struct bench_answer *answer)
{
    buf_release(&answer->kept);
}

void bench_answer_begin(struct bench_answer *answer, bool stream)
{
    struct bench_answer fresh = {.kept = answer->kept,
                                 .stream = stream,
                                 .on_content = answer->on_content,
                                 .arg = answer->arg};
    buf_reset(&fresh.kept);
    *answer = fresh;
}

/* ---- Tokens ---- */

/* Digits at the front of text as a number; how many there are. */
static size_t leading_number(struct str text, uint64_t *ret_number)
{
    size_t len = 0;
    while (len < text.len && len < 18 && text.ptr[len] >= '0' && text.ptr[len] <= '9')
        len++;
    if (len == 0 || str_to_u64(str_take(text, len), ret_number) != ERR_OK)
        return 0;
    return len;
}

/* Does text begin with token `index`, whole? Its length, or 0. */
static size_t begins_with_token(struct str text, uint64_t index)
{
    char token[WIRE_TOKEN_BYTES_MAX];
    size_t len = wire_token_write(token, index);
    if (!str_starts(text, str_of(token, len)))
        return 0;
    return text.len > len && text.ptr[len] >= '0' && text.ptr[len] <= '9' ? 0 : len;
}

/* Not the token that was expected: another one of the text, or damage. Returns how much of text it
 * takes. */
static size_t take_other_token(struct bench_answer *answer, struct str text)
{
    size_t at = 1;
    uint64_t index = 0;
    size_t digits = 0;
    while (at < text.len && text.ptr[at] != ' ' && digits == 0) {
        digits = leading_number(str_skip(text, at), &index);
        at += digits ? digits : 1;
    }
    if (digits == 0 || begins_with_token(str_take(text, at), index) == 0) {
        answer->damaged++;
        answer->next_token++;
    } else if (index > answer->next_token) {
        answer->lost += index - answer->next_token;
        answer->next_token = index + 1;
    } else {
        answer->doubled++;
    }
    return at;
}

/* One event's content, or the whole text of an unstreamed answer. */
static void take_content(struct bench_answer *answer, struct str text)
{
    if (text.len == 0)
        return;
    if (answer->events++ == 0)
        answer->is_text = begins_with_token(text, 0) > 0;
    if (answer->on_content)
        answer->on_content(answer->arg);
    while (answer->is_text && text.len > 0) {
        size_t len = begins_with_token(text, answer->next_token);
        if (len > 0)
            answer->next_token++;
        else
            len = take_other_token(answer, text);
        text = str_skip(text, len);
    }
}

/* ---- JSON, as little of it as needed ---- */

/* The string after `"content":`, still escaped; spaces after the colon are fine. STR_NONE without.
 */
static struct str find_content(struct str json)
{
    struct str rest = json;
    for (;;) {
        ptrdiff_t at = str_find(rest, STR("\"content\":"));
        if (at < 0)
            return STR_NONE;
        rest = str_skip(rest, (size_t)at + 10);
        while (rest.len > 0 && rest.ptr[0] == ' ')
            rest = str_skip(rest, 1);
        if (rest.len > 0 && rest.ptr[0] == '"')
            break;
    }
    size_t end = 1;
    while (end < rest.len && rest.ptr[end] != '"')
        end += rest.ptr[end] == '\\' ? 2 : 1;
    return str_of(rest.ptr + 1, end - 1 < rest.len ? end - 1 : 0);
}

/* An error object, whether alone or beside empty choices. */
static bool is_error(struct str json)
{
    return str_starts(str_trim(json), STR("{\"error\":"));
}

/* ---- Streams: lines, whatever ends them ---- */

static void take_line(struct bench_answer *answer, struct str line)
{
    if (!str_starts(line, STR("data:")))
        return;
    struct str data = str_trim(str_skip(line, 5));
    if (str_eq(data, STR("[DONE]"))) {
        answer->done = true;
        return;
    }
    if (is_error(data))
        answer->error_seen = true;
    take_content(answer, find_content(data));
}

static void feed_stream(struct bench_answer *answer, struct str bytes)
{
    if (answer->after_cr && bytes.len > 0) {
        answer->after_cr = false;
        bytes = str_skip(bytes, bytes.ptr[0] == '\n' ? 1 : 0);
    }
    while (bytes.len > 0) {
        const char *lf = memchr(bytes.ptr, '\n', bytes.len);
        size_t len = lf ? (size_t)(lf - bytes.ptr) : bytes.len;
        const char *cr = memchr(bytes.ptr, '\r', len);
        if (!lf && !cr) {
            buf_append_str(&answer->kept, bytes);
            return;
        }
        len = cr ? (size_t)(cr - bytes.ptr) : len;
        struct str line = str_take(bytes, len);
        if (answer->kept.len > 0) {
            buf_append_str(&answer->kept, line);
            line = buf_str(&answer->kept);
        }
        take_line(answer, line);
        answer->kept.len = 0;
        bytes = str_skip(bytes, len + 1);
        if (cr && bytes.len > 0 && bytes.ptr[0] == '\n')
            bytes = str_skip(bytes, 1);
        else
            answer->after_cr = cr && bytes.len == 0;
    }
}

void bench_answer_feed(struct bench_answer *answer, struct str bytes)
{
    if (answer->stream)
        feed_stream(answer, bytes);
    else
        buf_append_str(&answer->kept, bytes);
}

enum bench_verdict bench_answer_end(struct bench_answer *answer, uint64_t expected)
{
    if (answer->stream && answer->kept.len > 0)
        take_line(answer, buf_str(&answer->kept));
    if (!answer->stream) {
        answer->error_seen = is_error(buf_str(&answer->kept));
        take_content(answer, find_content(buf_str(&answer->kept)));
    }
    if (answer->is_text && expected > answer->next_token)
        answer->lost += expected - answer->next_token;
    if (answer->error_seen)
        return BENCH_ERROR_EVENT;
    if (answer->events == 0)
        return BENCH_NO_TEXT;
    if (answer->lost + answer->doubled + answer->damaged > 0)
        return BENCH_WRONG_TEXT;
    if (answer->stream && !answer->done)
        return BENCH_NO_DONE;
    return BENCH_GOOD;
}
