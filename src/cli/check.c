/* weir check: is this configuration valid? The same reading that serve does, and a look at the
 * files that it names. */
#include <stdio.h>

#include "cli/commands.h"
#include "codec/json_write.h"
#include "config/config.h"
#include "net/tls.h"

struct check {
    bool json;
    unsigned warnings;
};

/* One finding: "weir.yaml:3:7: …". */
static void print_line(const struct check *c, const char *level, struct str text)
{
    if (!c->json) {
        printf("%.*s\n", STR_ARG(text));
        return;
    }
    BUF_AUTO struct buf json = {.max = 1 << 20};
    struct json_writer w;
    json_writer_init(&w, &json);
    json_object_begin(&w);
    json_member_str(&w, STR("level"), str_from_c(level));
    json_member_str(&w, STR("text"), text);
    json_object_end(&w);
    printf("%s\n", buf_cstr(&json));
}

static void print_lines(const struct check *c, const char *level, struct str lines)
{
    while (lines.len)
        print_line(c, level, str_split(&lines, '\n'));
}

/* Files that serve will need; a warning, because they may be on another machine. */
static void check_files(struct check *c, const struct config *config)
{
    BUF_AUTO struct buf detail = {.max = 4096};
    BUF_AUTO struct buf line = {.max = 8192};
    struct tls_context *context = NULL;
    struct tls_server_options options = {.cert_file = config->listen.tls.cert_path,
                                         .key_file = config->listen.tls.key_path,
                                         .client_ca_file = config->listen.tls.client_ca_path};
    if (!config->listen.tls.enabled)
        return;
    if (tls_server_context_new(&options, &detail, &context) == ERR_OK) {
        tls_context_unref(context);
        return;
    }
    c->warnings++;
    buf_printf(&line, "warning: listen.tls: %.*s; serve will not start so",
               STR_ARG(buf_str(&detail)));
    print_line(c, "warning", buf_str(&line));
}

static void append_count(struct buf *to, size_t count, const char *one, const char *many)
{
    buf_printf(to, ", %zu %s", count, count == 1 ? one : many);
}

static void print_summary(const struct check *c, const struct config *config)
{
    BUF_AUTO struct buf line = {.max = 4096};
    size_t left_out = 0;
    for (size_t i = 0; i < config->provider_count; i++)
        left_out += config->providers[i].left_out.len > 0;
    buf_append_str(&line, STR("ok: "));
    buf_append_str(&line, config->path.len ? config->path : STR("no weir.yaml here: defaults"));
    append_count(&line, config->provider_count, "provider", "providers");
    if (left_out)
        buf_printf(&line, " (%zu left out)", left_out);
    append_count(&line, config->model_count, "model", "models");
    append_count(&line, config->key_count, "key", "keys");
    if (c->warnings)
        append_count(&line, c->warnings, "warning", "warnings");
    print_line(c, "ok", buf_str(&line));
}

static int check(struct check *c, struct str path)
{
    struct config_options options = {.path = path};
    struct config_report report;
    struct config *config = NULL;
    config_report_init(&report);
    enum err e = config_load(&options, &report, &config);
    print_lines(c, "mistake", buf_str(&report.mistakes));
    print_lines(c, "warning", buf_str(&report.warnings));
    c->warnings = report.warning_count;
    if (e == ERR_OK) {
        check_files(c, config);
        print_summary(c, config);
    } else if (!c->json) {
        printf("%u mistake%s\n", report.mistake_count, report.mistake_count == 1 ? "" : "s");
    }
    config_put(config);
    config_report_release(&report);
    return e == ERR_OK ? 0 : 2;
}

static int run(int argc, char **argv)
{
    struct check c = {.json = false};
    const struct cli_option options[] = {
        {.name = "--json", .help = "one JSON object a line: level, text", .flag = &c.json},
    };
    struct cli_args args;
    switch (cli_parse(&cli_check, options, 1, argc, argv, &args)) {
    case CLI_HELP_SHOWN: return 0;
    case CLI_WRONG: return 2;
    case CLI_GO: break;
    }
    if (args.count > 1)
        return cli_fail(&cli_check, 2, "one file at a time, '%.*s' is too many",
                        STR_ARG(args.words[1]));
    return check(&c, args.count ? args.words[0] : STR_NONE);
}

const struct cli_command cli_check = {
    .name = "check",
    .usage = "weir check [FILE] [--json]",
    .summary = "Say whether a configuration is valid, and every mistake in it",
    .details = "FILE is weir.yaml in this folder unless given. Variables (${NAME}) come from the "
               "environment, as for serve.\n"
               "Exit code 0: valid, perhaps with warnings. 2: mistakes, each with line, column and "
               "what to write instead.",
    .run = run,
};
