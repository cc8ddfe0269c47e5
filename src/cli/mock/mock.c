/* `weir mock`: an upstream that speaks OpenAI, Anthropic and Gemini, as fast as it can, or as badly
 * as it is told to. docs/mock.md is for its users. */
#include <stdio.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/mock/mock_int.h"
#include "cli/wire/wire_socket.h"
#include "os/random.h"

enum {
    TOKENS_DEFAULT = 16,
    TOKENS_MAX = 1000000,
    MS_MAX = 24 * 3600 * 1000,
};

static struct str listen_text = STR_INIT("127.0.0.1:0");
static struct str latency_text;
static struct str tokens_text;
static struct str gap_text;
static struct str seed_text;
static struct str fault_texts[MOCK_FAULTS_MAX];
static size_t fault_count;

static const struct cli_option options[] = {
    {"--listen", "HOST:PORT", "address to serve (127.0.0.1:0, a free port)", .value = &listen_text},
    {"--latency", "MS", "wait before each answer (0)", .value = &latency_text},
    {"--tokens", "N", "tokens of each answer, unless the request wants fewer (16)",
     .value = &tokens_text},
    {"--gap", "MS", "time between a stream's tokens (0)", .value = &gap_text},
    {"--fault", "KIND[:P]", "what to do wrong, with probability P (1); may come again",
     .value = fault_texts, .max = MOCK_FAULTS_MAX, .count = &fault_count},
    {"--seed", "N", "of the probabilities, so that a run can be repeated (1)", .value = &seed_text},
};

enum { OPTION_COUNT = sizeof options / sizeof options[0] };

static bool read_number(const char *name, struct str text, uint64_t max, uint64_t *number)
{
    return text.len == 0 || cli_number(&cli_mock, name, text, 0, max, number);
}

static bool read_faults(struct mock *mock)
{
    struct buf BUF_AUTO reason;
    buf_init(&reason, 1024);
    for (size_t i = 0; i < fault_count; i++) {
        if (!mock_fault_parse(fault_texts[i], &mock->faults.at[i], &reason)) {
            cli_fail(&cli_mock, 2, "option '--fault': %.*s", STR_ARG(buf_str(&reason)));
            return false;
        }
    }
    mock->faults.count = fault_count;
    return true;
}

static bool read_options(struct mock *mock)
{
    uint64_t latency_ms = 0;
    uint64_t gap_ms = 0;
    uint64_t seed = 1;
    mock->tokens = TOKENS_DEFAULT;
    if (!read_number("--latency", latency_text, MS_MAX, &latency_ms) ||
        !read_number("--gap", gap_text, MS_MAX, &gap_ms) ||
        !read_number("--tokens", tokens_text, TOKENS_MAX, &mock->tokens) ||
        !read_number("--seed", seed_text, UINT64_MAX, &seed) || !read_faults(mock))
        return false;
    mock->latency_us = latency_ms * 1000;
    mock->gap_us = gap_ms * 1000;
    os_random_seed(seed);
    return true;
}

/* ret_host: as given, for the ready line. */
static enum err open_listener(int *ret_fd, uint16_t *ret_port, struct str *ret_host)
{
    struct wire_address address;
    uint16_t port;
    TRY(wire_host_port_parse(listen_text, ret_host, &port));
    TRY(wire_address_resolve(*ret_host, port, &address));
    if (ret_host->len == 0)
        *ret_host = STR("127.0.0.1");
    return wire_listen(&address, ret_fd, ret_port);
}

static int serve(struct mock *mock)
{
    int fd;
    uint16_t port;
    struct str host;
    enum err e = open_listener(&fd, &port, &host);
    if (e != ERR_OK)
        return cli_fail(&cli_mock, e == ERR_INVALID ? 2 : 1, "cannot listen on '%.*s': %s%s",
                        STR_ARG(listen_text), err_text(e),
                        e == ERR_INVALID ? "; give HOST:PORT" : "");
    e = mock_server_start(mock, fd);
    if (e == ERR_OK)
        e = wire_loop_stop_on_signals(&mock->loop);
    if (e != ERR_OK)
        return cli_fail(&cli_mock, 1, "cannot serve: %s", err_text(e));
    printf("ready http=%.*s:%u pid=%d\n", STR_ARG(host), port, (int)getpid());
    fflush(stdout);
    wire_loop_run(&mock->loop);
    mock_server_release(mock);
    return 0;
}

static int run(int argc, char **argv)
{
    static struct mock mock;
    struct cli_args args;
    switch (cli_parse(&cli_mock, options, OPTION_COUNT, argc, argv, &args)) {
    case CLI_HELP_SHOWN: return 0;
    case CLI_WRONG: return 2;
    case CLI_GO: break;
    }
    if (args.count > 0)
        return cli_fail(&cli_mock, 2, "unexpected '%.*s'", STR_ARG(args.words[0]));
    if (!read_options(&mock))
        return 2;
    enum err e = wire_loop_init(&mock.loop);
    if (e != ERR_OK)
        return cli_fail(&cli_mock, 1, "cannot start: %s", err_text(e));
    int code = serve(&mock);
    wire_loop_release(&mock.loop);
    return code;
}

const struct cli_command cli_mock = {
    .name = "mock",
    .usage = "weir mock [options]",
    .summary = "Play a provider: OpenAI, Azure, Anthropic, Gemini, with faults on request",
    .details =
        "Serves what OpenAI, Azure OpenAI (/openai/...), Anthropic (/v1/messages) and Gemini\n"
        "(/v1beta/models/...) serve, until it is stopped. Prints one line when it is ready. Any\n"
        "key is accepted.\n"
        "\n"
        "GET /mock/stats tells what it received (DELETE: from zero again), GET /mock/last the\n"
        "last request as it came, GET /mock/last/body its body; PUT /mock/faults sets the\n"
        "faults, one a line.\n"
        "\n"
        "A fault is KIND[=VALUE][*COUNT][:PROBABILITY]. One request can ask for its own by the\n"
        "header `x-mock-fault: KIND`, by the model name `mock-fault-KIND` or by the words\n"
        "`mock:fault=KIND` in its prompt. Kinds:\n"
#define FAULT(id, name, value_default, help) "\n  " name "\n      " help
#include "cli/mock/mock_faults.def"
#undef FAULT
        "\n  400 … 599\n      that status with an error body; 429 and 503 carry Retry-After (VALUE "
        "s, "
        "1)",
    .run = run,
};
