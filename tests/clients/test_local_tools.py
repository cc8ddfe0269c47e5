"""Tool calls of the models inside: asked for, required, streamed, answered."""
import json, os

import openai, pytest
from langchain_openai import ChatOpenAI

import gateway
from gateway import ADMIN
from test_local_tasks import MODELS

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "The weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "maxLength": 12}, "unit": {"enum": ["c", "f"]}}, "required": ["city"]}}}
NOW = {"type": "function", "function": {"name": "now"}}
ASK = [{"role": "user", "content": "What is the weather in Paris?"}]


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    os.symlink((MODELS / "smollm2.gguf").resolve(), models / "smollm2.gguf")
    with gateway.serve({"local": {"dir": str(models), "parallel": 4, "queue": 16}}) as server:
        yield server


def ask(weir, **more):
    return weir.client().chat.completions.create(**({"model": "local/smollm2", "messages": ASK, "max_tokens": 100, "temperature": 0, "tools": [WEATHER, NOW]} | more))


def test_a_required_call_is_made_and_fits_its_schema(weir):
    for seed in range(2):
        choice = ask(weir, tool_choice="required", temperature=2, seed=seed, parallel_tool_calls=False).choices[0]
        assert choice.finish_reason == "tool_calls" and choice.message.content is None and len(choice.message.tool_calls) == 1
        call = choice.message.tool_calls[0].function
        arguments = json.loads(call.arguments)
        if call.name == "now":
            assert arguments == {}
        else:
            assert call.name == "get_weather" and len(arguments["city"]) <= 12 and arguments.get("unit", "c") in "cf" and set(arguments) <= {"city", "unit"}


def test_a_named_call_streams(weir):
    name, arguments, reason = "", "", None
    for event in ask(weir, tool_choice={"type": "function", "function": {"name": "get_weather"}}, stream=True):
        for call in event.choices[0].delta.tool_calls or []:
            name, arguments = name + (call.function.name or ""), arguments + (call.function.arguments or "")
        reason = event.choices[0].finish_reason or reason
    assert (name, reason) == ("get_weather", "tool_calls") and "Paris" in json.loads(arguments)["city"]


def test_calls_and_results_are_told_to_the_model(weir):
    made = ask(weir, tool_choice="required", parallel_tool_calls=False).choices[0].message
    told = ASK + [made.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": made.tool_calls[0].id, "content": "22 degrees, sunny"}]
    def prompt_tokens(**more):
        return ask(weir, **({"max_tokens": 1} | more)).usage.prompt_tokens
    assert prompt_tokens(messages=told) > prompt_tokens() + 20
    assert prompt_tokens(tool_choice="none") < prompt_tokens() - 100


def test_langchain_binds_tools(weir):
    chat = ChatOpenAI(base_url=weir.url + "/v1", api_key=ADMIN, model="local/smollm2", temperature=0, max_tokens=100)
    calls = chat.bind_tools([WEATHER], tool_choice="get_weather").invoke("What is the weather in Rome?").tool_calls
    assert calls[0]["name"] == "get_weather" and calls[0]["args"]["city"]


@pytest.mark.parametrize("more, says", [
    ({"tool_choice": {"type": "function", "function": {"name": "other"}}}, "other"), ({"tools": [], "tool_choice": "required"}, "needs 'tools'"),
    ({"tool_choice": "required", "response_format": {"type": "json_object"}}, "another form"),
    ({"tool_choice": "required", "tools": [{"type": "function", "function": {"name": "f", "parameters": {"not": {}}}}]}, "tool 'f'.*'not'")])
def test_what_cannot_be_is_refused(weir, more, says):
    with pytest.raises(openai.BadRequestError, match=says):
        ask(weir, **more)
