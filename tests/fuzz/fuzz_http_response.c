/* Responses, in any cuts: the parser says the same, stays within its limits, and hands out nothing
 * that may not be passed on. */
#include <stdint.h>

#include "base/assert.h"
#include "net/http_parse_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_BYTES_MAX = 1024, INPUT_BYTES_MAX = 16 << 10 };

static void note_head(const struct http_parser *p, struct buf *told)
{
    const struct http_head *head = p->head;
    ASSERT(head->count <= HTTP_HEADERS_MAX && head->text.len <= HEAD_BYTES_MAX);
    buf_printf(told, "[%d %lld", p->ll.status_code, (long long)http_parser_content_length(p));
    for (size_t i = 0; i < head->count; i++) {
        ASSERT(http_header_valid(&head->items[i]));
        buf_printf(told, " %.*s=%.*s", STR_ARG(head->items[i].name), STR_ARG(head->items[i].value));
    }
    buf_append_char(told, ']');
}

/* True when the connection is over. */
static bool feed(struct http_parser *p, struct http_head *head, struct str in, struct buf *told)
{
    for (;;) {
        struct str piece = STR_NONE;
        struct str before = in;
        enum http_parse r = http_parser_next(p, &in, &piece);
        ASSERT(in.len <= before.len);
        switch (r) {
        case HTTP_PARSE_MORE: return false;
        case HTTP_PARSE_HEAD: note_head(p, told); break;
        case HTTP_PARSE_BODY:
            ASSERT(piece.ptr >= before.ptr && piece.ptr + piece.len <= before.ptr + before.len);
            buf_append_str(told, piece);
            break;
        case HTTP_PARSE_END:
            buf_printf(told, "[end %d]", llhttp_should_keep_alive(&p->ll));
            if (!llhttp_should_keep_alive(&p->ll))
                return true;
            http_head_reset(head);
            http_parser_begin(p, head);
            break;
        case HTTP_PARSE_ERROR:
            ASSERT(*http_parser_mistake(p));
            buf_append_str(told, STR("[error]"));
            return true;
        }
    }
}

static void run(struct str input, uint32_t seed, bool at_once, struct buf *told)
{
    struct http_head head;
    struct http_parser p;
    http_head_init(&head);
    http_parser_init(&p, HTTP_RESPONSE, HEAD_BYTES_MAX);
    http_parser_begin(&p, &head);
    bool over = false;
    while (input.len > 0 && !over) {
        seed = seed * 1664525 + 1013904223;
        struct str piece = str_take(input, at_once ? input.len : 1 + (seed >> 16) % 40);
        over = feed(&p, &head, piece, told);
        input = str_skip(input, piece.len);
    }
    if (!over)
        buf_printf(told, "[finish %d]", http_parser_finish(&p));
    http_head_release(&head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4 || size > INPUT_BYTES_MAX)
        return 0;
    uint32_t seed;
    memcpy(&seed, data, sizeof seed);
    struct str input = str_of((const char *)data + sizeof seed, size - sizeof seed);
    BUF_AUTO struct buf whole = {.max = 1 << 20}, cut = {.max = 1 << 20};
    run(input, seed, true, &whole);
    run(input, seed, false, &cut);
    ASSERT(whole.error == ERR_OK && str_eq(buf_str(&whole), buf_str(&cut)));
    return 0;
}
