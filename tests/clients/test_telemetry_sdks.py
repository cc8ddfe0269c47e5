"""Spans of the real SDKs, unmodified, in one vocabulary."""
import os, pathlib, subprocess, sys

import pytest

import gateway, servers
from gateway import ADMIN, provider
from test_traces import folded

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def weir():
    with servers.start("mock", "--tokens", "8") as mock, gateway.serve({"providers": {"mock": provider(mock.url)}}) as server:
        yield server


def run(weir, *command):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "LANGFUSE_"))}
    env |= {"WEIR_URL": weir.url, "WEIR_KEY": ADMIN, "OPENAI_BASE_URL": weir.url + "/v1", "OPENAI_API_KEY": ADMIN}
    done = subprocess.run(command, env=env, cwd=HERE, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr[-3000:]
    folded(weir)


def spans(weir, **filters):
    return weir.get("/api/v1/spans", limit=100, **filters).json()["spans"]


def observed(weir, dialect):
    run(weir, sys.executable, "sdks_telemetry.py", dialect)


def test_opentelemetry(weir):
    observed(weir, "opentelemetry")
    mine = {s["name"]: s for s in spans(weir, service="app-opentelemetry")}
    chat = mine["chat gpt-5-mini"]
    assert chat["dialect"] == "opentelemetry" and chat["usage"]["input"] == 12 and chat["session"] == "talk" and "suspect" not in chat["usage"]
    assert chat["gen_ai"]["gen_ai.response.finish_reasons"] == ["stop"]
    assert chat["gen_ai"]["gen_ai.input.messages"][0]["parts"][0]["content"] == "Hello there"
    assert chat["events"][0]["attributes"] == {"at": 1.5}
    assert mine["inner"]["parent_span_id"] == chat["span_id"] and mine["broken"]["status"] == "error"
    metrics = [r["value"] for r in weir.get("/api/v1/topics/weir.metrics/records").json()["records"]]
    assert {m["name"]: m["type"] for m in metrics} == {"questions": "sum", "gen_ai.client.operation.duration": "histogram"}
    logs = [r["value"] for r in weir.get("/api/v1/topics/weir.logs/records").json()["records"]]
    assert logs[-1]["body"] == "something happened" and logs[-1]["severity_text"].startswith("WARN")


def check_chats(found, **expected):
    """Three questions: one whole, one streamed, one whose answer is a call of a tool."""
    by_question = {s["gen_ai"]["gen_ai.input.messages"][-1]["parts"][0]["content"]: s for s in found}
    assert set(by_question) == {"Hello there", "Hello stream", "Which weather?"}
    for span in found:
        assert span["gen_ai"]["gen_ai.operation.name"] == "chat" and span["inference"]
        assert span["gen_ai"]["gen_ai.request.model"].endswith("gpt-5-mini")
        assert span["usage"]["input"] > 0 and span["usage"]["output"] > 0 and "suspect" not in span["usage"]
        assert {k: span.get(k) for k in expected} == expected
    whole = by_question["Hello there"]["gen_ai"]
    assert [m["role"] for m in whole["gen_ai.input.messages"]] == ["system", "user"]
    assert whole["gen_ai.output.messages"][0]["role"] == "assistant"
    assert "omega7" in whole["gen_ai.output.messages"][0]["parts"][0]["content"]
    streamed = by_question["Hello stream"]["gen_ai"]["gen_ai.output.messages"][0]
    assert "omega7" in streamed["parts"][0]["content"]
    call = by_question["Which weather?"]["gen_ai"]["gen_ai.output.messages"][0]["parts"][-1]
    assert (call["type"], call["name"]) == ("tool_call", "weather") and isinstance(call["arguments"], dict)


def test_openinference(weir):
    observed(weir, "openinference")
    found = spans(weir, service="app-openinference")
    check_chats(found, dialect="openinference", session="talk", user="ada")


def test_openllmetry(weir):
    observed(weir, "openllmetry")
    check_chats([s for s in spans(weir, service="app-openllmetry") if s.get("inference")])


def test_langfuse(weir):
    before = {s["span_id"] for s in spans(weir)}
    observed(weir, "langfuse")
    mine = [s for s in spans(weir) if s["span_id"] not in before]
    check_chats([s for s in mine if s.get("inference")], dialect="langfuse", session="talk", user="ada")
    root = next(s for s in mine if s["name"] == "answer")
    assert {s["trace_id"] for s in mine} == {root["trace_id"]}


@pytest.mark.parametrize("names, dialect", [("new", "opentelemetry"), ("legacy", "vercel")])
def test_vercel(weir, names, dialect):
    before = {s["span_id"] for s in spans(weir)}
    run(weir, "node", "ai_sdk_telemetry.mjs", names)
    mine = [s for s in spans(weir) if s["span_id"] not in before]
    inference = [s for s in mine if s.get("inference")]
    assert len(inference) == 1 and inference[0]["dialect"] == dialect
    assert inference[0]["usage"]["output"] == 8 and "suspect" not in inference[0]["usage"]
    gen_ai = inference[0]["gen_ai"]
    assert gen_ai["gen_ai.operation.name"] == "chat" and gen_ai["gen_ai.provider.name"] == "openai"
    assert gen_ai["gen_ai.input.messages"][-1]["parts"][0]["content"] == "Hello there"
    assert "omega7" in gen_ai["gen_ai.output.messages"][0]["parts"][0]["content"]
    assert any(s["gen_ai"].get("gen_ai.operation.name") == "invoke_agent" for s in mine if "gen_ai" in s)
