/* The engine process: one model, decoded for several requests together. `weir engine` is this and
 * nothing else; the gateway starts it (local.h) and speaks to it in frames (frame.h).
 *
 *   sockets ──> uses: queued ─> prompt ─> answer ─> done ──> sockets
 *   (a link       │ tokenised     one sequence (slot) of the context each,
 *    per loop)    │ at once       at most options.parallel
 *
 * One thread does everything, in rounds: read what came, decode parts of prompts, decode the next
 * token of every answer, write what is ready. It sleeps when there is nothing to do.
 *
 * 1. A seed gives the same answer whatever else is decoded: every sequence has its own attention
 *    cache, and how prompts are cut into calls changes no result (engine_decode.c).
 * 2. Prompts hold the others' tokens back by about ENGINE_PART_MS, or one part, a round.
 * 3. Waiting uses are bounded (options.queue; 429 beyond), and hold tokens, not text.
 * 4. What a use has not got rid of is bounded by its window (frame.h) and ENGINE_BACKLOG_BYTES:
 *    then it is not decoded further until the gateway asks for more.
 * 5. When all sockets are closed, or the parent is gone, the process ends. */
#ifndef WEIR_MODEL_LOCAL_ENGINE_H
#define WEIR_MODEL_LOCAL_ENGINE_H

#include "base/str.h"

enum {
    ENGINE_PARALLEL_MAX = 256,
    ENGINE_QUEUE_MAX = 100000,
    ENGINE_THREADS_MAX = 1024,
    ENGINE_LINKS_MAX = 256,
    ENGINE_PART_MS = 200,       /* of prompts in a round, while answers wait for it */
    ENGINE_PART_ALONE_MS = 400, /* while none does */
    ENGINE_BACKLOG_BYTES = 64 << 10,
};

struct engine_options {
    struct str model_path;
    struct str name;    /* of the model, for answers */
    struct str lib_dir; /* of llama.cpp; empty: lib/llama or ../lib/weir/llama beside the program */
    unsigned threads;
    unsigned parallel; /* 1…ENGINE_PARALLEL_MAX; fewer when memory is short */
    unsigned queue;    /* 0…ENGINE_QUEUE_MAX */
    uint64_t kv_bytes;
    int first_fd; /* the links' sockets: link_count descriptors from there on */
    unsigned link_count;
};

/* Serve until the sockets close. Returns the process's exit code. */
int engine_run(const struct engine_options *options);

#endif
