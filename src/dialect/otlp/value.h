/* OTLP values as JSON. */
#ifndef WEIR_DIALECT_OTLP_VALUE_H
#define WEIR_DIALECT_OTLP_VALUE_H

#include "codec/json_write.h"
#include "dialect/otlp/otlp.h"

/* Integers stay integers, doubles have a point or an exponent; what JSON has no number for is its
 * name as a text; bytes are {"base64": …}. */
void otlp_value_write(struct json_writer *w, const struct otlp_value *v);
/* An object; of equal keys all are written. */
void otlp_attributes_write(struct json_writer *w, const struct otlp_attributes *a);
void otlp_double_write(struct json_writer *w, double value);

#endif
