/* The parts of an answer: their units, their text, their tokens. */
#include "cli/mock/mock_ask.h"
#include "cli/wire/wire_text.h"
#include "codec/json_write.h"

/* JSON made by mock_schema is short, so counting from the start each time is cheap enough. */
static size_t piece_end(struct str text, size_t from)
{
    size_t end = from + MOCK_PIECE_BYTES;
    if (end >= text.len)
        return text.len;
    while (end < text.len && ((unsigned char)text.ptr[end] & 0xc0) == 0x80)
        end++;
    return end;
}

size_t mock_pieces(struct str text)
{
    size_t count = 0;
    for (size_t at = 0; at < text.len; at = piece_end(text, at))
        count++;
    return count;
}

struct str mock_piece(struct str text, size_t i)
{
    size_t at = 0;
    while (i-- > 0)
        at = piece_end(text, at);
    return str_of(text.ptr + at, piece_end(text, at) - at);
}

const struct mock_part *mock_part_of(const struct mock_ask *ask, enum mock_part_kind kind)
{
    for (size_t i = 0; i < ask->part_count; i++)
        if (ask->parts[i].kind == kind)
            return &ask->parts[i];
    return NULL;
}

size_t mock_calls(const struct mock_ask *ask)
{
    size_t count = 0;
    for (size_t i = 0; i < ask->part_count; i++)
        count += ask->parts[i].kind == PART_CALL;
    return count;
}

void mock_part_unit_append(const struct mock_part *part, uint64_t i, struct buf *out)
{
    char token[WIRE_TOKEN_BYTES_MAX];
    if (part->text.len > 0)
        json_escape_append(out, mock_piece(part->text, (size_t)i));
    else if (part->kind == PART_THINKING)
        buf_printf(out, "%s思%llu", i > 0 ? " " : "", (unsigned long long)i);
    else if (part->kind == PART_TEXT)
        buf_append(out, token, wire_token_write(token, i));
}

void mock_part_text_append(const struct mock_part *part, struct buf *out)
{
    if (part->text.len > 0) {
        json_escape_append(out, part->text);
        return;
    }
    for (uint64_t i = 0; i < part->units; i++)
        mock_part_unit_append(part, i, out);
}

/* Of one part when `units` of it are out. A call's tokens are all there with its first piece. */
static uint64_t tokens_of_part(const struct mock_part *part, uint64_t units)
{
    if (part->kind != PART_CALL)
        return units;
    return (part->name.len + part->text.len + 3) / 4;
}

uint64_t mock_tokens_of(const struct mock_ask *ask, uint64_t units)
{
    const struct mock_part *shown = mock_part_of(ask, PART_THINKING);
    uint64_t tokens = ask->reasoning - (shown ? shown->units : 0); /* hidden: there at once */
    for (size_t i = 0; i < ask->part_count && units > 0; i++) {
        uint64_t of_part = ask->parts[i].units + (ask->parts[i].kind == PART_CALL);
        uint64_t out = units < of_part ? units : of_part;
        tokens += tokens_of_part(&ask->parts[i], out);
        units -= out;
    }
    return tokens;
}

struct mock_usage mock_usage_of(const struct mock_ask *ask, uint64_t units)
{
    struct mock_usage usage = {
        .input = ask->prompt_tokens,
        .cache_read = ask->cache_read,
        .cache_write = ask->cache_write,
        .output = mock_tokens_of(ask, units) * ask->choices,
        .reasoning = ask->reasoning * ask->choices,
    };
    usage.total = usage.input + usage.output;
    if (usage.reasoning > usage.output)
        usage.reasoning = usage.output;
    if (ask->fault.kind == FAULT_USAGE_DETAILS) {
        usage.cache_read = usage.input / 2;
        usage.reasoning = usage.output / 2;
    }
    if (ask->fault.kind == FAULT_USAGE_IMPOSSIBLE)
        usage.cache_read = usage.input * 2;
    return usage;
}

/* ---- Logprobs ---- */

static void append_logprob(struct str json_text, double logprob, struct buf *out)
{
    buf_append_str(out, STR("{\"token\":\""));
    buf_append_str(out, json_text);
    buf_printf(out, "\",\"logprob\":%g,\"bytes\":[", logprob);
    for (size_t i = 0; i < json_text.len; i++)
        buf_printf(out, "%s%u", i > 0 ? "," : "", (unsigned)(unsigned char)json_text.ptr[i]);
    buf_append_char(out, ']');
}

void mock_logprob_append(const struct mock_ask *ask, const struct mock_part *part, uint64_t i,
                         struct buf *out)
{
    struct buf BUF_AUTO token;
    buf_init(&token, 4096);
    mock_part_unit_append(part, i, &token);
    append_logprob(buf_str(&token), -0.25, out);
    buf_append_str(out, STR(",\"top_logprobs\":["));
    for (uint32_t k = 0; k < ask->top_logprobs; k++) {
        struct buf BUF_AUTO other;
        buf_init(&other, 64);
        buf_printf(&other, " other%u", k);
        if (k > 0)
            buf_append_char(out, ',');
        append_logprob(k == 0 ? buf_str(&token) : buf_str(&other), k == 0 ? -0.25 : -1.5 - k, out);
        buf_append_char(out, '}');
    }
    buf_append_str(out, STR("]}"));
}

void mock_call_id_append(const struct mock_part *part, const char *prefix, struct buf *out)
{
    buf_printf(out, "\"%s%zu\"", prefix, part->number);
}
