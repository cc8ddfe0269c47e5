"""What others have kept becomes calls: counted, and begun again where it stopped."""
import json

import pytest

import gateway, servers
from gateway import ADMIN

LITELLM = {"request_id": "chatcmpl-1", "call_type": "acompletion", "api_key": "88dc28", "spend": 0.0002415, "total_tokens": 30, "prompt_tokens": 10,
           "completion_tokens": 20, "startTime": "2026-11-01T10:00:00.000Z", "endTime": "2026-11-01T10:00:01.500Z", "completionStartTime": "2026-11-01T10:00:00.500Z",
           "model": "gpt-5-mini", "model_group": "fast", "custom_llm_provider": "openai", "end_user": "ada", "metadata": {"user_api_key_alias": "web"}, "cache_hit": "False",
           "session_id": "talk", "status": "success", "messages": [{"role": "user", "content": "from litellm"}],
           "response": {"choices": [{"message": {"role": "assistant", "content": "an answer"}}]}}
HELICONE = {"request_id": "h1", "request_created_at": "2026-11-02T10:00:00Z", "delay_ms": 900, "time_to_first_token": 100, "request_path": "https://api.openai.com/v1/chat/completions",
            "request_model": "gpt-5", "provider": "OPENAI", "response_status": 429, "prompt_tokens": 5, "completion_tokens": 0, "cost_usd": "0.01",
            "request_body": json.dumps({"model": "gpt-5", "messages": [{"role": "user", "content": "from helicone"}]}), "response_body": {"error": {"message": "slow down"}},
            "request_properties": {"Helicone-Session-Id": "h-talk", "tier": "gold"}}
LANGFUSE = {"id": "obs-1", "traceId": "t1", "type": "GENERATION", "startTime": "2026-11-03T10:00:00.000Z", "endTime": "2026-11-03T10:00:02.000Z", "model": "claude-sonnet-4-5",
            "input": [{"role": "user", "content": "from langfuse"}], "output": {"role": "assistant", "content": "yes"}, "level": "DEFAULT",
            "usageDetails": {"input": 100, "output": 10, "input_cached_tokens": 40}, "calculatedTotalCost": 0.5, "sessionId": "lf"}
OPENAI = {"id": "batch_req_1", "custom_id": "q-1", "response": {"status_code": 200, "request_id": "r", "body": {
    "id": "chatcmpl-9", "object": "chat.completion", "created": 1793527200, "model": "gpt-5-mini", "choices": [{"index": 0, "message": {"role": "assistant", "content": "from openai"}}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 3}}}}, "error": None}
ANTHROPIC = {"custom_id": "a-1", "result": {"type": "succeeded", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
             "content": [{"type": "text", "text": "from anthropic"}], "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 90}}}}


@pytest.fixture(scope="module")
def weir():
    with gateway.serve({}) as server:
        yield server


def run(weir, tmp_path, source, text, *more):
    path = tmp_path / "export"
    path.write_text(text)
    done = servers.run("import", source, str(path), "--url", weir.url, "--key", ADMIN, "--json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def imported(weir, source, old_id):
    found = [c for c in weir.calls(limit=1000) if c.get("imported", {}).get("source") == source and c["imported"]["id"] == old_id]
    assert len(found) == 1
    assert weir.call(found[0]["id"]) == found[0], "found by its id"
    return found[0]


@pytest.mark.parametrize("source, line, old_id, expected", [
    ("litellm", LITELLM, "chatcmpl-1", {"time": "2026-11-01T10:00:00.000000Z", "key": "web", "endpoint": "chat", "model": "fast", "target": "openai/fast", "status": 200, "outcome": "ok",
                                        "timing": {"first_token_us": 500000, "total_us": 1500000}, "user": "ada", "session": "talk",
                                        "cost": {"amount": "0.0002415", "currency": "USD", "prices": "litellm"}}),
    ("helicone", HELICONE, "h1", {"status": 429, "outcome": "error", "model": "gpt-5", "target": "openai/gpt-5", "session": "h-talk", "timing": {"first_token_us": 100000, "total_us": 900000},
                                  "request": {"model": "gpt-5", "messages": [{"role": "user", "content": "from helicone"}]}}),
    ("langfuse", LANGFUSE, "obs-1", {"model": "claude-sonnet-4-5", "outcome": "ok", "session": "lf", "cost": {"amount": "0.5", "currency": "USD", "prices": "langfuse"}}),
    ("openai", OPENAI, "q-1", {"target": "openai/gpt-5-mini", "endpoint": "chat", "time": "2026-11-01T10:00:00.000000Z"}),
    ("anthropic", ANTHROPIC, "a-1", {"endpoint": "messages", "target": "anthropic/claude-sonnet-4-5"}),
])
def test_a_line_becomes_a_call(weir, tmp_path, source, line, old_id, expected):
    counted = run(weir, tmp_path, source, json.dumps(line) + "\n{}\nnot JSON\n")
    assert counted == {"before": 0, "read": 3, "stored": 1, "rejected": 2}
    record = imported(weir, source, old_id)
    assert {k: record[k] for k in expected} == expected


def test_tokens_include_their_parts(weir):
    for source, old_id, wanted in (("openai", "q-1", (11, 4, 7, 3)), ("anthropic", "a-1", (100, 90, 5, 0)), ("langfuse", "obs-1", (100, 40, 10, 0))):
        usage = imported(weir, source, old_id)["usage"]
        assert (usage["input"], usage["cached_input"], usage["output"], usage["reasoning"]) == wanted
        assert "suspect" not in usage


def test_an_array_with_line_breaks(weir, tmp_path):
    lines = [LITELLM | {"request_id": f"array-{n}"} for n in range(3)]
    assert run(weir, tmp_path, "litellm", json.dumps({"data": lines}, indent=2))["stored"] == 3
    assert imported(weir, "litellm", "array-2")


def test_it_goes_on_where_it_stopped(weir, tmp_path):
    """The server has the first part of a file, as after a stop: the rest is sent, and nothing twice."""
    lines = [json.dumps(LITELLM | {"request_id": f"resumed-{n}", "messages": "x" * 5000}) for n in range(2000)]
    counted = run(weir, tmp_path, "litellm", "\n".join(lines))
    assert counted == {"before": 0, "read": 2000, "stored": 2000, "rejected": 0}
    assert run(weir, tmp_path, "litellm", "\n".join(lines)) == {"before": 2000, "read": 0, "stored": 0, "rejected": 0}
    first = "\n".join(lines[:700])
    digest = "00112233445566aa"
    answer = weir.post_to(f"/api/v1/import?source=litellm&digest={digest}&at=0", first)
    assert answer.json() == {"read": 700, "stored": 700, "rejected": 0, "reasons": {}, "next": 700}
    assert weir.get("/api/v1/import", digest=digest).json() == {"next": 700}
    assert weir.get("/api/v1/import", digest="ff" * 8).json() == {"next": 0}


def test_the_reasons_are_told(weir, tmp_path):
    path = tmp_path / "export"
    path.write_text("\n".join(json.dumps(LANGFUSE | {"type": t}) for t in ("SPAN", "EVENT", "GENERATION")))
    told = servers.run("import", "langfuse", str(path), "--url", weir.url, "--key", ADMIN).stdout
    assert "3 read = 1 stored + 2 rejected" in told and "2 × it is an observation, but no generation" in told
    assert gateway.until(lambda: any(b["key"] == "langfuse" and b["balanced"] for b in weir.get("/api/v1/ledger").json()["books"]))


@pytest.mark.parametrize("query, says", [("source=moon&digest=" + "a" * 16, "litellm, helicone"), ("source=openai&digest=zz", "16 hexadecimal")])
def test_mistakes(weir, query, says):
    answer = weir.post_to("/api/v1/import?" + query, b"{}")
    assert answer.status_code == 400 and says in answer.json()["error"]["message"]
