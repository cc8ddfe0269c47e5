/* Sums and percentiles by group and time, from the minutes, hours and days: of each time the
 * longest that fits into the window and into a point.
 *
 *     since        hour           day                   day           hour   until
 *       ├─ minutes ─┼─── hours ────┼──────── days ──────────┼─── hours ────┼─ minutes ─┤
 */
#include <stdio.h>

#include "base/mem.h"
#include "codec/decimal.h"
#include "codec/json_write.h"
#include "os/clock.h"
#include "view/view_int.h"

enum { SHARES = 3, RANGES_MAX = 2 * VIEW_SUM_LEVELS - 1 };

static const double shares[SHARES] = {0.5, 0.9, 0.99};

struct sums {
    int64_t numbers[VIEW_SUM_NUMBERS]; /* calls, input, cached, output, reasoning, cost */
    int64_t errors;
    uint64_t percentiles[VIEW_SUM_SPREADS][SHARES]; /* when all is added */
    bool some[VIEW_SUM_SPREADS];
};

/* While rows are added. */
struct adding {
    struct spread_sum spreads[VIEW_SUM_SPREADS];
};

struct point {
    int64_t time_s;
    struct sums sums;
};

struct series {
    int64_t id; /* of its name */
    struct str name;
    struct sums all;
    struct adding *all_adding, *point_adding;
    struct point *points; /* by time; the rows come in that order */
    size_t count, room;
};

struct answer {
    const struct view_question *question;
    struct series *series;
    size_t count;
    bool cut; /* there were more groups, or points */
};

static void release(struct answer *a)
{
    for (size_t i = 0; i < a->count; i++) {
        mem_free(a->series[i].all_adding);
        mem_free(a->series[i].point_adding);
        mem_free(a->series[i].points);
        mem_free((char *)a->series[i].name.ptr);
    }
    mem_free(a->series);
}

static struct series *find(struct answer *a, int64_t id)
{
    for (size_t i = a->count; i > 0; i--)
        if (a->series[i - 1].id == id)
            return &a->series[i - 1];
    if (a->count == VIEW_GROUPS_MAX) {
        a->cut = true;
        return NULL;
    }
    a->series = mem_resize(a->series, (a->count + 1) * sizeof *a->series);
    struct series *s = &a->series[a->count++];
    *s = (struct series){.id = id, .all_adding = NEW(struct adding)};
    return s;
}

/* All is added: what is shown of it stays. */
static void settle(struct sums *s, struct adding *adding)
{
    for (int i = 0; i < VIEW_SUM_SPREADS; i++) {
        s->some[i] = adding->spreads[i].total > 0;
        for (int k = 0; k < SHARES; k++)
            s->percentiles[i][k] = spread_sum_percentile(&adding->spreads[i], shares[k]);
    }
    *adding = (struct adding){0};
}

static struct point *point_at(struct answer *a, struct series *s, int64_t time_s)
{
    if (s->count && s->points[s->count - 1].time_s == time_s)
        return &s->points[s->count - 1];
    if (s->count == VIEW_POINTS_MAX) {
        a->cut = true;
        return NULL;
    }
    if (s->count)
        settle(&s->points[s->count - 1].sums, s->point_adding);
    else
        s->point_adding = NEW(struct adding);
    if (s->count == s->room) {
        s->room = s->room ? s->room * 2 : 64;
        s->points = mem_resize(s->points, s->room * sizeof *s->points);
    }
    s->points[s->count] = (struct point){.time_s = time_s};
    return &s->points[s->count++];
}

/* Columns: minute, group, is an error, calls … cost, total, first, overhead. */
static enum err add_to(struct sums *s, struct adding *adding, sqlite3_stmt *row)
{
    for (int i = 0; i < VIEW_SUM_NUMBERS; i++)
        s->numbers[i] += sqlite3_column_int64(row, 3 + i);
    if (sqlite3_column_int64(row, 2))
        s->errors += sqlite3_column_int64(row, 3);
    for (int i = 0; i < VIEW_SUM_SPREADS; i++)
        TRY(spread_sum_add(&adding->spreads[i], view_column(row, 3 + VIEW_SUM_NUMBERS + i)));
    return ERR_OK;
}

static enum err take_row(struct answer *a, sqlite3_stmt *row)
{
    struct series *s = find(a, sqlite3_column_int64(row, 1));
    if (!s)
        return ERR_OK;
    TRY(add_to(&s->all, s->all_adding, row));
    int64_t step = a->question->step_s;
    if (!step)
        return ERR_OK;
    struct point *p = point_at(a, s, sqlite3_column_int64(row, 0) * 60 / step * step);
    return p ? add_to(&p->sums, s->point_adding, row) : ERR_OK;
}

static void settle_all(struct answer *a)
{
    for (size_t i = 0; i < a->count; i++) {
        struct series *s = &a->series[i];
        settle(&s->all, s->all_adding);
        if (s->count)
            settle(&s->points[s->count - 1].sums, s->point_adding);
    }
}

/* ---- Which rows ---- */

/* Of one level, in minutes: [from, end). */
struct range {
    int level;
    int64_t from, end;
};

static int64_t up(int64_t minute, int64_t to)
{
    return minute > INT64_MAX - to ? minute : (minute + to - 1) / to * to;
}

/* The longest times that the points are made of. */
static int level_of(int64_t step_s)
{
    int level = VIEW_SUM_LEVELS - 1;
    while (level > 0 && step_s % (view_sum_levels[level].minutes * 60) != 0)
        level--;
    return level;
}

/* In order of time. Returns how many. */
static int divide(int64_t from, int64_t end, int level, struct range ranges[RANGES_MAX])
{
    struct range tail[RANGES_MAX];
    int count = 0;
    int tails = 0;
    for (int i = 0; i < level; i++) {
        int64_t to = view_sum_levels[i + 1].minutes;
        int64_t next = up(from, to) < end ? up(from, to) : end;
        int64_t last = end == INT64_MAX || end / to * to < next ? end : end / to * to;
        if (from < next)
            ranges[count++] = (struct range){i, from, next};
        if (last < end && last >= next)
            tail[tails++] = (struct range){i, last, end};
        from = next;
        end = last < next ? next : last;
        if (from >= end)
            break;
    }
    if (from < end)
        ranges[count++] = (struct range){level, from, end};
    while (tails > 0)
        ranges[count++] = tail[--tails];
    return count;
}

static const char *column_of(struct str by)
{
    static const char *const columns[] = {"model", "target", "key", "endpoint", "outcome"};
    if (!by.len)
        return "0";
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        if (str_eq(by, str_from_c(columns[i])))
            return columns[i];
    return NULL;
}

static void write_query(struct view *v, const struct view_question *q, const struct range *r,
                        struct buf *sql)
{
    const struct view_filter *f = &q->filter;
    buf_printf(
        sql,
        "SELECT minute, %s, outcome = %lld, calls, input, cached, output, reasoning, cost, total, "
        "first, overhead FROM %s WHERE minute >= %lld AND minute < %lld",
        column_of(q->by), (long long)view_name_find(v, STR("error")),
        view_sum_levels[r->level].table, (long long)r->from, (long long)r->end);
    (void)view_where_name(v, sql, "model", f->model);
    (void)view_where_name(v, sql, "target", f->target);
    (void)view_where_name(v, sql, "key", f->key);
    (void)view_where_name(v, sql, "endpoint", f->endpoint);
    (void)view_where_name(v, sql, "outcome", f->outcome);
    buf_append_str(sql, STR(" ORDER BY minute"));
}

static void find_names(struct view *v, struct answer *a)
{
    sqlite3_stmt *get = NULL;
    if (view_prepare(v->reader.db, "SELECT name FROM names WHERE id = ?", &get) != ERR_OK)
        return;
    for (size_t i = 0; i < a->count; i++) {
        sqlite3_bind_int64(get, 1, a->series[i].id);
        if (sqlite3_step(get) == SQLITE_ROW) {
            struct str name = view_column(get, 0);
            a->series[i].name = str_of(mem_strdup(name.ptr, name.len), name.len);
        }
        sqlite3_reset(get);
    }
    sqlite3_finalize(get);
}

static void write_percentiles(struct json_writer *w, struct str name, const struct sums *s,
                              int spread)
{
    const uint64_t *values = s->percentiles[spread];
    json_key(w, name);
    if (!s->some[spread]) {
        json_null(w);
        return;
    }
    json_object_begin(w);
    json_member_u64(w, STR("p50"), values[0]);
    json_member_u64(w, STR("p90"), values[1]);
    json_member_u64(w, STR("p99"), values[2]);
    json_object_end(w);
}

static void write_sums(struct json_writer *w, const struct sums *s)
{
    char text[DECIMAL_TEXT_BYTES];
    json_member_i64(w, STR("calls"), s->numbers[0]);
    json_member_i64(w, STR("errors"), s->errors);
    json_member_i64(w, STR("input"), s->numbers[1]);
    json_member_i64(w, STR("cached_input"), s->numbers[2]);
    json_member_i64(w, STR("output"), s->numbers[3]);
    json_member_i64(w, STR("reasoning"), s->numbers[4]);
    json_member_str(w, STR("cost"),
                    decimal_format((struct decimal){(__int128)s->numbers[5] * 1000}, text));
    write_percentiles(w, STR("total_us"), s, 0);
    write_percentiles(w, STR("first_token_us"), s, 1);
    write_percentiles(w, STR("overhead_us"), s, 2);
}

static void write_series(struct json_writer *w, const struct answer *a, const struct series *s)
{
    json_object_begin(w);
    json_member_str_or_null(w, STR("name"), a->question->by.len ? s->name : STR_NONE);
    write_sums(w, &s->all);
    if (a->question->step_s) {
        json_key(w, STR("points"));
        json_array_begin(w);
        for (size_t i = 0; i < s->count; i++) {
            json_object_begin(w);
            json_member_i64(w, STR("time_s"), s->points[i].time_s);
            write_sums(w, &s->points[i].sums);
            json_object_end(w);
        }
        json_array_end(w);
    }
    json_object_end(w);
}

static int by_calls(const void *left, const void *right)
{
    const struct series *a = left;
    const struct series *b = right;
    return a->all.numbers[0] < b->all.numbers[0]   ? 1
           : a->all.numbers[0] > b->all.numbers[0] ? -1
                                                   : 0;
}

static void write_answer(struct view *v, struct answer *a, struct buf *json)
{
    struct json_writer w;
    if (a->count)
        qsort(a->series, a->count, sizeof *a->series, by_calls);
    json_writer_init(&w, json);
    json_object_begin(&w);
    json_key(&w, STR("groups"));
    json_array_begin(&w);
    for (size_t i = 0; i < a->count; i++)
        write_series(&w, a, &a->series[i]);
    json_array_end(&w);
    json_member_bool(&w, STR("cut"), a->cut);
    json_member_i64(&w, STR("folded"), atomic_load(&v->next_offset));
    json_member_i64(&w, STR("end"), log_part_end(v->calls));
    json_object_end(&w);
}

static enum err ask_range(struct view *v, struct answer *a, const struct range *r)
{
    struct buf sql BUF_AUTO;
    sqlite3_stmt *query = NULL;
    buf_init(&sql, 4096);
    write_query(v, a->question, r, &sql);
    TRY(view_prepare(v->reader.db, buf_cstr(&sql), &query));
    int code = SQLITE_DONE;
    enum err error = ERR_OK;
    while (error == ERR_OK && (code = sqlite3_step(query)) == SQLITE_ROW)
        error = take_row(a, query);
    sqlite3_finalize(query);
    return error == ERR_OK ? view_error(code) : error;
}

static enum err ask(struct view *v, struct answer *a)
{
    struct range ranges[RANGES_MAX];
    const struct view_filter *f = &a->question->filter;
    int64_t end = f->until_us > 0 ? (f->until_us + 59999999) / 60000000 : INT64_MAX;
    int count = divide(f->since_us / 60000000, end, level_of(a->question->step_s), ranges);
    TRY(view_exec(v->reader.db, "BEGIN"));
    enum err error = ERR_OK;
    for (int i = 0; i < count && error == ERR_OK; i++)
        error = ask_range(v, a, &ranges[i]);
    if (error == ERR_OK)
        find_names(v, a);
    (void)!view_exec(v->reader.db, "COMMIT");
    settle_all(a);
    return error;
}

enum err view_stats(struct view *v, const struct view_question *question, struct buf *ret_json)
{
    struct answer a = {.question = question};
    if (!column_of(question->by) || question->step_s < 0 || question->step_s % 60)
        return ERR_INVALID;
    TRY(view_read_begin(v));
    enum err error = ask(v, &a);
    view_read_end(v);
    if (error == ERR_OK)
        write_answer(v, &a, ret_json);
    release(&a);
    return error == ERR_OK ? ret_json->error : error;
}
