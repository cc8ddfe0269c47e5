#include "codec/usage.h"

#include "codec/json_scan.h"

static const struct {
    struct str name;
    size_t offset;
    bool rare; /* not written when it is 0 */
} counts[] = {
    {STR_INIT("input"), offsetof(struct usage, input), false},
    {STR_INIT("cached_input"), offsetof(struct usage, cached_input), false},
    {STR_INIT("cache_write"), offsetof(struct usage, cache_write), false},
    {STR_INIT("cache_write_1h"), offsetof(struct usage, cache_write_1h), true},
    {STR_INIT("output"), offsetof(struct usage, output), false},
    {STR_INIT("reasoning"), offsetof(struct usage, reasoning), false},
    {STR_INIT("audio_in"), offsetof(struct usage, audio_in), false},
    {STR_INIT("audio_out"), offsetof(struct usage, audio_out), false},
};

enum { COUNTS = sizeof counts / sizeof counts[0], NESTING_MAX = 8 };

static const struct str tiers[USAGE_TIER_COUNT] = {STR_INIT("standard"), STR_INIT("batch"),
                                                   STR_INIT("flex"), STR_INIT("priority")};

/* By the bits of usage_suspect. */
static const struct str suspects[] = {STR_INIT("input"), STR_INIT("output"), STR_INIT("total")};

static int64_t *count_of(struct usage *u, size_t i)
{
    return (int64_t *)(void *)((char *)u + counts[i].offset);
}

static void write_suspect(struct json_writer *w, unsigned suspect)
{
    json_key(w, STR("suspect"));
    json_array_begin(w);
    for (size_t i = 0; i < sizeof suspects / sizeof suspects[0]; i++)
        if (suspect >> i & 1)
            json_str(w, suspects[i]);
    json_array_end(w);
}

void usage_write(struct json_writer *w, const struct usage *u)
{
    struct usage copy = *u;
    if (u->source == USAGE_NONE) {
        json_null(w);
        return;
    }
    json_object_begin(w);
    for (size_t i = 0; i < COUNTS; i++)
        if (!counts[i].rare || *count_of(&copy, i))
            json_member_i64(w, counts[i].name, *count_of(&copy, i));
    if (u->tier != USAGE_STANDARD)
        json_member_str(w, STR("tier"), tiers[u->tier]);
    if (u->suspect)
        write_suspect(w, u->suspect);
    json_member_str(w, STR("source"),
                    u->source == USAGE_PROVIDER ? STR("provider") : STR("counted"));
    json_object_end(w);
}

static enum usage_tier read_tier(const struct json_value *value)
{
    for (int tier = 0; tier < USAGE_TIER_COUNT; tier++)
        if (json_eq(value, tiers[tier]))
            return (enum usage_tier)tier;
    return USAGE_STANDARD;
}

struct usage usage_read(struct str json)
{
    struct usage u = {.source = USAGE_NONE};
    struct json_reader r;
    struct json_value key;
    json_reader_init(&r, json, NESTING_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return u;
    while (json_next_member(&r, &key)) {
        struct json_value value = json_take(&r);
        if (json_eq(&key, STR("source")))
            u.source = json_eq(&value, STR("provider"))  ? USAGE_PROVIDER
                       : json_eq(&value, STR("counted")) ? USAGE_COUNTED
                                                         : USAGE_NONE;
        if (json_eq(&key, STR("tier")))
            u.tier = read_tier(&value);
        for (size_t i = 0; i < COUNTS; i++)
            if (json_eq(&key, counts[i].name) && json_to_i64(&value, count_of(&u, i)) != ERR_OK)
                *count_of(&u, i) = 0;
    }
    return u;
}
