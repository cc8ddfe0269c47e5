/* `weir model`: what can be called, and the files of local models. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/member.h"
#include "cli/model_pull.h"
#include "cli/remote.h"
#include "codec/json_scan.h"
#include "codec/json_write.h"

enum { NESTING_MAX = 16 };

static void print_text(struct str object, const char *path, int width)
{
    struct arena a;
    arena_init(&a);
    printf("%-*.*s", width, STR_ARG(member_text(object, path, &a)));
    arena_release(&a);
}

static void print_row(struct str model)
{
    print_text(model, "id", 40);
    print_text(model, "kind", 8);
    print_text(model, "state", 12);
    print_text(model, "targets", 0);
    putchar('\n');
}

/* Every member on a line. */
static void print_members(struct str model)
{
    struct json_reader r;
    struct json_value key;
    json_reader_init(&r, model, NESTING_MAX);
    if (json_enter(&r, JSON_OBJECT))
        while (json_next_member(&r, &key)) {
            struct json_value v = json_take(&r);
            struct str text = v.kind == JSON_STRING ? json_text_raw(&v) : v.raw;
            printf("%-16.*s%.*s\n", STR_ARG(json_text_raw(&key)), STR_ARG(text));
        }
}

/* only: a model's id, with or without "local/"; empty: all. */
static int print_models(struct str body, struct str only, bool json)
{
    struct json_value models, id;
    struct json_reader r;
    bool found = only.len == 0;
    if (!json_find(body, "models", &models))
        return cli_fail(&cli_model, 1, "the server's answer is not understood");
    if (!json && !only.len)
        printf("%-40s%-8s%-12s%s\n", "MODEL", "KIND", "STATE", "TARGETS");
    json_reader_init(&r, models.raw, NESTING_MAX);
    if (json_enter(&r, JSON_ARRAY))
        while (json_next_element(&r)) {
            struct json_value model = json_take(&r);
            if (only.len && !(json_find(model.raw, "id", &id) && json_eq(&id, only)))
                continue;
            found = true;
            if (json)
                printf("%.*s\n", STR_ARG(model.raw));
            else if (only.len)
                print_members(model.raw);
            else
                print_row(model.raw);
        }
    return found ? 0 : cli_fail(&cli_model, 1, "there is no model '%.*s'", STR_ARG(only));
}

static int list(const struct remote *remote, struct str only, bool json)
{
    struct remote_answer answer;
    int code = 1;
    if (remote_ask(&cli_model, remote, STR("GET"), STR("/api/v1/models"), STR_NONE, NULL, NULL,
                   &answer))
        code = answer.status == 200 ? print_models(buf_str(&answer.body), only, json)
                                    : remote_refused(&cli_model, &answer);
    remote_answer_release(&answer);
    return code;
}

/* A call that decodes nothing loads a model, and waits until it is there. */
static int load(const struct remote *remote, struct str id)
{
    struct remote_answer answer;
    struct json_writer w;
    int code = 1;
    struct buf body BUF_AUTO;
    buf_init(&body, 4096);
    json_writer_init(&w, &body);
    json_object_begin(&w);
    json_member_str(&w, STR("model"), id);
    json_member_str(&w, STR("content"), STR(""));
    json_object_end(&w);
    if (remote_ask(&cli_model, remote, STR("POST"), STR("/api/v1/tokenize"), buf_str(&body), NULL,
                   NULL, &answer))
        code = answer.status == 200 ? list(remote, id, false) : remote_refused(&cli_model, &answer);
    remote_answer_release(&answer);
    return code;
}

static int unload(const struct remote *remote, struct str id)
{
    struct remote_answer answer;
    int code = 1;
    struct buf path BUF_AUTO;
    buf_init(&path, 4096);
    buf_append_str(&path, STR("/api/v1/models/"));
    remote_encode(&path, id);
    buf_append_str(&path, STR("/unload"));
    if (remote_ask(&cli_model, remote, STR("POST"), buf_str(&path), STR("{}"), NULL, NULL, &answer))
        code = answer.status == 200 ? 0 : remote_refused(&cli_model, &answer);
    remote_answer_release(&answer);
    return code;
}

/* Local models may be named without "local/". */
static void full_id(struct str word, struct buf *id)
{
    buf_append_str(id, str_index(word, '/') < 0 ? STR("local/") : STR(""));
    buf_append_str(id, word);
}

static int act(const struct remote *remote, const struct cli_args *args,
               const struct model_pull *pull, bool json)
{
    struct str verb = args->words[0];
    struct buf id BUF_AUTO;
    buf_init(&id, 1024);
    if (args->count == 1 && str_eq(verb, STR("list")))
        return list(remote, STR_NONE, json);
    if (args->count != 2)
        return cli_fail(&cli_model, 2, "say list, or show, load, unload or pull and what");
    if (str_eq(verb, STR("pull"))) {
        struct model_pull p = *pull;
        p.source = args->words[1];
        return model_pull_run(&cli_model, &p);
    }
    bool shows = str_eq(verb, STR("show"));
    if (shows)
        buf_append_str(&id, args->words[1]);
    else
        full_id(args->words[1], &id);
    if (shows)
        return list(remote, buf_str(&id), json);
    if (str_eq(verb, STR("load")))
        return load(remote, buf_str(&id));
    if (str_eq(verb, STR("unload")))
        return unload(remote, buf_str(&id));
    return cli_fail(&cli_model, 2, "say list, show, load, unload or pull; see `weir model --help`");
}

static int run(int argc, char **argv)
{
    struct remote remote;
    struct cli_args args;
    struct model_pull pull = {.dir = STR("models")};
    bool json = false;
    remote_init(&remote);
    const struct cli_option options[] = {
        {"--json", NULL, "one JSON object per line", .flag = &json},
        REMOTE_OPTIONS(&remote),
        {"--name", "NAME", "pull: the model's name; default the file's", .value = &pull.name},
        {"--dir", "DIR", "pull: folder of models (local.dir); default ./models",
         .value = &pull.dir},
        {"--sha256", "HEX", "pull: what the file's SHA-256 has to be", .value = &pull.sha256},
        {"--ca", "FILE", "pull: certificates to trust, instead of the system's", .value = &pull.ca},
    };
    switch (cli_parse(&cli_model, options, sizeof options / sizeof options[0], argc, argv, &args)) {
    case CLI_HELP_SHOWN: return 0;
    case CLI_WRONG: return 2;
    case CLI_GO: break;
    }
    if (args.count == 0)
        return cli_fail(&cli_model, 2, "say list; see `weir model --help`");
    return act(&remote, &args, &pull, json);
}

const struct cli_command cli_model = {
    .name = "model",
    .usage = "weir model list [options]\n"
             "       weir model show|load|unload MODEL [options]\n"
             "       weir model pull FILE|URL [options]",
    .summary = "Models that can be called, and files of local ones",
    .details =
        "pull brings a GGUF file into the folder of models. A transfer that broke off is gone\n"
        "on with; the file gets its name when it is whole, has the digest asked for, and\n"
        "begins with a header that can be.",
    .run = run,
};
