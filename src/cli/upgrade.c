#include "cli/upgrade.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/say.h"
#include "net/listen.h"
#include "os/channel.h"
#include "os/child.h"
#include "os/clock.h"

#define VARIABLE "WEIR_UPGRADE"

enum {
    PREPARE_MS = 60000, /* for configuration and checks */
    READY_MS = 120000,  /* for opening the log, which may have to be recovered */
    TRIES_MAX = 3,      /* of our own program */
    FINISH_MS = 10000,  /* for the last records, when the last stream is over */
    POLL_US = 2000,
};

/* Messages of one byte. */
enum { PREPARED = 'P', GO = 'G', READY = 'R' };

struct upgrade {
    struct away *away;
    int channel;
    int pid;
};

static char program[4096];

void upgrade_init(void)
{
    BUF_AUTO struct buf path = {.max = sizeof program - 1};
    listen_keep();
    if (os_program_path(&path) == ERR_OK)
        (void)snprintf(program, sizeof program, "%.*s", STR_ARG(buf_str(&path)));
}

/* ---- Starting a successor ---- */

static enum err spawn(const char *path, int *ret_channel, int *ret_pid)
{
    int ends[2];
    int fds[1 + LISTEN_GROUPS_MAX * LISTEN_SOCKETS_MAX];
    BUF_AUTO struct buf variable = {.max = 65536};
    TRY(os_channel_pair(ends));
    fds[0] = ends[1];
    buf_printf(&variable, VARIABLE "=%d;", ends[1]);
    size_t count = 1 + listen_describe(&variable, fds + 1);
    enum err err = os_spawn_again(path, buf_cstr(&variable), fds, count, ret_pid);
    os_channel_close(ends[1]);
    if (err != ERR_OK) {
        os_channel_close(ends[0]);
        return err;
    }
    *ret_channel = ends[0];
    return ERR_OK;
}

static enum err expect(int channel, char wanted, uint32_t timeout_ms)
{
    char got = 0;
    TRY(os_channel_read(channel, &got, 1, timeout_ms));
    return got == wanted ? ERR_OK : ERR_PROTOCOL;
}

static void drop(struct upgrade *u, const char *why, enum err err)
{
    say("warn", "event=upgrade step=%s pid=%d error=\"%s\"", why, u->pid, err_text(err));
    os_spawned_kill(u->pid);
    os_channel_close(u->channel);
    u->channel = -1;
}

/* Up to where it waits for the log. */
static enum err prepare(struct upgrade *u, const char *path)
{
    enum err err = spawn(path, &u->channel, &u->pid);
    if (err != ERR_OK) {
        say("error", "event=upgrade step=start program=\"%s\" error=\"%s\"", path, err_text(err));
        return err;
    }
    say("info", "event=upgrade step=started program=\"%s\" pid=%d", path, u->pid);
    err = expect(u->channel, PREPARED, PREPARE_MS);
    if (err != ERR_OK)
        drop(u, "prepare", err);
    return err;
}

/* The log is free: it takes it, and serves. */
static enum err hand_over(struct upgrade *u)
{
    const char go = GO;
    enum err err = os_channel_write(u->channel, &go, 1);
    if (err == ERR_OK)
        err = expect(u->channel, READY, READY_MS);
    if (err == ERR_OK)
        err = away_send_to(u->away, u->channel);
    if (err != ERR_OK)
        drop(u, "hand_over", err);
    return err;
}

/* The successor died with the log: our own program again, in the place of it. */
static enum err replace(struct upgrade *u)
{
    enum err err = ERR_CLOSED;
    for (int i = 0; i < TRIES_MAX; i++) {
        err = prepare(u, "/proc/self/exe");
        if (err == ERR_OK)
            err = hand_over(u);
        if (err == ERR_OK)
            return ERR_OK;
    }
    return err;
}

enum upgrade_end upgrade_start(struct log *log, struct log_part *calls, struct away *away,
                               struct upgrade **ret_upgrade)
{
    struct upgrade *u = NEW(struct upgrade);
    *u = (struct upgrade){.away = away, .channel = -1};
    if (prepare(u, program) != ERR_OK) {
        mem_free(u);
        return UPGRADE_REFUSED;
    }
    away_begin(away);
    enum err err = log_retire(log);
    if (err != ERR_OK) {
        drop(u, "retire", err);
        mem_free(u);
        away_append_here(away, calls);
        return err == ERR_CLOSED ? UPGRADE_LOST : UPGRADE_REFUSED;
    }
    away_set_from(away, log_part_end(calls));
    if (hand_over(u) != ERR_OK) {
        err = log_resume(log);
        if (err == ERR_OK) {
            away_append_here(away, calls);
            mem_free(u);
            return UPGRADE_REFUSED;
        }
        say("warn", "event=upgrade step=resume error=\"%s\"", err_text(err));
        if (replace(u) != ERR_OK) {
            away_give_up(away);
            mem_free(u);
            return UPGRADE_LOST;
        }
    }
    say("info", "event=upgrade step=done pid=%d", u->pid);
    *ret_upgrade = u;
    return UPGRADE_DONE;
}

void upgrade_watch(struct upgrade *u)
{
    if (u->channel < 0 || !(away_is_broken(u->away) || os_spawned_ended(u->pid)))
        return;
    away_stop(u->away);
    drop(u, "watch", ERR_CLOSED);
    if (replace(u) != ERR_OK)
        away_give_up(u->away);
}

void upgrade_finish(struct upgrade *u)
{
    for (uint64_t end = os_now_us() + FINISH_MS * 1000ull;
         away_waiting(u->away) && os_now_us() < end;) {
        upgrade_watch(u);
        os_sleep_us(POLL_US);
    }
    away_stop(u->away);
    away_give_up(u->away);
    if (u->channel >= 0)
        os_channel_close(u->channel);
    mem_free(u);
}

/* ---- The new one ---- */

int upgrade_inherited(void)
{
    struct str sockets = str_from_c(getenv(VARIABLE));
    uint64_t fd;
    if (!sockets.len)
        return -1;
    if (str_to_u64(str_split(&sockets, ';'), &fd) != ERR_OK || fd > INT32_MAX ||
        listen_inherit(sockets) != ERR_OK)
        return -1;
    os_fd_close_on_exec((int)fd);
    (void)unsetenv(VARIABLE); /* not for our own children */
    return (int)fd;
}

enum err upgrade_wait_for_log(int channel)
{
    const char prepared = PREPARED;
    TRY(os_channel_write(channel, &prepared, 1));
    return expect(channel, GO, 0);
}

enum err upgrade_say_ready(int channel)
{
    const char ready = READY;
    return os_channel_write(channel, &ready, 1);
}
