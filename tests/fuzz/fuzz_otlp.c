/* OTLP requests of any bytes. The first byte chooses signal and form. What is read becomes a record
 * that is valid JSON, and reading is the same the second time. */
#include <stdint.h>

#include "base/assert.h"
#include "codec/json_scan.h"
#include "dialect/otlp/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD_BYTES_MAX = 64 << 20 };

struct fuzz {
    enum otlp_signal signal;
    struct arena arena;
    struct buf record;
    size_t bytes; /* of all records */
};

static void write_record(struct fuzz *f, const struct otlp_item *item)
{
    struct otlp_envelope envelope = {.key = STR("k")};
    struct otlp_span span;
    struct otlp_log log;
    struct otlp_metric metric;
    struct gen_ai g;
    if (f->signal == OTLP_TRACES && otlp_span_read(item, &f->arena, &span) == ERR_OK) {
        gen_ai_read(&span.attributes, &g);
        ASSERT(g.usage.source == USAGE_NONE ||
               g.usage.input >= g.usage.cached_input + g.usage.cache_write);
        ASSERT(g.usage.output >= g.usage.reasoning);
        (void)!otlp_span_wrong(&span);
        otlp_span_record_write(item, &span, &g, &envelope, &f->arena, &f->record);
    } else if (f->signal == OTLP_LOGS && otlp_log_read(item, &f->arena, &log) == ERR_OK) {
        otlp_log_record_write(item, &log, &envelope, &f->record);
    } else if (f->signal == OTLP_METRICS && otlp_metric_read(item, &f->arena, &metric) == ERR_OK) {
        otlp_metric_record_write(item, &metric, &envelope, &f->record);
    }
}

static enum err on_item(void *arg, const struct otlp_item *item)
{
    struct fuzz *f = arg;
    struct json_value value;
    arena_reset(&f->arena);
    buf_reset(&f->record);
    write_record(f, item);
    f->bytes += f->record.len;
    if (f->record.len && f->record.error == ERR_OK)
        ASSERT(json_validate(buf_str(&f->record), JSON_DEPTH_MAX, &value) == ERR_OK);
    return ERR_OK;
}

static size_t read_all(enum otlp_signal signal, enum otlp_form form, struct str request)
{
    struct fuzz f = {.signal = signal};
    struct arena lasting;
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    buf_init(&f.record, RECORD_BYTES_MAX);
    arena_init(&f.arena);
    arena_init(&lasting);
    enum err error = otlp_read(signal, form, request, &lasting, on_item, &f, &detail);
    ASSERT(error == ERR_OK || detail.len > 0);
    arena_release(&lasting);
    arena_release(&f.arena);
    buf_release(&f.record);
    return f.bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    enum otlp_signal signal = (enum otlp_signal)(data[0] / 2 % OTLP_SIGNAL_COUNT);
    enum otlp_form form = data[0] % 2 ? OTLP_JSON : OTLP_PROTOBUF;
    struct str request = str_of((const char *)data + 1, size - 1);
    size_t once = read_all(signal, form, request);
    ASSERT(once == read_all(signal, form, request));
    return 0;
}
