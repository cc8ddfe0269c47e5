/* The engine without its process, its sockets and a gateway: what the split costs is the difference
 * to `weir serve`.
 *
 *     bench_engine MODEL LIB PROMPT_TOKENS ANSWER_TOKENS LEAD SEQUENCES…
 *
 * For each number of sequences one JSON line: tokens and seconds from the last prompt's end to the
 * first answer's, while all of them answer. LEAD: tokens that an answer is longer for each
 * sequence, since the first begins before the last prompt is read. One thread, as many sequences as
 * the largest number; greedy answers in a stream. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "model/local/engine_int.h"
#include "os/child.h"
#include "os/clock.h"

enum {
    STACK_BYTES = 64 << 20,
    SCRATCH_BYTES_MAX = 4 << 20,
    PROMPT_STRIDE = 131,
    CONTEXT_TOKENS_MAX = 100000
};
#define KV_BYTES ((uint64_t)512 << 20)

static void request(struct buf *body, unsigned number, long prompt, long answer)
{
    buf_reset(body);
    buf_printf(body, "{\"prompt\":[");
    for (long i = 0; i < prompt; i++)
        buf_printf(body, "%s%ld", i ? "," : "", 1000 + (number * PROMPT_STRIDE + i * 7) % 8000);
    buf_printf(body, "],\"max_tokens\":%ld,\"temperature\":0,\"ignore_eos\":true,\"stream\":true}",
               answer);
}

static unsigned answering(const struct engine *e)
{
    unsigned n = 0;
    for (unsigned i = 0; i < e->model.parallel; i++)
        n += e->slots[i].seq && e->slots[i].seq->state == SEQ_ANSWER;
    return n;
}

static long generated(const struct engine *e)
{
    long n = 0;
    for (unsigned i = 0; i < e->model.parallel; i++)
        n += e->slots[i].seq ? (long)e->slots[i].seq->generated : 0;
    return n;
}

static void round_once(struct engine *e)
{
    if (!engine_decode(e))
        exit(1);
    buf_reset(&e->links[0].out); /* what the socket would take */
}

static void give_window(struct engine *e)
{
    for (struct engine_use *use = e->links[0].uses; use; use = use->link_next)
        use->window = FRAME_WINDOW_BYTES;
}

static void measure(struct engine *e, unsigned sequences, long prompt, long answer)
{
    static unsigned number;
    static uint64_t id;
    BUF_AUTO struct buf body;
    buf_init(&body, 1 << 20);
    for (unsigned i = 0; i < sequences; i++) {
        request(&body, ++number, prompt, answer);
        const struct frame_start start = {.task = FRAME_TASK_COMPLETION};
        engine_use_start(&e->links[0], ++id, &start, buf_str(&body));
    }
    while (answering(e) < sequences) {
        if (!engine_has_work(e)) {
            fprintf(stderr, "an answer ended before the last began: LEAD is too short\n");
            exit(1);
        }
        round_once(e);
    }
    long before = generated(e), after = before;
    uint64_t start_us = os_now_us(), end_us = start_us;
    while (answering(e) == sequences) {
        after = generated(e);
        end_us = os_now_us();
        give_window(e);
        round_once(e);
    }
    while (engine_has_work(e))
        round_once(e);
    printf("{\"sequences\": %u, \"tokens\": %ld, \"seconds\": %.6f}\n", sequences, after - before,
           (double)(end_us - start_us) / 1e6);
    fflush(stdout);
}

static long number(const char *text)
{
    uint64_t value;
    if (str_to_u64(str_from_c(text), &value) == ERR_OK && value > 0 && value < CONTEXT_TOKENS_MAX)
        return (long)value;
    fprintf(stderr, "'%s' is not a number of 1 to %d\n", text, CONTEXT_TOKENS_MAX - 1);
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc < 7)
        return fprintf(stderr,
                       "usage: %s MODEL LIB PROMPT_TOKENS ANSWER_TOKENS LEAD SEQUENCES...\n",
                       argv[0]),
               2;
    BUF_AUTO struct buf problem;
    buf_init(&problem, 4096);
    os_child_grow_stack(STACK_BYTES);
    unsigned parallel = 1;
    for (int i = 6; i < argc; i++)
        parallel = (unsigned)number(argv[i]) > parallel ? (unsigned)number(argv[i]) : parallel;
    const struct engine_options options = {
        .name = STR("bench"), .link_count = 1, .queue = 8, .parallel = parallel};
    struct engine e = {.options = &options};
    struct engine_model_options model = {.path = str_from_c(argv[1]),
                                         .lib_dir = str_from_c(argv[2]),
                                         .threads = 1,
                                         .parallel = parallel,
                                         .kv_bytes = KV_BYTES};
    if (engine_model_load(&model, &problem, &e.model) != ERR_OK)
        return fprintf(stderr, "%s\n", buf_cstr(&problem)), 1;
    engine_prepare(&e);
    e.links = NEW(struct engine_link);
    e.links[0] = (struct engine_link){.engine = &e, .fd = -1};
    buf_init(&e.links[0].out, SIZE_MAX);
    for (int i = 6; i < argc; i++)
        measure(&e, (unsigned)number(argv[i]), number(argv[3]),
                number(argv[4]) + number(argv[5]) * number(argv[i]));
    buf_release(&e.links[0].out);
    mem_free(e.links);
    engine_finish(&e);
    return 0;
}
