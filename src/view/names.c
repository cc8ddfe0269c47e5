/* Texts that repeat, by number. */
#include "base/mem.h"
#include "view/view_int.h"

enum { NAME_SLOTS = 4096 };

/* Numbers of names met lately. */
struct name_slot {
    struct str name; /* owned */
    int64_t id;
};

struct view_names {
    sqlite3 *db;
    sqlite3_stmt *add, *find;
    int64_t count;
    struct name_slot slots[NAME_SLOTS];
};

enum err view_names_open(sqlite3 *db, struct view_names **ret_names)
{
    struct view_names *n = NEW(struct view_names);
    sqlite3_stmt *count = NULL;
    n->db = db;
    *ret_names = n;
    TRY(view_prepare(db, "INSERT INTO names(name) VALUES(?)", &n->add));
    TRY(view_prepare(db, "SELECT id FROM names WHERE name = ?", &n->find));
    TRY(view_prepare(db, "SELECT max(id) FROM names", &count));
    if (sqlite3_step(count) == SQLITE_ROW)
        n->count = sqlite3_column_int64(count, 0);
    sqlite3_finalize(count);
    return ERR_OK;
}

static void forget(struct view_names *n)
{
    for (unsigned i = 0; i < NAME_SLOTS; i++)
        mem_free((char *)n->slots[i].name.ptr);
}

void view_names_close(struct view_names *n)
{
    if (!n)
        return;
    sqlite3_finalize(n->add);
    sqlite3_finalize(n->find);
    forget(n);
    mem_free(n);
}

static uint32_t hash(struct str s)
{
    uint32_t h = 2166136261u; /* FNV-1a; whoever makes names collide only makes them slower */
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.ptr[i]) * 16777619u;
    return h;
}

static enum err look_up(struct view_names *n, struct str name, int64_t *ret_id)
{
    if (n->count >= VIEW_NAMES_MAX)
        name = STR("(other)");
    sqlite3_bind_text(n->find, 1, name.ptr, (int)name.len, SQLITE_STATIC);
    int code = sqlite3_step(n->find);
    *ret_id = sqlite3_column_int64(n->find, 0);
    sqlite3_reset(n->find);
    if (code == SQLITE_ROW)
        return ERR_OK;
    sqlite3_bind_text(n->add, 1, name.ptr, (int)name.len, SQLITE_STATIC);
    code = sqlite3_step(n->add);
    sqlite3_reset(n->add);
    *ret_id = sqlite3_last_insert_rowid(n->db);
    n->count++;
    return view_error(code);
}

enum err view_names_id(struct view_names *n, struct str name, int64_t *ret_id)
{
    *ret_id = 0;
    if (!name.len)
        return ERR_OK;
    struct name_slot *slot = &n->slots[hash(name) % NAME_SLOTS];
    if (!str_eq(slot->name, name)) {
        int64_t id;
        TRY(look_up(n, name, &id));
        mem_free((char *)slot->name.ptr);
        *slot = (struct name_slot){str_of(mem_strdup(name.ptr, name.len), name.len), id};
    }
    *ret_id = slot->id;
    return ERR_OK;
}
