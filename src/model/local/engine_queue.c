/* Who comes next: slots and places in batches are shared out between callers (keys), so that one
 * with a hundred requests does not hold another's one back.
 *
 *   caller ──> seqs that wait for a slot, in their order
 *          └─> uses with texts to embed, in their order
 *
 * 1. A free slot goes to the caller that holds the fewest; of several, to the one whose last slot
 *    was longest ago.
 * 2. Texts to embed are taken from the caller that got the fewest tokens since it came.
 * 3. Where all places are taken, a caller that has at least two fewer than another gets the place
 *    of that one's newest use that has not begun (which is answered 429).
 * 4. A caller is here as long as it has a use that is not done. */
#include "base/assert.h"
#include "base/mem.h"
#include "model/local/engine_int.h"

static struct engine_caller *find(const struct engine *e, uint64_t id)
{
    struct engine_caller *c = e->callers;
    while (c && c->id != id)
        c = c->next;
    return c;
}

void engine_queue_join(struct engine *e, struct engine_use *use, uint64_t caller)
{
    struct engine_caller *c = find(e, caller);
    if (!c) {
        c = NEW(struct engine_caller);
        *c = (struct engine_caller){.id = caller,
                                    .next = e->callers,
                                    .slot_turn = e->slot_turn,
                                    .embed_tokens = e->embed_clock};
        c->seqs_tail = &c->seqs;
        c->embeds_tail = &c->embeds;
        e->callers = c;
    }
    use->caller = c;
    use->number = ++e->use_number;
    c->uses++;
    e->uses++;
}

void engine_queue_leave(struct engine *e, struct engine_use *use)
{
    struct engine_caller *c = use->caller;
    e->uses--;
    if (--c->uses > 0)
        return;
    ASSERT(!c->seqs && !c->embeds && c->slots == 0);
    struct engine_caller **at = &e->callers;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    mem_free(c);
}

/* ---- Sequences ---- */

void engine_queue_add(struct engine *e, struct engine_seq *seq)
{
    struct engine_caller *c = seq->use->caller;
    seq->queue_next = NULL;
    *c->seqs_tail = seq;
    c->seqs_tail = &seq->queue_next;
    e->queued++;
}

void engine_queue_remove(struct engine *e, struct engine_seq *seq)
{
    struct engine_caller *c = seq->use->caller;
    struct engine_seq **at = &c->seqs;
    while (*at != seq)
        at = &(*at)->queue_next;
    *at = seq->queue_next;
    if (c->seqs_tail == &seq->queue_next)
        c->seqs_tail = at;
    e->queued--;
}

/* The one that came last stands first in the list, and goes first where all else is equal. */
struct engine_seq *engine_queue_first(const struct engine *e)
{
    const struct engine_caller *best = NULL;
    for (const struct engine_caller *c = e->callers; c; c = c->next)
        if (c->seqs && (!best || c->slots < best->slots ||
                        (c->slots == best->slots && c->slot_turn < best->slot_turn)))
            best = c;
    return best ? best->seqs : NULL;
}

void engine_queue_slot_taken(struct engine *e, struct engine_seq *seq)
{
    engine_queue_remove(e, seq);
    seq->use->caller->slots++;
    seq->use->caller->slot_turn = ++e->slot_turn;
}

/* ---- Texts to embed ---- */

void engine_queue_add_embed(struct engine_use *use)
{
    struct engine_caller *c = use->caller;
    use->embed_next = NULL;
    use->embed_waits = true;
    *c->embeds_tail = use;
    c->embeds_tail = &use->embed_next;
    use->link->engine->embeds++;
}

void engine_queue_remove_embed(struct engine_use *use)
{
    struct engine_caller *c = use->caller;
    if (!use->embed_waits)
        return;
    struct engine_use **at = &c->embeds;
    while (*at != use)
        at = &(*at)->embed_next;
    *at = use->embed_next;
    if (c->embeds_tail == &use->embed_next)
        c->embeds_tail = at;
    use->embed_waits = false;
    use->link->engine->embeds--;
}

struct engine_use *engine_queue_first_embed(struct engine *e)
{
    const struct engine_caller *best = NULL;
    for (const struct engine_caller *c = e->callers; c; c = c->next)
        if (c->embeds && (!best || c->embed_tokens < best->embed_tokens))
            best = c;
    if (!best)
        return NULL;
    e->embed_clock = best->embed_tokens;
    return best->embeds;
}

/* ---- Places ---- */

static bool has_begun(const struct engine_use *use)
{
    for (unsigned i = 0; i < use->seq_count; i++)
        if (use->seqs[i].state != SEQ_QUEUED)
            return true;
    return use->embedding > 0;
}

static struct engine_use *newest_waiting(const struct engine *e, const struct engine_caller *c)
{
    struct engine_use *newest = NULL;
    for (unsigned i = 0; i < e->options->link_count; i++)
        for (struct engine_use *use = e->links[i].uses; use; use = use->link_next)
            if (use->caller == c && !use->done && !has_begun(use) &&
                (!newest || use->number > newest->number))
                newest = use;
    return newest;
}

struct engine_use *engine_queue_give_way(const struct engine *e, uint64_t caller)
{
    const struct engine_caller *own = find(e, caller), *most = NULL;
    for (const struct engine_caller *c = e->callers; c; c = c->next)
        if (!most || c->uses > most->uses)
            most = c;
    if (!most || most->uses < (own ? own->uses : 0) + 2)
        return NULL;
    return newest_waiting(e, most);
}
