/* What an OTLP client is answered. */
#include "codec/json_write.h"
#include "codec/protobuf.h"
#include "dialect/otlp/otlp.h"

static const struct str rejected_names[OTLP_SIGNAL_COUNT] = {
    [OTLP_TRACES] = STR_INIT("rejectedSpans"),
    [OTLP_METRICS] = STR_INIT("rejectedDataPoints"),
    [OTLP_LOGS] = STR_INIT("rejectedLogRecords"),
};

/* Export…ServiceResponse: partial_success is field 1, and has the count and a message. */
void otlp_answer_write(enum otlp_signal signal, enum otlp_form form, uint64_t rejected,
                       struct str why, struct buf *out)
{
    if (form == OTLP_PROTOBUF) {
        if (!rejected)
            return; /* the empty message */
        size_t begun = pb_begin(out, 1);
        pb_write_varint(out, 1, rejected);
        pb_write_bytes(out, 2, why);
        pb_end(out, begun);
        return;
    }
    struct json_writer w;
    char digits[24];
    json_writer_init(&w, out);
    json_object_begin(&w);
    if (rejected) {
        int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)rejected);
        json_key(&w, STR("partialSuccess"));
        json_object_begin(&w);
        json_member_str(&w, rejected_names[signal], str_of(digits, (size_t)n));
        json_member_str(&w, STR("errorMessage"), why);
        json_object_end(&w);
    }
    json_object_end(&w);
}

void otlp_status_write(enum otlp_form form, int code, struct str message, struct buf *out)
{
    if (form == OTLP_PROTOBUF) {
        pb_write_varint(out, 1, (uint64_t)code);
        pb_write_bytes(out, 2, message);
        return;
    }
    struct json_writer w;
    json_writer_init(&w, out);
    json_object_begin(&w);
    json_member_i64(&w, STR("code"), code);
    json_member_str(&w, STR("message"), message);
    json_object_end(&w);
}

int otlp_status_code(int http_status)
{
    switch (http_status) {
    case 400:
    case 415: return 3;  /* INVALID_ARGUMENT */
    case 401: return 16; /* UNAUTHENTICATED */
    case 403: return 7;  /* PERMISSION_DENIED */
    case 404: return 5;  /* NOT_FOUND */
    case 413:
    case 429: return 8;  /* RESOURCE_EXHAUSTED */
    case 405: return 12; /* UNIMPLEMENTED */
    case 503: return 14; /* UNAVAILABLE */
    default: return 13;  /* INTERNAL */
    }
}
