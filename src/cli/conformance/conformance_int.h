/* `weir conformance`: a table of cases against any gateway that has a mock behind it.
 *
 *   conformance.c (command) > conf_run.c (every case × API × stream × target, the report)
 *     > conf_case.c (the table)  > conf_build.c (a case as a request of each API)
 *     > conf_http.c (bytes)      > conf_read.c (an answer of each API as one view)
 *     > conf_check.c (is the view what the case wants?)
 *     > conf_special.c (cases that are more than a question and an answer)
 *
 * 1. One thread, one request at a time, a connection each: what is seen is the gateway's doing.
 * 2. It shares no code with the gateway: sockets are cli/wire's, JSON is yyjson's. */
#ifndef WEIR_CLI_CONFORMANCE_INT_H
#define WEIR_CLI_CONFORMANCE_INT_H

#include <yyjson.h>

#include "base/buf.h"
#include "base/str.h"
#include "cli/wire/wire_socket.h"

enum {
    CONF_TOKENS = 8,       /* of the mock's answers */
    CONF_CALLS_MAX = 16,   /* tools called in one answer */
    CONF_TARGETS_MAX = 8,  /* --target */
    CONF_HEADERS_MAX = 16, /* --header */
    CONF_TIMEOUT_MS = 15000,
    CONF_BODY_BYTES_MAX = 64 << 20, /* of one answer; more is cut off, and then fails */
};

/* ---- Who is asked ---- */

enum conf_api { CONF_CHAT, CONF_COMPLETIONS, CONF_EMBEDDINGS, CONF_RESPONSES, CONF_MESSAGES };
enum { CONF_APIS = 5 };
enum conf_kind { CONF_OPENAI, CONF_AZURE, CONF_ANTHROPIC, CONF_GEMINI };
enum { CONF_KINDS = 4 };

/* A model of the gateway that leads to the mock, and as what. */
struct conf_target {
    enum conf_kind kind;
    struct str model;
};

struct conf_server {
    struct wire_address address;
    struct str host;   /* with its port, for the Host field */
    struct str prefix; /* of paths, without /v1 */
};

struct conf {
    struct conf_server gateway, mock;
    struct str key;
    struct str headers[CONF_HEADERS_MAX]; /* whole lines */
    size_t header_count;
    struct conf_target targets[CONF_TARGETS_MAX];
    size_t target_count;
    struct str only; /* cases whose name holds it; empty: all */
    bool json;
};

/* ---- conf_http.c ---- */

/* One answer. */
struct conf_answer {
    int status; /* 0: none came */
    bool is_stream;
    bool has_retry_after, has_request_id;
    bool whole; /* it ended as HTTP says it ends */
    struct buf body;
};

struct conf_ask {
    const struct conf_server *server;
    struct str method, path;
    struct str headers; /* whole lines, each with its CRLF */
    struct str body;
    /* Leave as soon as the body holds this text, or, where it is empty and leave_ms is set, after
     * that time. */
    struct str leave_at;
    unsigned leave_ms;
};

MUST_CHECK enum err conf_server_parse(struct str url, struct conf_server *ret_server);
/* ERR_CONNECT, ERR_TIMEOUT, ERR_RESET… with what came in ret_answer, which is to be released. */
enum err conf_http(const struct conf_ask *ask, struct conf_answer *ret_answer);
/* A request to the mock's own paths; its answer as JSON. The caller frees it. NULL: none. */
yyjson_doc *conf_mock_get(const struct conf *conf, struct str path);

/* ---- conf_case.c ---- */

/* What a request holds beside its words. */
enum {
    ASK_SYSTEM = 1 << 0,
    ASK_TOOLS = 1 << 1,   /* look_up(city, days) and other() */
    ASK_NO_TOOL = 1 << 2, /* tool_choice: none */
    ASK_OTHER = 1 << 3,   /* tool_choice: other */
    ASK_RESULT = 1 << 4,  /* a call and its result came before */
    ASK_IMAGE = 1 << 5,
    ASK_SCHEMA = 1 << 6,
    ASK_THINK = 1 << 7,
    ASK_TWO_TOKENS = 1 << 8, /* at most */
    ASK_STOP = 1 << 9,       /* before "gamma" */
    ASK_N2 = 1 << 10,
    ASK_LOGPROBS = 1 << 11,
    ASK_TURNS = 1 << 12,      /* a person and the assistant spoke before */
    ASK_MANY_TOOLS = 1 << 13, /* 40 of them */
    ASK_LONG = 1 << 14,       /* 300 KB of system prompt */
    ASK_CACHE = 1 << 15,      /* the system prompt is marked for the prompt's cache */
    ASK_TWO_INPUTS = 1 << 16, /* embeddings of two texts */
    ASK_BASE64 = 1 << 17,
    ASK_NO_MAXIMUM = 1 << 19,  /* of tokens, where the API does not ask for one */
    ASK_TWO_RESULTS = 1 << 18, /* parallel calls and both results came before */
};

enum conf_mode { WHOLE = 1, STREAM = 2, BOTH = 3 };

struct conf_question; /* one cell of the matrix */

struct conf_case {
    const char *name;
    unsigned apis;  /* bits of enum conf_api */
    unsigned kinds; /* bits of enum conf_kind */
    enum conf_mode modes;
    unsigned asks;
    const char *words; /* of the user */
    const char *wants; /* conf_check.c explains */
    /* Instead of one question: appends why it failed. */
    void (*special)(const struct conf_question *question, struct buf *why);
};

extern const struct conf_case conf_cases[];
extern const size_t conf_case_count;

extern const char *const conf_api_names[CONF_APIS];
extern const char *const conf_kind_names[CONF_KINDS];

struct conf_question {
    const struct conf *conf;
    const struct conf_case *the_case;
    enum conf_api api;
    const struct conf_target *target;
    bool stream;
};

/* ---- conf_build.c ---- */

/* Path, and the request's own fields. */
struct str conf_path(enum conf_api api);
void conf_headers_append(const struct conf_question *question, struct buf *out);
void conf_body_append(const struct conf_question *question, struct buf *out);
/* Elements of `messages` or `input`: the conversation that a case begins with. */
void conf_talk_append(enum conf_api api, const struct conf_case *c, struct buf *out);
/* The same, where the conversation so far is this text: elements of `messages` or `input`. */
void conf_body_append_talk(const struct conf_question *question, struct str talk, struct buf *out);

/* ---- conf_read.c ---- */

struct conf_call {
    struct buf id, name, arguments;
    size_t place; /* in a stream: the index that its events name */
};

/* An answer, whichever API it is of. */
struct conf_view {
    struct buf text, thinking, refusal;
    struct conf_call calls[CONF_CALLS_MAX];
    size_t call_count;
    struct buf stop; /* end, length, calls, sequence, refusal, filter, or as it stands there */
    bool ended;      /* rightly: by the API's own mark */
    bool broken;     /* an error event */
    bool is_error;   /* an error body of that API */
    struct buf error_message;
    bool has_usage;
    int64_t input, cached, cache_write, output, reasoning;
    size_t choices, embeddings, dimensions, logprobs, signatures;
    size_t unnamed, unnumbered; /* events */
    /* Of a stream so far. */
    size_t blocks; /* begun */
    bool block_open;
    int64_t sequence; /* last number; -1: none */
    char wrong[256];  /* against the API's grammar; empty: nothing */
    /* An unstreamed answer, and in it what goes back into the conversation. */
    yyjson_doc *doc;
    yyjson_val *said;
};

void conf_view_init(struct conf_view *view);
void conf_view_release(struct conf_view *view);
void conf_view_read(enum conf_api api, const struct conf_answer *answer, struct conf_view *view);
/* Note the first mistake. */
void conf_view_wrong(struct conf_view *view, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* conf_events.c: a stream's event. */
void conf_view_event(enum conf_api api, struct str type, struct str data, struct conf_view *view);
/* Of a whole answer or of an event; NULL is fine. */
void conf_view_usage(enum conf_api api, yyjson_val *usage, struct conf_view *view);
void conf_view_stop(const char *stop, struct conf_view *view);
void conf_view_text(struct buf *out, yyjson_val *text);
/* The call of that place; a new one where there is none yet. NULL: too many. */
struct conf_call *conf_view_call(struct conf_view *view, size_t place);

/* ---- conf_check.c ---- */

/* What `wants` asks for and the view is not, in words; empty: all is right. seen: what the mock
 * received, may be NULL. */
void conf_check(const struct conf_question *question, const struct conf_answer *answer,
                const struct conf_view *view, yyjson_val *seen, struct buf *why);

/* ---- conf_special.c ---- */

void conf_cancel(const struct conf_question *question, struct buf *why);
void conf_loop(const struct conf_question *question, struct buf *why);
void conf_bytes(const struct conf_question *question, struct buf *why);
void conf_unknown_field(const struct conf_question *question, struct buf *why);
void conf_credentials(const struct conf_question *question, struct buf *why);

/* ---- conf_run.c ---- */

/* Ask, and read the answer; its bytes stay in ret_answer. Both are to be released. */
enum err conf_question_ask(const struct conf_question *question, struct str body,
                           struct conf_answer *ret_answer, struct conf_view *ret_view);

/* 0: every case passed; 1: some did not. */
int conf_run(const struct conf *conf);

#endif
