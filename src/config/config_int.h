/* Private to config/: the tree that a file becomes, the loader that turns it into a snapshot, and
 * the readers of single values. Everything here belongs to one call of config_load, on its thread.
 *
 *   yaml.c       bytes → nodes           load.c      the order of it all, options, defaults
 *   expand.c     ${…} in scalars         sections.c  listen, log, local, limits
 *   report.c     mistakes, suggestions   providers.c, breakers.c, models.c, keys.c, prices.c
 *   read.c       nodes → values          resolve.c   lookups in a finished snapshot */
#ifndef WEIR_CONFIG_CONFIG_INT_H
#define WEIR_CONFIG_CONFIG_INT_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/name_index.h"
#include "config/config.h"

struct config_private {
    atomic_uint references;
    struct arena arena; /* holds everything, this too */
    struct name_index *provider_index;
    struct name_index *model_index;
    struct config_retry default_retry;
};

enum { CONFIG_DEADLINE_DEFAULT_MS = 10 * 60 * 1000 };

/* ---- The tree ---- */

enum node_kind {
    NODE_NULL, /* nothing was written, or ~ or null */
    NODE_SCALAR,
    NODE_LIST,
    NODE_MAP
};

struct node {
    enum node_kind kind;
    unsigned line;    /* from 1 */
    unsigned column;  /* from 1, in characters */
    struct str text;  /* of a scalar, after ${…} */
    struct str shown; /* of a scalar, as the file has it: what messages show */
    bool plain;       /* written without quotes, and nothing in it was replaced */
    struct str unset; /* the variable that it needs and that is not set; empty: none */
    struct node *parent;
    struct node *key;   /* in a map: its key, a scalar */
    size_t position;    /* in a list or map */
    struct node *first; /* children, in order */
    struct node *next;
    size_t count;
};

/* ---- The loader ---- */

struct finding {
    bool warning;
    unsigned line; /* 0: not about a place in the file */
    unsigned column;
    unsigned order; /* of discovery */
    const char *text;
};

enum { FINDINGS_MAX = 2 * CONFIG_MISTAKES_MAX };

struct loader {
    struct config *config;
    struct arena *arena;  /* the snapshot's */
    struct arena scratch; /* tree, messages: until the end of loading */
    const struct config_source *source;
    struct str file; /* its name, for messages */
    struct node *root;
    bool broken; /* the tree ends where YAML's syntax does: what it says is not read */
    size_t node_count;
    /* Sections that are read after what they refer to. */
    const struct node *models;
    const struct node *keys;
    const struct node *prices;
    const struct node *alerts;
    bool providers_given;
    /* Inside one provider: the first unset variable met, which leaves the provider out. */
    bool in_provider;
    struct str provider_unset;

    struct finding findings[FINDINGS_MAX];
    size_t finding_count;
    unsigned mistakes; /* all, also those above CONFIG_MISTAKES_MAX */
    unsigned warnings;
};

/* Bytes that may hold secrets, before their memory is given back. */
static inline void wipe(struct buf *b)
{
    if (b->len)
        explicit_bzero(b->ptr, b->len);
}

/* ---- report.c ---- */

/* About a node, or about no place (NULL). */
void mistake(struct loader *l, const struct node *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void warning(struct loader *l, const struct node *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void mistake_at(struct loader *l, unsigned line, unsigned column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Sort by place and write out. */
void findings_write(const struct loader *l, struct config_report *report);

/* "models.smart.targets[1]", in scratch. */
const char *node_path(struct loader *l, const struct node *n);
/* The scalar as the file has it, at most 60 bytes of it and nothing unprintable; in scratch. */
const char *node_shown(struct loader *l, const struct node *n);
/* Printable and short, in scratch. */
const char *text_shown(struct loader *l, struct str text);
/* A part of what the scalar holds; the whole as the file has it, where variables were replaced in
 * it. */
const char *part_shown(struct loader *l, const struct node *n, struct str part);

/* The nearest of the candidates offered so far to a name; STR_NONE when none is near. */
struct suggestion {
    struct str name;
    struct str best;
    unsigned distance;
};
struct suggestion suggestion_for(struct str name);
void suggestion_offer(struct suggestion *s, struct str candidate);

/* ---- yaml.c, expand.c ---- */

/* The tree of the file's bytes in l->root (NULL for an empty file). Mistakes: syntax, duplicate
 * keys, limits. */
void yaml_parse(struct loader *l, struct str bytes);
/* Replace ${…} in the scalar. */
void expand_scalar(struct loader *l, struct node *n);

/* ---- read.c ---- */

struct field;
typedef void read_fn(struct loader *l, const struct field *field, const struct node *n,
                     void *object);

struct choice {
    const char *name;
    int value;
    const char *pending; /* not NULL: chosen, it does nothing in this version, but this */
};

/* One key of a mapping. */
struct field {
    const char *name;
    read_fn *read;
    size_t offset; /* in the object */
    int64_t min;   /* where numbers, sizes and spans are read */
    int64_t max;
    const struct choice *choices; /* read_choice; ends with a NULL name */
    const char *pending;          /* not NULL: written, it does nothing in this version, but this */
};

#define FIELD(key, reader, type, member)                                                           \
    {                                                                                              \
        .name = (key), .read = (reader), .offset = offsetof(type, member)                          \
    }
#define FIELD_IN(key, reader, type, member, lowest, highest)                                       \
    {                                                                                              \
        .name = (key), .read = (reader), .offset = offsetof(type, member), .min = (lowest),        \
        .max = (highest)                                                                           \
    }
#define FIELD_OF(key, reader, type, member, choice_table)                                          \
    {                                                                                              \
        .name = (key), .read = (reader), .offset = offsetof(type, member),                         \
        .choices = (choice_table)                                                                  \
    }
#define FIELD_PENDING(key, reader, type, member, why)                                              \
    {                                                                                              \
        .name = (key), .read = (reader), .offset = offsetof(type, member), .pending = (why)        \
    }

/* The keys at the top of the file. */
extern const struct field config_fields[];
extern const size_t config_field_count;

/* Read a mapping's children into the object; keys without a value are as if absent. Mistakes: not a
 * mapping, unknown keys. Returns false when it is no mapping. */
bool read_map(struct loader *l, const struct node *n, const struct field *fields, size_t count,
              void *object);
#define READ_MAP(l, n, fields, object)                                                             \
    read_map((l), (n), (fields), sizeof(fields) / sizeof((fields)[0]), (object))

/* The scalar's text; false after a mistake (not a scalar, unset variable, control characters), or
 * after an unset variable inside a provider. `expected` says what should stand there. */
bool scalar_text(struct loader *l, const struct node *n, const char *expected,
                 struct str *ret_text);
/* A list's or a mapping's children are counted against a maximum. False after a mistake. */
bool expect_list(struct loader *l, const struct node *n, size_t max, const char *expected);
bool expect_map(struct loader *l, const struct node *n, size_t max, const char *expected);

read_fn read_text;         /* struct str, not empty, copied into the snapshot */
read_fn read_bool;         /* bool */
read_fn read_int;          /* int, min…max */
read_fn read_int64;        /* int64_t, min…max */
read_fn read_size;         /* int64_t bytes, min…max */
read_fn read_span;         /* int64_t ms, min…max */
read_fn read_span_or_zero; /* the same, or 0 */
read_fn read_choice;       /* an int-sized enum */
read_fn read_rate;         /* struct config_rate */
read_fn read_address;      /* struct config_address */
read_fn read_address_or_off;

/* Whether a name may be given to a provider, alias or key: 1…CONFIG_NAME_BYTES_MAX bytes, no spaces
 * or control characters, no characters of `not_in`. A mistake otherwise. */
bool check_name(struct loader *l, const struct node *key, struct str name, const char *what,
                const char *not_in);

/* Pure readers, for options and tests. */
MUST_CHECK enum err config_size_parse(struct str text, int64_t *ret_bytes);
/* Copies nothing. */
MUST_CHECK enum err config_address_parse(struct str text, struct config_address *ret_address);
/* *ret_why: what is wrong, a constant. Parts are copied into the arena. */
MUST_CHECK enum err config_url_parse(struct arena *a, struct str text, struct config_url *ret_url,
                                     const char **ret_why);

/* ---- breakers.c: how a provider is kept from being asked too much ---- */

read_fn read_breaker;      /* struct config_breaker */
read_fn read_retry_budget; /* struct config_retry_budget */
read_fn read_health;       /* struct config_health */
extern const struct config_breaker breaker_default;
extern const struct config_retry_budget retry_budget_default;

/* ---- Sections ---- */

read_fn read_listen;
read_fn read_log;
read_fn read_local;
read_fn read_limits;
void sections_default(struct config *c);

/* What the provider calls that model; false when it lists its models and this is none of them. */
bool config_provider_upstream(const struct config_provider *p, struct str model,
                              struct str *ret_upstream);

read_fn read_providers;
/* Where the file has no providers: those whose usual variable is set. */
void providers_default(struct loader *l);
/* The built-in `local`, and the index over all. */
void providers_finish(struct loader *l);

void models_read(struct loader *l);
void keys_read(struct loader *l);
void prices_read(struct loader *l);

read_fn read_notify;
void alerts_read(struct loader *l);

/* ---- telemetry.c ---- */

read_fn read_telemetry;
/* A mapping of header names to values, into an array of the snapshot. */
void headers_read(struct loader *l, const struct node *n, const struct config_header **ret_headers,
                  size_t *ret_count);

#endif
