/* `weir alert`: what is watched, silence, and a test of who is told. */
#include <stdio.h>

#include "base/arena.h"
#include "cli/commands.h"
#include "cli/member.h"
#include "cli/remote.h"
#include "codec/json_scan.h"

enum { NESTING_MAX = 16 };

static void print_cell(struct str object, const char *path, int width)
{
    struct arena a;
    arena_init(&a);
    printf("%-*.*s", width, STR_ARG(member_text(object, path, &a)));
    arena_release(&a);
}

static bool is_true(struct str object, const char *path)
{
    struct json_value v;
    return json_find(object, path, &v) && v.kind == JSON_TRUE;
}

/* A line for the alert, one for each of its groups that fires. */
static void print_alert(struct str alert)
{
    struct json_value groups, silenced;
    struct json_reader r;
    bool quiet = json_find(alert, "silenced_until", &silenced) && silenced.kind == JSON_STRING;
    print_cell(alert, "name", 24);
    printf("%-10s", quiet ? "silenced" : is_true(alert, "firing") ? "FIRING" : "ok");
    print_cell(alert, "when", 0);
    putchar('\n');
    if (!json_find(alert, "groups", &groups))
        return;
    json_reader_init(&r, groups.raw, NESTING_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return;
    while (json_next_element(&r)) {
        struct json_value g = json_take(&r);
        if (!is_true(g.raw, "firing"))
            continue;
        printf("  ");
        print_cell(g.raw, "group", 32);
        print_cell(g.raw, "shown", 14);
        printf("since ");
        print_cell(g.raw, "since", 0);
        putchar('\n');
    }
}

static void print_result(struct str result)
{
    print_cell(result, "to", 24);
    if (is_true(result, "ok"))
        printf("told");
    else
        print_cell(result, "error", 0);
    putchar('\n');
}

/* Each element of the answer's list, or one JSON object a line. */
static int print_each(const struct remote_answer *answer, const char *list, bool json,
                      void (*print)(struct str element))
{
    struct json_value all;
    struct json_reader r;
    if (!json_find(buf_str(&answer->body), list, &all))
        return cli_fail(&cli_alert, 1, "the server's answer is not understood");
    json_reader_init(&r, all.raw, NESTING_MAX);
    if (json_enter(&r, JSON_ARRAY))
        while (json_next_element(&r)) {
            struct json_value element = json_take(&r);
            if (json)
                printf("%.*s\n", STR_ARG(element.raw));
            else
                print(element.raw);
        }
    return 0;
}

static int list(const struct remote *remote, bool json)
{
    struct remote_answer answer;
    int code = 1;
    if (remote_ask(&cli_alert, remote, STR("GET"), STR("/api/v1/alerts"), STR_NONE, NULL, NULL,
                   &answer)) {
        if (answer.status == 200 && !json)
            printf("%-24s%-10s%s\n", "ALERT", "STATE", "WHEN");
        code = answer.status == 200 ? print_each(&answer, "alerts", json, print_alert)
                                    : remote_refused(&cli_alert, &answer);
    }
    remote_answer_release(&answer);
    return code;
}

static bool any_failed(struct str body)
{
    struct json_value results;
    struct json_reader r;
    bool failed = false;
    if (!json_find(body, "results", &results))
        return true;
    json_reader_init(&r, results.raw, NESTING_MAX);
    if (json_enter(&r, JSON_ARRAY))
        while (json_next_element(&r)) {
            struct json_value one = json_take(&r);
            failed |= !is_true(one.raw, "ok");
        }
    return failed;
}

static int test(const struct remote *remote, struct str name, bool json)
{
    struct buf path BUF_AUTO;
    struct remote_answer answer;
    int code = 1;
    buf_init(&path, 4096);
    buf_append_str(&path, STR("/api/v1/alerts/"));
    remote_encode(&path, name);
    buf_append_str(&path, STR("/test"));
    if (remote_ask(&cli_alert, remote, STR("POST"), buf_str(&path), STR_NONE, NULL, NULL,
                   &answer)) {
        code = answer.status == 200 ? print_each(&answer, "results", json, print_result)
                                    : remote_refused(&cli_alert, &answer);
        if (code == 0)
            code = any_failed(buf_str(&answer.body));
    }
    remote_answer_release(&answer);
    return code;
}

static int silence(const struct remote *remote, struct str name, struct str span, bool off)
{
    struct buf path BUF_AUTO;
    struct remote_answer answer;
    int code = 1;
    buf_init(&path, 4096);
    buf_append_str(&path, STR("/api/v1/alerts/"));
    remote_encode(&path, name);
    buf_append_str(&path, STR("/silence"));
    if (!off) {
        buf_append_str(&path, STR("?for="));
        remote_encode(&path, span);
    }
    if (remote_ask(&cli_alert, remote, off ? STR("DELETE") : STR("POST"), buf_str(&path), STR_NONE,
                   NULL, NULL, &answer))
        code = answer.status == 200 ? 0 : remote_refused(&cli_alert, &answer);
    remote_answer_release(&answer);
    return code;
}

static int run(int argc, char **argv)
{
    struct remote remote;
    struct cli_args args;
    struct str span = STR("1h");
    bool json = false;
    bool off = false;
    remote_init(&remote);
    const struct cli_option options[] = {
        {"--for", "SPAN", "silence: how long, like 30m or 7d; default 1h", .value = &span},
        {"--off", NULL, "silence: speak again", .flag = &off},
        {"--json", NULL, "one JSON object a line", .flag = &json},
        REMOTE_OPTIONS(&remote),
    };
    enum cli_parsed parsed =
        cli_parse(&cli_alert, options, sizeof options / sizeof options[0], argc, argv, &args);
    if (parsed != CLI_GO)
        return parsed == CLI_WRONG ? 2 : 0;
    struct str what = args.count ? args.words[0] : STR("list");
    if (str_eq(what, STR("list")) && args.count <= 1)
        return list(&remote, json);
    if (str_eq(what, STR("test")) && args.count == 2)
        return test(&remote, args.words[1], json);
    if (str_eq(what, STR("silence")) && args.count == 2)
        return silence(&remote, args.words[1], span, off);
    return cli_fail(&cli_alert, 2, "write list, test NAME or silence NAME; see --help");
}

const struct cli_command cli_alert = {
    .name = "alert",
    .usage = "weir alert list|test NAME|silence NAME [--for SPAN | --off] [options]",
    .summary = "Alerts: what fires, silence, a test message",
    .details = "Alerts stand under `alerts` in the configuration, whom they tell under `notify`.\n"
               "`test` sends all of them a message that says it is a test, and exits with 1 when "
               "one of them\ncould not be told.",
    .run = run,
};
