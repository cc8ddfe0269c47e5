#include "base/err.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>

struct err_row {
    const char *name;
    const char *text;
    int http;
    int kafka;
    int exit;
};

static const struct err_row rows[ERR_COUNT] = {
#define ERR(name, text, http, kafka, exit) {#name, text, http, kafka, exit},
#include "base/errors.def"
#undef ERR
};

static const struct err_row *row_of(enum err e)
{
    static const struct err_row unknown = {"UNKNOWN", "unknown error", 500, -1, 1};
    return (unsigned)e < ERR_COUNT ? &rows[e] : &unknown;
}

const char *err_text(enum err e)
{
    return row_of(e)->text;
}

const char *err_name(enum err e)
{
    static _Thread_local char lower[32];
    size_t i = 0;
    for (const char *p = row_of(e)->name; *p && i < sizeof lower - 1; p++, i++)
        lower[i] = (char)tolower((unsigned char)*p);
    lower[i] = 0;
    return lower;
}

int err_http_status(enum err e)
{
    return row_of(e)->http;
}

int err_kafka_code(enum err e)
{
    return row_of(e)->kafka;
}

int err_exit_code(enum err e)
{
    return row_of(e)->exit;
}

enum err err_from_errno(int errnum)
{
    switch (errnum) {
    case 0: return ERR_OK;
    case ENOMEM: return ERR_NO_MEMORY;
    case EINVAL: return ERR_INVALID;
    case ENOENT: return ERR_NOT_FOUND;
    case EEXIST: return ERR_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS: return ERR_ACCESS;
    case ENOSPC:
    case EDQUOT: return ERR_NO_SPACE;
    case EAGAIN:
    case EBUSY: return ERR_BUSY;
    case ETIMEDOUT: return ERR_TIMEOUT;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH: return ERR_CONNECT;
    case ECONNRESET:
    case EPIPE: return ERR_RESET;
    case EFBIG: return ERR_TOO_LARGE;
    default: return ERR_IO;
    }
}
