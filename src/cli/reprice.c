/* weir reprice: what the calls on record would have cost by another price list.
 *
 * A record's usage and target are what prices are applied to, so history can be counted anew
 * whenever a price was wrong or is to change; the records themselves stay as they are. */
#include <stdio.h>

#include "base/mem.h"
#include "cli/call_source.h"
#include "cli/commands.h"
#include "codec/json_scan.h"
#include "codec/json_write.h"
#include "codec/usage.h"
#include "state/prices.h"

enum {
    PAGE_CALLS = 500,
    GROUPS_MAX = 4096, /* more models × keys are counted together as "(others)" */
    NESTING_MAX = JSON_DEPTH_MAX,
    LIST_BYTES_MAX = 16 << 20,
};

/* Calls that asked for one model with one key. */
struct group {
    struct str model;
    struct str key;
    uint64_t calls;
    uint64_t recorded_calls; /* of them, with a cost on record */
    uint64_t priced_calls;   /* with a cost by the new list */
    struct decimal recorded;
    struct decimal priced;
};

struct reprice {
    const struct cli_command *command;
    struct call_source source;
    struct str prices_file, since;
    bool json;
    struct prices *prices;
    struct group *groups;
    size_t group_count;
    struct group total;
    struct arena arena;
};

/* ---- One record ---- */

struct entry {
    struct str model, key, target, outcome;
    struct usage usage;
    struct decimal cost;
    bool has_cost;
};

static void read_cost(struct str cost, struct entry *e)
{
    struct json_value amount;
    if (json_find(cost, "amount", &amount))
        e->has_cost = decimal_parse(json_text_raw(&amount), &e->cost) == ERR_OK;
}

static void read_entry(struct str record, struct arena *a, struct entry *e)
{
    struct json_reader r;
    struct json_value key;
    json_reader_init(&r, record, NESTING_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return;
    while (json_next_member(&r, &key)) {
        struct json_value value = json_take(&r);
        if (json_eq(&key, STR("model")))
            e->model = json_text(&value, a);
        else if (json_eq(&key, STR("key")))
            e->key = json_text(&value, a);
        else if (json_eq(&key, STR("target")))
            e->target = json_text(&value, a);
        else if (json_eq(&key, STR("outcome")))
            e->outcome = json_text(&value, a);
        else if (json_eq(&key, STR("usage")))
            e->usage = usage_read(value.raw);
        else if (json_eq(&key, STR("cost")))
            read_cost(value.raw, e);
    }
}

/* ---- Adding up ---- */

static struct group *find_group(struct reprice *r, struct str model, struct str key)
{
    for (size_t i = 0; i < r->group_count; i++)
        if (str_eq(r->groups[i].model, model) && str_eq(r->groups[i].key, key))
            return &r->groups[i];
    if (r->group_count == GROUPS_MAX)
        return find_group(r, STR("(others)"), STR(""));
    bool last = r->group_count + 1 == GROUPS_MAX;
    struct group *group = &r->groups[r->group_count++];
    group->model = last ? STR("(others)") : arena_str(&r->arena, model);
    group->key = last ? STR("") : arena_str(&r->arena, key);
    return group;
}

static enum err add(struct group *group, const struct entry *e, bool priced, struct decimal cost)
{
    group->calls++;
    group->recorded_calls += e->has_cost;
    group->priced_calls += priced;
    if (e->has_cost)
        TRY(decimal_add(group->recorded, e->cost, &group->recorded));
    return priced ? decimal_add(group->priced, cost, &group->priced) : ERR_OK;
}

/* An answer from the cache cost nothing, and would not have. */
static bool price_anew(const struct reprice *r, const struct entry *e, struct decimal *ret_cost)
{
    struct cost cost;
    if (!e->target.len || prices_cost(r->prices, e->target, &e->usage, &cost) != ERR_OK)
        return false;
    *ret_cost = str_eq(e->outcome, STR("cached")) ? DECIMAL_ZERO : cost.amount;
    return true;
}

static enum err take_record(struct reprice *r, struct str record)
{
    struct arena a;
    struct entry e = {.has_cost = false};
    struct decimal cost = DECIMAL_ZERO;
    arena_init(&a);
    read_entry(record, &a, &e);
    bool priced = price_anew(r, &e, &cost);
    enum err err = add(find_group(r, e.model, e.key), &e, priced, cost);
    if (err == ERR_OK)
        err = add(&r->total, &e, priced, cost);
    arena_release(&a);
    return err;
}

static int take_page(struct reprice *r, struct str calls)
{
    struct json_reader reader;
    json_reader_init(&reader, calls, NESTING_MAX);
    if (!json_enter(&reader, JSON_ARRAY))
        return 0;
    while (json_next_element(&reader)) {
        struct json_value record = json_take(&reader);
        if (take_record(r, record.raw) != ERR_OK)
            return cli_fail(r->command, 1, "a sum is larger than 10^23 USD");
    }
    return 0;
}

static int take_all(struct reprice *r)
{
    int64_t since_us;
    int64_t cursor = -1;
    int code = 0;
    if (!call_source_since(r->command, r->since, &since_us))
        return 2;
    do {
        struct buf page BUF_AUTO;
        struct str calls;
        buf_init(&page, CALL_PAGE_BYTES_MAX);
        code = call_source_page(&r->source, r->command, cursor, since_us, PAGE_CALLS, &page);
        if (code)
            return code;
        if (!call_source_calls(buf_str(&page), &calls, &cursor))
            return cli_fail(r->command, 1, "the server's answer is not understood");
        code = take_page(r, calls);
    } while (code == 0 && cursor >= 0);
    return code;
}

/* ---- Printing ---- */

static struct decimal difference(const struct group *g)
{
    return (struct decimal){g->priced.steps - g->recorded.steps};
}

static void print_json(const struct reprice *r, const struct group *g, bool total)
{
    struct buf line BUF_AUTO;
    struct json_writer w;
    char text[DECIMAL_TEXT_BYTES];
    buf_init(&line, 65536);
    json_writer_init(&w, &line);
    json_object_begin(&w);
    if (total) {
        json_member_bool(&w, STR("total"), true);
    } else {
        json_member_str(&w, STR("model"), g->model);
        json_member_str(&w, STR("key"), g->key);
    }
    json_member_u64(&w, STR("calls"), g->calls);
    json_member_u64(&w, STR("recorded_calls"), g->recorded_calls);
    json_member_u64(&w, STR("priced_calls"), g->priced_calls);
    json_member_str(&w, STR("recorded"), decimal_format(g->recorded, text));
    json_member_str(&w, STR("priced"), decimal_format(g->priced, text));
    json_member_str(&w, STR("difference"), decimal_format(difference(g), text));
    json_member_str(&w, STR("currency"), STR("USD"));
    json_member_str(&w, STR("prices"), prices_version(r->prices));
    json_object_end(&w);
    printf("%s\n", buf_cstr(&line));
}

static void print_row(const struct group *g, struct str model, struct str key)
{
    char recorded[DECIMAL_TEXT_BYTES];
    char priced[DECIMAL_TEXT_BYTES];
    char more[DECIMAL_TEXT_BYTES];
    struct decimal d = difference(g);
    struct str sign = d.steps > 0 ? STR("+") : STR("");
    char change[DECIMAL_TEXT_BYTES + 1];
    (void)snprintf(change, sizeof change, "%.*s%.*s", STR_ARG(sign),
                   STR_ARG(decimal_format(d, more)));
    printf("%-32.*s  %-16.*s  %9llu  %9llu  %18.*s  %18.*s  %18s\n", STR_ARG(str_take(model, 32)),
           STR_ARG(str_take(key, 16)), (unsigned long long)g->calls,
           (unsigned long long)(g->calls - g->priced_calls),
           STR_ARG(decimal_format(g->recorded, recorded)),
           STR_ARG(decimal_format(g->priced, priced)), change);
}

static int compare_groups(const void *a, const void *b)
{
    const struct group *x = a;
    const struct group *y = b;
    int order = str_cmp(x->model, y->model);
    return order ? order : str_cmp(x->key, y->key);
}

/* A table of zeros explains nothing. */
static void print_why_nothing(const struct reprice *r)
{
    const struct group *g = &r->total;
    if (g->calls == 0)
        printf("no calls%s: nothing to price\n", r->since.len ? " since then" : "");
    else if (g->priced_calls == 0 && g->recorded_calls == 0)
        printf("none of these %llu calls has a price, in the record or in the list: local models "
               "cost nothing; give others one in `prices` of weir.yaml and name it with --prices\n",
               (unsigned long long)g->calls);
    else if (g->priced_calls == 0)
        printf("the list has a price for none of these %llu calls: see --prices\n",
               (unsigned long long)g->calls);
}

static void print_all(struct reprice *r)
{
    qsort(r->groups, r->group_count, sizeof r->groups[0], compare_groups);
    if (!r->json)
        printf("%-32s  %-16s  %9s  %9s  %18s  %18s  %18s\n", "MODEL", "KEY", "CALLS", "UNPRICED",
               "RECORDED USD", "PRICED USD", "DIFFERENCE");
    for (size_t i = 0; i < r->group_count; i++) {
        if (r->json)
            print_json(r, &r->groups[i], false);
        else
            print_row(&r->groups[i], r->groups[i].model, r->groups[i].key);
    }
    if (r->json)
        print_json(r, &r->total, true);
    else
        print_row(&r->total, STR("TOTAL"), STR(""));
    if (!r->json)
        printf("prices: %.*s\n", STR_ARG(prices_version(r->prices)));
    if (!r->json)
        print_why_nothing(r);
}

/* ---- The list ---- */

static int build(struct reprice *r, struct str list, const struct config *config)
{
    size_t line = 0;
    enum err err = prices_build_from(list, config, &line, &r->prices);
    if (err != ERR_OK)
        return cli_fail(r->command, 2, "%.*s:%zu: not a line of a price list: %s",
                        STR_ARG(r->prices_file), line, err_text(err));
    return 0;
}

/* A file that ends in .tsv is a list in the shipped one's place; any other is a configuration whose
 * `prices` stand above it. */
static int load_prices(struct reprice *r)
{
    struct config_report report;
    struct config *config = NULL;
    struct buf list BUF_AUTO;
    bool is_list = str_ends(r->prices_file, STR(".tsv"));
    struct config_options options = {.path = is_list ? STR_NONE : r->prices_file};
    buf_init(&list, LIST_BYTES_MAX);
    if (is_list) {
        enum err err = config_source_process.file(NULL, r->prices_file.ptr, &list);
        if (err != ERR_OK)
            return cli_fail(r->command, 2, "%.*s: %s", STR_ARG(r->prices_file), err_text(err));
    }
    config_report_init(&report);
    enum err err = config_load(&options, &report, &config);
    if (err != ERR_OK)
        (void)fprintf(stderr, "%s", buf_cstr(&report.mistakes));
    config_report_release(&report);
    if (err != ERR_OK)
        return 2;
    int code = build(r, is_list ? buf_str(&list) : STR_NONE, config);
    config_put(config);
    return code;
}

/* ---- The command ---- */

static int reprice(struct reprice *r)
{
    int code = load_prices(r);
    if (code)
        return code;
    code = call_source_open(&r->source, r->command);
    if (code == 0)
        code = take_all(r);
    if (code == 0)
        print_all(r);
    return code;
}

static int run(int argc, char **argv)
{
    struct reprice r = {.command = &cli_reprice};
    struct cli_args args;
    remote_init(&r.source.remote);
    const struct cli_option options[] = {
        {"--prices", "FILE",
         "a weir.yaml whose `prices` hold, or a list (.tsv) in the shipped one's place",
         .value = &r.prices_file},
        {"--since", "TIME", "only calls since a time (RFC 3339) or an age (30d)",
         .value = &r.since},
        {"--model", "NAME", "only calls that asked for this model", .value = &r.source.model},
        {"--key-name", "NAME", "only calls of the key of this name", .value = &r.source.key},
        {"--json", NULL, "one JSON object per line", .flag = &r.json},
        {"--data", "DIR", "read this data folder instead of asking a server",
         .value = &r.source.data},
        REMOTE_OPTIONS(&r.source.remote),
    };
    switch (
        cli_parse(&cli_reprice, options, sizeof options / sizeof options[0], argc, argv, &args)) {
    case CLI_HELP_SHOWN: return 0;
    case CLI_WRONG: return 2;
    case CLI_GO: break;
    }
    if (args.count)
        return cli_fail(&cli_reprice, 2, "'%.*s' is not an option; see `weir reprice --help`",
                        STR_ARG(args.words[0]));
    arena_init(&r.arena);
    r.groups = mem_array(GROUPS_MAX, sizeof r.groups[0]);
    int code = reprice(&r);
    prices_put(r.prices);
    call_source_close(&r.source);
    mem_free(r.groups);
    arena_release(&r.arena);
    return code;
}

const struct cli_command cli_reprice = {
    .name = "reprice",
    .usage = "weir reprice [--prices FILE] [options]",
    .summary = "What recorded calls would have cost by another price list",
    .details = "Without --prices the list that Weir ships holds, and above it the `prices` of "
               "weir.yaml, if there is one here.\n"
               "UNPRICED are calls that the list has no price for, or whose usage nobody knows. "
               "Records are not changed.",
    .run = run,
};
