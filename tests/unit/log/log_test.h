/* What the log's tests share: a folder of their own, numbered records, reading everything back. */
#ifndef WEIR_TESTS_UNIT_LOG_LOG_TEST_H
#define WEIR_TESTS_UNIT_LOG_LOG_TEST_H

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log/log.h"
#include "os/file.h"
#include "os/thread.h"

struct folder {
    char path[64];
};

static inline struct folder folder_make(void)
{
    struct folder f;
    (void)snprintf(f.path, sizeof f.path, "/tmp/weir-log-XXXXXX");
    assert_non_null(mkdtemp(f.path));
    return f;
}

static inline void folder_remove(struct folder *f)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", f->path);
    assert_int_equal(system(command), 0);
}

static inline void show_report(void *arg, enum log_severity severity, struct str text)
{
    (void)arg;
    printf("[%d] %.*s\n", (int)severity, STR_ARG(text));
}

static inline struct log *open_log(const struct log_options *options)
{
    struct log *log = NULL;
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    enum err error = log_open(options, &detail, &log);
    if (error != ERR_OK)
        printf("log_open: %s: %.*s\n", err_text(error), STR_ARG(buf_str(&detail)));
    assert_int_equal(error, ERR_OK);
    return log;
}

static inline struct log_part *open_part(struct log *log, const char *name,
                                         const struct log_topic_config *config)
{
    struct log_topic *topic = NULL;
    assert_int_equal(log_topic_open(log, str_from_c(name), config, &topic), ERR_OK);
    return log_topic_part(topic, 0);
}

struct append_waiter {
    struct log_append append; /* first */
    struct os_mutex lock;
    struct os_cond cond;
    bool over;
};

static inline void append_waiter_end(struct log_append *first)
{
    for (struct log_append *next; first; first = next) {
        struct append_waiter *w = (struct append_waiter *)first;
        next = first->next;
        os_mutex_lock(&w->lock);
        w->over = true;
        os_cond_signal(&w->cond);
        os_mutex_unlock(&w->lock);
    }
}

struct sent {
    enum err error;
    int64_t offset; /* -1: none was given */
};

typedef enum err append_fn(struct log_part *part, struct str batch, struct log_append *append);

/* Append a batch and wait until that is over. */
static inline struct sent append_wait(append_fn *append, struct log_part *part, struct str batch,
                                      enum log_ack ack)
{
    struct append_waiter w = {.append = {.done = append_waiter_end, .ack = ack, .offset = -1}};
    os_mutex_init(&w.lock);
    os_cond_init(&w.cond);
    enum err error = append(part, batch, &w.append);
    os_mutex_lock(&w.lock);
    while (error == ERR_OK && !w.over)
        os_cond_wait(&w.cond, &w.lock);
    os_mutex_unlock(&w.lock);
    os_cond_release(&w.cond);
    os_mutex_release(&w.lock);
    return (struct sent){error == ERR_OK ? w.append.error : error, w.append.offset};
}

/* Record n: key "k<n>", value "<n>:" and filler, one header, timestamp 1000 + n. */
static inline struct str record_value(uint64_t n, size_t filler, char *memory)
{
    int len = snprintf(memory, 32, "%llu:", (unsigned long long)n);
    uint64_t x = n * 0x9e3779b97f4a7c15u + 1; /* not compressible */
    for (size_t i = 0; i < filler; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        memory[(size_t)len + i] = (char)(x >> 56);
    }
    return str_of(memory, (size_t)len + filler);
}

static inline int64_t append_numbered(struct log_part *part, uint64_t n, size_t filler,
                                      enum log_ack ack)
{
    char *memory = malloc(filler + 64);
    char key[32];
    (void)snprintf(key, sizeof key, "k%llu", (unsigned long long)n);
    struct str value = record_value(n, filler, memory);
    struct record_header header = {STR("n"), str_from_c(key)};
    struct log_record record = {(int64_t)(1000 + n), str_from_c(key), &value, 1, &header, 1};
    int64_t offset = -1;
    enum err error = log_append_wait(part, &record, ack, &offset);
    free(memory);
    return error == ERR_OK ? offset : -(int64_t)error;
}

static inline uint64_t entry_number(const struct log_entry *entry)
{
    uint64_t n = 0;
    struct str rest = entry->value;
    assert_int_equal(str_to_u64(str_split(&rest, ':'), &n), ERR_OK);
    return n;
}

/* Read forward from `from`; every record must be whole. Returns how many. */
static inline size_t read_forward(struct log_part *part, int64_t from, uint64_t *ret_first,
                                  uint64_t *ret_last)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *e = NULL;
    size_t count = 0;
    int64_t before = -1;
    assert_int_equal(log_cursor_open(part, from, LOG_FORWARD, &cursor), ERR_OK);
    for (;;) {
        assert_int_equal(log_cursor_next(cursor, &e), ERR_OK);
        if (!e)
            break;
        assert_true(e->offset > before);
        before = e->offset;
        uint64_t n = entry_number(e);
        char key[32];
        (void)snprintf(key, sizeof key, "k%llu", (unsigned long long)n);
        assert_true(str_eq(e->key, str_from_c(key)));
        assert_true(e->timestamp_ms == (int64_t)(1000 + n));
        assert_non_null(log_entry_header(e, STR("n")));
        assert_true(str_eq(*log_entry_header(e, STR("n")), e->key));
        if (count++ == 0 && ret_first)
            *ret_first = n;
        if (ret_last)
            *ret_last = n;
    }
    log_cursor_close(cursor);
    return count;
}

static inline size_t read_backward(struct log_part *part, int64_t from, uint64_t *ret_first)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *e = NULL;
    size_t count = 0;
    int64_t before = INT64_MAX;
    assert_int_equal(log_cursor_open(part, from, LOG_BACKWARD, &cursor), ERR_OK);
    for (;;) {
        assert_int_equal(log_cursor_next(cursor, &e), ERR_OK);
        if (!e)
            break;
        assert_true(e->offset < before);
        before = e->offset;
        if (count++ == 0 && ret_first)
            *ret_first = entry_number(e);
    }
    log_cursor_close(cursor);
    return count;
}

#endif
