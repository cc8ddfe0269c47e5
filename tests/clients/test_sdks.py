"""Clients that we did not write, against Weir with a mock behind it: openai for Python and Node, LangChain."""
import json, pathlib, subprocess

import openai, pytest
from langchain_openai import ChatOpenAI

import gateway, servers
from gateway import ADMIN, SAY, provider

TEXT = "alpha0 бета1 gamma2 δέλτα3 naïve4 水5 🙂6 omega7"
TOOLS = [{"type": "function", "function": {"name": "look_up", "description": "Look a city up.", "parameters": {
    "type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}}}]


@pytest.fixture(scope="module")
def weir():
    with servers.start("mock", "--tokens", "8") as mock, \
            gateway.serve({"providers": {"mock": provider(mock.url)}, "models": {"fast": "mock/m"}}) as server:
        yield server


def test_openai_async(weir):
    import asyncio

    async def run():
        client = openai.AsyncOpenAI(base_url=weir.url + "/v1", api_key=ADMIN)
        stream = await client.chat.completions.create(model="fast", messages=SAY, stream=True)
        return "".join([c.choices[0].delta.content or "" async for c in stream])
    assert asyncio.run(run()) == TEXT


def test_openai_stream_helper(weir):
    with weir.client().chat.completions.stream(model="fast", messages=SAY) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == TEXT


def test_openai_tools_streamed(weir):
    with weir.client().chat.completions.stream(model="fast", messages=SAY, tools=TOOLS) as stream:
        final = stream.get_final_completion()
    call = final.choices[0].message.tool_calls[0]
    assert call.function.name == "look_up" and "city" in json.loads(call.function.arguments)
    kept = weir.last(model="fast")["response"]["choices"][0]
    assert kept["finish_reason"] == "tool_calls"
    assert kept["message"]["tool_calls"][0]["function"]["arguments"] == call.function.arguments
    assert kept["message"]["tool_calls"][0]["id"] == call.id


def test_openai_errors_have_their_classes(weir):
    with pytest.raises(openai.AuthenticationError):
        weir.client("nonsense").chat.completions.create(model="fast", messages=SAY)
    with pytest.raises(openai.NotFoundError):
        weir.client().chat.completions.create(model="nothing", messages=SAY)
    with pytest.raises(openai.RateLimitError):
        weir.client().chat.completions.create(model="mock/fault-429", messages=SAY)
    with pytest.raises(openai.InternalServerError):
        weir.client().chat.completions.create(model="mock/fault-500", messages=SAY)


def test_langchain(weir):
    chat = ChatOpenAI(base_url=weir.url + "/v1", api_key=ADMIN, model="fast")
    answer = chat.invoke("Hello there")
    assert answer.content == TEXT and answer.usage_metadata["output_tokens"] == 8
    assert "".join(c.content for c in chat.stream("Hello there")) == TEXT
    called = chat.bind_tools(TOOLS).invoke("Look Paris up")
    assert called.tool_calls[0]["name"] == "look_up"


def test_openai_node(weir):
    script = pathlib.Path(__file__).parent / "openai_node.mjs"
    done = subprocess.run(["node", str(script), weir.url + "/v1", ADMIN], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"whole": TEXT, "stream": TEXT, "tool": "look_up", "status": 404, "models": True}
