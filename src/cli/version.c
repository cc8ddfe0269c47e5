#include <stdio.h>

#include "cli/commands.h"

static int run(int argc, char **argv)
{
    struct cli_args args;
    switch (cli_parse(&cli_version, NULL, 0, argc, argv, &args)) {
    case CLI_HELP_SHOWN: return 0;
    case CLI_WRONG: return 2;
    case CLI_GO: break;
    }
    printf("weir %s\n", WEIR_VERSION);
    return 0;
}

const struct cli_command cli_version = {
    .name = "version",
    .usage = "weir version",
    .summary = "Print the version",
    .run = run,
};
