/* A request's body as an engine reads it. */
#include "base/assert.h"
#include "model/local/engine_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct engine_sampling defaults = ENGINE_SAMPLING_DEFAULT;
    struct openai_problem problem = {.message = ""};
    struct engine_request r;
    if (engine_request_read(str_of((const char *)data, size), &defaults, &r, &problem) != ERR_OK) {
        ASSERT(problem.message[0] && problem.type[0]);
        return 0;
    }
    ASSERT(r.message_count > 0 && r.message_count <= ENGINE_MESSAGES_MAX);
    ASSERT(r.stop_count <= TEXT_STOPS_MAX && r.bias_count <= ENGINE_BIAS_MAX);
    ASSERT(r.sampling.temperature >= 0 && r.sampling.temperature <= 2);
    for (size_t i = 0; i < r.message_count; i++) {
        const struct engine_message *m = &r.messages[i];
        ASSERT(strlen(m->content.ptr) == m->content.len && strlen(m->role.ptr) == m->role.len);
    }
    for (size_t i = 0; i < r.stop_count; i++)
        ASSERT(r.stops[i].len > 0 && r.stops[i].len <= TEXT_STOP_BYTES_MAX);
    engine_request_release(&r);
    return 0;
}
