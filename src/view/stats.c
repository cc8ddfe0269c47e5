/* Sums and percentiles by group and time, from the minutes. */
#include <stdio.h>

#include "base/mem.h"
#include "codec/decimal.h"
#include "codec/json_write.h"
#include "os/clock.h"
#include "view/view_int.h"

struct sums {
    int64_t calls, errors, input, cached, output, reasoning, cost;
    struct spread total, first, overhead;
};

struct point {
    int64_t time_s;
    struct sums sums;
};

struct series {
    int64_t id; /* of its name */
    struct str name;
    struct sums all;
    struct point *points; /* by time; the rows come in that order */
    size_t count, room;
};

struct answer {
    const struct view_question *question;
    struct series *series;
    size_t count;
    bool cut; /* there were more groups, or points */
};

static void release_sums(struct sums *s)
{
    spread_release(&s->total);
    spread_release(&s->first);
    spread_release(&s->overhead);
}

static void release(struct answer *a)
{
    for (size_t i = 0; i < a->count; i++) {
        for (size_t p = 0; p < a->series[i].count; p++)
            release_sums(&a->series[i].points[p].sums);
        release_sums(&a->series[i].all);
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
    a->series[a->count] = (struct series){.id = id};
    return &a->series[a->count++];
}

static struct point *point_at(struct answer *a, struct series *s, int64_t time_s)
{
    if (s->count && s->points[s->count - 1].time_s == time_s)
        return &s->points[s->count - 1];
    if (s->count == VIEW_POINTS_MAX) {
        a->cut = true;
        return NULL;
    }
    if (s->count == s->room) {
        s->room = s->room ? s->room * 2 : 64;
        s->points = mem_resize(s->points, s->room * sizeof *s->points);
    }
    s->points[s->count] = (struct point){.time_s = time_s};
    return &s->points[s->count++];
}

/* Columns: minute, group, is an error, calls … cost, total, first, overhead. */
static enum err add_to(struct sums *s, sqlite3_stmt *row)
{
    int64_t calls = sqlite3_column_int64(row, 3);
    int64_t *sums[] = {&s->calls, &s->input, &s->cached, &s->output, &s->reasoning, &s->cost};
    for (int i = 0; i < 6; i++)
        *sums[i] += sqlite3_column_int64(row, 3 + i);
    if (sqlite3_column_int64(row, 2))
        s->errors += calls;
    TRY(spread_merge(&s->total, view_column(row, 9)));
    TRY(spread_merge(&s->first, view_column(row, 10)));
    return spread_merge(&s->overhead, view_column(row, 11));
}

static enum err take_row(struct answer *a, sqlite3_stmt *row)
{
    struct series *s = find(a, sqlite3_column_int64(row, 1));
    if (!s)
        return ERR_OK;
    TRY(add_to(&s->all, row));
    int64_t step = a->question->step_s;
    if (!step)
        return ERR_OK;
    struct point *p = point_at(a, s, sqlite3_column_int64(row, 0) * 60 / step * step);
    return p ? add_to(&p->sums, row) : ERR_OK;
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

static void write_query(struct view *v, const struct view_question *q, struct buf *sql)
{
    const struct view_filter *f = &q->filter;
    buf_printf(
        sql,
        "SELECT minute, %s, outcome = %lld, calls, input, cached, output, reasoning, cost, total, "
        "first, overhead FROM minutes WHERE minute >= %lld",
        column_of(q->by), (long long)view_name_find(v, STR("error")),
        (long long)(f->since_us / 60000000));
    if (f->until_us > 0)
        buf_printf(sql, " AND minute < %lld", (long long)((f->until_us + 59999999) / 60000000));
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

static void write_spread(struct json_writer *w, struct str name, const struct spread *s)
{
    json_key(w, name);
    if (!s->used) {
        json_null(w);
        return;
    }
    json_object_begin(w);
    json_member_u64(w, STR("p50"), spread_percentile(s, 0.5));
    json_member_u64(w, STR("p90"), spread_percentile(s, 0.9));
    json_member_u64(w, STR("p99"), spread_percentile(s, 0.99));
    json_object_end(w);
}

static void write_sums(struct json_writer *w, const struct sums *s)
{
    char text[DECIMAL_TEXT_BYTES];
    json_member_i64(w, STR("calls"), s->calls);
    json_member_i64(w, STR("errors"), s->errors);
    json_member_i64(w, STR("input"), s->input);
    json_member_i64(w, STR("cached_input"), s->cached);
    json_member_i64(w, STR("output"), s->output);
    json_member_i64(w, STR("reasoning"), s->reasoning);
    json_member_str(w, STR("cost"),
                    decimal_format((struct decimal){(__int128)s->cost * 1000}, text));
    write_spread(w, STR("total_us"), &s->total);
    write_spread(w, STR("first_token_us"), &s->first);
    write_spread(w, STR("overhead_us"), &s->overhead);
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
    return a->all.calls < b->all.calls ? 1 : a->all.calls > b->all.calls ? -1 : 0;
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

static enum err ask(struct view *v, struct answer *a)
{
    struct buf sql BUF_AUTO;
    sqlite3_stmt *query = NULL;
    buf_init(&sql, 4096);
    write_query(v, a->question, &sql);
    TRY(view_prepare(v->reader.db, buf_cstr(&sql), &query));
    int code;
    enum err error = ERR_OK;
    while ((code = sqlite3_step(query)) == SQLITE_ROW && error == ERR_OK)
        error = take_row(a, query);
    sqlite3_finalize(query);
    if (error == ERR_OK)
        error = view_error(code);
    if (error == ERR_OK)
        find_names(v, a);
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
