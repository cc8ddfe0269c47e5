/* Segments of the index in the database: a row of `segments` for each, with the first term of each
 * of its blocks (a byte of length, then the term), and a row of `blocks` for each block. */
#include "base/mem.h"
#include "view/view_int.h"

enum { FENCES_BYTES_MAX = 16 << 20 };

struct writer {
    sqlite3_stmt *add;
    int64_t first_block, count;
    struct buf fences;
};

static enum err add_block(void *arg, struct str first_term, struct str block)
{
    struct writer *w = arg;
    buf_append_char(&w->fences, (char)first_term.len);
    buf_append_str(&w->fences, first_term);
    sqlite3_bind_int64(w->add, 1, w->first_block + w->count++);
    sqlite3_bind_blob(w->add, 2, block.ptr, (int)block.len, SQLITE_STATIC);
    int code = sqlite3_step(w->add);
    sqlite3_reset(w->add);
    return view_error(code);
}

static enum err add_segment(sqlite3 *db, const struct index *x, const struct writer *w)
{
    sqlite3_stmt *add = NULL;
    TRY(w->fences.error);
    TRY(view_prepare(db, "INSERT INTO segments VALUES(?,?,?,?,?,?,?)", &add));
    const int64_t numbers[] = {x->first, x->span,        w->first_block,
                               w->count, x->min_time_us, x->max_time_us};
    for (int i = 0; i < 6; i++)
        sqlite3_bind_int64(add, i + 1, numbers[i]);
    sqlite3_bind_blob(add, 7, w->fences.ptr, (int)w->fences.len, SQLITE_STATIC);
    int code = sqlite3_step(add);
    sqlite3_finalize(add);
    return view_error(code);
}

enum err view_segment_write(sqlite3 *db, const struct index *x)
{
    struct writer w = {.first_block = view_number(db, "SELECT max(id) + 1 FROM blocks", 1)};
    TRY(view_prepare(db, "INSERT INTO blocks VALUES(?,?)", &w.add));
    buf_init(&w.fences, FENCES_BYTES_MAX);
    enum err error = index_write(x, add_block, &w);
    if (error == ERR_OK)
        error = add_segment(db, x, &w);
    sqlite3_finalize(w.add);
    buf_release(&w.fences);
    return error;
}

/* ---- Reading ---- */

enum err view_segments_open(sqlite3 *db, int64_t before, struct view_segments *s)
{
    *s = (struct view_segments){0};
    TRY(view_prepare(db,
                     "SELECT first, span, block, count, min_time_us, max_time_us, fences "
                     "FROM segments WHERE first < ? ORDER BY first DESC",
                     &s->rows));
    TRY(view_prepare(db, "SELECT terms FROM blocks WHERE id = ?", &s->block));
    sqlite3_bind_int64(s->rows, 1, before);
    return ERR_OK;
}

void view_segments_close(struct view_segments *s)
{
    sqlite3_finalize(s->rows);
    sqlite3_finalize(s->block);
}

enum err view_segments_next(struct view_segments *s, bool *ret_any)
{
    int code = sqlite3_step(s->rows);
    *ret_any = code == SQLITE_ROW;
    if (code != SQLITE_ROW)
        return view_error(code);
    s->first = sqlite3_column_int64(s->rows, 0);
    s->span = sqlite3_column_int64(s->rows, 1);
    s->first_block = sqlite3_column_int64(s->rows, 2);
    s->blocks = sqlite3_column_int64(s->rows, 3);
    s->min_time_us = sqlite3_column_int64(s->rows, 4);
    s->max_time_us = sqlite3_column_int64(s->rows, 5);
    s->fences = view_column(s->rows, 6);
    return s->span > 0 && s->span <= INDEX_SPAN ? ERR_OK : ERR_CORRUPT;
}

/* Which block the first such term is in, if it is there at all. */
static int64_t block_of(const struct view_segments *s, struct str from)
{
    int64_t block = 0;
    struct str rest = s->fences;
    for (int64_t i = 0; i < s->blocks && rest.len; i++) {
        size_t length = (unsigned char)rest.ptr[0];
        if (str_cmp(str_take(str_skip(rest, 1), length), from) > 0)
            break;
        block = i;
        rest = str_skip(rest, 1 + length);
    }
    return block;
}

enum err view_segment_find(struct view_segments *s, const struct index_range *r,
                           struct call_set *into)
{
    bool more = true;
    for (int64_t i = block_of(s, index_from(r)); more && i < s->blocks; i++) {
        sqlite3_bind_int64(s->block, 1, s->first_block + i);
        int code = sqlite3_step(s->block);
        enum err error = code == SQLITE_ROW
                             ? index_block_find(view_column(s->block, 0), r, into, &more)
                         : code == SQLITE_DONE ? ERR_CORRUPT
                                               : view_error(code);
        sqlite3_reset(s->block);
        TRY(error);
    }
    return ERR_OK;
}
