/* Which of a target's response headers go on to the client. */
#ifndef WEIR_CALL_HEADERS_H
#define WEIR_CALL_HEADERS_H

#include <stdbool.h>

#include "base/str.h"

/* An allow-list: what describes the body, what clients' libraries act on (when to retry, limits),
 * and the provider's own names for the request. All else stays: cookies, what its proxies and
 * caches say, policies for a browser, and names that would pass for Weir's. */
bool call_header_goes_back(struct str name);

#endif
