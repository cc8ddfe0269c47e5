/* What the mock can do wrong, on purpose: the kinds, how one is written, and when it strikes.
 *
 *     KIND[=VALUE][*COUNT][:PROBABILITY]      reset-mid-body   slow-first-byte=300   503*2 429:0.1
 *
 * VALUE is a time in ms, a size or Retry-After's seconds, as the kind says; COUNT: only so often;
 * PROBABILITY in 0…1. A number from 400 to 599 is a kind: that status. */
#ifndef WEIR_CLI_MOCK_FAULT_H
#define WEIR_CLI_MOCK_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum mock_fault_kind {
    FAULT_NONE,
#define FAULT(id, name, value_default, help) FAULT_##id,
#include "cli/mock/mock_faults.def"
#undef FAULT
    FAULT_STATUS, /* value: the status */
};

enum { MOCK_FAULTS_MAX = 32 };

struct mock_fault {
    enum mock_fault_kind kind;
    uint32_t value;
    uint32_t retry_after_s; /* of a status; 0: the field is not sent */
    uint32_t left;          /* times still to strike */
    double probability;
};

/* Those that stand for every request, in order. */
struct mock_faults {
    struct mock_fault at[MOCK_FAULTS_MAX];
    size_t count;
};

/* False: not a fault; reason (may be NULL) then gets one line for people. */
bool mock_fault_parse(struct str text, struct mock_fault *ret_fault, struct buf *reason);
/* The first that strikes now, by its probability and what is left of its count; FAULT_NONE else. */
struct mock_fault mock_faults_roll(struct mock_faults *faults);
#endif
