"""Weir's own calls as spans at a collector: decoded by OpenTelemetry's generated classes; and at another Weir."""
import contextlib, gzip, http.server, json, threading

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import gateway, servers
from gateway import ADMIN, SAY, provider
from test_traces import folded, trace_id


class Sink(http.server.ThreadingHTTPServer):
    """A collector that answers what it is told to, then 200."""
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.spans, self.requests, self.answers = [], [], []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status, headers = self.server.answers.pop(0) if self.server.answers else (200, {})
        self.server.requests.append((self.path, dict(self.headers), status))
        if status == 200:
            assert self.headers["content-encoding"] == "gzip" and self.headers["content-type"] == "application/x-protobuf"
            request = ExportTraceServiceRequest.FromString(gzip.decompress(body))
            for resource in request.resource_spans:
                named = {a.key: a.value.string_value for a in resource.resource.attributes}
                assert named["service.name"] == "weir" and named["service.version"]
                for scope in resource.scope_spans:
                    self.server.spans += list(scope.spans)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", "0")
        self.end_headers()


@contextlib.contextmanager
def sink():
    server = Sink()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def attributes(span):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def test_calls_become_spans():
    with servers.start("mock", "--tokens", "8") as mock, sink() as collector:
        config = {"providers": {"mock": provider(mock.url)}, "models": {"smart": "mock/gpt-5-mini"},
                  "telemetry": {"otlp": {"url": collector.url, "headers": {"X-Tenant": "a"}, "messages": True}}}
        with gateway.serve(config) as weir:
            trace = trace_id()
            made = weir.post({"model": "smart", "messages": SAY, "temperature": 0.5, "max_tokens": 9}, headers={
                "traceparent": f"00-{trace}-00000000000000aa-01", "x-weir-session": "talk"})
            weir.post({"model": "smart", "messages": SAY, "stream": True})
            weir.post({"model": "nothing", "messages": SAY})
            assert gateway.until(lambda: len(collector.spans) == 3, 10)
            metrics = weir.get("/metrics").text
    path, headers, _ = collector.requests[0]
    assert path == "/v1/traces" and headers["X-Tenant"] == "a"
    span = collector.spans[0]
    said = attributes(span)
    assert span.trace_id.hex() == trace and span.parent_span_id.hex() == "00000000000000aa" and len(span.span_id) == 8
    assert span.name == "chat smart" and span.kind == 3 and 0 < span.start_time_unix_nano < span.end_time_unix_nano
    assert {k: said[k] for k in ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model", "gen_ai.conversation.id",
                                 "gen_ai.usage.output_tokens", "gen_ai.request.temperature", "gen_ai.request.max_tokens", "http.response.status_code")} == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "mock", "gen_ai.request.model": "smart", "gen_ai.response.model": "gpt-5-mini",
        "gen_ai.conversation.id": "talk", "gen_ai.usage.output_tokens": 8, "gen_ai.request.temperature": 0.5, "gen_ai.request.max_tokens": 9,
        "http.response.status_code": 200}
    assert said["weir.call.id"] == made.headers["x-weir-call-id"] and said["weir.cost"] > 0
    assert [v.string_value for v in said["gen_ai.response.finish_reasons"].values] == ["stop"]
    assert json.loads(said["gen_ai.input.messages"])[0]["parts"][0] == {"type": "text", "content": SAY[0]["content"]}
    assert "omega7" in json.loads(said["gen_ai.output.messages"])[0]["parts"][0]["content"]
    assert attributes(collector.spans[1])["gen_ai.response.time_to_first_chunk"] > 0
    assert attributes(collector.spans[2])["weir.outcome"] == "refused"
    assert "weir_otlp_out_spans_total 3" in metrics and "weir_otlp_out_lag 0" in metrics


def test_a_collector_that_is_not_well(tmp_path):
    """Told to come again it does; what is wrong for good is left behind; a new start goes on where the old one stopped."""
    with servers.start("mock", "--tokens", "2") as mock, sink() as collector:
        config = tmp_path / "weir.yaml"
        config.write_text(json.dumps({"providers": {"mock": provider(mock.url)}, "telemetry": {"otlp": {"url": collector.url + "/v1/traces"}}}))
        start = ("serve", "--config", str(config), "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--kafka", "off", "--key", ADMIN)
        collector.answers = [(503, {"retry-after": "0"}), (429, {"retry-after": "1"})]
        with servers.start(*start) as server:
            weir = gateway.Gateway(server, tmp_path)
            weir.post({"model": "mock/a", "messages": SAY})
            assert gateway.until(lambda: len(collector.spans) == 1, 10)
            assert [r[2] for r in collector.requests] == [503, 429, 200]
            collector.answers = [(400, {})]
            weir.post({"model": "mock/bad", "messages": SAY})
            assert gateway.until(lambda: len(collector.requests) == 4, 10)
            collector.answers = [(500, {})] * 50
            weir.post({"model": "mock/late", "messages": SAY})
            assert gateway.until(lambda: len(collector.requests) > 4, 10)
            assert "weir_otlp_out_refused_total 1" in weir.get("/metrics").text
        collector.answers = []
        with servers.start(*start) as server:
            assert gateway.until(lambda: len(collector.spans) == 2, 10)
            gateway.Gateway(server, tmp_path).post({"model": "mock/new", "messages": SAY})
            assert gateway.until(lambda: len(collector.spans) == 3, 10)
        assert [attributes(s)["gen_ai.request.model"] for s in collector.spans] == ["mock/a", "mock/late", "mock/new"]


def test_one_weir_tells_another():
    with servers.start("mock", "--tokens", "8") as mock, gateway.serve({}) as other:
        config = {"providers": {"mock": provider(mock.url)}, "telemetry": {"otlp": {"url": other.url, "headers": {"Authorization": f"Bearer {ADMIN}"}, "messages": True}}}
        with gateway.serve(config) as weir:
            weir.post({"model": "mock/gpt-5-mini", "messages": SAY})
            assert gateway.until(lambda: other.get("/api/v1/spans").json().get("spans"), 10)
        span = other.get("/api/v1/spans").json()["spans"][0]
        assert span["service"] == "weir" and span["dialect"] == "opentelemetry" and span["usage"]["output"] == 8
        assert span["gen_ai"]["gen_ai.input.messages"][0]["parts"][0]["content"] == SAY[0]["content"]


@pytest.mark.parametrize("telemetry, says", [
    ({"otlp": {}}, "'url' is missing"), ({"otlp": {"url": "nowhere"}}, "is no URL"), ({"otlp": {"url": "http://a", "hedaers": {}}}, "headers"),
])
def test_mistakes_in_the_configuration(tmp_path, telemetry, says):
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps({"telemetry": telemetry}))
    checked = servers.run("check", str(path))
    assert checked.returncode == 2 and says in checked.stdout + checked.stderr
