/* `weir conformance`: does a gateway do what its clients and providers expect of it? For its
 * users: docs/conformance.md. */
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/conformance/conformance_int.h"
#include "os/child.h"

static struct str url_text, key_text, mock_text, listen_text, only_text;
static struct str model_text;
static struct str target_texts[CONF_TARGETS_MAX], header_texts[CONF_HEADERS_MAX];
static size_t target_count, header_count;
static bool json_flag;

static const struct cli_option options[] = {
    {"--url", "U", "the gateway: http://HOST:PORT (WEIR_URL)", .value = &url_text},
    {"--key", "K", "its key, sent as a bearer token and as x-api-key (WEIR_KEY)",
     .value = &key_text},
    {"--mock", "URL", "the mock that stands behind it, already running", .value = &mock_text},
    {"--mock-listen", "HOST:PORT", "start that mock here instead", .value = &listen_text},
    {"--model", "M", "short for --target openai=M", .value = &model_text},
    {"--target", "KIND=M", "a model that leads to the mock as openai, azure, anthropic or gemini",
     .value = target_texts, .max = CONF_TARGETS_MAX, .count = &target_count},
    {"--header", "'N: V'", "one more field of each request; may come again", .value = header_texts,
     .max = CONF_HEADERS_MAX, .count = &header_count},
    {"--only", "TEXT", "cases whose name holds this", .value = &only_text},
    {"--json", NULL, "one JSON object for each result", .flag = &json_flag},
};

enum { OPTION_COUNT = sizeof options / sizeof options[0], READY_BYTES = 256 };

/* ---- Options ---- */

static struct str or_environment(struct str text, const char *name)
{
    return text.len > 0 ? text : str_from_c(getenv(name));
}

static bool read_target(struct str text, struct conf_target *ret_target)
{
    struct str model = text;
    struct str kind = str_split(&model, '=');
    for (size_t i = 0; i < CONF_KINDS; i++) {
        if (!str_eq(kind, str_from_c(conf_kind_names[i])) || model.len == 0)
            continue;
        *ret_target = (struct conf_target){(enum conf_kind)i, model};
        return true;
    }
    cli_fail(&cli_conformance, 2,
             "option '--target': '%.*s' is not KIND=MODEL with a kind openai, azure, anthropic or "
             "gemini",
             STR_ARG(text));
    return false;
}

static bool read_server(const char *option, struct str text, struct conf_server *ret_server)
{
    enum err e = conf_server_parse(text, ret_server);
    if (e != ERR_OK)
        cli_fail(&cli_conformance, 2, "option '%s': '%.*s': %s; give http://HOST:PORT", option,
                 STR_ARG(text), err_text(e));
    return e == ERR_OK;
}

static bool read_options(struct conf *conf)
{
    struct str url = or_environment(url_text, "WEIR_URL");
    conf->key = or_environment(key_text, "WEIR_KEY");
    conf->only = only_text;
    conf->json = json_flag;
    for (size_t i = 0; i < header_count; i++)
        conf->headers[conf->header_count++] = header_texts[i];
    if (model_text.len > 0)
        conf->targets[conf->target_count++] = (struct conf_target){CONF_OPENAI, model_text};
    for (size_t i = 0; i < target_count && conf->target_count < CONF_TARGETS_MAX; i++)
        if (!read_target(target_texts[i], &conf->targets[conf->target_count++]))
            return false;
    if (url.len == 0)
        cli_fail(&cli_conformance, 2, "which gateway? give --url http://HOST:PORT");
    else if (conf->target_count == 0)
        cli_fail(&cli_conformance, 2, "which models lead to the mock? give --target openai=MODEL");
    else if ((mock_text.len > 0) == (listen_text.len > 0))
        cli_fail(&cli_conformance, 2,
                 "where is the mock? give --mock URL, or --mock-listen HOST:PORT to start one");
    else
        return read_server("--url", url, &conf->gateway) &&
               (mock_text.len == 0 || read_server("--mock", mock_text, &conf->mock));
    return false;
}

/* ---- The mock ---- */

/* "ready http=HOST:PORT pid=N" */
static bool read_ready(int fd, struct conf *conf)
{
    static char line[READY_BYTES]; /* conf->mock points into it */
    size_t len = 0;
    while (len < sizeof line && read(fd, line + len, 1) == 1 && line[len] != '\n')
        len++;
    struct str rest = str_of(line, len);
    ptrdiff_t at = str_find(rest, STR("http="));
    if (at < 0)
        return false;
    struct str host = str_skip(rest, (size_t)at + 5);
    host = str_split(&host, ' ');
    struct buf url;
    buf_init(&url, READY_BYTES + 16);
    buf_printf(&url, "http://%.*s", STR_ARG(host));
    return conf_server_parse(buf_take(&url), &conf->mock) == ERR_OK; /* lives as long as we do */
}

static pid_t start_mock(struct conf *conf)
{
    struct buf BUF_AUTO program;
    struct buf BUF_AUTO listen;
    posix_spawn_file_actions_t actions;
    int pipe_fds[2];
    pid_t pid = -1;
    buf_init(&program, 4096);
    buf_init(&listen, 256);
    buf_append_str(&listen, listen_text);
    if (os_program_path(&program) != ERR_OK || pipe(pipe_fds) != 0)
        return -1;
    char tokens[16];
    (void)snprintf(tokens, sizeof tokens, "%d", CONF_TOKENS);
    char *argv[] = {NULL, NULL, NULL, NULL, NULL, NULL, NULL};
    const char *words[] = {buf_cstr(&program), "mock",           "--tokens", tokens,
                           "--listen",         buf_cstr(&listen)};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        argv[i] = (char *)(uintptr_t)words[i]; /* it changes none of them */
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, pipe_fds[0]);
    posix_spawn_file_actions_addclose(&actions, pipe_fds[1]);
    if (posix_spawn(&pid, argv[0], &actions, NULL, argv, environ) != 0)
        pid = -1;
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fds[1]);
    if (pid > 0 && !read_ready(pipe_fds[0], conf)) {
        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
        pid = -1;
    }
    close(pipe_fds[0]);
    return pid;
}

static int run(int argc, char **argv)
{
    static struct conf conf;
    struct cli_args args;
    switch (cli_parse(&cli_conformance, options, OPTION_COUNT, argc, argv, &args)) {
    case CLI_HELP_SHOWN: return 0;
    case CLI_WRONG: return 2;
    case CLI_GO: break;
    }
    if (args.count > 0)
        return cli_fail(&cli_conformance, 2, "unexpected '%.*s'", STR_ARG(args.words[0]));
    if (!read_options(&conf))
        return 2;
    pid_t mock = 0;
    if (listen_text.len > 0 && (mock = start_mock(&conf)) < 0)
        return cli_fail(&cli_conformance, 1, "the mock did not start on '%.*s'",
                        STR_ARG(listen_text));
    yyjson_doc *stats = conf_mock_get(&conf, STR("/mock/stats"));
    int code = stats ? conf_run(&conf)
                     : cli_fail(&cli_conformance, 1, "'%.*s' does not answer as a mock does",
                                STR_ARG(conf.mock.host));
    yyjson_doc_free(stats);
    if (mock > 0) {
        kill(mock, SIGTERM);
        waitpid(mock, NULL, 0);
    }
    return code;
}

const struct cli_command cli_conformance = {
    .name = "conformance",
    .usage = "weir conformance --url U --target KIND=MODEL… --mock URL [options]",
    .summary = "Try a gateway: every API, feature, kind of provider and fault",
    .details = "Puts a table of cases to a gateway whose models lead to `weir mock`, and prints\n"
               "what passed. Exit code 1 when something failed. The mock answers with 8 tokens\n"
               "(`weir mock --tokens 8`).\n"
               "\n"
               "    weir mock --listen 127.0.0.1:9000 --tokens 8 &\n"
               "    weir conformance --url http://127.0.0.1:8080 --key $KEY \\\n"
               "        --mock http://127.0.0.1:9000 --target openai=gpt --target anthropic=claude",
    .run = run,
};
