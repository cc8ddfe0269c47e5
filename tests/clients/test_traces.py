"""Spans found, traces put together with Weir's own calls, scores, sessions, and the books of what came."""
import json, uuid

import httpx, pytest

import gateway, servers
from gateway import ADMIN, SAY, key_entry, provider

USER = "user-key-000000000000000000"


def attributes(**values):
    def value(v):
        return {"intValue": str(v)} if isinstance(v, int) and not isinstance(v, bool) else {"boolValue": v} if isinstance(v, bool) else {"stringValue": v}
    return [{"key": k.replace("__", "."), "value": value(v)} for k, v in values.items()]


def span(trace, n, parent=None, name=None, status=None, **values):
    made = {"traceId": trace, "spanId": f"{n:016x}", "name": name or f"span {n}", "startTimeUnixNano": str((1795000000 + n) * 10**9),
            "endTimeUnixNano": str((1795000000 + n) * 10**9 + n * 10**6), "attributes": attributes(**values)}
    return made | ({"parentSpanId": f"{parent:016x}"} if parent else {}) | ({"status": {"code": status}} if status else {})


def send(weir, *spans, key=ADMIN, service="app"):
    body = {"resourceSpans": [{"resource": {"attributes": attributes(service__name=service)}, "scopeSpans": [{"spans": list(spans)}]}]}
    answer = weir.post_to("/v1/traces", body, key=key)
    assert (answer.status_code, answer.json()) == (200, {})
    folded(weir)


def folded(weir):
    def level():
        topics = weir.get("/api/v1/ledger").json().get("topics", {"none": {"folded": 0, "end": 1}})
        return all(t["folded"] == t["end"] for t in topics.values())
    assert gateway.until(level)


def names(weir, key=ADMIN, **filters):
    answer = weir.get("/api/v1/spans", key=key, **filters)
    assert answer.status_code == 200, answer.text
    return [s["name"] for s in answer.json()["spans"]]


@pytest.fixture(scope="module")
def weir():
    with servers.start("mock", "--tokens", "8") as mock:
        config = {"providers": {"mock": provider(mock.url)}, "keys": [key_entry("user", USER)]}
        with gateway.serve(config) as server:
            yield server


def trace_id():
    return uuid.uuid4().hex


def test_spans_are_found(weir):
    trace = trace_id()
    send(weir, span(trace, 1, gen_ai__operation__name="invoke_agent", session__id="s1", user__id="ada"),
         span(trace, 2, 1, gen_ai__operation__name="chat", gen_ai__request__model="gpt-5-mini", gen_ai__usage__input_tokens=1000,
              gen_ai__usage__output_tokens=100, gen_ai__provider__name="openai", gen_ai__prompt__0__content="Où est la rivière?", tier=7, hot=True),
         span(trace, 3, 1, name="search", status=2))
    send(weir, span(trace_id(), 4, name="other"), service="elsewhere", key=USER)
    assert names(weir, trace=trace) == ["search", "span 2", "span 1"]
    assert names(weir, q="riviere") == ["span 2"] == names(weir, model="gpt-5-mini") == names(weir, operation="chat")
    assert names(weir, status="error") == ["search"] == names(weir, name="search")
    assert names(weir, root=1) == ["other", "span 1"]
    assert names(weir, session="s1") == ["span 1"] == names(weir, user="ada")
    assert names(weir, attribute="tier=7") == ["span 2"] == names(weir, attribute="hot=true")
    assert names(weir, attribute="service.name=elsewhere") == ["other"] == names(weir, service="elsewhere")
    assert names(weir, attribute="tier=8") == [] == names(weir, q="nothing of it")
    assert names(weir, trace=trace, min_ms=3) == ["search"]
    assert names(weir, key=USER) == ["other"]
    page = weir.get("/api/v1/spans", trace=trace, limit=2).json()
    assert names(weir, trace=trace, limit=2, cursor=page["next"]) == ["span 1"]
    record = weir.get("/api/v1/spans", model="gpt-5-mini").json()["spans"][0]
    assert float(record["cost"]["amount"]) == pytest.approx(1000 * .25e-6 + 100 * 2e-6) and record["session"] if "session" in record else True


def test_a_trace_has_the_calls_that_took_part(weir):
    trace = trace_id()
    send(weir, span(trace, 1))
    made = weir.post({"model": "mock/m", "messages": SAY}, headers={"traceparent": f"00-{trace}-{1:016x}-01"})
    own = weir.post({"model": "mock/m", "messages": SAY}).headers["x-weir-call-id"]
    folded(weir)
    whole = weir.get(f"/api/v1/traces/{trace}").json()
    assert [s["span_id"] for s in whole["spans"]] == [f"{1:016x}"]
    assert [(c["id"], c["parent_span_id"]) for c in whole["calls"]] == [(made.headers["x-weir-call-id"], f"{1:016x}")]
    assert [c["id"] for c in weir.get(f"/api/v1/traces/{own}").json()["calls"]] == [own], "a call that began its trace"
    assert weir.get(f"/api/v1/traces/{trace_id()}").status_code == 404
    assert weir.get(f"/api/v1/traces/{trace}", key=USER).status_code == 404
    assert weir.get("/api/v1/traces/abc").status_code == 400


def test_a_span_sent_again_is_there_once(weir):
    trace = trace_id()
    for _ in range(2):
        send(weir, span(trace, 1))
    assert names(weir, trace=trace) == ["span 1"]


def score(weir, key=ADMIN, **body):
    return weir.post_to("/api/v1/scores", body, key=key)


def test_scores(weir):
    call = weir.post({"model": "mock/m", "messages": SAY}).headers["x-weir-call-id"]
    trace = trace_id()
    first = score(weir, name="helpful", value=True, call=call, comment="yes", source="user").json()
    assert first["kind"] == "boolean" and first["key"] == "cli" and first["id"]
    for value in (1, 2.5, 4):
        assert score(weir, name="quality", value=value, trace_id=trace, span_id=f"{1:016x}").status_code == 200
    score(weir, name="tone", value="warm", call=call)
    score(weir, name="tone", value="cold", call=call, id="mine")
    score(weir, name="tone", value="warm", call=call, id="mine")
    score(weir, name="private", value=1, call=call, key=USER)
    folded(weir)

    def found(**filters):
        return [s["name"] for s in weir.get("/api/v1/scores", **filters).json()["scores"]]
    assert found(call=call, key=ADMIN) == ["private", "tone", "tone", "helpful"]
    assert found(trace=trace, limit=2) == ["quality", "quality"] and found(name="tone", source="user") == []
    assert [s["name"] for s in weir.get("/api/v1/scores", key=USER).json()["scores"]] == ["private"]
    sums = {n["name"]: n for n in weir.get("/api/v1/scores/summary").json()["names"]}
    assert sums["quality"] == {"name": "quality", "count": 3, "mean": 2.5, "min": 1, "max": 4}
    assert sums["tone"]["labels"] == {"warm": 2} and sums["helpful"]["mean"] == 1
    assert [s["value"] for s in weir.get(f"/api/v1/traces/{call}").json()["scores"] if s["name"] == "helpful"] == [True]
    gone = httpx.delete(f"{weir.url}/api/v1/scores/mine", headers={"authorization": f"Bearer {ADMIN}"})
    assert gone.status_code == 200
    folded(weir)
    assert found(name="tone") == ["tone"]


@pytest.mark.parametrize("body, says", [
    ({"value": 1, "call": "0" * 32}, "needs a name"),
    ({"name": "x", "call": "0" * 32}, "value must be"),
    ({"name": "x", "value": [1], "call": "0" * 32}, "value must be"),
    ({"name": "x", "value": 1}, "what is judged"),
    ({"name": "x", "value": 1, "call": "abc"}, "32 hexadecimal"),
    ({"name": "x", "value": 1, "span_id": "0" * 16, "call": "0" * 32}, "needs its trace_id"),
    ({"name": "x", "value": 1, "call": "0" * 32, "vlaue": 2}, "not a member"),
    (b"[]", "not a JSON object"), (b"{", "not a JSON object"),
])
def test_wrong_scores(weir, body, says):
    answer = weir.post_to("/api/v1/scores", body)
    assert answer.status_code == 400 and says in answer.json()["error"]["message"]


def test_sessions(weir):
    for turn in range(2):
        weir.post({"model": "mock/m", "messages": SAY, "user": "bo"}, headers={"x-weir-session": "talk"})
    weir.post({"model": "mock/m", "messages": SAY, "metadata": {"session_id": "other talk"}}, key=USER)
    send(weir, span(trace_id(), 9, session__id="talk", gen_ai__operation__name="chat", gen_ai__usage__input_tokens=5))
    folded(weir)
    sessions = {s["session"]: s for s in weir.get("/api/v1/sessions").json()["sessions"]}
    assert sessions["talk"] | {"first": 0, "last": 0, "input": 0, "cost": 0} == {
        "session": "talk", "key": "cli", "user": "bo", "first": 0, "last": 0, "spans": 1, "calls": 2, "errors": 0, "input": 0, "output": 16, "cost": 0}
    one = weir.get("/api/v1/sessions/talk").json()
    assert len(one["calls"]) == 2 and one["calls"][0]["session"] == "talk" and len(one["spans"]) == 1
    assert [s["session"] for s in weir.get("/api/v1/sessions", key=USER).json()["sessions"]] == ["other talk"]
    assert weir.get("/api/v1/sessions/none").status_code == 404


def books(weir, **filters):
    ledger = weir.get("/api/v1/ledger", **filters).json()
    return ledger, {(b["key"], b["signal"]): b for b in ledger["books"]}


def test_the_books_hold(weir):
    before = books(weir)[1].get(("user", "spans"), {"received": 0, "stored": 0, "rejected": 0})
    send(weir, *[span(trace_id(), n) for n in range(1, 8)], key=USER)
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span(trace_id(), 1), span("", 2)]}]}]}
    assert weir.post_to("/v1/traces", body, key=USER).json()["partialSuccess"]["rejectedSpans"] == "1"
    weir.post_to("/v1/traces", b"{]", key=USER)
    metrics = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "n", "gauge": {"dataPoints": [{"asInt": "1"}] * 3}}]}]}]}
    weir.post_to("/v1/metrics", metrics, key=USER)
    gateway.until(lambda: len(weir.get("/api/v1/topics/weir.ledger/records").json()["records"]) > 0)
    folded(weir)
    ledger, rows = books(weir)
    assert ledger["balanced"] and ledger["unwritten"] == 0 and all(b["balanced"] for b in ledger["books"])
    assert {k: rows["user", "spans"][k] - before[k] for k in before if k in ("received", "stored", "rejected")} == {"received": 10, "stored": 8, "rejected": 2}
    assert rows["user", "metrics"]["stored"] == 3 == rows["user", "metrics"]["received"]
    assert rows["cli", "calls"]["stored"] > 0
    assert {"key": "user", "signal": "spans", "reason": "unreadable", "items": 1}.items() <= ledger["refused"][0].items()
    assert {b["key"] for b in books(weir, key=USER)[0]["books"]} == {"user"}
    told = servers.run("ledger", "--url", weir.url, "--key", ADMIN, "--since", "1d")
    assert told.returncode == 0 and "BALANCED" in told.stdout and "unreadable" in told.stdout and " NO\n" not in told.stdout
    assert [json.loads(line) for line in servers.run("ledger", "--url", weir.url, "--key", ADMIN, "--json").stdout.splitlines()] == ledger["books"]


def test_it_is_made_again_while_serving(weir):
    before = weir.get("/api/v1/spans", limit=1000).json()
    books_before = books(weir)[0]["books"]
    assert httpx.post(weir.url + "/api/v1/view/rebuild", headers={"authorization": f"Bearer {ADMIN}"}).status_code == 202
    assert gateway.until(lambda: weir.get("/api/v1/spans", limit=1000).json() == before)
    folded(weir)
    assert books(weir)[0]["books"] == books_before


class Killed(Exception):
    pass


def test_killed_at_any_moment_it_agrees_with_the_log(tmp_path):
    sent = 0
    for turn in range(3):
        with pytest.raises(Killed), servers.start("serve", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--kafka", "off",
                                                  "--key", ADMIN, cwd=tmp_path) as server:
            weir = gateway.Gateway(server, tmp_path)
            folded(weir)
            ledger, rows = books(weir)
            assert ledger["balanced"] and rows.get(("cli", "spans"), {"stored": 0})["stored"] == sent
            assert len(names(weir, limit=1000)) == sent
            for n in range(20 + turn * 13):
                body = {"resourceSpans": [{"scopeSpans": [{"spans": [span(trace_id(), n + 1)]}]}]}
                assert weir.post_to("/v1/traces", body).status_code == 200
                sent += 1
            server.process.kill()
            raise Killed
