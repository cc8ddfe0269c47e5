#include "view/view_int.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "os/clock.h"
#include "os/file.h"

void view_report(struct view *v, enum log_severity severity, const char *format, ...)
{
    struct buf text BUF_AUTO;
    va_list args;
    if (!v->report)
        return;
    buf_init(&text, 8192);
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    v->report(v->report_arg, severity, buf_str(&text));
}

enum err view_open(const struct view_options *options, struct buf *detail, struct view **ret_view)
{
    uint64_t used;
    uint64_t quota;
    log_quota_usage(options->log, &used, &quota);
    if (quota > 0 && quota < VIEW_QUOTA_MIN_BYTES) {
        buf_printf(detail, "log.quota is below %d MiB, which leaves no room for a view of calls",
                   VIEW_QUOTA_MIN_BYTES >> 20);
        return ERR_QUOTA;
    }
    struct view *v = NEW(struct view);
    v->log = options->log;
    v->calls = options->calls;
    v->report = options->report;
    v->report_arg = options->report_arg;
    buf_init(&v->dir, OS_PATH_MAX);
    buf_printf(&v->dir, "%.*s/views", STR_ARG(options->data_dir));
    os_mutex_init(&v->lock);
    os_cond_init(&v->wanted);
    os_mutex_init(&v->read_lock);
    os_mutex_init(&v->index_lock);
    index_init(&v->index);
    enum err error = os_fs_ensure_dir(os_fs_machine(), buf_cstr(&v->dir));
    atomic_store(&v->reserved,
                 view_store_bytes(&view_calls_store, buf_str(&v->dir))); /* counted by log_open */
    if (error == ERR_OK)
        error = os_thread_start("view", view_projector_run, v, &v->thread);
    if (error != ERR_OK) {
        buf_printf(detail, "%s: %s", buf_cstr(&v->dir), err_text(error));
        index_release(&v->index);
        buf_release(&v->dir);
        mem_free(v);
        return error;
    }
    *ret_view = v;
    return ERR_OK;
}

void view_freeze(struct view *v)
{
    if (v->frozen)
        return;
    os_mutex_lock(&v->lock);
    v->stopping = true;
    os_cond_signal(&v->wanted);
    os_mutex_unlock(&v->lock);
    os_thread_join(&v->thread);
    v->frozen = true;
}

void view_thaw(struct view *v)
{
    v->stopping = false;
    v->frozen = os_thread_start("view", view_projector_run, v, &v->thread) != ERR_OK;
}

void view_close(struct view *v)
{
    if (!v)
        return;
    view_freeze(v);
    view_reader_forget(v);
    index_release(&v->index);
    os_mutex_release(&v->index_lock);
    os_mutex_release(&v->read_lock);
    os_cond_release(&v->wanted);
    os_mutex_release(&v->lock);
    buf_release(&v->dir);
    mem_free(v);
}

void view_state(struct view *v, struct view_state *ret_state)
{
    os_mutex_lock(&v->lock);
    bool anew = v->rebuild; /* asked for, and not begun */
    os_mutex_unlock(&v->lock);
    *ret_state = (struct view_state){
        .next_offset = anew ? log_part_start(v->calls) : atomic_load(&v->next_offset),
        .end_offset = log_part_end(v->calls),
        .bytes = view_store_bytes(&view_calls_store, buf_str(&v->dir)),
        .failed = atomic_load(&v->failed),
    };
}

void view_rebuild(struct view *v)
{
    os_mutex_lock(&v->lock);
    v->rebuild = true;
    os_cond_signal(&v->wanted);
    os_mutex_unlock(&v->lock);
}

/* ---- The reader ---- */

static int on_progress(void *arg)
{
    const struct view *v = arg;
    return os_now_us() > v->deadline_us;
}

static enum err open_reader(struct view *v)
{
    struct buf detail = {.max = 4096};
    enum err error =
        view_store_open(&v->reader, &view_calls_store, buf_str(&v->dir), false, &detail);
    buf_release(&detail);
    if (error != ERR_OK)
        return ERR_BUSY; /* the projector has not made it yet */
    error = view_words_open(v->reader.db, &v->reader_words);
    if (error != ERR_OK) {
        view_store_close(&v->reader);
        return error;
    }
    v->reader_open = true;
    sqlite3_progress_handler(v->reader.db, 10000, on_progress, v);
    return ERR_OK;
}

enum err view_read_begin(struct view *v)
{
    os_mutex_lock(&v->read_lock);
    enum err error = v->reader_open ? ERR_OK : open_reader(v);
    v->deadline_us = os_now_us() + VIEW_QUERY_US_MAX;
    if (error != ERR_OK)
        os_mutex_unlock(&v->read_lock);
    return error;
}

void view_reader_forget(struct view *v)
{
    view_words_close(v->reader_words);
    v->reader_words = NULL;
    if (v->reader_open)
        view_store_close(&v->reader);
    v->reader_open = false;
}

void view_read_end(struct view *v)
{
    os_mutex_unlock(&v->read_lock);
}

int64_t view_name_find(struct view *v, struct str name)
{
    sqlite3_stmt *find = NULL;
    int64_t id = -1;
    if (view_prepare(v->reader.db, "SELECT id FROM names WHERE name = ?", &find) != ERR_OK)
        return -1;
    sqlite3_bind_text(find, 1, name.ptr, (int)name.len, SQLITE_STATIC);
    if (sqlite3_step(find) == SQLITE_ROW)
        id = sqlite3_column_int64(find, 0);
    sqlite3_finalize(find);
    return id;
}

bool view_where_name(struct view *v, struct buf *sql, const char *column, struct str name)
{
    if (!name.len)
        return true;
    int64_t id = view_name_find(v, name);
    buf_printf(sql, " AND %s = %lld", column, (long long)id);
    return id >= 0;
}
