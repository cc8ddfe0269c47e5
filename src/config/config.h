/* The configuration: weir.yaml, the environment and the command line, checked and put together into
 * one immutable snapshot.
 *
 *   file ──libyaml──▶ tree of nodes (line, column) ──${…}──▶ values ──checks──▶ struct config
 *                                                       │
 *                                                       └─▶ report: every mistake, every warning
 *
 * Invariants
 *  1. A snapshot never changes after config_load returned it; any thread may read it while it holds
 * a reference. All its memory is in one arena and ends with the last reference.
 *  2. What config_load returns is whole: each target's provider exists, each duration and size lies
 * in its range, each alias is flattened. Readers check nothing again.
 *  3. Secrets (provider keys, header values, what came from ${…}) never reach a mistake or warning.
 *  4. With one mistake or more there is no snapshot: on reload the old one stays in force.
 *
 * Lookups (config_resolve, config_provider_find) allocate nothing and take no lock. */
#ifndef WEIR_CONFIG_CONFIG_H
#define WEIR_CONFIG_CONFIG_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/decimal.h"
#include "codec/usage.h"

/* ---- Limits of the file itself ---- */
enum {
    CONFIG_FILE_BYTES_MAX = 1024 * 1024,
    CONFIG_DEPTH_MAX = 16,
    CONFIG_NODES_MAX = 100000,      /* scalars, lists and mappings in the whole file */
    CONFIG_VALUE_BYTES_MAX = 65536, /* one scalar, after ${…} */
    CONFIG_PROVIDERS_MAX = 256,
    CONFIG_MODELS_MAX = 4096, /* aliases, and names under one provider */
    CONFIG_TARGETS_MAX = 32,  /* of one alias, after aliases of aliases are flattened */
    CONFIG_KEYS_MAX = 10000,
    CONFIG_PRICES_MAX = 4096,
    CONFIG_HEADERS_MAX = 32,     /* of one provider */
    CONFIG_PARAMS_MAX = 32,      /* of one alias */
    CONFIG_CONDITIONS_MAX = 16,  /* of one target, those of the aliases it came through included */
    CONFIG_NAME_BYTES_MAX = 128, /* of a provider, alias or key */
    CONFIG_ALERTS_MAX = 200,
    CONFIG_NOTIFY_MAX = 32,     /* whom alerts tell */
    CONFIG_RECIPIENTS_MAX = 20, /* of one of them */
    CONFIG_MISTAKES_MAX = 100   /* lines reported; one more says how many were left out */
};

/* ---- Parts ---- */

struct config_address {
    struct str host; /* without brackets: "127.0.0.1", "::1", "localhost", "0.0.0.0" */
    uint16_t port;   /* 0: any free one */
    bool enabled;    /* false: off */
    bool assumed;    /* nobody said it: where it cannot be had, Weir goes on without */
};

struct config_tls {
    bool enabled;
    struct str cert_path;      /* PEM chain */
    struct str key_path;       /* PEM */
    struct str client_ca_path; /* empty: clients need no certificate */
};

enum config_durability {
    CONFIG_DURABILITY_WRITE, /* acknowledged after write(2), on disk within 5 ms */
    CONFIG_DURABILITY_SYNC   /* acknowledged after fdatasync(2) */
};

enum config_on_full {
    CONFIG_ON_FULL_REFUSE, /* calls get 507 */
    CONFIG_ON_FULL_SERVE   /* calls go on; unrecorded ones are counted */
};

struct config_header {
    struct str name;
    struct str value; /* secret */
};

struct config_log {
    enum config_durability durability;
    enum config_on_full on_full;
    int64_t quota_bytes;          /* whole data folder; 0: none */
    int64_t protect_ms;           /* younger records never go to make room */
    int64_t retention_age_ms;     /* 0: kept whatever their age */
    int64_t retention_size_bytes; /* per topic; 0: whatever their size */
    struct str kafka;             /* brokers, "host:port,…"; empty: the log is embedded */
    const struct config_header *kafka_settings; /* of librdkafka, by its own names */
    size_t kafka_setting_count;
    int64_t spool_bytes; /* what waits here for the brokers, at most */
};

struct config_local {
    struct str dir;       /* where *.gguf files are found */
    int64_t memory_bytes; /* loaded together at most */
    int threads;          /* 0: auto */
    int parallel;         /* sequences decoded at once per model */
    int queue;            /* waiting beyond that */
};

/* What one peer may cost (contract: Limits). */
struct config_limits {
    int64_t header_bytes;  /* request line and headers: 431 */
    int64_t header_ms;     /* from the first byte to the last header: 408 */
    int64_t body_bytes;    /* 413 */
    int nesting;           /* JSON depth: 400 */
    int64_t event_bytes;   /* one event of an upstream stream */
    int64_t idle_ms;       /* kept connection without a request */
    int64_t ping_ms;       /* a stream without content gets a comment that often; 0: never */
    int64_t pending_bytes; /* buffered for one slow reader; then upstream is held back */
};

enum config_api {
    CONFIG_API_OPENAI,
    CONFIG_API_ANTHROPIC,
    CONFIG_API_GEMINI,
    CONFIG_API_AZURE,
    CONFIG_API_LOCAL, /* the built-in provider `local`: models inside Weir */
    CONFIG_API_COUNT
};
/* "openai", …; as the file writes it. */
struct str config_api_name(enum config_api api);

/* How a provider answers the Responses API. */
enum config_responses {
    CONFIG_RESPONSES_UNSET,     /* only while it is read */
    CONFIG_RESPONSES_TRANSLATE, /* Weir makes a chat of it, and keeps the conversation */
    CONFIG_RESPONSES_NATIVE,    /* it speaks that API itself: bytes pass */
};

/* A URL taken apart. */
struct config_url {
    struct str text; /* as written, without a trailing '/'; no user, password, query or fragment */
    bool tls;        /* https */
    struct str host; /* without brackets */
    uint16_t port;   /* 443 or 80 where none was written */
    struct str authority; /* for the Host header: host[:port], the port only where it is not the
                             scheme's own */
    struct str prefix;    /* path before the API's own, without a trailing '/': "/v1", or "" */
};

struct config_timeouts {
    int64_t connect_ms;
    int64_t first_byte_ms; /* from the request's last byte to the answer's first */
    int64_t idle_ms;       /* between two pieces of an answer */
    int64_t total_ms;      /* one attempt, whole */
};

/* A model's name at a provider, and what to call it upstream (an Azure deployment). */
struct config_model_name {
    struct str name;
    struct str upstream;
};

/* When a target is left alone because it fails (state/breaker.h). */
struct config_breaker {
    bool off;
    int percent;         /* of the answers in the window that are faults … */
    int requests;        /* … once there are so many */
    int64_t window_ms;   /* at least TALLY_SLICES ms */
    int64_t open_ms;     /* the first time; doubles with each probe that fails */
    int64_t open_max_ms; /* and no further than this */
};

/* Attempts at a provider that the same call has asked before. */
struct config_retry_budget {
    bool off;
    int percent;           /* of the calls of the last 10 s */
    int64_t reserve_per_s; /* that are allowed beside */
};

struct config_health {
    struct str path;  /* GET, from the host's root; empty: no probe */
    int64_t every_ms; /* also how long one may take */
};

struct name_index; /* name → number, private */

struct config_provider {
    struct str name;
    enum config_api api;
    struct config_url url;  /* empty for CONFIG_API_LOCAL */
    struct str key;         /* secret; empty: none is sent */
    struct str api_version; /* azure */
    enum config_responses responses;
    struct config_timeouts timeout;
    int connections; /* to this provider at once, over all loops */
    int concurrency; /* calls under way, over all loops; 0: no limit */
    struct config_breaker breaker;
    struct config_retry_budget retry_budget;
    struct config_health health;
    const struct config_header *headers;
    size_t header_count;
    const struct config_model_name *models; /* count 0: any name goes */
    size_t model_count;
    const struct name_index *model_index;
    struct str left_out; /* not empty: why it takes no calls ("OPENAI_API_KEY is not set") */
    size_t index;        /* in config.providers: for tables beside it */
};

struct expr; /* config/expr.h */

/* Where an attempt goes. */
struct config_target {
    const struct config_provider *provider;
    struct str model;    /* as targets name it: for the record, x-weir-target and prices */
    struct str upstream; /* what the request calls it there */
    struct str
        name; /* "provider/model"; for a name made up by config_resolve it is the caller's bytes */
    uint32_t weight; /* 1 unless written */
    int concurrency; /* calls under way through this alias's entry; 0: no limit */
    const struct expr *const *conditions; /* `when`: all must hold */
    size_t condition_count;
};

enum config_strategy {
    CONFIG_STRATEGY_FALLBACK,
    CONFIG_STRATEGY_WEIGHTED,
    CONFIG_STRATEGY_LATENCY,
    CONFIG_STRATEGY_STICKY
};

enum config_sticky { CONFIG_STICKY_NONE, CONFIG_STICKY_USER };

/* What moves a call on to its next attempt. */
struct config_retry {
    int attempts;        /* in all, over all targets, at least 1 */
    bool on_connect;     /* no connection, TLS */
    bool on_reset;       /* lost before the first content byte */
    bool on_timeout;     /* connect, first byte */
    uint64_t status[10]; /* bit set of HTTP statuses 0…639, see config_retry_on_status */
};

static inline bool config_retry_on_status(const struct config_retry *r, int status)
{
    return status >= 0 && status < 640 && (r->status[status / 64] >> (status % 64) & 1);
}

/* A request's default, where the request is silent: member `name` with the JSON text `json`. */
struct config_param {
    struct str name;
    struct str json;
};

/* An alias: a name under `models`. Aliases of aliases are flattened: targets are providers' models
 * only. */
struct config_model {
    struct str name;
    const struct config_target *targets;
    size_t target_count; /* 0 only when all of its providers are left out: see left_out */
    enum config_strategy strategy;
    enum config_sticky sticky;
    struct config_retry retry;
    int64_t deadline_ms;  /* over all attempts */
    int64_t cache_ttl_ms; /* 0: no cache */
    int64_t cache_bytes;
    const struct config_param *params;
    size_t param_count;
    struct str left_out; /* why there is no target */
    size_t index;        /* in config.models */
};

/* USD per million tokens; a part that is not set costs what its whole costs (see state/prices.h).
 */
enum price_part {
    PRICE_INPUT,
    PRICE_CACHED_INPUT,
    PRICE_CACHE_WRITE,
    PRICE_CACHE_WRITE_1H,
    PRICE_OUTPUT,
    PRICE_REASONING,
    PRICE_AUDIO_IN,
    PRICE_AUDIO_OUT,
    PRICE_REQUEST, /* USD for each call, whatever its tokens */
    PRICE_PART_COUNT
};

struct price_set {
    struct decimal part[PRICE_PART_COUNT];
    unsigned set; /* bit set of price_part; 0: there is no such set */
};

struct config_price {
    struct str target; /* "provider/model", or a bare model name for every provider */
    struct price_set sets[USAGE_TIER_COUNT];
    int64_t above_tokens;                     /* 0: never */
    struct price_set above[USAGE_TIER_COUNT]; /* for prompts of more tokens than that */
};

/* At most `count` in any interval of window_us. count 0: no limit. */
struct config_rate {
    int64_t count;
    int64_t window_us;
};

struct config_key_limits {
    struct config_rate requests;
    struct config_rate tokens;
    int64_t concurrent; /* calls in flight; 0: no limit */
};

struct config_key {
    struct str name;
    uint8_t hash[32]; /* SHA-256 of the whole key */
    bool disabled;    /* its hash is the example's placeholder: nobody can present it */
    bool admin;
    bool any_model;           /* no `models` was written */
    const struct str *models; /* allow-list: aliases and provider/model, as callers write them */
    size_t model_count;
    struct config_key_limits limits;
};

/* "600/m": at least a count of 0 and one of /s /m /h /d. ERR_INVALID, ERR_OUT_OF_RANGE. */
MUST_CHECK enum err config_rate_parse(struct str text, struct config_rate *ret_rate);

/* ---- Alerts ---- */

/* What an alert measures over its window. */
enum config_measure {
    CONFIG_MEASURE_CALLS,
    CONFIG_MEASURE_ERRORS,
    CONFIG_MEASURE_ERROR_RATE, /* of 1 */
    CONFIG_MEASURE_COST,       /* USD */
    CONFIG_MEASURE_INPUT,      /* tokens */
    CONFIG_MEASURE_OUTPUT,
    CONFIG_MEASURE_TOKENS,
    CONFIG_MEASURE_TOTAL, /* s, the percentile of calls */
    CONFIG_MEASURE_FIRST, /* s, the percentile of first tokens */
    CONFIG_MEASURE_BURN   /* error rate / (1 - objective), in the window and in its last twelfth */
};

enum config_alert_by {
    CONFIG_BY_NONE,
    CONFIG_BY_MODEL,
    CONFIG_BY_TARGET,
    CONFIG_BY_KEY,
    CONFIG_BY_ENDPOINT,
    CONFIG_BY_OUTCOME,
    CONFIG_BY_USER
};

/* Which calls count: an empty member lets all pass. */
struct config_alert_filter {
    struct str model, target, key, endpoint, outcome, user;
    struct str status; /* "429" or "4xx" */
    struct str q;      /* words, all of them are in what was asked or answered */
};

struct config_alert {
    struct str name;
    struct str when; /* as written: "error_rate > 5%" */
    enum config_measure measure;
    int percentile;   /* per mille: 500, 900, 950, 990, 999 */
    bool change;      /* against the window before: 0.5 is half as much again */
    bool below;       /* `<` */
    double limit;     /* in the measure's unit */
    double objective; /* of CONFIG_MEASURE_BURN: 0.99 */
    int64_t over_ms;
    enum config_alert_by by;
    struct config_alert_filter where;
    int64_t calls_min;  /* fewer in the window say nothing */
    int64_t repeat_ms;  /* told again while it lasts; 0: once */
    const uint32_t *to; /* numbers of config.notify */
    size_t to_count;
};

enum config_notify_form { CONFIG_NOTIFY_JSON, CONFIG_NOTIFY_SLACK, CONFIG_NOTIFY_MAIL };

/* Whom alerts tell. */
struct config_notify {
    struct str name;
    enum config_notify_form form;
    struct str url; /* a webhook's; a secret, as Slack's are */
    const struct config_header *headers;
    size_t header_count;
    bool internal;   /* its address may be one that is not public */
    struct str host; /* mail: the server */
    uint16_t port;
    bool tls; /* from the first byte, else by STARTTLS where the server offers it */
    struct str user;
    struct str password; /* a secret */
    struct str from;
    const struct str *recipients;
    size_t recipient_count;
};

/* Where the spans of Weir's own calls go. */
struct config_telemetry {
    struct str url; /* the collector's; a secret, as it may hold one. Empty: nowhere */
    const struct config_header *headers;
    size_t header_count;
    bool messages; /* with what was asked and answered */
};

/* "model", …; "" for CONFIG_BY_NONE. */
struct str config_alert_by_name(enum config_alert_by by);

/* ---- The snapshot ---- */

struct config_private;

struct config {
    struct str path; /* file it came from; empty: none, all defaults */
    struct {
        struct config_address http;
        struct config_address kafka;
        struct config_tls tls;
        int64_t drain_ms;
    } listen;
    struct str data; /* folder */
    struct config_log log;
    struct config_local local;
    struct config_limits limits;
    const struct config_provider
        *providers; /* as written; the built-in `local` is not among them */
    size_t provider_count;
    const struct config_provider *local_provider;
    const struct config_model *models;
    size_t model_count;
    const struct config_price *prices;
    size_t price_count;
    bool keys_given; /* false: no `keys` in the file: an admin key is made at the first start */
    const struct config_key *keys;
    size_t key_count;
    const struct config_alert *alerts;
    size_t alert_count;
    const struct config_notify *notify;
    size_t notify_count;
    struct config_telemetry telemetry;
    struct config_private *private_;
};

/* Another reference. Any thread. */
struct config *config_get(const struct config *c);
/* Give a reference back; the last one frees everything. NULL is fine. Any thread. */
void config_put(struct config *c);

/* ---- Loading ---- */

/* Where a configuration's outside comes from, so that tests need neither files nor environment. */
struct config_source {
    /* The variable's value, or STR_NONE when unset; borrowed until the next call. */
    struct str (*env)(void *arg, const char *name);
    /* Append the whole file. ERR_NOT_FOUND, ERR_ACCESS, ERR_TOO_LARGE (past the buffer's maximum),
     * ERR_IO. */
    enum err (*file)(void *arg, const char *path, struct buf *bytes);
    void *arg;
};
/* The process's environment and files. */
extern const struct config_source config_source_process;

/* What the command line says; empty fields say nothing. They stand above the file, also on reload.
 */
struct config_options {
    struct str path;  /* --config; empty: weir.yaml in the working directory, if there is one */
    struct str http;  /* --listen HOST:PORT */
    struct str kafka; /* --kafka HOST:PORT|off */
    struct str data;  /* --data DIR */
    const struct config_source *source; /* NULL: config_source_process */
};

/* What loading found, one line each, "\n"-terminated, in the file's order:
 *   weir.yaml:3:7: unknown key 'lsiten', did you mean 'listen'?
 *   weir.yaml:31:5: warning: 'params' does nothing in this version
 * Mistakes without a place in the file start with what they concern ("--listen: …"). */
struct config_report {
    struct buf mistakes;
    struct buf warnings;
    unsigned mistake_count;
    unsigned warning_count;
};

void config_report_init(struct config_report *r);
void config_report_release(struct config_report *r);

/* Read and check everything. ERR_CONFIG with at least one mistake in the report, else one reference
 * to a new snapshot in *ret_config; warnings may come with both. Blocks on files: not on a loop's
 * hot path, but short enough for a reload. Any thread. */
MUST_CHECK enum err config_load(const struct config_options *options, struct config_report *report,
                                struct config **ret_config);

/* ---- Resolving a model's name ---- */

/* Where a request's `model` goes. Points into the snapshot and the caller's `model` bytes: both
 * must outlive it. Copies of it are fine. */
struct config_route {
    const struct config_model *alias; /* NULL: `provider/model` or `local/name` was asked for */
    struct config_target direct;      /* the only target, where alias is NULL */
    const struct config_retry *retry; /* the alias's own, or the default */
    int64_t deadline_ms;
};

/* ERR_NOT_FOUND: no such alias, provider, or model of a provider that lists its models, or its
 * provider is left out: config_resolve_explain says which. Allocates nothing. */
MUST_CHECK enum err config_resolve(const struct config *c, struct str model,
                                   struct config_route *ret_route);
/* Why config_resolve refused, and what to write instead, for people ("unknown model 'fsat', did you
 * mean 'fast'?"). Shows at most 100 bytes of the name, control characters as '?'. */
void config_resolve_explain(const struct config *c, struct str model, struct buf *text);

static inline size_t config_route_count(const struct config_route *r)
{
    return r->alias ? r->alias->target_count : 1;
}

static inline const struct config_target *config_route_target(const struct config_route *r,
                                                              size_t i)
{
    return r->alias ? &r->alias->targets[i] : &r->direct;
}

/* NULL when there is none. `local` finds the built-in one. */
const struct config_provider *config_provider_find(const struct config *c, struct str name);
const struct config_model *config_model_find(const struct config *c, struct str name);

#endif
