#include "model/local/answer.h"

#include "codec/json_write.h"

/* Names of models are file names: short. */
enum { LEAD_BYTES_MAX = 4096 };

void answer_init(struct answer *a, struct str id, struct str model, int64_t created_s, bool stream,
                 bool include_usage)
{
    struct json_writer w;
    *a = (struct answer){.stream = stream, .include_usage = include_usage};
    buf_init(&a->lead, LEAD_BYTES_MAX);
    buf_init(&a->text, ANSWER_TEXT_BYTES_MAX);
    if (stream)
        buf_append_str(&a->lead, STR("data: "));
    json_writer_init(&w, &a->lead);
    json_object_begin(&w);
    json_member_str(&w, STR("id"), id);
    json_member_str(&w, STR("object"),
                    stream ? STR("chat.completion.chunk") : STR("chat.completion"));
    json_member_i64(&w, STR("created"), created_s);
    json_member_str(&w, STR("model"), model);
    json_member_str(&w, STR("system_fingerprint"), STR("weir-" WEIR_VERSION));
}

void answer_release(struct answer *a)
{
    buf_release(&a->lead);
    buf_release(&a->text);
}

struct str answer_content_type(const struct answer *a)
{
    return a->stream ? STR("text/event-stream") : STR("application/json");
}

/* ---- Streams ---- */

static void chunk_end(const struct answer *a, struct buf *out)
{
    /* OpenAI has a null usage in every chunk when the last one has the real. */
    if (a->include_usage)
        buf_append_str(out, STR(",\"usage\":null"));
    buf_append_str(out, STR("}\n\n"));
}

static void chunk_text(const struct answer *a, struct str before, struct str text, struct buf *out)
{
    buf_append_str(out, buf_str(&a->lead));
    buf_append_str(out, STR(",\"choices\":[{\"index\":0,\"delta\":{"));
    buf_append_str(out, before);
    buf_append_str(out, STR("\"content\":\""));
    json_escape_append(out, text);
    buf_append_str(out, STR("\"},\"logprobs\":null,\"finish_reason\":null}]"));
    chunk_end(a, out);
}

static void usage_append(const struct answer_usage *usage, struct buf *out)
{
    buf_append_str(out, STR(",\"usage\":{\"prompt_tokens\":"));
    buf_append_u64(out, usage->prompt_tokens);
    buf_append_str(out, STR(",\"completion_tokens\":"));
    buf_append_u64(out, usage->completion_tokens);
    buf_append_str(out, STR(",\"total_tokens\":"));
    buf_append_u64(out, usage->prompt_tokens + usage->completion_tokens);
    buf_append_str(out, STR("}}"));
}

static void stream_end(struct answer *a, struct str reason, const struct answer_usage *usage,
                       struct buf *out)
{
    buf_append_str(out, buf_str(&a->lead));
    buf_append_str(
        out, STR(",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\""));
    buf_append_str(out, reason);
    buf_append_str(out, STR("\"}]"));
    chunk_end(a, out);
    if (a->include_usage) {
        buf_append_str(out, buf_str(&a->lead));
        buf_append_str(out, STR(",\"choices\":[]"));
        usage_append(usage, out);
        buf_append_str(out, STR("\n\n"));
    }
    buf_append_str(out, STR("data: [DONE]\n\n"));
}

/* ---- Both ---- */

void answer_begin(struct answer *a, struct buf *out)
{
    if (a->stream)
        chunk_text(a, STR("\"role\":\"assistant\","), STR(""), out);
}

void answer_text(struct answer *a, struct str text, struct buf *out)
{
    if (text.len == 0)
        return;
    if (a->stream)
        chunk_text(a, STR(""), text, out);
    else
        buf_append_str(&a->text, text);
}

void answer_end(struct answer *a, struct str reason, const struct answer_usage *usage,
                struct buf *out)
{
    if (a->stream) {
        stream_end(a, reason, usage, out);
        return;
    }
    buf_append_str(out, buf_str(&a->lead));
    buf_append_str(out, STR(",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                            "\"content\":\""));
    json_escape_append(out, buf_str(&a->text));
    buf_append_str(out, STR("\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\""));
    buf_append_str(out, reason);
    buf_append_str(out, STR("\"}]"));
    usage_append(usage, out);
}
