/* Every kind of mistake, with its place and its words. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "tests/unit/config/loaded.h"

struct mistake_case {
    const char *yaml;
    const char *said; /* all mistakes, without the file's name at the head of each line */
};

/* The report with "weir.yaml:" taken from the head of each line. */
static void strip_file(const char *report, char *to, size_t size)
{
    size_t len = 0;
    for (const char *line = report; *line;) {
        const char *end = strchr(line, '\n');
        const char *from = strncmp(line, "weir.yaml:", 10) == 0 ? line + 10 : line;
        size_t n = (size_t)(end - from) + 1;
        assert_true(len + n < size);
        memcpy(to + len, from, n);
        len += n;
        line = end + 1;
    }
    to[len] = 0;
}

static void expect(const struct mistake_case *cases, size_t count)
{
    static const char *const env[] = {"SET", "value", "EMPTY", "", NULL};
    static const char *const files[] = {"secret.txt", "from-file\r\nsecond line\n", NULL};
    char said[8192];
    for (size_t i = 0; i < count; i++) {
        struct loaded l;
        loaded_from(&l, (struct outside){.yaml = cases[i].yaml, .env = env, .files = files},
                    (struct config_options){.source = NULL});
        strip_file(l.mistakes, said, sizeof said);
        if (strcmp(said, cases[i].said) != 0)
            fail_msg("%s\n--- said:\n%s--- not:\n%s", cases[i].yaml, said, cases[i].said);
        assert_int_equal(l.error, ERR_CONFIG);
        assert_null(l.config);
        loaded_release(&l);
    }
}

#define EXPECT(cases) expect((cases), sizeof(cases) / sizeof((cases)[0]))

static void the_contracts_own_words(void **state)
{
    (void)state;
    struct loaded l;
    loaded_yaml(&l, "# one\ndata: x\n      lsiten: {}\n");
    assert_int_equal(l.error, ERR_CONFIG);
    loaded_release(&l);
    loaded_yaml(&l, "listen: {http: 127.0.0.1:1}\ndata: x\nlog: {lsiten: 3}\nlsiten: {}\n");
    assert_string_equal(l.mistakes,
                        "weir.yaml:3:7: unknown key 'lsiten', did you mean 'listen'? It belongs "
                        "at the top of the file.\n"
                        "weir.yaml:4:1: unknown key 'lsiten', did you mean 'listen'?\n");
    loaded_release(&l);
}

static const struct mistake_case yaml_itself_cases[] = {
    {"listen: {http: 1", "2:1: did not find expected ',' or '}' (while parsing a flow "
                         "mapping)\n"},
    {"data: x\n\tlog: {}\n",
     "2:1: a tab cannot indent in YAML: use spaces (while scanning a plain scalar)\n"},
    {"log:\n\tquota: 0\n", "2:1: a tab or a character that YAML keeps for itself: indent with "
                           "spaces, quote what starts with @, ` or % (while scanning "
                           "for the next token)\n"},
    {"data: a\nlog: {}\ndata: b\n", "3:1: duplicate key 'data', it is on line 1 already\n"},
    {"log: {quota: 0, quota: 0}\n", "1:17: duplicate key 'quota', it is on line 1 already\n"},
    {"data: &d x\n", "1:7: YAML anchors (&) and tags (!) are not supported here\n"},
    {"data: *d\n", "1:7: YAML aliases (*) are not supported: write the value out\n"},
    {"data: !!str x\n", "1:7: YAML anchors (&) and tags (!) are not supported here\n"},
    {"log: &l {}\n", "1:6: YAML anchors (&) and tags (!) are not supported here\n"},
    {"a: 1\n---\nb: 1\n", "2:1: a second document (---): the configuration is one\n"},
    {"[a]: 1\n", "1:1: a key must be a word, not a list or a mapping\n"},
    {"- data\n", "1:1: the file must be a mapping of keys, as `data: ./weir-data`\n"},
    {"data\n", "1:1: the file must be a mapping of keys, as `data: ./weir-data`\n"},
    {"data: [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]\n", "1:22: nested deeper than 16 levels\n"},
    {"data: \"a\\0b\"\n", "1:7: data: a control character (byte 2) has no place here\n"},
    {"data: \xff\n", " invalid leading UTF-8 octet at byte 6\n"},
};

static void yaml_itself(void **state)
{
    (void)state;
    EXPECT(yaml_itself_cases);
}

static const struct mistake_case variables_and_files_cases[] = {
    {"data: ${NO}\n", "1:7: data: NO is not set: set it, or write ${NO:-default}\n"},
    {"data: ${EMPTY}\n", "1:7: data: EMPTY is not set: set it, or write ${EMPTY:-default}\n"},
    {"data: x${SET}y${NO}${NO2}\n", "1:7: data: NO is not set: set it, or write ${NO:-default}\n"},
    {"data: '${NO:-}'\n", "1:7: data: is empty\n"},
    {"data: ${SET\n", "1:7: data: '${' without its '}': write ${NAME}, ${NAME:-default} or "
                      "${file:PATH}; $${ for a plain ${\n"},
    {"data: ${1A}\n", "1:7: data: '${1A}' names no variable: write ${NAME}, ${NAME:-default} "
                      "or ${file:PATH}; $${ for a plain ${\n"},
    {"data: ${}\n", "1:7: data: '${}' names no variable: write ${NAME}, ${NAME:-default} or "
                    "${file:PATH}; $${ for a plain ${\n"},
    {"data: ${file:gone.txt}\n", "1:7: data: file 'gone.txt': not found\n"},
    {"listen: {http: '${SET}'}\n",
     "1:16: listen.http: '${SET}' is not HOST:PORT, as 127.0.0.1:8080\n"},
    {"log: {quota: '${file:secret.txt}'}\n",
     "1:14: log.quota: '${file:secret.txt}' is not a size: a whole number and a unit, as "
     "64KiB, 32MiB, 20GiB\n"},
    {"providers: {a: {api: openai, url: '${file:gone.txt}', key: '${NO}'}}\n",
     "1:35: providers.a.url: file 'gone.txt': not found\n"},
};

static void variables_and_files(void **state)
{
    (void)state;
    EXPECT(variables_and_files_cases);
}

static const struct mistake_case simple_sections_cases[] = {
    {"listen: 8080\n", "1:9: listen: a value is not a mapping\n"},
    {"listen: {http: 8080}\n", "1:16: listen.http: '8080' is not HOST:PORT, as 127.0.0.1:8080\n"},
    {"listen: {http: '127.0.0.1:70000'}\n",
     "1:16: listen.http: '127.0.0.1:70000' is not HOST:PORT, as 127.0.0.1:8080\n"},
    {"listen: {http: off}\n", "1:16: listen.http: 'off' is not HOST:PORT, as 127.0.0.1:8080\n"},
    {"listen: {kafka: false}\n",
     "1:17: listen.kafka: 'false' is not HOST:PORT, as 127.0.0.1:9092, or off\n"},
    {"listen: {http: [a]}\n", "1:16: listen.http: a list is not HOST:PORT, as 127.0.0.1:8080\n"},
    {"listen: {tls: {cert: a.pem}}\n",
     "1:15: listen.tls: 'cert' and 'key' are both needed, as PEM files\n"},
    {"listen: {tls: {cret: a.pem}}\n", "1:16: unknown key 'cret', did you mean 'cert'?\n"},
    {"listen: {drain: 30}\n", "1:17: listen.drain: '30' is not a duration: a whole number and "
                              "a unit, as 500ms, 30s, 10m, 30d\n"},
    {"listen: {drain: 25h}\n", "1:17: listen.drain: '25h' is not between 1s and 1d, or 0\n"},
    {"data: ''\n", "1:7: data: is empty\n"},
    {"data: {}\n", "1:7: data: a mapping is not a text\n"},
    {"log: {unheard: 1, provider: {}}\n",
     "1:7: unknown key 'unheard': log knows durability, quota, protect, on_full, retention, kafka, "
     "kafka_settings, spool\n"
     "1:19: unknown key 'provider', did you mean 'providers'? It belongs at the top of the "
     "file.\n"},
    {"log: {durability: snyc}\n",
     "1:19: log.durability: 'snyc' is not known, did you mean 'sync'?\n"},
    {"log: {durability: always}\n", "1:19: log.durability: 'always' is not write or sync\n"},
    {"log: {kafka: broker}\n", "1:14: log.kafka: 'broker' is no list of brokers, as "
                               "kafka-1:9092,kafka-2:9092\n"},
    {"log: {on_full: drop}\n", "1:16: log.on_full: 'drop' is not refuse or serve\n"},
    {"log: {quota: 20G}\n", "1:14: log.quota: '20G' is not a size: a whole number and a unit, "
                            "as 64KiB, 32MiB, 20GiB\n"},
    {"log: {quota: -1}\n", "1:14: log.quota: '-1' is not a size: a whole number and a unit, "
                           "as 64KiB, 32MiB, 20GiB\n"},
    {"log: {quota: 1MiB}\n",
     "1:14: log.quota: '1MiB' is below the smallest quota, 4MiB (0: no quota)\n"},
    {"log: {quota: 9999999999TiB}\n",
     "1:14: log.quota: '9999999999TiB' is not between 0 bytes and 1024TiB\n"},
    {"log: {protect: 2d}\n", "1:16: log.protect: '2d' is not between 1ms and 1d, or 0\n"},
    {"log: {retention: 30d}\n", "1:18: log.retention: a value is not a mapping\n"},
    {"log: {retention: {age: 1w}}\n",
     "1:24: log.retention.age: '1w' is not a duration: a whole number and a unit, as 500ms, "
     "30s, 10m, 30d\n"},
    {"log: {retention: {size: 1.5GiB}}\n",
     "1:25: log.retention.size: '1.5GiB' is not a size: a whole number and a unit, as 64KiB, "
     "32MiB, 20GiB\n"},
    {"local: {memory: 1MiB}\n", "1:17: local.memory: '1MiB' is not between 16MiB and 1024TiB\n"},
    {"local: {threads: many}\n", "1:18: local.threads: 'many' is not a whole number\n"},
    {"local: {threads: 0}\n", "1:18: local.threads: '0' is not in 1…1024\n"},
    {"local: {parallel: 1000}\n", "1:19: local.parallel: '1000' is not in 1…256\n"},
    {"local: {queue: -1}\n", "1:16: local.queue: '-1' is not in 0…100000\n"},
    {"local: {dir: []}\n", "1:14: local.dir: a list is not a text\n"},
    {"limits: {body: 2GiB}\n", "1:16: limits.body: '2GiB' is not between 1KiB and 1GiB\n"},
    {"limits: {headers: 1}\n", "1:19: limits.headers: '1' is not between 1KiB and 1MiB\n"},
    {"limits: {header_time: 1ms}\n",
     "1:23: limits.header_time: '1ms' is not between 100ms and 1h\n"},
    {"limits: {nesting: 9999999999999999999}\n",
     "1:19: limits.nesting: '9999999999999999999' is not in 4…1024\n"},
    {"limits: {event: 0, idle: 0, pending: 0}\n",
     "1:17: limits.event: '0' is not between 1KiB and 1GiB\n"
     "1:26: limits.idle: '0' is not between 100ms and 1d\n"
     "1:38: limits.pending: '0' is not between 64KiB and 1GiB\n"},
};

static void simple_sections(void **state)
{
    (void)state;
    EXPECT(simple_sections_cases);
}

static const struct mistake_case providers_cases[] = {
    {"providers: [openai]\n", "1:12: providers: a list is not a mapping of names to providers\n"},
    {"providers: {openai: sk-secret}\n", "1:21: providers.openai: a value is not a mapping\n"},
    {"providers: {local: {}}\n", "1:13: provider 'local' is built in (models inside Weir): "
                                 "choose another name, and see the section 'local'\n"},
    {"providers: {a/b: {api: openai}, 'é': {api: openai}}\n",
     "1:13: a provider's name has letters, digits, '.', '_' and '-': 'a/b'\n"
     "1:33: a provider's name has letters, digits, '.', '_' and '-': 'é'\n"},
    {"providers: {'': {api: openai}}\n", "1:13: a provider's name has 1 to 128 bytes, '' has 0\n"},
    {"providers: {x: {}}\n",
     "1:13: providers.x: 'api' is missing: openai, anthropic, gemini or azure\n"},
    {"providers: {x: {api: opanai}}\n",
     "1:22: providers.x.api: 'opanai' is not known, did you mean 'openai'?\n"},
    {"providers: {x: {api: bedrock}}\n",
     "1:22: providers.x.api: 'bedrock' is not openai, anthropic, gemini or azure\n"},
    {"providers: {x: {api: azure, key: k}}\n",
     "1:13: providers.x: 'url' is missing, as https://NAME.openai.azure.com\n"
     "1:13: providers.x: 'api_version' is missing, as 2025-04-01-preview\n"},
    {"providers: {x: {api: azure, url: 'https://a', api_version: 'a b'}}\n",
     "1:60: providers.x.api_version: 'a b' is not a version, as 2025-04-01-preview\n"},
    {"providers: {x: {api: openai, url: 'https://a', key: k, responses: maybe}}\n",
     "1:67: providers.x.responses: 'maybe' is not translate or native\n"},
    {"providers: {x: {api: gemini, key: k, responses: native}}\n",
     "1:13: providers.x: 'responses: native' is for the apis openai and azure; others are "
     "translated to\n"},
    {"providers: {x: {api: openai, url: example.com}}\n",
     "1:35: providers.x.url: not a URL to build on: it must begin with http:// or https://\n"},
    {"providers: {x: {api: openai, url: 'https://me:pw@example.com'}}\n",
     "1:35: providers.x.url: not a URL to build on: a user or password has no place in it: use "
     "'key' or 'headers'\n"},
    {"providers: {x: {api: openai, url: 'https://example.com/v1?a=b'}}\n",
     "1:35: providers.x.url: not a URL to build on: '?' and '#' have no place in it\n"},
    {"providers: {x: {api: openai, url: 'https://example.com/v 1'}}\n",
     "1:35: providers.x.url: not a URL to build on: its path has characters that must be "
     "written as %XX\n"},
    {"providers: {x: {api: openai, url: 'https://exa mple.com/'}}\n",
     "1:35: providers.x.url: not a URL to build on: its host or port is not one, as "
     "example.com or 127.0.0.1:8000\n"},
    {"providers: {x: {api: openai, url: 'https://example.com:0/'}}\n",
     "1:35: providers.x.url: not a URL to build on: its host or port is not one, as "
     "example.com or 127.0.0.1:8000\n"},
    {"providers: {x: {api: openai, key: 'sk secret'}}\n",
     "1:35: providers.x.key: byte 3 of it cannot be part of a key (a space, or not ASCII)\n"},
    {"providers: {x: {api: openai, key: [sk-secret]}}\n",
     "1:35: providers.x.key: a list is not a key\n"},
    {"providers: {x: {api: openai, models: gpt}}\n",
     "1:38: providers.x.models: a value is not a list of names, or a mapping of names to what "
     "they are called upstream\n"},
    {"providers: {x: {api: openai, models: ['a b', '', ~]}}\n",
     "1:39: a model's name has no spaces, control characters: 'a b'\n"
     "1:46: a model's name has 1 to 128 bytes, '' has 0\n"
     "1:50: providers.x.models[2]: nothing is not a model's name\n"},
    {"providers: {x: {api: openai, timeout: {conect: 1s}}}\n",
     "1:40: unknown key 'conect', did you mean 'connect'?\n"},
    {"providers: {x: {api: openai, timeout: {connect: 0, total: 2d}}}\n",
     "1:49: providers.x.timeout.connect: '0' is not between 1ms and 1d\n"
     "1:59: providers.x.timeout.total: '2d' is not between 1ms and 1d\n"},
    {"providers: {x: {api: openai, connections: 0}}\n",
     "1:43: providers.x.connections: '0' is not in 1…65535\n"},
    {"providers: {x: {api: openai, headers: {'a b': c}}}\n",
     "1:40: providers.x.headers: 'a b' is not a header's name\n"},
    {"providers: {x: {api: openai, headers: {Content-Length: 3}}}\n",
     "1:40: providers.x.headers: 'Content-Length' is written by Weir itself\n"},
    {"providers: {x: {api: openai, headers: {X-A: 1, x-a: 2}}}\n",
     "1:48: providers.x.headers: 'x-a' twice (headers' names have no case)\n"},
    {"providers: {x: {api: openai, headers: {X-A: \"a\\r\\nB: c\"}}}\n",
     "1:45: providers.x.headers.X-A: a control character (byte 2) has no place here\n"},
    {"providers: {x: {api: openai, key: k, headers: {authorization: s}}}\n",
     "1:13: providers.x: both 'key' and a header 'authorization': write one of them\n"},
    {"providers: {x: {api: anthropic, key: k, headers: {X-Api-Key: s}}}\n",
     "1:13: providers.x: both 'key' and a header 'X-Api-Key': write one of them\n"},
};

static void providers(void **state)
{
    (void)state;
    EXPECT(providers_cases);
}

#define PROVIDERS "providers: {openai: {key: k}, vllm: {api: openai, models: [qwen3-32b, llama]}}\n"

static const struct mistake_case models_cases[] = {
    {"models: [a]\n", "1:9: models: a list is not a mapping of names to targets\n"},
    {PROVIDERS "models: {a: [openai/x]}\n",
     "2:10: models.a: write a target, as openai/gpt-5-mini, or {targets: [...]}\n"},
    {PROVIDERS "models: {a: }\n",
     "2:10: models.a: write a target, as openai/gpt-5-mini, or {targets: [...]}\n"},
    {PROVIDERS "models: {a: {}}\n",
     "2:10: models.a: 'targets' is missing, as [openai/gpt-5-mini]\n"},
    {PROVIDERS "models: {a: {targets: []}}\n",
     "2:23: models.a.targets: is empty: name at least one target, as openai/gpt-5-mini\n"},
    {PROVIDERS "models: {a: {targets: openai/x}}\n",
     "2:23: models.a.targets: a value is not a list of targets, as [openai/gpt-5, "
     "local/smollm2]\n"},
    {PROVIDERS "models: {a: {targets: [{weight: 3}]}}\n",
     "2:24: models.a.targets[0]: 'model' is missing, as openai/gpt-5-mini\n"},
    {PROVIDERS "models: {a: {targets: [{model: openai/x, weight: 0}]}}\n",
     "2:50: models.a.targets[0].weight: '0' is not in 1…1000000\n"},
    {PROVIDERS "models: {fast: openai/x, b: {targets: [fsat]}}\n",
     "2:40: models.b.targets[0]: unknown model 'fsat', did you mean 'fast'?\n"},
    {PROVIDERS "models: {a: gpt-5}\n",
     "2:13: models.a: unknown model 'gpt-5': a target is provider/model, local/name, or a "
     "name under 'models'\n"},
    {PROVIDERS "models: {a: opanai/gpt-5}\n",
     "2:13: models.a: unknown provider 'opanai', did you mean 'openai'?\n"},
    {PROVIDERS "models: {a: bedrock/claude}\n",
     "2:13: models.a: unknown provider 'bedrock': there is local, openai, vllm\n"},
    {PROVIDERS "models: {a: vllm/qwen3-23b}\n",
     "2:13: models.a: provider 'vllm' lists no model 'qwen3-23b', did you mean "
     "'vllm/qwen3-32b'?\n"},
    {PROVIDERS "models: {a: vllm/mistral}\n",
     "2:13: models.a: provider 'vllm' lists no model 'mistral': add it to its 'models'\n"},
    {PROVIDERS "models: {a: openai/}\n",
     "2:13: models.a: provider 'openai' lists no model '': add it to its 'models'\n"},
    {PROVIDERS "models: {a: b, b: c, c: a}\n",
     "2:25: models.c: aliases go in a circle: a -> b -> c -> a\n"},
    {PROVIDERS "models: {a: a}\n", "2:13: models.a: aliases go in a circle: a -> a\n"},
    {PROVIDERS "models: {x: a, a: {targets: [openai/x, a]}}\n",
     "2:40: models.a.targets[1]: aliases go in a circle: a -> a\n"},
    {PROVIDERS "models: {openai/gpt-4: openai/gpt-5}\n",
     "2:10: models: 'openai/gpt-4' would hide a model of provider 'openai': choose another "
     "name\n"},
    {PROVIDERS "models: {'a b': openai/gpt-5}\n",
     "2:10: a model's name has no spaces, control characters: 'a b'\n"},
    {PROVIDERS "models: {a: {targets: [openai/x], strategy: weighed}}\n",
     "2:45: models.a.strategy: 'weighed' is not known, did you mean 'weighted'?\n"},
    {PROVIDERS "models: {a: {targets: [openai/x], strategy: random}}\n",
     "2:45: models.a.strategy: 'random' is not fallback, weighted, latency or sticky\n"},
    {PROVIDERS "models: {b: openai/x, a: {strategy: weighted, targets: [b]}}\n",
     "2:57: models.a.targets[0]: 'b' is an alias; a weighted target is provider/model\n"},
    {PROVIDERS "models: {a: {targets: [openai/x], sticky: session}}\n",
     "2:43: models.a.sticky: 'session' is not user\n"},
    {PROVIDERS "models: {a: {targets: [openai/x], retry: {attempts: 0}}}\n",
     "2:53: models.a.retry.attempts: '0' is not in 1…16\n"},
    {PROVIDERS "models: {a: {targets: [openai/x], retry: {on: 429}}}\n",
     "2:47: models.a.retry.on: a value is not a list, as [429, 5xx, connect, reset, "
     "timeout]\n"},
    {PROVIDERS "models: {a: {targets: [openai/x], retry: {on: [200, 600, 3xx, conect]}}}\n",
     "2:48: models.a.retry.on[0]: '200' is not a status from 400 to 599, 4xx, 5xx, connect, "
     "reset or timeout\n"
     "2:53: models.a.retry.on[1]: '600' is not a status from 400 to 599, 4xx, 5xx, connect, "
     "reset or timeout\n"
     "2:58: models.a.retry.on[2]: '3xx' is not a status from 400 to 599, 4xx, 5xx, connect, "
     "reset or timeout\n"
     "2:63: models.a.retry.on[3]: 'conect' is not a status from 400 to 599, 4xx, 5xx, "
     "connect, reset or timeout\n"},
    {PROVIDERS "models: {a: {targets: [openai/x], deadline: 0}}\n",
     "2:45: models.a.deadline: '0' is not between 1ms and 1d\n"},
    {PROVIDERS "models: {a: {targets: [openai/x], cache: {size: 1MiB}}}\n",
     "2:42: models.a.cache: 'ttl' is missing, as 1h\n"},
    {PROVIDERS "models: {a: {targets: [openai/x], params: {model: b}}}\n",
     "2:44: models.a.params: 'model' is the request's own\n"},
    {PROVIDERS "models: {a: {targets: [openai/x], params: {stop: ['${NO}']}}}\n",
     "2:51: models.a.params.stop[0]: NO is not set: set it, or write ${NO:-default}\n"},
    {PROVIDERS "models: {a: {targets: [openai/x], params: 3}}\n",
     "2:43: models.a.params: a value is not a mapping, as {temperature: 0.2}\n"},
};

static void models(void **state)
{
    (void)state;
    EXPECT(models_cases);
}

#define HASH "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define HOW                                                                                        \
    "the SHA-256 of the whole key, 'sha256:' and 64 hexadecimal digits: printf %s \"$KEY\" | "     \
    "sha256sum\n"

static const struct mistake_case keys_and_prices_cases[] = {
    {"keys: {name: web}\n",
     "1:7: keys: a mapping is not a list of keys: [{name: ..., hash: ...}]\n"},
    {"keys: [weir_secret]\n", "1:8: keys[0]: a value is not a mapping\n"},
    {"keys: [{hash: " HASH "}]\n", "1:8: keys[0]: 'name' is missing\n"},
    {"keys: [{name: web}]\n", "1:8: keys[0]: 'hash' is missing: printf 'sha256:%s' \"$(printf "
                              "%s KEY | sha256sum)\"\n"},
    {"keys: [{name: web, hash: weir_secret}]\n", "1:26: keys[0].hash: is not " HOW},
    {"keys: [{name: web, hash: [weir_secret]}]\n", "1:26: keys[0].hash: write " HOW},
    {"keys: [{name: 'a b', hash: " HASH "}]\n",
     "1:15: a key's name has no spaces, control characters: 'a b'\n"},
    {"keys: [{name: a, hash: " HASH "}, {name: a, hash: 'sha256:" HASH "'}]\n",
     "1:91: keys[1]: a key named 'a' is there already (keys[0])\n"},
    {"keys:\n- {name: a, hash: " HASH "}\n- {name: b, hash: 'sha256:" HASH "'}\n",
     "3:3: keys[1]: keys[0] ('a') has the same hash: one key, two names\n"},
    {"models: {fast: local/x}\nkeys: [{name: a, hash: " HASH ", models: [fsat]}]\n",
     "2:99: keys[0].models[0]: unknown model 'fsat', did you mean 'fast'?\n"},
    {"keys: [{name: a, hash: " HASH ", models: [gpt]}]\n",
     "1:99: keys[0].models[0]: unknown model 'gpt': write a name under 'models', "
     "provider/model, local/name or provider/*\n"},
    {"keys: [{name: a, hash: " HASH ", models: all}]\n",
     "1:98: keys[0].models: a value is not a list of models, as [fast, openai/gpt-5]\n"},
    {"keys: [{name: a, hash: " HASH ", admin: yes}]\n",
     "1:97: keys[0].admin: 'yes' is not true or false\n"},
    {"keys: [{name: a, hash: " HASH ", limits: {request: 1/s}}]\n",
     "1:99: unknown key 'request', did you mean 'requests'?\n"},
    {"keys:\n- name: a\n  hash: " HASH "\n  limits: {requests: 600, tokens: 0/m, concurrent: "
     "0}\n",
     "4:22: keys[0].limits.requests: '600' is not a rate: a whole number from 1 on and /s, "
     "/m, /h or /d, as 600/m\n"
     "4:35: keys[0].limits.tokens: '0/m' is not a rate: a whole number from 1 on and /s, /m, "
     "/h or /d, as 600/m\n"
     "4:52: keys[0].limits.concurrent: '0' is not in 1…1000000\n"},
    {"prices: [1]\n", "1:9: prices: a list is not a mapping of provider/model to its prices\n"},
    {"prices: {a/b: 3}\n", "1:15: prices.a/b: a value is not a mapping\n"},
    {"prices: {a/b: {input: 1}}\n",
     "1:10: prices.a/b: 'input' and 'output' are both needed (0 where it is free)\n"},
    {"prices: {a/b: {inputs: 1}}\n", "1:16: unknown key 'inputs', did you mean 'input'?\n"},
    {"prices: {a/b: {input: -1, output: cheap}}\n",
     "1:23: prices.a/b.input: '-1' is not a price in USD per million tokens, as 0.25\n"
     "1:35: prices.a/b.output: 'cheap' is not a price in USD per million tokens, as 0.25\n"},
    {"prices: {a/b: {input: 0.0000000001, output: 1}}\n",
     "1:23: prices.a/b.input: '0.0000000001' has more than 9 digits after the point\n"},
};

static void keys_and_prices(void **state)
{
    (void)state;
    EXPECT(keys_and_prices_cases);
}

static void all_mistakes_come_in_the_files_order(void **state)
{
    (void)state;
    struct loaded l;
    loaded_yaml(&l, "models: {a: nope}\nkeys: 1\nlog: {quota: x}\nlsten: 1\n");
    assert_int_equal(l.report.mistake_count, 4);
    const char *at = l.mistakes;
    for (int line = 1; line <= 4; line++) {
        char head[32];
        (void)snprintf(head, sizeof head, "weir.yaml:%d:", line);
        at = strstr(at, head);
        assert_non_null(at);
    }
    loaded_release(&l);
}

static void the_list_of_mistakes_ends_somewhere(void **state)
{
    (void)state;
    struct buf yaml BUF_AUTO;
    struct loaded l;
    buf_init(&yaml, 1 << 20);
    for (int i = 0; i < 250; i++)
        buf_printf(&yaml, "unheard%d: 1\n", i);
    loaded_yaml(&l, buf_cstr(&yaml));
    assert_int_equal(l.report.mistake_count, 250);
    assert_non_null(strstr(l.mistakes, "weir.yaml:100:1: "));
    assert_null(strstr(l.mistakes, "weir.yaml:101:1: "));
    assert_non_null(strstr(l.mistakes, "\nand 150 more mistakes\n"));
    loaded_release(&l);
}

static void options_stand_above_and_are_checked(void **state)
{
    (void)state;
    struct loaded l;
    struct outside outside = {.yaml = "listen: {http: '127.0.0.1:1'}\ndata: a\n"};
    loaded_from(
        &l, outside,
        (struct config_options){.http = STR("[::1]:2"), .kafka = STR("off"), .data = STR("b")});
    assert_int_equal(l.error, ERR_OK);
    assert_true(str_eq(l.config->listen.http.host, STR("::1")));
    assert_int_equal(l.config->listen.http.port, 2);
    assert_false(l.config->listen.kafka.enabled);
    assert_true(str_eq(l.config->data, STR("b")));
    loaded_release(&l);
    loaded_from(&l, outside, (struct config_options){.http = STR("x"), .kafka = STR("9092")});
    assert_string_equal(l.mistakes, "--listen: 'x' is not HOST:PORT, as 127.0.0.1:8080\n"
                                    "--kafka: '9092' is not HOST:PORT, as 127.0.0.1:8080, or "
                                    "off\n");
    loaded_release(&l);
}

static void a_named_file_must_be_there(void **state)
{
    (void)state;
    struct loaded l;
    static const char *const files[] = {"other.yaml", "dta: x\n", NULL};
    struct outside outside = {.files = files};
    loaded_from(&l, outside, (struct config_options){.path = STR("gone.yaml")});
    assert_int_equal(l.error, ERR_CONFIG);
    assert_string_equal(l.mistakes, "gone.yaml: not found\n");
    loaded_release(&l);
    loaded_from(&l, outside, (struct config_options){.path = STR("other.yaml")});
    assert_string_equal(l.mistakes, "other.yaml:1:1: unknown key 'dta', did you mean 'data'?\n");
    loaded_release(&l);
    loaded_from(&l, outside, (struct config_options){.source = NULL});
    assert_int_equal(l.error, ERR_OK);
    loaded_release(&l);
}

static void secrets_stay_out_of_every_message(void **state)
{
    (void)state;
    static const char *const env[] = {"S", "sesame", NULL};
    static const char *const files[] = {"f", "sesame\n", NULL};
    static const char *const yamls[] = {
        "providers: {x: {api: openai, key: \"sesame\\x01\"}}",
        "providers: {x: {api: openai, key: 'sesame sesame'}}",
        "providers: {x: {api: '${S}', key: '${S}', url: '${S}', connections: '${S}'}}",
        "providers: {x: {api: openai, headers: {A: \"sesame\\n\"}}}",
        "providers: {x: sesame}",
        "keys: [sesame]",
        "keys: [{name: a, hash: sesame}]",
        "keys: [{name: a, hash: '${file:f}'}]",
        "listen: {http: '${S}', drain: '${file:f}', tls: '${S}'}",
        "models: {a: {targets: ['${S}'], strategy: '${S}', retry: {on: ['${S}']}}}",
        "prices: {a: {input: '${S}'}}",
        "keys: [{name: 'a ${S}', hash: x, models: ['${S}'], admin: '${S}'}]",
    };
    for (size_t i = 0; i < sizeof yamls / sizeof yamls[0]; i++) {
        struct loaded l;
        loaded_from(&l, (struct outside){.yaml = yamls[i], .env = env, .files = files},
                    (struct config_options){.source = NULL});
        assert_int_equal(l.error, ERR_CONFIG);
        if (strstr(l.mistakes, "sesame") || strstr(l.warnings, "sesame"))
            fail_msg("%s:\n%s%s", yamls[i], l.mistakes, l.warnings);
        loaded_release(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_contracts_own_words),
        cmocka_unit_test(yaml_itself),
        cmocka_unit_test(variables_and_files),
        cmocka_unit_test(simple_sections),
        cmocka_unit_test(providers),
        cmocka_unit_test(models),
        cmocka_unit_test(keys_and_prices),
        cmocka_unit_test(all_mistakes_come_in_the_files_order),
        cmocka_unit_test(the_list_of_mistakes_ends_somewhere),
        cmocka_unit_test(options_stand_above_and_are_checked),
        cmocka_unit_test(a_named_file_must_be_there),
        cmocka_unit_test(secrets_stay_out_of_every_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
