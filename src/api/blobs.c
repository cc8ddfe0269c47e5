/* GET /api/v1/blobs/sha256:{hex}: a body that was too big for its record. Admin keys only. Read on
 * a worker. */
#include "api/api_int.h"
#include "call/blob.h"
#include "net/work.h"

enum { BLOB_BYTES_MAX = 1 << 30 };

struct blob_work {
    struct api_request *r;
    struct str name;
    struct buf bytes;
    enum err err;
};

static void run_read(void *arg)
{
    struct blob_work *w = arg;
    w->err = blob_read(gateway_data_dir(w->r->api->gateway), w->name, &w->bytes);
}

static void answer(void *arg)
{
    struct blob_work *w = arg;
    struct http_exchange *x = w->r->x;
    if (w->err == ERR_OK)
        http_respond(x, 200, STR("application/octet-stream"), buf_str(&w->bytes));
    else if (w->err == ERR_INVALID)
        api_error(x, 400, ERR_INVALID, "name",
                  "a blob's name is sha256: and 64 hexadecimal digits, as in a record's $blob");
    else
        api_error(x, err_http_status(w->err), w->err, "name", "blob '%.*s': %s", STR_ARG(w->name),
                  err_text(w->err));
    buf_release(&w->bytes);
}

void api_blob(struct api_request *r)
{
    struct blob_work *w = ARENA_NEW(r->x->arena, struct blob_work);
    w->r = r;
    w->name = api_decode(r->x->arena, r->rest);
    buf_init(&w->bytes, BLOB_BYTES_MAX);
    work_start(r->x->loop, run_read, answer, w);
}
