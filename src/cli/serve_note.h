/* What a server leaves in its data folder for `weir upgrade` (the file `server`, one line):
 *
 *   pid=4711 started=812345 version=0.1.0 refused=0
 *
 * started: the process's start in clock ticks since boot (proc(5)), so that another process of the
 * same number is never taken for it. refused: how many upgrades it refused. Written when the server
 * is ready, and removed when it stops without a successor. The main thread's. */
#ifndef WEIR_CLI_SERVE_NOTE_H
#define WEIR_CLI_SERVE_NOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { SERVE_NOTE_VERSION_BYTES = 64 };

struct serve_note {
    uint64_t pid;
    uint64_t started;
    uint64_t refused;
    char version[SERVE_NOTE_VERSION_BYTES];
};

/* Of this process. What cannot be written is said on standard error. */
void serve_note_write(struct str data_dir, uint64_t refused);
void serve_note_remove(struct str data_dir);
/* False: there is none. */
bool serve_note_read(struct str data_dir, struct serve_note *ret_note);
/* Is the process that left it still there? */
bool serve_note_lives(const struct serve_note *note);

#endif
