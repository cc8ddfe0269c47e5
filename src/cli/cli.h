/* What the commands share: options, help, exit codes. Commands may print and return an exit code: 0
 * done, 1 failed, 2 wrong usage or configuration, 3 the data folder is damaged or in use. */
#ifndef WEIR_CLI_CLI_H
#define WEIR_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

/* One option: a flag when value_name is NULL. Given more than once, a value option with max > 1
 * keeps them all in order; otherwise the last one counts. */
struct cli_option {
    const char *name;       /* "--limit" */
    const char *value_name; /* "N" */
    const char *help;       /* one line, without a final stop */
    bool *flag;             /* set when a flag was given */
    struct str *value;      /* array of max values, points into argv */
    size_t max;             /* 0 means 1 */
    size_t *count;          /* may be NULL */
};

struct cli_command {
    const char *name;    /* "call" */
    const char *usage;   /* "weir call list|show ID|tail [options]", may have several lines */
    const char *summary; /* one line for `weir help` */
    const char *details; /* more text for --help, or NULL */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

struct cli_args {
    struct str words[16]; /* what is not an option, in order */
    size_t count;
};

enum cli_parsed { CLI_GO, CLI_HELP_SHOWN, CLI_WRONG };

/* Read argv[1…] by the options. `--name value` and `--name=value`; `--` ends options. On
 * CLI_HELP_SHOWN the command returns 0; on CLI_WRONG it returns 2, and the mistake has been printed
 * to standard error. */
enum cli_parsed cli_parse(const struct cli_command *command, const struct cli_option *options,
                          size_t option_count, int argc, char **argv, struct cli_args *ret_args);

/* Print `weir NAME: message` to standard error, and return the exit code. */
int cli_fail(const struct cli_command *command, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Numbers and durations in options: a mistake is printed with the option's name; false then. */
bool cli_number(const struct cli_command *command, const char *option, struct str value,
                uint64_t min, uint64_t max, uint64_t *ret_number);

/* Every command, for `weir help`; ends with a NULL name. In src/cli/commands.c. */
extern const struct cli_command *const cli_commands[];

/* Run `weir argv[1] …`. */
int cli_main(int argc, char **argv);

#endif
