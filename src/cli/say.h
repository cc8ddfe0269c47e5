/* What a running server says: one key=value line each on standard error. */
#ifndef WEIR_CLI_SAY_H
#define WEIR_CLI_SAY_H

#include "base/str.h"

/* "time=… level=LEVEL <format>": format gives the rest, "event=… …". Control characters become
 * spaces. Any thread; one line is one write. */
void say(const char *level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#endif
