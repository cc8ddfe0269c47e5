#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>

static void print_options(const struct cli_option *options, size_t count)
{
    printf("\nOptions:\n");
    for (size_t i = 0; i < count; i++) {
        char left[64];
        (void)snprintf(left, sizeof left, "%s%s%s", options[i].name,
                       options[i].value_name ? " " : "",
                       options[i].value_name ? options[i].value_name : "");
        printf("  %-24s %s\n", left, options[i].help);
    }
    printf("  %-24s %s\n", "--help", "show this text");
}

static void print_help(const struct cli_command *command, const struct cli_option *options,
                       size_t count)
{
    printf("%s\n\nUsage: %s\n", command->summary, command->usage);
    if (command->details)
        printf("\n%s\n", command->details);
    print_options(options, count);
}

static const struct cli_option *find_option(const struct cli_option *options, size_t count,
                                            struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(str_from_c(options[i].name), name))
            return &options[i];
    return NULL;
}

static const struct cli_option *nearest_option(const struct cli_option *options, size_t count,
                                               struct str name)
{
    const struct cli_option *best = NULL;
    unsigned best_distance = 3;
    for (size_t i = 0; i < count; i++) {
        unsigned distance = str_distance(str_from_c(options[i].name), name);
        if (distance < best_distance) {
            best_distance = distance;
            best = &options[i];
        }
    }
    return best;
}

static enum cli_parsed unknown_option(const struct cli_command *command,
                                      const struct cli_option *options, size_t count,
                                      struct str name)
{
    const struct cli_option *near = nearest_option(options, count, name);
    if (near)
        cli_fail(command, 2, "unknown option '%.*s', did you mean '%s'?", STR_ARG(name),
                 near->name);
    else
        cli_fail(command, 2, "unknown option '%.*s'; see `weir %s --help`", STR_ARG(name),
                 command->name);
    return CLI_WRONG;
}

static bool keep_value(const struct cli_option *option, struct str value)
{
    size_t max = option->max ? option->max : 1;
    if (max == 1 || !option->count) {
        *option->value = value;
        return true;
    }
    if (*option->count == max)
        return false;
    option->value[(*option->count)++] = value;
    return true;
}

/* Take the option at argv[*at], and its value; *at is left on the last word used. */
static enum cli_parsed take_option(const struct cli_command *command,
                                   const struct cli_option *options, size_t count, int argc,
                                   char **argv, int *at)
{
    struct str word = str_from_c(argv[*at]);
    ptrdiff_t equals = str_index(word, '=');
    struct str name = equals > 0 ? str_take(word, (size_t)equals) : word;
    const struct cli_option *option = find_option(options, count, name);
    if (!option)
        return unknown_option(command, options, count, name);
    if (!option->value_name) {
        if (equals > 0) {
            cli_fail(command, 2, "option '%s' takes no value", option->name);
            return CLI_WRONG;
        }
        *option->flag = true;
        return CLI_GO;
    }
    struct str value;
    if (equals > 0) {
        value = str_skip(word, (size_t)equals + 1);
    } else if (*at + 1 < argc) {
        value = str_from_c(argv[++*at]);
    } else {
        cli_fail(command, 2, "option '%s' needs a value: %s %s", option->name, option->name,
                 option->value_name);
        return CLI_WRONG;
    }
    if (!keep_value(option, value)) {
        cli_fail(command, 2, "option '%s' given more than %zu times", option->name, option->max);
        return CLI_WRONG;
    }
    return CLI_GO;
}

static enum cli_parsed take_word(const struct cli_command *command, const char *word,
                                 struct cli_args *args)
{
    if (args->count == sizeof args->words / sizeof args->words[0]) {
        cli_fail(command, 2, "too many words, from '%s' on", word);
        return CLI_WRONG;
    }
    args->words[args->count++] = str_from_c(word);
    return CLI_GO;
}

enum cli_parsed cli_parse(const struct cli_command *command, const struct cli_option *options,
                          size_t option_count, int argc, char **argv, struct cli_args *ret_args)
{
    struct cli_args args = {.count = 0};
    bool words_only = false;
    for (int i = 1; i < argc; i++) {
        struct str word = str_from_c(argv[i]);
        enum cli_parsed parsed;
        if (!words_only && (str_eq(word, STR("--help")) || str_eq(word, STR("-h")))) {
            print_help(command, options, option_count);
            return CLI_HELP_SHOWN;
        }
        if (!words_only && str_eq(word, STR("--"))) {
            words_only = true;
            continue;
        }
        if (!words_only && word.len > 1 && word.ptr[0] == '-')
            parsed = take_option(command, options, option_count, argc, argv, &i);
        else
            parsed = take_word(command, argv[i], &args);
        if (parsed != CLI_GO)
            return parsed;
    }
    *ret_args = args;
    return CLI_GO;
}

int cli_fail(const struct cli_command *command, int exit_code, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "weir %s: ", command->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return exit_code;
}

bool cli_number(const struct cli_command *command, const char *option, struct str value,
                uint64_t min, uint64_t max, uint64_t *ret_number)
{
    uint64_t number;
    if (str_to_u64(value, &number) != ERR_OK || number < min || number > max) {
        cli_fail(command, 2, "option '%s': '%.*s' is not a whole number from %llu to %llu", option,
                 STR_ARG(value), (unsigned long long)min, (unsigned long long)max);
        return false;
    }
    *ret_number = number;
    return true;
}

static void print_commands(FILE *to)
{
    fprintf(to, "Weir: the operations layer for applications built on large language models.\n\n"
                "Usage: weir COMMAND [options]\n\nCommands:\n");
    for (size_t i = 0; cli_commands[i]; i++)
        if (cli_commands[i]->summary)
            fprintf(to, "  %-10s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    fprintf(to, "\n`weir COMMAND --help` explains each.\n");
}

static int unknown_command(struct str name)
{
    const char *near = NULL;
    unsigned best = 3;
    for (size_t i = 0; cli_commands[i]; i++) {
        unsigned distance = str_distance(str_from_c(cli_commands[i]->name), name);
        if (cli_commands[i]->summary && distance < best) {
            best = distance;
            near = cli_commands[i]->name;
        }
    }
    if (near)
        fprintf(stderr, "weir: unknown command '%.*s', did you mean '%s'?\n", STR_ARG(name), near);
    else
        fprintf(stderr, "weir: unknown command '%.*s'; see `weir help`\n", STR_ARG(name));
    return 2;
}

int cli_main(int argc, char **argv)
{
    struct str name = argc > 1 ? str_from_c(argv[1]) : STR_NONE;
    if (argc < 2) {
        print_commands(stderr);
        return 2;
    }
    if (str_eq(name, STR("help")) || str_eq(name, STR("--help")) || str_eq(name, STR("-h"))) {
        print_commands(stdout);
        return 0;
    }
    if (str_eq(name, STR("--version")))
        name = STR("version");
    for (size_t i = 0; cli_commands[i]; i++)
        if (str_eq(str_from_c(cli_commands[i]->name), name))
            return cli_commands[i]->run(argc - 1, argv + 1);
    return unknown_command(name);
}
