/* Errors: one enum for the whole program, one table (errors.def) for what each means outside.
 *
 * A function that can fail returns `enum err`; outputs come last, are named ret_x and stay
 * untouched on failure. Libraries never log and never exit: the edge that knows the request says it
 * once. */
#ifndef WEIR_BASE_ERR_H
#define WEIR_BASE_ERR_H

#define MUST_CHECK __attribute__((warn_unused_result))

enum err {
#define ERR(name, text, http, kafka, exit) ERR_##name,
#include "base/errors.def"
#undef ERR
    ERR_COUNT
};

/* Human text, without a final stop. Never NULL, also for values outside the enum. */
const char *err_text(enum err e);
/* The enum's name in lower case ("too_large"), stable: scripts may match on it. */
const char *err_name(enum err e);
/* HTTP status that an API answers with. */
int err_http_status(enum err e);
/* Kafka protocol error code. */
int err_kafka_code(enum err e);
/* Exit code of a command that fails with it (see the contract: 1 failed, 2 usage, 3 data folder).
 */
int err_exit_code(enum err e);
/* Translate an errno value (positive); unknown ones become ERR_IO. */
enum err err_from_errno(int errnum);

/* Return from the calling function when the expression fails. */
#define TRY(expr)                                                                                  \
    do {                                                                                           \
        enum err try_err_ = (expr);                                                                \
        if (try_err_ != ERR_OK)                                                                    \
            return try_err_;                                                                       \
    } while (0)

#endif
