/* An append whose end is told to the loop that began it. */
#ifndef WEIR_KAFKA_APPEND_H
#define WEIR_KAFKA_APPEND_H

#include "log/log.h"

struct kafka_append {
    struct log_append append;             /* first; done and owner are kafka_append_init's */
    void (*then)(struct kafka_append *a); /* on the loop's thread */
};

#endif
