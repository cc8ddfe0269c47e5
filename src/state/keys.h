/* Keys: who may call. A snapshot of all keys in force, looked up by the SHA-256 of what a caller
 * presents.
 *
 *   config keys  ─┐
 *   --key        ─┼─▶ keys_build ─▶ struct keys (immutable, counted references) ─▶ keys_find
 *   weir.state   ─┘
 *
 * Invariants
 *  1. Only hashes are held; the key itself is never stored. A lookup hashes what was presented and
 * compares all 32 bytes in constant time; the table is found by the hash's first bytes, which say
 * nothing about the key.
 *  2. Names are unique and hashes are unique: of two sources with the same name or hash the first
 * wins, in the order above.
 *  3. Each key's limiter outlives the snapshot (by reference) and is the same one across snapshots.
 */
#ifndef WEIR_STATE_KEYS_H
#define WEIR_STATE_KEYS_H

#include "base/arena.h"
#include "base/buf.h"
#include "config/config.h"
#include "state/limits.h"

enum {
    KEY_HASH_BYTES = 32,
    KEY_TEXT_BYTES = 48,          /* "weir_" + 43 base62 digits */
    KEY_PRESENTED_BYTES_MAX = 512 /* longer ones are no key */
};

struct key {
    struct str name;
    uint8_t hash[KEY_HASH_BYTES];
    bool admin;
    bool any_model;
    const struct str *models; /* allow-list, sorted; only where any_model is false */
    size_t model_count;
    struct limiter *limiter;
};

/* A key that is not in the configuration: --key, or one folded from weir.state. */
struct key_spec {
    struct str name;
    uint8_t hash[KEY_HASH_BYTES];
    bool admin;
    bool any_model;
    const struct str *models;
    size_t model_count;
    struct config_key_limits limits;
};

struct keys;

/* Snapshot of the configuration's keys, then `more`. Copies all it needs. Ends never in an error:
 * sizes are bounded by CONFIG_KEYS_MAX and the caller. One reference. */
struct keys *keys_build(const struct config *config, const struct key_spec *more, size_t more_count,
                        struct limiters *limiters);
struct keys *keys_get(const struct keys *k);
void keys_put(struct keys *k);

size_t keys_count(const struct keys *k);
/* The key that was presented (without "Bearer "), or NULL. Lives as long as the snapshot. Any
 * thread, no lock, no allocation. */
const struct key *keys_find(const struct keys *k, struct str presented);
/* May this key call that model (as the caller wrote it)? Admin keys and keys without a list: any.
 * Else the exact name, or a listed provider with a star for the model. */
bool key_allows_model(const struct key *k, struct str model);

/* ---- Making keys ---- */

/* A new key: "weir_" and 43 base62 digits of 256 random bits, NUL-terminated. Show it once; keep
 * its hash. */
void key_make(char ret_text[KEY_TEXT_BYTES + 1]);
void key_hash(struct str text, uint8_t ret_hash[KEY_HASH_BYTES]);

/* ---- Keys on the log: records of topic weir.state ----
 *
 * Key "key/<name>"; value
 *   {"id":"<uuid>","kind":"key","name":"admin","version":1,"op":"put","expect":0,"actor":"weir",
 *    "time":"2026-11-24T10:00:00.000000Z",
 *    "body":{"hash":"sha256:<64 hex>","admin":true,"models":[…],"limits":{"requests":"600/m",…}}}
 * op "delete" has no body. Unknown members are ignored, so that later releases may add some. */

struct key_record {
    bool deleted; /* op: delete; only spec.name is set then */
    int64_t version;
    int64_t expect;
    struct key_spec spec;
};

/* The record's value as JSON, for time wall_us. models NULL and any_model: none is written. */
void key_record_write(const struct key_record *record, int64_t wall_us, struct buf *json);
/* The record's key: "key/<name>". */
void key_record_key(struct str name, struct buf *text);
/* Read one. Strings are copied into the arena. ERR_NOT_FOUND: a record of another kind (skip it);
 * ERR_INVALID: not such a record. */
MUST_CHECK enum err key_record_parse(struct str json, struct arena *arena,
                                     struct key_record *ret_record);

/* All keys that weir.state has in force: apply its records in offset order, then pass the items to
 * keys_build. One thread at a time. */
struct key_fold;

struct key_fold *key_fold_new(void);
void key_fold_free(struct key_fold *f);
/* ERR_EXISTS: the record's `expect` is not its name's present version; it is without effect, on
 * every node alike. (A name that was not seen before takes any `expect`: what stood before may have
 * been compacted away.) ERR_NOT_FOUND: a record of another kind, skip it. ERR_INVALID: not a
 * record. ERR_TOO_LARGE: more than CONFIG_KEYS_MAX names. */
MUST_CHECK enum err key_fold_apply(struct key_fold *f, struct str json);
/* Until the next apply. */
const struct key_spec *key_fold_items(struct key_fold *f, size_t *ret_count);

#endif
