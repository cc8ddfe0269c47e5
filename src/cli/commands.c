#include "cli/commands.h"

const struct cli_command *const cli_commands[] = {
    &cli_bench, &cli_engine, &cli_mock, &cli_version, NULL,
};
