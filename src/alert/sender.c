/* The thread that tells: jobs wait for their time, so that one recipient that does not answer keeps
 * the others back for the length of one try only. */
#include "alert/alert_int.h"
#include "base/mem.h"
#include "os/clock.h"

static const uint64_t pause_us[ALERT_TRIES] = {0, 1000000, 10000000, 45000000};

struct job {
    struct job *next;
    struct config *config;
    uint32_t to;
    unsigned tries;
    uint64_t due_us;
    struct str alert, summary, json, state; /* in memory of the job */
    struct arena memory;
};

struct alert_sender {
    struct alert_sender_options options;
    struct os_thread thread;
    struct os_mutex lock; /* for what follows; a leaf */
    struct os_cond wanted;
    bool stopping;
    struct job *jobs; /* in no order */
    size_t count;
};

static void free_job(struct job *j)
{
    config_put(j->config);
    arena_release(&j->memory);
    mem_free(j);
}

/* The one that is due next, taken out; or NULL, and how long to wait. */
static struct job *take_due(struct alert_sender *s, uint64_t now_us, uint64_t *ret_wait_us)
{
    struct job **first = NULL;
    for (struct job **j = &s->jobs; *j; j = &(*j)->next)
        if (!first || (*j)->due_us < (*first)->due_us)
            first = j;
    *ret_wait_us = first && (*first)->due_us > now_us ? (*first)->due_us - now_us : 0;
    if (!first || *ret_wait_us)
        return NULL;
    struct job *job = *first;
    *first = job->next;
    s->count--;
    return job;
}

static void put_back(struct alert_sender *s, struct job *j)
{
    j->due_us = os_now_us() + pause_us[j->tries];
    os_mutex_lock(&s->lock);
    j->next = s->jobs;
    s->jobs = j;
    s->count++;
    os_mutex_unlock(&s->lock);
}

static void run(struct alert_sender *s, struct job *j)
{
    const struct config_notify *to = &j->config->notify[j->to];
    const struct alert_message message = {j->summary, j->json, j->state};
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    enum err error = alert_send(to, &message, s->options.ca_file, &detail);
    j->tries++;
    if (error != ERR_OK && error != ERR_ACCESS && j->tries < ALERT_TRIES) {
        put_back(s, j);
        return;
    }
    s->options.done(s->options.arg, to, j->alert, error, buf_str(&detail));
    free_job(j);
}

static void work(void *arg)
{
    struct alert_sender *s = arg;
    os_mutex_lock(&s->lock);
    while (!s->stopping) {
        uint64_t wait_us;
        struct job *job = take_due(s, os_now_us(), &wait_us);
        if (job) {
            os_mutex_unlock(&s->lock);
            run(s, job);
            os_mutex_lock(&s->lock);
        } else if (wait_us) {
            (void)os_cond_wait_for(&s->wanted, &s->lock, wait_us);
        } else {
            os_cond_wait(&s->wanted, &s->lock);
        }
    }
    os_mutex_unlock(&s->lock);
}

enum err alert_sender_open(const struct alert_sender_options *options,
                           struct alert_sender **ret_sender)
{
    struct alert_sender *s = NEW(struct alert_sender);
    s->options = *options;
    os_mutex_init(&s->lock);
    os_cond_init(&s->wanted);
    enum err error = os_thread_start("alert-send", work, s, &s->thread);
    if (error != ERR_OK) {
        os_cond_release(&s->wanted);
        os_mutex_release(&s->lock);
        mem_free(s);
        return error;
    }
    *ret_sender = s;
    return ERR_OK;
}

void alert_sender_close(struct alert_sender *s)
{
    if (!s)
        return;
    os_mutex_lock(&s->lock);
    s->stopping = true;
    os_cond_signal(&s->wanted);
    os_mutex_unlock(&s->lock);
    os_thread_join(&s->thread);
    while (s->jobs) {
        struct job *next = s->jobs->next;
        free_job(s->jobs);
        s->jobs = next;
    }
    os_cond_release(&s->wanted);
    os_mutex_release(&s->lock);
    mem_free(s);
}

enum err alert_sender_add(struct alert_sender *s, const struct config *config, uint32_t to,
                          struct str alert, const struct alert_message *m)
{
    struct job *j = NEW(struct job);
    arena_init(&j->memory);
    j->config = config_get(config);
    j->to = to;
    j->alert = arena_str(&j->memory, alert);
    j->summary = arena_str(&j->memory, m->summary);
    j->json = arena_str(&j->memory, m->json);
    j->state = arena_str(&j->memory, m->state);
    os_mutex_lock(&s->lock);
    bool room = s->count < ALERT_JOBS_MAX;
    if (room) {
        j->next = s->jobs;
        s->jobs = j;
        s->count++;
        os_cond_signal(&s->wanted);
    }
    os_mutex_unlock(&s->lock);
    if (!room)
        free_job(j);
    return room ? ERR_OK : ERR_LIMIT;
}
