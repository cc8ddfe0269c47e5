/* Keys as records of weir.state, and their fold. The form is drawn in keys.h. */
#include "state/keys.h"

#include "base/assert.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/json_scan.h"
#include "codec/json_write.h"
#include "codec/time.h"
#include "codec/uuid.h"
#include "os/random.h"

enum { RECORD_DEPTH_MAX = 16 };

static const struct str hash_prefix = STR_INIT("sha256:");

/* ---- Writing ---- */

static void write_rate(struct json_writer *w, struct str name, const struct config_rate *rate)
{
    static const char units[] = "smhd";
    static const int64_t lengths_us[] = {1000000, 60000000, INT64_C(3600000000),
                                         INT64_C(86400000000)};
    BUF_AUTO struct buf text = {.max = 64};
    if (!rate->count)
        return;
    size_t unit = 0;
    while (lengths_us[unit] != rate->window_us) {
        unit++;
        ASSERT(unit < sizeof lengths_us / sizeof lengths_us[0]);
    }
    buf_printf(&text, "%lld/%c", (long long)rate->count, units[unit]);
    json_member_str(w, name, buf_str(&text));
}

static void write_body(struct json_writer *w, const struct key_spec *spec)
{
    char hash[7 + DIGEST_HEX_BYTES];
    memcpy(hash, hash_prefix.ptr, hash_prefix.len);
    hex_encode(spec->hash, sizeof spec->hash, hash + hash_prefix.len);
    json_object_begin(w);
    json_member_str(w, STR("hash"), str_of(hash, sizeof hash));
    json_member_bool(w, STR("admin"), spec->admin);
    if (!spec->any_model) {
        json_key(w, STR("models"));
        json_array_begin(w);
        for (size_t i = 0; i < spec->model_count; i++)
            json_str(w, spec->models[i]);
        json_array_end(w);
    }
    const struct config_key_limits *limits = &spec->limits;
    if (limits->requests.count || limits->tokens.count || limits->concurrent) {
        json_key(w, STR("limits"));
        json_object_begin(w);
        write_rate(w, STR("requests"), &limits->requests);
        write_rate(w, STR("tokens"), &limits->tokens);
        if (limits->concurrent)
            json_member_i64(w, STR("concurrent"), limits->concurrent);
        json_object_end(w);
    }
    json_object_end(w);
}

void key_record_write(const struct key_record *record, int64_t wall_us, struct buf *json)
{
    struct json_writer w;
    char id[UUID_TEXT_BYTES + 1];
    char time[TIME_TEXT_BYTES + 1];
    uint8_t random[8];
    os_random_bytes(random, sizeof random);
    json_writer_init(&w, json);
    json_object_begin(&w);
    json_member_str(&w, STR("id"), uuid_format(uuid_v7(wall_us, random), id));
    json_member_str(&w, STR("kind"), STR("key"));
    json_member_str(&w, STR("name"), record->spec.name);
    json_member_i64(&w, STR("version"), record->version);
    json_member_str(&w, STR("op"), record->deleted ? STR("delete") : STR("put"));
    json_member_i64(&w, STR("expect"), record->expect);
    json_member_str(&w, STR("actor"), STR("weir"));
    json_member_str(&w, STR("time"), time_format(wall_us, time));
    if (!record->deleted) {
        json_key(&w, STR("body"));
        write_body(&w, &record->spec);
    }
    json_object_end(&w);
}

void key_record_key(struct str name, struct buf *text)
{
    buf_append_str(text, STR("key/"));
    buf_append_str(text, name);
}

/* ---- Reading ---- */

struct parsed {
    struct arena *arena;
    struct key_record record;
    struct str kind;
    struct str op;
    struct json_value body;
    bool has_hash;
    bool is_wrong; /* a member has not the form it must have */
};

static void take_i64(struct json_reader *r, struct parsed *p, int64_t *to)
{
    struct json_value value = json_take(r);
    if (json_to_i64(&value, to) != ERR_OK)
        p->is_wrong = true;
}

static struct str take_text(struct json_reader *r, struct parsed *p)
{
    struct json_value value = json_take(r);
    struct str text = json_text(&value, p->arena);
    if (!text.ptr)
        p->is_wrong = true;
    return text.ptr ? arena_str(p->arena, text) : STR_NONE;
}

static void take_models(struct json_reader *r, struct parsed *p)
{
    struct key_spec *spec = &p->record.spec;
    struct json_value list = json_take(r);
    struct json_reader items;
    size_t count = 0;
    json_reader_init(&items, list.raw, RECORD_DEPTH_MAX);
    spec->any_model = false;
    spec->model_count = 0; /* of two members the last counts */
    if (!json_enter(&items, JSON_ARRAY))
        p->is_wrong = true;
    else
        while (json_next_element(&items))
            count++;
    if (count > CONFIG_MODELS_MAX)
        p->is_wrong = true;
    if (p->is_wrong)
        return;
    struct str *models = ARENA_ARRAY(p->arena, struct str, count);
    json_reader_init(&items, list.raw, RECORD_DEPTH_MAX);
    (void)json_enter(&items, JSON_ARRAY);
    while (json_next_element(&items))
        models[spec->model_count++] = take_text(&items, p);
    spec->models = models;
}

static void take_rate(struct json_reader *r, struct parsed *p, struct config_rate *rate)
{
    if (config_rate_parse(take_text(r, p), rate) != ERR_OK || rate->count < 1)
        p->is_wrong = true;
}

static void take_limits(struct json_reader *r, struct parsed *p)
{
    struct config_key_limits *limits = &p->record.spec.limits;
    struct json_value key;
    if (!json_enter(r, JSON_OBJECT)) {
        p->is_wrong = true;
        return;
    }
    while (json_next_member(r, &key)) {
        if (json_eq(&key, STR("requests")))
            take_rate(r, p, &limits->requests);
        else if (json_eq(&key, STR("tokens")))
            take_rate(r, p, &limits->tokens);
        else if (json_eq(&key, STR("concurrent")))
            take_i64(r, p, &limits->concurrent);
    }
    if (limits->concurrent < 0)
        p->is_wrong = true;
}

static void take_hash(struct json_reader *r, struct parsed *p)
{
    struct key_spec *spec = &p->record.spec;
    struct str text = take_text(r, p);
    p->has_hash =
        str_starts(text, hash_prefix) &&
        hex_decode(str_skip(text, hash_prefix.len), spec->hash, sizeof spec->hash) == ERR_OK;
}

static void take_body(struct parsed *p)
{
    struct json_reader r;
    struct json_value key;
    json_reader_init(&r, p->body.raw, RECORD_DEPTH_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return;
    while (json_next_member(&r, &key)) {
        if (json_eq(&key, STR("hash"))) {
            take_hash(&r, p);
        } else if (json_eq(&key, STR("admin"))) {
            struct json_value value = json_take(&r);
            if (json_to_bool(&value, &p->record.spec.admin) != ERR_OK)
                p->is_wrong = true;
        } else if (json_eq(&key, STR("models"))) {
            take_models(&r, p);
        } else if (json_eq(&key, STR("limits"))) {
            take_limits(&r, p);
        }
    }
}

static void take_record(struct json_reader *r, struct parsed *p)
{
    struct json_value key;
    while (json_next_member(r, &key)) {
        if (json_eq(&key, STR("kind")))
            p->kind = take_text(r, p);
        else if (json_eq(&key, STR("name")))
            p->record.spec.name = take_text(r, p);
        else if (json_eq(&key, STR("op")))
            p->op = take_text(r, p);
        else if (json_eq(&key, STR("version")))
            take_i64(r, p, &p->record.version);
        else if (json_eq(&key, STR("expect")))
            take_i64(r, p, &p->record.expect);
        else if (json_eq(&key, STR("body")))
            p->body = json_take(r);
    }
}

enum err key_record_parse(struct str json, struct arena *arena, struct key_record *ret_record)
{
    struct parsed p = {.arena = arena, .record.spec.any_model = true};
    struct json_reader r;
    json_reader_init(&r, json, RECORD_DEPTH_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return ERR_INVALID;
    take_record(&r, &p);
    if (!json_finish(&r))
        return ERR_INVALID;
    if (!str_eq(p.kind, STR("key")))
        return p.kind.len ? ERR_NOT_FOUND : ERR_INVALID;
    p.record.deleted = str_eq(p.op, STR("delete"));
    if (!p.record.deleted)
        take_body(&p);
    bool is_put = str_eq(p.op, STR("put")) && p.has_hash;
    if (p.is_wrong || !p.record.spec.name.len || p.record.version < 1 || p.record.expect < 0 ||
        !(p.record.deleted || is_put))
        return ERR_INVALID;
    *ret_record = p.record;
    return ERR_OK;
}

/* ---- The fold ---- */

struct key_fold {
    struct arena arena;       /* all strings that were ever applied: keys change rarely */
    struct key_record *names; /* the last record of each name, deleted ones too */
    size_t name_count;
    struct key_spec *items; /* those in force; made anew when asked for after a change */
    size_t item_count;
    bool changed;
};

struct key_fold *key_fold_new(void)
{
    struct key_fold *f = NEW(struct key_fold);
    arena_init(&f->arena);
    return f;
}

void key_fold_free(struct key_fold *f)
{
    if (!f)
        return;
    arena_release(&f->arena);
    mem_free(f->names);
    mem_free(f->items);
    mem_free(f);
}

/* Room for one more, doubling. */
static void grow_names(struct key_fold *f)
{
    size_t n = f->name_count;
    if ((n & (n - 1)) == 0)
        f->names = mem_resize(f->names, (n ? 2 * n : 1) * sizeof f->names[0]);
}

/* The record with its strings in the fold's own memory. */
static struct key_record keep(struct key_fold *f, const struct key_record *record)
{
    struct key_record kept = *record;
    struct str *models = ARENA_ARRAY(&f->arena, struct str, record->spec.model_count);
    kept.spec.name = arena_str(&f->arena, record->spec.name);
    for (size_t i = 0; i < record->spec.model_count; i++)
        models[i] = arena_str(&f->arena, record->spec.models[i]);
    kept.spec.models = models;
    return kept;
}

static enum err apply(struct key_fold *f, const struct key_record *record)
{
    size_t i = 0;
    while (i < f->name_count && !str_eq(f->names[i].spec.name, record->spec.name))
        i++;
    if (i < f->name_count) {
        if (record->expect != f->names[i].version || record->version <= record->expect)
            return ERR_EXISTS;
    } else if (f->name_count == CONFIG_KEYS_MAX) {
        return ERR_TOO_LARGE;
    } else {
        grow_names(f);
        f->name_count++;
    }
    f->names[i] = keep(f, record);
    f->changed = true;
    return ERR_OK;
}

enum err key_fold_apply(struct key_fold *f, struct str json)
{
    struct key_record record;
    struct arena scratch;
    arena_init(&scratch);
    enum err e = key_record_parse(json, &scratch, &record);
    if (e == ERR_OK)
        e = apply(f, &record);
    arena_release(&scratch);
    return e;
}

const struct key_spec *key_fold_items(struct key_fold *f, size_t *ret_count)
{
    if (f->changed) {
        f->items = mem_resize(f->items, f->name_count * sizeof f->items[0]);
        f->item_count = 0;
        for (size_t i = 0; i < f->name_count; i++)
            if (!f->names[i].deleted)
                f->items[f->item_count++] = f->names[i].spec;
        f->changed = false;
    }
    *ret_count = f->item_count;
    return f->items;
}
