/* Which calls pass a filter: newest first, a page at a time. */
#include <stdio.h>

#include "view/view_int.h"

enum { SQL_BYTES_MAX = 4096, WORDS_MAX = 16 };

struct search {
    struct view *view;
    struct buf sql;
    struct buf words;  /* as FTS5 wants them */
    bool impossible;   /* a name that no call has */
    int64_t from, end; /* offsets */
};

static void equal(struct search *s, const char *column, struct str name)
{
    s->impossible = !view_where_name(s->view, &s->sql, column, name) || s->impossible;
}

/* The index of failures is only used where the question says that it is about them. */
static const char *failed(int status)
{
    return status >= 400 ? " AND status >= 400" : "";
}

static enum err status(struct search *s, struct str text)
{
    uint64_t number = 0;
    if (!text.len)
        return ERR_OK;
    if (text.len == 3 && str_eq(str_skip(text, 1), STR("xx")) && text.ptr[0] >= '1' &&
        text.ptr[0] <= '5') {
        int low = (text.ptr[0] - '0') * 100;
        buf_printf(&s->sql, " AND status BETWEEN %d AND %d%s", low, low + 99, failed(low));
        return ERR_OK;
    }
    if (str_to_u64(text, &number) == ERR_OK && number < 1000) {
        buf_printf(&s->sql, " AND status = %llu%s", (unsigned long long)number,
                   failed((int)number));
        return ERR_OK;
    }
    equal(s, "outcome", text); /* as the list of calls has it */
    return ERR_OK;
}

/* As the index divides words; what else divides them beyond ASCII is met in run(). */
static bool divides(char c)
{
    unsigned char b = (unsigned char)c;
    return b < 0x80 && !(b >= '0' && b <= '9') && !(b >= 'a' && b <= 'z') &&
           !(b >= 'A' && b <= 'Z');
}

/* Each word becomes a quoted string, so that nothing in it is syntax; it may be a beginning. The
 * index knows no phrases, so "foo-bar" is two words. */
static enum err words(struct search *s, struct str text)
{
    unsigned count = 0;
    if (text.len > VIEW_WORDS_BYTES_MAX)
        return ERR_INVALID;
    for (size_t i = 0; i < text.len;) {
        size_t from = i;
        while (i < text.len && !divides(text.ptr[i]))
            i++;
        if (i == from) {
            i++;
            continue;
        }
        if (++count > WORDS_MAX)
            return ERR_INVALID;
        buf_printf(&s->words, "%s\"%.*s\"*", count > 1 ? " AND " : "", (int)(i - from),
                   text.ptr + from);
    }
    return ERR_OK;
}

static enum err build(struct search *s, const struct view_filter *f)
{
    equal(s, "model", f->model);
    equal(s, "target", f->target);
    equal(s, "key", f->key);
    equal(s, "endpoint", f->endpoint);
    equal(s, "outcome", f->outcome);
    equal(s, "user", f->user);
    if (f->user.len)
        buf_append_str(&s->sql, STR(" AND user > 0"));
    TRY(status(s, f->status));
    if (f->since_us > 0)
        buf_printf(&s->sql, " AND time_us >= %lld", (long long)f->since_us);
    if (f->until_us > 0)
        buf_printf(&s->sql, " AND time_us < %lld", (long long)f->until_us);
    if (f->total_us_min > 0)
        buf_printf(&s->sql, " AND total_us >= %lld", (long long)f->total_us_min);
    return words(s, f->words);
}

/* Offsets in [from, end), newest first, of one table of words or of none. */
static enum err run(struct search *s, int64_t chunk, size_t limit, int64_t *offsets, size_t *count)
{
    struct buf sql BUF_AUTO;
    sqlite3_stmt *query = NULL;
    buf_init(&sql, SQL_BYTES_MAX * 2);
    if (chunk >= 0)
        buf_printf(
            &sql,
            "SELECT calls.offset FROM words_%lld JOIN calls ON calls.offset = words_%lld.rowid "
            "WHERE words_%lld MATCH ? AND words_%lld.rowid < %lld%.*s "
            "ORDER BY words_%lld.rowid DESC LIMIT %zu",
            (long long)chunk, (long long)chunk, (long long)chunk, (long long)chunk,
            (long long)s->end, STR_ARG(buf_str(&s->sql)), (long long)chunk, limit);
    else
        buf_printf(
            &sql, "SELECT offset FROM calls WHERE offset < %lld%.*s ORDER BY offset DESC LIMIT %zu",
            (long long)s->end, STR_ARG(buf_str(&s->sql)), limit);
    enum err error = view_prepare(s->view->reader.db, buf_cstr(&sql), &query);
    if (error != ERR_OK && chunk >= 0)
        return ERR_OK; /* no such table: nothing was said in it */
    TRY(error);
    if (chunk >= 0)
        sqlite3_bind_text(query, 1, s->words.ptr, (int)s->words.len, SQLITE_STATIC);
    int code;
    while ((code = sqlite3_step(query)) == SQLITE_ROW)
        offsets[(*count)++] = sqlite3_column_int64(query, 0);
    sqlite3_finalize(query);
    if (code == SQLITE_ERROR && chunk >= 0)
        return ERR_OK; /* a word that the index takes for a phrase: nobody can have said it */
    return view_error(code);
}

static enum err run_all(struct search *s, size_t limit, int64_t *offsets, size_t *count)
{
    if (s->impossible)
        return ERR_OK;
    if (!s->words.len)
        return run(s, -1, limit, offsets, count);
    int64_t last = (s->end > 0 ? s->end - 1 : 0) / VIEW_WORDS_CHUNK;
    int64_t first = s->from / VIEW_WORDS_CHUNK;
    for (int64_t chunk = last; chunk >= first && *count < limit; chunk--)
        TRY(run(s, chunk, limit - *count, offsets + *count, count));
    return ERR_OK;
}

enum err view_search(struct view *v, const struct view_filter *filter, int64_t before, size_t limit,
                     int64_t *ret_offsets, size_t *ret_count)
{
    int64_t folded = atomic_load(&v->next_offset);
    struct search s = {.view = v,
                       .sql = {.max = SQL_BYTES_MAX},
                       .words = {.max = SQL_BYTES_MAX},
                       .from = log_part_start(v->calls),
                       .end = before >= 0 && before < folded ? before : folded};
    size_t count = 0;
    TRY(view_read_begin(v));
    enum err error = build(&s, filter);
    if (error == ERR_OK)
        error = run_all(&s, limit, ret_offsets, &count);
    view_read_end(v);
    buf_release(&s.sql);
    buf_release(&s.words);
    if (error == ERR_OK)
        *ret_count = count;
    return error;
}
