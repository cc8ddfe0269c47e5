#include "cli/wire/wire_http.h"

static int tell(llhttp_t *native, enum wire_part part, const char *at, size_t len)
{
    struct wire_reader *reader = native->data;
    return reader->on_part(reader->arg, part, str_of(at, len)) ? HPE_OK : HPE_USER;
}

/* llhttp's callbacks, each telling its part. */
#define TELL_TEXT(name, part)                                                                      \
    static int name(llhttp_t *native, const char *at, size_t len)                                  \
    {                                                                                              \
        return tell(native, part, at, len);                                                        \
    }
#define TELL(name, part)                                                                           \
    static int name(llhttp_t *native)                                                              \
    {                                                                                              \
        return tell(native, part, NULL, 0);                                                        \
    }

TELL(on_begin, WIRE_BEGIN)
TELL_TEXT(on_method, WIRE_METHOD)
TELL_TEXT(on_target, WIRE_TARGET)
TELL_TEXT(on_version, WIRE_VERSION)
TELL_TEXT(on_name, WIRE_NAME)
TELL(on_name_end, WIRE_NAME_END)
TELL_TEXT(on_value, WIRE_VALUE)
TELL(on_value_end, WIRE_VALUE_END)
TELL(on_head_end, WIRE_HEAD_END)
TELL_TEXT(on_body, WIRE_BODY)

/* So that wire_reader_feed stops behind the message. */
static int on_end(llhttp_t *native)
{
    (void)native;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_begin,
    .on_method = on_method,
    .on_url = on_target,
    .on_version = on_version,
    .on_header_field = on_name,
    .on_header_field_complete = on_name_end,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_end,
    .on_headers_complete = on_head_end,
    .on_body = on_body,
    .on_message_complete = on_end,
};

void wire_reader_init(struct wire_reader *reader, bool responses,
                      bool (*on_part)(void *arg, enum wire_part part, struct str text), void *arg)
{
    llhttp_init(&reader->native, responses ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
    reader->native.data = reader;
    reader->on_part = on_part;
    reader->arg = arg;
}

enum wire_read wire_reader_feed(struct wire_reader *reader, struct str bytes, size_t *ret_used)
{
    enum llhttp_errno error = llhttp_execute(&reader->native, bytes.ptr, bytes.len);
    *ret_used = bytes.len;
    if (error == HPE_OK)
        return WIRE_MORE;
    if (error != HPE_PAUSED)
        return WIRE_BAD;
    *ret_used = (size_t)(llhttp_get_error_pos(&reader->native) - bytes.ptr);
    llhttp_resume(&reader->native);
    return WIRE_WHOLE;
}

enum wire_read wire_reader_end(struct wire_reader *reader)
{
    return llhttp_finish(&reader->native) == HPE_PAUSED ? WIRE_WHOLE : WIRE_BAD;
}

int wire_reader_status(const struct wire_reader *reader)
{
    return reader->native.status_code;
}

bool wire_reader_is_http_1_0(const struct wire_reader *reader)
{
    return reader->native.http_major == 1 && reader->native.http_minor == 0;
}

bool wire_reader_keeps(const struct wire_reader *reader)
{
    return llhttp_should_keep_alive(&reader->native) != 0;
}
