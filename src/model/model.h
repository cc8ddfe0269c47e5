/* What can be called, whatever it is: a provider over HTTP or a model inside Weir.
 *
 *   call ── model_start ──> driver ──> target
 *        <── on_head, on_body…, on_end ──
 *        <──      or on_fail, at any time ──
 *
 * 1. Everything here happens on the thread of the loop that the driver belongs to.
 * 2. No callback comes from inside model_start, model_use_pause or model_use_cancel, and none while
 *    a use is paused except on_fail. model_use_resume may call back.
 * 3. After on_end, on_fail or model_use_cancel no callback comes any more. The use then still
 *    answers model_use_timing, until model_use_release. Releasing or cancelling from inside a
 *    callback is allowed.
 * 4. An error that the target answers itself (an HTTP status, or a local model that refuses) is a
 *    head with that status and a body, then on_end; on_fail means that the answer is not whole.
 * 5. What a paused use buffers is bounded (MODEL_PAUSED_BYTES_MAX); then the target waits. */
#ifndef WEIR_MODEL_MODEL_H
#define WEIR_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct http_header;
struct http_headers;

/* What one paused use may hold in this process. */
#define MODEL_PAUSED_BYTES_MAX ((size_t)256 << 10)

/* Of a caller's headers, how many may go to a target. */
#define MODEL_HEADERS_MAX 4

/* How far an attempt had come. */
enum model_phase {
    MODEL_PHASE_CONNECT,    /* name, connection, TLS; a local model's load */
    MODEL_PHASE_SEND,       /* the request is on its way */
    MODEL_PHASE_FIRST_BYTE, /* the request is out, nothing came back */
    MODEL_PHASE_BODY,       /* the head came, the body is not whole */
};

/* The caller's, who keeps everything in it until the use is over (on_end, on_fail, cancel). */
struct model_request {
    /* Under the API's base: "/chat/completions", "/completions", "/embeddings", "/responses",
     * "/messages", "/messages/count_tokens"; for Gemini's own API "/generateContent". */
    struct str endpoint;
    const struct str *body; /* JSON in parts, so that a changed name needs no copy of the rest */
    size_t body_parts;
    struct str upstream_model;         /* the name as the target knows it; it is in the body too */
    bool stream;                       /* the body asks for a stream */
    struct str traceparent;            /* empty: none */
    const struct http_header *headers; /* of the caller's, let through; at most MODEL_HEADERS_MAX */
    size_t header_count;
    uint64_t caller;      /* a number for whoever asks, one for each key: a model inside Weir gives
                             callers turns */
    uint64_t deadline_us; /* os_now_us clock, absolute; 0: none. ERR_TIMEOUT when it passes */
};

struct model_head {
    int status;                         /* HTTP */
    struct str content_type;            /* as it came, may be empty; valid during on_head only */
    int64_t retry_after_ms;             /* -1: not given */
    const struct http_headers *headers; /* NULL from a target that does not speak HTTP; valid during
                                           on_head only */
};

struct model_events {
    /* Once, before any body. */
    void (*on_head)(void *arg, const struct model_head *head);
    /* Bytes of the body as they come, any cut; valid during the call only. */
    void (*on_body)(void *arg, struct str bytes);
    /* The answer is whole. */
    void (*on_end)(void *arg);
    /* detail: for people, one line, without secrets; valid during the call only. */
    void (*on_fail)(void *arg, enum err error, enum model_phase phase, struct str detail);
};

/* os_now_us clock; 0 where it did not happen (yet). */
struct model_timing {
    uint64_t started_us;
    uint64_t connect_us;    /* connection usable; equals started_us for a reused one */
    uint64_t first_byte_us; /* of the head */
    uint64_t end_us;
    uint64_t bytes_out; /* body bytes sent to the target */
    uint64_t bytes_in;  /* body bytes that came from it */
    bool reused;        /* a connection (or a loaded model) was there already */
    bool resent;        /* it was closed meanwhile: sent again, once, on a fresh one */
};

struct model_ops;

/* One use; the first member of the driver's own structure. */
struct model_use {
    const struct model_ops *ops;
};

struct model_ops {
    enum err (*start)(void *driver, const struct model_request *request,
                      const struct model_events *events, void *arg, struct model_use **ret_use);
    void (*cancel)(struct model_use *use);
    void (*pause)(struct model_use *use);
    void (*resume)(struct model_use *use);
    void (*timing)(const struct model_use *use, struct model_timing *ret_timing);
    void (*release)(struct model_use *use);
};

/* Copied by value. driver is one loop's half of a driver (its connections to one provider, its
 * sockets to one local model) and outlives its uses. */
struct model_target {
    const struct model_ops *ops;
    void *driver;
};

/* Begin. events is copied. An error (ERR_LIMIT: the driver's own bound of uses; ERR_INVALID) means
 * that nothing started and no callback will come. */
MUST_CHECK static inline enum err model_start(const struct model_target *target,
                                              const struct model_request *request,
                                              const struct model_events *events, void *arg,
                                              struct model_use **ret_use)
{
    return target->ops->start(target->driver, request, events, arg, ret_use);
}

/* Stop: the target is told (the connection closed, decoding ended). Harmless when it is over. */
static inline void model_use_cancel(struct model_use *use)
{
    use->ops->cancel(use);
}

/* Hold the body back, because its reader is slow. Twice is once. */
static inline void model_use_pause(struct model_use *use)
{
    use->ops->pause(use);
}

static inline void model_use_resume(struct model_use *use)
{
    use->ops->resume(use);
}

static inline void model_use_timing(const struct model_use *use, struct model_timing *ret_timing)
{
    use->ops->timing(use, ret_timing);
}

/* Every use that model_start returned is released once. Cancels first when it is not over. NULL is
 * fine. */
static inline void model_use_release(struct model_use *use)
{
    if (use)
        use->ops->release(use);
}

#endif
