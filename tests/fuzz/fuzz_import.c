/* Lines of exports of any bytes; the first byte chooses whose. What becomes a call is a record that
 * is valid JSON, whose counts hold codec/usage.h; what does not says why. */
#include <stdint.h>

#include "base/assert.h"
#include "codec/json_scan.h"
#include "codec/usage.h"
#include "dialect/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD_BYTES_MAX = 16 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct buf record BUF_AUTO;
    struct json_value value;
    const char *why = NULL;
    if (!size)
        return 0;
    enum import_source source = (enum import_source)(data[0] % IMPORT_SOURCES);
    struct str line = str_of((const char *)data + 1, size - 1);
    arena_init(&a);
    buf_init(&record, RECORD_BYTES_MAX);
    enum err error = import_call_write(source, line, 1795000000000000, &a, &record, &why);
    ASSERT(error == ERR_OK || error == ERR_TOO_LARGE || why);
    if (error == ERR_OK) {
        ASSERT(json_validate(buf_str(&record), JSON_DEPTH_MAX, &value) == ERR_OK);
        ASSERT(json_find(buf_str(&record), "usage", &value));
        struct usage u = usage_read(value.raw);
        ASSERT(u.input >= u.cached_input + u.cache_write && u.output >= u.reasoning);
    }
    arena_release(&a);
    return 0;
}
