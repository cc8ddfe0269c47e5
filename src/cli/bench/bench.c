/* `weir bench`: load and measure a chat endpoint. docs/bench.md is for its users. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/bench/bench_int.h"
#include "cli/commands.h"
#include "codec/json_write.h"
#include "net/http.h"

enum {
    CONCURRENCY_DEFAULT = 8,
    CONCURRENCY_DEFAULT_RATE = 256, /* connections for an open loop */
    DURATION_DEFAULT_S = 10,
    TIMEOUT_DEFAULT_S = 60,
    PROMPT_BYTES_DEFAULT = 200,
    SECONDS_MAX = 7 * 24 * 3600,
    PROMPT_BYTES_MAX = 64 << 20,
    RATE_MAX = 10000000,
};

static struct str url_text, key_text, ca_text, header_texts[BENCH_HEADERS_MAX];
static struct str model_text = STR_INIT("mock");
static struct str concurrency_text, rate_text, duration_text, warmup_text, requests_text;
static struct str timeout_text, prompt_text, tokens_text, pid_text;
static size_t header_count;
static bool stream_flag, json_flag;

static const struct cli_option options[] = {
    {"--url", "U", "what to measure: http://HOST:PORT, or the whole path (WEIR_URL)",
     .value = &url_text},
    {"--key", "K", "sent as a bearer token (WEIR_KEY)", .value = &key_text},
    {"--model", "M", "the name to ask for (mock)", .value = &model_text},
    {"--concurrency", "N", "connections (8; with --rate 256)", .value = &concurrency_text},
    {"--rate", "R", "requests/s, however long answers take (as fast as answers come)",
     .value = &rate_text},
    {"--duration", "S", "measure for so long (10, unless --requests is given)",
     .value = &duration_text},
    {"--warmup", "S", "run for so long before that, unmeasured (0)", .value = &warmup_text},
    {"--requests", "N", "stop after so many", .value = &requests_text},
    {"--timeout", "S", "give a request up after (60)", .value = &timeout_text},
    {"--stream", NULL, "ask for streams; measure first token and gaps", .flag = &stream_flag},
    {"--prompt-bytes", "N", "length of the prompt (200)", .value = &prompt_text},
    {"--tokens", "N", "tokens to ask for, and to expect of the mock (its choice)",
     .value = &tokens_text},
    {"--header", "'N: V'", "one more field of the request; may come again", .value = header_texts,
     .max = BENCH_HEADERS_MAX, .count = &header_count},
    {"--ca", "FILE", "certificates to trust instead of the system's (PEM)", .value = &ca_text},
    {"--pid", "P", "report CPU and memory of this process and its descendants", .value = &pid_text},
    {"--json", NULL, "print one JSON object", .flag = &json_flag},
};

enum { OPTION_COUNT = sizeof options / sizeof options[0] };

/* ---- Options ---- */

static bool number(const char *name, struct str text, uint64_t min, uint64_t max, uint64_t *value)
{
    return text.len == 0 || cli_number(&cli_bench, name, text, min, max, value);
}

/* Seconds with decimals, "0.5"; at most six of them count. */
static bool seconds(const char *name, struct str text, uint64_t *value_us)
{
    struct str rest = text;
    uint64_t whole;
    uint64_t part = 0;
    if (text.len == 0)
        return true;
    struct str before = str_split(&rest, '.');
    struct str after = str_take(rest, 6);
    bool good = str_to_u64(before, &whole) == ERR_OK && whole <= SECONDS_MAX &&
                (!rest.ptr || str_to_u64(after, &part) == ERR_OK);
    if (!good) {
        cli_fail(&cli_bench, 2, "option '%s': '%.*s' is not a time in seconds, such as 10 or 0.5",
                 name, STR_ARG(text));
        return false;
    }
    for (size_t i = after.len; i < 6; i++)
        part *= 10;
    *value_us = whole * 1000000 + part;
    return true;
}

static struct str or_environment(struct str text, const char *name)
{
    return text.len > 0 ? text : str_from_c(getenv(name));
}

static bool read_url(struct bench_options *o)
{
    struct http_url url;
    const char *problem = NULL;
    o->url = or_environment(url_text, "WEIR_URL");
    if (o->url.len == 0) {
        cli_fail(&cli_bench, 2, "what to measure? give --url http://HOST:PORT or set WEIR_URL");
        return false;
    }
    if (http_url_parse(o->url, &url, &problem) != ERR_OK) {
        cli_fail(&cli_bench, 2, "option '--url': %s; give http://HOST:PORT", problem);
        return false;
    }
    o->tls = url.tls;
    o->host = url.host;
    o->port = url.port;
    o->path = url.path;
    return true;
}

static bool read_headers(struct bench_options *o)
{
    for (size_t i = 0; i < header_count; i++) {
        struct str value = header_texts[i];
        struct http_header header = {.name = str_split(&value, ':')};
        header.value = str_trim(value);
        if (!value.ptr || !http_header_valid(&header)) {
            cli_fail(&cli_bench, 2, "option '--header': give 'Name: value'");
            return false;
        }
        o->headers[i] = header_texts[i];
    }
    o->header_count = header_count;
    return true;
}

static bool read_options(struct bench_options *o)
{
    uint64_t pid = 0;
    *o = (struct bench_options){
        .key = or_environment(key_text, "WEIR_KEY"),
        .model = model_text,
        .ca_file = ca_text,
        .timeout_us = TIMEOUT_DEFAULT_S * 1000000ULL,
        .prompt_bytes = PROMPT_BYTES_DEFAULT,
        .stream = stream_flag,
        .json = json_flag,
    };
    if (!read_url(o) || !read_headers(o) || !number("--rate", rate_text, 1, RATE_MAX, &o->rate) ||
        !number("--requests", requests_text, 1, UINT32_MAX, &o->requests))
        return false;
    o->connections = o->rate ? CONCURRENCY_DEFAULT_RATE : CONCURRENCY_DEFAULT;
    o->duration_us = o->requests ? 0 : DURATION_DEFAULT_S * 1000000ULL;
    if (!number("--concurrency", concurrency_text, 1, BENCH_CONNECTIONS_MAX, &o->connections) ||
        !seconds("--duration", duration_text, &o->duration_us) ||
        !seconds("--warmup", warmup_text, &o->warmup_us) ||
        !seconds("--timeout", timeout_text, &o->timeout_us) ||
        !number("--prompt-bytes", prompt_text, 0, PROMPT_BYTES_MAX, &o->prompt_bytes) ||
        !number("--tokens", tokens_text, 1, 1000000, &o->tokens) ||
        !number("--pid", pid_text, 1, INT32_MAX, &pid))
        return false;
    if (o->duration_us == 0 && o->requests == 0)
        return cli_fail(&cli_bench, 2, "option '--duration': 0 never measures") == 0;
    o->pid = (uint32_t)pid;
    return true;
}

/* ---- The request ---- */

/* A prompt that reads like prose and, unlike one sentence again and again, compresses like it too:
 * words drawn by a fixed generator (Numerical Recipes' LCG), and line ends, which JSON escapes. */
static void append_prompt(struct buf *body, uint64_t bytes, uint32_t variant)
{
    static const char *const words[64] = {
        "river",  "account",  "of",     "every",   "stone",  "it",      "carried", "and",
        "asks",   "nobody",   "to",     "read",    "the",    "a",       "model",   "answer",
        "which",  "because",  "table",  "figure",  "please", "rewrite", "this",    "paragraph",
        "so",     "that",     "reader", "follows", "what",   "changed", "between", "versions",
        "we",     "measured", "two",    "servers", "under",  "load",    "found",   "latency",
        "grows",  "when",     "queue",  "fills",   "cache",  "misses",  "explain", "in",
        "detail", "how",      "limits", "apply",   "keys",   "budgets", "team",    "quarter",
        "report", "summary",  "bullet", "points",  "with",   "sources", "dates",   "names"};
    uint32_t state = variant * 2654435761U + 1;
    size_t end = body->len + bytes;
    for (unsigned i = 1; body->len < end; i++) {
        state = state * 1664525 + 1013904223;
        buf_append_str(body, str_from_c(words[state >> 26]));
        buf_append_str(body, i % 12 == 0 ? STR("\\n") : STR(" "));
    }
    body->len = end;
    if (bytes > 0 && body->ptr[end - 1] == '\\') /* half of a line end */
        body->ptr[end - 1] = '.';
}

static void make_body(const struct bench_options *o, uint32_t variant, struct buf *body)
{
    buf_append_str(body, STR("{\"model\":\""));
    json_escape_append(body, o->model);
    buf_append_str(body,
                   STR("\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a helpful "
                       "assistant.\"},{\"role\":\"user\",\"content\":\""));
    append_prompt(body, o->prompt_bytes, variant);
    buf_append_str(body, STR("\"}],\"temperature\":0.7"));
    if (o->tokens > 0)
        buf_printf(body, ",\"max_tokens\":%llu", (unsigned long long)o->tokens);
    if (o->stream)
        buf_append_str(body, STR(",\"stream\":true"));
    buf_append_char(body, '}');
}

static void append_target(const struct bench_options *o, struct buf *out)
{
    struct str path = o->path;
    while (str_ends(path, STR("/")))
        path = str_take(path, path.len - 1);
    buf_append_str(out, path);
    if (path.len == 0)
        buf_append_str(out, STR("/v1/chat/completions"));
    else if (str_ends(path, STR("/v1")))
        buf_append_str(out, STR("/chat/completions"));
}

static void make_request(const struct bench_options *o, uint32_t variant, struct buf *out)
{
    struct buf BUF_AUTO body;
    bool brackets = str_index(o->host, ':') >= 0;
    buf_init(&body, PROMPT_BYTES_MAX + (1 << 20));
    make_body(o, variant, &body);
    buf_append_str(out, STR("POST "));
    append_target(o, out);
    buf_printf(out, " HTTP/1.1\r\nHost: %s%.*s%s:%u\r\n", brackets ? "[" : "", STR_ARG(o->host),
               brackets ? "]" : "", o->port);
    buf_append_str(out, STR("User-Agent: weir-bench\r\nAccept: */*\r\n"
                            "Content-Type: application/json\r\n"));
    if (o->key.len > 0)
        buf_printf(out, "Authorization: Bearer %.*s\r\n", STR_ARG(o->key));
    for (size_t i = 0; i < o->header_count; i++)
        buf_printf(out, "%.*s\r\n", STR_ARG(o->headers[i]));
    buf_printf(out, "Content-Length: %zu\r\n\r\n", body.len);
    buf_append_str(out, buf_str(&body));
}

/* ---- The command ---- */

static int measure(struct bench *bench)
{
    struct buf BUF_AUTO detail;
    buf_init(&detail, 1024);
    enum err e = wire_address_resolve(bench->options.host, bench->options.port, &bench->address);
    if (e != ERR_OK)
        return cli_fail(&cli_bench, 1, "'%.*s': %s", STR_ARG(bench->options.host), err_text(e));
    e = bench_run(bench, &detail);
    if (e != ERR_OK)
        return cli_fail(&cli_bench, 1, "%s%s%s", err_text(e), detail.len ? ": " : "",
                        buf_cstr(&detail));
    if (bench->options.json)
        bench_report_json(bench);
    else
        bench_report(bench);
    bool whole = bench_failures(&bench->results) == 0 && bench->results.good > 0;
    return whole ? 0 : 1;
}

static int run(int argc, char **argv)
{
    static struct bench bench;
    struct cli_args args;
    switch (cli_parse(&cli_bench, options, OPTION_COUNT, argc, argv, &args)) {
    case CLI_HELP_SHOWN: return 0;
    case CLI_WRONG: return 2;
    case CLI_GO: break;
    }
    if (args.count > 0)
        return cli_fail(&cli_bench, 2, "unexpected '%.*s'", STR_ARG(args.words[0]));
    if (!read_options(&bench.options))
        return 2;
    buf_init(&bench.results.first_error, 1024);
    bench.variants = bench.options.prompt_bytes > 1 << 20 ? 1 : BENCH_VARIANTS;
    for (uint32_t i = 0; i < bench.variants; i++) {
        buf_init(&bench.requests[i], 2 * (size_t)PROMPT_BYTES_MAX);
        make_request(&bench.options, i, &bench.requests[i]);
    }
    int code = measure(&bench);
    for (uint32_t i = 0; i < bench.variants; i++)
        buf_release(&bench.requests[i]);
    buf_release(&bench.results.first_error);
    return code;
}

const struct cli_command cli_bench = {
    .name = "bench",
    .usage = "weir bench --url U [options]",
    .summary = "Load a chat endpoint and measure it",
    .details =
        "Sends the same chat request again and again, reads every answer and checks it: against\n"
        "`weir mock`, token by token. Without --rate each connection sends its next request when "
        "its\n"
        "answer is there (closed loop). With --rate requests start when they are due, and latency\n"
        "counts from then, even when no connection was free: a server that stalls cannot hide it.\n"
        "\n"
        "Exit code 0 when every request was answered right, 1 when one was not.",
    .run = run,
};
