#include "model/local/llama_api.h"

#include <dlfcn.h>

struct llama_api llama;

/* The beginning of what was logged as an error since it was taken. */
static struct buf errors;

enum { ERRORS_BYTES_MAX = 600 };

/* llama.cpp logs from several threads only while it loads or computes, which the engine's one
 * thread waits for; its errors come from that thread. */
static void on_log(enum ggml_log_level level, const char *text, void *arg)
{
    (void)arg;
    if (level != GGML_LOG_LEVEL_ERROR)
        return;
    struct str line = str_from_c(text);
    while (line.len && line.ptr[line.len - 1] == '\n')
        line.len--;
    if (errors.len + line.len + 2 > ERRORS_BYTES_MAX)
        return;
    if (errors.len)
        buf_append(&errors, "; ", 2);
    buf_append_str(&errors, line);
}

void llama_api_log_take(struct buf *out)
{
    buf_append_str(out, buf_str(&errors));
    buf_reset(&errors);
}

/* dlsym's object pointer as a function pointer, the way POSIX has it. */
static bool resolve(void *library, const char *name, void *field, struct buf *problem)
{
    void *symbol = dlsym(library, name);
    if (!symbol) {
        buf_printf(problem, "llama.cpp's library has no function '%s'", name);
        return false;
    }
    memcpy(field, &symbol, sizeof symbol);
    return true;
}

static bool resolve_all(void *library, struct buf *problem)
{
#define RESOLVE(name)                                                                              \
    if (!resolve(library, #name, &llama.name, problem))                                            \
        return false;
    LLAMA_FUNCTIONS(RESOLVE)
    GGML_FUNCTIONS(RESOLVE)
#undef RESOLVE
    return true;
}

enum err llama_api_open(struct str dir, struct buf *problem)
{
    BUF_AUTO struct buf path;
    buf_init(&path, 4096);
    buf_init(&errors, ERRORS_BYTES_MAX);
    buf_printf(&path, "%.*s/libllama.so", STR_ARG(dir));
    void *library = dlopen(buf_cstr(&path), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        buf_printf(problem, "cannot load llama.cpp: %s", dlerror());
        return ERR_NOT_FOUND;
    }
    if (!resolve_all(library, problem))
        return ERR_UNSUPPORTED;
    llama.llama_log_set(on_log, NULL);
    llama.ggml_log_set(on_log, NULL);
    if (!str_starts(str_from_c(llama.llama_version()), STR(LLAMA_API_VERSION))) {
        buf_printf(problem, "%s is version %s of llama.cpp; this program was built for %s",
                   buf_cstr(&path), llama.llama_version(), LLAMA_API_VERSION);
        return ERR_UNSUPPORTED;
    }
    if (!llama.ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)) {
        buf_reset(&path);
        buf_append_str(&path, dir);
        llama.ggml_backend_load_all_from_path(buf_cstr(&path));
    }
    if (!llama.ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)) {
        buf_printf(problem, "no library in %.*s runs on this machine's CPU", STR_ARG(dir));
        return ERR_UNSUPPORTED;
    }
    llama.llama_backend_init();
    return ERR_OK;
}
