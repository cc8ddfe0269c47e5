/* One message to one recipient: a webhook's body, or a mail. */
#include "alert/alert_int.h"
#include "codec/uuid.h"
#include "net/http_simple.h"
#include "net/smtp.h"
#include "os/clock.h"
#include "os/random.h"

enum { BODY_BYTES_MAX = 256 << 10, CONNECT_MS = 3000, TOTAL_MS = 5000 };

/* Slack's incoming webhooks:
 * https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks.
 * `&`, `<` and `>` are markup there. */
static void write_slack(const struct alert_message *m, struct buf *body)
{
    struct json_writer w;
    struct buf text BUF_AUTO;
    buf_init(&text, BODY_BYTES_MAX);
    buf_append_str(&text, str_eq(m->state, STR("firing"))     ? STR(":red_circle: ")
                          : str_eq(m->state, STR("resolved")) ? STR(":large_green_circle: ")
                                                              : STR(":speech_balloon: "));
    for (size_t i = 0; i < m->summary.len; i++) {
        switch (m->summary.ptr[i]) {
        case '&': buf_append_str(&text, STR("&amp;")); break;
        case '<': buf_append_str(&text, STR("&lt;")); break;
        case '>': buf_append_str(&text, STR("&gt;")); break;
        default: buf_append_char(&text, m->summary.ptr[i]);
        }
    }
    json_writer_init(&w, body);
    json_object_begin(&w);
    json_member_str(&w, STR("text"), buf_str(&text));
    json_object_end(&w);
}

/* What the server says of an error, at most so much of it. */
static void describe(const struct http_simple_response *r, struct buf *detail)
{
    struct str said = str_take(buf_str(&r->body), 100);
    buf_printf(detail, "it answered %d: ", r->status);
    for (size_t i = 0; i < said.len; i++)
        buf_append_char(
            detail, (unsigned char)said.ptr[i] < 0x20 || said.ptr[i] == '"' ? ' ' : said.ptr[i]);
}

static enum err send_webhook(const struct config_notify *to, const struct alert_message *m,
                             struct str ca_file, struct buf *detail)
{
    struct http_header headers[CONFIG_HEADERS_MAX + 1];
    struct http_simple_response response;
    struct buf body BUF_AUTO;
    buf_init(&body, BODY_BYTES_MAX);
    if (to->form == CONFIG_NOTIFY_SLACK)
        write_slack(m, &body);
    else
        buf_append_str(&body, m->json);
    headers[0] = HTTP_HEADER("content-type", STR("application/json"));
    for (size_t i = 0; i < to->header_count; i++)
        headers[i + 1] =
            (struct http_header){.name = to->headers[i].name, .value = to->headers[i].value};
    const struct http_simple_request request = {
        .url = to->url,
        .method = STR("POST"),
        .headers = headers,
        .header_count = to->header_count + 1,
        .body = buf_str(&body),
        .ca_file = ca_file,
        .timeouts = {.connect_ms = CONNECT_MS, .total_ms = TOTAL_MS},
        .public_only = !to->internal,
        .body_bytes_max = BODY_BYTES_MAX,
    };
    enum err error = http_simple_fetch(&request, detail, &response);
    if (error == ERR_ACCESS) {
        buf_reset(detail);
        buf_printf(detail,
                   "its address is not on the public internet: write 'internal: true' "
                   "under notify.%.*s if it is meant to be",
                   STR_ARG(to->name));
    }
    TRY(error);
    bool good = response.status >= 200 && response.status < 300;
    if (!good)
        describe(&response, detail);
    http_simple_release(&response);
    return good ? ERR_OK : ERR_PROTOCOL;
}

/* The part of a header that a name from outside could break lines in. */
static void append_header_text(struct buf *b, struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        buf_append_char(b, (unsigned char)text.ptr[i] < 0x20 || (unsigned char)text.ptr[i] > 0x7e
                               ? '?'
                               : text.ptr[i]);
}

static void write_mail(const struct config_notify *to, const struct alert_message *m,
                       struct buf *mail)
{
    uint8_t random[16];
    char id[UUID_TEXT_BYTES + 1];
    os_random_bytes(random, sizeof random);
    buf_printf(mail, "From: Weir <%.*s>\r\nTo: ", STR_ARG(to->from));
    for (size_t i = 0; i < to->recipient_count; i++)
        buf_printf(mail, "%s<%.*s>", i ? ", " : "", STR_ARG(to->recipients[i]));
    buf_append_str(mail, STR("\r\nSubject: [Weir] "));
    append_header_text(mail, str_take(m->summary, 200));
    buf_printf(mail,
               "\r\nMessage-ID: <%.*s@weir>\r\nDate: ", STR_ARG(uuid_format(uuid_v4(random), id)));
    smtp_date_append(mail, os_wall_us());
    buf_printf(mail,
               "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
               "Content-Transfer-Encoding: 8bit\r\nAuto-Submitted: auto-generated\r\n\r\n"
               "%.*s\r\n\r\n%.*s\r\n",
               STR_ARG(m->summary), STR_ARG(m->json));
}

static enum err send_mail(const struct config_notify *to, const struct alert_message *m,
                          struct str ca_file, struct buf *detail)
{
    struct buf mail BUF_AUTO;
    buf_init(&mail, BODY_BYTES_MAX);
    write_mail(to, m, &mail);
    const struct smtp_message message = {
        .host = to->host,
        .port = to->port,
        .tls = to->tls,
        .ca_file = ca_file,
        .user = to->user,
        .password = to->password,
        .from = to->from,
        .to = to->recipients,
        .to_count = to->recipient_count,
        .mail = buf_str(&mail),
        .timeout_ms = 2 * TOTAL_MS,
    };
    return smtp_send(&message, detail);
}

enum err alert_send(const struct config_notify *to, const struct alert_message *m,
                    struct str ca_file, struct buf *detail)
{
    return to->form == CONFIG_NOTIFY_MAIL ? send_mail(to, m, ca_file, detail)
                                          : send_webhook(to, m, ca_file, detail);
}
