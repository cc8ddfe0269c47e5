/* The parts of an engine: engine.c (rounds), engine_link.c (sockets), engine_use.c (one request),
 * engine_decode.c (llama.cpp). One thread. */
#ifndef WEIR_MODEL_LOCAL_ENGINE_INT_H
#define WEIR_MODEL_LOCAL_ENGINE_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "model/local/answer.h"
#include "model/local/engine.h"
#include "model/local/engine_model.h"
#include "model/local/engine_request.h"
#include "model/local/frame.h"
#include "model/local/text_gate.h"

struct engine;

/* A socket to one loop of the gateway. */
struct engine_link {
    struct engine *engine;
    int fd; /* -1: closed */
    struct frame_reader in;
    struct buf out; /* whole frames */
    size_t out_sent;
    struct engine_use *uses; /* by link_next */
};

enum use_state {
    USE_QUEUED, /* tokenised, waits for a slot */
    USE_PROMPT, /* its prompt is being decoded */
    USE_ANSWER, /* generates */
    USE_DONE,   /* no slot any more; bytes may wait for their window */
};

struct engine_use {
    struct engine_link *link;
    struct engine_use *link_next;
    struct engine_use *queue_next;
    uint64_t id;
    enum use_state state;

    struct engine_request request; /* of which only what decoding needs is kept */
    llama_token *tokens;           /* the prompt's */
    int32_t token_count;
    int32_t position; /* tokens in the sequence's cache */
    int slot;         /* sequence number; -1: none */
    llama_token next; /* sampled, not yet decoded */
    struct llama_sampler *sampler;
    int64_t generated;
    uint64_t slot_us; /* when it got its slot */

    struct text_gate gate;
    struct answer answer;
    struct buf out; /* the answer's bytes that are in no frame yet */
    size_t window;  /* bytes that may still be sent */
    bool head_sent;
};

struct engine {
    const struct engine_options *options;
    struct engine_model model;
    struct engine_link *links;
    struct engine_use *queue, **queue_tail;
    unsigned queued;
    struct engine_use *slots[ENGINE_PARALLEL_MAX];
    struct llama_batch batch;
    unsigned prompt_turn;     /* slot after which the next prompt is looked for */
    double prompt_us;         /* a prompt's token, moving mean */
    uint64_t use_us;          /* a use's time in its slot, moving mean */
    unsigned decode_failures; /* one after another */
    struct buf scratch;
};

/* ---- engine_link.c ---- */

void engine_links_open(struct engine *e);
void engine_links_release(struct engine *e);
/* Append a frame about the engine to every link. */
void engine_links_tell(struct engine *e, enum frame_kind kind, struct str payload);
/* Read and write what can be; wait for it when idle. False: all links are closed. */
bool engine_links_serve(struct engine *e, bool idle);
/* Write everything out, however long it takes. */
void engine_links_flush(struct engine *e);

/* ---- engine_use.c ---- */

/* A START frame. Refusals are answered at once. */
void engine_use_start(struct engine_link *link, uint64_t id, struct str body);
/* NULL when there is none (it is over already). */
struct engine_use *engine_use_find(struct engine_link *link, uint64_t id);
/* Forget it, wherever it is. */
void engine_use_drop(struct engine_use *use);
/* Give it the free slot: its prompt can be decoded. */
void engine_use_admit(struct engine_use *use, int slot);
/* A token was sampled for it. May end the use's decoding (USE_DONE); the memory stays until
 * engine_use_flush. */
void engine_use_token(struct engine_use *use, llama_token token);
/* Decoding failed: 500, or a cut stream. */
void engine_use_fail(struct engine_use *use, const char *message);
/* Put what its window allows into frames; drops it when it was done and all is in frames. */
void engine_use_flush(struct engine_use *use);
/* Generates, and has room for what comes. */
bool engine_use_wants_token(const struct engine_use *use);

/* ---- engine_decode.c ---- */

/* Is there anything that engine_decode would do? */
bool engine_has_work(const struct engine *e);
/* One round. False: llama.cpp fails again and again. */
bool engine_decode(struct engine *e);

#endif
