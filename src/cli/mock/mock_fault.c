#include "cli/mock/mock_fault.h"

#include "os/random.h"

struct kind {
    struct str name;
    uint32_t value_default;
};

static const struct kind kinds[] = {
    [FAULT_NONE] = {STR_INIT("none"), 0},
#define FAULT(id, name, value_default, help) [FAULT_##id] = {STR_INIT(name), value_default},
#include "cli/mock/mock_faults.def"
#undef FAULT
};

/* "0.25", "1", ".5": decimal digits with at most one point, in 0…1. */
static bool parse_probability(struct str text, double *ret_probability)
{
    double value = 0;
    double unit = 1;
    bool point = false;
    if (text.len == 0 || text.len > 12)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.' && !point) {
            point = true;
        } else if (c >= '0' && c <= '9') {
            if (point)
                unit /= 10;
            value = point ? value + unit * (c - '0') : value * 10 + (c - '0');
        } else {
            return false;
        }
    }
    if (value > 1)
        return false;
    *ret_probability = value;
    return true;
}

/* The last part of *text behind `mark`, cut off; false when it is there but no number. */
static bool cut_number(struct str *text, char mark, uint64_t max, bool *ret_there,
                       uint32_t *ret_value)
{
    uint64_t value;
    ptrdiff_t at = str_index(*text, mark);
    *ret_there = at >= 0;
    if (at < 0)
        return true;
    if (str_to_u64(str_skip(*text, (size_t)at + 1), &value) != ERR_OK || value > max)
        return false;
    *text = str_take(*text, (size_t)at);
    *ret_value = (uint32_t)value;
    return true;
}

static bool find_status(struct str name, struct mock_fault *fault, bool has_value)
{
    uint64_t status;
    if (str_to_u64(name, &status) != ERR_OK || status < 400 || status > 599)
        return false;
    fault->kind = FAULT_STATUS;
    if (status == 429 || status == 503 || has_value)
        fault->retry_after_s = has_value ? fault->value : 1;
    fault->value = (uint32_t)status;
    return true;
}

static bool find_kind(struct str name, struct mock_fault *fault, bool has_value)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!str_eq(kinds[i].name, name))
            continue;
        fault->kind = (enum mock_fault_kind)i;
        if (!has_value)
            fault->value = kinds[i].value_default;
        return true;
    }
    return find_status(name, fault, has_value);
}

static void explain_unknown(struct str name, struct buf *reason)
{
    struct str near = STR_NONE;
    unsigned best = 4;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        unsigned distance = str_distance(kinds[i].name, name);
        if (distance < best) {
            best = distance;
            near = kinds[i].name;
        }
    }
    if (near.len > 0)
        buf_printf(reason, "unknown kind '%.*s', did you mean '%.*s'?", STR_ARG(name),
                   STR_ARG(near));
    else
        buf_printf(reason, "unknown kind '%.*s'; `weir mock --help` lists them", STR_ARG(name));
}

bool mock_fault_parse(struct str text, struct mock_fault *ret_fault, struct buf *reason)
{
    struct mock_fault fault = {.left = UINT32_MAX, .probability = 1};
    bool has_count;
    bool has_value;
    struct str rest = text;
    struct str head = str_split(&rest, ':');
    if (rest.ptr && !parse_probability(rest, &fault.probability)) {
        if (reason)
            buf_printf(reason, "'%.*s' is not a probability from 0 to 1", STR_ARG(rest));
        return false;
    }
    if (!cut_number(&head, '*', UINT32_MAX - 1, &has_count, &fault.left) ||
        !cut_number(&head, '=', 24 * 3600 * 1000, &has_value, &fault.value)) {
        if (reason)
            buf_printf(reason, "'%.*s': KIND[=VALUE][*COUNT] wants whole numbers", STR_ARG(head));
        return false;
    }
    if (!find_kind(head, &fault, has_value)) {
        if (reason)
            explain_unknown(head, reason);
        return false;
    }
    *ret_fault = fault;
    return true;
}

static bool strikes(struct mock_fault *fault)
{
    if (fault->left == 0)
        return false;
    if (fault->probability < 1 && (double)(os_random_u64() >> 11) * 0x1p-53 >= fault->probability)
        return false;
    if (fault->left != UINT32_MAX)
        fault->left--;
    return true;
}

struct mock_fault mock_faults_roll(struct mock_faults *faults)
{
    for (size_t i = 0; i < faults->count; i++)
        if (strikes(&faults->at[i]))
            return faults->at[i];
    return (struct mock_fault){.kind = FAULT_NONE};
}
