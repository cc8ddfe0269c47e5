/* A request for an answer in no particular language: what every dialect reads its requests into
 * and writes them from.
 *
 *   ask ─ messages ─ message{role} ─ parts ─ part{text | image | tool call | tool result …}
 *       ├ tools ─ tool{name, description, schema}
 *       ├ what to do: tool_choice, format, sampling, limits, thinking
 *       └ others: members with no field here, each marked with what becomes of it elsewhere
 *
 * 1. Texts are what stands inside a JSON string, still escaped ("escaped text" below): a large
 *    prompt is never copied, and whatever was valid stays so. Short ones that are compared (names,
 *    ids, media types) are escaped in the one way in which json_escape_append does it.
 * 2. Values are JSON as it stood (schemas, numbers, cache_control): kind JSON_NONE where absent.
 * 3. Everything points into the body, static text or the arena; the ask owns nothing and lives as
 *    long as both. Nobody changes it once it is read.
 * 4. Tool results are parts of user messages. Messages keep the caller's order and grouping; a
 *    writer whose API wants roles to alternate, or results first, sees to that itself.
 * 5. Sizes are bounded by the ASK_…_MAX below; a reader refuses what is beyond them. */
#ifndef WEIR_DIALECT_ASK_H
#define WEIR_DIALECT_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/json_scan.h"
#include "dialect/openai_error.h"

#define ASK_MESSAGES_MAX 32768
#define ASK_PARTS_MAX    65536 /* of all messages and results together */
#define ASK_TOOLS_MAX    2048
#define ASK_MEMBERS_MAX  256 /* others */
#define ASK_STOPS_MAX    64

enum ask_role {
    ASK_SYSTEM,    /* system or developer; wherever it stands */
    ASK_USER,      /* also the results of tools */
    ASK_ASSISTANT, /* earlier answers */
};

enum ask_part_kind {
    ASK_TEXT,
    ASK_IMAGE,
    ASK_FILE, /* a document: PDF or text */
    ASK_AUDIO,
    ASK_TOOL_CALL,
    ASK_TOOL_RESULT,
    ASK_THINKING, /* text and signature; either may be empty */
    ASK_REDACTED, /* thinking that only its provider can read: text is its data */
    ASK_REFUSAL,
    ASK_OTHER, /* nothing of the above: raw is the part as it stood, type says what it is */
};

enum ask_source_kind {
    ASK_SOURCE_BASE64, /* data is base64, media_type is set */
    ASK_SOURCE_URL,    /* data is an http(s) URL */
    ASK_SOURCE_ID,     /* data is the name of a file that the provider keeps */
    ASK_SOURCE_TEXT,   /* data is plain text (of a document) */
};

/* Where an image, a document or a sound comes from. Escaped texts. */
struct ask_source {
    enum ask_source_kind kind;
    struct str data;
    struct str media_type; /* "image/png"; of a sound "audio/wav", "audio/mpeg"; empty: unknown */
    struct str name;       /* a file's; empty: none */
    struct str detail;     /* of an image: "low", "high", "auto"; empty: none */
};

struct ask_part {
    struct ask_part *next;
    enum ask_part_kind kind;
    struct str text;          /* TEXT, THINKING, REDACTED, REFUSAL; escaped */
    struct str signature;     /* THINKING; TOOL_CALL and TEXT (Gemini); escaped; empty: none */
    struct ask_source source; /* IMAGE, FILE, AUDIO */
    struct str id;            /* TOOL_CALL, TOOL_RESULT: of the call */
    struct str name;          /* TOOL_CALL: the function's; TOOL_RESULT: too, where it is known */
    struct str arguments;     /* TOOL_CALL: JSON text, unescaped, as the model wrote it: usually an
                                 object, but it may be empty or broken (ask_arguments) */
    struct ask_part *content; /* TOOL_RESULT: TEXT, IMAGE, FILE, OTHER */
    bool is_error;            /* TOOL_RESULT */
    struct str type;          /* OTHER: the dialect's name of it */
    struct str raw;           /* OTHER: JSON */
    struct json_value cache;  /* cache_control, an object */
    bool citations;           /* FILE: the answer is to cite it (Anthropic) */
};

struct ask_message {
    struct ask_message *next;
    enum ask_role role;
    uint32_t at;     /* its number in the caller's list, for error messages */
    struct str name; /* OpenAI's `name` of a participant; empty: none */
    struct ask_part *parts;
};

enum ask_tool_kind {
    ASK_TOOL_FUNCTION,
    ASK_TOOL_OTHER, /* a provider's own (web search, computer use, grammar, …): type and raw */
};

struct ask_tool {
    struct ask_tool *next;
    enum ask_tool_kind kind;
    struct str name;
    struct str description;   /* escaped; ptr NULL: absent */
    struct json_value schema; /* of its arguments, an object; absent: no arguments */
    struct json_value strict; /* true, false; absent */
    struct json_value cache;
    struct str type; /* OTHER */
    struct str raw;  /* OTHER: JSON */
};

enum ask_choice_kind {
    ASK_CHOICE_ABSENT,
    ASK_CHOICE_AUTO,
    ASK_CHOICE_NONE,
    ASK_CHOICE_ANY,   /* some tool: OpenAI's "required" */
    ASK_CHOICE_NAMED, /* tool_name */
};

enum ask_format_kind {
    ASK_FORMAT_ABSENT, /* or plain text */
    ASK_FORMAT_JSON,   /* some JSON object */
    ASK_FORMAT_SCHEMA,
};

struct ask_format {
    enum ask_format_kind kind;
    struct str name; /* of the schema; empty: none */
    struct str description;
    struct json_value schema;
    struct json_value strict;
};

enum ask_thinking_kind {
    ASK_THINKING_ABSENT,
    ASK_THINKING_OFF,
    ASK_THINKING_ON,       /* budget tokens, or effort; both may be unknown */
    ASK_THINKING_ADAPTIVE, /* as much as the model wants, within effort */
};

enum ask_effort {
    ASK_EFFORT_ABSENT,
    ASK_EFFORT_NONE,
    ASK_EFFORT_MINIMAL,
    ASK_EFFORT_LOW,
    ASK_EFFORT_MEDIUM,
    ASK_EFFORT_HIGH,
    ASK_EFFORT_XHIGH,
    ASK_EFFORT_MAX,
};

/* What another dialect does with a member that has no field in the ask. */
enum ask_member_class {
    ASK_MEMBER_UNKNOWN, /* this dialect does not know it either: passed on as it stands */
    ASK_MEMBER_HINT,    /* changes nothing in what an answer means: left out where it is not
                           understood; docs/dialects.md lists each */
    ASK_MEMBER_NEEDED,  /* refused where it is not understood */
};

struct ask_member {
    struct ask_member *next;
    enum ask_member_class class;
    struct str key; /* escaped */
    struct json_value value;
};

struct ask {
    struct str
        dialect;      /* the caller's: whose words raw of OTHER parts and tools, and others, are */
    struct str model; /* unescaped, as the caller wrote it */
    struct ask_message *messages;
    uint32_t message_count;
    struct ask_tool *tools;
    uint32_t tool_count;

    enum ask_choice_kind tool_choice;
    struct str tool_name;
    struct json_value parallel_tools; /* true, false; absent */
    struct ask_format format;

    int64_t max_tokens;            /* 0: none given */
    struct json_value temperature; /* numbers; absent, also where the caller wrote null */
    struct json_value top_p;
    struct json_value top_k;
    struct json_value seed;
    struct json_value presence_penalty;
    struct json_value frequency_penalty;
    struct str stops[ASK_STOPS_MAX]; /* escaped */
    uint32_t stop_count;
    int64_t n; /* choices, ≥ 1 */
    bool logprobs;
    int64_t top_logprobs; /* 0: none */

    enum ask_thinking_kind thinking;
    int64_t thinking_budget; /* tokens; 0: not given */
    enum ask_effort effort;  /* OpenAI's reasoning_effort, Anthropic's output_config.effort */
    bool thinking_hidden;    /* the caller does not want to see it */

    struct str user;            /* the caller's own name of its user; escaped; empty: none */
    struct json_value metadata; /* an object of strings, OpenAI's; NONE: absent */
    bool stream;
    bool include_usage; /* OpenAI's stream_options; true where a dialect always sends it */

    struct ask_member *others;
};

/* ---- For whoever reads or writes one ---- */

/* Set a problem of the caller's, with the type and code that go with e, which is returned. */
enum err ask_refuse(struct openai_problem *ret_problem, enum err e, const char *param,
                    const char *message, ...) __attribute__((format(printf, 4, 5)));
/* ERR_UNSUPPORTED: what, the subject of a sentence, cannot be said in the target's language. */
enum err ask_refuse_for(struct openai_problem *ret_problem, const char *target, const char *param,
                        const char *what);
/* The same of a tool that is no function. */
enum err ask_refuse_tool(struct openai_problem *ret_problem, const char *target,
                         const struct ask_tool *tool);

/* A value's inside, as it stands (any text that is only copied). Empty for no string. */
static inline struct str ask_text(const struct json_value *value)
{
    return json_text_raw(value);
}

/* The same in the one way of escaping, for names, ids and whatever is compared or taken apart. */
struct str ask_name(const struct json_value *value, struct arena *a);
/* Escape plain text into the arena. */
struct str ask_escape(struct str plain, struct arena *a);
/* Unescape; points to the text itself where there is nothing to do. */
struct str ask_unescape(struct str escaped, struct arena *a);

/* Does the model's name, behind any "provider/", begin so? */
bool ask_model_starts(struct str model, struct str prefix);

/* The member of others with that name, or NULL. */
const struct ask_member *ask_member_find(const struct ask *ask, struct str key);
/* Refuse (ERR_UNSUPPORTED) the first of others that is NEEDED and not among `known` (count names).
 * target: whom to name, "Anthropic's messages". */
MUST_CHECK enum err ask_members_check(const struct ask *ask, const struct str *known, size_t count,
                                      const char *target, struct openai_problem *ret_problem);

/* A call's arguments where an API wants an object: as they are if they are one, "{}" if there are
 * none, and {"raw_arguments": "…"} with the text of what is neither (models do write broken JSON,
 * and an agent that reports it back must be able to go on). */
struct str ask_arguments(struct str arguments, struct arena *a);

/* "low", …; STR_NONE for ABSENT. And back: ABSENT for what is unknown. */
struct str ask_effort_name(enum ask_effort effort);
enum ask_effort ask_effort_of(const struct json_value *value);
/* Tokens of thinking that an effort stands for where an API wants a number, and back. */
int64_t ask_effort_budget(enum ask_effort effort);
enum ask_effort ask_budget_effort(int64_t budget);

/* Take "data:image/png;base64,…" apart, or say that it is a URL. escaped: as ask_name gives it. */
struct ask_source ask_source_of_url(struct str escaped);

#endif
