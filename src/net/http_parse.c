#include "net/http_parse_int.h"

#include "base/assert.h"
#include "base/mem.h"

enum {
    FIELDS_FIRST = 16,   /* room for fields that a head keeps */
    TEXT_KEPT = 8 << 10, /* bytes of text that a head keeps */
};

/* ---- Heads ---- */

void http_head_init(struct http_head *head)
{
    *head = (struct http_head){0};
    buf_init(&head->text, SIZE_MAX / 2);
}

void http_head_release(struct http_head *head)
{
    buf_release(&head->text);
    mem_free(head->items);
    *head = (struct http_head){0};
}

void http_head_reset(struct http_head *head)
{
    head->count = 0;
    head->target_len = 0;
    head->in_value = false;
    buf_reset(&head->text);
    if (head->text.cap > TEXT_KEPT)
        buf_release(&head->text);
    if (head->cap > FIELDS_FIRST) {
        mem_free(head->items);
        head->items = NULL;
        head->cap = 0;
    }
}

static struct http_header *add_field(struct http_head *head)
{
    if (head->count == head->cap) {
        head->cap = head->cap ? head->cap * 2 : FIELDS_FIRST;
        head->items = mem_resize(head->items, head->cap * sizeof *head->items);
    }
    ASSERT(head->items);
    struct http_header *field = &head->items[head->count++];
    *field = (struct http_header){STR_NONE, STR_NONE};
    head->in_value = false;
    return field;
}

/* The text is complete: lengths become slices. */
static void fix_fields(struct http_head *head)
{
    const char *at = head->text.ptr + head->target_len;
    for (size_t i = 0; i < head->count; i++) {
        struct http_header *field = &head->items[i];
        field->name.ptr = at;
        field->value.ptr = at + field->name.len;
        at = field->value.ptr + field->value.len;
        field->value = str_trim(field->value);
    }
}

/* ---- llhttp's callbacks ---- */

static struct http_parser *parser_of(llhttp_t *ll)
{
    return ll->data;
}

static int too_large(struct http_parser *p)
{
    p->too_large = true;
    return HPE_USER;
}

static int add_text(struct http_parser *p, const char *at, size_t len)
{
    if (p->head->text.len + len > p->head_bytes_max)
        return too_large(p);
    buf_append(&p->head->text, at, len);
    return p->head->text.error == ERR_OK ? 0 : too_large(p);
}

static int on_url(llhttp_t *ll, const char *at, size_t len)
{
    struct http_parser *p = parser_of(ll);
    p->head->target_len += len;
    return add_text(p, at, len);
}

/* Field names and values come in any number of pieces, then `complete`. */
static int on_field(llhttp_t *ll, const char *at, size_t len)
{
    struct http_parser *p = parser_of(ll);
    struct http_head *head = p->head;
    if (p->in_body) /* trailers */
        return 0;
    struct http_header *field = head->count > 0 ? &head->items[head->count - 1] : NULL;
    if (!field || head->in_value) {
        if (head->count == HTTP_HEADERS_MAX)
            return too_large(p);
        field = add_field(head);
    }
    field->name.len += len;
    return add_text(p, at, len);
}

static int on_field_complete(llhttp_t *ll)
{
    struct http_parser *p = parser_of(ll);
    if (p->in_body)
        return 0;
    p->head->in_value = true;
    return 0;
}

static int on_value(llhttp_t *ll, const char *at, size_t len)
{
    struct http_parser *p = parser_of(ll);
    if (p->in_body)
        return 0;
    p->head->items[p->head->count - 1].value.len += len;
    return add_text(p, at, len);
}

static int stop_at(llhttp_t *ll, enum http_parse event)
{
    parser_of(ll)->event = (uint8_t)event;
    return HPE_PAUSED;
}

static int on_headers_complete(llhttp_t *ll)
{
    struct http_parser *p = parser_of(ll);
    p->in_body = true;
    if (p->head->count > 0)
        fix_fields(p->head);
    return stop_at(ll, HTTP_PARSE_HEAD);
}

static int on_body(llhttp_t *ll, const char *at, size_t len)
{
    if (len == 0) /* an open span at the end of an input that was used up before */
        return 0;
    parser_of(ll)->piece = str_of(at, len);
    return stop_at(ll, HTTP_PARSE_BODY);
}

static int on_message_complete(llhttp_t *ll)
{
    return stop_at(ll, HTTP_PARSE_END);
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_field_complete = on_field_complete,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- The parser ---- */

void http_parser_init(struct http_parser *p, llhttp_type_t type, size_t head_bytes_max)
{
    *p = (struct http_parser){.head_bytes_max = head_bytes_max};
    llhttp_init(&p->ll, type, &settings);
    p->ll.data = p;
}

void http_parser_begin(struct http_parser *p, struct http_head *head)
{
    p->head = head;
    p->head_bytes = p->extra_bytes = 0;
    p->body_bytes = 0;
    p->in_body = false;
}

/* Account for n bytes of input that the parser has passed. */
static bool within_limits(struct http_parser *p, size_t n, bool was_in_body)
{
    if (!was_in_body) {
        p->head_bytes += n;
        return p->head_bytes <= p->head_bytes_max;
    }
    size_t body = p->event == HTTP_PARSE_BODY ? p->piece.len : 0;
    p->extra_bytes += n - body;
    /* By what came before, so that it does not matter how the input was cut. */
    bool within = p->extra_bytes <= p->head_bytes_max + HTTP_CHUNK_OVERHEAD * p->body_bytes;
    p->body_bytes += body;
    return within;
}

enum http_parse http_parser_next(struct http_parser *p, struct str *in, struct str *ret_body)
{
    ASSERT(p->head);
    if (p->paused)
        llhttp_resume(&p->ll);
    p->paused = false;
    p->event = HTTP_PARSE_MORE;
    bool was_in_body = p->in_body;
    llhttp_errno_t e = llhttp_execute(&p->ll, in->ptr, in->len);
    while (e == HPE_PAUSED_UPGRADE) {
        /* Nothing is upgraded here: what follows is HTTP as before. */
        *in = str_skip(*in, (size_t)(llhttp_get_error_pos(&p->ll) - in->ptr));
        llhttp_resume_after_upgrade(&p->ll);
        e = llhttp_execute(&p->ll, in->ptr, in->len);
    }
    size_t used = e == HPE_OK ? in->len : (size_t)(llhttp_get_error_pos(&p->ll) - in->ptr);
    if (e != HPE_OK && e != HPE_PAUSED)
        return HTTP_PARSE_ERROR;
    p->paused = e == HPE_PAUSED;
    *in = str_skip(*in, used);
    if (!within_limits(p, used, was_in_body)) {
        p->too_large = true;
        return HTTP_PARSE_ERROR;
    }
    if (p->event == HTTP_PARSE_BODY)
        *ret_body = p->piece;
    return (enum http_parse)p->event;
}

enum http_parse http_parser_finish(struct http_parser *p)
{
    if (p->paused)
        llhttp_resume(&p->ll);
    p->paused = false;
    p->event = HTTP_PARSE_MORE;
    llhttp_errno_t e = llhttp_finish(&p->ll);
    if (e == HPE_OK || e == HPE_PAUSED)
        return p->event == HTTP_PARSE_END ? HTTP_PARSE_END : HTTP_PARSE_MORE;
    return HTTP_PARSE_ERROR;
}

void http_parser_skip_body(struct http_parser *p)
{
    p->ll.flags |= F_SKIPBODY;
}

bool http_parser_chunked(const struct http_parser *p)
{
    return (p->ll.flags & F_CHUNKED) != 0;
}

int64_t http_parser_content_length(const struct http_parser *p)
{
    if (!(p->ll.flags & F_CONTENT_LENGTH) || p->ll.content_length > INT64_MAX)
        return -1;
    return (int64_t)p->ll.content_length;
}

const char *http_parser_mistake(const struct http_parser *p)
{
    if (p->too_large)
        return "the message's head is larger than its limit";
    const char *reason = llhttp_get_error_reason(&p->ll);
    return reason && *reason ? reason : "not HTTP";
}
