/* Embeddings: the same text always has the same vector, of length 1. */
#include <math.h>

#include "cli/mock/mock_dialect.h"
#include "codec/base64.h"

/* FNV-1a, then a xorshift walk. */
static void make_vector(struct str text, float *ret_vector, uint32_t dimensions)
{
    uint64_t state = 0xcbf29ce484222325u;
    double square = 0;
    for (size_t i = 0; i < text.len; i++)
        state = (state ^ (unsigned char)text.ptr[i]) * 0x100000001b3u;
    state |= 1;
    for (uint32_t i = 0; i < dimensions; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ret_vector[i] = (float)((double)(state >> 11) * 0x1p-52 - 1);
        square += (double)ret_vector[i] * (double)ret_vector[i];
    }
    for (uint32_t i = 0; i < dimensions; i++)
        ret_vector[i] = (float)((double)ret_vector[i] / sqrt(square));
}

void mock_vector_append(const struct mock_ask *ask, size_t i, struct buf *out)
{
    static float vector[MOCK_DIMENSIONS_MAX]; /* one thread */
    make_vector(ask->inputs[i], vector, ask->dimensions);
    if (ask->base64) {
        buf_append_char(out, '"');
        base64_encode(str_of((const char *)vector, ask->dimensions * sizeof vector[0]), out);
        buf_append_char(out, '"');
        return;
    }
    for (uint32_t d = 0; d < ask->dimensions; d++)
        buf_printf(out, "%c%.9g", d == 0 ? '[' : ',', (double)vector[d]);
    buf_append_char(out, ']');
}
