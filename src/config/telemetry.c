/* telemetry: where the spans of Weir's own calls go. */
#include "config/config_int.h"

static void read_otlp_headers(struct loader *l, const struct field *field, const struct node *n,
                              void *object)
{
    struct config_telemetry *t = object;
    (void)field;
    headers_read(l, n, &t->headers, &t->header_count);
}

/* The URL may hold a secret: it is not shown. */
static void read_otlp_url(struct loader *l, const struct field *field, const struct node *n,
                          void *object)
{
    struct config_telemetry *t = object;
    struct config_url url;
    struct str text;
    const char *why = NULL;
    (void)field;
    if (!scalar_text(l, n, "a URL, as http://127.0.0.1:4318", &text))
        return;
    if (config_url_parse(l->arena, text, &url, &why) != ERR_OK)
        mistake(l, n, "%s: is no URL: %s", node_path(l, n), why);
    else
        t->url = arena_str(l->arena, text);
}

static const struct field otlp_fields[] = {
    {.name = "url", .read = read_otlp_url},
    {.name = "headers", .read = read_otlp_headers},
    FIELD("messages", read_bool, struct config_telemetry, messages),
};

static void read_otlp(struct loader *l, const struct field *field, const struct node *n,
                      void *object)
{
    struct config_telemetry *t = object;
    unsigned before = l->mistakes;
    (void)field;
    if (READ_MAP(l, n, otlp_fields, t) && l->mistakes == before && !t->url.len)
        mistake(l, n, "%s: 'url' is missing: the collector's, as http://127.0.0.1:4318",
                node_path(l, n));
}

static const struct field telemetry_fields[] = {{.name = "otlp", .read = read_otlp}};

void read_telemetry(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    struct config *c = object;
    (void)field;
    READ_MAP(l, n, telemetry_fields, &c->telemetry);
}
