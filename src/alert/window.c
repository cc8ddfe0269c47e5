#include "alert/alert_int.h"
#include "base/mem.h"

static int64_t slice_us(const struct config_alert *alert)
{
    return alert->over_ms * 1000 / WINDOW_PARTS;
}

static void clear(struct window_slice *s, int64_t number)
{
    mem_free(s->spread);
    *s = (struct window_slice){.number = number};
}

void window_release(struct window *w)
{
    for (int i = 0; i < WINDOW_SLICES; i++)
        clear(&w->slices[i], 0);
}

/* Log-linear: 8 buckets to a power of two, from 2^7 µs to 2^32 µs. */
static unsigned bucket_of(uint64_t us)
{
    if (us < UINT64_C(1) << WINDOW_SPREAD_FIRST)
        return 0;
    unsigned power = 63 - (unsigned)__builtin_clzll(us);
    unsigned sub =
        (unsigned)(us >> (power - WINDOW_SPREAD_BITS)) & ((1u << WINDOW_SPREAD_BITS) - 1);
    unsigned bucket = ((power - WINDOW_SPREAD_FIRST) << WINDOW_SPREAD_BITS) + sub;
    return bucket < WINDOW_SPREAD_BUCKETS ? bucket : WINDOW_SPREAD_BUCKETS - 1;
}

/* The bucket's upper end. */
static double bucket_end_s(unsigned bucket)
{
    unsigned power = (bucket >> WINDOW_SPREAD_BITS) + WINDOW_SPREAD_FIRST;
    unsigned sub = bucket & ((1u << WINDOW_SPREAD_BITS) - 1);
    double unit = (double)(UINT64_C(1) << (power - WINDOW_SPREAD_BITS));
    return unit * (double)(sub + 1 + (1u << WINDOW_SPREAD_BITS)) / 1e6;
}

void window_add(struct window *w, const struct config_alert *alert, const struct alert_facts *f,
                int64_t measured_us)
{
    int64_t number = f->end_us / slice_us(alert);
    struct window_slice *s = &w->slices[number % WINDOW_SLICES];
    if (s->number > number)
        return; /* older than all that is kept */
    if (s->number < number)
        clear(s, number);
    s->calls++;
    s->errors += str_eq(f->outcome, STR("error"));
    s->input += (uint64_t)f->input;
    s->output += (uint64_t)f->output;
    s->cost += f->cost;
    if (measured_us < 0)
        return;
    if (!s->spread)
        s->spread = mem_array(WINDOW_SPREAD_BUCKETS, sizeof *s->spread);
    s->spread[bucket_of((uint64_t)measured_us)]++;
}

void window_sum(const struct window *w, const struct config_alert *alert, int64_t now_us, int from,
                int count, struct window_sums *ret_sums)
{
    int64_t newest = now_us / slice_us(alert) - from;
    *ret_sums = (struct window_sums){0};
    for (int64_t number = newest; number > newest - count && number >= 0; number--) {
        const struct window_slice *s = &w->slices[number % WINDOW_SLICES];
        if (s->number != number)
            continue;
        ret_sums->calls += s->calls;
        ret_sums->errors += s->errors;
        ret_sums->input += s->input;
        ret_sums->output += s->output;
        ret_sums->cost += s->cost;
        for (unsigned i = 0; s->spread && i < WINDOW_SPREAD_BUCKETS; i++) {
            ret_sums->spread[i] += s->spread[i];
            ret_sums->measured += s->spread[i];
        }
    }
}

bool window_is_empty(const struct window *w, const struct config_alert *alert, int64_t now_us)
{
    int64_t oldest = now_us / slice_us(alert) - WINDOW_SLICES + 1;
    for (int i = 0; i < WINDOW_SLICES; i++)
        if (w->slices[i].calls && w->slices[i].number >= oldest)
            return false;
    return true;
}

double window_percentile(const struct window_sums *sums, int per_mille)
{
    if (!sums->measured)
        return 0;
    uint64_t wanted = (sums->measured * (uint64_t)per_mille + 999) / 1000;
    uint64_t seen = 0;
    for (unsigned i = 0; i < WINDOW_SPREAD_BUCKETS; i++) {
        seen += sums->spread[i];
        if (seen >= wanted && seen)
            return bucket_end_s(i);
    }
    return bucket_end_s(WINDOW_SPREAD_BUCKETS - 1);
}
