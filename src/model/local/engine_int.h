/* The parts of an engine: engine.c (rounds), engine_link.c (sockets), engine_use.c (one request),
 * engine_queue.c (whose turn it is), engine_seq.c (one of its sequences), engine_decode.c
 * (llama.cpp, text), engine_prefix.c (what slots keep), engine_embed.c (llama.cpp, vectors),
 * engine_tokens.c (tokens without decoding). One thread. */
#ifndef WEIR_MODEL_LOCAL_ENGINE_INT_H
#define WEIR_MODEL_LOCAL_ENGINE_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "model/local/answer.h"
#include "model/local/call_watch.h"
#include "model/local/engine.h"
#include "model/local/engine_model.h"
#include "model/local/engine_request.h"
#include "model/local/frame.h"
#include "model/local/prompt.h"
#include "model/local/reply.h"
#include "model/local/sampler.h"
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

enum seq_state {
    SEQ_QUEUED, /* waits for a slot */
    SEQ_PROMPT, /* its prompt is being decoded */
    SEQ_ANSWER, /* generates */
    SEQ_DONE,   /* no slot any more */
};

/* One of a use's choices: a prompt, and what the model makes of it. */
struct engine_seq {
    struct engine_use *use;
    struct engine_seq *queue_next;
    enum seq_state state;
    const struct prompt *prompt;
    int32_t position; /* tokens in its slot's cache */
    int32_t cached;   /* of them, those that were there already */
    int slot;         /* sequence number; -1: none */
    llama_token next; /* sampled, not yet decoded */
    struct sampler sampler;
    int64_t generated;
    uint64_t slot_us; /* when it got its slot */
    struct text_gate gate;
    struct reply reply;      /* of a chat */
    struct call_watch watch; /* where the grammar waits for a call */
    struct answer_choice choice;
};

/* Whoever asks: engine_queue.c. */
struct engine_caller {
    struct engine_caller *next;
    uint64_t id;
    unsigned uses;  /* not done */
    unsigned slots; /* held */
    struct engine_seq *seqs, **seqs_tail;
    struct engine_use *embeds, **embeds_tail; /* with texts that are in no batch yet */
    uint64_t slot_turn;                       /* of its last slot */
    uint64_t embed_tokens;
};

struct engine_use {
    struct engine_link *link;
    struct engine_use *link_next;
    struct engine_use *embed_next;
    struct engine_caller *caller;
    uint64_t number; /* in the order they came */
    uint64_t id;
    struct engine_request request; /* of which only what decoding needs is kept */
    struct str *tools;             /* names; the request's arena has them */
    struct prompt *prompts;
    size_t prompt_count;

    struct llama_sampler *grammar; /* of its sequences; NULL: none */
    bool calls_wait;               /* it begins behind the mark of a tool call */
    struct engine_seq *seqs;       /* what generates */
    unsigned seq_count;
    unsigned open; /* of them, not done */

    float *vectors;   /* what embeds: a row for each prompt */
    size_t embedding; /* of them, those that were put into a batch */
    size_t embedded;  /* and came out of it */
    bool embed_waits; /* in its caller's list */

    struct answer answer;
    struct buf out; /* the answer's bytes that are in no frame yet */
    size_t window;  /* bytes that may still be sent */
    bool head_sent;
    bool done; /* nothing is decoded for it any more; bytes may wait for their window */
};

/* A sequence of llama.cpp's context. What it keeps of a prompt serves the next that begins so. */
struct engine_slot {
    struct engine_seq *seq; /* NULL: free */
    llama_token *kept;      /* tokens of a prompt that its cache holds, from position 0 on */
    int32_t kept_count;
    int32_t kept_tiled; /* engine_prefix_tiled of that prompt */
    unsigned hits;      /* prompts that what it keeps served */
    uint64_t used_us;
};

struct engine {
    const struct engine_options *options;
    struct engine_model model;
    struct engine_link *links;
    struct engine_caller *callers;
    unsigned uses;   /* not done */
    unsigned queued; /* sequences without a slot */
    unsigned embeds; /* uses with texts that are in no batch yet */
    uint64_t use_number, slot_turn, embed_clock;
    struct engine_slot slots[ENGINE_PARALLEL_MAX];
    struct llama_batch batch;
    double prompt_us;         /* a prompt's token, moving mean */
    uint64_t use_us;          /* a sequence's time in its slot, moving mean */
    unsigned decode_failures; /* one after another */
    struct buf scratch;
    struct buf state; /* a sequence's cells on their way to another slot */
};

/* ---- engine.c ---- */

/* The model is loaded: room for batches and texts. */
void engine_prepare(struct engine *e);
/* Every link is closed. The model is released too; fine when it was never prepared. */
void engine_finish(struct engine *e);

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
void engine_use_start(struct engine_link *link, uint64_t id, const struct frame_start *start,
                      struct str body);
/* NULL when there is none (it is over already). */
struct engine_use *engine_use_find(struct engine_link *link, uint64_t id);
/* Forget it, wherever it is. */
void engine_use_drop(struct engine_use *use);
/* Before the first byte of its body. */
void engine_use_head(struct engine_use *use, int status, struct str content_type);
/* One of its sequences has ended. */
void engine_use_seq_ended(struct engine_use *use);
/* Its answer is whole in out. */
void engine_use_finish(struct engine_use *use);
/* Decoding failed: 500, or a cut stream. */
void engine_use_fail(struct engine_use *use, const char *message);
/* Put what its window allows into frames; drops it when it was done and all is in frames. */
void engine_use_flush(struct engine_use *use);

/* ---- engine_queue.c ---- */

void engine_queue_join(struct engine *e, struct engine_use *use, uint64_t caller);
/* It is done: it has no sequence in a slot or the queue, and no text that waits. */
void engine_queue_leave(struct engine *e, struct engine_use *use);
void engine_queue_add(struct engine *e, struct engine_seq *seq);
void engine_queue_remove(struct engine *e, struct engine_seq *seq);
/* Whose turn it is for a slot; NULL: nobody waits. */
struct engine_seq *engine_queue_first(const struct engine *e);
/* It leaves the queue for a slot. (A slot that is left is counted down by engine_seq.c.) */
void engine_queue_slot_taken(struct engine *e, struct engine_seq *seq);
void engine_queue_add_embed(struct engine_use *use);
/* Fine when it does not wait. */
void engine_queue_remove_embed(struct engine_use *use);
/* Whose text is next; NULL: none waits. */
struct engine_use *engine_queue_first_embed(struct engine *e);
/* The use that has to go so that this caller gets its place; NULL: none. */
struct engine_use *engine_queue_give_way(const struct engine *e, uint64_t caller);

/* ---- engine_seq.c ---- */

void engine_seq_init(struct engine_seq *seq, struct engine_use *use, unsigned index);
/* Leaves its slot or the queue. */
void engine_seq_release(struct engine_seq *seq);
/* Give it the free slot, whose cache holds `cached` tokens of its prompt. */
void engine_seq_admit(struct engine_seq *seq, int slot, int32_t cached);
/* It needs the logits of all its prompt's tokens. */
bool engine_seq_scores_prompt(const struct engine_seq *seq);
/* A prompt's token at that position was decoded; logits: of what comes after it. */
void engine_seq_scored(struct engine_seq *seq, int32_t position, const float *logits);
/* The prompt is decoded: an answer that wants no token ends. False: it has. */
bool engine_seq_prompt_done(struct engine_seq *seq);
/* Choose the next token by the logits of that row of the batch. May end the sequence; its memory
 * stays until engine_use_flush. */
void engine_seq_next(struct engine_seq *seq, int32_t row);
/* Generates, and has room for what comes. */
bool engine_seq_wants_token(const struct engine_seq *seq);

/* ---- engine_prefix.c ---- */

/* The free slot that serves it at the least loss, which keeps *ret_cached of its tokens afterwards;
 * -1: none is free. */
int engine_prefix_slot(struct engine *e, const struct engine_seq *seq, int32_t *ret_cached);
/* Before its first part: take over the cells of another slot that has more of its prompt. */
void engine_prefix_copy(struct engine *e, struct engine_seq *seq);
/* How much of its prompt, from its beginning, is decoded in whole tiles: the rest goes in calls
 * with fewer rows. A function of the prompt alone, or results would depend on how it was cut. */
int32_t engine_prefix_tiled(const struct engine *e, const struct engine_seq *seq);
/* Its prompt is in the slot's cache up to its position. */
void engine_prefix_note(struct engine *e, const struct engine_seq *seq);
/* It leaves the slot: what it generated goes from the cache. */
void engine_prefix_keep(struct engine *e, const struct engine_seq *seq);
void engine_prefixes_release(struct engine *e);

/* ---- engine_decode.c ---- */

/* Is there anything that engine_decode would do? */
bool engine_has_work(const struct engine *e);
/* One round. False: llama.cpp fails again and again. */
bool engine_decode(struct engine *e);
/* Decode (or encode) the batch. False: nothing of it counts. */
bool engine_batch_run(struct engine *e);
void engine_batch_add(struct engine *e, llama_token token, int32_t position, int slot, bool output);

/* ---- engine_embed.c ---- */

/* Its prompts are read. */
void engine_embed_add(struct engine *e, struct engine_use *use);
/* One batch of texts. */
void engine_embed(struct engine *e);

/* ---- engine_tokens.c ---- */

/* Answer /tokenize: the use's prompt as JSON. */
void engine_tokens_write(const struct engine_use *use, struct buf *out);

#endif
