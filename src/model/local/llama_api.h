/* llama.cpp's C API, loaded at run time: only an engine process has it in memory, and the binary
 * needs neither it nor the C++ runtime to start.
 *
 * The libraries are those that the headers were taken from (deps/table has both): structures are
 * passed by value, so another version would read them wrong. llama_api_open holds llama_version()
 * against LLAMA_API_VERSION for that.
 *
 * One engine, one process: the table is filled once, before any other use, and never changes. */
#ifndef WEIR_MODEL_LOCAL_LLAMA_API_H
#define WEIR_MODEL_LOCAL_LLAMA_API_H

/* The headers are not ours: their warnings are not either. */
#include <llama.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define LLAMA_API_VERSION "0.5.0"

/* Every function that is used; from libllama.so. */
#define LLAMA_FUNCTIONS(X)                                                                         \
    X(llama_backend_init)                                                                          \
    X(llama_batch_free)                                                                            \
    X(llama_batch_init)                                                                            \
    X(llama_context_default_params)                                                                \
    X(llama_decode)                                                                                \
    X(llama_encode)                                                                                \
    X(llama_free)                                                                                  \
    X(llama_get_embeddings_seq)                                                                    \
    X(llama_get_logits_ith)                                                                        \
    X(llama_get_memory)                                                                            \
    X(llama_init_from_model)                                                                       \
    X(llama_log_set)                                                                               \
    X(llama_memory_clear)                                                                          \
    X(llama_memory_seq_rm)                                                                         \
    X(llama_model_chat_template)                                                                   \
    X(llama_model_default_params)                                                                  \
    X(llama_model_desc)                                                                            \
    X(llama_model_free)                                                                            \
    X(llama_model_get_vocab)                                                                       \
    X(llama_model_has_decoder)                                                                     \
    X(llama_model_has_encoder)                                                                     \
    X(llama_model_is_hybrid)                                                                       \
    X(llama_model_is_recurrent)                                                                    \
    X(llama_model_load_from_file)                                                                  \
    X(llama_model_meta_val_str)                                                                    \
    X(llama_model_n_cls_out)                                                                       \
    X(llama_model_n_ctx_train)                                                                     \
    X(llama_model_n_embd)                                                                          \
    X(llama_model_n_embd_out)                                                                      \
    X(llama_model_n_head)                                                                          \
    X(llama_model_n_head_kv)                                                                       \
    X(llama_model_n_layer)                                                                         \
    X(llama_model_n_params)                                                                        \
    X(llama_model_n_swa)                                                                           \
    X(llama_n_ctx_seq)                                                                             \
    X(llama_n_seq_max)                                                                             \
    X(llama_pooling_type)                                                                          \
    X(llama_sampler_accept)                                                                        \
    X(llama_sampler_apply)                                                                         \
    X(llama_sampler_chain_add)                                                                     \
    X(llama_sampler_chain_default_params)                                                          \
    X(llama_sampler_chain_init)                                                                    \
    X(llama_sampler_clone)                                                                         \
    X(llama_sampler_free)                                                                          \
    X(llama_sampler_init_dist)                                                                     \
    X(llama_sampler_init_grammar)                                                                  \
    X(llama_sampler_init_greedy)                                                                   \
    X(llama_sampler_init_min_p)                                                                    \
    X(llama_sampler_init_penalties)                                                                \
    X(llama_sampler_init_temp)                                                                     \
    X(llama_sampler_init_top_k)                                                                    \
    X(llama_sampler_init_top_p)                                                                    \
    X(llama_state_seq_get_data)                                                                    \
    X(llama_state_seq_get_size)                                                                    \
    X(llama_state_seq_set_data)                                                                    \
    X(llama_token_to_piece)                                                                        \
    X(llama_tokenize)                                                                              \
    X(llama_version)                                                                               \
    X(llama_vocab_bos)                                                                             \
    X(llama_vocab_eos)                                                                             \
    X(llama_vocab_get_add_bos)                                                                     \
    X(llama_vocab_get_add_eos)                                                                     \
    X(llama_vocab_get_add_sep)                                                                     \
    X(llama_vocab_sep)                                                                             \
    X(llama_vocab_get_attr)                                                                        \
    X(llama_vocab_is_eog)                                                                          \
    X(llama_vocab_n_tokens)                                                                        \
    X(llama_attach_threadpool)

/* From libggml.so, which libllama.so brings along. */
#define GGML_FUNCTIONS(X)                                                                          \
    X(ggml_backend_dev_by_type)                                                                    \
    X(ggml_backend_dev_backend_reg)                                                                \
    X(ggml_backend_load_all_from_path)                                                             \
    X(ggml_backend_reg_get_proc_address)                                                           \
    X(ggml_log_set)

struct llama_api {
#define FIELD(name) __typeof__(name) *name;
    LLAMA_FUNCTIONS(FIELD)
    GGML_FUNCTIONS(FIELD)
#undef FIELD
};

extern struct llama_api llama;

/* Load <dir>/libllama.so and the CPU backend that fits this machine best. ERR_NOT_FOUND,
 * ERR_UNSUPPORTED (version, or no backend for this CPU), with a line for people in problem. */
MUST_CHECK enum err llama_api_open(struct str dir, struct buf *problem);

/* The last errors that llama.cpp logged, as one line (it says why a file does not load). */
void llama_api_log_take(struct buf *out);

#endif
