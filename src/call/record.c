/* A call's record: docs/internals/call.md lists its members. */
#include "call/call_int.h"
#include "codec/json_write.h"
#include "codec/time.h"
#include "codec/usage.h"
#include "os/clock.h"

/* A body of that size is a part of the record for itself: copying it would cost more than a part.
 */
enum { ASIDE_BYTES_MIN = 16 << 10, ASIDE_MAX = 2, SESSION_BYTES_MAX = 256 };

struct asides {
    struct str body[ASIDE_MAX];
    size_t at[ASIDE_MAX]; /* where it belongs in the text */
    size_t count;
    bool refused; /* everything goes into the text */
};

const char *call_outcome_name(enum call_outcome outcome)
{
    static const char *const names[] = {"ok", "error", "cancelled", "refused"};
    return names[outcome];
}

size_t call_secrets(const struct call *c, struct str ret_secrets[2])
{
    size_t n = 0;
    if (c->presented.len)
        ret_secrets[n++] = c->presented;
    if (c->attempt_count && call_attempt_now(c)->target->provider->key.len)
        ret_secrets[n++] = call_attempt_now(c)->target->provider->key;
    return n;
}

/* A moment as µs since the request's first byte; null where it did not come. */
static void member_since(struct json_writer *w, const struct call *c, struct str key, uint64_t us)
{
    json_key(w, key);
    if (us == 0)
        json_null(w);
    else
        json_u64(w, us > c->x->start_us ? us - c->x->start_us : 0);
}

/* Targets that were passed over, and why. */
static void member_skips(struct json_writer *w, const struct route_skip *skip)
{
    if (!skip)
        return;
    json_key(w, STR("skipped"));
    json_array_begin(w);
    for (; skip; skip = skip->next) {
        json_object_begin(w);
        json_member_str(w, STR("target"), skip->target->name);
        json_member_str(w, STR("reason"), str_from_c(target_skip_name(skip->reason)));
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_attempt(struct json_writer *w, const struct call *c, const struct call_attempt *a)
{
    json_object_begin(w);
    json_member_str(w, STR("target"), a->target->name);
    json_key(w, STR("status"));
    if (a->status)
        json_i64(w, a->status);
    else
        json_null(w);
    json_member_str_or_null(w, STR("error"), str_from_c(a->error));
    if (a->why && a->why->message[0])
        json_member_str(w, STR("message"), str_from_c(a->why->message));
    member_since(w, c, STR("started_us"), a->timing.started_us);
    member_since(w, c, STR("connect_us"), a->timing.connect_us);
    member_since(w, c, STR("first_byte_us"), a->timing.first_byte_us);
    member_since(w, c, STR("end_us"), a->timing.end_us);
    json_member_u64(w, STR("bytes_in"), a->timing.bytes_in);
    json_member_u64(w, STR("bytes_out"), a->timing.bytes_out);
    json_member_bool(w, STR("reused"), a->timing.reused);
    if (a->timing.resent)
        json_member_bool(w, STR("resent"), true);
    if (a->chosen_by)
        json_member_str(w, STR("chosen_by"), str_from_c(a->chosen_by));
    if (a->probe)
        json_member_bool(w, STR("probe"), true);
    json_member_u64(w, STR("backoff_us"), a->backoff_us);
    member_skips(w, a->skipped);
    json_object_end(w);
}

/* Those at targets. */
static size_t attempts_of(const struct call *c)
{
    return call_cache_served(c) ? 0 : c->attempt_count;
}

static void write_attempts(struct json_writer *w, const struct call *c)
{
    json_key(w, STR("attempts"));
    json_array_begin(w);
    for (size_t i = 0; i < attempts_of(c); i++)
        write_attempt(w, c, &c->attempts[i]);
    json_array_end(w);
    member_skips(w, c->passed_over);
}

/* overhead_us is what Weir itself took: all but the time in attempts. */
static void write_timing(struct json_writer *w, const struct call *c)
{
    uint64_t total_us = os_now_us() - c->x->start_us;
    uint64_t attempts_us = 0;
    for (size_t i = 0; i < attempts_of(c); i++) {
        const struct model_timing *t = &c->attempts[i].timing;
        if (t->end_us > t->started_us)
            attempts_us += t->end_us - t->started_us;
    }
    json_key(w, STR("timing"));
    json_object_begin(w);
    member_since(w, c, STR("queue_us"), c->attempt_count ? c->attempts[0].timing.started_us : 0);
    json_member_u64(w, STR("overhead_us"), total_us > attempts_us ? total_us - attempts_us : 0);
    member_since(w, c, STR("first_byte_us"), c->first_byte_us);
    member_since(w, c, STR("first_token_us"), c->first_token_us);
    json_member_u64(w, STR("total_us"), total_us);
    json_object_end(w);
}

static void write_usage(struct json_writer *w, const struct call *c)
{
    json_key(w, STR("usage"));
    usage_write(w, &c->usage);
    json_key(w, STR("usage_raw"));
    if (c->usage_raw.len)
        json_raw(w, c->usage_raw);
    else
        json_null(w);
}

static void write_cost(struct json_writer *w, const struct call *c, struct call_record *record)
{
    const struct prices *prices = c->settings->shared->prices;
    struct cost cost;
    json_key(w, STR("cost"));
    if (!c->attempt_count ||
        prices_cost(prices, call_attempt_now(c)->target->name, &c->usage, &cost) != ERR_OK) {
        json_null(w);
        return;
    }
    char text[DECIMAL_TEXT_BYTES];
    char saved[DECIMAL_TEXT_BYTES];
    bool cached = call_cache_served(c);
    struct str amount = decimal_format(cached ? DECIMAL_ZERO : cost.amount, text);
    memcpy(record->cost, amount.ptr, amount.len + 1);
    record->picos = cached ? 0 : (uint64_t)(cost.amount.steps / 1000);
    json_object_begin(w);
    json_member_str(w, STR("amount"), amount);
    json_member_str(w, STR("currency"), cost.currency);
    json_member_str(w, STR("prices"), prices_version(prices));
    if (cached)
        json_member_str(w, STR("saved"), decimal_format(cost.amount, saved));
    json_object_end(w);
}

static void write_error(struct json_writer *w, const struct call *c)
{
    json_key(w, STR("error"));
    if (c->outcome == CALL_OK) {
        json_null(w);
        return;
    }
    json_object_begin(w);
    json_member_str(w, STR("type"), str_from_c(c->problem.type));
    if (c->problem.code[0])
        json_member_str(w, STR("code"), str_from_c(c->problem.code));
    json_member_str(w, STR("message"), str_from_c(c->problem.message));
    json_object_end(w);
}

static void write_blob(struct json_writer *w, struct str name, size_t size_bytes)
{
    json_object_begin(w);
    json_member_str(w, STR("$blob"), name);
    json_member_u64(w, STR("size"), size_bytes);
    json_object_end(w);
}

static void write_json_body(struct json_writer *w, struct asides *a, struct str body)
{
    if (a->refused || body.len < ASIDE_BYTES_MIN) {
        json_raw(w, body);
        return;
    }
    a->at[a->count] = w->out->len;
    a->body[a->count++] = body;
    w->comma = true;
}

/* JSON as it is, anything else as text. */
static void write_body(struct json_writer *w, struct asides *a, const struct call *c,
                       struct str key, struct str body, struct str blob, bool known_json)
{
    unsigned nesting = (unsigned)c->settings->shared->config->limits.nesting;
    struct json_value value;
    json_key(w, key);
    if (blob.len) {
        write_blob(w, blob, body.len);
    } else if (body.len == 0) {
        json_null(w);
    } else if (known_json) {
        write_json_body(w, a, body);
    } else if (json_validate(body, nesting, &value) == ERR_OK) {
        write_json_body(w, a, value.raw);
    } else {
        json_str(w, body);
    }
}

static void write_bodies(struct json_writer *w, struct asides *a, const struct call *c)
{
    struct str answer = c->streaming ? buf_str(&c->response) : buf_str(&c->answer);
    bool complete = c->outcome == CALL_OK ? c->whole && !call_answer_is_cut(c)
                                          : !c->content && c->outcome != CALL_CANCELLED;
    write_body(w, a, c, STR("request"), c->x->body, c->request_blob, c->request_read);
    write_body(w, a, c, STR("response"), answer, c->response_blob, c->streaming || c->answer_read);
    json_member_bool(w, STR("response_complete"), complete);
    json_key(w, STR("metadata"));
    if (c->request.metadata.kind != JSON_NONE)
        json_raw(w, c->request.metadata.raw);
    else
        json_null(w);
    json_member_str_or_null(w, STR("user"), c->request.user.len ? c->request.user : STR_NONE);
}

static void write_head(struct json_writer *w, const struct call *c)
{
    char time[TIME_TEXT_BYTES + 1];
    json_member_str(w, STR("id"), str_of(c->id, TRACE_ID_HEX));
    json_member_str(w, STR("trace_id"), str_of(c->trace.id, TRACE_ID_HEX));
    json_member_str(w, STR("span_id"), str_of(c->trace.span, SPAN_ID_HEX));
    if (c->trace.parent[0])
        json_member_str(w, STR("parent_span_id"), str_of(c->trace.parent, SPAN_ID_HEX));
    json_member_str(w, STR("time"), time_format(c->wall_us, time));
    json_member_str(w, STR("key"), c->key->name);
    struct str session = http_headers_get(&c->x->headers, STR("x-weir-session"));
    if (session.len)
        json_member_str(w, STR("session"), str_take(session, SESSION_BYTES_MAX));
    json_member_str(w, STR("endpoint"), c->endpoint->name);
    json_member_str_or_null(w, STR("model"), c->request.model.len ? c->request.model : STR_NONE);
    json_member_str_or_null(w, STR("target"),
                            c->attempt_count ? call_attempt_now(c)->target->name : STR_NONE);
    json_member_i64(w, STR("status"), c->status);
    bool cached = c->outcome == CALL_OK && call_cache_served(c);
    json_member_str(w, STR("outcome"),
                    cached ? STR("cached") : str_from_c(call_outcome_name(c->outcome)));
    json_member_bool(w, STR("stream"), c->request.stream);
}

static void write_record(const struct call *c, struct asides *a, struct buf *json,
                         struct call_record *record)
{
    struct json_writer w;
    json_writer_init(&w, json);
    json_object_begin(&w);
    write_head(&w, c);
    write_attempts(&w, c);
    write_timing(&w, c);
    write_usage(&w, c);
    write_cost(&w, c, record);
    call_cache_record(c, &w);
    write_error(&w, c);
    write_bodies(&w, a, c);
    json_object_end(&w);
}

static bool shows_secrets(const struct asides *a, struct str text, const struct str *secrets,
                          size_t count)
{
    bool shows = redact_needed(text, secrets, count);
    for (size_t i = 0; i < a->count; i++)
        shows |= redact_needed(a->body[i], secrets, count);
    return shows;
}

static void write_clean(const struct call *c, struct buf *json, const struct str *secrets,
                        size_t count, struct call_record *record)
{
    struct asides none = {.refused = true};
    struct buf clean;
    buf_reset(json);
    write_record(c, &none, json, record);
    buf_init(&clean, json->max);
    redact_append(&clean, buf_str(json), secrets, count);
    buf_release(json);
    *json = clean;
}

static void take_parts(const struct asides *a, struct str text, struct call_record *record)
{
    size_t from = 0;
    for (size_t i = 0; i < a->count; i++) {
        record->parts[record->part_count++] = str_take(str_skip(text, from), a->at[i] - from);
        record->parts[record->part_count++] = a->body[i];
        from = a->at[i];
    }
    record->parts[record->part_count++] = str_skip(text, from);
}

void call_record_write(const struct call *c, struct buf *json, struct call_record *ret_record)
{
    struct str secrets[2];
    size_t count = call_secrets(c, secrets);
    struct asides a = {.count = 0};
    struct call_record record = {.part_count = 0};
    write_record(c, &a, json, &record);
    if (shows_secrets(&a, buf_str(json), secrets, count)) {
        write_clean(c, json, secrets, count, &record);
        a.count = 0;
    }
    take_parts(&a, buf_str(json), &record);
    *ret_record = record;
}
