#include "dialect/anthropic_model.h"

struct row {
    struct str prefix;
    struct anthropic_model model;
};

/* The first prefix that fits counts. */
static const struct row rows[] = {
    {STR_INIT("claude-2"), {ANTHROPIC_THINKS_NOT, 4096, false, false, false}},
    {STR_INIT("claude-instant"), {ANTHROPIC_THINKS_NOT, 4096, false, false, false}},
    {STR_INIT("claude-3-7"), {ANTHROPIC_THINKS_BUDGET, 32000, false, false, false}},
    {STR_INIT("claude-3-5"), {ANTHROPIC_THINKS_NOT, 8192, false, false, false}},
    {STR_INIT("claude-3"), {ANTHROPIC_THINKS_NOT, 4096, false, false, false}},
    {STR_INIT("claude-sonnet-4-0"), {ANTHROPIC_THINKS_BUDGET, 32000, false, false, false}},
    {STR_INIT("claude-sonnet-4-2025"), {ANTHROPIC_THINKS_BUDGET, 32000, false, false, false}},
    {STR_INIT("claude-opus-4-0"), {ANTHROPIC_THINKS_BUDGET, 32000, false, false, false}},
    {STR_INIT("claude-opus-4-2025"), {ANTHROPIC_THINKS_BUDGET, 32000, false, false, false}},
    {STR_INIT("claude-opus-4-1"), {ANTHROPIC_THINKS_BUDGET, 32000, true, false, false}},
    {STR_INIT("claude-opus-4-5"), {ANTHROPIC_THINKS_BUDGET, 32000, true, false, false}},
    {STR_INIT("claude-sonnet-4-5"), {ANTHROPIC_THINKS_BUDGET, 32000, true, false, false}},
    {STR_INIT("claude-haiku-4-5"), {ANTHROPIC_THINKS_BUDGET, 32000, true, false, false}},
    {STR_INIT("claude-opus-4-6"), {ANTHROPIC_THINKS_ADAPTIVE, 32000, true, false, false}},
    {STR_INIT("claude-sonnet-4-6"), {ANTHROPIC_THINKS_ADAPTIVE, 32000, true, false, false}},
    {STR_INIT("claude-"), {ANTHROPIC_THINKS_ADAPTIVE, 32000, true, true, true}},
};

static const struct anthropic_model other = {ANTHROPIC_THINKS_BUDGET, 4096, false, false, false};

struct anthropic_model anthropic_model_of(struct str name)
{
    ptrdiff_t at = str_find(name, STR("claude"));
    if (at < 0)
        return other;
    name = str_skip(name, (size_t)at);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (str_starts(name, rows[i].prefix))
            return rows[i].model;
    return other;
}
