#include "kafka/messages.h"

#include "kafka/messages.gen.inc"

const struct kafka_api *kafka_api_list(size_t *ret_count)
{
    *ret_count = sizeof apis / sizeof apis[0];
    return apis;
}

const struct kafka_api *kafka_api_find(int16_t key)
{
    for (size_t i = 0; i < sizeof apis / sizeof apis[0]; i++)
        if (apis[i].key == key)
            return &apis[i];
    return NULL;
}
