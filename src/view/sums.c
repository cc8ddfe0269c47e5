/* Sums of calls by the minute, the hour and the day, and by what they have in common. Those of a
 * transaction are added up in memory, the minutes' into their hours' and these into their days',
 * and merged into their rows at its end. */
#include <stdio.h>

#include "base/mem.h"
#include "view/view_int.h"

enum {
    MINUTE_GROUPS = 2048, /* in memory; then all are written */
    GROUPS = 3 * MINUTE_GROUPS,
    SLOTS = 16384, /* a power of two */
    KEY_NUMBERS = 1 + VIEW_SUM_KEYS,
};

struct group {
    int64_t key[KEY_NUMBERS]; /* level, minute, model, target, key, endpoint, outcome */
    int64_t sums[VIEW_SUM_NUMBERS];
    struct spread spreads[VIEW_SUM_SPREADS];
};

struct view_sums {
    sqlite3_stmt *get[VIEW_SUM_LEVELS], *put[VIEW_SUM_LEVELS];
    struct buf blobs[VIEW_SUM_SPREADS];
    struct group *groups;
    unsigned count;
    uint16_t slots[SLOTS]; /* index in groups + 1 */
};

const struct view_sum_level view_sum_levels[VIEW_SUM_LEVELS] = {
    {"minutes", 1}, {"hours", 60}, {"days", 1440}};

enum err view_sums_open(sqlite3 *db, struct view_sums **ret_sums)
{
    struct view_sums *s = NEW(struct view_sums);
    char sql[400];
    *ret_sums = s;
    s->groups = mem_array(GROUPS, sizeof *s->groups);
    for (int i = 0; i < VIEW_SUM_SPREADS; i++)
        buf_init(&s->blobs[i], 1 << 20);
    for (int i = 0; i < VIEW_SUM_LEVELS; i++) {
        (void)snprintf(sql, sizeof sql,
                       "SELECT calls, input, cached, output, reasoning, cost, total, first, "
                       "overhead FROM %s WHERE minute=? AND model=? AND target=? AND key=? AND "
                       "endpoint=? AND outcome=?",
                       view_sum_levels[i].table);
        TRY(view_prepare(db, sql, &s->get[i]));
        (void)snprintf(sql, sizeof sql,
                       "INSERT OR REPLACE INTO %s VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                       view_sum_levels[i].table);
        TRY(view_prepare(db, sql, &s->put[i]));
    }
    return ERR_OK;
}

static void forget_groups(struct view_sums *s)
{
    for (unsigned i = 0; i < s->count; i++)
        for (int k = 0; k < VIEW_SUM_SPREADS; k++)
            spread_release(&s->groups[i].spreads[k]);
    if (s->count)
        memset(s->slots, 0, sizeof s->slots);
    s->count = 0;
}

void view_sums_close(struct view_sums *s)
{
    if (!s)
        return;
    forget_groups(s);
    for (int i = 0; i < VIEW_SUM_LEVELS; i++) {
        sqlite3_finalize(s->get[i]);
        sqlite3_finalize(s->put[i]);
    }
    for (int i = 0; i < VIEW_SUM_SPREADS; i++)
        buf_release(&s->blobs[i]);
    mem_free(s->groups);
    mem_free(s);
}

/* ---- Groups ---- */

static uint32_t hash_key(const int64_t key[KEY_NUMBERS])
{
    uint64_t h = 0;
    for (int i = 0; i < KEY_NUMBERS; i++)
        h = (h ^ (uint64_t)key[i]) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(h >> 32);
}

/* There is room. */
static struct group *find_group(struct view_sums *s, const int64_t key[KEY_NUMBERS])
{
    uint32_t at = hash_key(key) % SLOTS;
    for (; s->slots[at]; at = (at + 1) % SLOTS) {
        struct group *g = &s->groups[s->slots[at] - 1];
        if (memcmp(g->key, key, sizeof g->key) == 0)
            return g;
    }
    struct group *g = &s->groups[s->count];
    *g = (struct group){0};
    memcpy(g->key, key, sizeof g->key);
    s->slots[at] = (uint16_t)++s->count;
    return g;
}

enum err view_sums_add(struct view_sums *s, const struct view_row *row, const int64_t ids[5])
{
    const int64_t numbers[] = {1, row->input, row->cached, row->output, row->reasoning, row->cost};
    const int64_t times[] = {row->total_us, row->first_us, row->overhead_us};
    const int64_t key[] = {0, row->time_us / 60000000, ids[0], ids[1], ids[2], ids[3], ids[4]};
    if (s->count >= MINUTE_GROUPS)
        TRY(view_sums_write(s));
    struct group *g = find_group(s, key);
    for (int i = 0; i < VIEW_SUM_NUMBERS; i++)
        g->sums[i] += numbers[i] > 0 ? numbers[i] : 0;
    for (int i = 0; i < VIEW_SUM_SPREADS; i++)
        if (times[i] >= 0)
            spread_add(&g->spreads[i], (uint64_t)times[i]);
    return ERR_OK;
}

/* ---- Rows ---- */

static void bind_key(sqlite3_stmt *statement, const struct group *g)
{
    for (int i = 0; i < VIEW_SUM_KEYS; i++)
        sqlite3_bind_int64(statement, i + 1, g->key[i + 1]);
}

/* What the row holds already is added to the group. */
static enum err merge_row(struct view_sums *s, struct group *g)
{
    sqlite3_stmt *get = s->get[g->key[0]];
    bind_key(get, g);
    int code = sqlite3_step(get);
    enum err error = view_error(code);
    if (code == SQLITE_ROW) {
        for (int i = 0; i < VIEW_SUM_NUMBERS; i++)
            g->sums[i] += sqlite3_column_int64(get, i);
        for (int i = 0; i < VIEW_SUM_SPREADS && error == ERR_OK; i++)
            error = spread_merge(&g->spreads[i], view_column(get, VIEW_SUM_NUMBERS + i));
    }
    sqlite3_reset(get);
    return error == ERR_INVALID ? ERR_CORRUPT : error;
}

static enum err write_row(struct view_sums *s, const struct group *g)
{
    sqlite3_stmt *put = s->put[g->key[0]];
    bind_key(put, g);
    for (int i = 0; i < VIEW_SUM_NUMBERS; i++)
        sqlite3_bind_int64(put, VIEW_SUM_KEYS + 1 + i, g->sums[i]);
    for (int i = 0; i < VIEW_SUM_SPREADS; i++) {
        struct buf *blob = &s->blobs[i];
        buf_reset(blob);
        spread_write(&g->spreads[i], blob);
        sqlite3_bind_blob(put, VIEW_SUM_KEYS + VIEW_SUM_NUMBERS + 1 + i, blob->ptr, (int)blob->len,
                          SQLITE_STATIC);
    }
    int code = sqlite3_step(put);
    sqlite3_reset(put);
    return view_error(code);
}

/* A group's sums belong to the longer time that its own is in, too. */
static void add_above(struct view_sums *s, const struct group *g)
{
    int64_t key[KEY_NUMBERS];
    memcpy(key, g->key, sizeof key);
    key[0]++;
    key[1] -= key[1] % view_sum_levels[key[0]].minutes;
    struct group *above = find_group(s, key);
    for (int i = 0; i < VIEW_SUM_NUMBERS; i++)
        above->sums[i] += g->sums[i];
    for (int i = 0; i < VIEW_SUM_SPREADS; i++)
        spread_add_all(&above->spreads[i], &g->spreads[i]);
}

enum err view_sums_write(struct view_sums *s)
{
    enum err error = ERR_OK;
    for (unsigned i = 0; i < s->count; i++) /* grows meanwhile */
        if (s->groups[i].key[0] + 1 < VIEW_SUM_LEVELS)
            add_above(s, &s->groups[i]);
    for (unsigned i = 0; i < s->count && error == ERR_OK; i++) {
        error = merge_row(s, &s->groups[i]);
        if (error == ERR_OK)
            error = write_row(s, &s->groups[i]);
    }
    forget_groups(s);
    return error;
}
