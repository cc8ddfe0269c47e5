/* A request's body as an engine reads it, for each of its tasks. */
#include "base/assert.h"
#include "model/local/engine_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(const struct engine_request *r)
{
    ASSERT(r->message_count > 0 || r->input_count > 0);
    ASSERT(r->message_count <= ENGINE_MESSAGES_MAX && r->input_count <= ENGINE_INPUTS_MAX);
    ASSERT(r->stop_count <= TEXT_STOPS_MAX && r->bias_count <= ENGINE_BIAS_MAX);
    ASSERT(r->sampling.temperature >= 0 && r->sampling.temperature <= 2);
    ASSERT(r->choices >= 1 && r->choices <= ENGINE_CHOICES_MAX);
    ASSERT(r->logprobs >= -1 && r->logprobs <= ENGINE_TOP_LOGPROBS_MAX);
    for (size_t i = 0; i < r->message_count; i++) {
        const struct engine_message *m = &r->messages[i];
        ASSERT(strlen(m->content.ptr) == m->content.len && strlen(m->role.ptr) == m->role.len);
    }
    for (size_t i = 0; i < r->input_count; i++)
        ASSERT(!r->inputs[i].tokens || r->inputs[i].token_count > 0);
    for (size_t i = 0; i < r->stop_count; i++)
        ASSERT(r->stops[i].len > 0 && r->stops[i].len <= TEXT_STOP_BYTES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct engine_sampling defaults = ENGINE_SAMPLING_DEFAULT;
    struct str body = str_of((const char *)data, size);
    for (int task = FRAME_TASK_CHAT; task <= FRAME_TASK_TOKENIZE; task++) {
        struct openai_problem problem = {.message = ""};
        struct engine_request r;
        if (engine_request_read((enum frame_task)task, body, &defaults, &r, &problem) != ERR_OK) {
            ASSERT(problem.message[0] && problem.type[0]);
            continue;
        }
        check_request(&r);
        engine_request_release(&r);
    }
    return 0;
}
