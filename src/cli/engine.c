/* `weir engine`: a loaded local model as a process. The gateway starts it; it is of no use to
 * people. */
#include "model/local/engine.h"
#include "cli/commands.h"

static struct str model, name, lib, threads, parallel, queue, kv_bytes, fd, links;

static const struct cli_option options[] = {
    {.name = "--model", .value_name = "FILE", .help = "GGUF file", .value = &model},
    {.name = "--name", .value_name = "NAME", .help = "the model's name", .value = &name},
    {.name = "--lib", .value_name = "DIR", .help = "where libllama.so is", .value = &lib},
    {.name = "--threads", .value_name = "N", .help = "threads that compute", .value = &threads},
    {.name = "--parallel", .value_name = "N", .help = "sequences at once", .value = &parallel},
    {.name = "--queue", .value_name = "N", .help = "requests that wait", .value = &queue},
    {.name = "--kv-bytes", .value_name = "N", .help = "memory of contexts", .value = &kv_bytes},
    {.name = "--fd", .value_name = "N", .help = "first socket's descriptor", .value = &fd},
    {.name = "--links", .value_name = "N", .help = "how many sockets", .value = &links},
};

static bool number(const char *option, struct str text, uint64_t otherwise, uint64_t min,
                   uint64_t max, uint64_t *ret_number)
{
    *ret_number = otherwise;
    return !text.ptr || cli_number(&cli_engine, option, text, min, max, ret_number);
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    uint64_t n_threads, n_parallel, n_queue, n_kv, n_fd, n_links;
    switch (cli_parse(&cli_engine, options, sizeof options / sizeof *options, argc, argv, &args)) {
    case CLI_HELP_SHOWN: return 0;
    case CLI_WRONG: return 2;
    case CLI_GO: break;
    }
    if (!model.ptr || !fd.ptr)
        return cli_fail(&cli_engine, 2, "it is started by weir serve, with --model and --fd");
    if (!number("--threads", threads, 1, 1, ENGINE_THREADS_MAX, &n_threads) ||
        !number("--parallel", parallel, 1, 1, ENGINE_PARALLEL_MAX, &n_parallel) ||
        !number("--queue", queue, 0, 0, ENGINE_QUEUE_MAX, &n_queue) ||
        !number("--kv-bytes", kv_bytes, 512 << 20, 1, UINT64_MAX / 2, &n_kv) ||
        !number("--fd", fd, 3, 3, 4096, &n_fd) ||
        !number("--links", links, 1, 1, ENGINE_LINKS_MAX, &n_links))
        return 2;
    const struct engine_options o = {.model_path = model,
                                     .name = name.ptr ? name : model,
                                     .lib_dir = lib,
                                     .threads = (unsigned)n_threads,
                                     .parallel = (unsigned)n_parallel,
                                     .queue = (unsigned)n_queue,
                                     .kv_bytes = n_kv,
                                     .first_fd = (int)n_fd,
                                     .link_count = (unsigned)n_links};
    return engine_run(&o);
}

const struct cli_command cli_engine = {
    .name = "engine",
    .usage = "weir engine --model FILE --fd N [options]",
    .run = run,
};
