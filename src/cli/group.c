/* `weir group list | describe G | reset G`: Kafka's consumer groups of a running server. */
#include <inttypes.h>
#include <stdio.h>

#include "base/arena.h"
#include "cli/commands.h"
#include "cli/member.h"
#include "cli/remote.h"
#include "codec/json_scan.h"

enum { NESTING_MAX = 16 };

struct group_command {
    struct remote remote;
    struct str group; /* list: empty */
    struct str topic;
    struct str partition;
    struct str to;
    bool json;
};

static void print_state(const struct group_command *c, struct str state)
{
    struct arena a;
    arena_init(&a);
    if (!c->group.len || str_eq(member_text(state, "group", &a), c->group))
        printf("%-32.*s  %-20.*s  %7" PRId64 "  %.*s\n", STR_ARG(member_text(state, "group", &a)),
               STR_ARG(member_text(state, "state", &a)), member_number(state, "members"),
               STR_ARG(member_text(state, "protocol", &a)));
    arena_release(&a);
}

static void print_lag(const struct group_command *c, struct str lag)
{
    struct arena a;
    arena_init(&a);
    if (str_eq(member_text(lag, "group", &a), c->group))
        printf("%-32.*s  %9" PRId64 "  %12" PRId64 "  %12" PRId64 "\n",
               STR_ARG(member_text(lag, "topic", &a)), member_number(lag, "partition"),
               member_number(lag, "committed"), member_number(lag, "behind"));
    arena_release(&a);
}

static void print_moved(const struct group_command *c, struct str moved)
{
    printf("%-32.*s  %9" PRId64 "  %12" PRId64 "  %12" PRId64 "\n", STR_ARG(c->topic),
           member_number(moved, "partition"), member_number(moved, "from"),
           member_number(moved, "to"));
}

static void each(const struct group_command *c, struct str object, const char *list,
                 void (*print)(const struct group_command *c, struct str element))
{
    struct json_value all;
    struct json_reader r;
    if (!json_find(object, list, &all))
        return;
    json_reader_init(&r, all.raw, NESTING_MAX);
    if (json_enter(&r, JSON_ARRAY))
        while (json_next_element(&r))
            print(c, json_take(&r).raw);
}

static void print_answer(const struct group_command *c, struct str answer)
{
    if (c->json) {
        printf("%.*s\n", STR_ARG(answer));
    } else if (c->to.len) {
        printf("%-32s  %9s  %12s  %12s\n", "TOPIC", "PARTITION", "FROM", "TO");
        each(c, answer, "offsets", print_moved);
    } else {
        printf("%-32s  %-20s  %7s  %s\n", "GROUP", "STATE", "MEMBERS", "ASSIGNOR");
        each(c, answer, "states", print_state);
        if (!c->group.len)
            return;
        printf("\n%-32s  %9s  %12s  %12s\n", "TOPIC", "PARTITION", "COMMITTED", "BEHIND");
        each(c, answer, "groups", print_lag);
    }
}

static int ask(const struct group_command *c, struct str method, struct str path)
{
    struct remote_answer answer;
    int code = 1;
    if (remote_ask(&cli_group, &c->remote, method, path, STR_NONE, NULL, NULL, &answer)) {
        code = answer.status == 200 ? 0 : remote_refused(&cli_group, &answer);
        if (code == 0)
            print_answer(c, buf_str(&answer.body));
    }
    remote_answer_release(&answer);
    return code;
}

static int reset(const struct group_command *c)
{
    struct buf path BUF_AUTO;
    buf_init(&path, 16384);
    if (!c->topic.len || !c->to.len)
        return cli_fail(&cli_group, 2, "reset needs --topic T and --to OFFSET|TIME|AGE|start|end");
    buf_append_str(&path, STR("/api/v1/groups/"));
    remote_encode(&path, c->group);
    buf_append_str(&path, STR("?topic="));
    remote_encode(&path, c->topic);
    buf_append_str(&path, STR("&to="));
    remote_encode(&path, c->to);
    if (c->partition.len) {
        buf_append_str(&path, STR("&partition="));
        remote_encode(&path, c->partition);
    }
    return ask(c, STR("POST"), buf_str(&path));
}

static int run(int argc, char **argv)
{
    struct group_command c = {.json = false};
    struct cli_args args;
    remote_init(&c.remote);
    const struct cli_option options[] = {
        {"--topic", "T", "reset: the topic", .value = &c.topic},
        {"--partition", "N", "reset: one partition; default all", .value = &c.partition},
        {"--to", "PLACE", "reset: an offset, a time, an age like 10m, start or end",
         .value = &c.to},
        {"--json", NULL, "the server's JSON", .flag = &c.json},
        REMOTE_OPTIONS(&c.remote),
        {"--ca", "FILE", "certificates to trust for https", .value = &c.remote.ca},
    };
    enum cli_parsed parsed =
        cli_parse(&cli_group, options, sizeof options / sizeof options[0], argc, argv, &args);
    if (parsed != CLI_GO)
        return parsed == CLI_WRONG ? 2 : 0;
    struct str what = args.count > 0 ? args.words[0] : STR("list");
    c.group = args.count > 1 ? args.words[1] : STR_NONE;
    if (str_eq(what, STR("list")) && args.count <= 1)
        return ask(&c, STR("GET"), STR("/api/v1/groups"));
    if (str_eq(what, STR("describe")) && args.count == 2)
        return ask(&c, STR("GET"), STR("/api/v1/groups"));
    if (str_eq(what, STR("reset")) && args.count == 2)
        return reset(&c);
    return cli_fail(&cli_group, 2,
                    "say list, describe GROUP or reset GROUP; see `weir group "
                    "--help`");
}

const struct cli_command cli_group = {
    .name = "group",
    .usage = "weir group list | describe GROUP | reset GROUP --topic T --to PLACE [--partition N]",
    .summary = "Consumer groups of the Kafka protocol",
    .details = "Who reads, how far they are behind, and from where they go on. A group can be "
               "moved while it has no\n"
               "members; the new place is on disk when the command ends.",
    .run = run,
};
