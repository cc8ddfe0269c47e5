/* Any JSON Schema becomes a grammar or a refusal with a reason; any pattern likewise. */
#include "base/assert.h"
#include "model/local/schema_grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    BUF_AUTO struct buf grammar;
    BUF_AUTO struct buf problem;
    buf_init(&grammar, SCHEMA_GRAMMAR_BYTES_MAX);
    buf_init(&problem, 1000);
    enum err e =
        schema_grammar_add(str_of((const char *)data, size), STR("root"), &grammar, &problem);
    ASSERT((e == ERR_OK) == (problem.len == 0) || problem.error != ERR_OK);
    ASSERT(e != ERR_OK || str_find(buf_str(&grammar), STR("root ::= root-0\n")) >= 0);
    return 0;
}
