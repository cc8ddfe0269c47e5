/* Models inside Weir: GGUF files in a folder, each decoded by an engine process of its own.
 *
 *   loop 0 ──┐                         ┌─ socket ─┐
 *   loop 1 ──┼─ registry of models ──> │  weir engine (one per loaded model, llama.cpp)
 *   loop n ──┘   (loop 0 supervises)   └─ socket ─┘     one socket per loop: loops share nothing
 *
 * 1. Nothing that a model file or a prompt can do reaches this process: it only moves bytes between
 *    a socket and a caller (docs/internals/engine.md has the protocol).
 * 2. An engine is started at the first use of its model, by the first loop, and stays until its
 *    memory is wanted for another model or it dies. What dies is started again at the next use,
 *    after a pause that doubles from LOCAL_RETRY_MIN_MS to LOCAL_RETRY_MAX_MS.
 * 3. Loaded together, models stay under options.memory_bytes: the idle one whose last use is oldest
 *    leaves first; when none is idle, or the model alone is too large, calls get 503 with numbers.
 * 4. A refusal (404, 413, 429, 503, and all that the engine refuses) is an answer in OpenAI's form:
 *    on_head, on_body, on_end. on_fail is a deadline that passed (ERR_TIMEOUT), an engine that died
 *    after its head (ERR_RESET), or the server's end (ERR_CLOSED). */
#ifndef WEIR_MODEL_LOCAL_LOCAL_H
#define WEIR_MODEL_LOCAL_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "model/model.h"
#include "net/loop.h"

struct local_models;

enum {
    LOCAL_MODELS_MAX = 256,     /* files in the folder; further ones are not seen */
    LOCAL_NAME_BYTES_MAX = 128, /* longer file names are not models */
    LOCAL_LOOPS_MAX = 256,
    LOCAL_USES_MAX = 4096,    /* of one loop and model, waiting or answering: then ERR_LIMIT */
    LOCAL_TEXT_BYTES = 512,   /* a reason, for people, with its NUL */
    LOCAL_RETRY_MIN_MS = 100, /* between an engine's end and its next start */
    LOCAL_RETRY_MAX_MS = 10000,
};

enum local_state {
    LOCAL_UNLOADED,
    LOCAL_LOADING,
    LOCAL_READY,
    LOCAL_FAILED, /* could not load, or died; loaded again at the next use */
};
/* "unloaded", … */
const char *local_state_text(enum local_state state);

/* What happened, for whoever writes the log. Valid during the call. */
struct local_event {
    enum local_state state; /* that the model is in now */
    struct str model;
    int pid;
    uint64_t load_ms;  /* LOCAL_READY */
    struct str detail; /* one line; LOCAL_FAILED: why */
};

struct local_options {
    struct str dir;            /* folder of *.gguf; may be missing */
    uint64_t memory_bytes;     /* 0: no limit */
    unsigned threads;          /* of one engine; 0: cores - 1, at least 1 */
    unsigned parallel;         /* sequences decoded together, at least 1 */
    unsigned queue;            /* waiting beyond that; then 429 */
    struct str lib_dir;        /* of llama.cpp's libraries; empty: beside the program (engine.h) */
    struct str program;        /* what is spawned as `PROGRAM engine …`; empty: this program */
    struct loop *const *loops; /* all of them; the array is copied */
    size_t loop_count;
    /* On the first loop's thread. May be NULL. */
    void (*on_event)(void *arg, const struct local_event *event);
    void *event_arg;
};

/* Read the folder. Before the loops run. Only ERR_INVALID (too many loops) and ERR_NO_MEMORY fail:
 * a folder that is missing is a folder without models. */
MUST_CHECK enum err local_models_open(const struct local_options *options,
                                      struct local_models **ret_models);
/* On each loop's thread, while it runs: end what that loop has in flight (ERR_CLOSED) and drop its
 * sockets. An engine ends when the last loop has let go of it. */
void local_models_stop(struct local_models *models, size_t loop_index);
/* After every loop has stopped and ended. Kills the engines that are left. NULL is fine. */
void local_models_free(struct local_models *models);

/* New limits (dir, memory, threads, parallel, queue) after a reload of the configuration: engines
 * started from now on have them. Any thread; blocks on the disk as local_models_scan. */
void local_models_configure(struct local_models *models, const struct local_options *options);
/* Read the folder again. Any thread; blocks on the disk for as long as that takes. */
void local_models_scan(struct local_models *models);

struct local_model_info {
    char name[LOCAL_NAME_BYTES_MAX + 1]; /* the file's, without .gguf */
    uint64_t size_bytes;
    int64_t modified_ms; /* since 1970 */
    enum local_state state;
    char reason[LOCAL_TEXT_BYTES]; /* LOCAL_FAILED: why */
    int pid;                       /* of its engine; 0: none */
    uint64_t load_ms;
    uint32_t context_tokens; /* of one sequence; 0: not known before it is loaded */
    uint32_t parallel;
    uint32_t uses; /* waiting or answering now */
};

/* The files of the folder, read again when that is a second ago, in the order of their names.
 * Returns how many there are, and fills at most max of them. Any thread. */
size_t local_models_list(struct local_models *models, struct local_model_info *ret_infos,
                         size_t max);
/* Is there a model of that name? Reads the folder again when not, at most once a second. Any
 * thread. */
bool local_models_find(struct local_models *models, struct str name,
                       struct local_model_info *ret_info);

/* End the engine of a model that nobody uses, soon; its memory is free then, and the next call
 * loads it again. ERR_NOT_FOUND; ERR_BUSY: somebody uses it. Any thread. */
MUST_CHECK enum err local_models_unload(struct local_models *models, struct str name);

/* What a call on that loop starts (model_start) to use a local model; request.upstream_model is its
 * name. Any thread; the same every time. */
struct model_target local_models_target(struct local_models *models, size_t loop_index);

#endif
