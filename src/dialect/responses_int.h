/* Private to src/dialect. */
#ifndef WEIR_DIALECT_RESPONSES_INT_H
#define WEIR_DIALECT_RESPONSES_INT_H

#include "dialect/dialect.h"

/* Where the target speaks the Responses API too. */
extern const struct dialect_watch responses_watch;

#endif
