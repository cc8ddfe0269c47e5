/* A file's bytes as a GGUF header. */
#include "model/local/model_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err read_input(void *arg, uint64_t position, void *ret_bytes, size_t len)
{
    struct str *input = arg;
    if (position > input->len || len > input->len - position)
        return ERR_TRUNCATED;
    memcpy(ret_bytes, input->ptr + position, len);
    return ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    struct model_file_source source = {read_input, &input, size};
    struct model_file_facts facts;
    BUF_AUTO struct buf problem;
    buf_init(&problem, 4096);
    enum err e = model_file_check(&source, &problem, &facts);
    /* Every refusal says why; what passes has its data inside the file. */
    if ((e == ERR_OK) != (problem.len == 0) || (e == ERR_OK && facts.data_offset >= size))
        __builtin_trap();
    return 0;
}
