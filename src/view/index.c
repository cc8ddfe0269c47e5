#include "view/index.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/endian.h"
#include "codec/varint.h"

enum { FIRST_TERMS = 1024, FIRST_POSTINGS = 16384, FIRST_STARTS = 1024 };

void index_init(struct index *x)
{
    *x = (struct index){.first = -1};
    buf_init(&x->text, (size_t)INDEX_TERMS * INDEX_TERM_BYTES);
}

void index_release(struct index *x)
{
    mem_free(x->postings);
    mem_free(x->starts);
    mem_free(x->terms);
    mem_free(x->slots);
    buf_release(&x->text);
}

void index_reset(struct index *x)
{
    if (x->slots)
        memset(x->slots, 0, 2 * (size_t)x->term_room * sizeof *x->slots);
    x->first = -1;
    x->span = 0;
    x->record_bytes = 0;
    x->posting_count = 0;
    x->term_count = 0;
    buf_reset(&x->text);
}

bool index_is_full(const struct index *x, int64_t offset)
{
    return x->first >= 0 && (offset - x->first >= INDEX_SPAN ||
                             x->posting_count > INDEX_POSTINGS - INDEX_CALL_TERMS ||
                             x->term_count > INDEX_TERMS - INDEX_CALL_TERMS ||
                             x->record_bytes >= INDEX_RECORD_BYTES);
}

void index_call(struct index *x, int64_t offset, int64_t time_us, size_t record_bytes)
{
    if (x->first < 0) {
        x->first = offset;
        x->min_time_us = x->max_time_us = time_us;
    }
    ASSERT(offset >= x->first + x->span && offset - x->first < INDEX_SPAN);
    uint32_t call = (uint32_t)(offset - x->first);
    while (call >= x->start_room) {
        x->start_room = x->start_room ? 2 * x->start_room : FIRST_STARTS;
        x->starts = mem_resize(x->starts, x->start_room * sizeof *x->starts);
    }
    while (x->span <= call)
        x->starts[x->span++] = x->posting_count;
    x->record_bytes += record_bytes;
    x->min_time_us = time_us < x->min_time_us ? time_us : x->min_time_us;
    x->max_time_us = time_us > x->max_time_us ? time_us : x->max_time_us;
    x->call_terms = 0;
}

/* ---- Terms ---- */

/* Whoever makes terms collide only makes them slower, and INDEX_CALL_TERMS bounds by how much. */
static uint32_t hash_of(struct str s)
{
    uint64_t h = s.len * UINT64_C(0x9E3779B97F4A7C15);
    size_t at = 0;
    for (; at + 8 <= s.len; at += 8) {
        uint64_t piece;
        memcpy(&piece, s.ptr + at, 8);
        h = (h ^ piece) * UINT64_C(0x9E3779B97F4A7C15);
        h ^= h >> 32;
    }
    uint64_t rest = 0;
    for (; at < s.len; at++)
        rest = rest << 8 | (unsigned char)s.ptr[at];
    h = (h ^ rest) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(h >> 32);
}

static struct str term_text(const struct index *x, const struct index_term *t)
{
    return str_of(t->length <= INDEX_HEAD_BYTES ? t->head : x->text.ptr + t->at, t->length);
}

static struct index_slot *free_slot(struct index *x, uint32_t hash)
{
    uint32_t mask = 2 * x->term_room - 1;
    uint32_t at = hash & mask;
    while (x->slots[at].number)
        at = (at + 1) & mask;
    return &x->slots[at];
}

static void grow_terms(struct index *x)
{
    struct index_slot *old = x->slots;
    uint32_t old_count = 2 * x->term_room;
    x->term_room = x->term_room ? 2 * x->term_room : FIRST_TERMS;
    x->terms = mem_resize(x->terms, x->term_room * sizeof *x->terms);
    x->slots = mem_array(2 * (size_t)x->term_room, sizeof *x->slots);
    for (uint32_t i = 0; i < old_count; i++)
        if (old[i].number)
            *free_slot(x, old[i].hash) = old[i];
    mem_free(old);
}

static uint32_t term_number(struct index *x, struct str term)
{
    if (x->term_count == x->term_room)
        grow_terms(x);
    uint32_t hash = hash_of(term);
    uint32_t mask = 2 * x->term_room - 1;
    for (uint32_t at = hash & mask; x->slots[at].number; at = (at + 1) & mask)
        if (x->slots[at].hash == hash &&
            str_eq(term_text(x, &x->terms[x->slots[at].number - 1]), term))
            return x->slots[at].number - 1;
    struct index_term *t = &x->terms[x->term_count++];
    *t = (struct index_term){.length = (uint8_t)term.len};
    if (term.len <= INDEX_HEAD_BYTES) {
        memcpy(t->head, term.ptr, term.len);
    } else {
        t->at = (uint32_t)x->text.len;
        buf_append_str(&x->text, term);
    }
    *free_slot(x, hash) = (struct index_slot){hash, x->term_count};
    return x->term_count - 1;
}

void index_add(struct index *x, struct str term)
{
    term = str_take(term, INDEX_TERM_BYTES);
    if (x->call_terms == INDEX_CALL_TERMS)
        return;
    uint32_t number = term_number(x, term);
    struct index_term *t = &x->terms[number];
    if (t->last == x->span) /* it has it already */
        return;
    t->last = x->span;
    t->count++;
    x->call_terms++;
    if (x->posting_count == x->posting_room) {
        x->posting_room = x->posting_room ? 2 * x->posting_room : FIRST_POSTINGS;
        x->postings = mem_resize(x->postings, x->posting_room * sizeof *x->postings);
    }
    x->postings[x->posting_count++] = number;
}

/* ---- Finding ---- */

struct str index_from(const struct index_range *r)
{
    return str_of(r->from, r->from_length);
}

struct str index_prefix(const struct index_range *r)
{
    return str_of(r->prefix, r->prefix_length);
}

static void put(struct call_set *set, uint32_t call)
{
    set->bits[call / 64] |= UINT64_C(1) << call % 64;
}

static bool in_range(const struct index_range *r, struct str term)
{
    if (r->exact)
        return str_eq(term, index_from(r));
    return str_starts(term, index_prefix(r)) && str_cmp(term, index_from(r)) >= 0;
}

static uint32_t calls_end(const struct index *x, uint32_t call)
{
    return call + 1 < x->span ? x->starts[call + 1] : x->posting_count;
}

void index_find(const struct index *x, const struct index_range *r, struct call_set *into)
{
    bool *wanted = mem_array(x->term_count + 1, sizeof *wanted);
    bool any = false;
    for (uint32_t i = 0; i < x->term_count; i++) {
        wanted[i] = in_range(r, term_text(x, &x->terms[i]));
        any |= wanted[i];
    }
    for (uint32_t call = 0; any && call < x->span; call++)
        for (uint32_t p = x->starts[call]; p < calls_end(x, call); p++)
            if (wanted[x->postings[p]])
                put(into, call);
    mem_free(wanted);
}

/* ---- Writing ---- */

struct sorted_term {
    uint64_t begin; /* its first bytes, as a number in their order */
    struct str text;
    uint32_t number;
};

static int by_text(const void *left, const void *right)
{
    const struct sorted_term *a = left;
    const struct sorted_term *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return str_cmp(a->text, b->text);
}

static struct sorted_term *sort_terms(const struct index *x)
{
    struct sorted_term *sorted = mem_array(x->term_count + 1, sizeof *sorted);
    for (uint32_t i = 0; i < x->term_count; i++) {
        struct str text = term_text(x, &x->terms[i]);
        char begin[8] = {0};
        memcpy(begin, text.ptr, text.len < 8 ? text.len : 8);
        sorted[i] = (struct sorted_term){be64_get(begin), text, i};
    }
    qsort(sorted, x->term_count, sizeof *sorted, by_text);
    return sorted;
}

/* Calls by term: those of term n end at ends[n]. */
static uint16_t *calls_by_term(const struct index *x, uint32_t *ends)
{
    uint16_t *calls = mem_array((size_t)x->posting_count + 1, sizeof *calls);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < x->term_count; i++) {
        ends[i] = sum;
        sum += x->terms[i].count;
    }
    for (uint32_t call = 0; call < x->span; call++)
        for (uint32_t p = x->starts[call]; p < calls_end(x, call); p++)
            calls[ends[x->postings[p]]++] = (uint16_t)call;
    return calls;
}

static void append_varint(struct buf *out, uint64_t value)
{
    char bytes[VARINT_MAX_BYTES];
    buf_append(out, bytes, (size_t)(varint_u64_put(bytes, value) - bytes));
}

static void write_list(const uint16_t *calls, uint32_t count, uint32_t span, struct buf *scratch,
                       struct buf *out)
{
    uint32_t next = 0;
    bool dense = count > span / 8;
    buf_reset(scratch);
    if (dense) {
        char bits[INDEX_SPAN / 8] = {0};
        for (uint32_t i = 0; i < count; i++)
            bits[calls[i] / 8] = (char)(bits[calls[i] / 8] | 1 << calls[i] % 8);
        buf_append(scratch, bits, (span + 7) / 8);
    } else {
        for (uint32_t i = 0; i < count; i++) {
            append_varint(scratch, calls[i] - next);
            next = calls[i] + 1u;
        }
    }
    append_varint(out, 2 * scratch->len + dense);
    buf_append_str(out, buf_str(scratch));
}

static size_t common(struct str a, struct str b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && a.ptr[n] == b.ptr[n])
        n++;
    return n;
}

struct block_writer {
    struct buf block, entry, list;
    struct str first, last;
    index_block_fn *fn;
    void *arg;
};

static enum err end_block(struct block_writer *w)
{
    if (!w->block.len)
        return ERR_OK;
    TRY(w->block.error);
    enum err error = w->fn(w->arg, w->first, buf_str(&w->block));
    buf_reset(&w->block);
    return error;
}

static enum err write_term(struct block_writer *w, struct str text, const uint16_t *calls,
                           uint32_t count, uint32_t span)
{
    for (;;) {
        size_t shared = w->block.len ? common(w->last, text) : 0;
        buf_reset(&w->entry);
        buf_append_char(&w->entry, (char)shared);
        buf_append_char(&w->entry, (char)(text.len - shared));
        buf_append_str(&w->entry, str_skip(text, shared));
        write_list(calls, count, span, &w->list, &w->entry);
        if (!w->block.len || w->block.len + w->entry.len <= INDEX_BLOCK_BYTES)
            break;
        TRY(end_block(w)); /* and once more, as the first of the next */
    }
    if (!w->block.len)
        w->first = text;
    w->last = text;
    buf_append_str(&w->block, buf_str(&w->entry));
    return ERR_OK;
}

enum err index_write(const struct index *x, index_block_fn *fn, void *arg)
{
    struct block_writer w = {.fn = fn, .arg = arg};
    struct sorted_term *sorted = sort_terms(x);
    uint32_t *ends = mem_array(x->term_count + 1, sizeof *ends);
    uint16_t *calls = calls_by_term(x, ends);
    enum err error = ERR_OK;
    buf_init(&w.block, 1 << 20);
    buf_init(&w.entry, 1 << 20);
    buf_init(&w.list, 1 << 20);
    for (uint32_t i = 0; i < x->term_count && error == ERR_OK; i++) {
        uint32_t n = sorted[i].number;
        uint32_t count = x->terms[n].count;
        error = write_term(&w, sorted[i].text, calls + ends[n] - count, count, x->span);
    }
    if (error == ERR_OK)
        error = end_block(&w);
    buf_release(&w.block);
    buf_release(&w.entry);
    buf_release(&w.list);
    mem_free(calls);
    mem_free(ends);
    mem_free(sorted);
    return error;
}

/* ---- Reading ---- */

static enum err read_list(struct str list, bool dense, struct call_set *into)
{
    uint64_t next = 0;
    if (dense) {
        if (list.len > INDEX_SPAN / 8)
            return ERR_CORRUPT;
        for (size_t i = 0; i < list.len; i++)
            into->bits[i / 8] |= (uint64_t)(unsigned char)list.ptr[i] << i % 8 * 8;
        return ERR_OK;
    }
    while (list.len) {
        uint64_t gap;
        if (varint_u64_get(&list, &gap) != ERR_OK || gap >= INDEX_SPAN || next + gap >= INDEX_SPAN)
            return ERR_CORRUPT;
        put(into, (uint32_t)(next + gap));
        next += gap + 1;
    }
    return ERR_OK;
}

/* The next term of a block, in text, and its calls. */
static enum err read_entry(struct str *rest, char text[INDEX_TERM_BYTES], size_t *length,
                           struct str *ret_list, bool *ret_dense)
{
    if (rest->len < 2)
        return ERR_CORRUPT;
    size_t shared = (unsigned char)rest->ptr[0];
    size_t more = (unsigned char)rest->ptr[1];
    uint64_t size;
    if (shared > *length || shared + more > INDEX_TERM_BYTES || rest->len - 2 < more)
        return ERR_CORRUPT;
    memcpy(text + shared, rest->ptr + 2, more);
    *rest = str_skip(*rest, 2 + more);
    if (varint_u64_get(rest, &size) != ERR_OK || size / 2 > rest->len)
        return ERR_CORRUPT;
    *length = shared + more;
    *ret_list = str_take(*rest, size / 2);
    *ret_dense = size & 1;
    *rest = str_skip(*rest, size / 2);
    return ERR_OK;
}

enum err index_block_find(struct str block, const struct index_range *r, struct call_set *into,
                          bool *ret_more)
{
    char text[INDEX_TERM_BYTES];
    size_t length = 0;
    while (block.len) {
        struct str list;
        bool dense;
        TRY(read_entry(&block, text, &length, &list, &dense));
        struct str term = str_of(text, length);
        int order = str_cmp(term, index_from(r));
        if (order < 0)
            continue;
        if (r->exact ? order > 0 : !str_starts(term, index_prefix(r))) {
            *ret_more = false;
            return ERR_OK;
        }
        TRY(read_list(list, dense, into));
    }
    *ret_more = true;
    return ERR_OK;
}

/* ---- Terms of attributes ---- */

struct str term_attribute(enum term_kind kind, uint32_t value, char out[TERM_ATTRIBUTE_BYTES])
{
    out[0] = 1;
    out[1] = (char)kind;
    be32_put(out + 2, value);
    return str_of(out, TERM_ATTRIBUTE_BYTES);
}

uint32_t term_status(int status)
{
    return (uint32_t)(status / 100 << 8 | status % 100);
}

uint32_t term_total_class(int64_t total_us)
{
    if (total_us < 4)
        return total_us < 0 ? 0 : (uint32_t)total_us;
    unsigned power = 63 - (unsigned)__builtin_clzll((uint64_t)total_us);
    return (power - 1) * 4 + (uint32_t)(total_us >> (power - 2) & 3);
}

int64_t term_total_from(uint32_t class)
{
    return class < 4 ? class : (int64_t)(4 + class % 4) << (class / 4 - 1);
}
