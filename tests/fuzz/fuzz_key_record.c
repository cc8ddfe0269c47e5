/* Records of weir.state: what is read as a key and written again reads back the same. */
#include <stdint.h>

#include "base/assert.h"
#include "state/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(const struct key_record *a, const struct key_record *b)
{
    ASSERT(a->deleted == b->deleted && a->version == b->version && a->expect == b->expect);
    ASSERT(str_eq(a->spec.name, b->spec.name));
    if (a->deleted)
        return;
    ASSERT(memcmp(a->spec.hash, b->spec.hash, KEY_HASH_BYTES) == 0);
    ASSERT(a->spec.admin == b->spec.admin && a->spec.any_model == b->spec.any_model);
    ASSERT(a->spec.model_count == b->spec.model_count);
    for (size_t i = 0; i < a->spec.model_count; i++)
        ASSERT(str_eq(a->spec.models[i], b->spec.models[i]));
    ASSERT(memcmp(&a->spec.limits, &b->spec.limits, sizeof a->spec.limits) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    BUF_AUTO struct buf json = {.max = 1 << 22};
    struct arena arena;
    struct key_record record;
    struct key_record back;
    struct key_fold *fold = key_fold_new();
    size_t count;
    arena_init(&arena);
    enum err e = key_record_parse(str_of((const char *)data, size), &arena, &record);
    ASSERT(key_fold_apply(fold, str_of((const char *)data, size)) == e);
    (void)key_fold_items(fold, &count);
    ASSERT(count == (e == ERR_OK && !record.deleted));
    if (e == ERR_OK) {
        key_record_write(&record, 0, &json);
        e = key_record_parse(buf_str(&json), &arena, &back);
        ASSERT(json.error == ERR_OK && e == ERR_OK);
        compare(&record, &back);
    }
    key_fold_free(fold);
    arena_release(&arena);
    return 0;
}
