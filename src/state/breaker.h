/* A circuit breaker: keeps calls away from a target that fails, and finds out when it works again.
 *
 *            failures ≥ share of ≥ min answers in the window
 *   CLOSED ────────────────────────────────────────────────> OPEN until t
 *     ^                                                        │  t has passed: one call may probe
 *     │ the probe got an answer                                v
 *     └─────────────────────────────────────────────────── HALF OPEN, one probe out
 *                    OPEN, twice as long <── the probe failed ─┤
 *                    OPEN, until now     <── it ended otherwise┘
 *
 * 1. The state is one atomic word. HALF OPEN means: exactly one permit is out, and only its holder
 *    changes the state. So a permit must come back (breaker_ok, _fault or _forgive), whatever
 *    became of its call.
 * 2. Only the target's faults count. What a client does (a wrong request, leaving) is forgiven.
 * 3. Closing forgets the window: one old failure more does not open it again.
 *
 * Any thread; no locks. Times: os_now_us clock. */
#ifndef WEIR_STATE_BREAKER_H
#define WEIR_STATE_BREAKER_H

#include <stdbool.h>

#include "config/config.h"
#include "state/tally.h"

/* Zeroed memory is a closed breaker. */
struct breaker {
    atomic_uint_fast64_t word;
    atomic_uint_fast64_t opened; /* how often, for metrics */
    struct tally answers;        /* good, faults */
};

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
/* "closed", "open", "half_open" */
const char *breaker_state_name(enum breaker_state state);

enum breaker_answer {
    BREAKER_PASS,
    BREAKER_PROBE, /* pass, and hold its permit */
    BREAKER_REFUSE,
};

/* May a call go? force: it goes in any case, as the probe if no other is out. */
enum breaker_answer breaker_enter(struct breaker *b, const struct config_breaker *config,
                                  bool force, uint64_t now_us);
/* Would it? Changes nothing. */
bool breaker_admits(const struct breaker *b, const struct config_breaker *config, uint64_t now_us);
/* What became of a call; probe: it held the permit. */
void breaker_ok(struct breaker *b, const struct config_breaker *config, bool probe,
                uint64_t now_us);
void breaker_fault(struct breaker *b, const struct config_breaker *config, bool probe,
                   uint64_t now_us);
void breaker_forgive(struct breaker *b, bool probe, uint64_t now_us);

enum breaker_state breaker_state(const struct breaker *b);
/* When it next lets a probe pass; 0 while closed. */
uint64_t breaker_until_us(const struct breaker *b);

#endif
