/* The mock's own paths:
 *
 *   GET /mock/stats       counters          DELETE /mock/stats     start them anew
 *   GET /mock/last        the last request  GET /mock/last/body    its body, byte for byte
 *   PUT /mock/faults      a fault a line    DELETE /mock/faults    none
 *
 * They are not counted, and no fault strikes them. */
#include "cli/mock/mock_int.h"
#include "codec/json_write.h"

static void write_stats(const struct mock *mock, struct buf *out)
{
    const struct mock_stats *s = &mock->stats;
    struct json_writer w;
    json_writer_init(&w, out);
    json_object_begin(&w);
    json_member_u64(&w, STR("requests"), s->requests);
    json_member_u64(&w, STR("answered"), s->answered);
    json_member_u64(&w, STR("cancelled"), s->cancelled);
    json_member_u64(&w, STR("broken"), s->broken);
    json_member_u64(&w, STR("faults"), s->faults);
    json_member_u64(&w, STR("bytes_in"), s->bytes_in);
    json_member_u64(&w, STR("bytes_out"), s->bytes_out);
    json_member_u64(&w, STR("connections"), s->connections);
    json_member_u64(&w, STR("active"), mock->active);
    json_member_u64(&w, STR("active_max"), s->active_max);
    json_object_end(&w);
}

static void write_fields(const struct mock_request *request, struct json_writer *w)
{
    struct str rest = buf_str(&request->fields);
    json_key(w, STR("headers"));
    json_array_begin(w);
    while (rest.len > 0) {
        json_array_begin(w);
        json_str(w, str_split(&rest, '\0'));
        json_str(w, str_split(&rest, '\0'));
        json_array_end(w);
    }
    json_array_end(w);
}

static void write_last(const struct mock *mock, struct buf *out)
{
    const struct mock_request *last = &mock->last;
    struct json_writer w;
    struct buf BUF_AUTO line;
    buf_init(&line, MOCK_HEAD_BYTES_MAX + 128);
    buf_append_str(&line, buf_str(&last->method));
    buf_append_char(&line, ' ');
    buf_append_str(&line, buf_str(&last->target));
    buf_append_str(&line, STR(" HTTP/"));
    buf_append_str(&line, buf_str(&last->version));
    json_writer_init(&w, out);
    json_object_begin(&w);
    json_member_str(&w, STR("request_line"), buf_str(&line));
    json_member_str(&w, STR("method"), buf_str(&last->method));
    json_member_str(&w, STR("target"), buf_str(&last->target));
    write_fields(last, &w);
    json_member_u64(&w, STR("body_bytes"), last->body.len);
    json_member_str(&w, STR("body"), buf_str(&last->body));
    json_key(&w, STR("seen"));
    struct buf BUF_AUTO seen;
    buf_init(&seen, MOCK_ANSWER_BYTES_MAX);
    mock_seen_append(last, mock->tokens, &seen);
    json_raw(&w, buf_str(&seen));
    json_object_end(&w);
}

/* All or none: a wrong line changes nothing. */
static bool set_faults(struct mock *mock, struct str lines, struct buf *reason)
{
    struct mock_faults faults = {.count = 0};
    struct str rest = lines;
    while (rest.ptr) {
        struct str line = str_trim(str_split(&rest, '\n'));
        if (line.len == 0)
            continue;
        if (faults.count == MOCK_FAULTS_MAX) {
            buf_printf(reason, "more than %d faults", MOCK_FAULTS_MAX);
            return false;
        }
        if (!mock_fault_parse(line, &faults.at[faults.count++], reason))
            return false;
    }
    mock->faults = faults;
    return true;
}

static void control_faults(struct mock_conn *conn, bool is_put)
{
    struct buf *body = &conn->answer.body;
    struct buf BUF_AUTO reason;
    buf_init(&reason, 1024);
    if (!is_put) {
        conn->mock->faults.count = 0;
    } else if (!set_faults(conn->mock, buf_str(&conn->request.body), &reason)) {
        mock_openai.error(400, buf_str(&reason), body);
        mock_answer_plain(conn, 400, STR("application/json"));
        return;
    }
    buf_append_str(body, STR("{}"));
    mock_answer_plain(conn, 200, STR("application/json"));
}

void mock_control(struct mock_conn *conn)
{
    struct mock *mock = conn->mock;
    struct buf *body = &conn->answer.body;
    struct str method = buf_str(&conn->request.method);
    struct str target = buf_str(&conn->request.target);
    bool is_get = str_eq(method, STR("GET"));
    bool is_delete = str_eq(method, STR("DELETE"));
    bool is_put = str_eq(method, STR("PUT"));
    mock_answer_reset(&conn->answer);
    if (str_eq(target, STR("/mock/stats")) && (is_get || is_delete)) {
        if (is_delete)
            mock->stats = (struct mock_stats){.active_max = mock->active};
        write_stats(mock, body);
    } else if (str_eq(target, STR("/mock/last")) && is_get) {
        write_last(mock, body);
    } else if (str_eq(target, STR("/mock/last/body")) && is_get) {
        buf_append_str(body, buf_str(&mock->last.body));
        mock_answer_plain(conn, 200, STR("application/octet-stream"));
        return;
    } else if (str_eq(target, STR("/mock/faults")) && (is_put || is_delete)) {
        control_faults(conn, is_put);
        return;
    } else {
        mock_openai.error(404, STR("the mock has no such path"), body);
        mock_answer_plain(conn, 404, STR("application/json"));
        return;
    }
    mock_answer_plain(conn, 200, STR("application/json"));
}
