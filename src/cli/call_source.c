#include "cli/call_source.h"

#include <stdlib.h>

#include "call/history.h"
#include "codec/json_scan.h"
#include "codec/time.h"
#include "os/clock.h"

/* --key means two things here: the key to show, as everywhere, and the name of the key to filter
 * by. What is no valid key while $WEIR_KEY is one was meant as a name. */
static bool key_is_a_name(struct call_source *s)
{
    struct str own = str_from_c(getenv("WEIR_KEY"));
    bool needed = own.len || s->data.len;
    if (s->key.len || !needed || str_eq(own, s->remote.key))
        return false;
    s->key = s->remote.key;
    s->remote.key = own;
    return true;
}

int call_source_page(struct call_source *s, const struct cli_command *command, int64_t cursor,
                     int64_t since_us, uint64_t limit, struct buf *page)
{
    if (s->part) {
        struct history_query q = {.model = s->model,
                                  .key = s->key,
                                  .status = s->status,
                                  .since_wall_us = since_us,
                                  .from_offset = cursor,
                                  .limit = (uint32_t)limit};
        uint32_t count = 0;
        int64_t next = -1;
        buf_append_str(page, STR("{\"calls\":["));
        enum err err = log_part_refresh(s->part);
        if (err == ERR_OK)
            err = history_list(s->part, &q, page, &count, &next);
        buf_printf(page, "],\"next\":\"%lld\"}", (long long)next);
        if (err != ERR_OK)
            return cli_fail(command, err_exit_code(err), "reading %.*s: %s", STR_ARG(s->data),
                            err_text(err));
        return 0;
    }
    struct buf path BUF_AUTO;
    char time[TIME_TEXT_BYTES + 1];
    buf_init(&path, 16384);
    buf_printf(&path, "/api/v1/calls?limit=%llu", (unsigned long long)limit);
    const struct str names[] = {STR("model"), STR("status"), STR("key")};
    const struct str values[] = {s->model, s->status, s->key};
    for (size_t i = 0; i < 3; i++) {
        if (!values[i].len)
            continue;
        buf_printf(&path, "&%.*s=", STR_ARG(names[i]));
        remote_encode(&path, values[i]);
    }
    if (since_us)
        buf_printf(&path, "&since=%s", time_format(since_us, time).ptr);
    if (cursor >= 0)
        buf_printf(&path, "&cursor=%lld", (long long)cursor);
    struct remote_answer answer;
    int code = 1;
    if (remote_ask(command, &s->remote, STR("GET"), buf_str(&path), STR_NONE, NULL, NULL,
                   &answer)) {
        if (answer.status == 401 && key_is_a_name(s)) {
            remote_answer_release(&answer);
            return call_source_page(s, command, cursor, since_us, limit, page);
        }
        code = answer.status == 200 ? 0 : remote_refused(command, &answer);
        buf_append_str(page, buf_str(&answer.body));
    }
    remote_answer_release(&answer);
    return code;
}

int call_source_open(struct call_source *s, const struct cli_command *command)
{
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    if (!s->data.len)
        return 0;
    (void)key_is_a_name(s);
    struct log_options options = {.dir = s->data.ptr, .read_only = true};
    enum err err = log_open(&options, &detail, &s->log);
    if (err != ERR_OK)
        return cli_fail(command, err_exit_code(err), "%.*s: %.*s", STR_ARG(s->data),
                        STR_ARG(detail.len ? buf_str(&detail) : str_from_c(err_text(err))));
    struct log_topic *topic = log_topic_find(s->log, STR("weir.calls"));
    if (!topic)
        return cli_fail(command, 1, "no calls are recorded in %.*s", STR_ARG(s->data));
    s->part = log_topic_part(topic, 0);
    return 0;
}

bool call_source_since(const struct cli_command *command, struct str since, int64_t *ret_us)
{
    *ret_us = 0;
    if (!since.len || time_point_parse(since, os_wall_us(), ret_us) == ERR_OK)
        return true;
    cli_fail(command, 2,
             "--since '%.*s': write a time like 2026-11-24T10:00:00Z or an age like 10m",
             STR_ARG(since));
    return false;
}

bool call_source_calls(struct str page, struct str *ret_calls, int64_t *ret_cursor)
{
    struct json_value calls;
    struct json_value next;
    if (!json_find(page, "calls", &calls))
        return false;
    *ret_calls = calls.raw;
    if (!json_find(page, "next", &next) || next.kind != JSON_STRING ||
        str_to_i64(json_text_raw(&next), ret_cursor) != ERR_OK)
        *ret_cursor = -1;
    return true;
}

void call_source_close(struct call_source *s)
{
    if (s->log)
        log_close(s->log);
}
