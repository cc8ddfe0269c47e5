/* /tokenize: a text's tokens, without decoding them. */
#include "codec/json_write.h"
#include "codec/utf8.h"
#include "model/local/engine_int.h"

enum { PIECE_BYTES_MAX = 4096 };

/* A piece that is not UTF-8 is shown as its bytes, as llama-server shows it. */
static void write_piece(struct json_writer *w, const struct engine_model *m, llama_token token)
{
    char room[PIECE_BYTES_MAX];
    int32_t n = llama.llama_token_to_piece(m->vocab, token, room, sizeof room, 0, true);
    struct str piece = str_of(room, n > 0 ? (size_t)n : 0);
    if (utf8_valid(piece)) {
        json_str(w, piece);
        return;
    }
    json_array_begin(w);
    for (size_t i = 0; i < piece.len; i++)
        json_u64(w, (unsigned char)piece.ptr[i]);
    json_array_end(w);
}

static void write_token(struct json_writer *w, const struct engine_use *use, llama_token token)
{
    if (!use->request.with_pieces) {
        json_i64(w, token);
        return;
    }
    json_object_begin(w);
    json_member_i64(w, STR("id"), token);
    json_key(w, STR("piece"));
    write_piece(w, &use->link->engine->model, token);
    json_object_end(w);
}

void engine_tokens_write(const struct engine_use *use, struct buf *out)
{
    struct json_writer w;
    const struct prompt *p = &use->prompts[0];
    json_writer_init(&w, out);
    json_object_begin(&w);
    json_member_i64(&w, STR("count"), p->count);
    json_key(&w, STR("tokens"));
    json_array_begin(&w);
    for (int32_t i = 0; i < p->count; i++)
        write_token(&w, use, p->tokens[i]);
    json_array_end(&w);
    json_object_end(&w);
}
