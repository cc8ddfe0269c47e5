/* What alerts ask of a call's record (docs/internals/call.md). */
#include <stdlib.h>

#include "alert/alert_int.h"
#include "codec/time.h"

enum { NESTING_MAX = 256, COST_DIGITS = 48, WORDS_BYTES_MAX = 512 };

static int64_t number(struct json_value v, int64_t fallback)
{
    int64_t value;
    return json_to_i64(&v, &value) == ERR_OK ? value : fallback;
}

static void read_timing(struct json_reader *r, struct alert_facts *f)
{
    struct json_value key;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key)) {
        if (json_eq(&key, STR("total_us")))
            f->total_us = number(json_take(r), 0);
        else if (json_eq(&key, STR("first_token_us")))
            f->first_us = number(json_take(r), -1);
    }
}

static void read_usage(struct json_reader *r, struct alert_facts *f)
{
    struct json_value key;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key)) {
        if (json_eq(&key, STR("input")))
            f->input = number(json_take(r), 0);
        else if (json_eq(&key, STR("output")))
            f->output = number(json_take(r), 0);
    }
}

static void read_cost(struct json_reader *r, struct alert_facts *f)
{
    struct json_value key;
    char text[COST_DIGITS + 1] = "";
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key)) {
        if (!json_eq(&key, STR("amount")))
            continue;
        struct json_value amount = json_take(r);
        struct str digits = str_take(json_text_raw(&amount), COST_DIGITS);
        if (digits.len)
            memcpy(text, digits.ptr, digits.len);
        text[digits.len] = 0;
        f->cost = strtod(text, NULL);
    }
}

static void read_member(struct json_reader *r, const struct json_value *key, struct arena *a,
                        struct alert_facts *f, int64_t *start_us)
{
    const struct {
        struct str name;
        struct str *to;
    } texts[] = {{STR("model"), &f->model},     {STR("target"), &f->target},
                 {STR("key"), &f->key},         {STR("endpoint"), &f->endpoint},
                 {STR("outcome"), &f->outcome}, {STR("user"), &f->user}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (!json_eq(key, texts[i].name))
            continue;
        struct json_value value = json_take(r);
        *texts[i].to = json_text(&value, a);
        return;
    }
    if (json_eq(key, STR("time"))) {
        struct json_value value = json_take(r);
        if (time_parse(json_text_raw(&value), start_us) != ERR_OK)
            *start_us = -1;
    } else if (json_eq(key, STR("status"))) {
        f->status = number(json_take(r), 0);
    } else if (json_eq(key, STR("timing"))) {
        read_timing(r, f);
    } else if (json_eq(key, STR("usage"))) {
        read_usage(r, f);
    } else if (json_eq(key, STR("cost"))) {
        read_cost(r, f);
    } else if (json_eq(key, STR("request"))) {
        f->request = json_take(r).raw;
    } else if (json_eq(key, STR("response"))) {
        f->response = json_take(r).raw;
    }
}

bool alert_facts_read(struct str record, struct arena *a, struct alert_facts *ret_facts)
{
    struct alert_facts f = {.first_us = -1};
    struct json_reader r;
    struct json_value key;
    int64_t start_us = -1;
    json_reader_init(&r, record, NESTING_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return false;
    while (json_next_member(&r, &key))
        read_member(&r, &key, a, &f, &start_us);
    if (!json_finish(&r) || start_us < 0 || !f.outcome.len)
        return false;
    f.end_us = start_us + f.total_us;
    *ret_facts = f;
    return true;
}

/* ---- Filters ---- */

static bool name_passes(struct str wanted, struct str is)
{
    return !wanted.len || str_eq(wanted, is);
}

static bool status_passes(struct str wanted, const struct alert_facts *f)
{
    uint64_t number_wanted;
    if (!wanted.len)
        return true;
    if (wanted.len == 3 && str_eq(str_skip(wanted, 1), STR("xx")))
        return f->status / 100 == wanted.ptr[0] - '0';
    if (str_to_u64(wanted, &number_wanted) == ERR_OK)
        return f->status == (int64_t)number_wanted;
    return str_eq(f->outcome, wanted);
}

static bool is_word_byte(char c)
{
    unsigned char b = (unsigned char)c;
    return b >= 0x80 || (b >= '0' && b <= '9') || (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z');
}

/* Does a word in the text begin with that one? */
static bool has_word(struct str text, struct str word)
{
    for (size_t i = 0; i + word.len <= text.len; i++)
        if ((i == 0 || !is_word_byte(text.ptr[i - 1])) &&
            str_eq_nocase(str_of(text.ptr + i, word.len), word))
            return true;
    return false;
}

static bool words_pass(struct str words, const struct alert_facts *f)
{
    struct str rest = str_take(words, WORDS_BYTES_MAX);
    while (rest.ptr) {
        struct str word = str_split(&rest, ' ');
        if (word.len && !has_word(f->request, word) && !has_word(f->response, word))
            return false;
    }
    return true;
}

bool alert_facts_pass(const struct alert_facts *f, const struct config_alert_filter *where)
{
    return name_passes(where->model, f->model) && name_passes(where->target, f->target) &&
           name_passes(where->key, f->key) && name_passes(where->endpoint, f->endpoint) &&
           name_passes(where->outcome, f->outcome) && name_passes(where->user, f->user) &&
           status_passes(where->status, f) && words_pass(where->q, f);
}

struct str alert_facts_group(const struct alert_facts *f, enum config_alert_by by)
{
    struct str name;
    switch (by) {
    default: return STR("");
    case CONFIG_BY_MODEL: name = f->model; break;
    case CONFIG_BY_TARGET: name = f->target; break;
    case CONFIG_BY_KEY: name = f->key; break;
    case CONFIG_BY_ENDPOINT: name = f->endpoint; break;
    case CONFIG_BY_OUTCOME: name = f->outcome; break;
    case CONFIG_BY_USER: name = f->user; break;
    }
    return name.len ? str_take(name, ALERT_GROUP_BYTES) : STR("(none)");
}
