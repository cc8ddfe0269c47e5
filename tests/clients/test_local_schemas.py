"""Answers that a schema or a grammar asks for: valid, whatever the schema, at any temperature.

WEIR_SCHEMAS=300 tries as many generated schemas; the default is fewer, for speed."""
import concurrent.futures, json, os, random, re, typing

import openai, pydantic, pytest

import gateway
from test_local_tasks import MODELS

SCHEMAS = int(os.environ.get("WEIR_SCHEMAS") or 16)
ASK = [{"role": "user", "content": "Make something up."}]


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    os.symlink((MODELS / "smollm2.gguf").resolve(), models / "smollm2.gguf")
    with gateway.serve({"local": {"dir": str(models), "parallel": 8, "queue": 400}}) as server:
        yield server


def ask(weir, **more):
    return weir.client().chat.completions.create(**({"model": "local/smollm2", "messages": ASK, "max_tokens": 100} | more))


def form(schema):
    return {"type": "json_schema", "json_schema": {"name": "it", "schema": schema, "strict": True}}


# ---- Schemas of all kinds, and what they mean ----

def generate(r, depth=0):
    kinds = ["integer", "number", "string", "boolean", "null", "enum", "const", "pattern", "format", "union"] + ["object", "array"] * (3 if depth < 2 else 0)
    kind = r.choice(kinds) if depth else r.choice(["object", "object", "array", "union"])
    if kind == "integer":
        low = r.choice([-1000, -7, 0, 3, 98])
        return {"type": "integer", "minimum": low, r.choice(["maximum", "exclusiveMaximum"]): low + r.choice([1, 5, 40, 12345])}
    if kind == "number":
        low = r.choice([-10.5, -1, 0, 0.5, 3])
        return {"type": "number", r.choice(["minimum", "exclusiveMinimum"]): low, "maximum": low + r.choice([2, 3.5, 1000])}
    if kind == "string":
        low = r.choice([0, 1, 3])
        return {"type": "string", "minLength": low, "maxLength": low + r.choice([0, 2, 8])}
    if kind == "enum":
        return {"enum": r.sample(["red", "gr\"een", "bl\u00fc", 1, 2.5, None, True, [1, "x"], {"a": {}}], r.choice([1, 2, 4]))}
    if kind == "const":
        return {"const": r.choice(["a\\b", 7, None, False])}
    if kind == "pattern":
        return {"type": "string", "pattern": r.choice([r"^[a-c]{2,4}$", r"^\d{3}-\w+$", r"^(yes|no|a\.b)$", r"^x?[^a-z]z*$", r"^$"])}
    if kind == "format":
        return {"type": "string", "format": r.choice(["date", "time", "date-time", "uuid", "ipv4"])}
    if kind == "union":
        return {r.choice(["anyOf", "anyOf", "allOf"]): [generate(r, depth + 1)]} if r.random() < 0.3 else {"anyOf": [generate(r, depth + 1) for _ in range(2)]}
    if kind == "array":
        low = r.choice([0, 1, 2])
        schema = {"type": "array", "items": generate(r, depth + 1), "minItems": low, "maxItems": low + r.choice([0, 1, 2])}
        if r.random() < 0.3:
            schema["prefixItems"] = [generate(r, depth + 1)]
            schema["maxItems"] = max(schema["maxItems"], 1)
        return schema
    if kind == "object":
        names = r.sample(["a", "b c", "d\"e", "\u00fc", "long_name", "x"], r.choice([0, 1, 2, 3]))
        schema = {"type": "object", "properties": {name: generate(r, depth + 1) for name in names},
                  "required": [name for name in names if r.random() < 0.6], "additionalProperties": False}
        if not names and r.random() < 0.5:
            schema = {"type": "object", "additionalProperties": generate(r, depth + 1), "maxProperties": 2}
        return schema
    return {"type": kind}


FORMATS = {"date": r"\d{4}-\d\d-\d\d", "time": r"\d\d:\d\d:\d\d(\.\d+)?(Z|[-+]\d\d:\d\d)", "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
           "ipv4": r"((25[0-5]|2[0-4]\d|1?\d?\d)(\.|$)){4}"}
FORMATS["date-time"] = FORMATS["date"] + "T" + FORMATS["time"]


def same(a, b):
    return type(a) is type(b) and a == b


def number(v):
    return isinstance(v, (int, float)) and not isinstance(v, bool)


def accepts(s, v):
    """JSON Schema 2020-12, as far as generate() goes: not what the converter does, what the specification says."""
    types = {"integer": lambda: number(v) and v == int(v), "number": lambda: number(v), "string": lambda: isinstance(v, str), "null": lambda: v is None,
             "boolean": lambda: isinstance(v, bool), "object": lambda: isinstance(v, dict), "array": lambda: isinstance(v, list)}
    checks = ["type" not in s or types[s["type"]](), "enum" not in s or any(same(v, e) for e in s["enum"]), "const" not in s or same(v, s["const"]),
              "anyOf" not in s or any(accepts(x, v) for x in s["anyOf"]), all(accepts(x, v) for x in s.get("allOf", []))]
    if number(v):
        checks += [v >= s.get("minimum", v), v <= s.get("maximum", v), v > s.get("exclusiveMinimum", v - 1), v < s.get("exclusiveMaximum", v + 1)]
    if isinstance(v, str):
        checks += [len(v) >= s.get("minLength", 0), len(v) <= s.get("maxLength", len(v)), re.search(s.get("pattern", ""), v) is not None,
                   "format" not in s or re.fullmatch(FORMATS[s["format"]], v) is not None]
    if isinstance(v, list):
        prefix = s.get("prefixItems", [])
        checks += [len(v) >= s.get("minItems", 0), len(v) <= s.get("maxItems", len(v))] + [accepts(x, e) for x, e in zip(prefix, v)]
        checks += [accepts(s["items"], e) for e in v[len(prefix):]] if "items" in s else []
    if isinstance(v, dict):
        named = s.get("properties", {})
        others = [name for name in v if name not in named]
        checks += [name in v for name in s.get("required", [])] + [accepts(named[name], v[name]) for name in v if name in named]
        checks += [len(v) <= s.get("maxProperties", len(v))]
        if "additionalProperties" in s:
            checks += [s["additionalProperties"] is not False and accepts(s["additionalProperties"], v[name]) for name in others]
    return all(checks)


def no_surrogate(text):
    text.encode()  # a lone surrogate is no text
    return text


def test_generated_schemas_are_kept(weir):
    schemas = [generate(random.Random(seed)) for seed in range(SCHEMAS)]

    def one(n):
        choice = ask(weir, response_format=form(schemas[n]), seed=n, temperature=[0, 1, 2][n % 3]).choices[0]
        if choice.finish_reason == "length":
            return None
        value = json.loads(no_surrogate(choice.message.content))
        assert accepts(schemas[n], value), (schemas[n], choice.message.content)
        return True
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ended = [end for end in pool.map(one, range(SCHEMAS)) if end]
    assert len(ended) > SCHEMAS * 0.6


# ---- JSON mode, grammars, models of pydantic ----

def test_json_mode(weir):
    choice = ask(weir, response_format={"type": "json_object"}, temperature=1, seed=2, max_tokens=400).choices[0]
    assert choice.finish_reason == "length" or isinstance(json.loads(choice.message.content), dict)


class Step(pydantic.BaseModel):
    kind: typing.Literal["walk", "ride"]
    minutes: int = pydantic.Field(ge=1, le=90)


class Trip(pydantic.BaseModel):
    place: str = pydantic.Field(max_length=12)
    steps: list[Step] = pydantic.Field(max_length=2)
    back: typing.Optional[Step]


def test_the_sdk_parses_a_model(weir):
    answer = weir.client().chat.completions.parse(model="local/smollm2", messages=ASK, max_tokens=300, seed=1, response_format=Trip)
    trip = answer.choices[0].message.parsed
    assert isinstance(trip, Trip) and len(trip.steps) <= 2


def test_a_stream_of_json(weir):
    text = "".join(c.choices[0].delta.content or "" for c in ask(weir, stream=True, response_format=form({"enum": ["one\u00fc", "two"]}), seed=3))
    assert json.loads(text) in ("one\u00fc", "two")


def test_grammar(weir):
    for n in range(4):
        answer = ask(weir, seed=n, temperature=2, extra_body={"grammar": 'root ::= ("ab" | "cd"){2} [0-9]'}).choices[0]
        assert re.fullmatch(r"(ab|cd){2}\d", answer.message.content) and answer.finish_reason == "stop"


@pytest.mark.parametrize("schema, says", [
    ({"type": "object", "properties": {"a": {"not": {}}}}, "'not'"), ({"type": "array", "uniqueItems": True}, "uniqueItems"),
    ({"oneOf": [{"type": "string"}, {"maxLength": 3}]}, "oneOf"), ({"$ref": "http://example.com/x"}, "ref"), ({"type": "strin"}, "'type' must"),
    ({"type": "string", "pattern": "(?=a)"}, "looks around"), ({"$ref": "#"}, "without end"), ({"type": "integer", "minimum": 5, "maximum": 4}, "bounds")])
def test_what_cannot_be_kept_is_refused_by_name(weir, schema, says):
    with pytest.raises(openai.BadRequestError, match=re.escape(says)):
        ask(weir, response_format=form(schema))


@pytest.mark.parametrize("more, says", [({"extra_body": {"grammar": "root ::= \"a"}}, "GBNF"), ({"response_format": {"type": "json_object"}, "stop": "}"}, "stop"),
                                        ({"response_format": {"type": "xml"}}, "must be text")])
def test_other_refusals(weir, more, says):
    with pytest.raises(openai.BadRequestError, match=says):
        ask(weir, **more)
