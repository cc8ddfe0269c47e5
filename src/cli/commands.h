/* One symbol a command; each is defined in the file of its name. A command without a summary is
 * internal. */
#ifndef WEIR_CLI_COMMANDS_H
#define WEIR_CLI_COMMANDS_H

#include "cli/cli.h"

extern const struct cli_command cli_bench;
extern const struct cli_command cli_conformance;
extern const struct cli_command cli_engine;
extern const struct cli_command cli_mock;
extern const struct cli_command cli_serve;
extern const struct cli_command cli_call;
extern const struct cli_command cli_chat;
extern const struct cli_command cli_check;
extern const struct cli_command cli_group;
extern const struct cli_command cli_import;
extern const struct cli_command cli_ledger;
extern const struct cli_command cli_model;
extern const struct cli_command cli_reprice;
extern const struct cli_command cli_topic;
extern const struct cli_command cli_alert;
extern const struct cli_command cli_view;
extern const struct cli_command cli_upgrade;
extern const struct cli_command cli_version;

#endif
