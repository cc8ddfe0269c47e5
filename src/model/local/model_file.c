#include "model/local/model_file.h"

#include <stdbool.h>

enum {
    WINDOW_BYTES = 64 << 10,
    VERSION_MIN = 2,
    VERSION_MAX = 3,
    TENSOR_TYPES_MAX = 256, /* far above what ggml has; what it does not know it refuses */
    ALIGNMENT_DEFAULT = 32,
    ALIGNMENT_MAX = 1 << 20,
};
/* Of one tensor: no weight matrix comes near it, and no product of two such overflows. */
#define ELEMENTS_MAX ((uint64_t)1 << 44)

enum value_type {
    TYPE_U8,
    TYPE_I8,
    TYPE_U16,
    TYPE_I16,
    TYPE_U32,
    TYPE_I32,
    TYPE_F32,
    TYPE_BOOL,
    TYPE_STRING,
    TYPE_ARRAY,
    TYPE_U64,
    TYPE_I64,
    TYPE_F64,
    TYPE_COUNT,
};

static const uint8_t value_bytes[TYPE_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* A window over the file that moves forward. */
struct scan {
    const struct model_file_source *source;
    struct buf *problem;
    uint64_t at;           /* next byte to hand out */
    uint64_t window_start; /* of the window's first byte */
    size_t window_len;
    enum err error; /* sticks */
    uint64_t alignment;
    char window[WINDOW_BYTES];
};

__attribute__((format(printf, 3, 4))) static enum err bad(struct scan *s, enum err e,
                                                          const char *format, ...)
{
    if (s->error != ERR_OK)
        return s->error;
    va_list args;
    va_start(args, format);
    buf_vprintf(s->problem, format, args);
    va_end(args);
    return s->error = e;
}

static uint64_t left(const struct scan *s)
{
    return s->source->size_bytes - s->at;
}

/* Copy len (at most 1 KiB) bytes out. */
static enum err take(struct scan *s, void *ret_bytes, size_t len)
{
    if (len > left(s))
        return bad(s, ERR_CORRUPT, "the file ends at byte %llu, inside its header",
                   (unsigned long long)s->source->size_bytes);
    if (s->at < s->window_start || s->at + len > s->window_start + s->window_len) {
        size_t want = left(s) < WINDOW_BYTES ? (size_t)left(s) : WINDOW_BYTES;
        s->window_start = s->at;
        s->window_len = 0;
        enum err e = s->source->read(s->source->arg, s->at, s->window, want);
        if (e != ERR_OK)
            return bad(s, e, "cannot read the file: %s", err_text(e));
        s->window_len = want;
    }
    memcpy(ret_bytes, s->window + (s->at - s->window_start), len);
    s->at += len;
    return ERR_OK;
}

static enum err skip(struct scan *s, uint64_t len, const char *what)
{
    if (len > left(s))
        return bad(s, ERR_CORRUPT, "%s at byte %llu claims %llu bytes; the file has %llu left",
                   what, (unsigned long long)s->at, (unsigned long long)len,
                   (unsigned long long)left(s));
    s->at += len;
    return ERR_OK;
}

static enum err take_u32(struct scan *s, uint32_t *ret_value)
{
    unsigned char b[4] = {0};
    TRY(take(s, b, sizeof b));
    *ret_value = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return ERR_OK;
}

static enum err take_u64(struct scan *s, uint64_t *ret_value)
{
    uint32_t low, high;
    TRY(take_u32(s, &low));
    TRY(take_u32(s, &high));
    *ret_value = (uint64_t)high << 32 | low;
    return ERR_OK;
}

/* A key or a tensor's name, NUL-terminated. */
static enum err take_name(struct scan *s, char ret_name[MODEL_FILE_KEY_BYTES_MAX + 1])
{
    uint64_t start = s->at, len;
    TRY(take_u64(s, &len));
    if (len == 0 || len > MODEL_FILE_KEY_BYTES_MAX)
        return bad(s, ERR_CORRUPT, "a name at byte %llu has %llu bytes; 1 to %d are possible",
                   (unsigned long long)start, (unsigned long long)len, MODEL_FILE_KEY_BYTES_MAX);
    TRY(take(s, ret_name, (size_t)len));
    ret_name[len] = 0;
    return ERR_OK;
}

static enum err skip_string(struct scan *s)
{
    uint64_t len;
    TRY(take_u64(s, &len));
    return skip(s, len, "a string");
}

static enum err skip_array(struct scan *s)
{
    uint32_t type;
    uint64_t start = s->at, count;
    TRY(take_u32(s, &type));
    TRY(take_u64(s, &count));
    if (type >= TYPE_COUNT || type == TYPE_ARRAY)
        return bad(s, ERR_CORRUPT, "an array at byte %llu has elements of type %u",
                   (unsigned long long)start, type);
    uint64_t each = type == TYPE_STRING ? 8 : value_bytes[type];
    if (count > left(s) / each)
        return bad(s, ERR_CORRUPT,
                   "an array at byte %llu claims %llu elements; the file has %llu bytes left",
                   (unsigned long long)start, (unsigned long long)count,
                   (unsigned long long)left(s));
    if (type != TYPE_STRING)
        return skip(s, count * each, "an array");
    for (uint64_t i = 0; i < count; i++)
        TRY(skip_string(s));
    return ERR_OK;
}

static enum err take_architecture(struct scan *s, struct model_file_facts *facts)
{
    uint64_t len;
    TRY(take_u64(s, &len));
    if (len == 0 || len >= sizeof facts->architecture)
        return bad(s, ERR_CORRUPT, "general.architecture has %llu bytes", (unsigned long long)len);
    TRY(take(s, facts->architecture, (size_t)len));
    facts->architecture[len] = 0;
    return ERR_OK;
}

static enum err take_alignment(struct scan *s)
{
    uint32_t value;
    TRY(take_u32(s, &value));
    if (value == 0 || value > ALIGNMENT_MAX || (value & (value - 1)) != 0)
        return bad(s, ERR_CORRUPT, "general.alignment is %u", value);
    s->alignment = value;
    return ERR_OK;
}

static enum err scan_pair(struct scan *s, struct model_file_facts *facts)
{
    char key[MODEL_FILE_KEY_BYTES_MAX + 1];
    uint32_t type;
    TRY(take_name(s, key));
    TRY(take_u32(s, &type));
    if (type >= TYPE_COUNT)
        return bad(s, ERR_CORRUPT, "a value at byte %llu has the type %u, which GGUF does not know",
                   (unsigned long long)s->at, type);
    if (type == TYPE_STRING && strcmp(key, "general.architecture") == 0)
        return take_architecture(s, facts);
    if (type == TYPE_U32 && strcmp(key, "general.alignment") == 0)
        return take_alignment(s);
    if (type == TYPE_STRING)
        return skip_string(s);
    return type == TYPE_ARRAY ? skip_array(s) : skip(s, value_bytes[type], "a value");
}

/* Bytes of so many elements of a type; 1 of a type that we do not know (llama.cpp will say), and of
 * rows that are not made of whole blocks. */
static uint64_t tensor_bytes(uint32_t type, uint64_t elements)
{
    /* ggml's types by number: elements of a block, its bytes. */
    static const struct {
        uint16_t elements, bytes;
    } blocks[] = {
        [0] = {1, 4},      [1] = {1, 2},      [2] = {32, 18},    [3] = {32, 20},
        [6] = {32, 22},    [7] = {32, 24},    [8] = {32, 34},    [9] = {32, 36},
        [10] = {256, 84},  [11] = {256, 110}, [12] = {256, 144}, [13] = {256, 176},
        [14] = {256, 210}, [15] = {256, 292}, [24] = {1, 1},     [25] = {1, 2},
        [26] = {1, 4},     [27] = {1, 8},     [28] = {1, 8},     [30] = {1, 2},
    };
    if (type >= sizeof blocks / sizeof *blocks || blocks[type].elements == 0 ||
        elements % blocks[type].elements != 0)
        return 1;
    return elements / blocks[type].elements * blocks[type].bytes;
}

/* Raises *furthest to the offset behind the tensor's data. */
static enum err scan_tensor(struct scan *s, uint64_t *furthest)
{
    char name[MODEL_FILE_KEY_BYTES_MAX + 1];
    uint32_t dimensions, type;
    uint64_t elements = 1, offset;
    TRY(take_name(s, name));
    TRY(take_u32(s, &dimensions));
    if (dimensions == 0 || dimensions > MODEL_FILE_DIMENSIONS_MAX)
        return bad(s, ERR_CORRUPT, "tensor '%.60s' has %u dimensions; 1 to %d are possible", name,
                   dimensions, MODEL_FILE_DIMENSIONS_MAX);
    for (uint32_t i = 0; i < dimensions; i++) {
        uint64_t length;
        TRY(take_u64(s, &length));
        if (length == 0 || length > ELEMENTS_MAX / elements)
            return bad(s, ERR_CORRUPT, "tensor '%.60s' has an impossible dimension, %llu", name,
                       (unsigned long long)length);
        elements *= length;
    }
    TRY(take_u32(s, &type));
    TRY(take_u64(s, &offset));
    if (type >= TENSOR_TYPES_MAX || offset % s->alignment != 0)
        return bad(s, ERR_CORRUPT, "tensor '%.60s' has type %u and offset %llu, which cannot be",
                   name, type, (unsigned long long)offset);
    if (offset > s->source->size_bytes)
        return bad(s, ERR_CORRUPT,
                   "the file has %llu bytes, and tensor '%.60s' lies beyond: it is not whole",
                   (unsigned long long)s->source->size_bytes, name);
    uint64_t end = offset + tensor_bytes(type, elements);
    *furthest = end > *furthest ? end : *furthest;
    return ERR_OK;
}

static enum err scan_counts(struct scan *s, struct model_file_facts *facts)
{
    char magic[4];
    uint32_t version;
    if (left(s) < 24)
        return bad(s, ERR_CORRUPT, "not a GGUF file: it has %llu bytes",
                   (unsigned long long)s->source->size_bytes);
    TRY(take(s, magic, sizeof magic));
    TRY(take_u32(s, &version));
    if (memcmp(magic, "GGUF", 4) != 0)
        return bad(s, ERR_CORRUPT, "not a GGUF file: it does not begin with \"GGUF\"");
    if (version < VERSION_MIN || version > VERSION_MAX)
        return bad(s, ERR_UNSUPPORTED,
                   version >= 1 << 16 ? "it is a big-endian GGUF file"
                                      : "it is a GGUF file of version %u; %d and %d are understood",
                   version, VERSION_MIN, VERSION_MAX);
    TRY(take_u64(s, &facts->tensors));
    TRY(take_u64(s, &facts->pairs));
    if (facts->tensors == 0 || facts->tensors > MODEL_FILE_TENSORS_MAX)
        return bad(s, ERR_CORRUPT, "it claims %llu tensors; 1 to %d are possible",
                   (unsigned long long)facts->tensors, MODEL_FILE_TENSORS_MAX);
    if (facts->pairs > MODEL_FILE_PAIRS_MAX)
        return bad(s, ERR_CORRUPT, "it claims %llu metadata values; at most %d are possible",
                   (unsigned long long)facts->pairs, MODEL_FILE_PAIRS_MAX);
    return ERR_OK;
}

static enum err scan_all(struct scan *s, struct model_file_facts *facts)
{
    uint64_t furthest = 0;
    TRY(scan_counts(s, facts));
    for (uint64_t i = 0; i < facts->pairs; i++)
        TRY(scan_pair(s, facts));
    if (!facts->architecture[0])
        return bad(s, ERR_CORRUPT, "it does not say its general.architecture");
    for (uint64_t i = 0; i < facts->tensors; i++)
        TRY(scan_tensor(s, &furthest));
    facts->data_offset = (s->at + s->alignment - 1) / s->alignment * s->alignment;
    if (s->at > MODEL_FILE_HEADER_BYTES_MAX)
        return bad(s, ERR_CORRUPT, "its header has %llu bytes; at most %d are possible",
                   (unsigned long long)s->at, MODEL_FILE_HEADER_BYTES_MAX);
    uint64_t last = facts->data_offset + furthest;
    if (last > s->source->size_bytes)
        return bad(s, ERR_CORRUPT,
                   "it ends at byte %llu, but its tensors need %llu: it is not whole",
                   (unsigned long long)s->source->size_bytes, (unsigned long long)last);
    return ERR_OK;
}

enum err model_file_check(const struct model_file_source *source, struct buf *problem,
                          struct model_file_facts *ret_facts)
{
    struct model_file_facts facts = {0};
    struct scan s;
    s.source = source;
    s.problem = problem;
    s.at = s.window_start = s.window_len = 0;
    s.error = ERR_OK;
    s.alignment = ALIGNMENT_DEFAULT;
    TRY(scan_all(&s, &facts));
    *ret_facts = facts;
    return ERR_OK;
}
