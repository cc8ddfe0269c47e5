#include "cli/serve_note.h"

#include <stdio.h>
#include <unistd.h>

#include "cli/say.h"
#include "os/file.h"
#include "os/process.h"

static void path_of(struct str data_dir, struct buf *path)
{
    buf_init(path, OS_PATH_MAX);
    buf_printf(path, "%.*s/server", STR_ARG(data_dir));
}

void serve_note_write(struct str data_dir, uint64_t refused)
{
    struct buf path BUF_AUTO;
    struct buf line BUF_AUTO;
    uint64_t started = 0;
    path_of(data_dir, &path);
    buf_init(&line, 512);
    enum err err = os_process_started((uint32_t)getpid(), &started);
    buf_printf(&line, "pid=%d started=%llu version=%s refused=%llu\n", (int)getpid(),
               (unsigned long long)started, WEIR_VERSION, (unsigned long long)refused);
    if (err == ERR_OK)
        err = os_fs_write_file(os_fs_machine(), buf_cstr(&path), buf_str(&line));
    if (err != ERR_OK)
        say("warn", "event=start file=\"%s\" error=\"%s\" note=\"weir upgrade will not find this\"",
            buf_cstr(&path), err_text(err));
}

void serve_note_remove(struct str data_dir)
{
    struct buf path BUF_AUTO;
    path_of(data_dir, &path);
    enum err err = os_fs_remove(os_fs_machine(), buf_cstr(&path));
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        say("warn", "event=stop file=\"%s\" error=\"%s\"", buf_cstr(&path), err_text(err));
}

static void take_field(struct serve_note *note, struct str name, struct str value)
{
    uint64_t number = 0;
    if (str_eq(name, STR("version"))) {
        (void)snprintf(note->version, sizeof note->version, "%.*s",
                       STR_ARG(str_take(value, sizeof note->version - 1)));
        return;
    }
    if (str_to_u64(value, &number) != ERR_OK)
        return;
    if (str_eq(name, STR("pid")) && number <= INT32_MAX)
        note->pid = number;
    else if (str_eq(name, STR("started")))
        note->started = number;
    else if (str_eq(name, STR("refused")))
        note->refused = number;
}

bool serve_note_read(struct str data_dir, struct serve_note *ret_note)
{
    struct buf path BUF_AUTO;
    struct buf line BUF_AUTO;
    struct serve_note note = {.pid = 0};
    path_of(data_dir, &path);
    buf_init(&line, 4096);
    if (os_fs_read_file(os_fs_machine(), buf_cstr(&path), &line) != ERR_OK)
        return false;
    struct str lines = buf_str(&line);
    struct str rest = str_split(&lines, '\n');
    while (rest.ptr) {
        struct str value = str_split(&rest, ' ');
        struct str name = str_split(&value, '=');
        take_field(&note, name, value);
    }
    *ret_note = note;
    return note.pid > 1 && note.started > 0;
}

bool serve_note_lives(const struct serve_note *note)
{
    uint64_t started;
    return os_process_started((uint32_t)note->pid, &started) == ERR_OK && started == note->started;
}
