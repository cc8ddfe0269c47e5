/* Health probes: a GET at each provider that has `health`, by one loop for all of them.
 *
 *   timer ─> GET path (without the key) ─ status below 500 ─> up     two in a row that
 *     ^                                 └ none, or above ───> fail   fail: down
 *     └── every_ms after the last began ──┘
 *
 * On that loop's thread; the settings are held until it is freed. */
#ifndef WEIR_CALL_HEALTH_H
#define WEIR_CALL_HEALTH_H

#include "call/gateway.h"

struct health;

/* Begin. A host that libuv refuses is not probed: its provider stays up. */
struct health *health_new(struct loop *loop, struct http_client *client, struct tls_context *tls,
                          struct settings *settings);
/* NULL is fine. */
void health_free(struct health *h);

#endif
