"""OTLP received: forms, compressions, refusals, and what is on the log after each."""
import base64, gzip, json, os, zlib

import httpx, pytest

import gateway
from gateway import ADMIN, key_entry

USER = "user-key-000000000000000000"
TRACE = "5b8efff798038103d269b633813fc60c"


def span(n=1, **more):
    return {"traceId": TRACE, "spanId": f"{n:016x}", "name": f"span {n}", "kind": 3, "startTimeUnixNano": str(1732480000000000000 + n),
            "endTimeUnixNano": str(1732480000000000000 + n + 1_000_000), "attributes": []} | more


def spans(*all):
    return {"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "app"}}]},
                               "scopeSpans": [{"scope": {"name": "test"}, "spans": list(all)}]}]}


@pytest.fixture(scope="module")
def weir():
    with gateway.serve({"keys": [key_entry("user", USER)], "limits": {"body": "1MiB"}}) as server:
        yield server


def post(weir, body, path="/v1/traces", key=ADMIN, form="application/json", **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(weir.url + path, content=content, headers={"content-type": form, "authorization": f"Bearer {key}"} | headers)


def records(weir, topic):
    return weir.get(f"/api/v1/topics/{topic}/records", limit=10000).json()["records"]


def stored(weir, topic, answer):
    """The records of an answer that says: all stored."""
    assert (answer.status_code, answer.json()) == (200, {}), answer.text
    return [r["value"] for r in records(weir, topic)]


@pytest.mark.parametrize("path", ["/v1/traces", "/otel/v1/traces", "/api/public/otel/v1/traces"])
def test_spans_are_on_the_log_when_the_answer_comes(weir, path):
    before = len(records(weir, "weir.spans"))
    new = stored(weir, "weir.spans", post(weir, spans(span(1), span(2)), path, key=USER))[before:]
    assert [s["span_id"] for s in new] == [f"{n:016x}" for n in (1, 2)]
    assert {(s["key"], s["service"], s["trace_id"], s["duration_us"]) for s in new} == {("user", "app", TRACE, 1000)}


@pytest.mark.parametrize("coding, pack", [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)])
def test_compressed(weir, coding, pack):
    body = pack(json.dumps(spans(span(3))).encode())
    assert stored(weir, "weir.spans", post(weir, body, **{"content-encoding": coding}))


def test_logs_and_metrics(weir):
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "1732480000000000000", "body": {"stringValue": "hello"},
                                                             "traceId": TRACE}]}]}]}
    assert stored(weir, "weir.logs", post(weir, logs, "/v1/logs"))[-1]["body"] == "hello"
    metrics = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": "n", "sum": {"dataPoints": [{"asInt": "1"}, {"asInt": "2"}], "isMonotonic": True}}, {"name": "empty"}]}]}]}
    assert [p["value"] for p in stored(weir, "weir.metrics", post(weir, metrics, "/v1/metrics"))[-1]["points"]] == [1, 2]


def test_partial_success_names_what_is_wrong(weir):
    answer = post(weir, spans(span(5), span(6, traceId=""), span(7, spanId="0" * 16)))
    assert answer.status_code == 200
    partial = answer.json()["partialSuccess"]
    assert partial["rejectedSpans"] == "2" and "trace id is not 16 bytes" in partial["errorMessage"]
    newest = records(weir, "weir.spans")[-1]
    assert newest["value"]["span_id"] == f"{5:016x}" and newest["headers"]["receipt"] == "received=3 rejected=2"
    assert post(weir, spans(span(8, traceId=""))).json()["partialSuccess"]["rejectedSpans"] == "1"
    assert gateway.until(lambda: records(weir, "weir.ledger"))[-1]["value"] | {"time": 0} == {
        "time": 0, "key": "cli", "signal": "spans", "rejected": 1, "reason": "invalid"}


@pytest.mark.parametrize("status, body, more, says", [
    (400, b'{"resourceSpans":3}', {}, "list"),
    (400, b"\x0a\xff", {"form": "application/x-protobuf"}, "protobuf"),
    (400, b"{}", {"content-encoding": "gzip"}, "Content-Encoding"),
    (413, gzip.compress(b" " * (2 << 20)), {"content-encoding": "gzip"}, "limits.body"),
    (415, b"{}", {"form": "text/plain"}, "Content-Type"),
    (415, b"{}", {"content-encoding": "br"}, "gzip, deflate, zstd"),
    (401, b"{}", {"key": "nobody"}, "key is not valid"),
])
def test_refusals(weir, status, body, more, says):
    answer = post(weir, body, **more)
    assert answer.status_code == status
    json_form = more.get("form", "application/json") == "application/json"
    assert answer.headers["content-type"] == ("application/json" if json_form else "application/x-protobuf")
    assert says in (answer.json()["message"] if json_form else answer.content.decode("latin-1"))


def test_other_methods(weir):
    answer = httpx.get(weir.url + "/v1/traces")
    assert answer.status_code == 405 and answer.headers["allow"] == "POST"


def test_a_key_as_a_password(weir):
    basic = base64.b64encode(f"pk-lf-anything:{USER}".encode()).decode()
    assert stored(weir, "weir.spans", post(weir, spans(span(9)), authorization=f"Basic {basic}"))[-1]["key"] == "user"
    assert post(weir, spans(span(9)), authorization="Basic !!").status_code == 401


def test_many_spans_become_several_batches(weir):
    before = len(records(weir, "weir.spans"))
    text = "x" * 3000
    answer = post(weir, gzip.compress(json.dumps(spans(*[span(n, name=text) for n in range(1, 300)])).encode()), **{"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()) == (200, {})
    new = records(weir, "weir.spans")[before:]
    assert [r["value"]["span_id"] for r in new] == [f"{n:016x}" for n in range(1, 300)]
    receipts = [r["headers"]["receipt"] for r in new if "receipt" in r["headers"]]
    assert sum(int(r.split()[0].split("=")[1]) for r in receipts) == 299


def test_a_full_folder_says_come_again():
    with gateway.serve({"log": {"quota": "4MiB", "protect": "1h"}}) as weir:
        for _ in range(60):
            answer = post(weir, spans(*[span(n, name=os.urandom(50_000).hex()) for n in range(1, 8)]))
            if answer.status_code != 200:
                break
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert "send it again" in answer.json()["message"]
