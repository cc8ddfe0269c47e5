/* A tree of nodes. Each has what programs see and what is on the disk:
 *
 *     file     bytes, size                 disk bytes, disk size, the range that differs
 *     folder   names                       disk names, and the changes between, in order
 *
 * A name's change on the disk is a prefix of the folder's changes, as with a journal; folders are
 * independent of each other and of their files' bytes. */
#include "os/sim_fs.h"

#include "base/assert.h"
#include "base/mem.h"
#include "os/clock.h"
#include "os/thread.h"

enum {
    SECTOR = 512,
    BLOCK = 4096,
};

struct node {
    bool is_dir;
    bool locked;
    bool unlinked; /* has no name that programs see: takes no space */
    int refs;      /* names and open files */
    int64_t modified_ms;
    /* A file. */
    char *bytes;
    uint64_t size;
    uint64_t capacity;
    char *disk;
    uint64_t disk_size;
    uint64_t disk_capacity;
    uint64_t dirty_from; /* [from, to) may differ from the disk's */
    uint64_t dirty_to;
    /* A folder. */
    struct names *names;
    struct names *disk_names;
    struct change *changes;
    size_t change_count;
};

struct name {
    char *text;
    struct node *node;
};

struct names {
    struct name *items;
    size_t count;
};

/* `from` goes, `to` comes to be node; either may be NULL. */
struct change {
    char *from;
    char *to;
    struct node *node;
};

struct sim_file {
    struct os_file file; /* first */
    struct node *node;
    uint64_t life; /* of the machine, when it was opened */
    bool has_lock;
};

struct sim_fs {
    struct os_fs table;
    struct os_mutex lock;
    struct node *root;
    uint64_t random;
    uint64_t life;
    bool down;
    bool killed; /* down, with everything kept */
    uint64_t crash_in;
    uint64_t counts[SIM_OP_COUNT];
    uint64_t fail_in[SIM_OP_COUNT];
    enum err fail_with[SIM_OP_COUNT];
    uint64_t limit;
    uint64_t used;
    uint64_t peak;
    void (*during_sync)(void *arg);
    void *during_sync_arg;
};

static uint64_t next_random(struct sim_fs *sim)
{
    uint64_t z = (sim->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t below(struct sim_fs *sim, uint64_t limit)
{
    return limit ? next_random(sim) % limit : 0;
}

/* Space --------------------------------------------------------------------------------------- */

static uint64_t blocks(uint64_t bytes)
{
    return (bytes + BLOCK - 1) / BLOCK * BLOCK;
}

static void account(struct sim_fs *sim, uint64_t before, uint64_t after)
{
    sim->used = sim->used - blocks(before) + blocks(after);
    if (sim->used > sim->peak)
        sim->peak = sim->used;
}

/* Nodes --------------------------------------------------------------------------------------- */

static struct node *node_new(bool is_dir)
{
    struct node *n = NEW(struct node);
    n->is_dir = is_dir;
    n->modified_ms = os_wall_us() / 1000;
    if (is_dir) {
        n->names = NEW(struct names);
        n->disk_names = NEW(struct names);
    }
    return n;
}

static void node_unref(struct sim_fs *sim, struct node *n);

static void names_free(struct sim_fs *sim, struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        node_unref(sim, names->items[i].node);
        mem_free(names->items[i].text);
    }
    mem_free(names->items);
    mem_free(names);
}

static void changes_free(struct sim_fs *sim, struct node *dir)
{
    for (size_t i = 0; i < dir->change_count; i++) {
        mem_free(dir->changes[i].from);
        mem_free(dir->changes[i].to);
        if (dir->changes[i].node)
            node_unref(sim, dir->changes[i].node);
    }
    mem_free(dir->changes);
    dir->changes = NULL;
    dir->change_count = 0;
}

/* Space is given back when neither programs nor the disk know the node: strict, as ext4 is. */
static void node_unref(struct sim_fs *sim, struct node *n)
{
    if (--n->refs > 0)
        return;
    if (n->is_dir) {
        names_free(sim, n->names);
        names_free(sim, n->disk_names);
        changes_free(sim, n);
    }
    mem_free(n->bytes);
    mem_free(n->disk);
    mem_free(n);
}

static size_t find_name(const struct names *names, const char *text)
{
    size_t i = 0;
    while (i < names->count && strcmp(names->items[i].text, text) != 0)
        i++;
    return i;
}

static void names_remove(struct sim_fs *sim, struct names *names, const char *text)
{
    size_t i = find_name(names, text);
    if (i == names->count)
        return;
    mem_free(names->items[i].text);
    node_unref(sim, names->items[i].node);
    names->items[i] = names->items[--names->count];
}

static void names_set(struct sim_fs *sim, struct names *names, const char *text, struct node *node)
{
    ASSERT(node != NULL);
    node->refs++;
    names_remove(sim, names, text);
    names->items = mem_resize(names->items, (names->count + 1) * sizeof *names->items);
    names->items[names->count++] = (struct name){mem_strdup(text, strlen(text)), node};
}

static void apply(struct sim_fs *sim, struct names *names, const struct change *c)
{
    if (c->from)
        names_remove(sim, names, c->from);
    if (c->to)
        names_set(sim, names, c->to, c->node);
}

static void change_names(struct sim_fs *sim, struct node *dir, const char *from, const char *to,
                         struct node *node)
{
    dir->changes = mem_resize(dir->changes, (dir->change_count + 1) * sizeof *dir->changes);
    struct change *c = &dir->changes[dir->change_count++];
    *c = (struct change){from ? mem_strdup(from, strlen(from)) : NULL,
                         to ? mem_strdup(to, strlen(to)) : NULL, node};
    if (node)
        node->refs++;
    apply(sim, dir->names, c);
}

/* Paths --------------------------------------------------------------------------------------- */

/* The folder that the path's last name is in, and that name ("" for the root). ERR_NOT_FOUND. */
static enum err resolve(struct sim_fs *sim, const char *path, struct node **ret_dir,
                        char ret_name[256])
{
    struct node *trail[64] = {sim->root};
    size_t depth = 0;
    struct str rest = str_from_c(path);
    ret_name[0] = 0;
    while (rest.ptr) {
        struct str part = str_split(&rest, '/');
        if (part.len == 0 || str_eq(part, STR(".")))
            continue;
        if (ret_name[0]) { /* the name before this one is a folder */
            size_t i = find_name(trail[depth]->names, ret_name);
            if (i == trail[depth]->names->count || !trail[depth]->names->items[i].node->is_dir)
                return ERR_NOT_FOUND;
            ASSERT(depth + 1 < 64);
            struct node *child = trail[depth]->names->items[i].node;
            trail[++depth] = child;
            ret_name[0] = 0;
        }
        if (str_eq(part, STR(".."))) {
            depth -= depth > 0;
            continue;
        }
        ASSERT(part.len < 256);
        memcpy(ret_name, part.ptr, part.len);
        ret_name[part.len] = 0;
    }
    *ret_dir = trail[depth];
    return ERR_OK;
}

static enum err find(struct sim_fs *sim, const char *path, struct node **ret_node)
{
    struct node *dir = NULL;
    char name[256];
    TRY(resolve(sim, path, &dir, name));
    if (!name[0]) {
        *ret_node = dir;
        return ERR_OK;
    }
    size_t i = find_name(dir->names, name);
    if (i == dir->names->count)
        return ERR_NOT_FOUND;
    *ret_node = dir->names->items[i].node;
    return ERR_OK;
}

/* Faults -------------------------------------------------------------------------------------- */

static bool changes_something(enum sim_op op)
{
    return op != SIM_READ && op != SIM_STAT && op != SIM_LIST && op != SIM_LOCK;
}

static enum err enter(struct sim_fs *sim, enum sim_op op)
{
    os_mutex_lock(&sim->lock);
    sim->counts[op]++;
    if (!sim->down && changes_something(op) && sim->crash_in > 0 && --sim->crash_in == 0)
        sim->down = true;
    if (sim->down)
        return ERR_IO;
    if (sim->fail_in[op] > 0 && --sim->fail_in[op] == 0)
        return sim->fail_with[op];
    return ERR_OK;
}

static enum err leave(struct sim_fs *sim, enum err error)
{
    os_mutex_unlock(&sim->lock);
    return error;
}

static struct sim_fs *sim_of(const struct os_fs *fs)
{
    return fs->arg;
}

static struct sim_file *sim_file_of(struct os_file *file)
{
    return (struct sim_file *)file;
}

static enum err enter_file(struct os_file *file, enum sim_op op)
{
    struct sim_fs *sim = sim_of(file->fs);
    enum err error = enter(sim, op);
    return error == ERR_OK && sim_file_of(file)->life != sim->life ? ERR_IO : error;
}

/* Files --------------------------------------------------------------------------------------- */

static void grow(char **bytes, uint64_t *capacity, uint64_t size)
{
    if (size <= *capacity)
        return;
    uint64_t larger = *capacity ? *capacity : BLOCK;
    while (larger < size)
        larger *= 2;
    *bytes = mem_resize(*bytes, larger);
    memset(*bytes + *capacity, 0, larger - *capacity);
    *capacity = larger;
}

static void mark_dirty(struct node *n, uint64_t from, uint64_t to)
{
    if (n->dirty_from == n->dirty_to) {
        n->dirty_from = from;
        n->dirty_to = to;
        return;
    }
    n->dirty_from = from < n->dirty_from ? from : n->dirty_from;
    n->dirty_to = to > n->dirty_to ? to : n->dirty_to;
}

static void resize(struct sim_fs *sim, struct node *n, uint64_t size)
{
    if (!n->unlinked)
        account(sim, n->size, size);
    if (size < n->size) {
        memset(n->bytes + size, 0, n->size - size);
        mark_dirty(n, size, n->size);
    } else {
        grow(&n->bytes, &n->capacity, size);
        mark_dirty(n, n->size, size);
    }
    n->size = size;
    n->modified_ms = os_wall_us() / 1000;
}

static enum err wrap(struct sim_fs *sim, struct node *node, bool has_lock,
                     struct os_file **ret_file)
{
    struct sim_file *f = NEW(struct sim_file);
    *f = (struct sim_file){{&sim->table, -1}, node, sim->life, has_lock};
    node->refs++;
    *ret_file = &f->file;
    return ERR_OK;
}

static enum err do_open(struct sim_fs *sim, const char *path, unsigned flags, bool lock,
                        struct os_file **ret_file)
{
    struct node *dir = NULL;
    char name[256];
    TRY(resolve(sim, path, &dir, name));
    size_t i = find_name(dir->names, name);
    struct node *n = i < dir->names->count ? dir->names->items[i].node : NULL;
    if (!n && !(flags & OS_OPEN_CREATE))
        return ERR_NOT_FOUND;
    if (!n) {
        n = node_new(false);
        change_names(sim, dir, NULL, name, n);
    } else if (flags & OS_OPEN_FRESH) {
        resize(sim, n, 0);
    }
    if (lock && n->locked)
        return ERR_IN_USE;
    n->locked = n->locked || lock;
    return wrap(sim, n, lock, ret_file);
}

static enum err sim_open(const struct os_fs *fs, const char *path, unsigned flags,
                         struct os_file **ret_file)
{
    struct sim_fs *sim = sim_of(fs);
    enum err error = enter(sim, SIM_OPEN);
    if (error == ERR_OK)
        error = do_open(sim, path, flags, false, ret_file);
    return leave(sim, error);
}

static enum err sim_lock(const struct os_fs *fs, const char *path, struct os_file **ret_file)
{
    struct sim_fs *sim = sim_of(fs);
    enum err error = enter(sim, SIM_LOCK);
    if (error == ERR_OK)
        error = do_open(sim, path, OS_OPEN_WRITE | OS_OPEN_CREATE, true, ret_file);
    return leave(sim, error);
}

static void sim_close(struct os_file *file)
{
    struct sim_fs *sim = sim_of(file->fs);
    struct sim_file *f = sim_file_of(file);
    os_mutex_lock(&sim->lock);
    if (f->has_lock && f->life == sim->life)
        f->node->locked = false;
    node_unref(sim, f->node);
    os_mutex_unlock(&sim->lock);
    mem_free(f);
}

static enum err sim_read(struct os_file *file, void *ret_bytes, size_t len, uint64_t position,
                         size_t *ret_read)
{
    struct node *n = sim_file_of(file)->node;
    enum err error = enter_file(file, SIM_READ);
    if (error == ERR_OK) {
        uint64_t left = position < n->size ? n->size - position : 0;
        size_t read = len < left ? len : (size_t)left;
        if (read > 0)
            memcpy(ret_bytes, n->bytes + position, read);
        *ret_read = read;
    }
    return leave(sim_of(file->fs), error);
}

static void put(struct sim_fs *sim, struct node *n, const char *bytes, uint64_t len,
                uint64_t position)
{
    if (len == 0)
        return;
    if (position + len > n->size)
        resize(sim, n, position + len);
    memcpy(n->bytes + position, bytes, len);
    mark_dirty(n, position, position + len);
    n->modified_ms = os_wall_us() / 1000;
}

/* How much of a write fits the disk. */
static uint64_t fitting(const struct sim_fs *sim, const struct node *n, uint64_t position,
                        uint64_t len)
{
    if (sim->limit == 0 || position + len <= n->size)
        return len;
    uint64_t free_bytes = sim->limit > sim->used ? sim->limit - sim->used : 0;
    uint64_t end = blocks(n->size) + free_bytes / BLOCK * BLOCK;
    if (position + len <= end)
        return len;
    return end > position ? end - position : 0;
}

static enum err sim_write(struct os_file *file, const struct iovec *parts, int count,
                          uint64_t position)
{
    struct sim_fs *sim = sim_of(file->fs);
    struct node *n = sim_file_of(file)->node;
    enum err error = enter_file(file, SIM_WRITE);
    uint64_t total = 0;
    for (int i = 0; i < count; i++)
        total += parts[i].iov_len;
    bool stale = sim_file_of(file)->life != sim->life;
    uint64_t allowed = error == ERR_OK ? fitting(sim, n, position, total) : below(sim, total + 1);
    if (stale)
        allowed = 0;
    if (error == ERR_OK && allowed < total)
        error = ERR_NO_SPACE;
    for (int i = 0; i < count && allowed > 0; i++) {
        uint64_t len = parts[i].iov_len < allowed ? parts[i].iov_len : allowed;
        put(sim, n, parts[i].iov_base, len, position);
        position += len;
        allowed -= len;
    }
    return leave(sim, error);
}

static void write_back(struct node *n)
{
    grow(&n->disk, &n->disk_capacity, n->size);
    if (n->size < n->disk_size)
        memset(n->disk + n->size, 0, n->disk_size - n->size);
    uint64_t to = n->dirty_to < n->size ? n->dirty_to : n->size;
    if (n->dirty_from < to)
        memcpy(n->disk + n->dirty_from, n->bytes + n->dirty_from, to - n->dirty_from);
    n->disk_size = n->size;
    n->dirty_from = n->dirty_to = 0;
}

/* What is on its way to the disk when others write: their bytes stay dirty. */
struct in_flight {
    char *bytes;
    uint64_t size, from, to;
};

static void write_back_in_flight(struct node *n, const struct in_flight *f)
{
    grow(&n->disk, &n->disk_capacity, f->size);
    if (f->size < n->disk_size)
        memset(n->disk + f->size, 0, n->disk_size - f->size);
    if (f->from < f->to)
        memcpy(n->disk + f->from, f->bytes + f->from, f->to - f->from);
    n->disk_size = f->size;
}

/* Lets others run while a datasync is under way. */
static enum err datasync_with_others(struct os_file *file)
{
    struct sim_fs *sim = sim_of(file->fs);
    struct node *n = sim_file_of(file)->node;
    enum err error = enter_file(file, SIM_DATASYNC);
    if (error != ERR_OK) {
        if (!sim->down)
            n->dirty_from = n->dirty_to = 0;
        return leave(sim, error);
    }
    struct in_flight f = {mem_alloc(n->size), n->size, n->dirty_from,
                          n->dirty_to < n->size ? n->dirty_to : n->size};
    if (n->size > 0)
        memcpy(f.bytes, n->bytes, n->size);
    n->dirty_from = n->dirty_to = 0;
    (void)leave(sim, ERR_OK);
    sim->during_sync(sim->during_sync_arg);
    os_mutex_lock(&sim->lock);
    error = sim->down ? ERR_IO : ERR_OK;
    if (error == ERR_OK)
        write_back_in_flight(n, &f);
    else if (f.from < f.to)
        mark_dirty(n, f.from, f.to); /* any part of it may have got there */
    mem_free(f.bytes);
    return leave(sim, error);
}

static enum err sim_datasync(struct os_file *file)
{
    if (sim_of(file->fs)->during_sync)
        return datasync_with_others(file);
    struct node *n = sim_file_of(file)->node;
    enum err error = enter_file(file, SIM_DATASYNC);
    if (error == ERR_OK)
        write_back(n);
    else if (!sim_of(file->fs)->down)
        n->dirty_from = n->dirty_to = 0; /* the kernel takes the pages for clean */
    return leave(sim_of(file->fs), error);
}

static enum err sim_truncate(struct os_file *file, uint64_t size_bytes)
{
    enum err error = enter_file(file, SIM_TRUNCATE);
    if (error == ERR_OK)
        resize(sim_of(file->fs), sim_file_of(file)->node, size_bytes);
    return leave(sim_of(file->fs), error);
}

static enum err sim_size(struct os_file *file, uint64_t *ret_bytes)
{
    enum err error = enter_file(file, SIM_STAT);
    if (error == ERR_OK)
        *ret_bytes = sim_file_of(file)->node->size;
    return leave(sim_of(file->fs), error);
}

/* Names --------------------------------------------------------------------------------------- */

static enum err sim_stat(const struct os_fs *fs, const char *path, struct os_stat *ret_stat)
{
    struct sim_fs *sim = sim_of(fs);
    struct node *n = NULL;
    enum err error = enter(sim, SIM_STAT);
    if (error == ERR_OK)
        error = find(sim, path, &n);
    if (error == ERR_OK)
        *ret_stat = (struct os_stat){n->size, blocks(n->size), n->modified_ms, n->is_dir};
    return leave(sim, error);
}

static enum err do_rename(struct sim_fs *sim, const char *from, const char *to)
{
    struct node *from_dir = NULL;
    struct node *to_dir = NULL;
    char from_name[256];
    char to_name[256];
    TRY(resolve(sim, from, &from_dir, from_name));
    TRY(resolve(sim, to, &to_dir, to_name));
    ASSERT(from_dir == to_dir && "renames over folders are two changes: not modelled");
    size_t i = find_name(from_dir->names, from_name);
    if (i == from_dir->names->count)
        return ERR_NOT_FOUND;
    size_t j = find_name(from_dir->names, to_name);
    if (j < from_dir->names->count) {
        account(sim, from_dir->names->items[j].node->size, 0);
        from_dir->names->items[j].node->unlinked = true;
    }
    change_names(sim, from_dir, from_name, to_name, from_dir->names->items[i].node);
    return ERR_OK;
}

static enum err sim_rename(const struct os_fs *fs, const char *from, const char *to)
{
    struct sim_fs *sim = sim_of(fs);
    enum err error = enter(sim, SIM_RENAME);
    if (error == ERR_OK)
        error = do_rename(sim, from, to);
    return leave(sim, error);
}

static enum err do_unlink(struct sim_fs *sim, const char *path, bool is_dir)
{
    struct node *dir = NULL;
    char name[256];
    TRY(resolve(sim, path, &dir, name));
    size_t i = find_name(dir->names, name);
    if (i == dir->names->count)
        return ERR_NOT_FOUND;
    struct node *n = dir->names->items[i].node;
    if (n->is_dir != is_dir || (is_dir && n->names->count > 0))
        return ERR_INVALID;
    account(sim, is_dir ? BLOCK : n->size, 0);
    n->unlinked = true;
    change_names(sim, dir, name, NULL, NULL);
    return ERR_OK;
}

static enum err sim_remove(const struct os_fs *fs, const char *path)
{
    struct sim_fs *sim = sim_of(fs);
    enum err error = enter(sim, SIM_REMOVE);
    if (error == ERR_OK)
        error = do_unlink(sim, path, false);
    return leave(sim, error);
}

static enum err sim_rmdir(const struct os_fs *fs, const char *path)
{
    struct sim_fs *sim = sim_of(fs);
    enum err error = enter(sim, SIM_RMDIR);
    if (error == ERR_OK)
        error = do_unlink(sim, path, true);
    return leave(sim, error);
}

static enum err do_mkdir(struct sim_fs *sim, const char *path)
{
    struct node *dir = NULL;
    char name[256];
    TRY(resolve(sim, path, &dir, name));
    if (!name[0] || find_name(dir->names, name) < dir->names->count)
        return ERR_EXISTS;
    change_names(sim, dir, NULL, name, node_new(true));
    account(sim, 0, BLOCK);
    return ERR_OK;
}

static enum err sim_mkdir(const struct os_fs *fs, const char *path)
{
    struct sim_fs *sim = sim_of(fs);
    enum err error = enter(sim, SIM_MKDIR);
    if (error == ERR_OK)
        error = do_mkdir(sim, path);
    return leave(sim, error);
}

/* Names are copied out, because found() may come back with another operation. */
static enum err sim_list(const struct os_fs *fs, const char *path, os_list_fn *found, void *arg)
{
    struct sim_fs *sim = sim_of(fs);
    struct node *dir = NULL;
    struct buf text BUF_AUTO;
    buf_init(&text, SIZE_MAX / 2);
    enum err error = enter(sim, SIM_LIST);
    if (error == ERR_OK)
        error = find(sim, path, &dir);
    if (error == ERR_OK && !dir->is_dir)
        error = ERR_INVALID;
    for (size_t i = 0; error == ERR_OK && i < dir->names->count; i++) {
        buf_append_char(&text, dir->names->items[i].node->is_dir ? 'd' : 'f');
        buf_append_str(&text, str_from_c(dir->names->items[i].text));
        buf_append_char(&text, 0);
    }
    (void)leave(sim, error);
    for (size_t at = 0; at < text.len; at += strlen(text.ptr + at) + 1)
        found(arg, str_from_c(text.ptr + at + 1), text.ptr[at] == 'd');
    return error;
}

static enum err sim_sync_dir(const struct os_fs *fs, const char *path)
{
    struct sim_fs *sim = sim_of(fs);
    struct node *dir = NULL;
    enum err error = enter(sim, SIM_SYNC_DIR);
    if (error == ERR_OK)
        error = find(sim, path, &dir);
    if (error == ERR_OK) {
        for (size_t i = 0; i < dir->change_count; i++)
            apply(sim, dir->disk_names, &dir->changes[i]);
        changes_free(sim, dir);
    }
    return leave(sim, error);
}

/* The end of power ---------------------------------------------------------------------------- */

/* What of the unsynced bytes got to the disk. */
static void settle_file(struct sim_fs *sim, struct node *n)
{
    uint64_t size = n->size > n->disk_size ? n->size : n->disk_size;
    size = n->dirty_to > size ? n->dirty_to : size;
    grow(&n->bytes, &n->capacity, size);
    grow(&n->disk, &n->disk_capacity, size);
    uint64_t mode = below(sim, 3);
    bool shrunk = n->size < n->disk_size;
    uint64_t from = n->dirty_from / SECTOR * SECTOR;
    uint64_t cut = from + below(sim, n->dirty_to - from + 1);
    for (uint64_t at = from; at < n->dirty_to && mode > 0; at += SECTOR) {
        uint64_t end = at + SECTOR < n->dirty_to ? at + SECTOR : n->dirty_to;
        end = mode == 1 && cut < end ? cut : end;
        bool keep = mode == 1 ? at < cut : below(sim, 2) == 0;
        if (keep && end > at)
            memcpy(n->disk + at, n->bytes + at, end - at);
    }
    if (mode == 1 && !shrunk && n->size > n->disk_size)
        n->disk_size = cut > n->disk_size ? (cut < n->size ? cut : n->size) : n->disk_size;
    else if (mode == 2 || (mode == 1 && shrunk && below(sim, 2)))
        n->disk_size = n->size;
    if (n->disk_size < size)
        memset(n->disk + n->disk_size, 0, size - n->disk_size);
    if (size > 0)
        memcpy(n->bytes, n->disk, size);
    n->size = n->disk_size;
    n->dirty_from = n->dirty_to = 0;
    n->locked = n->unlinked = false; /* it is reached through a name, so it has one */
}

static void settle(struct sim_fs *sim, struct node *n)
{
    if (!n->is_dir) {
        settle_file(sim, n);
        return;
    }
    size_t kept = below(sim, n->change_count + 1);
    for (size_t i = 0; i < kept; i++)
        apply(sim, n->disk_names, &n->changes[i]);
    struct names *before = n->names;
    n->names = NEW(struct names);
    for (size_t i = 0; i < n->disk_names->count; i++)
        names_set(sim, n->names, n->disk_names->items[i].text, n->disk_names->items[i].node);
    names_free(sim, before);
    changes_free(sim, n);
    for (size_t i = 0; i < n->names->count; i++)
        settle(sim, n->names->items[i].node);
}

static uint64_t usage(const struct node *n)
{
    if (!n->is_dir)
        return blocks(n->size);
    uint64_t total = BLOCK;
    for (size_t i = 0; i < n->names->count; i++)
        total += usage(n->names->items[i].node);
    return total;
}

static void unlock_all(struct node *n)
{
    n->locked = false;
    for (size_t i = 0; n->is_dir && i < n->names->count; i++)
        unlock_all(n->names->items[i].node);
}

void sim_fs_restart(struct sim_fs *sim)
{
    os_mutex_lock(&sim->lock);
    if (sim->down && !sim->killed)
        settle(sim, sim->root);
    unlock_all(sim->root);
    sim->down = sim->killed = false;
    sim->crash_in = 0;
    sim->life++;
    sim->used = usage(sim->root);
    os_mutex_unlock(&sim->lock);
}

/* The test's side ----------------------------------------------------------------------------- */

struct sim_fs *sim_fs_new(uint64_t seed)
{
    struct sim_fs *sim = NEW(struct sim_fs);
    os_mutex_init(&sim->lock);
    sim->random = seed;
    sim->life = 1;
    sim->root = node_new(true);
    sim->root->refs = 1;
    sim->used = BLOCK;
    sim->table = (struct os_fs){
        .arg = sim,
        .open = sim_open,
        .close = sim_close,
        .read = sim_read,
        .write = sim_write,
        .datasync = sim_datasync,
        .truncate = sim_truncate,
        .size = sim_size,
        .stat = sim_stat,
        .rename = sim_rename,
        .remove = sim_remove,
        .mkdir = sim_mkdir,
        .rmdir = sim_rmdir,
        .list = sim_list,
        .sync_dir = sim_sync_dir,
        .lock = sim_lock,
    };
    return sim;
}

void sim_fs_free(struct sim_fs *sim)
{
    node_unref(sim, sim->root);
    os_mutex_release(&sim->lock);
    mem_free(sim);
}

const struct os_fs *sim_fs_table(struct sim_fs *sim)
{
    return &sim->table;
}

const char *sim_op_name(enum sim_op op)
{
    static const char *const names[SIM_OP_COUNT] = {
        "open",   "read",  "write", "datasync", "truncate", "stat", "rename",
        "remove", "mkdir", "rmdir", "list",     "sync_dir", "lock"};
    return names[op];
}

void sim_fs_fail(struct sim_fs *sim, enum sim_op op, uint64_t nth, enum err error)
{
    os_mutex_lock(&sim->lock);
    sim->fail_in[op] = nth;
    sim->fail_with[op] = error;
    os_mutex_unlock(&sim->lock);
}

uint64_t sim_fs_count(struct sim_fs *sim, enum sim_op op)
{
    os_mutex_lock(&sim->lock);
    uint64_t count = sim->counts[op];
    os_mutex_unlock(&sim->lock);
    return count;
}

void sim_fs_crash_at(struct sim_fs *sim, uint64_t nth)
{
    os_mutex_lock(&sim->lock);
    sim->crash_in = nth;
    os_mutex_unlock(&sim->lock);
}

void sim_fs_crash(struct sim_fs *sim)
{
    os_mutex_lock(&sim->lock);
    sim->down = true;
    os_mutex_unlock(&sim->lock);
}

void sim_fs_kill(struct sim_fs *sim)
{
    os_mutex_lock(&sim->lock);
    sim->killed = sim->killed || !sim->down;
    sim->down = true;
    os_mutex_unlock(&sim->lock);
}

bool sim_fs_is_down(struct sim_fs *sim)
{
    os_mutex_lock(&sim->lock);
    bool down = sim->down;
    os_mutex_unlock(&sim->lock);
    return down;
}

void sim_fs_limit(struct sim_fs *sim, uint64_t bytes)
{
    os_mutex_lock(&sim->lock);
    sim->limit = bytes;
    os_mutex_unlock(&sim->lock);
}

uint64_t sim_fs_used(struct sim_fs *sim)
{
    os_mutex_lock(&sim->lock);
    uint64_t used = sim->used;
    os_mutex_unlock(&sim->lock);
    return used;
}

uint64_t sim_fs_peak(struct sim_fs *sim)
{
    os_mutex_lock(&sim->lock);
    uint64_t peak = sim->peak;
    os_mutex_unlock(&sim->lock);
    return peak;
}

void sim_fs_during_sync(struct sim_fs *sim, void (*fn)(void *arg), void *arg)
{
    sim->during_sync = fn;
    sim->during_sync_arg = arg;
}

bool sim_fs_flip(struct sim_fs *sim, const char *path, uint64_t position, uint8_t bits)
{
    struct node *n = NULL;
    os_mutex_lock(&sim->lock);
    bool there = find(sim, path, &n) == ERR_OK && !n->is_dir && position < n->size;
    if (there) {
        n->bytes[position] = (char)(n->bytes[position] ^ bits);
        if (position < n->disk_size)
            n->disk[position] = (char)(n->disk[position] ^ bits);
    }
    os_mutex_unlock(&sim->lock);
    return there;
}
