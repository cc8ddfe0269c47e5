/* What a call costs: a shipped, versioned list of prices, under the configuration's own.
 *
 * The shipped list (src/state/prices.tsv, made by tools/make-prices) is in the binary. Lookup of a
 * target "provider/model", first hit wins: the configuration's "provider/model", the
 * configuration's bare "model", the shipped "provider/model", the shipped entry of the bare model
 * at its own vendor. No hit: no cost, not a cost of zero.
 *
 * USD only, exact decimals throughout. Immutable; any thread; lookups allocate nothing. */
#ifndef WEIR_STATE_PRICES_H
#define WEIR_STATE_PRICES_H

#include "codec/decimal.h"
#include "codec/usage.h"
#include "config/config.h"

struct prices;

/* The list for a configuration's snapshot (its overrides are copied). One reference. */
struct prices *prices_build(const struct config *config);
/* The same on another list than the shipped one, of the same form (tools/make-prices);
 * STR_NONE: the shipped one. ERR_INVALID, ERR_OUT_OF_RANGE: *ret_line of it is wrong. */
MUST_CHECK enum err prices_build_from(struct str list, const struct config *config,
                                      size_t *ret_line, struct prices **ret_prices);
struct prices *prices_get(const struct prices *p);
void prices_put(struct prices *p);

/* "2026-11-24.1a2b3c4d": day and digest of the shipped list; with overrides "+" and the digest of
 * those: "2026-11-24.1a2b3c4d+9f8e7d6c". The record's cost.prices: the same version gives the same
 * cost for ever. */
struct str prices_version(const struct prices *p);
size_t prices_count(const struct prices *p);

struct cost {
    struct decimal amount;
    struct str currency; /* "USD" */
};

/* What that usage costs at that target. Parts with a price of their own (cached input, cache
 * writes, reasoning, audio) are taken out of their whole first; without one they cost what the
 * whole does. A prompt past a model's threshold (Gemini 2.5 Pro: 200,000 tokens) has the higher
 * prices throughout, a call of another tier (batch, flex, priority) that tier's, where the list has
 * them; a set of prices that holds counts alone. ERR_NOT_FOUND: no price for that target, or
 * usage->source is USAGE_NONE: the record's cost is null. ERR_INVALID: counts that are negative, or
 * parts above their whole. */
MUST_CHECK enum err prices_cost(const struct prices *p, struct str target,
                                const struct usage *usage, struct cost *ret_cost);

#endif
