#include "model/local/local.h"

#include "base/assert.h"
#include "base/mem.h"
#include "model/local/local_int.h"
#include "os/child.h"
#include "os/clock.h"
#include "os/file.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#define SCAN_PAUSE_US 1000000
#define SUFFIX        STR(".gguf")

const char *local_state_text(enum local_state state)
{
    static const char *const texts[] = {"unloaded", "loading", "ready", "failed"};
    return texts[state];
}

/* ---- The registry ---- */

static struct local_model *find(struct local_models *models, struct str name)
{
    size_t count = atomic_load_explicit(&models->model_count, memory_order_acquire);
    for (size_t i = 0; i < count; i++)
        if (str_eq(str_from_c(models->models[i]->name), name))
            return models->models[i];
    return NULL;
}

static struct local_model *add(struct local_models *models, struct str name)
{
    size_t count = atomic_load_explicit(&models->model_count, memory_order_relaxed);
    if (count == LOCAL_MODELS_MAX)
        return NULL;
    struct local_model *m = NEW(struct local_model);
    m->models = models;
    m->index = count;
    memcpy(m->name, name.ptr, name.len);
    m->links = mem_array(models->loop_count, sizeof *m->links);
    for (size_t i = 0; i < models->loop_count; i++)
        local_link_init(&m->links[i], &models->loops[i], m);
    local_engine_init(m);
    models->models[count] = m;
    atomic_store_explicit(&models->model_count, count + 1, memory_order_release);
    return m;
}

/* Of the file, also where its name is a link. */
static uint64_t file_bytes(const char *path, uint64_t otherwise)
{
    struct os_file *file;
    uint64_t bytes = otherwise;
    if (os_file_open(os_fs_machine(), path, 0, &file) != ERR_OK)
        return otherwise;
    if (os_file_size(file, &bytes) != ERR_OK)
        bytes = otherwise;
    os_file_close(file);
    return bytes;
}

struct scan {
    struct local_models *models;
    const char *dir;
};

static void scan_found(void *arg, struct str file, bool is_dir)
{
    struct scan *scan = arg;
    struct os_stat info;
    if (is_dir || !str_ends(file, SUFFIX) || file.len <= SUFFIX.len ||
        file.len - SUFFIX.len > LOCAL_NAME_BYTES_MAX || file.ptr[0] == '.')
        return;
    BUF_AUTO struct buf path;
    buf_init(&path, OS_PATH_MAX);
    buf_printf(&path, "%s/%.*s", scan->dir, STR_ARG(file));
    struct str name = str_take(file, file.len - SUFFIX.len);
    if (path.error != ERR_OK || os_fs_stat(os_fs_machine(), buf_cstr(&path), &info) != ERR_OK ||
        info.is_dir)
        return;
    uint64_t bytes = file_bytes(buf_cstr(&path), info.size_bytes);
    struct local_model *m = find(scan->models, name);
    if (!m)
        m = add(scan->models, name);
    if (!m)
        return;
    os_mutex_lock(&scan->models->lock);
    if (!m->path || !str_eq(str_from_c(m->path), buf_str(&path))) {
        mem_free(m->path);
        m->path = mem_strdup(path.ptr, path.len);
    }
    m->size_bytes = bytes;
    m->modified_ms = info.modified_ms;
    m->seen = true;
    atomic_store(&m->gone, false);
    os_mutex_unlock(&scan->models->lock);
}

/* The folder's path as it is now; the caller frees it. */
static char *folder(struct local_models *models)
{
    os_mutex_lock(&models->lock);
    char *dir = mem_strdup(models->options.dir.ptr, models->options.dir.len);
    os_mutex_unlock(&models->lock);
    return dir;
}

void local_models_scan(struct local_models *models)
{
    os_mutex_lock(&models->scanning);
    char *dir = folder(models);
    struct scan scan = {models, dir};
    atomic_store(&models->scanned_us, os_now_us());
    size_t count = atomic_load(&models->model_count);
    for (size_t i = 0; i < count; i++)
        models->models[i]->seen = false;
    /* A folder that is not there holds no models. */
    enum err ignored = os_fs_list(os_fs_machine(), scan.dir, scan_found, &scan);
    (void)ignored;
    for (size_t i = 0; i < count; i++)
        if (!models->models[i]->seen)
            atomic_store(&models->models[i]->gone, true);
    mem_free(dir);
    os_mutex_unlock(&models->scanning);
}

static bool scan_is_old(struct local_models *models)
{
    return os_now_us() - atomic_load(&models->scanned_us) > SCAN_PAUSE_US;
}

static bool is_here(const struct local_model *m)
{
    return m && !atomic_load(&m->gone);
}

struct local_model *local_model_of(struct local_models *models, struct str name)
{
    struct local_model *m = find(models, name);
    if (!is_here(m) && scan_is_old(models)) {
        local_models_scan(models);
        m = find(models, name);
    }
    return is_here(m) ? m : NULL;
}

/* ---- Life ---- */

static struct str copy(struct str s)
{
    return str_of(mem_strdup(s.ptr ? s.ptr : "", s.len), s.len);
}

static void free_copy(struct str s)
{
    union {
        const char *read_only;
        char *ours;
    } text = {s.ptr};
    mem_free(text.ours);
}

/* Texts are copied; program and lib_dir are kept from the first time. */
static void take_options(struct local_options *o, const struct local_options *from)
{
    o->dir = copy(from->dir);
    o->memory_bytes = from->memory_bytes;
    o->threads = from->threads;
    o->parallel = from->parallel;
    o->queue = from->queue;
}

enum err local_models_open(const struct local_options *options, struct local_models **ret_models)
{
    if (options->loop_count == 0 || options->loop_count > LOCAL_LOOPS_MAX)
        return ERR_INVALID;
    struct local_models *models = NEW(struct local_models);
    os_mutex_init(&models->scanning);
    os_mutex_init(&models->lock);
    models->options = *options;
    take_options(&models->options, options);
    models->options.lib_dir = copy(options->lib_dir);
    models->options.program = copy(options->program);
    models->options.loops = NULL;
    if (options->program.len == 0) {
        BUF_AUTO struct buf path;
        buf_init(&path, OS_PATH_MAX);
        enum err e = os_program_path(&path);
        free_copy(models->options.program);
        models->options.program = copy(e == ERR_OK ? buf_str(&path) : STR("/proc/self/exe"));
    }
    models->loop_count = options->loop_count;
    models->loops = mem_array(options->loop_count, sizeof *models->loops);
    for (size_t i = 0; i < options->loop_count; i++)
        models->loops[i] = (struct local_loop){models, options->loops[i], i, false};
    local_models_scan(models);
    *ret_models = models;
    return ERR_OK;
}

void local_models_configure(struct local_models *models, const struct local_options *options)
{
    os_mutex_lock(&models->lock);
    free_copy(models->options.dir);
    take_options(&models->options, options);
    os_mutex_unlock(&models->lock);
    local_models_scan(models);
}

void local_models_stop(struct local_models *models, size_t loop_index)
{
    struct local_loop *loop = &models->loops[loop_index];
    if (loop->stopped)
        return;
    loop->stopped = true;
    size_t count = atomic_load(&models->model_count);
    for (size_t i = 0; i < count; i++)
        local_link_stop(&models->models[i]->links[loop_index]);
    if (loop_index == 0)
        local_engines_stop(models);
}

static void wait_for(int pid)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

void local_models_free(struct local_models *models)
{
    if (!models)
        return;
    for (size_t i = 0; i < models->orphan_count; i++)
        wait_for(models->orphans[i]);
    size_t count = atomic_load(&models->model_count);
    for (size_t i = 0; i < count; i++) {
        ASSERT(models->models[i]->engine == NULL);
        mem_free(models->models[i]->links);
        mem_free(models->models[i]->path);
        mem_free(models->models[i]);
    }
    free_copy(models->options.dir);
    free_copy(models->options.lib_dir);
    free_copy(models->options.program);
    os_mutex_release(&models->lock);
    os_mutex_release(&models->scanning);
    mem_free(models->orphans);
    mem_free(models->loops);
    mem_free(models);
}

/* ---- What is known ---- */

static void describe(const struct local_model *m, struct local_model_info *info)
{
    *info = (struct local_model_info){
        .size_bytes = m->size_bytes,
        .modified_ms = m->modified_ms,
        .state = (enum local_state)atomic_load(&m->state),
        .pid = m->pid,
        .load_ms = m->load_ms,
        .context_tokens = m->context_tokens,
        .parallel = m->parallel,
        .uses = atomic_load(&m->uses) & ~LOCAL_LEAVING,
    };
    snprintf(info->name, sizeof info->name, "%s", m->name);
    if (info->state == LOCAL_FAILED)
        snprintf(info->reason, sizeof info->reason, "%s", m->reason);
}

static int compare_names(const void *a, const void *b)
{
    const struct local_model *const *left = a;
    const struct local_model *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

size_t local_models_list(struct local_models *models, struct local_model_info *ret_infos,
                         size_t max)
{
    const struct local_model *here[LOCAL_MODELS_MAX] = {NULL};
    size_t here_count = 0;
    if (scan_is_old(models))
        local_models_scan(models);
    os_mutex_lock(&models->lock);
    size_t count = atomic_load(&models->model_count);
    for (size_t i = 0; i < count; i++)
        if (is_here(models->models[i]))
            here[here_count++] = models->models[i];
    qsort(here, here_count, sizeof *here, compare_names);
    for (size_t i = 0; i < here_count && i < max; i++)
        describe(here[i], &ret_infos[i]);
    os_mutex_unlock(&models->lock);
    return here_count;
}

bool local_models_find(struct local_models *models, struct str name,
                       struct local_model_info *ret_info)
{
    struct local_model *m = local_model_of(models, name);
    if (!m)
        return false;
    os_mutex_lock(&models->lock);
    describe(m, ret_info);
    os_mutex_unlock(&models->lock);
    return true;
}

struct model_target local_models_target(struct local_models *models, size_t loop_index)
{
    ASSERT(loop_index < models->loop_count);
    return (struct model_target){&local_ops, &models->loops[loop_index]};
}

enum err local_models_unload(struct local_models *models, struct str name)
{
    struct local_model *m = local_model_of(models, name);
    if (!m)
        return ERR_NOT_FOUND;
    if (atomic_load(&m->uses) & ~LOCAL_LEAVING)
        return ERR_BUSY;
    local_engine_unload_later(m);
    return ERR_OK;
}
