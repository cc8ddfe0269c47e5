"""Calls that a model makes of its own accord: from their mark on they follow the tool's schema. (SmolLM2 has to be led to the mark.)"""
import json, os

import openai, pytest

import gateway
from test_local_tasks import MODELS

CHOOSE = {"type": "function", "function": {"name": "choose", "description": "Choose a colour", "strict": True, "parameters": {
    "type": "object", "properties": {"colour": {"enum": ["red", "blue"]}, "count": {"type": "integer", "minimum": 10, "maximum": 99}},
    "required": ["colour", "count"], "additionalProperties": False}}}
# Where a Hermes model would be; the answers of this one are whatever the template leads it to.
LEADING = "{%- for m in messages -%}{{ m.content }}{%- endfor -%}<tool_call> <tool_call> <tool_call> <tool_call> <tool_call>"


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    for name, template in {"led": LEADING, "broken": "{% for m in messages %}", "refusing": "{{ raise_exception('only robots may talk') if messages|length > 1 else messages[0].content }}"}.items():
        os.symlink((MODELS / "smollm2.gguf").resolve(), models / f"{name}.gguf")
        (models / f"{name}.jinja").write_text(template)
    with gateway.serve({"local": {"dir": str(models), "parallel": 2}}) as server:
        yield server


def ask(weir, model="led", **more):
    return weir.client().chat.completions.create(**({"model": f"local/{model}", "messages": [{"role": "user", "content": "Colours: "}], "tools": [CHOOSE], "max_tokens": 60} | more))


def test_a_call_that_was_begun_follows_its_schema(weir):
    called = 0
    for seed in range(8):
        choice = ask(weir, seed=seed, temperature=1.2).choices[0]
        for call in choice.message.tool_calls or []:
            arguments = json.loads(call.function.arguments)
            assert call.function.name == "choose" and set(arguments) == {"colour", "count"}
            assert arguments["colour"] in ("red", "blue") and 10 <= arguments["count"] <= 99
            called += 1
    assert called > 3


def test_a_strict_schema_that_cannot_be_kept_is_refused(weir):
    tool = json.loads(json.dumps(CHOOSE))
    tool["function"]["parameters"]["not"] = {"type": "string"}
    with pytest.raises(openai.BadRequestError, match="tool 'choose'.*not"):
        ask(weir, tools=[tool])
    tool["function"]["strict"] = False
    assert ask(weir, tools=[tool], max_tokens=1).choices


def test_templates_that_cannot_be_used_say_why(weir):
    with pytest.raises(openai.BadRequestError, match="its chat template cannot be used: line 1: the template ends where 'else' should come"):
        ask(weir, "broken")
    ask(weir, "refusing", tools=openai.NOT_GIVEN, max_tokens=1)
    with pytest.raises(openai.BadRequestError, match="does not take these messages: only robots may talk"):
        ask(weir, "refusing", tools=openai.NOT_GIVEN, messages=[{"role": "user", "content": "a"}] * 2)
