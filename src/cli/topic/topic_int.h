/* What the parts of `weir topic` share. */
#ifndef WEIR_CLI_TOPIC_TOPIC_INT_H
#define WEIR_CLI_TOPIC_TOPIC_INT_H

#include "cli/commands.h"
#include "cli/remote.h"
#include "log/log.h"

struct topic_command {
    struct remote remote;
    struct str data;       /* a folder to look at; empty: a server */
    struct str from;       /* offset, time, age, "start", "end"; empty: the sub-command's */
    struct str record_key; /* of what is written */
    uint64_t partition;
    uint64_t limit;
    bool json;
    bool records; /* dump them too */
    bool headed;  /* the table has its first line */
    struct log *log;
};

/* Look at the folder in c->data. Returns an exit code. */
int topic_open_data(struct topic_command *c, log_report_fn *report);

/* Sub-commands; each returns an exit code. */
int topic_verify(struct topic_command *c, struct str name);
int topic_dump(struct topic_command *c, struct str path);

#endif
