/* What keeps a provider from being asked too much: breaker, retry_budget, health. */
#include "config/config_int.h"

#define DAY_MS INT64_C(86400000)

const struct config_breaker breaker_default = {
    .percent = 50,
    .requests = 10,
    .window_ms = 30000,
    .open_ms = 5000,
    .open_max_ms = 60000,
};

const struct config_retry_budget retry_budget_default = {.percent = 20, .reserve_per_s = 10};

static bool is_off(const struct node *n)
{
    return n->kind == NODE_SCALAR && str_eq(n->text, STR("off"));
}

/* "50%": 1 to 100. */
static void read_percent(struct loader *l, const struct field *field, const struct node *n,
                         void *object)
{
    static const char expected[] = "a share: a whole number from 1 to 100 and %, as 50%";
    struct str text;
    uint64_t value;
    if (!scalar_text(l, n, expected, &text))
        return;
    if (!str_ends(text, STR("%")) || str_to_u64(str_take(text, text.len - 1), &value) != ERR_OK ||
        value < 1 || value > 100)
        mistake(l, n, "%s: '%s' is not %s", node_path(l, n), node_shown(l, n), expected);
    else
        *(int *)((char *)object + field->offset) = (int)value;
}

void read_breaker(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    static const struct field fields[] = {
        FIELD("failures", read_percent, struct config_breaker, percent),
        FIELD_IN("requests", read_int, struct config_breaker, requests, 1, 1000000),
        FIELD_IN("window", read_span, struct config_breaker, window_ms, 100, DAY_MS),
        FIELD_IN("open", read_span, struct config_breaker, open_ms, 1, DAY_MS),
        FIELD_IN("open_max", read_span, struct config_breaker, open_max_ms, 1, DAY_MS),
    };
    struct config_breaker *b = (struct config_breaker *)((char *)object + field->offset);
    if (is_off(n)) {
        b->off = true;
        return;
    }
    READ_MAP(l, n, fields, b);
    if (b->open_max_ms < b->open_ms)
        b->open_max_ms = b->open_ms;
}

void read_retry_budget(struct loader *l, const struct field *field, const struct node *n,
                       void *object)
{
    static const struct field fields[] = {
        FIELD("share", read_percent, struct config_retry_budget, percent),
        FIELD_IN("reserve", read_int64, struct config_retry_budget, reserve_per_s, 0, 1000000),
    };
    struct config_retry_budget *b = (struct config_retry_budget *)((char *)object + field->offset);
    if (is_off(n))
        b->off = true;
    else if (n->kind == NODE_SCALAR)
        read_percent(l, &fields[0], n, b);
    else
        READ_MAP(l, n, fields, b);
}

static void read_path(struct loader *l, const struct field *field, const struct node *n,
                      void *object)
{
    struct config_health *h = object;
    struct str text;
    (void)field;
    if (!scalar_text(l, n, "a path, as /health", &text))
        return;
    bool good = text.len > 0 && text.len <= 1024 && text.ptr[0] == '/';
    for (size_t i = 0; good && i < text.len; i++)
        good = (unsigned char)text.ptr[i] > 0x20 && (unsigned char)text.ptr[i] < 0x7f &&
               text.ptr[i] != '#';
    if (good)
        h->path = arena_str(l->arena, text);
    else
        mistake(l, n, "%s: '%s' is not a path from the host's root, as /health", node_path(l, n),
                node_shown(l, n));
}

void read_health(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    static const struct field fields[] = {
        FIELD("path", read_path, struct config_health, path),
        FIELD_IN("every", read_span, struct config_health, every_ms, 100, DAY_MS),
    };
    struct config_health *h = (struct config_health *)((char *)object + field->offset);
    unsigned before = l->mistakes;
    h->every_ms = 10000;
    if (READ_MAP(l, n, fields, h) && l->mistakes == before && !h->path.len)
        mistake(l, n, "%s: 'path' is missing, as /health", node_path(l, n));
}
