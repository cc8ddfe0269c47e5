/* Which calls pass a filter: newest first, a page at a time.
 *
 *     filter ─> conditions, each a set of terms ─> in each segment, newest first: calls that have
 * one of each ─> where a time is asked for that is not a whole class's, the call's row
 *
 * So no question reads more than a few blocks of each segment, and one row of each call that is
 * left. */
#include <stdio.h>

#include "os/clock.h"
#include "view/view_int.h"

enum { WORDS_MAX = 16, CONDITIONS_MAX = WORDS_MAX + 9 };

struct search {
    struct view *view;
    const struct view_filter *filter;
    struct index_range conditions[CONDITIONS_MAX];
    size_t count;
    bool impossible; /* a name that no call has */
    bool too_many_words;
    int64_t from, end;   /* offsets */
    sqlite3_stmt *times; /* of a call */
    struct call_set left, one;
    int64_t *offsets;
    size_t found, limit;
};

/* ---- Conditions ---- */

static struct index_range *add_range(struct search *s, struct str prefix, struct str from)
{
    struct index_range *r = &s->conditions[s->count++];
    *r = (struct index_range){.prefix_length = (uint8_t)prefix.len,
                              .from_length = (uint8_t)from.len};
    memcpy(r->prefix, prefix.ptr, prefix.len);
    memcpy(r->from, from.ptr, from.len);
    return r;
}

static void add_attribute(struct search *s, enum term_kind kind, uint32_t value)
{
    char term[TERM_ATTRIBUTE_BYTES];
    struct str text = term_attribute(kind, value, term);
    add_range(s, text, text)->exact = true;
}

static void add_name(struct search *s, enum term_kind kind, struct str name)
{
    if (!name.len)
        return;
    int64_t id = view_name_find(s->view, name);
    if (id < 0)
        s->impossible = true;
    else
        add_attribute(s, kind, (uint32_t)id);
}

/* "429", "4xx", or an outcome, as the list of calls has it. */
static void add_status(struct search *s, struct str text)
{
    uint64_t number = 0;
    if (!text.len)
        return;
    if (text.len == 3 && str_eq(str_skip(text, 1), STR("xx")) && text.ptr[0] >= '1' &&
        text.ptr[0] <= '5') {
        char term[TERM_ATTRIBUTE_BYTES];
        struct str hundred =
            str_take(term_attribute(TERM_STATUS, term_status((text.ptr[0] - '0') * 100), term),
                     TERM_ATTRIBUTE_BYTES - 1);
        add_range(s, hundred, hundred);
    } else if (str_to_u64(text, &number) == ERR_OK && number < 1000) {
        add_attribute(s, TERM_STATUS, term_status((int)number));
    } else {
        add_name(s, TERM_OUTCOME, text);
    }
}

static void add_total(struct search *s, int64_t total_us_min)
{
    char from[TERM_ATTRIBUTE_BYTES];
    if (total_us_min <= 0)
        return;
    struct str text = term_attribute(TERM_TOTAL, term_total_class(total_us_min), from);
    add_range(s, str_take(text, 2), text);
}

/* A word may be the beginning of one that was said. */
static void add_word(void *arg, struct str word)
{
    struct search *s = arg;
    if (s->count == WORDS_MAX)
        s->too_many_words = true;
    else
        add_range(s, word, word);
}

static enum err add_conditions(struct search *s)
{
    const struct view_filter *f = s->filter;
    if (f->words.len > VIEW_WORDS_BYTES_MAX)
        return ERR_INVALID;
    view_words_each(s->view->reader_words, f->words, add_word,
                    s); /* first: most often the rarest */
    if (s->too_many_words)
        return ERR_INVALID;
    s->impossible = f->words.len && !s->count;
    add_name(s, TERM_USER, f->user);
    add_name(s, TERM_KEY, f->key);
    add_status(s, f->status);
    add_name(s, TERM_OUTCOME, f->outcome);
    add_total(s, f->total_us_min);
    add_name(s, TERM_TARGET, f->target);
    add_name(s, TERM_MODEL, f->model);
    add_name(s, TERM_ENDPOINT, f->endpoint);
    if (!s->count)
        add_attribute(s, TERM_ALL, 0);
    return ERR_OK;
}

/* ---- A segment ---- */

static bool out_of_time(const struct search *s, int64_t min_time_us, int64_t max_time_us)
{
    const struct view_filter *f = s->filter;
    return (f->since_us > 0 && max_time_us < f->since_us) ||
           (f->until_us > 0 && min_time_us >= f->until_us);
}

/* Each call must be looked at: the segment, or the class of its time, holds others too. */
static bool needs_rows(const struct search *s, int64_t min_time_us, int64_t max_time_us)
{
    const struct view_filter *f = s->filter;
    return (f->since_us > 0 && min_time_us < f->since_us) ||
           (f->until_us > 0 && max_time_us >= f->until_us) ||
           (f->total_us_min > 0 &&
            term_total_from(term_total_class(f->total_us_min)) != f->total_us_min);
}

static enum err row_passes(struct search *s, int64_t offset, bool *ret_passes)
{
    const struct view_filter *f = s->filter;
    sqlite3_bind_int64(s->times, 1, offset);
    int code = sqlite3_step(s->times);
    int64_t time_us = sqlite3_column_int64(s->times, 0);
    int64_t total_us = sqlite3_column_int64(s->times, 1);
    sqlite3_reset(s->times);
    *ret_passes = code == SQLITE_ROW && time_us >= f->since_us &&
                  (f->until_us <= 0 || time_us < f->until_us) && total_us >= f->total_us_min;
    return view_error(code);
}

static bool any_left(const struct call_set *set)
{
    uint64_t all = 0;
    for (size_t i = 0; i < sizeof set->bits / sizeof set->bits[0]; i++)
        all |= set->bits[i];
    return all != 0;
}

/* Keep those that have one of these terms, too. */
static void narrow(struct search *s, bool is_first)
{
    for (size_t i = 0; i < sizeof s->left.bits / sizeof s->left.bits[0]; i++)
        s->left.bits[i] = is_first ? s->one.bits[i] : s->left.bits[i] & s->one.bits[i];
}

/* Those that are left of a segment, newest first. */
static enum err take_calls(struct search *s, int64_t first, bool rows)
{
    for (int64_t i = INDEX_SPAN / 64 - 1; i >= 0 && s->found < s->limit; i--) {
        for (uint64_t bits = s->left.bits[i]; bits && s->found < s->limit;) {
            int top = 63 - __builtin_clzll(bits);
            int64_t offset = first + i * 64 + top;
            bool passes = offset >= s->from && offset < s->end;
            bits &= ~(UINT64_C(1) << top);
            if (passes && rows)
                TRY(row_passes(s, offset, &passes));
            if (passes)
                s->offsets[s->found++] = offset;
        }
    }
    return ERR_OK;
}

static enum err search_segment(struct search *s, struct view_segments *segments)
{
    if (out_of_time(s, segments->min_time_us, segments->max_time_us))
        return ERR_OK;
    for (size_t i = 0; i < s->count && (i == 0 || any_left(&s->left)); i++) {
        memset(&s->one, 0, sizeof s->one);
        TRY(view_segment_find(segments, &s->conditions[i], &s->one));
        narrow(s, i == 0);
    }
    return take_calls(s, segments->first,
                      needs_rows(s, segments->min_time_us, segments->max_time_us));
}

static enum err search_segments(struct search *s, int64_t before)
{
    struct view_segments segments;
    bool any = true;
    enum err error = view_segments_open(s->view->reader.db, before, &segments);
    while (error == ERR_OK && s->found < s->limit) {
        error = view_segments_next(&segments, &any);
        if (error != ERR_OK || !any || segments.first + segments.span <= s->from)
            break;
        error = os_now_us() > s->view->deadline_us ? ERR_TIMEOUT : search_segment(s, &segments);
    }
    view_segments_close(&segments);
    return error;
}

/* What no segment holds yet. Returns its first offset: segments before it are left. */
static int64_t search_memory(struct search *s, bool *ret_rows)
{
    struct view *v = s->view;
    os_mutex_lock(&v->index_lock);
    const struct index *x = &v->index;
    int64_t first = x->first;
    memset(&s->left, 0, sizeof s->left);
    if (first >= 0 && first < s->end && !out_of_time(s, x->min_time_us, x->max_time_us))
        for (size_t i = 0; i < s->count; i++) {
            memset(&s->one, 0, sizeof s->one);
            index_find(x, &s->conditions[i], &s->one);
            narrow(s, i == 0);
        }
    *ret_rows = needs_rows(s, x->min_time_us, x->max_time_us);
    os_mutex_unlock(&v->index_lock);
    return first;
}

/* The memory first: what is written to the database after it was looked at is left out there. */
static enum err run(struct search *s)
{
    sqlite3 *db = s->view->reader.db;
    bool rows;
    int64_t first = search_memory(s, &rows);
    TRY(view_prepare(db, "SELECT time_us, total_us FROM calls WHERE offset = ?", &s->times));
    TRY(view_exec(db, "BEGIN"));
    enum err error = first >= 0 ? take_calls(s, first, rows) : ERR_OK;
    if (error == ERR_OK)
        error = search_segments(s, first >= 0 && first < s->end ? first : s->end);
    (void)!view_exec(db, "COMMIT");
    return error;
}

enum err view_search(struct view *v, const struct view_filter *filter, int64_t before, size_t limit,
                     int64_t *ret_offsets, size_t *ret_count)
{
    int64_t folded = atomic_load(&v->next_offset);
    struct search s = {.view = v,
                       .filter = filter,
                       .from = log_part_start(v->calls),
                       .end = before >= 0 && before < folded ? before : folded,
                       .limit = limit};
    s.offsets = ret_offsets;
    TRY(view_read_begin(v));
    enum err error = add_conditions(&s);
    if (error == ERR_OK && !s.impossible)
        error = run(&s);
    sqlite3_finalize(s.times);
    view_read_end(v);
    if (error == ERR_OK)
        *ret_count = s.found;
    return error;
}
