/* Record batches of any bytes: what passes the checks can be read whole, and what cannot is
 * refused. The first byte says whether the CRC is made to fit, so that what lies behind it is
 * reached too. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/batch.h"
#include "codec/crc32c.h"
#include "codec/endian.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { UNPACKED_MAX = 1 << 20 };

static void read_records(const struct batch_header *h, struct str records)
{
    bool whole = batch_records_check(h, records) == ERR_OK;
    int32_t count = 0;
    struct record_view r;
    while (count < h->count && record_read(&records, &r) == ERR_OK) {
        struct record_header header;
        for (int32_t i = 0; i < r.header_count; i++)
            if (record_header_read(&r.headers, &header) != ERR_OK) {
                ASSERT(!whole);
                break;
            }
        count++;
    }
    ASSERT(!whole || (count == h->count && records.len == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct compress *c;
    struct batch_header h;
    struct buf out BUF_AUTO;
    buf_init(&out, UNPACKED_MAX);
    if (size < 1)
        return 0;
    if (!c)
        c = compress_new();
    char *bytes = mem_alloc(size);
    struct str batch = str_of(bytes, size - 1);
    memcpy(bytes, data + 1, size - 1);
    if ((data[0] & 1) && batch_header_read(batch, &h) == ERR_OK && h.size_bytes <= batch.len)
        be32_put(bytes + 17, crc32c(0, bytes + 21, h.size_bytes - 21));
    if (batch_check(batch, &h) == ERR_OK) {
        ASSERT(h.size_bytes >= BATCH_HEADER_BYTES && h.size_bytes <= batch.len);
        ASSERT(batch_last_offset(&h) >= h.base_offset);
        if (batch_unpack(c, &h, batch, UNPACKED_MAX, &out) == ERR_OK)
            read_records(&h, buf_str(&out));
        ASSERT(out.len <= UNPACKED_MAX && out.error == ERR_OK);
    }
    mem_free(bytes);
    return 0;
}
