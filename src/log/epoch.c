/* A partition's leader-epoch-checkpoint, in Kafka's form: a line with the version, 0, a line with
 * the count, then lines of "epoch start-offset". With one broker an epoch ends only where a
 * recovery cut the log off: a client that has read beyond can find out (KIP-320). */
#include "log/log_int.h"

#include <stdio.h>

enum { CHECKPOINT_MAX_BYTES = 64 << 10 };

static void path_of(const struct log_part *part, char ret_path[OS_PATH_MAX])
{
    int n = snprintf(ret_path, OS_PATH_MAX, "%s/leader-epoch-checkpoint", part->dir);
    ASSERT(n > 0 && n < OS_PATH_MAX);
}

static void add(struct log_part *part, int64_t epoch, int64_t start)
{
    part->epochs = mem_resize(part->epochs, (part->epoch_count + 1) * sizeof *part->epochs);
    part->epochs[part->epoch_count++] = (struct log_epoch){(int32_t)epoch, start};
}

static enum err parse(struct log_part *part, struct str text)
{
    int64_t version = 0;
    int64_t count = 0;
    TRY(str_to_i64(str_split(&text, '\n'), &version));
    TRY(str_to_i64(str_split(&text, '\n'), &count));
    if (version != 0 || count < 0 || count > LOG_EPOCHS_MAX)
        return ERR_CORRUPT;
    for (int64_t i = 0; i < count; i++) {
        int64_t epoch = 0;
        int64_t start = 0;
        struct str line = str_split(&text, '\n');
        TRY(str_to_i64(str_split(&line, ' '), &epoch));
        TRY(str_to_i64(line, &start));
        if (epoch < 0 || epoch >= INT32_MAX || start < 0)
            return ERR_CORRUPT;
        if (i > 0 && (epoch <= part->epochs[i - 1].epoch || start < part->epochs[i - 1].start))
            return ERR_CORRUPT;
        add(part, epoch, start);
    }
    return count > 0 ? ERR_OK : ERR_CORRUPT;
}

enum err log_epochs_read(struct log_part *part)
{
    char path[OS_PATH_MAX];
    struct buf text BUF_AUTO;
    buf_init(&text, CHECKPOINT_MAX_BYTES);
    path_of(part, path);
    part->epoch_count = 0;
    enum err error = os_fs_read_file(part->log->fs, path, &text);
    if (error != ERR_OK && error != ERR_NOT_FOUND && error != ERR_TOO_LARGE)
        return error;
    if (error == ERR_OK)
        error = parse(part, buf_str(&text));
    if (error != ERR_OK) { /* it says nothing that the log needs */
        part->epoch_count = 0;
        add(part, 0, 0);
    }
    atomic_store(&part->leader_epoch, part->epochs[part->epoch_count - 1].epoch);
    return ERR_OK;
}

enum err log_epochs_write(struct log_part *part, bool sync)
{
    char path[OS_PATH_MAX];
    struct buf text BUF_AUTO;
    buf_init(&text, CHECKPOINT_MAX_BYTES);
    size_t first = part->epoch_count > LOG_EPOCHS_MAX ? part->epoch_count - LOG_EPOCHS_MAX : 0;
    buf_printf(&text, "0\n%zu\n", part->epoch_count - first);
    for (size_t i = first; i < part->epoch_count; i++)
        buf_printf(&text, "%d %lld\n", part->epochs[i].epoch, (long long)part->epochs[i].start);
    ASSERT(text.error == ERR_OK);
    path_of(part, path);
    if (sync)
        return os_fs_write_file(part->log->fs, path, buf_str(&text));
    struct os_file *file = NULL;
    TRY(os_file_open(part->log->fs, path, OS_OPEN_WRITE | OS_OPEN_CREATE | OS_OPEN_FRESH, &file));
    enum err error = os_file_write_str(file, buf_str(&text), 0);
    os_file_close(file);
    return error;
}

enum err log_epochs_begin(struct log_part *part)
{
    int32_t epoch = part->epochs[part->epoch_count - 1].epoch;
    if (epoch == INT32_MAX - 1)
        return ERR_OK; /* two thousand million cuts: stay */
    add(part, epoch + 1, part->next_offset);
    atomic_store(&part->leader_epoch, epoch + 1);
    return log_epochs_write(part, true);
}

void log_part_epoch_end(struct log_part *part, int32_t epoch, int32_t *ret_epoch,
                        int64_t *ret_end_offset)
{
    *ret_epoch = -1;
    *ret_end_offset = -1;
    if (epoch < 0 || epoch > log_part_leader_epoch(part))
        return;
    *ret_epoch = epoch;
    *ret_end_offset = log_part_end(part);
    for (size_t i = part->epoch_count; i-- > 0;) {
        if (part->epochs[i].epoch <= epoch) {
            *ret_epoch = part->epochs[i].epoch;
            return;
        }
        *ret_end_offset = part->epochs[i].start;
    }
}
