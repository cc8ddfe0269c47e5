/* Private to src/call: a call's state, and what its files offer one another. */
#ifndef WEIR_CALL_CALL_INT_H
#define WEIR_CALL_CALL_INT_H

#include "call/call.h"
#include "call/gateway_int.h"
#include "call/route.h"
#include "call/trace.h"
#include "codec/json_write.h"
#include "codec/usage.h"
#include "dialect/dialect.h"
#include "net/sse.h"

enum call_outcome { CALL_OK, CALL_ERROR, CALL_CANCELLED, CALL_REFUSED };

/* One attempt, as recorded. Times: os_now_us clock, 0: did not happen. */
struct call_attempt {
    const struct config_target *target;
    int status;                 /* HTTP; 0: no answer came */
    const char *error;          /* short name ("connect", "status", …); NULL: none */
    struct openai_problem *why; /* what the target, or the network, said; NULL: nothing */
    struct model_timing timing;
    int64_t retry_after_ms;           /* -1: none */
    const char *chosen_by;            /* route_pick.by */
    bool probe;                       /* of an open breaker */
    uint64_t backoff_us;              /* waited before it */
    const struct route_skip *skipped; /* targets passed over for it */
};

/* A translation of the answer under way; see translate.c. */
struct call_translation {
    struct answer_options options;
    const struct dialect *from;   /* the reader's: the request for the next target may be made */
    struct answer_reader *reader; /* NULL: the target's answer is no stream */
    struct answer_writer *writer; /* NULL: the client's is none */
    struct answer answer;         /* what came, for the record, or to be given whole */
    bool begun;
};

/* What to do with the answer's bytes. */
enum call_phase {
    CALL_WAITING,    /* no head yet, or between attempts */
    CALL_COLLECTING, /* an error's body: kept until it is whole */
    CALL_WHOLE,      /* an answer in one piece */
    CALL_STREAMING,  /* events */
    CALL_FINISHED,   /* call_finish has run */
};

struct call {
    /* Who and what. */
    struct gateway_loop *gl;
    struct loop_settings *settings;
    const struct key *key;
    struct str presented; /* the caller's key: a secret */
    const struct call_endpoint *endpoint;
    struct http_exchange *x;
    char id[TRACE_ID_HEX + 1];
    struct trace trace;
    int64_t wall_us; /* when the request's first byte came */
    struct chat_request request;
    bool request_read;
    struct config_route route;
    uint32_t unable; /* a bit for each of the route's targets that cannot do what is asked */
    const struct route_skip *passed_over; /* targets, when in the end there was no attempt more */
    struct reservation reservation;
    struct call_cache *cache; /* cached.c's; NULL: the model has none */
    struct call_lean *lean;   /* lean.c's; NULL: the request is whole in itself */

    /* The attempt under way, and those before it. */
    struct call_attempt *attempts;
    size_t attempt_count;
    struct route picker;
    struct target_permit permit; /* of the attempt under way */
    enum err last_kind;          /* what the attempt before ended in; ERR_OK: a status */
    uint64_t backoff_from_us;    /* waiting since; 0: not waiting */
    struct model_use *use;
    const struct dialect *spoken; /* with its target; another than the client's: translated */
    struct model_request outgoing;
    struct http_header let_through[MODEL_HEADERS_MAX];
    struct chat_body body;
    struct ask *ask;      /* the request, once a target needs it translated */
    struct ask_plan plan; /* of the body written */
    struct buf written;   /* a translated body */
    char traceparent[TRACEPARENT_BYTES + 1];
    struct loop_timer retry_timer;
    struct loop_timer deadline_timer;
    uint64_t deadline_us; /* for the first content byte */

    /* The answer. */
    enum call_phase phase;
    int status;               /* what the client sees, or would see */
    struct http_header *head; /* fields to pass on, in the exchange's arena */
    size_t head_count;
    struct buf answer;     /* WHOLE and COLLECTING: the body, for client and record */
    uint64_t answer_bytes; /* that came, kept or not */
    uint64_t lost_bytes;   /* that came of one piece which broke off: paid for, not passed on */
    struct buf held;       /* STREAMING: events not passed on yet */
    struct sse_parser events;
    bool parsing;              /* events is in use */
    struct chat_stream stream; /* watched; of a translated stream only error, failed, done */
    const struct dialect_watch *watching; /* uses stream; NULL: nobody does */
    struct call_translation translation;
    bool streaming; /* the client gets events */
    bool content;   /* the first content byte has come */
    bool head_sent;
    bool paused;
    bool gone;                    /* the client left */
    uint64_t first_byte_us;       /* of the answer */
    uint64_t first_token_us;      /* content */
    struct loop_timer ping_timer; /* until content */
    bool pinged;                  /* the client has a 200 and comments, from us */
    struct loop_timer tail_timer; /* [DONE] came, the body's end did not */

    /* The end. */
    enum call_outcome outcome;
    bool whole;                    /* the answer came whole */
    struct chat_answer read;       /* an answer in one piece, where answer_read */
    bool answer_read;              /* it is JSON, an object, and `answer` as the target sent it */
    struct openai_problem problem; /* what the client is told, or would have been */
    struct usage usage;
    struct str usage_raw;
    struct log_append append;
    struct loop_task recorded;
    int64_t retry_after_ms;  /* for the client; -1: none */
    struct str request_blob; /* "sha256:…" where a body is kept as a blob */
    struct str response_blob;
    struct buf response; /* a stream's assembled answer */
};

/* ---- attempt.c ---- */

/* Start the first attempt; c->picker has begun. */
void call_attempt_first(struct call *c);
/* The first content byte came: the target works. */
void call_attempt_answered(struct call *c);
/* The status for a client when an attempt ended in this. */
int call_status_of(enum err kind);
/* The use is over or given up: note its times in the attempt, and let it go. */
void call_attempt_end(struct call *c);
static inline struct call_attempt *call_attempt_now(const struct call *c)
{
    return &c->attempts[c->attempt_count - 1];
}
/* Its `why`, made in the exchange's arena when it is first asked for: most attempts have none. */
static inline struct openai_problem *call_attempt_why(struct call *c)
{
    struct call_attempt *a = call_attempt_now(c);
    if (!a->why)
        a->why = ARENA_NEW(c->x->arena, struct openai_problem);
    return a->why;
}
/* The attempt under way failed before its first content: try on, or finish with its error. error:
 * the attempt's short name; kind: what it was (ERR_OK: a status). */
void call_attempt_failed(struct call *c, enum err kind, const char *error);

/* ---- params.c ---- */

/* The body of a request that was read, with the alias's parameters that it lacks; in the arena. */
struct str call_params_added(struct str body, const struct config_model *alias, struct arena *a);

/* ---- outgoing.c ---- */

/* Find out which targets of the route have not what is asked for. False after refusing the call,
 * because none has. */
bool call_outgoing_admit(struct call *c);
static inline bool call_target_is_able(const struct call *c, size_t i)
{
    return !(c->unable >> i & 1);
}
static inline bool call_some_target_is_able(const struct call *c)
{
    return (size_t)__builtin_popcount(c->unable) < config_route_count(&c->route);
}
void call_outgoing_init(struct call *c);
/* Make c->outgoing for a target. An error (ERR_UNSUPPORTED, ERR_INVALID, ERR_TOO_LARGE): it cannot
 * do what is asked, and c->problem says why. */
MUST_CHECK enum err call_outgoing_prepare(struct call *c, const struct config_target *target);
static inline bool call_is_translated(const struct call *c)
{
    return c->spoken != c->endpoint->dialect;
}

/* Of a collected answer something was left out, because it is too large. */
static inline bool call_answer_is_cut(const struct call *c)
{
    return c->stream.truncated || c->translation.answer.truncated;
}

/* ---- lean.c: requests of the Responses API that lean on stored ones ---- */

/* True: the log is read for it on a worker, and call_admitted follows (or the call's end). */
bool call_lean_begin(struct call *c);
/* Is that under way? The call cannot end meanwhile. */
bool call_lean_reads(const struct call *c);
/* What a target is asked that knows nothing of what is stored. An error: c->problem says what is
 * not there. */
MUST_CHECK enum err call_lean_body(struct call *c, struct str *ret_body);
/* The same for a target that speaks the Responses API itself. */
MUST_CHECK enum err call_lean_request(struct call *c, const struct chat_request **ret_request);
void call_lean_done(struct call *c);

/* ---- translate.c ---- */

/* The head of a good answer came; events: it is a stream. */
void call_translate_begin(struct call *c, bool events);
void call_translate_event(struct call *c, const struct sse_event *event);
/* The target's stream came to its end. */
void call_translate_stream_end(struct call *c);
/* The whole body, c->answer, becomes what the client gets. False: it is no answer. */
bool call_translate_whole(struct call *c);
/* Break off the stream that the client reads: c->problem, in its language. */
void call_translate_break(struct call *c, int status);
/* Write what came as a whole answer in the client's language. */
void call_translate_write(const struct call *c, struct buf *out);
void call_translate_reset(struct call *c);

/* ---- relay.c ---- */

void call_relay_head(struct call *c, const struct model_head *head);
void call_relay_body(struct call *c, struct str bytes);
void call_relay_end(struct call *c);
void call_relay_fail(struct call *c, enum err error, enum model_phase phase, struct str detail);
/* Keep a stream's client company until there is content. */
void call_ping_start(struct call *c);
/* Forget what an attempt brought. */
void call_relay_reset(struct call *c);
/* Give back what watching an answer took. */
void call_relay_release_watch(struct call *c);
/* The first content has come: no other attempt from here on. */
void call_relay_content(struct call *c);
/* The stream's last event is about to be held: pass on what stands before it, and do not wait for
 * the end of the body for long. */
void call_relay_last(struct call *c);
void call_relay_drain(struct call *c);
/* The record is written (or was not to be): give the client the rest, and end the exchange. */
void call_relay_release(struct call *c);

/* ---- call.c ---- */

/* Go on with a call whose request is whole: limits, then the first attempt. */
void call_admitted(struct call *c);
/* The client left, and nobody else waits for the answer: end the call. */
void call_client_left(struct call *c);

/* ---- cached.c; each may be called for every call ---- */

/* At admission: is the answer kept, or on its way to an equal call? */
void call_cache_enter(struct call *c);
/* It is kept: the call costs no tokens. */
bool call_cache_hit(const struct call *c);
/* Begin to answer from there; false: ask a target. */
bool call_cache_serve(struct call *c);
/* The answer, as far as there is one, came from there. */
bool call_cache_served(const struct call *c);
/* The usage of an answer served; false: not served, or not known from there. */
bool call_cache_usage(struct call *c);
/* Bytes that go to the client now, for those who follow. */
void call_cache_pass(struct call *c, struct str bytes);
/* The client left: is the call to go on for others? */
bool call_cache_keeps(struct call *c);
/* The outcome is known: may the answer be kept? Before the record is written. */
void call_cache_finish(struct call *c);
/* The record is on the log: give the answer to the cache and to those who follow. */
void call_cache_release(struct call *c);
void call_cache_done(struct call *c);
/* The record's member `cache`, if there is to be one. */
void call_cache_record(const struct call *c, struct json_writer *w);

/* ---- finish.c ---- */

/* End a call, whatever its end. status: what the client sees. */
void call_finish(struct call *c, enum call_outcome outcome, int status);
/* Refuse or fail with c->problem set, as an error body of ours. */
void call_finish_problem(struct call *c, enum call_outcome outcome, int status);

/* ---- metered.c ---- */

/* Count an ended call. cost: in 10^-12 of the currency. */
void call_meter(const struct call *c, uint64_t cost);

/* ---- record.c ---- */

/* What a record is joined of: text, and large bodies that are not copied into it. */
enum { CALL_RECORD_PARTS_MAX = 5 };

struct call_record {
    struct str parts[CALL_RECORD_PARTS_MAX];
    size_t part_count;
    char cost[DECIMAL_TEXT_BYTES]; /* decimal text; empty when unknown */
    uint64_t picos;                /* the same in 10^-12 of the currency */
};

/* The record as JSON, for the log, without secrets. Its parts point into *json and into the call's
 * bodies. */
void call_record_write(const struct call *c, struct buf *json, struct call_record *ret_record);
/* The keys that nothing recorded or passed on as an error may show: the caller's and the
 * provider's. */
size_t call_secrets(const struct call *c, struct str ret_secrets[2]);
const char *call_outcome_name(enum call_outcome outcome);

/* ---- redact.c ---- */

/* Append text with every occurrence of the secrets replaced by "***". */
void redact_append(struct buf *out, struct str text, const struct str *secrets, size_t count);
/* Does text hold one of them? */
bool redact_needed(struct str text, const struct str *secrets, size_t count);

#endif
