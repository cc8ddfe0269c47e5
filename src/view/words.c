/* ASCII is read here, which is most of what is said; a run with anything else in it goes to FTS5's
 * "unicode61", which knows letters, cases and accents of all scripts. Both agree on ASCII. */
#include "view/words.h"

#include "base/mem.h"

struct view_words {
    fts5_tokenizer methods;
    Fts5Tokenizer *tokenizer;
};

struct visit {
    void (*fn)(void *arg, struct str word);
    void *arg;
};

static fts5_api *find_api(sqlite3 *db)
{
    fts5_api *api = NULL;
    sqlite3_stmt *ask = NULL;
    if (sqlite3_prepare_v2(db, "SELECT fts5(?1)", -1, &ask, NULL) != SQLITE_OK)
        return NULL;
    sqlite3_bind_pointer(ask, 1, (void *)&api, "fts5_api_ptr", NULL);
    (void)sqlite3_step(ask);
    sqlite3_finalize(ask);
    return api;
}

enum err view_words_open(sqlite3 *db, struct view_words **ret_words)
{
    fts5_api *api = find_api(db);
    void *context = NULL;
    struct view_words *w = NEW(struct view_words);
    if (!api || api->xFindTokenizer(api, "unicode61", &context, &w->methods) != SQLITE_OK ||
        w->methods.xCreate(context, NULL, 0, &w->tokenizer) != SQLITE_OK) {
        mem_free(w);
        return ERR_UNSUPPORTED;
    }
    *ret_words = w;
    return ERR_OK;
}

void view_words_close(struct view_words *w)
{
    if (!w)
        return;
    w->methods.xDelete(w->tokenizer);
    mem_free(w);
}

/* Letters and digits of ASCII in lower case; 0: they part words. */
static unsigned char folded(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned char)(c | 0x20);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : 0;
}

static int on_token(void *arg, int flags, const char *token, int length, int start, int end)
{
    const struct visit *v = arg;
    (void)flags;
    (void)start;
    (void)end;
    v->fn(v->arg, str_of(token, (size_t)(length < VIEW_WORD_BYTES ? length : VIEW_WORD_BYTES)));
    return SQLITE_OK;
}

/* The run that begins at `from` up to the next ASCII that is no part of a word. Returns its end. */
static size_t foreign_run(struct view_words *w, struct str text, size_t from, struct visit *v)
{
    size_t end = from;
    while (end < text.len &&
           ((unsigned char)text.ptr[end] >= 0x80 || folded((unsigned char)text.ptr[end])))
        end++;
    (void)w->methods.xTokenize(w->tokenizer, v, FTS5_TOKENIZE_DOCUMENT, text.ptr + from,
                               (int)(end - from), on_token);
    return end;
}

void view_words_each(struct view_words *w, struct str text, void (*fn)(void *arg, struct str word),
                     void *arg)
{
    struct visit visit = {fn, arg};
    char word[VIEW_WORD_BYTES];
    size_t at = 0;
    while (at < text.len) {
        size_t from = at;
        size_t length = 0;
        unsigned char c;
        while (at < text.len && (c = folded((unsigned char)text.ptr[at])) != 0) {
            if (length < VIEW_WORD_BYTES)
                word[length++] = (char)c;
            at++;
        }
        if (at < text.len && (unsigned char)text.ptr[at] >= 0x80) {
            at = foreign_run(w, text, from, &visit);
            continue;
        }
        if (length)
            fn(arg, str_of(word, length));
        at++;
    }
}
