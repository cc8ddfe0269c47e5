/* Is a file a whole GGUF file, as far as its header says? Looked at before llama.cpp sees it, with
 * every count and length held against the file's size: a damaged, cut or hostile header is an error
 * with the place and the numbers, never memory that is not there.
 *
 *   "GGUF" │ u32 version │ u64 tensors │ u64 pairs │ pairs… │ infos… │ pad │ tensor data
 *
 *   pair:    string key │ u32 type │ value              string: u64 length │ bytes
 *   info:    string name │ u32 dimensions │ u64 each │ u32 type │ u64 offset into the data
 *
 * Source: ggml/docs/gguf.md of ggml. Versions 2 and 3, little-endian. */
#ifndef WEIR_MODEL_LOCAL_MODEL_FILE_H
#define WEIR_MODEL_LOCAL_MODEL_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    MODEL_FILE_PAIRS_MAX = 65536,
    MODEL_FILE_TENSORS_MAX = 65536,
    MODEL_FILE_KEY_BYTES_MAX = 1024, /* keys and names of tensors */
    MODEL_FILE_DIMENSIONS_MAX = 4,
    MODEL_FILE_HEADER_BYTES_MAX = 512 << 20, /* of all before the tensor data */
};

/* Where the bytes are. */
struct model_file_source {
    /* Read len bytes at position; less than that is an error. */
    enum err (*read)(void *arg, uint64_t position, void *ret_bytes, size_t len);
    void *arg;
    uint64_t size_bytes;
};

struct model_file_facts {
    char architecture[64]; /* general.architecture */
    uint64_t tensors;
    uint64_t pairs;
    uint64_t data_offset; /* where the tensor data begins */
};

/* ERR_CORRUPT or ERR_UNSUPPORTED (a version) with one line for people appended to problem, or what
 * read returned. */
MUST_CHECK enum err model_file_check(const struct model_file_source *source, struct buf *problem,
                                     struct model_file_facts *ret_facts);

#endif
