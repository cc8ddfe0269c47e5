#include "call/warm.h"

#include "base/mem.h"
#include "call/blob.h"
#include "call/gateway_int.h"
#include "codec/digest.h"
#include "codec/json_scan.h"
#include "codec/time.h"
#include "codec/usage.h"
#include "os/clock.h"

enum {
    NESTING_MAX = JSON_DEPTH_MAX,
    DISORDER_MS = 3600 * 1000, /* records stand in the order in which calls ended */
    BLOB_BYTES_MAX = 32 << 20,
};

struct warmer {
    struct os_thread thread;
    struct gateway *gateway;
    struct settings *settings;
    bool *full; /* by model: nothing older goes in */
    atomic_bool stop;
};

/* What of a record makes an answer. */
struct kept {
    bool kept;
    uint8_t key[CACHE_KEY_BYTES];
    bool has_key;
    struct cache_answer answer; /* points into the record */
    bool has_time;
    struct str blob; /* of the response; empty: it is in the record */
};

static void read_cache_member(struct json_reader *r, struct kept *k)
{
    struct json_value key;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key)) {
        struct json_value value = json_take(r);
        if (json_eq(&key, STR("kept")))
            k->kept = value.kind == JSON_TRUE;
        else if (json_eq(&key, STR("key")))
            k->has_key = hex_decode(json_text_raw(&value), k->key, sizeof k->key) == ERR_OK;
    }
}

static void read_response(struct kept *k, const struct json_value *value)
{
    struct json_value blob;
    k->answer.body = value->kind == JSON_OBJECT ? value->raw : STR_NONE;
    if (value->raw.len < 200 && json_find(value->raw, "$blob", &blob))
        k->blob = json_text_raw(&blob);
}

static bool read_record(struct str record, struct kept *k)
{
    struct json_reader r;
    struct json_value key;
    json_reader_init(&r, record, NESTING_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return false;
    while (json_next_member(&r, &key)) {
        if (json_eq(&key, STR("cache"))) {
            read_cache_member(&r, k);
            continue;
        }
        struct json_value value = json_take(&r);
        if (json_eq(&key, STR("id")))
            k->answer.source = json_text_raw(&value);
        else if (json_eq(&key, STR("target")))
            k->answer.target = json_text_raw(&value);
        else if (json_eq(&key, STR("time")))
            k->has_time = time_parse(json_text_raw(&value), &k->answer.wall_us) == ERR_OK;
        else if (json_eq(&key, STR("usage")))
            k->answer.usage = usage_read(value.raw);
        else if (json_eq(&key, STR("response")))
            read_response(k, &value);
    }
    return json_finish(&r) && k->kept && k->has_key && k->has_time && k->answer.body.len;
}

static void warm_with(struct warmer *w, size_t model, struct str record)
{
    struct kept k = {0};
    struct buf blob BUF_AUTO;
    buf_init(&blob, BLOB_BYTES_MAX);
    if (!read_record(record, &k))
        return;
    if (k.blob.len) {
        if (blob_read(gateway_data_dir(w->gateway), k.blob, &blob) != ERR_OK)
            return;
        k.answer.body = buf_str(&blob);
    }
    struct cache_answer *answer = cache_answer_new(&k.answer);
    w->full[model] = !cache_store(w->settings->caches[model], k.key, answer, os_wall_us(), true);
    cache_answer_put(answer);
}

/* The caches that still have room, and how far back they reach. */
static bool wants_more(const struct warmer *w, int64_t timestamp_ms)
{
    const struct config *c = w->settings->config;
    int64_t now_ms = os_wall_us() / 1000;
    for (size_t i = 0; i < c->model_count; i++)
        if (w->settings->caches[i] && !w->full[i] &&
            timestamp_ms > now_ms - c->models[i].cache_ttl_ms - DISORDER_MS)
            return true;
    return false;
}

static void run(void *arg)
{
    struct warmer *w = arg;
    struct log_part *calls = gateway_calls(w->gateway);
    struct log_cursor *cursor;
    const struct log_entry *entry;
    if (log_cursor_open(calls, log_part_end(calls), LOG_BACKWARD, &cursor) != ERR_OK)
        return;
    /* What cannot be read is not kept: no reason to stop serving. */
    while (!atomic_load(&w->stop) && log_cursor_next(cursor, &entry) == ERR_OK && entry &&
           wants_more(w, entry->timestamp_ms)) {
        const struct str *name = log_entry_header(entry, STR("model"));
        const struct config_model *model =
            name ? config_model_find(w->settings->config, *name) : NULL;
        if (model && w->settings->caches[model->index] && !w->full[model->index] &&
            entry->value.ptr)
            warm_with(w, model->index, entry->value);
    }
    log_cursor_close(cursor);
}

struct warmer *warmer_start(struct gateway *g)
{
    struct settings *settings = gateway_settings(g);
    bool any = false;
    for (size_t i = 0; i < settings->config->model_count; i++)
        any |= settings->caches[i] != NULL;
    struct warmer *w = any ? NEW(struct warmer) : NULL;
    if (w) {
        w->gateway = g;
        w->settings = settings;
        w->full = mem_array(settings->config->model_count, sizeof(bool));
        if (os_thread_start("cache-warm", run, w, &w->thread) == ERR_OK)
            return w;
        mem_free(w->full);
        mem_free(w);
    }
    settings_put(settings);
    return NULL;
}

void warmer_stop(struct warmer *w)
{
    if (!w)
        return;
    atomic_store(&w->stop, true);
    os_thread_join(&w->thread);
    settings_put(w->settings);
    mem_free(w->full);
    mem_free(w);
}
