/* The structs of all messages, made from kafka/messages.txt: struct kafka_<api>_request, struct
 * kafka_<api>_response, and those within; enum kafka_key. */
#ifndef WEIR_KAFKA_MESSAGES_H
#define WEIR_KAFKA_MESSAGES_H

#include "kafka/messages.gen.h"

/* For kafka_new(): KAFKA_NEW(arena, fetch_response_partition, count). */
#define KAFKA_NEW(arena, name, count)                                                              \
    ((struct kafka_##name *)kafka_new(&kafka_##name##_struct, (arena), (size_t)(count)))

#endif
