/* Members of JSON objects by name, for readers that need them together (what a `type` member says
 * about its neighbours may come after them). Private to src/dialect. */
#ifndef WEIR_DIALECT_FIELDS_H
#define WEIR_DIALECT_FIELDS_H

#include "codec/json_scan.h"

/* Takes the members that nobody named. */
struct fields_rest {
    void (*take)(void *arg, const struct json_value *key, const struct json_value *value);
    void *arg;
};

/* The most names that may be asked for at once. */
#define FIELDS_MAX 48

/* ret_values[i] becomes the value of names[i]; kind JSON_NONE where it is absent or null. Of equal
 * ones the last counts. rest may be NULL. False: text is no valid JSON object; then the values
 * found so far are set all the same. */
bool fields_read(struct str text, unsigned max_depth, const struct str *names, size_t count,
                 struct json_value *ret_values, const struct fields_rest *rest);
/* The same of a value that a reader has handed out (so it is valid), of any kind: no members if it
 * is no object. */
void fields_of(const struct json_value *value, const struct str *names, size_t count,
               struct json_value *ret_values);
/* One member. */
struct json_value field_of(const struct json_value *value, struct str name);

#define FIELDS(names) (names), sizeof(names) / sizeof *(names)

#endif
