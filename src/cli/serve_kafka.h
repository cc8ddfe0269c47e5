/* What `weir serve` does about the Kafka protocol: its settings, and who may connect. */
#ifndef WEIR_CLI_SERVE_KAFKA_H
#define WEIR_CLI_SERVE_KAFKA_H

#include "call/gateway.h"
#include "config/config.h"
#include "kafka/server.h"

/* Listen as the configuration says. tls may be NULL. The gateway outlives the server. Where nobody
 * asked for the Kafka protocol and its port is taken, *ret_server is NULL and the log says so. */
MUST_CHECK enum err serve_kafka_open(struct gateway *gateway, const struct config *config,
                                     struct tls_context *tls, struct loop *const *loops,
                                     size_t loop_count, struct buf *detail,
                                     struct kafka_server **ret_server);

#endif
