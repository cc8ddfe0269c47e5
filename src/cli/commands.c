#include "cli/commands.h"

/* In the order of `weir help`. */
/* clang-format off */
const struct cli_command *const cli_commands[] = {
    &cli_serve,
    &cli_chat,
    &cli_call,
    &cli_reprice,
    &cli_ledger,
    &cli_import,
    &cli_topic,
    &cli_group,
    &cli_model,
    &cli_alert,
    &cli_view,
    &cli_check,
    &cli_bench,
    &cli_mock,
    &cli_conformance,
    &cli_engine,
    &cli_upgrade,
    &cli_version,
    NULL,
};
/* clang-format on */
