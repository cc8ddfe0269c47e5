/* Of each key the newest offset, within a fixed size: open addressing over the first 16 bytes of
 * the key's SHA-256, by which two keys are taken for one about never. */
#include "log/log_int.h"

#include "codec/digest.h"

enum {
    SLOTS_FIRST = 1 << 10,
    SLOTS_MAX = 1 << 20, /* 24 MiB; three quarters of them are filled */
    NAME_BYTES = 16,
};

struct slot {
    uint8_t name[NAME_BYTES];
    int64_t offset; /* 1 is added; 0: empty */
};

struct log_key_map {
    struct slot *slots;
    size_t capacity; /* a power of two */
    size_t count;
};

struct log_key_map *log_key_map_new(void)
{
    struct log_key_map *m = NEW(struct log_key_map);
    m->capacity = SLOTS_FIRST;
    m->slots = mem_array(m->capacity, sizeof *m->slots);
    return m;
}

void log_key_map_free(struct log_key_map *m)
{
    mem_free(m->slots);
    mem_free(m);
}

static void name_of(struct str key, uint8_t ret_name[NAME_BYTES])
{
    uint8_t digest[DIGEST_BYTES];
    digest_sha256(key, digest);
    memcpy(ret_name, digest, NAME_BYTES);
}

static struct slot *find(const struct log_key_map *m, const uint8_t name[NAME_BYTES])
{
    uint64_t at;
    memcpy(&at, name, sizeof at);
    for (;; at++) {
        struct slot *s = &m->slots[at & (m->capacity - 1)];
        if (s->offset == 0 || memcmp(s->name, name, NAME_BYTES) == 0)
            return s;
    }
}

static void grow(struct log_key_map *m)
{
    struct log_key_map larger = {.capacity = 2 * m->capacity, .count = m->count};
    larger.slots = mem_array(larger.capacity, sizeof *larger.slots);
    for (size_t i = 0; i < m->capacity; i++)
        if (m->slots[i].offset != 0)
            *find(&larger, m->slots[i].name) = m->slots[i];
    mem_free(m->slots);
    *m = larger;
}

bool log_key_map_put(struct log_key_map *m, struct str key, int64_t offset)
{
    uint8_t name[NAME_BYTES];
    name_of(key, name);
    struct slot *s = find(m, name);
    if (s->offset == 0) {
        if (m->count >= m->capacity / 4 * 3) {
            if (m->capacity >= SLOTS_MAX)
                return false;
            grow(m);
            s = find(m, name);
        }
        memcpy(s->name, name, NAME_BYTES);
        m->count++;
    }
    s->offset = offset + 1;
    return true;
}

int64_t log_key_map_newest(const struct log_key_map *m, struct str key)
{
    uint8_t name[NAME_BYTES];
    name_of(key, name);
    return find(m, name)->offset - 1;
}
