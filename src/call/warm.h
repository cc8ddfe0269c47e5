/* Answers of before the start, read back from the log into the caches. */
#ifndef WEIR_CALL_WARM_H
#define WEIR_CALL_WARM_H

#include "call/gateway.h"

struct warmer;

/* Begin in the background, newest first, as far back as the longest ttl or until the caches are
 * full. NULL when no model has a cache. */
struct warmer *warmer_start(struct gateway *g);
/* Stop, finished or not. NULL is fine. */
void warmer_stop(struct warmer *w);

#endif
