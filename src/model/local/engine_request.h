/* An OpenAI chat request, read into what decoding needs. Pure; every mistake names its field.
 *
 *   understood  messages (text), temperature, top_p, seed, max_tokens, max_completion_tokens, stop,
 *               frequency_penalty, presence_penalty, logit_bias, n (1), stream,
 *               stream_options.include_usage; beyond OpenAI's min_p, top_k, repeat_penalty,
 *               ignore_eos
 *   refused     what would change the answer: tools, functions, a response_format but text,
 *               logprobs, n > 1, content that is not text, audio, grammars
 *   ignored     everything else (user, metadata, store, reasoning_effort, …), and the model's name:
 *               whoever asks has found this engine
 *
 * null is "not given". */
#ifndef WEIR_MODEL_LOCAL_ENGINE_REQUEST_H
#define WEIR_MODEL_LOCAL_ENGINE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "dialect/openai_error.h"
#include "model/local/text_gate.h"

enum {
    ENGINE_MESSAGES_MAX = 4096,
    ENGINE_PARTS_MAX = 4096, /* text parts of one message */
    ENGINE_BIAS_MAX = 1024,  /* entries of logit_bias */
    ENGINE_NESTING_MAX = 128,
};

struct engine_message {
    struct str role;    /* system, user, assistant; NUL-terminated */
    struct str content; /* NUL-terminated, without a NUL inside */
};

struct engine_bias {
    int32_t token;
    float bias;
};

/* Where a number is absent the model's defaults stand. */
struct engine_sampling {
    double temperature;       /* 0: the likeliest token, always */
    double top_p;             /* 1: off */
    double min_p;             /* 0: off */
    int64_t top_k;            /* 0: off */
    double repeat_penalty;    /* 1: off */
    double frequency_penalty; /* 0: off */
    double presence_penalty;  /* 0: off */
    uint32_t seed;
    bool seed_given;
};

/* llama-server's own, so that a model answers as people know it. */
#define ENGINE_SAMPLING_DEFAULT                                                                    \
    ((struct engine_sampling){                                                                     \
        .temperature = 0.8, .top_p = 0.95, .min_p = 0.05, .top_k = 40, .repeat_penalty = 1})

struct engine_request {
    struct arena arena; /* everything below, where it is not in the request's bytes */
    struct engine_message *messages;
    size_t message_count;
    struct engine_sampling sampling;
    struct engine_bias *bias;
    size_t bias_count;
    struct str stops[TEXT_STOPS_MAX];
    size_t stop_count;
    int64_t max_tokens; /* 0: as many as the context has room for */
    bool stream;
    bool include_usage;
    bool ignore_eos; /* go on after the model's own end, to max_tokens */
};

/* json must outlive the request. On an error nothing is to be released, and the problem is set (to
 * be answered as 400). */
MUST_CHECK enum err engine_request_read(struct str json, const struct engine_sampling *defaults,
                                        struct engine_request *ret_request,
                                        struct openai_problem *ret_problem);
void engine_request_release(struct engine_request *request);

#endif
