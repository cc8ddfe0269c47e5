/* The words of a text: runs of letters and digits, in lower case and without accents. */
#ifndef WEIR_VIEW_WORDS_H
#define WEIR_VIEW_WORDS_H

#include <sqlite3.h>

#include "base/err.h"
#include "base/str.h"

enum { VIEW_WORD_BYTES = 48 }; /* a longer word is cut, in what is said and in what is asked */

struct view_words;

/* For one thread at a time; closed before its database. ERR_UNSUPPORTED: SQLite without FTS5. */
MUST_CHECK enum err view_words_open(sqlite3 *db, struct view_words **ret_words);
void view_words_close(struct view_words *w);
/* fn(arg, word) for each word, in order; the word is gone after the call. */
void view_words_each(struct view_words *w, struct str text, void (*fn)(void *arg, struct str word),
                     void *arg);

#endif
