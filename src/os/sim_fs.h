/* A disk in memory that fails as disks and kernels do, from a seed. For tests only; behind the same
 * table as the machine's (os/file.h).
 *
 * What is written is in the "page cache" until a datasync, and a name that is made, changed or
 * removed is in the folder's until a sync_dir. A power failure keeps of the unsynced bytes of each
 * file either nothing, or what came first, or any 512-byte sectors, and of the unsynced names of
 * each folder those up to some moment. A process's death keeps everything.
 *
 * Any thread may use the table; what is below is for the test's thread. */
#ifndef WEIR_OS_SIM_FS_H
#define WEIR_OS_SIM_FS_H

#include "os/file.h"

enum sim_op {
    SIM_OPEN,
    SIM_READ,
    SIM_WRITE,
    SIM_DATASYNC,
    SIM_TRUNCATE,
    SIM_STAT,
    SIM_RENAME,
    SIM_REMOVE,
    SIM_MKDIR,
    SIM_RMDIR,
    SIM_LIST,
    SIM_SYNC_DIR,
    SIM_LOCK,
    SIM_OP_COUNT
};

struct sim_fs;

struct sim_fs *sim_fs_new(uint64_t seed);
/* Files that are still open may only be closed afterwards. */
void sim_fs_free(struct sim_fs *sim);
const struct os_fs *sim_fs_table(struct sim_fs *sim);
const char *sim_op_name(enum sim_op op);

/* Let the nth operation of a kind from now on (1: the next) fail, once. A write that fails may have
 * written a part; a datasync that fails has lost what it should have written, and the next one says
 * nothing of it. nth 0: none fails. */
void sim_fs_fail(struct sim_fs *sim, enum sim_op op, uint64_t nth, enum err error);
/* How many of a kind there were. */
uint64_t sim_fs_count(struct sim_fs *sim, enum sim_op op);
/* Lose power at the nth operation from now on that changes something: it and all later ones are
 * ERR_IO. 0: never. */
void sim_fs_crash_at(struct sim_fs *sim, uint64_t nth);
/* Lose power now. */
void sim_fs_crash(struct sim_fs *sim);
/* The process dies: everything is ERR_IO from now on, but nothing of what was written is lost. */
void sim_fs_kill(struct sim_fs *sim);
bool sim_fs_is_down(struct sim_fs *sim);
/* Come up again. Files that are open stay ERR_IO. */
void sim_fs_restart(struct sim_fs *sim);
/* ERR_NO_SPACE when files would take more, in blocks of 4 KiB; 0: no limit. */
void sim_fs_limit(struct sim_fs *sim, uint64_t bytes);
/* What files and folders take now, in blocks of 4 KiB, and the most they ever took. */
uint64_t sim_fs_used(struct sim_fs *sim);
uint64_t sim_fs_peak(struct sim_fs *sim);
/* Have fn called in the middle of every datasync, which then covers only what was written before:
 * other threads write meanwhile on a real machine. NULL: no more. */
void sim_fs_during_sync(struct sim_fs *sim, void (*fn)(void *arg), void *arg);
/* Change bits of a byte, on the disk and in the cache. False when the file has no such byte. */
bool sim_fs_flip(struct sim_fs *sim, const char *path, uint64_t position, uint8_t bits);

#endif
