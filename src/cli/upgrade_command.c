/* `weir upgrade`: have a running server replaced by the program that is now in its file's place,
 * and wait until that serves (cli/upgrade.h says how they do it).
 *
 *   read DATA/server ─> SIGUSR2 ─> look at DATA/server until another process has written it */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/serve_note.h"
#include "codec/json_write.h"
#include "os/clock.h"

enum { POLL_US = 20000, TIMEOUT_DEFAULT_S = 180, TIMEOUT_MAX_S = 86400 };

struct upgrade_command {
    struct str data;
    struct str timeout_text;
    uint64_t timeout_s;
    bool json;
};

static const struct cli_command *const command = &cli_upgrade;

static int print_done(const struct upgrade_command *u, const struct serve_note *before,
                      const struct serve_note *after, uint64_t took_us)
{
    struct buf line BUF_AUTO;
    struct json_writer w;
    if (!u->json) {
        printf("weir %s (pid %llu) serves in the place of weir %s (pid %llu), after %.1f s; the "
               "old one finishes its streams\n",
               after->version, (unsigned long long)after->pid, before->version,
               (unsigned long long)before->pid, (double)took_us / 1e6);
        return 0;
    }
    buf_init(&line, 4096);
    json_writer_init(&w, &line);
    json_object_begin(&w);
    json_member_u64(&w, STR("pid"), after->pid);
    json_member_str(&w, STR("version"), str_from_c(after->version));
    json_member_u64(&w, STR("pid_before"), before->pid);
    json_member_str(&w, STR("version_before"), str_from_c(before->version));
    json_member_u64(&w, STR("took_ms"), took_us / 1000);
    json_object_end(&w);
    printf("%s\n", buf_cstr(&line));
    return 0;
}

static int wait_for_successor(const struct upgrade_command *u, const struct serve_note *before)
{
    uint64_t begun_us = os_now_us();
    uint64_t end_us = begun_us + u->timeout_s * 1000000;
    for (;;) {
        struct serve_note now;
        bool lives = serve_note_lives(before); /* first: what it wrote before its end is seen */
        bool read = serve_note_read(u->data, &now);
        bool other = read && (now.pid != before->pid || now.started != before->started);
        if (other && serve_note_lives(&now))
            return print_done(u, before, &now, os_now_us() - begun_us);
        if (read && !other && now.refused > before->refused)
            return cli_fail(command, 1,
                            "refused, and pid %llu serves on: the new program did not start (its "
                            "configuration?), or the process before still finishes its streams; "
                            "the server's own log says which (event=upgrade)",
                            (unsigned long long)before->pid);
        if (!lives)
            return cli_fail(command, 1,
                            "pid %llu has ended and nobody serves in its place; see its log, and "
                            "start the server again",
                            (unsigned long long)before->pid);
        if (os_now_us() >= end_us)
            return cli_fail(command, 1, "no successor serves after %llu s; see the server's log",
                            (unsigned long long)u->timeout_s);
        os_sleep_us(POLL_US);
    }
}

static int upgrade(const struct upgrade_command *u)
{
    struct serve_note before;
    if (!serve_note_read(u->data, &before) || !serve_note_lives(&before))
        return cli_fail(command, 1,
                        "no server runs on the data folder %.*s: name its folder with --data",
                        STR_ARG(u->data));
    if (kill((int)before.pid, SIGUSR2) != 0)
        return cli_fail(command, 1, "pid %llu cannot be signalled: %s",
                        (unsigned long long)before.pid, strerror(errno));
    return wait_for_successor(u, &before);
}

static int run(int argc, char **argv)
{
    struct upgrade_command u = {.data = STR("./weir-data"), .timeout_s = TIMEOUT_DEFAULT_S};
    struct cli_args args;
    const struct cli_option options[] = {
        {"--data", "DIR", "the server's data folder; default ./weir-data", .value = &u.data},
        {"--timeout", "S", "how long to wait until the new one serves (180)",
         .value = &u.timeout_text},
        {"--json", NULL, "say it as a JSON object", .flag = &u.json},
    };
    switch (cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &args)) {
    case CLI_HELP_SHOWN: return 0;
    case CLI_WRONG: return 2;
    case CLI_GO: break;
    }
    if (args.count)
        return cli_fail(command, 2, "'%.*s' is not an option; see `weir upgrade --help`",
                        STR_ARG(args.words[0]));
    if (u.timeout_text.len &&
        !cli_number(command, "--timeout", u.timeout_text, 1, TIMEOUT_MAX_S, &u.timeout_s))
        return 2;
    return upgrade(&u);
}

const struct cli_command cli_upgrade = {
    .name = "upgrade",
    .usage = "weir upgrade [--data DIR] [--timeout S]",
    .summary = "Let a new program take over from a running server",
    .details =
        "Put the new program in the place of the old one first (mv, not cp over it). It gets "
        "the running server's\n"
        "options, and must be run by the same user or root. No connection is refused and no "
        "record lost.\n"
        "Exit codes: 0 the new one serves; 1 it does not (the old one serves on, or the "
        "message says otherwise); 2 wrong usage.",
    .run = run,
};
