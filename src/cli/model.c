/* `weir model list`: what can be called. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/member.h"
#include "cli/remote.h"
#include "codec/json_scan.h"

enum { NESTING_MAX = 16 };

static void print_text(struct str object, const char *path, int width)
{
    struct arena a;
    arena_init(&a);
    printf("%-*.*s", width, STR_ARG(member_text(object, path, &a)));
    arena_release(&a);
}

static int print_models(struct str body, bool json)
{
    struct json_value models;
    struct json_reader r;
    if (!json_find(body, "models", &models))
        return cli_fail(&cli_model, 1, "the server's answer is not understood");
    if (!json)
        printf("%-40s%-8s%-12s%s\n", "MODEL", "KIND", "STATE", "TARGETS");
    json_reader_init(&r, models.raw, NESTING_MAX);
    if (json_enter(&r, JSON_ARRAY)) {
        while (json_next_element(&r)) {
            struct json_value model = json_take(&r);
            if (json) {
                printf("%.*s\n", STR_ARG(model.raw));
                continue;
            }
            print_text(model.raw, "id", 40);
            print_text(model.raw, "kind", 8);
            print_text(model.raw, "state", 12);
            print_text(model.raw, "targets", 0);
            putchar('\n');
        }
    }
    return 0;
}

static int run(int argc, char **argv)
{
    struct remote remote;
    struct remote_answer answer;
    struct cli_args args;
    bool json = false;
    remote_init(&remote);
    const struct cli_option options[] = {
        {"--json", NULL, "one JSON object per line", .flag = &json},
        REMOTE_OPTIONS(&remote),
    };
    switch (cli_parse(&cli_model, options, sizeof options / sizeof options[0], argc, argv, &args)) {
    case CLI_HELP_SHOWN: return 0;
    case CLI_WRONG: return 2;
    case CLI_GO: break;
    }
    if (args.count != 1 || !str_eq(args.words[0], STR("list")))
        return cli_fail(&cli_model, 2, "say list; see `weir model --help`");
    int code = 1;
    if (remote_ask(&cli_model, &remote, STR("GET"), STR("/api/v1/models"), STR_NONE, NULL, NULL,
                   &answer))
        code = answer.status == 200 ? print_models(buf_str(&answer.body), json)
                                    : remote_refused(&cli_model, &answer);
    remote_answer_release(&answer);
    return code;
}

const struct cli_command cli_model = {
    .name = "model",
    .usage = "weir model list [options]",
    .summary = "Models that can be called",
    .run = run,
};
