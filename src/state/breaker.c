#include "state/breaker.h"

#include "base/assert.h"
#include "os/random.h"

enum {
    STREAK_MAX = 20, /* failed probes that are counted: the time stops doubling long before */
    JITTER_PARTS = 8 /* the time open varies by an eighth, so that loops and machines spread */
};

/* In the word: [state:2][streak:6][until:56] */
#define STATE_UNIT  (UINT64_C(1) << 62)
#define STREAK_UNIT (UINT64_C(1) << 56)

struct state {
    enum breaker_state state;
    unsigned streak;   /* probes that failed since it opened */
    uint64_t until_ms; /* while open */
};

static struct state unpack(uint64_t word)
{
    return (struct state){(enum breaker_state)(word / STATE_UNIT),
                          (unsigned)(word / STREAK_UNIT) & 0x3f, word % STREAK_UNIT};
}

static uint64_t pack(struct state s)
{
    return s.state * STATE_UNIT | s.streak * STREAK_UNIT | s.until_ms;
}

static struct state load(const struct breaker *b)
{
    return unpack(atomic_load_explicit(&b->word, memory_order_acquire));
}

/* From `was`, if nothing changed meanwhile. */
static bool change(struct breaker *b, struct state was, struct state to)
{
    uint64_t expected = pack(was);
    return atomic_compare_exchange_strong_explicit(&b->word, &expected, pack(to),
                                                   memory_order_acq_rel, memory_order_acquire);
}

const char *breaker_state_name(enum breaker_state state)
{
    static const char *const names[] = {"closed", "open", "half_open"};
    ASSERT((unsigned)state < sizeof names / sizeof names[0]);
    return names[state];
}

enum breaker_state breaker_state(const struct breaker *b)
{
    return load(b).state;
}

uint64_t breaker_until_us(const struct breaker *b)
{
    struct state s = load(b);
    return s.state == BREAKER_CLOSED ? 0 : s.until_ms * 1000;
}

bool breaker_admits(const struct breaker *b, const struct config_breaker *config, uint64_t now_us)
{
    struct state s = load(b);
    if (config->off || s.state == BREAKER_CLOSED)
        return true;
    return s.state == BREAKER_OPEN && now_us / 1000 >= s.until_ms;
}

enum breaker_answer breaker_enter(struct breaker *b, const struct config_breaker *config,
                                  bool force, uint64_t now_us)
{
    struct state was = load(b);
    if (config->off || was.state == BREAKER_CLOSED)
        return BREAKER_PASS;
    if (was.state == BREAKER_OPEN && (force || now_us / 1000 >= was.until_ms)) {
        struct state probing = was;
        probing.state = BREAKER_HALF_OPEN;
        if (change(b, was, probing))
            return BREAKER_PROBE;
    }
    return force ? BREAKER_PASS : BREAKER_REFUSE;
}

static struct state opened(const struct config_breaker *config, unsigned streak, uint64_t now_us)
{
    uint64_t ms = (uint64_t)config->open_ms;
    uint64_t most = (uint64_t)config->open_max_ms;
    for (unsigned i = 0; i < streak && ms < most; i++)
        ms *= 2;
    ms = ms < most ? ms : most;
    ms += os_random_u64() % (ms / JITTER_PARTS + 1);
    return (struct state){BREAKER_OPEN, streak < STREAK_MAX ? streak : STREAK_MAX,
                          now_us / 1000 + ms};
}

static void count_opening(struct breaker *b)
{
    atomic_fetch_add_explicit(&b->opened, 1, memory_order_relaxed);
}

void breaker_ok(struct breaker *b, const struct config_breaker *config, bool probe, uint64_t now_us)
{
    if (probe) {
        struct state was = load(b);
        ASSERT(was.state == BREAKER_HALF_OPEN);
        tally_reset(&b->answers);
        bool mine = change(b, was, (struct state){.state = BREAKER_CLOSED});
        ASSERT(mine);
    }
    tally_add(&b->answers, now_us, config->window_ms, 1, 0);
}

void breaker_fault(struct breaker *b, const struct config_breaker *config, bool probe,
                   uint64_t now_us)
{
    tally_add(&b->answers, now_us, config->window_ms, 0, 1);
    struct state was = load(b);
    if (probe) {
        ASSERT(was.state == BREAKER_HALF_OPEN);
        bool mine = change(b, was, opened(config, was.streak + 1, now_us));
        ASSERT(mine);
        count_opening(b);
        return;
    }
    if (was.state != BREAKER_CLOSED || config->off)
        return;
    struct tally_sum sum = tally_sum(&b->answers, now_us, config->window_ms);
    uint64_t all = (uint64_t)sum.first + sum.second;
    if (all < (uint64_t)config->requests ||
        sum.second * UINT64_C(100) < all * (uint64_t)config->percent)
        return;
    if (change(b, was, opened(config, 0, now_us)))
        count_opening(b);
}

void breaker_forgive(struct breaker *b, bool probe, uint64_t now_us)
{
    if (!probe)
        return;
    struct state was = load(b);
    ASSERT(was.state == BREAKER_HALF_OPEN);
    bool mine = change(b, was, (struct state){BREAKER_OPEN, was.streak, now_us / 1000});
    ASSERT(mine);
}
