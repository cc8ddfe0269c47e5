/* InitProducerId: a number that no other producer has. */
#include "kafka/kafka_int.h"
#include "os/random.h"

/* Random, so that none is given out twice without a record of those that were: 2^52, which are
 * exact in JavaScript's numbers too. */
enum { ID_BITS = 52 };

void kafka_on_init_producer_id(struct kafka_request *r)
{
    const struct kafka_init_producer_id_request *q = r->body;
    struct kafka_init_producer_id_response *response =
        KAFKA_NEW(&r->arena, init_producer_id_response, 1);
    if (q->transactional_id.ptr) /* transactions are not served: clients take this as final */
        response->error_code = KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    else
        response->producer_id = (int64_t)(os_random_u64() >> (64 - ID_BITS));
    if (response->error_code != KAFKA_NONE)
        response->producer_epoch = -1;
    kafka_reply(r, response);
}
