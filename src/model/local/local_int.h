/* The parts of the gateway's side of local models:
 *
 *   local.c         the registry: which files there are, and what is known of each       any thread
 *   local_engine.c  supervision: engines are started, watched, ended                     first loop
 *   local_link.c    one loop's socket to one engine                                      its loop
 *   local_use.c     one use: model.h's functions                                         its loop
 *
 *          first loop                                            any loop
 *   ask <── task ── link: NONE ─> ASKED      (a use, and no socket)
 *   start engine, one socketpair per loop
 *   mail ── task ─> link: ASKED ─> LOADING   (the socket)  ─> READY (the engine's frame)
 *        or task ─> its waiting uses are refused: NONE
 *                   socket closed: NONE; uses that had an engine end, those that wait ask again
 *
 * Shared between loops, and how:
 *   models->scanning  one thread reads the folder, and adds models; held while the disk works
 *   models->lock      below it: paths, sizes, reasons, mail; held for some instructions
 *                     (starting a use takes neither)
 *   model->uses       an engine is unloaded by the exchange of 0 for LOCAL_LEAVING, so only while
 *                     nobody uses it; a loop that counts its use then sees that the engine goes
 * Everything else of a link and a use belongs to its loop, of an engine to the first loop. */
#ifndef WEIR_MODEL_LOCAL_LOCAL_INT_H
#define WEIR_MODEL_LOCAL_LOCAL_INT_H

#include <stdatomic.h>

#include "base/buf.h"
#include "model/local/frame.h"
#include "model/local/local.h"
#include "os/thread.h"

enum {
    /* Frames that wait for an engine that does not read: then no further request is sent to it. */
    LOCAL_OUT_BYTES_HIGH = 256 << 10,
    /* Of a use's body that were delivered before the engine gets its window back. */
    LOCAL_WINDOW_STEP = FRAME_WINDOW_BYTES / 4,
};

#define LOCAL_LEAVING 0x80000000u

struct local_loop;
struct local_link;
struct local_engine;

/* Why a use cannot be. */
struct local_refusal {
    int status;        /* 0: none */
    uint32_t retry_ms; /* FRAME_NO_RETRY */
    const char *code;  /* of the error, or NULL */
    char text[LOCAL_TEXT_BYTES];
};

struct local_model {
    struct local_models *models;
    char name[LOCAL_NAME_BYTES_MAX + 1];
    char *path;
    size_t index;
    struct local_link *links; /* one per loop */

    atomic_uint uses; /* waiting or answering, all loops; | LOCAL_LEAVING: its engine is ending */
    atomic_int state; /* enum local_state */
    atomic_ullong last_use_us;

    atomic_bool gone; /* its file is not there (any more) */
    bool seen;        /* under models->scanning */

    /* Under models->lock. */
    uint64_t size_bytes;
    int64_t modified_ms;
    char reason[LOCAL_TEXT_BYTES];
    int pid;
    uint64_t load_ms;
    uint64_t kv_bytes; /* as its engine said; 0: not known */
    uint32_t context_tokens, parallel;

    /* The first loop's. */
    struct local_engine *engine;
    uint64_t generation; /* of the engine that was started last */
    bool wanted;         /* somebody asked since then */
    unsigned failures;   /* one after another */
    uint64_t retry_us;   /* not started before; 0: any time */
    struct loop_timer retry;
    struct loop_task unload; /* to the first loop */
    atomic_bool unload_posted;
};

enum link_state { LINK_NONE, LINK_ASKED, LINK_LOADING, LINK_READY };

struct link_poll; /* libuv's handle, whose memory outlives its use */

struct local_link {
    struct local_loop *loop;
    struct local_model *model;
    enum link_state state;
    uint64_t generation; /* of the engine at its socket, now or last */
    int fd;
    struct link_poll *poll;
    struct frame_reader in;
    struct buf out;
    size_t out_sent;
    struct local_use *first, *last; /* its uses, in the order they came */
    unsigned use_count;
    uint64_t next_id;

    struct loop_task ask; /* to the first loop */
    atomic_bool ask_posted;
    atomic_bool ask_wants;        /* an engine; else the one it had is only to be ended */
    atomic_ullong ask_generation; /* newer than that is wanted */

    struct loop_task mail; /* from the first loop; the rest under models->lock */
    bool mail_posted;
    bool mail_closed; /* the loop has stopped: nothing is posted to it */
    int mail_fd;      /* -1: none */
    uint64_t mail_generation;
    struct local_refusal mail_refusal;
};

/* One loop's half: what model_target.driver points to. */
struct local_loop {
    struct local_models *models;
    struct loop *loop;
    size_t index;
    bool stopped;
};

struct local_models {
    struct os_mutex scanning;
    struct os_mutex lock;
    struct local_options options; /* dir, program, lib_dir: copies. Under lock. */
    struct local_loop *loops;
    size_t loop_count;
    _Atomic(size_t) model_count;
    struct local_model *models[LOCAL_MODELS_MAX];
    atomic_ullong scanned_us;
    int *orphans; /* pids of engines that the first loop let go of */
    size_t orphan_count;
};

/* ---- local.c ---- */

/* NULL: there is no such file. Reads the folder again, at most once a second, to find it. */
struct local_model *local_model_of(struct local_models *models, struct str name);

/* ---- local_engine.c: the first loop ---- */

void local_engine_init(struct local_model *model);
/* Any thread: as local_engine_unload, soon. */
void local_engine_unload_later(struct local_model *model);
/* A link is done with the engine of its ask_generation, which is to be ended if it still runs, and
 * wants a newer one, or does not. */
void local_engine_ask(struct local_link *link, bool wants);
/* The engine's READY or FAILED came over the first loop's link. */
void local_engine_ready(struct local_model *model, uint64_t generation, struct str facts);
void local_engine_failed(struct local_model *model, uint64_t generation, struct str text);
/* End the engine of a model that nobody uses. ERR_BUSY: somebody does. */
MUST_CHECK enum err local_engine_unload(struct local_model *model);
void local_engines_stop(struct local_models *models);

/* ---- local_link.c ---- */

void local_link_init(struct local_link *link, struct local_loop *loop, struct local_model *model);
/* Called by the first loop, about any loop's link. fd: the link's from now on. */
void local_link_mail_socket(struct local_link *link, uint64_t generation, int fd);
void local_link_mail_refusal(struct local_link *link, const struct local_refusal *refusal);
/* A use was added, or wants something sent. */
void local_link_pump(struct local_link *link);
/* For the engine: append with frame_append…, then pump. */
struct buf *local_link_out(struct local_link *link);
void local_link_add(struct local_link *link, struct local_use *use);
void local_link_remove(struct local_link *link, struct local_use *use);
/* The loop ends: every use of it fails with ERR_CLOSED. */
void local_link_stop(struct local_link *link);

/* ---- local_use.c ---- */

struct local_use {
    struct model_use base;
    struct loop *loop;
    struct local_link *link; /* NULL: the engine has nothing to do with it (any more) */
    struct local_use *next, *prev;
    const struct model_request *request; /* the caller's */
    struct model_events events;
    void *arg;
    enum frame_task task;
    uint64_t id; /* 0: not sent */
    struct model_timing timing;
    struct loop_timer deadline;
    struct loop_task deliver; /* for what must not come from inside a call */
    struct model_head head;
    char content_type[FRAME_HEAD_BYTES_MAX];
    struct buf held;        /* body to be delivered; with an error: its text */
    uint32_t credit;        /* delivered, not yet given back to the engine */
    unsigned busy;          /* in a callback */
    enum err error;         /* to be delivered */
    enum model_phase phase; /* of the error */
    bool deliver_posted;
    bool head_waits; /* to be delivered */
    bool head_given;
    bool end_waits;
    bool paused;
    bool done;     /* no callback any more */
    bool released; /* freed once nothing is under way */
};

/* The engine is ready: send it the START frame. */
void local_use_send(struct local_use *use);
/* Frames about it. False: the engine breaks the protocol. */
bool local_use_frame(struct local_use *use, const struct frame *frame);
/* Answer it here, in OpenAI's form. */
void local_use_refuse(struct local_use *use, const struct local_refusal *refusal);
/* Its engine is gone: refused, or cut where the answer had begun. */
void local_use_lost(struct local_use *use);
void local_use_fail(struct local_use *use, enum err error, const char *text);

extern const struct model_ops local_ops;

#endif
