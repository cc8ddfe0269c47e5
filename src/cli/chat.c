/* `weir chat [MODEL]`: talk to a model through a running server, in a terminal or a pipe. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/remote.h"
#include "codec/json_scan.h"
#include "codec/json_write.h"
#include "net/sse.h"

enum {
    NESTING_MAX = 64,
    LINE_BYTES_MAX = 1 << 20,
    CONVERSATION_BYTES_MAX = 16 << 20,
    MODEL_BYTES_MAX = 256,
};

struct chat {
    struct remote remote;
    struct str model;
    struct str system;
    struct str max_tokens;
    bool json;
    struct buf messages; /* elements of the array, with commas */
    struct sse_parser events;
    struct buf answer; /* text of this turn */
    bool failed;
    char model_name[MODEL_BYTES_MAX + 1];
};

static void add_message(struct chat *c, struct str role, struct str content)
{
    struct json_writer w;
    if (c->messages.len)
        buf_append_char(&c->messages, ',');
    json_writer_init(&w, &c->messages);
    json_object_begin(&w);
    json_member_str(&w, STR("role"), role);
    json_member_str(&w, STR("content"), content);
    json_object_end(&w);
}

/* ---- One turn ---- */

static void take_event(struct chat *c, struct str data)
{
    struct json_value value;
    if (json_find(data, "error.message", &value)) {
        struct buf text BUF_AUTO;
        buf_init(&text, 65536);
        json_text_append(&value, &text);
        fprintf(stderr, "\nweir chat: %.*s\n", STR_ARG(buf_str(&text)));
        c->failed = true;
        return;
    }
    if (!json_find(data, "choices.0.delta.content", &value))
        return;
    size_t before = c->answer.len;
    json_text_append(&value, &c->answer);
    if (c->json || c->answer.len == before)
        return;
    fwrite(c->answer.ptr + before, 1, c->answer.len - before, stdout);
    fflush(stdout);
}

static void on_body(void *arg, struct str bytes)
{
    struct chat *c = arg;
    struct sse_event event;
    while (sse_parser_next(&c->events, &bytes, &event) == SSE_EVENT)
        if (event.has_data)
            take_event(c, event.data);
}

static void write_request(const struct chat *c, struct buf *body)
{
    struct json_writer w;
    json_writer_init(&w, body);
    json_object_begin(&w);
    json_member_str(&w, STR("model"), c->model);
    json_member_bool(&w, STR("stream"), true);
    if (c->max_tokens.len)
        json_member_raw(&w, STR("max_tokens"), c->max_tokens);
    json_key(&w, STR("messages"));
    buf_append_char(body, '[');
    buf_append_str(body, buf_str(&c->messages));
    buf_append_char(body, ']');
    json_object_end(&w);
}

static void print_json(const struct chat *c, const struct remote_answer *answer)
{
    struct buf line BUF_AUTO;
    struct json_writer w;
    buf_init(&line, CONVERSATION_BYTES_MAX);
    json_writer_init(&w, &line);
    json_object_begin(&w);
    json_member_str(&w, STR("call"), answer->call_id);
    json_member_str(&w, STR("target"), answer->target);
    json_member_str(&w, STR("content"), buf_str(&c->answer));
    json_object_end(&w);
    printf("%.*s\n", STR_ARG(buf_str(&line)));
}

/* Returns an exit code. */
static int turn(struct chat *c, struct str question)
{
    struct buf body BUF_AUTO;
    struct remote_answer answer;
    int code = 1;
    buf_init(&body, CONVERSATION_BYTES_MAX + 65536);
    buf_reset(&c->answer);
    c->failed = false;
    add_message(c, STR("user"), question);
    write_request(c, &body);
    sse_parser_init(&c->events, SSE_EVENT_BYTES_MAX);
    if (c->messages.error != ERR_OK)
        return cli_fail(&cli_chat, 1, "the conversation is longer than %d MiB: start a new one",
                        CONVERSATION_BYTES_MAX >> 20);
    if (remote_ask(&cli_chat, &c->remote, STR("POST"), STR("/v1/chat/completions"), buf_str(&body),
                   on_body, c, &answer))
        code = answer.status == 200 ? c->failed : remote_refused(&cli_chat, &answer);
    if (code == 0 && c->json)
        print_json(c, &answer);
    else if (code == 0)
        putchar('\n');
    add_message(c, STR("assistant"), buf_str(&c->answer));
    remote_answer_release(&answer);
    sse_parser_release(&c->events);
    return code;
}

/* ---- The conversation ---- */

/* No model was named: take the first that the server lists. */
static int choose_model(struct chat *c)
{
    struct remote_answer answer;
    struct json_value id;
    int code = 1;
    if (remote_ask(&cli_chat, &c->remote, STR("GET"), STR("/v1/models"), STR_NONE, NULL, NULL,
                   &answer)) {
        if (answer.status != 200)
            code = remote_refused(&cli_chat, &answer);
        else if (!json_find(buf_str(&answer.body), "data.0.id", &id) ||
                 json_text_raw(&id).len > MODEL_BYTES_MAX)
            code = cli_fail(&cli_chat, 1, "the server lists no model; name one: weir chat MODEL");
        else
            code = 0;
    }
    if (code == 0) {
        struct str name = json_text_raw(&id);
        memcpy(c->model_name, name.ptr, name.len);
        c->model = str_of(c->model_name, name.len);
    }
    remote_answer_release(&answer);
    return code;
}

static int converse(struct chat *c)
{
    bool terminal = isatty(STDIN_FILENO) && !c->json;
    char *line = NULL;
    size_t cap = 0;
    int code = 0;
    if (terminal)
        printf("Talking to %.*s. An empty line or Ctrl-D ends.\n", STR_ARG(c->model));
    for (;;) {
        if (terminal) {
            printf("> ");
            fflush(stdout);
        }
        ssize_t n = getline(&line, &cap, stdin);
        if (n <= 0 || n > LINE_BYTES_MAX)
            break;
        struct str question = str_trim(str_of(line, (size_t)n - (line[n - 1] == '\n')));
        if (question.len == 0)
            break;
        code = turn(c, question);
        if (code && !terminal)
            break;
    }
    free(line);
    return code;
}

static int run(int argc, char **argv)
{
    struct chat c = {.model = STR_NONE};
    struct cli_args args;
    struct str message = STR_NONE;
    remote_init(&c.remote);
    const struct cli_option options[] = {
        {"--message", "TEXT", "ask this one question and end", .value = &message},
        {"--system", "TEXT", "system prompt", .value = &c.system},
        {"--max-tokens", "N", "length of an answer at most", .value = &c.max_tokens},
        {"--json", NULL, "one JSON object per answer", .flag = &c.json},
        REMOTE_OPTIONS(&c.remote),
    };
    switch (cli_parse(&cli_chat, options, sizeof options / sizeof options[0], argc, argv, &args)) {
    case CLI_HELP_SHOWN: return 0;
    case CLI_WRONG: return 2;
    case CLI_GO: break;
    }
    uint64_t number;
    if (c.max_tokens.len &&
        !cli_number(&cli_chat, "--max-tokens", c.max_tokens, 1, 1000000, &number))
        return 2;
    if (args.count > 1)
        return cli_fail(&cli_chat, 2, "one model at a time; see `weir chat --help`");
    buf_init(&c.messages, CONVERSATION_BYTES_MAX);
    buf_init(&c.answer, CONVERSATION_BYTES_MAX);
    c.model = args.count ? args.words[0] : STR_NONE;
    int code = c.model.len ? 0 : choose_model(&c);
    if (code == 0 && c.system.len)
        add_message(&c, STR("system"), c.system);
    if (code == 0)
        code = message.len ? turn(&c, message) : converse(&c);
    buf_release(&c.messages);
    buf_release(&c.answer);
    return code;
}

const struct cli_command cli_chat = {
    .name = "chat",
    .usage = "weir chat [MODEL] [options]",
    .summary = "Talk to a model through a running server",
    .details =
        "Without MODEL the first that the server lists. Questions are read line by line from "
        "the terminal or a pipe.",
    .run = run,
};
