"""Chat templates of real models (those that llama.cpp is tested with, as they stand in its source), rendered by Weir and by Jinja
itself, set up as Hugging Face's transformers set it up: the same bytes for every template and chat, or a refusal by both."""
import datetime, itertools, json, pathlib, subprocess

import jinja2, jinja2.ext, jinja2.sandbox, pytest

import servers

ROOT = pathlib.Path(__file__).parents[2]
RENDER = pathlib.Path(servers.WEIR).parent / "tests/render_template"
NOW = datetime.datetime.fromtimestamp(1790000000, datetime.timezone.utc)
# Where Weir does more than Jinja, or other than it, and why.
DIFFERENT = {
    "deepseek-ai-DeepSeek-V3.2": "uses the filter from_json, which transformers lack and Weir has",
    "deepseek-ai-DeepSeek-V4": "uses from_json",
    "deepseek-ai-DeepSeek-V4-Flash-0731": "uses from_json",
    "llama-cpp-deepseek-r1": "writes a generator as JSON, at which Python fails; Weir's filters give lists",
    "meetkai-functionary-medium-v3.1": "its |safe makes Python escape HTML in tools' descriptions; Weir's does nothing",
}


class Generation(jinja2.ext.Extension):
    """{% generation %}…{% endgeneration %}, which transformers use for training."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller):
        return caller()


class Refused(Exception):
    pass


def refuse(message):
    raise Refused(message)


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = to_json
    env.globals |= {"raise_exception": refuse, "strftime_now": NOW.strftime}
    return env


TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "Get the weather <now> & \"here\" – it's there", "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "The city\nline two"}, "days": {"type": "integer", "default": 3, "minimum": 0.5}, "unit": {"type": "string", "enum": ["c", "f"]},
        "more": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "number"}}}, "required": ["a"]}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}}}]
USER, SYSTEM = {"role": "user", "content": "Hi there <b>?\n"}, {"role": "system", "content": " You are kind. "}
ARGUMENTS = {"city": "Paris é\"'\n", "days": 2, "x": None, "b": True, "f": 1.5e20, "l": [1, "2"]}


def call(arguments, id="call12345"):
    return {"id": id, "type": "function", "function": {"name": "get_weather", "arguments": arguments}}


def result(content, id="call12345", **more):
    return {"role": "tool", "tool_call_id": id, "content": content} | more


def said(content=None, **more):
    return {"role": "assistant", "content": content} | more


CHATS = {
    "user": [USER],
    "system": [SYSTEM, USER],
    "turns": [SYSTEM, USER, said("Hello!"), {"role": "user", "content": "More? 日本語"}],
    "think in text": [USER, said("<think>\nhm\n</think>\n\nYes."), USER],
    "reasoning": [USER, said("Yes.", reasoning_content="let me see"), USER],
    "call": [SYSTEM, USER, said("", tool_calls=[call(ARGUMENTS)]), result('{"t": 20}', name="get_weather")],
    "call and null": [USER, said(tool_calls=[call(ARGUMENTS)]), result("20", name="get_weather"), said("It is 20."), USER],
    "calls with text": [USER, said("", tool_calls=[call(json.dumps(ARGUMENTS)), call("{}", "call67890")]), result("20"), result("21", "call67890")],
    "result in parts": [USER, {"role": "assistant", "tool_calls": [call(ARGUMENTS)]}, result([{"type": "text", "text": "20"}]), USER],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]}],
    "picture": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "b"}]}],
    "developer": [{"role": "developer", "content": "be short"}, USER],
    "two users": [USER, USER],
    "assistant first": [said("a"), USER],
    "unfinished": [USER, said("partial")],
    "empty": [],
}
MORE = [{"add_generation_prompt": True}, {"add_generation_prompt": False},
        {"add_generation_prompt": True, "enable_thinking": False, "thinking": True, "reasoning_effort": "low", "date_string": "1 Jan 2026", "documents": [{"title": "T", "text": "x"}]}]
VARIABLES = [{"messages": chat, "tools": tools, "bos_token": "<s>", "eos_token": "</s>"} | more for chat, tools, more in itertools.product(CHATS.values(), (None, TOOLS), MORE)]


@pytest.fixture(scope="session")
def templates():
    found = subprocess.run([ROOT / "deps/get", "llama-templates"], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    return sorted(pathlib.Path(found, "src/models/templates").glob("*.jinja"))


def expected(template, variables):
    try:
        return {"text": template.render(**variables)}
    except Refused as refused:
        return {"error": str(refused)[:300], "raised": True}
    except Exception:
        return {"raised": False}


def rendered(path):
    lines = "".join(json.dumps(variables, ensure_ascii=False) + "\n" for variables in VARIABLES)
    done = subprocess.run([RENDER, path], input=lines, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, (path.name, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def compare(path, env, template):
    """How many chats came out as text."""
    texts = 0
    for variables, got in zip(VARIABLES, rendered(path), strict=True):
        want = expected(template, variables)
        if want.get("raised") is False:  # what Python says of its own mistakes is its own
            got.pop("error", None)
        elif "error" in got:
            got["error"] = got["error"][:300]
        assert got == want, (path.name, variables)
        texts += "text" in want
    return texts


def test_every_template_gives_the_bytes_that_jinja_gives(templates):
    env, texts = environment(), 0
    assert len(templates) > 60
    for path in templates:
        if path.stem not in DIFFERENT:
            texts += compare(path, env, env.from_string(path.read_text()))
    assert texts > 4500


def test_templates_that_differ_render_all_the_same(templates):
    for path in templates:
        if path.stem in DIFFERENT:
            assert sum("text" in one for one in rendered(path)) > 20, path.name
