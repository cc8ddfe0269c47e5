#include "dialect/otlp/value.h"

#include <math.h>

#include "codec/base64.h"

void otlp_double_write(struct json_writer *w, double value)
{
    if (isfinite(value)) {
        size_t before = w->out->len;
        json_double(w, value);
        struct str text = str_skip(buf_str(w->out), before);
        if (str_index(text, '.') < 0 && str_index(text, 'e') < 0)
            buf_append_str(w->out, STR(".0"));
        return;
    }
    json_str(w, isnan(value) ? STR("NaN") : value > 0 ? STR("Infinity") : STR("-Infinity"));
}

static void write_bytes(struct json_writer *w, struct str bytes)
{
    json_object_begin(w);
    json_key(w, STR("base64"));
    json_str_begin(w);
    base64_encode(bytes, w->out);
    json_str_end(w);
    json_object_end(w);
}

void otlp_value_write(struct json_writer *w, const struct otlp_value *v)
{
    switch (v->kind) {
    case OTLP_NONE: json_null(w); break;
    case OTLP_STRING: json_str(w, v->text); break;
    case OTLP_BYTES: write_bytes(w, v->text); break;
    case OTLP_BOOL: json_bool(w, v->flag); break;
    case OTLP_INT: json_i64(w, v->number); break;
    case OTLP_DOUBLE: otlp_double_write(w, v->real); break;
    case OTLP_ARRAY:
        json_array_begin(w);
        for (size_t i = 0; i < v->items->count; i++)
            otlp_value_write(w, &v->items->at[i].value);
        json_array_end(w);
        break;
    case OTLP_MAP: otlp_attributes_write(w, v->items); break;
    }
}

void otlp_attributes_write(struct json_writer *w, const struct otlp_attributes *a)
{
    json_object_begin(w);
    for (size_t i = 0; i < a->count; i++) {
        json_key(w, a->at[i].key);
        otlp_value_write(w, &a->at[i].value);
    }
    json_object_end(w);
}
