/* The table. Names are what --only looks for and what the report says. */
#include "cli/conformance/conformance_int.h"

#define CHAT        (1u << CONF_CHAT)
#define COMPLETIONS (1u << CONF_COMPLETIONS)
#define EMBEDDINGS  (1u << CONF_EMBEDDINGS)
#define RESPONSES   (1u << CONF_RESPONSES)
#define MESSAGES    (1u << CONF_MESSAGES)
#define TALK        (CHAT | RESPONSES | MESSAGES)

#define OPENAI    (1u << CONF_OPENAI)
#define AZURE     (1u << CONF_AZURE)
#define ANTHROPIC (1u << CONF_ANTHROPIC)
#define GEMINI    (1u << CONF_GEMINI)
#define ANY       (OPENAI | AZURE | ANTHROPIC | GEMINI)

#define PLAIN(name, apis, kinds, modes, asks, words, wants)                                        \
    {                                                                                              \
        name, apis, kinds, modes, asks, words, wants, NULL                                         \
    }
#define FAULT(kind, modes, wants)                                                                  \
    {                                                                                              \
        "fault " kind, TALK, ANY, modes, 0, "mock:fault=" kind, wants, NULL                        \
    }
#define FRAME(kind) FAULT(kind, STREAM, "text=8 stop=end")
#define SPECIAL(name, apis, kinds, modes, asks, words, special)                                    \
    {                                                                                              \
        name, apis, kinds, modes, asks, words, "", special                                         \
    }

/* clang-format off */
const struct conf_case conf_cases[] = {
    PLAIN("text", TALK, ANY, BOTH, 0, "Hello there", "text=8 stop=end usage=1"),
    PLAIN("names, numbers of events", RESPONSES, ANY, STREAM, 0, "Hello", "unnamed=0 unnumbered=0"),
    PLAIN("system prompt", TALK, ANY, BOTH, ASK_SYSTEM, "Hello", "text=8 seen.system=\"Be-brief.\""),
    PLAIN("several turns", TALK, ANY, BOTH, ASK_TURNS, "And now?", "text=8 seen.messages=3"),
    PLAIN("characters", TALK, ANY, WHOLE, 0, "Grüße-水-🙂-\\u00e9-\\\"q\\\"-\\\\",
          "text=8 seen.last_text=\"Grüße-水-🙂-é-\\\"q\\\"-\\\\\""),
    PLAIN("300 KB of prompt", TALK, ANY, BOTH, ASK_SYSTEM | ASK_LONG, "Hello", "text=8 usage=1"),
    PLAIN("maximum of tokens", TALK, ANY, BOTH, ASK_TWO_TOKENS, "Hello", "text=2 stop=length"),
    PLAIN("no maximum of tokens", CHAT | RESPONSES, ANY, BOTH, ASK_NO_MAXIMUM, "Hello", "text=8 stop=end"),
    PLAIN("stop sequence", CHAT | MESSAGES, ANY, BOTH, ASK_STOP, "Hello", "text=sense stop=sequence"),
    PLAIN("two choices", CHAT | COMPLETIONS, OPENAI | AZURE, BOTH, ASK_N2, "Hello", "choices=2 text=8"),
    PLAIN("logprobs", CHAT | COMPLETIONS, OPENAI | AZURE, BOTH, ASK_LOGPROBS, "Hello", "logprobs=8 text=8"),
    PLAIN("image", TALK, ANY, BOTH, ASK_IMAGE, "What is it?", "text=8 seen.images=1"),
    PLAIN("structured output", TALK, ANY, BOTH, ASK_SCHEMA, "Hello", "text=json stop=end"),
    PLAIN("empty answer", TALK, ANY, BOTH, 0, "mock:empty", "text=0 stop=end"),
    PLAIN("refusal", TALK, ANY, BOTH, 0, "mock:refuse", "refused=1 stop=refusal"),
    PLAIN("filtered", TALK, ANY, BOTH, 0, "mock:filter", "stop=filter"),

    PLAIN("tool", TALK, ANY, BOTH, ASK_TOOLS, "Hello", "calls=look_up stop=calls usage=1"),
    PLAIN("tool without arguments", TALK, ANY, BOTH, ASK_TOOLS | ASK_OTHER, "Hello", "calls=other stop=calls"),
    PLAIN("parallel tools", TALK, ANY, BOTH, ASK_TOOLS, "mock:parallel", "calls=look_up,other stop=calls"),
    PLAIN("text, then a tool", TALK, ANY, BOTH, ASK_TOOLS, "mock:both", "text=8 calls=look_up stop=calls"),
    PLAIN("no tool wanted", TALK, ANY, BOTH, ASK_TOOLS | ASK_NO_TOOL, "Hello", "text=8 calls= stop=end"),
    PLAIN("forty tools", TALK, ANY, BOTH, ASK_TOOLS | ASK_MANY_TOOLS, "mock:call=other", "calls=other stop=calls"),
    PLAIN("tool result", TALK, ANY, BOTH, ASK_TOOLS | ASK_RESULT, "Hello",
          "text=8 stop=end seen.calls=1 seen.results=1"),
    PLAIN("two results", TALK, ANY, BOTH, ASK_TOOLS | ASK_TWO_RESULTS, "Hello",
          "text=8 stop=end seen.calls=2 seen.results=2"),
    SPECIAL("loop of five turns", TALK, ANY, WHOLE, ASK_TOOLS, "mock:turns=5", conf_loop),
    SPECIAL("loop with thinking", TALK, ANY, WHOLE, ASK_TOOLS | ASK_THINK, "mock:turns=5", conf_loop),

    PLAIN("thinking asked for", TALK, ANY, BOTH, ASK_THINK, "Hello", "text=8 seen.reasoning=4"),
    PLAIN("thinking shown", TALK, ANY, BOTH, 0, "mock:think=3", "text=8 thinking=3"),
    PLAIN("thinking counted", CHAT | RESPONSES, OPENAI | AZURE | GEMINI, BOTH, 0, "mock:think=3",
          "text=8 usage=1 reasoning=1"),
    PLAIN("thinking signed", MESSAGES, ANTHROPIC, BOTH, ASK_THINK, "Hello", "thinking=4 signatures=1"),
    PLAIN("cached input", TALK, ANY, BOTH, 0, "mock:cached, and much more of it", "text=8 usage=1 cached=1"),
    PLAIN("cache marker", MESSAGES, ANTHROPIC, BOTH, ASK_SYSTEM | ASK_CACHE, "Hello",
          "text=8 usage=1 seen.cache_marked=true"),

    PLAIN("text", COMPLETIONS, OPENAI | AZURE, BOTH, 0, "Hello there", "text=8 stop=end usage=1"),
    PLAIN("maximum of tokens", COMPLETIONS, OPENAI | AZURE, BOTH, ASK_TWO_TOKENS, "Hello", "text=2 stop=length"),
    PLAIN("one text", EMBEDDINGS, OPENAI | AZURE, WHOLE, 0, "", "embeddings=1 dimensions=8 usage=1"),
    PLAIN("two texts", EMBEDDINGS, OPENAI | AZURE, WHOLE, ASK_TWO_INPUTS, "", "embeddings=2 dimensions=8"),
    PLAIN("base64", EMBEDDINGS, OPENAI | AZURE, WHOLE, ASK_BASE64, "", "embeddings=1 dimensions=16"),
    PLAIN("fault 500", COMPLETIONS, OPENAI | AZURE, BOTH, 0, "mock:fault=500", "status=5xx"),

    FAULT("400", BOTH, "status=4xx"),
    FAULT("401", WHOLE, "status=error"),
    FAULT("404", WHOLE, "status=error"),
    FAULT("429", BOTH, "status=429 retry=1"),
    FAULT("500", BOTH, "status=5xx"),
    FAULT("503", BOTH, "status=5xx"),
    FAULT("529", BOTH, "status=5xx"),
    FAULT("html-error", BOTH, "status=5xx"),
    FAULT("empty-error", BOTH, "status=5xx"),
    FAULT("reset-before-head", BOTH, "status=5xx"),
    FAULT("reset-after-head", BOTH, "status=5xx"),
    FAULT("reset-mid-body", WHOLE, "status=5xx"),
    FAULT("length-long", WHOLE, "status=5xx"),
    FAULT("error-in-stream", STREAM, "broken=1 text=part"),
    FAULT("reset-mid-body", STREAM, "broken=1 text=part"),
    FAULT("close-mid-body", STREAM, "broken=1 text=part"),
    FAULT("reset-mid-event", STREAM, "broken=1 text=part"),
    FRAME("sse-crlf"), FRAME("sse-cr"), FRAME("sse-mixed"), FRAME("sse-comments"), FRAME("sse-multiline"),
    FRAME("sse-unterminated"), FRAME("cut-segments"), FRAME("byte-chunks"), FRAME("keep-alive=200"),
    FAULT("usage-on-finish", STREAM, "text=8 usage=1"),
    FAULT("usage-late", STREAM, "text=8 usage=1"),
    FAULT("usage-twice", STREAM, "text=8 usage=1"),
    FAULT("usage-cumulative", STREAM, "text=8 usage=1"),

    SPECIAL("a client that leaves", TALK, ANY, BOTH, 0, "", conf_cancel),
    SPECIAL("same bytes", CHAT | RESPONSES, OPENAI, BOTH, 0, "Hello", conf_bytes),
    SPECIAL("same bytes", COMPLETIONS | EMBEDDINGS, OPENAI, WHOLE, 0, "Hello", conf_bytes),
    SPECIAL("same bytes", MESSAGES, ANTHROPIC, BOTH, 0, "Hello", conf_bytes),
    SPECIAL("unknown field", CHAT | RESPONSES | COMPLETIONS | EMBEDDINGS, OPENAI, WHOLE, 0, "Hello", conf_unknown_field),
    SPECIAL("unknown field", MESSAGES, ANTHROPIC, WHOLE, 0, "Hello", conf_unknown_field),
    SPECIAL("credentials", TALK, ANY, WHOLE, 0, "Hello", conf_credentials),
};
/* clang-format on */

const size_t conf_case_count = sizeof conf_cases / sizeof conf_cases[0];
