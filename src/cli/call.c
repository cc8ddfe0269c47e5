/* `weir call list | show ID | tail`: calls of a running server, or of a data folder. */
#include <stdio.h>
#include <stdlib.h>

#include "call/history.h"
#include "cli/call_source.h"
#include "cli/commands.h"
#include "cli/member.h"
#include "codec/json_scan.h"
#include "codec/time.h"
#include "os/clock.h"

enum {
    LIMIT_DEFAULT = 20,
    NESTING_MAX = 256,
    TAIL_POLL_US = 300000,
    TAIL_PAGE = 200,
};

struct call_command {
    struct call_source source;
    struct str since, limit_text;
    uint64_t limit;
    bool json;
};

/* ---- Printing ---- */

static void print_head(const struct call_command *c)
{
    if (!c->json)
        printf("%-32s  %-19s  %-10s  %-12s  %-24s  %6s  %-9s  %8s  %8s  %s\n", "ID", "TIME", "KEY",
               "ENDPOINT", "MODEL", "STATUS", "OUTCOME", "TOTAL", "TOKENS", "COST");
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
    printf("%-32.*s  %-19.*s  %-10.*s  %-12.*s  %-24.*s  %6.*s  %-9.*s  %8s  %8lld  %.*s\n",
           STR_ARG(member_text(record, "id", &a)),
           STR_ARG(str_take(member_text(record, "time", &a), 19)),
           STR_ARG(str_take(member_text(record, "key", &a), 10)),
           STR_ARG(str_take(member_text(record, "endpoint", &a), 12)),
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

/* ---- Sub-commands ---- */

static int list(struct call_command *c, const struct cli_command *command)
{
    int64_t since_us;
    int64_t cursor = -1;
    uint64_t left = c->limit;
    if (!call_source_since(command, c->since, &since_us))
        return 2;
    print_head(c);
    while (left) {
        struct buf page BUF_AUTO;
        struct str calls;
        buf_init(&page, CALL_PAGE_BYTES_MAX);
        uint64_t step = left < 1000 ? left : 1000;
        int code = call_source_page(&c->source, command, cursor, since_us, step, &page);
        if (code)
            return code;
        if (!call_source_calls(buf_str(&page), &calls, &cursor))
            return cli_fail(command, 1, "the server's answer is not understood");
        print_records(c, calls, false);
        left -= step;
        if (cursor < 0)
            break;
    }
    return 0;
}

static int show(struct call_command *c, const struct cli_command *command, struct str id)
{
    if (c->source.part) {
        struct buf record BUF_AUTO;
        buf_init(&record, CALL_PAGE_BYTES_MAX);
        enum err err = history_find(c->source.part, id, STR_NONE, &record);
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
    if (remote_ask(command, &c->source.remote, STR("GET"), buf_str(&path), STR_NONE, NULL, NULL,
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
        buf_init(&page, CALL_PAGE_BYTES_MAX);
        int code = call_source_page(&c->source, command, -1, 0, TAIL_PAGE, &page);
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
    int code = call_source_open(&c->source, command);
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
    remote_init(&c.source.remote);
    const struct cli_option options[] = {
        {"--model", "NAME", "only calls that asked for this model", .value = &c.source.model},
        {"--status", "S",
         "a status (429), a class (5xx) or an outcome (ok, error, cancelled, refused)",
         .value = &c.source.status},
        {"--key-name", "NAME", "only calls of the key of this name", .value = &c.source.key},
        {"--since", "TIME", "only calls since a time (RFC 3339) or an age (10m)",
         .value = &c.since},
        {"--limit", "N", "at most that many; default 20", .value = &c.limit_text},
        {"--json", NULL, "one JSON object per line", .flag = &c.json},
        {"--data", "DIR", "read this data folder instead of asking a server",
         .value = &c.source.data},
        REMOTE_OPTIONS(&c.source.remote),
    };
    switch (cli_parse(&cli_call, options, sizeof options / sizeof options[0], argc, argv, &args)) {
    case CLI_HELP_SHOWN: return 0;
    case CLI_WRONG: return 2;
    case CLI_GO: break;
    }
    if (c.limit_text.len && !cli_number(&cli_call, "--limit", c.limit_text, 1, 1000000, &c.limit))
        return 2;
    if (c.source.status.len && !history_status_valid(c.source.status))
        return cli_fail(&cli_call, 2,
                        "--status '%.*s': write a status (429), a class (5xx) or an outcome (ok)",
                        STR_ARG(c.source.status));
    int code = dispatch(&c, &cli_call, &args);
    call_source_close(&c.source);
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
