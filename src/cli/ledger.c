/* `weir ledger`: received = stored + rejected, by day, key and signal. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/member.h"
#include "cli/remote.h"
#include "codec/json_scan.h"

enum { NESTING_MAX = 16 };

/* Each element of an array. */
static void each(struct str array, void (*fn)(struct str element))
{
    struct json_reader r;
    json_reader_init(&r, array, NESTING_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return;
    while (json_next_element(&r)) {
        struct json_value value = json_take(&r);
        fn(value.raw);
    }
}

static void print_json(struct str element)
{
    printf("%.*s\n", STR_ARG(element));
}

static void print_book(struct str book)
{
    struct arena a;
    struct json_value balanced;
    arena_init(&a);
    bool good = json_find(book, "balanced", &balanced) && balanced.kind == JSON_TRUE;
    printf("%-10.*s  %-20.*s  %-8.*s  %12lld  %12lld  %10lld  %10lld  %s\n",
           STR_ARG(member_text(book, "day", &a)), STR_ARG(member_text(book, "key", &a)),
           STR_ARG(member_text(book, "signal", &a)), (long long)member_number(book, "received"),
           (long long)member_number(book, "stored"), (long long)member_number(book, "rejected"),
           (long long)member_number(book, "again"), good ? "yes" : "NO");
    arena_release(&a);
}

static void print_refused(struct str refused)
{
    struct arena a;
    arena_init(&a);
    printf("refused as a whole on %.*s: %lld %.*s of '%.*s': %.*s\n",
           STR_ARG(member_text(refused, "day", &a)), (long long)member_number(refused, "items"),
           STR_ARG(member_text(refused, "signal", &a)), STR_ARG(member_text(refused, "key", &a)),
           STR_ARG(member_text(refused, "reason", &a)));
    arena_release(&a);
}

static int print_ledger(struct str ledger, bool json)
{
    struct json_value books = {.raw = STR_NONE};
    struct json_value refused = {.raw = STR_NONE};
    struct json_value balanced;
    if (!json_find(ledger, "books", &books) || !json_find(ledger, "refused", &refused) ||
        !json_find(ledger, "balanced", &balanced))
        return cli_fail(&cli_ledger, 1, "the server's answer is not understood");
    if (json) {
        each(books.raw, print_json);
    } else {
        printf("%-10s  %-20s  %-8s  %12s  %12s  %10s  %10s  %s\n", "DAY", "KEY", "SIGNAL",
               "RECEIVED", "STORED", "REJECTED", "AGAIN", "BALANCED");
        each(books.raw, print_book);
        each(refused.raw, print_refused);
    }
    return balanced.kind == JSON_TRUE ? 0 : 1;
}

static int run(int argc, char **argv)
{
    struct remote remote;
    struct cli_args args;
    struct remote_answer answer;
    struct str since = STR_NONE;
    bool json = false;
    remote_init(&remote);
    const struct cli_option options[] = {
        {"--since", "TIME", "only days since a time (RFC 3339) or an age (7d)", .value = &since},
        {"--json", NULL, "one JSON object per line", .flag = &json},
        REMOTE_OPTIONS(&remote),
    };
    switch (
        cli_parse(&cli_ledger, options, sizeof options / sizeof options[0], argc, argv, &args)) {
    case CLI_HELP_SHOWN: return 0;
    case CLI_WRONG: return 2;
    case CLI_GO: break;
    }
    if (args.count)
        return cli_fail(&cli_ledger, 2, "'%.*s' is not understood; see `weir ledger --help`",
                        STR_ARG(args.words[0]));
    struct buf path BUF_AUTO;
    buf_init(&path, 4096);
    buf_append_str(&path, STR("/api/v1/ledger"));
    if (since.len) {
        buf_append_str(&path, STR("?since="));
        remote_encode(&path, since);
    }
    int code = 1;
    if (remote_ask(&cli_ledger, &remote, STR("GET"), buf_str(&path), STR_NONE, NULL, NULL, &answer))
        code = answer.status == 200 ? print_ledger(buf_str(&answer.body), json)
                                    : remote_refused(&cli_ledger, &answer);
    remote_answer_release(&answer);
    return code;
}

const struct cli_command cli_ledger = {
    .name = "ledger",
    .usage = "weir ledger [--since TIME] [--json]",
    .summary = "Prove that nothing was lost: received = stored + rejected",
    .details =
        "By day (UTC), key and signal. AGAIN counts spans that were sent again although they "
        "were stored.\nExit code 1 when a line does not balance.",
    .run = run,
};
