/* `weir call list | show ID | tail`: calls of a running server, or of a data folder. */
#include <stdio.h>
#include <stdlib.h>

#include "call/history.h"
#include "cli/commands.h"
#include "cli/member.h"
#include "cli/remote.h"
#include "codec/json_scan.h"
#include "codec/time.h"
#include "os/clock.h"

enum {
    LIMIT_DEFAULT = 20,
    NESTING_MAX = 256,
    PAGE_BYTES_MAX = 128 << 20,
    TAIL_POLL_US = 300000,
    TAIL_PAGE = 200,
};

struct call_command {
    struct remote remote;
    struct str data; /* empty: a server */
    struct str model, status, key, since, limit_text;
    uint64_t limit;
    bool json;
    struct log *log;
    struct log_part *part;
};

/* ---- Printing ---- */

static void print_head(const struct call_command *c)
{
    if (!c->json)
        printf("%-32s  %-19s  %-10s  %-24s  %6s  %-9s  %8s  %8s  %s\n", "ID", "TIME", "KEY",
               "MODEL", "STATUS", "OUTCOME", "TOTAL", "TOKENS", "COST");
}

static void print_row(struct str record)
{
    struct arena a;
    arena_init(&a);
    struct str cost = member_text(record, "cost.amount", &a);
    char total[32];
    int64_t tokens = member_number(record, "usage.input") + member_number(record, "usage.output");
    (void)snprintf(total, sizeof total, "%.1fms",
                   (double)member_number(record, "timing.total_us") / 1000.0);
    printf("%-32.*s  %-19.*s  %-10.*s  %-24.*s  %6.*s  %-9.*s  %8s  %8lld  %.*s\n",
           STR_ARG(member_text(record, "id", &a)),
           STR_ARG(str_take(member_text(record, "time", &a), 19)),
           STR_ARG(str_take(member_text(record, "key", &a), 10)),
           STR_ARG(str_take(member_text(record, "model", &a), 24)),
           STR_ARG(member_text(record, "status", &a)), STR_ARG(member_text(record, "outcome", &a)),
           total, (long long)tokens, STR_ARG(cost));
    arena_release(&a);
}

/* On one line, whatever space the bodies have in them. */
static void print_json(struct str record)
{
    bool in_string = false;
    for (size_t i = 0; i < record.len; i++) {
        char ch = record.ptr[i];
        if (in_string && ch == '\\' && i + 1 < record.len) {
            putchar(ch);
            putchar(record.ptr[++i]);
            continue;
        }
        if (ch == '"')
            in_string = !in_string;
        if (in_string || (ch != '\n' && ch != '\r'))
            putchar(ch);
    }
    putchar('\n');
}

static void print_record(const struct call_command *c, struct str record)
{
    if (c->json)
        print_json(record);
    else
        print_row(record);
}

/* The elements of a JSON array, first to last or last to first. */
static void print_records(const struct call_command *c, struct str array, bool backwards)
{
    struct json_reader r;
    struct json_value *values = NULL;
    size_t count = 0;
    struct arena a;
    arena_init(&a);
    values = ARENA_ARRAY(&a, struct json_value, 1001);
    json_reader_init(&r, array, NESTING_MAX);
    if (json_enter(&r, JSON_ARRAY))
        while (count < 1000 && json_next_element(&r))
            values[count++] = json_take(&r);
    for (size_t i = 0; i < count; i++)
        print_record(c, values[backwards ? count - 1 - i : i].raw);
    arena_release(&a);
}

/* ---- Reading ---- */

/* --key means two things here: the key to show, as everywhere, and the name of the key to filter
 * by. What is no valid key while $WEIR_KEY is one was meant as a name. */
static bool key_is_a_name(struct call_command *c)
{
    struct str own = str_from_c(getenv("WEIR_KEY"));
    bool needed = own.len || c->data.len;
    if (c->key.len || !needed || str_eq(own, c->remote.key))
        return false;
    c->key = c->remote.key;
    c->remote.key = own;
    return true;
}

/* One page as the native API gives it, from the server or the folder. Returns an exit code. */
static int read_page(struct call_command *c, const struct cli_command *command, int64_t cursor,
                     int64_t since_us, uint64_t limit, struct buf *page)
{
    if (c->part) {
        struct history_query q = {.model = c->model,
                                  .key = c->key,
                                  .status = c->status,
                                  .since_wall_us = since_us,
                                  .from_offset = cursor,
                                  .limit = (uint32_t)limit};
        uint32_t count = 0;
        int64_t next = -1;
        buf_append_str(page, STR("{\"calls\":["));
        enum err err = log_part_refresh(c->part);
        if (err == ERR_OK)
            err = history_list(c->part, &q, page, &count, &next);
        buf_printf(page, "],\"next\":\"%lld\"}", (long long)next);
        if (err != ERR_OK)
            return cli_fail(command, err_exit_code(err), "reading %.*s: %s", STR_ARG(c->data),
                            err_text(err));
        return 0;
    }
    struct buf path BUF_AUTO;
    char time[TIME_TEXT_BYTES + 1];
    buf_init(&path, 16384);
    buf_printf(&path, "/api/v1/calls?limit=%llu", (unsigned long long)limit);
    const struct str names[] = {STR("model"), STR("status"), STR("key")};
    const struct str values[] = {c->model, c->status, c->key};
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
    if (remote_ask(command, &c->remote, STR("GET"), buf_str(&path), STR_NONE, NULL, NULL,
                   &answer)) {
        if (answer.status == 401 && key_is_a_name(c)) {
            remote_answer_release(&answer);
            return read_page(c, command, cursor, since_us, limit, page);
        }
        code = answer.status == 200 ? 0 : remote_refused(command, &answer);
        buf_append_str(page, buf_str(&answer.body));
    }
    remote_answer_release(&answer);
    return code;
}

static int open_data(struct call_command *c, const struct cli_command *command)
{
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    if (!c->data.len)
        return 0;
    (void)key_is_a_name(c);
    struct log_options options = {.dir = c->data.ptr, .read_only = true};
    enum err err = log_open(&options, &detail, &c->log);
    if (err != ERR_OK)
        return cli_fail(command, err_exit_code(err), "%.*s: %.*s", STR_ARG(c->data),
                        STR_ARG(detail.len ? buf_str(&detail) : str_from_c(err_text(err))));
    struct log_topic *topic = log_topic_find(c->log, STR("weir.calls"));
    if (!topic)
        return cli_fail(command, 1, "no calls are recorded in %.*s", STR_ARG(c->data));
    c->part = log_topic_part(topic, 0);
    return 0;
}

static bool read_since(struct call_command *c, const struct cli_command *command, int64_t *ret_us)
{
    *ret_us = 0;
    if (!c->since.len || time_point_parse(c->since, os_wall_us(), ret_us) == ERR_OK)
        return true;
    cli_fail(command, 2,
             "--since '%.*s': write a time like 2026-11-24T10:00:00Z or an age like 10m",
             STR_ARG(c->since));
    return false;
}

/* ---- Sub-commands ---- */

static int list(struct call_command *c, const struct cli_command *command)
{
    int64_t since_us;
    int64_t cursor = -1;
    uint64_t left = c->limit;
    if (!read_since(c, command, &since_us))
        return 2;
    print_head(c);
    while (left) {
        struct buf page BUF_AUTO;
        struct json_value calls;
        struct json_value next;
        buf_init(&page, PAGE_BYTES_MAX);
        uint64_t step = left < 1000 ? left : 1000;
        int code = read_page(c, command, cursor, since_us, step, &page);
        if (code)
            return code;
        if (!json_find(buf_str(&page), "calls", &calls))
            return cli_fail(command, 1, "the server's answer is not understood");
        print_records(c, calls.raw, false);
        left -= step;
        if (!json_find(buf_str(&page), "next", &next) || next.kind != JSON_STRING ||
            str_to_i64(json_text_raw(&next), &cursor) != ERR_OK || cursor < 0)
            break;
    }
    return 0;
}

static int show(struct call_command *c, const struct cli_command *command, struct str id)
{
    if (c->part) {
        struct buf record BUF_AUTO;
        buf_init(&record, PAGE_BYTES_MAX);
        enum err err = history_find(c->part, id, STR_NONE, &record);
        if (err == ERR_INVALID)
            return cli_fail(command, 2, "'%.*s' is not a call's id: 32 hexadecimal digits",
                            STR_ARG(id));
        if (err != ERR_OK)
            return cli_fail(command, 1, "call %.*s: %s", STR_ARG(id), err_text(err));
        print_json(buf_str(&record));
        return 0;
    }
    struct buf path BUF_AUTO;
    struct remote_answer answer;
    int code = 1;
    buf_init(&path, 1024);
    buf_append_str(&path, STR("/api/v1/calls/"));
    remote_encode(&path, id);
    if (remote_ask(command, &c->remote, STR("GET"), buf_str(&path), STR_NONE, NULL, NULL,
                   &answer)) {
        code = answer.status == 200 ? 0 : remote_refused(command, &answer);
        if (code == 0)
            print_json(buf_str(&answer.body));
    }
    remote_answer_release(&answer);
    return code;
}

/* The newest call's id, so that tail begins behind it. */
static bool print_newer(struct call_command *c, struct str calls, char last_id[33])
{
    struct json_reader r;
    struct json_value values[TAIL_PAGE];
    size_t count = 0;
    json_reader_init(&r, calls, NESTING_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return false;
    while (count < TAIL_PAGE && json_next_element(&r)) {
        struct json_value id;
        values[count] = json_take(&r);
        if (!json_find(values[count].raw, "id", &id) || json_eq(&id, str_of(last_id, 32)))
            break;
        count++;
    }
    bool first = last_id[0] == 0;
    if (count) {
        struct json_value id;
        if (json_find(values[0].raw, "id", &id) && json_text_len(&id) == 32)
            memcpy(last_id, json_text_raw(&id).ptr, 32);
    }
    if (!first)
        for (size_t i = count; i > 0; i--)
            print_record(c, values[i - 1].raw);
    fflush(stdout);
    return true;
}

static int tail(struct call_command *c, const struct cli_command *command)
{
    char last_id[33] = "";
    print_head(c);
    for (;;) {
        struct buf page BUF_AUTO;
        struct json_value calls;
        buf_init(&page, PAGE_BYTES_MAX);
        int code = read_page(c, command, -1, 0, TAIL_PAGE, &page);
        if (code)
            return code;
        if (!json_find(buf_str(&page), "calls", &calls) || !print_newer(c, calls.raw, last_id))
            return cli_fail(command, 1, "the server's answer is not understood");
        if (last_id[0] == 0)
            memset(last_id, '-', 32); /* no call yet: the first one is new */
        os_sleep_us(TAIL_POLL_US);
    }
}

static int dispatch(struct call_command *c, const struct cli_command *command,
                    const struct cli_args *args)
{
    if (args->count == 0)
        return cli_fail(command, 2, "say list, show ID or tail; see `weir call --help`");
    int code = open_data(c, command);
    if (code)
        return code;
    if (str_eq(args->words[0], STR("list")) && args->count == 1)
        return list(c, command);
    if (str_eq(args->words[0], STR("tail")) && args->count == 1)
        return tail(c, command);
    if (str_eq(args->words[0], STR("show")) && args->count == 2)
        return show(c, command, args->words[1]);
    return cli_fail(command, 2, "say list, show ID or tail; see `weir call --help`");
}

static int run(int argc, char **argv)
{
    struct call_command c = {.limit = LIMIT_DEFAULT};
    struct cli_args args;
    remote_init(&c.remote);
    const struct cli_option options[] = {
        {"--model", "NAME", "only calls that asked for this model", .value = &c.model},
        {"--status", "S",
         "a status (429), a class (5xx) or an outcome (ok, error, cancelled, refused)",
         .value = &c.status},
        {"--key-name", "NAME", "only calls of the key of this name", .value = &c.key},
        {"--since", "TIME", "only calls since a time (RFC 3339) or an age (10m)",
         .value = &c.since},
        {"--limit", "N", "at most that many; default 20", .value = &c.limit_text},
        {"--json", NULL, "one JSON object per line", .flag = &c.json},
        {"--data", "DIR", "read this data folder instead of asking a server", .value = &c.data},
        REMOTE_OPTIONS(&c.remote),
    };
    switch (cli_parse(&cli_call, options, sizeof options / sizeof options[0], argc, argv, &args)) {
    case CLI_HELP_SHOWN: return 0;
    case CLI_WRONG: return 2;
    case CLI_GO: break;
    }
    if (c.limit_text.len && !cli_number(&cli_call, "--limit", c.limit_text, 1, 1000000, &c.limit))
        return 2;
    if (c.status.len && !history_status_valid(c.status))
        return cli_fail(&cli_call, 2,
                        "--status '%.*s': write a status (429), a class (5xx) or an outcome (ok)",
                        STR_ARG(c.status));
    int code = dispatch(&c, &cli_call, &args);
    if (c.log)
        log_close(c.log);
    return code;
}

const struct cli_command cli_call = {
    .name = "call",
    .usage = "weir call list|show ID|tail [options]",
    .summary = "Calls that went through: list, show, follow",
    .details =
        "list prints the newest first; show prints one whole record; tail follows new ones.\n"
        "--key is the key to show to the server, or, when $WEIR_KEY or --data is there for that, "
        "the "
        "name of the key to filter by, as --key-name is always.",
    .run = run,
};
