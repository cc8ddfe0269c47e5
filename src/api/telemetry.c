#include "api/telemetry.h"

#include "base/mem.h"
#include "call/gateway.h"
#include "codec/json_write.h"
#include "codec/time.h"
#include "os/clock.h"

struct str telemetry_signal_name(enum otlp_signal signal)
{
    static const struct str names[OTLP_SIGNAL_COUNT] = {[OTLP_TRACES] = STR_INIT("spans"),
                                                        [OTLP_METRICS] = STR_INIT("metrics"),
                                                        [OTLP_LOGS] = STR_INIT("logs")};
    return names[signal];
}

enum err telemetry_open(struct log *log, const struct config *config, struct buf *detail,
                        struct telemetry *ret_telemetry)
{
    static const struct str names[OTLP_SIGNAL_COUNT] = {[OTLP_TRACES] = STR_INIT("weir.spans"),
                                                        [OTLP_METRICS] = STR_INIT("weir.metrics"),
                                                        [OTLP_LOGS] = STR_INIT("weir.logs")};
    ret_telemetry->log = log;
    atomic_store(&ret_telemetry->out_position, -1);
    for (int i = 0; i < OTLP_SIGNAL_COUNT; i++)
        TRY(gateway_topic_open(log, config, names[i], detail, &ret_telemetry->parts[i]));
    TRY(gateway_topic_open(log, config, STR("weir.scores"), detail, &ret_telemetry->scores));
    return gateway_topic_open(log, config, STR("weir.ledger"), detail, &ret_telemetry->ledger);
}

struct note {
    struct log_append append; /* first */
    struct telemetry *telemetry;
    uint64_t items;
};

static void on_noted(struct log_append *first)
{
    while (first) {
        struct log_append *next = first->next;
        struct note *n = (struct note *)(void *)first;
        if (first->error != ERR_OK)
            atomic_fetch_add(&n->telemetry->unwritten, n->items);
        mem_free(n);
        first = next;
    }
}

void telemetry_note_refused(struct telemetry *t, enum otlp_signal signal, struct str key,
                            uint64_t items, const char *reason)
{
    struct buf json BUF_AUTO;
    struct json_writer w;
    char time[TIME_TEXT_BYTES + 1];
    if (!items)
        return;
    atomic_fetch_add(&t->rejected[signal], items);
    buf_init(&json, 4096);
    json_writer_init(&w, &json);
    json_object_begin(&w);
    json_member_str(&w, STR("time"), time_format(os_wall_us(), time));
    json_member_str(&w, STR("key"), key);
    json_member_str(&w, STR("signal"), telemetry_signal_name(signal));
    json_member_u64(&w, STR("rejected"), items);
    json_member_str(&w, STR("reason"), str_from_c(reason));
    json_object_end(&w);
    struct str value = buf_str(&json);
    struct log_record record = {.timestamp_ms = -1, .key = key, .value = &value, .value_parts = 1};
    struct note *n = NEW(struct note);
    n->telemetry = t;
    n->items = items;
    n->append = (struct log_append){.done = on_noted, .owner = t, .ack = LOG_ACK_WRITE};
    if (json.error != ERR_OK || log_append(t->ledger, &record, &n->append) != ERR_OK) {
        atomic_fetch_add(&t->unwritten, items);
        mem_free(n);
    }
}
