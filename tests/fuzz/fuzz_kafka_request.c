/* Requests of the Kafka protocol: any bytes, as any request in any version. The first two bytes
 * choose; what is read is written and read again. */
#include <stdint.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kafka/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void both_ways(const struct kafka_struct *of, int16_t version, bool flexible,
                      struct str bytes)
{
    struct arena arena;
    void *message = NULL;
    BUF_AUTO struct buf out = {.max = 64 << 20};
    BUF_AUTO struct buf again = {.max = 64 << 20};
    arena_init(&arena);
    if (kafka_read(of, version, flexible, bytes, &arena, &message) == ERR_OK) {
        struct kafka_writer w = {.out = &out, .version = version, .flexible = flexible};
        kafka_write(&w, of, message);
        ASSERT(out.error == ERR_OK);
        ASSERT(kafka_read(of, version, flexible, buf_str(&out), &arena, &message) == ERR_OK);
        w.out = &again;
        kafka_write(&w, of, message);
        ASSERT(str_eq(buf_str(&out), buf_str(&again)));
    }
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t count = 0;
    const struct kafka_api *apis = kafka_api_list(&count);
    struct kafka_header header;
    if (size < 2)
        return 0;
    const struct kafka_api *api = &apis[data[0] % count];
    int16_t version = (int16_t)(api->oldest + data[1] % (api->newest - api->oldest + 1));
    struct str bytes = str_of((const char *)data + 2, size - 2);
    both_ways(api->request, version, kafka_api_flexible(api, version), bytes);
    (void)!kafka_header_read(&bytes, &header);
    return 0;
}
