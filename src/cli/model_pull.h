/* `weir model pull`: a file or a URL into the folder of models. */
#ifndef WEIR_CLI_MODEL_PULL_H
#define WEIR_CLI_MODEL_PULL_H

#include "cli/cli.h"

struct model_pull {
    struct str source; /* a path, http:// or https:// */
    struct str name;   /* of the model; empty: the source's last part */
    struct str dir;
    struct str sha256; /* of the whole file, hex; empty: not checked */
    struct str ca;     /* certificates to trust instead of the system's; empty: those */
};

/* Returns the exit code; says what went wrong. What was fetched of a broken transfer stays in
 * NAME.gguf.part, and the next pull goes on from there. */
int model_pull_run(const struct cli_command *command, const struct model_pull *pull);

#endif
