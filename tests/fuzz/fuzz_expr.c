/* Conditions: any text is a mistake that lies in it, or a condition that has an answer. The input
 * is the condition, a zero byte, and the metadata that it is asked about. */
#include <stdlib.h>

#include "config/expr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = str_of((const char *)data, size);
    struct str metadata = input;
    struct str text = str_split(&metadata, 0);
    struct expr_facts facts = {.model = STR("smart"),
                               .endpoint = STR("chat"),
                               .key = STR("web"),
                               .user = str_take(text, 3),
                               .tokens = (int64_t)size};
    struct expr_mistake wrong;
    struct expr *e;
    struct arena a;
    arena_init(&a);
    if (json_validate(metadata, 16, &facts.metadata) != ERR_OK)
        facts.metadata = (struct json_value){.kind = JSON_NONE};
    if (expr_parse(text, &a, &e, &wrong) != ERR_OK) {
        if (wrong.at > text.len || !wrong.what[0])
            abort();
    } else {
        bool once = expr_holds(e, &facts, &a);
        if (once != expr_holds(e, &facts, &a))
            abort();
    }
    arena_release(&a);
    return 0;
}
