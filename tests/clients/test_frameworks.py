"""Clients for Node and frameworks that speak OpenAI's or Anthropic's API, each at targets of every kind."""
import json, pathlib, subprocess

import pytest

import dialects
from dialects import FUNCTION, TARGETS, TEXT, TOOL
from gateway import ADMIN

HERE = pathlib.Path(__file__).parent

mock = pytest.fixture(scope="module")(dialects.mock)
weir = pytest.fixture(scope="module")(dialects.weir)


def run(*arguments):
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_anthropic_node(weir):
    for model, seen in run("node", HERE / "anthropic_node.mjs", weir.url, ADMIN).items():
        assert seen == {"whole": TEXT, "stream": TEXT, "tool": "look_up", "status": 404, "stop": "end_turn", "output": 8}, model


def test_vercel_ai_sdk(weir):
    for pair, seen in run("node", HERE / "ai_sdk_node.mjs", weir.url + "/v1", ADMIN).items():
        assert seen == {"whole": TEXT, "stream": TEXT, "steps": 2, "tool": "look_up", "finish": "stop", "output": 8}, pair


def test_llamaindex(weir):
    seen = run(HERE.parents[1] / "build/venv-llamaindex/bin/python", HERE / "llamaindex_client.py", weir.url, ADMIN)
    assert len(seen) == 4
    for pair, saw in seen.items():
        assert saw == {"whole": TEXT, "stream": TEXT, "tool": "look_up"}, pair


@pytest.mark.parametrize("model", TARGETS)
def test_langchain_anthropic(weir, model):
    from langchain_anthropic import ChatAnthropic
    chat = ChatAnthropic(base_url=weir.url, api_key=ADMIN, model=model, max_tokens=100, max_retries=0)
    answer = chat.invoke("Hello there")
    assert answer.content == TEXT and answer.usage_metadata["output_tokens"] == 8
    assert "".join(c.text for c in chat.stream("Hello there")) == TEXT
    called = chat.bind_tools([TOOL]).invoke("Look Paris up")
    assert called.tool_calls[0]["name"] == "look_up"


@pytest.mark.parametrize("model", TARGETS)
def test_langchain_openai(weir, model):
    from langchain_openai import ChatOpenAI
    chat = ChatOpenAI(base_url=weir.url + "/v1", api_key=ADMIN, model=model, max_retries=0)
    assert chat.invoke("Hello there").content == TEXT
    assert "".join(c.content for c in chat.stream("Hello there")) == TEXT
    assert chat.bind_tools([FUNCTION]).invoke("Look Paris up").tool_calls[0]["name"] == "look_up"
