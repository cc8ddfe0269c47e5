/* `weir view`: how far the view of calls is, and making it again. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/member.h"
#include "cli/remote.h"
#include "codec/json_scan.h"
#include "os/clock.h"

enum { POLL_US = 500000, WAIT_POLLS_MAX = 7200 /* an hour */ };

struct state {
    int64_t folded, end, bytes;
    bool failed;
};

/* 0, or the exit code after the reason was printed. */
static int ask(const struct remote *remote, struct state *ret_state, bool json)
{
    struct remote_answer answer;
    int code = 1;
    if (remote_ask(&cli_view, remote, STR("GET"), STR("/api/v1/view"), STR_NONE, NULL, NULL,
                   &answer)) {
        struct json_value failed;
        struct str body = buf_str(&answer.body);
        code = answer.status == 200 ? 0 : remote_refused(&cli_view, &answer);
        if (json && code == 0)
            printf("%.*s\n", STR_ARG(str_trim(body)));
        *ret_state = (struct state){
            .folded = member_number(body, "folded"),
            .end = member_number(body, "end"),
            .bytes = member_number(body, "bytes"),
            .failed = json_find(body, "failed", &failed) && failed.kind == JSON_TRUE,
        };
    }
    remote_answer_release(&answer);
    return code;
}

static void print_state(const struct state *s)
{
    int64_t behind = s->end > s->folded ? s->end - s->folded : 0;
    printf("folded   up to offset %lld of %lld, %lld calls behind\n", (long long)s->folded,
           (long long)s->end, (long long)behind);
    printf("size     %.1f MiB\n", (double)s->bytes / (1 << 20));
    printf("state    %s\n", s->failed ? "failed: the server's log says why"
                            : behind  ? "catching up"
                                      : "level with the log");
}

static int status(const struct remote *remote, bool json)
{
    struct state s;
    int code = ask(remote, &s, json);
    if (code == 0 && !json)
        print_state(&s);
    return code ? code : s.failed;
}

/* The rebuild begins a moment after it was asked for: its progress counts once it has begun. */
static int wait_until_level(const struct remote *remote)
{
    struct state s = {.folded = 0};
    for (int i = 0; i < WAIT_POLLS_MAX; i++) {
        os_sleep_us(POLL_US);
        int code = ask(remote, &s, false);
        if (code)
            return code;
        fprintf(stderr, "\r%lld of %lld calls ", (long long)s.folded, (long long)s.end);
        if (s.failed || s.folded >= s.end)
            break;
    }
    fputc('\n', stderr);
    print_state(&s);
    return s.failed || s.folded < s.end;
}

static int rebuild(const struct remote *remote, bool wait)
{
    struct remote_answer answer;
    int code = 1;
    if (remote_ask(&cli_view, remote, STR("POST"), STR("/api/v1/view/rebuild"), STR_NONE, NULL,
                   NULL, &answer))
        code = answer.status == 202 ? 0 : remote_refused(&cli_view, &answer);
    remote_answer_release(&answer);
    return code || !wait ? code : wait_until_level(remote);
}

static int run(int argc, char **argv)
{
    struct remote remote;
    struct cli_args args;
    bool json = false;
    bool no_wait = false;
    remote_init(&remote);
    const struct cli_option options[] = {
        {"--no-wait", NULL, "rebuild: do not wait until it is level with the log again",
         .flag = &no_wait},
        {"--json", NULL, "status as a JSON object", .flag = &json},
        REMOTE_OPTIONS(&remote),
    };
    enum cli_parsed parsed =
        cli_parse(&cli_view, options, sizeof options / sizeof options[0], argc, argv, &args);
    if (parsed != CLI_GO)
        return parsed == CLI_WRONG ? 2 : 0;
    struct str what = args.count ? args.words[0] : STR("status");
    if (str_eq(what, STR("status")) && args.count <= 1)
        return status(&remote, json);
    if (str_eq(what, STR("rebuild")) && args.count == 1)
        return rebuild(&remote, !no_wait);
    return cli_fail(&cli_view, 2, "write status or rebuild; see --help");
}

const struct cli_command cli_view = {
    .name = "view",
    .usage = "weir view status|rebuild [options]",
    .summary = "The view of calls, which search and statistics come from",
    .details = "The view is folded from the log and holds nothing of its own: `rebuild` makes it "
               "again while\nWeir serves; questions meanwhile get what there is.",
    .run = run,
};
