#include "dialect/answer.h"

#include "dialect/fields.h"

/* What a part costs beside its text. */
enum { PART_BYTES = sizeof(struct answer_part) };

bool answer_event_is_content(const struct answer_event *event)
{
    switch (event->kind) {
    case ANSWER_TEXT:
    case ANSWER_THINKING:
    case ANSWER_REFUSAL: return event->text.len > 0;
    case ANSWER_SIGNATURE:
    case ANSWER_REDACTED:
    case ANSWER_TOOL_BEGIN:
    case ANSWER_TOOL_ARGS:
    case ANSWER_TOOL_END:
    case ANSWER_OTHER:
    case ANSWER_FINISH: return true;
    case ANSWER_START:
    case ANSWER_PING:
    case ANSWER_LOGPROBS:
    case ANSWER_USAGE:
    case ANSWER_ERROR:
    case ANSWER_END: break;
    }
    return false;
}

void dialect_answer_init(struct answer *a, size_t max_bytes)
{
    *a = (struct answer){.max_bytes = max_bytes};
    arena_init(&a->arena);
    buf_init(&a->usage_raw, ANSWER_SPARE_BYTES);
}

void dialect_answer_release(struct answer *a)
{
    for (struct answer_choice *choice = a->choices; choice; choice = choice->next) {
        for (struct answer_part *part = choice->parts; part; part = part->next)
            buf_release(&part->text);
        buf_release(&choice->logprobs_content);
        buf_release(&choice->logprobs_refusal);
    }
    buf_release(&a->usage_raw);
    arena_release(&a->arena);
    *a = (struct answer){.max_bytes = a->max_bytes};
}

void dialect_answer_reset(struct answer *a)
{
    dialect_answer_release(a);
    dialect_answer_init(a, a->max_bytes);
}

/* ---- Bounds ---- */

static bool fits(struct answer *a, size_t bytes, size_t spare)
{
    if (bytes <= a->max_bytes + spare && a->used_bytes <= a->max_bytes + spare - bytes) {
        a->used_bytes += bytes;
        return true;
    }
    a->truncated = true;
    return false;
}

static void append(struct answer *a, struct buf *to, struct str text)
{
    if (text.len == 0 || a->truncated || !fits(a, text.len, 0))
        return;
    buf_append_str(to, text);
    a->truncated |= to->error != ERR_OK;
}

/* A short text that is not added to later. */
static struct str keep(struct answer *a, struct str text)
{
    if (text.len == 0 || !fits(a, text.len, ANSWER_SPARE_BYTES))
        return STR("");
    return arena_str(&a->arena, text);
}

/* Bytes of an escaped text when it is unescaped, or nearly: \uXXXX counts as 2. */
static uint64_t count(struct str escaped)
{
    uint64_t bytes = 0;
    if (escaped.len == 0)
        return 0;
    for (const char *p = escaped.ptr, *end = p + escaped.len; p < end;) {
        const char *backslash = memchr(p, '\\', (size_t)(end - p));
        if (!backslash || end - backslash < 2)
            return bytes + (uint64_t)(end - p);
        bool unit = backslash[1] == 'u';
        bytes += (uint64_t)(backslash - p) + (unit ? 2 : 1);
        p = backslash + (unit && end - backslash >= 6 ? 6 : 2);
    }
    return bytes;
}

/* ---- Choices and parts ---- */

static struct answer_choice *choice_of(struct answer *a, uint32_t number)
{
    struct answer_choice **link = &a->choices;
    while (*link && (*link)->number < number)
        link = &(*link)->next;
    struct answer_choice *found = *link;
    if (found && found->number == number)
        return found;
    if (a->choice_count == ANSWER_CHOICES_MAX ||
        !fits(a, sizeof(struct answer_choice), ANSWER_SPARE_BYTES)) {
        a->truncated = true;
        return NULL;
    }
    struct answer_choice *choice = ARENA_NEW(&a->arena, struct answer_choice);
    *choice = (struct answer_choice){.next = *link, .number = number};
    buf_init(&choice->logprobs_content, a->max_bytes);
    buf_init(&choice->logprobs_refusal, a->max_bytes);
    *link = choice;
    a->choice_count++;
    return choice;
}

static struct answer_part *part_add(struct answer *a, struct answer_choice *choice,
                                    enum answer_part_kind kind)
{
    if (!choice || !fits(a, PART_BYTES, 0))
        return NULL;
    struct answer_part *part = ARENA_NEW(&a->arena, struct answer_part);
    part->kind = kind;
    buf_init(&part->text, a->max_bytes);
    if (choice->last)
        choice->last->next = part;
    else
        choice->parts = part;
    choice->last = part;
    a->part_count++;
    return part;
}

/* Text joins the part before it if that is of its kind and not over. */
static void take_text(struct answer *a, struct answer_choice *choice, enum answer_part_kind kind,
                      struct str text)
{
    struct answer_part *part = choice ? choice->last : NULL;
    a->output_bytes += count(text);
    if (text.len == 0)
        return;
    if (!part || part->kind != kind || part->ended)
        part = part_add(a, choice, kind);
    if (part)
        append(a, &part->text, text);
}

static void take_signature(struct answer *a, struct answer_choice *choice, struct str text)
{
    struct answer_part *part = choice ? choice->last : NULL;
    if (!part || part->kind != ANSWER_PART_THINKING || part->ended)
        part = part_add(a, choice, ANSWER_PART_THINKING);
    if (!part)
        return;
    part->signature = keep(a, text);
    part->ended = true;
}

static void take_whole(struct answer *a, struct answer_choice *choice, enum answer_part_kind kind,
                       struct str name, struct str text)
{
    struct answer_part *part = part_add(a, choice, kind);
    if (!part)
        return;
    part->name = keep(a, name);
    append(a, &part->text, text);
    part->ended = true;
}

/* ---- Tools ---- */

static struct answer_part *tool_of(struct answer_choice *choice, uint32_t tool)
{
    if (!choice)
        return NULL;
    if (choice->tool && choice->tool->tool == tool)
        return choice->tool;
    for (struct answer_part *part = choice->parts; part; part = part->next)
        if (part->kind == ANSWER_PART_TOOL && part->tool == tool)
            return choice->tool = part;
    return NULL;
}

static void take_tool_begin(struct answer *a, struct answer_choice *choice,
                            const struct answer_event *event)
{
    struct answer_part *part = part_add(a, choice, ANSWER_PART_TOOL);
    if (!part)
        return;
    part->tool = event->tool;
    part->id = keep(a, event->id);
    part->name = keep(a, event->name);
    part->signature = keep(a, event->text);
    choice->tool = part;
}

static void take_tool(struct answer *a, struct answer_choice *choice,
                      const struct answer_event *event)
{
    struct answer_part *part = tool_of(choice, event->tool);
    a->output_bytes += count(event->text);
    if (part && event->kind == ANSWER_TOOL_ARGS)
        append(a, &part->text, event->text);
    else if (part)
        part->ended = true;
}

/* ---- The rest ---- */

static void add_elements(struct answer *a, struct buf *to, const struct json_value *list)
{
    if (list->kind != JSON_ARRAY || list->raw.len <= 2)
        return;
    if (to->len > 0)
        append(a, to, STR(","));
    append(a, to, str_of(list->raw.ptr + 1, list->raw.len - 2));
}

static void take_logprobs(struct answer *a, struct answer_choice *choice, struct str raw)
{
    static const struct str names[] = {STR_INIT("content"), STR_INIT("refusal")};
    struct json_value lists[2];
    if (!choice || !fields_read(raw, JSON_DEPTH_MAX, FIELDS(names), lists, NULL))
        return;
    choice->has_logprobs = true;
    add_elements(a, &choice->logprobs_content, &lists[0]);
    add_elements(a, &choice->logprobs_refusal, &lists[1]);
}

static void take_usage(struct answer *a, const struct answer_event *event)
{
    a->usage = event->usage;
    buf_reset(&a->usage_raw);
    buf_append_str(&a->usage_raw, event->raw);
    if (a->usage_raw.error != ERR_OK)
        buf_reset(&a->usage_raw);
}

static void take_start(struct answer *a, const struct answer_event *event)
{
    a->started = true;
    a->id = keep(a, event->id);
    a->model = keep(a, event->name);
    a->created_s = event->created_s;
}

static void take_of_choice(struct answer *a, const struct answer_event *event)
{
    struct answer_choice *choice = choice_of(a, event->choice);
    switch (event->kind) {
    case ANSWER_TEXT: take_text(a, choice, ANSWER_PART_TEXT, event->text); break;
    case ANSWER_THINKING: take_text(a, choice, ANSWER_PART_THINKING, event->text); break;
    case ANSWER_REFUSAL: take_text(a, choice, ANSWER_PART_REFUSAL, event->text); break;
    case ANSWER_SIGNATURE: take_signature(a, choice, event->text); break;
    case ANSWER_REDACTED: take_whole(a, choice, ANSWER_PART_REDACTED, STR(""), event->text); break;
    case ANSWER_OTHER: take_whole(a, choice, ANSWER_PART_OTHER, event->name, event->raw); break;
    case ANSWER_TOOL_BEGIN: take_tool_begin(a, choice, event); break;
    case ANSWER_LOGPROBS: take_logprobs(a, choice, event->raw); break;
    case ANSWER_FINISH:
        if (!choice)
            break;
        choice->finish = event->finish;
        choice->stop_sequence = keep(a, event->text);
        break;
    default: take_tool(a, choice, event); break;
    }
}

void answer_take(struct answer *a, const struct answer_event *event)
{
    a->content |= answer_event_is_content(event);
    switch (event->kind) {
    case ANSWER_START: take_start(a, event); break;
    case ANSWER_PING: break;
    case ANSWER_USAGE:
        take_usage(a, event);
        a->usage_at_bytes = a->output_bytes;
        break;
    case ANSWER_ERROR:
        if (!a->failed)
            a->problem = *event->problem;
        a->failed = true;
        a->whole = false;
        break;
    case ANSWER_END: a->whole = !a->failed; break;
    default: take_of_choice(a, event); break;
    }
}

static void sink_take(void *arg, const struct answer_event *event)
{
    answer_take(arg, event);
}

struct answer_sink answer_sink_of(struct answer *a)
{
    return (struct answer_sink){sink_take, a};
}
