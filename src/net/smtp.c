/* One dialogue, a step for each answer of the server:
 *
 *   greeting ─> EHLO ─> [STARTTLS ─> TLS ─> EHLO] ─> [AUTH] ─> MAIL FROM ─> RCPT TO… ─> DATA ─>
 * text ─> QUIT */
#include "net/smtp.h"

#include <time.h>

#include "codec/base64.h"
#include "net/stream.h"

enum { ANSWER_BYTES_MAX = 16 << 10, COMMAND_BYTES_MAX = 4096 };

enum step { GREETING, HELLO, STARTTLS, AUTH, AUTH_USER, AUTH_PASSWORD, FROM, TO, DATA, TEXT, QUIT };

struct smtp {
    const struct smtp_message *m;
    struct loop *loop;
    struct stream stream;
    struct tls_context *tls;
    struct loop_timer timer;
    struct buf answer; /* what came, up to the last line of a reply */
    struct buf *detail;
    enum step step;
    size_t recipient;
    bool secure;   /* TLS is spoken */
    bool loopback; /* the server is on this machine */
    bool over;
    enum err error;
};

static struct smtp *smtp_of(struct stream *s)
{
    return (struct smtp *)((char *)s - offsetof(struct smtp, stream));
}

static void end(struct smtp *s, enum err error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void end(struct smtp *s, enum err error, const char *format, ...)
{
    va_list args;
    if (s->over)
        return;
    s->over = true;
    s->error = error;
    va_start(args, format);
    if (error != ERR_OK)
        buf_vprintf(s->detail, format, args);
    va_end(args);
    loop_timer_stop(&s->timer);
    stream_close(&s->stream);
}

static void say(struct smtp *s, enum step step, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct smtp *s, enum step step, const char *format, ...)
{
    struct buf line BUF_AUTO;
    va_list args;
    buf_init(&line, COMMAND_BYTES_MAX);
    va_start(args, format);
    buf_vprintf(&line, format, args);
    va_end(args);
    buf_append_str(&line, STR("\r\n"));
    s->step = step;
    if (line.error != ERR_OK)
        end(s, ERR_TOO_LARGE, "an address or a password is too long for SMTP");
    else
        stream_write(&s->stream, line.ptr, line.len);
}

static void start_tls(struct smtp *s)
{
    const struct tls_client_options trust = {.ca_file = s->m->ca_file};
    enum err error = tls_client_context_new(&trust, s->detail, &s->tls);
    struct tls_start start = {.context = s->tls, .host = s->m->host};
    if (error == ERR_OK)
        error = stream_start_tls(&s->stream, &start);
    if (error != ERR_OK)
        end(s, ERR_TLS, "TLS could not be started");
}

/* ---- Steps ---- */

static bool offers(const struct smtp *s, struct str word)
{
    struct str rest = buf_str(&s->answer);
    while (rest.ptr) {
        struct str line = str_skip(str_split(&rest, '\n'), 4);
        if (str_starts_nocase(line, word))
            return true;
    }
    return false;
}

static void append_base64(struct buf *out, struct str text)
{
    base64_encode(text, out);
}

/* RFC 4616: NUL user NUL password. */
static void authenticate(struct smtp *s)
{
    struct buf plain BUF_AUTO;
    struct buf text BUF_AUTO;
    buf_init(&plain, COMMAND_BYTES_MAX);
    buf_init(&text, COMMAND_BYTES_MAX);
    if (!s->secure && !s->loopback) {
        end(s, ERR_TLS, "the server offers no STARTTLS: the password is not sent as plain text");
        return;
    }
    if (offers(s, STR("AUTH LOGIN"))) {
        say(s, AUTH_USER, "AUTH LOGIN");
        return;
    }
    buf_append_char(&plain, 0);
    buf_append_str(&plain, s->m->user);
    buf_append_char(&plain, 0);
    buf_append_str(&plain, s->m->password);
    append_base64(&text, buf_str(&plain));
    say(s, AUTH, "AUTH PLAIN %.*s", STR_ARG(buf_str(&text)));
    explicit_bzero(plain.ptr, plain.len);
    explicit_bzero(text.ptr, text.len);
}

static void say_base64(struct smtp *s, enum step step, struct str secret)
{
    struct buf text BUF_AUTO;
    buf_init(&text, COMMAND_BYTES_MAX);
    append_base64(&text, secret);
    say(s, step, "%.*s", STR_ARG(buf_str(&text)));
    explicit_bzero(text.ptr, text.len);
}

static void from(struct smtp *s)
{
    say(s, FROM, "MAIL FROM:<%.*s>", STR_ARG(s->m->from));
}

static void after_hello(struct smtp *s)
{
    if (!s->secure && offers(s, STR("STARTTLS")))
        say(s, STARTTLS, "STARTTLS");
    else if (s->m->user.len)
        authenticate(s);
    else
        from(s);
}

static void next_recipient(struct smtp *s)
{
    if (s->recipient == s->m->to_count) {
        say(s, DATA, "DATA");
        return;
    }
    struct str to = s->m->to[s->recipient++];
    say(s, TO, "RCPT TO:<%.*s>", STR_ARG(to));
}

/* A line that begins with a dot gets another one (RFC 5321 §4.5.2). */
static void text(struct smtp *s)
{
    struct str rest = s->m->mail;
    while (rest.len) {
        ptrdiff_t at = str_find(rest, STR("\r\n"));
        size_t len = at < 0 ? rest.len : (size_t)at;
        if (rest.ptr[0] == '.')
            stream_write(&s->stream, ".", 1);
        stream_write(&s->stream, rest.ptr, len);
        stream_write(&s->stream, "\r\n", 2);
        rest = str_skip(rest, at < 0 ? len : len + 2);
    }
    say(s, TEXT, ".");
}

static void hello(struct smtp *s)
{
    say(s, HELLO, "EHLO weir.localdomain");
}

/* A whole reply is in s->answer. */
static void answered(struct smtp *s, int code)
{
    static const int wanted[] = {
        [GREETING] = 220,  [HELLO] = 250,         [STARTTLS] = 220, [AUTH] = 235,
        [AUTH_USER] = 334, [AUTH_PASSWORD] = 334, [FROM] = 250,     [TO] = 250,
        [DATA] = 354,      [TEXT] = 250,          [QUIT] = 221};
    static const char *const said[] = {"the greeting", "EHLO",     "STARTTLS",  "AUTH",
                                       "AUTH",         "AUTH",     "MAIL FROM", "RCPT TO",
                                       "DATA",         "the text", "QUIT"};
    if (s->step == QUIT) {
        end(s, ERR_OK, " ");
        return;
    }
    if (code != wanted[s->step] && !(s->step == TO && code == 251)) {
        struct str line = buf_str(&s->answer);
        line = str_take(str_split(&line, '\r'), 200);
        end(s, ERR_PROTOCOL, "the server answered %s with: %.*s", said[s->step], STR_ARG(line));
        return;
    }
    switch (s->step) {
    case GREETING: hello(s); break;
    case HELLO: after_hello(s); break;
    case STARTTLS: start_tls(s); break;
    case AUTH_USER: say_base64(s, AUTH_PASSWORD, s->m->user); break;
    case AUTH_PASSWORD: say_base64(s, AUTH, s->m->password); break;
    case AUTH: from(s); break;
    case FROM:
    case TO: next_recipient(s); break;
    case DATA: text(s); break;
    case TEXT: say(s, QUIT, "QUIT"); break;
    case QUIT: break;
    }
}

/* ---- The stream ---- */

/* "250-…" lines go on, "250 …" ends a reply. Length of the whole reply; 0: more is to come. */
static size_t reply_len(struct str bytes, int *ret_code)
{
    size_t at = 0;
    for (;;) {
        struct str line = str_skip(bytes, at);
        ptrdiff_t lf = str_index(line, '\n');
        if (lf < 0)
            return 0;
        at += (size_t)lf + 1;
        if (lf >= 4 && line.ptr[3] == '-')
            continue;
        uint64_t code = 0;
        if (lf < 3 || str_to_u64(str_take(line, 3), &code) != ERR_OK)
            code = 0;
        *ret_code = (int)code;
        return at;
    }
}

static void on_read(struct stream *stream, struct str bytes)
{
    struct smtp *s = smtp_of(stream);
    int code = 0;
    buf_append_str(&s->answer, bytes);
    if (s->answer.error != ERR_OK) {
        end(s, ERR_PROTOCOL, "the server's answer is too long");
        return;
    }
    size_t len = reply_len(buf_str(&s->answer), &code);
    if (!len || s->over)
        return;
    /* One command at a time: what follows a reply in plain text, before TLS, is not of the server.
     */
    if (len != s->answer.len) {
        end(s, ERR_PROTOCOL, "the server said more than it was asked");
        return;
    }
    answered(s, code);
    buf_reset(&s->answer);
}

static void on_connected(struct stream *stream)
{
    struct smtp *s = smtp_of(stream);
    stream_read_start(stream);
    if (s->m->tls)
        start_tls(s);
}

static void on_secured(struct stream *stream)
{
    struct smtp *s = smtp_of(stream);
    s->secure = true;
    if (!s->m->tls)
        hello(s);
}

static void on_eof(struct stream *stream)
{
    struct smtp *s = smtp_of(stream);
    bool done = s->step == QUIT; /* the mail was taken */
    end(s, done ? ERR_OK : ERR_RESET, "the server closed the connection");
}

static void on_error(struct stream *stream, enum err error, struct str detail)
{
    struct smtp *s = smtp_of(stream);
    end(s, s->step == QUIT ? ERR_OK : error, "%.*s", STR_ARG(detail));
}

static void on_timeout(void *arg)
{
    end(arg, ERR_TIMEOUT, "the server did not answer in time");
}

static const struct stream_events events = {
    .on_read = on_read,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_connected = on_connected,
    .on_secured = on_secured,
};

/* ---- The whole ---- */

static bool is_loopback_address(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return *(const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr ==
               127;
    return address->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

static enum err connect_to(struct smtp *s)
{
    struct buf host BUF_AUTO;
    char port[8];
    uv_getaddrinfo_t lookup;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    buf_init(&host, 512);
    buf_append_str(&host, s->m->host);
    (void)snprintf(port, sizeof port, "%u", (unsigned)s->m->port);
    int rc = uv_getaddrinfo(loop_uv(s->loop), &lookup, NULL, buf_cstr(&host), port, &hints);
    if (rc != 0) {
        buf_printf(s->detail, "%.*s does not resolve: %s", STR_ARG(s->m->host), uv_strerror(rc));
        return ERR_DNS;
    }
    s->loopback = is_loopback_address(lookup.addrinfo->ai_addr);
    stream_init(&s->stream, s->loop, &events);
    enum err error = stream_connect(&s->stream, lookup.addrinfo->ai_addr);
    uv_freeaddrinfo(lookup.addrinfo);
    if (error != ERR_OK)
        buf_printf(s->detail, "cannot connect to %.*s:%s", STR_ARG(s->m->host), port);
    return error;
}

enum err smtp_send(const struct smtp_message *message, struct buf *detail)
{
    struct smtp s = {.m = message, .detail = detail, .step = GREETING};
    buf_init(&s.answer, ANSWER_BYTES_MAX);
    TRY(loop_new(&s.loop));
    enum err error = connect_to(&s);
    if (error == ERR_OK) {
        loop_timer_init(&s.timer, on_timeout, &s);
        loop_timer_start(s.loop, &s.timer, message->timeout_ms);
        loop_run_until_idle(s.loop);
        error = s.error;
    }
    loop_run_until_idle(s.loop);
    loop_free(s.loop);
    tls_context_unref(s.tls);
    buf_release(&s.answer);
    return error;
}

void smtp_date_append(struct buf *out, int64_t wall_us)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm t;
    gmtime_r(&seconds, &t);
    buf_printf(out, "%s, %02d %s %d %02d:%02d:%02d +0000", days[t.tm_wday], t.tm_mday,
               months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}
