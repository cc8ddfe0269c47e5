/* What a conversation holds, whichever API it is written in, and what its text wishes the mock to
 * do: words like `mock:refuse` in what a person or the system says. Such a wish passes every
 * gateway, translated or not, which a header or a model's name does not. */
#ifndef WEIR_CLI_MOCK_TALK_H
#define WEIR_CLI_MOCK_TALK_H

#include <yyjson.h>

#include "cli/mock/mock_ask.h"

enum { MOCK_WISH_UNSET = -1 };

/* docs/mock.md explains each; numbers are MOCK_WISH_UNSET without the wish. */
struct mock_wish {
    bool refuse, filter, empty, text, both, parallel, redacted, cached;
    int64_t think, tokens, turns;
    struct str call;  /* the tool to call */
    struct str fault; /* as `--fault` */
};

/* Strings point into the document. */
struct mock_talk {
    uint64_t tokens;      /* of its text and images */
    uint64_t mark_tokens; /* …up to the last cache_control */
    bool marked, marked_1h;
    size_t messages, images, files, calls, results, thoughts, signatures;
    bool assistant_spoke;
    bool ends_with_result;
    uint64_t rounds;      /* of calls since a person last spoke */
    uint64_t next_call;   /* number of the next call, for its id */
    const char *problem;  /* what came back changed; NULL: nothing */
    struct str last_text; /* that a person said */
    struct mock_wish wish;
};

/* A member by one of two names: Gemini takes camelCase and snake_case. */
yyjson_val *mock_get2(yyjson_val *object, const char *name, const char *other);
struct str mock_text_of(yyjson_val *string);

void mock_talk_read(enum mock_api api, yyjson_val *root, struct mock_talk *ret_talk);

#endif
