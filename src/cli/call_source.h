/* Where commands read calls from: a running server, or a data folder. */
#ifndef WEIR_CLI_CALL_SOURCE_H
#define WEIR_CLI_CALL_SOURCE_H

#include "cli/remote.h"
#include "log/log.h"

/* Of one page, JSON. */
#define CALL_PAGE_BYTES_MAX ((size_t)128 << 20)

struct call_source {
    struct remote remote;
    struct str data;               /* empty: a server */
    struct str model, status, key; /* filters; empty: any */
    struct log *log;
    struct log_part *part; /* NULL: a server */
};

/* Opens the folder, if it is one. Returns an exit code; what is wrong has been printed. */
int call_source_open(struct call_source *s, const struct cli_command *command);
void call_source_close(struct call_source *s);
/* One page as the native API gives it, newest first. cursor: -1, or where the page before ended;
 * since_us: 0: any. Returns an exit code. */
int call_source_page(struct call_source *s, const struct cli_command *command, int64_t cursor,
                     int64_t since_us, uint64_t limit, struct buf *page);
/* The page's `calls`, and the cursor of the next one or -1. False when it is not understood. */
bool call_source_calls(struct str page, struct str *ret_calls, int64_t *ret_cursor);
/* --since; empty: 0. False after a message. */
bool call_source_since(const struct cli_command *command, struct str since, int64_t *ret_us);

#endif
