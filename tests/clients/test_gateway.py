"""The gateway's main job, as a client sees it: answers pass through, and each call is one record."""
import asyncio, base64, json, random, socket, struct, threading, time

import httpx, openai, pytest

import gateway, servers
from gateway import ADMIN, PROVIDER_KEY, SAY, mock_last, mock_stats, provider, until

TEXT = "alpha0 бета1 gamma2 δέλτα3 naïve4 水5 🙂6 omega7"
WEB = "weir_web_key_abcdefghijklmnop"
TIGHT = "weir_tight_key_abcdefghijklmnop"
DEAD = "http://127.0.0.1:9"  # the discard port: nobody listens


@pytest.fixture(scope="module")
def mock():
    with servers.start("mock", "--tokens", "8") as server:
        yield server


@pytest.fixture(scope="module")
def weir(mock):
    config = {
        "providers": {
            "mock": provider(mock.url, models=[]) | {"timeout": {"connect": "2s", "first_byte": "1s", "idle": "1s", "total": "20s"}},
            "dead": provider(DEAD),
        },
        "models": {
            "fast": "mock/fast-model",
            "safe": {"targets": ["dead/x", "mock/y"], "deadline": "10s"},
            "broken-then-good": {"targets": ["mock/fault-503", "mock/good"]},
            "once": {"targets": ["mock/z"], "retry": {"attempts": 1}},
            "hurry": {"targets": ["mock/fault-slow-first-byte"], "deadline": "300ms"},
            "patient": {"targets": ["mock/fault-429=77"], "deadline": "5s"},
            "hopeless": {"targets": ["dead/a", "dead/b"]},
        },
        "prices": {"mock/fast-model": {"input": 2.5, "output": 10}},
        "keys": [
            gateway.key_entry("web", WEB, models=["fast", "mock/*"]),
            gateway.key_entry("tight", TIGHT, limits={"requests": "2/m", "tokens": "100000/m", "concurrent": 1}),
        ],
    }
    config["providers"]["mock"].pop("models")
    with gateway.serve(config) as server:
        yield server


def stream_text(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


# ---- Pass-through ----

def test_an_answer_in_one_piece(weir, mock):
    raw = weir.client().chat.completions.with_raw_response.create(model="fast", messages=SAY)
    answer = raw.parse()
    assert answer.choices[0].message.content == TEXT
    assert answer.model == "fast-model", "the answer's model name stays upstream's"
    assert raw.headers["x-weir-target"] == "mock/fast-model"
    record = weir.call(raw.headers["x-weir-call-id"])
    assert (record["model"], record["target"], record["status"], record["outcome"]) == ("fast", "mock/fast-model", 200, "ok")
    assert record["response"]["choices"][0]["message"]["content"] == TEXT
    assert record["response_complete"] is True
    assert record["request"]["messages"] == SAY
    assert record["usage"] == {"input": 3, "cached_input": 0, "cache_write": 0, "output": 8, "reasoning": 0, "audio_in": 0,
                               "audio_out": 0, "source": "provider"}
    assert record["usage_raw"]["completion_tokens"] == 8
    # 3 × 2.5 + 8 × 10 millionths of a dollar
    assert (record["cost"]["amount"], record["cost"]["currency"]) == ("0.0000875", "USD")
    page = weir.get("/api/v1/topics/weir.calls/records", **{"from": 0, "limit": 10000}).json()
    headers = next(r["headers"] for r in page["records"] if r["value"]["id"] == record["id"])
    assert headers == {"model": "fast", "status": "200", "tokens": "11", "cost": "0.0000875", "key": record["key"]}
    assert len(record["attempts"]) == 1 and record["attempts"][0]["status"] == 200
    t = record["timing"]
    assert 0 <= t["overhead_us"] <= t["total_us"] and t["first_byte_us"] <= t["total_us"]


def test_a_stream(weir):
    chunks = list(weir.client().chat.completions.create(model="fast", messages=SAY, stream=True))
    assert stream_text(chunks) == TEXT
    assert all(c.choices for c in chunks), "usage was not asked for: no chunk without choices may be seen"
    record = weir.last(model="fast", status="ok")
    assert record["stream"] is True
    assert record["usage"]["output"] == 8 and record["usage"]["source"] == "provider"
    assert record["response"]["choices"][0]["message"] == {"role": "assistant", "content": TEXT} | (
        {"refusal": None} if "refusal" in record["response"]["choices"][0]["message"] else {})
    assert record["response"]["choices"][0]["finish_reason"] == "stop"
    assert record["response"]["object"] == "chat.completion"


def test_usage_on_a_stream_is_shown_to_who_asks(weir):
    chunks = list(weir.client().chat.completions.create(model="fast", messages=SAY, stream=True,
                                                         stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 8


def test_the_request_differs_in_the_models_name_only(weir, mock):
    body = b' {"messages" : [{"role":"user","content":"caf\\u00e9 \xe2\x82\xac"}],\n"mod\\u0065l":"fast", "x_unknown":[1.0e3, null],"temperature":0.10}\n'
    assert weir.post(body).status_code == 200
    sent = httpx.get(mock.url + "/mock/last/body").content
    assert sent == body.replace(b'"fast"', b'"fast-model"')


def test_a_stream_gets_include_usage_and_nothing_else(weir, mock):
    weir.post({"model": "fast", "messages": SAY, "stream": True})
    assert json.loads(httpx.get(mock.url + "/mock/last/body").content)["stream_options"] == {"include_usage": True}


def test_unknown_members_of_the_answer_stay(weir, mock):
    direct = httpx.post(mock.url + "/v1/chat/completions", json={"model": "fast-model", "messages": SAY}).content
    assert weir.post({"model": "fast", "messages": SAY}).content == direct


def test_the_callers_key_and_hop_headers_never_go_upstream(weir, mock):
    weir.post({"model": "fast", "messages": SAY}, headers={"connection": "x-secret-hop", "x-secret-hop": "1", "proxy-authorization": "Basic eA==",
                                                          "cookie": "a=b"})
    headers = {name.lower(): value for name, value in mock_last(mock)["headers"]}
    assert headers["authorization"] == "Bearer " + PROVIDER_KEY
    assert not {"x-secret-hop", "proxy-authorization", "cookie"} & headers.keys()
    assert [n.lower() for n, _ in mock_last(mock)["headers"]].count("authorization") == 1


def test_a_trace_is_joined_and_passed_on(weir, mock):
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    record = weir.record_of(weir.post({"model": "fast", "messages": SAY}, headers={"traceparent": parent}))
    assert record["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert record["parent_span_id"] == "00f067aa0ba902b7"
    sent = {n.lower(): v for n, v in mock_last(mock)["headers"]}["traceparent"]
    assert sent == f"00-{record['trace_id']}-{record['span_id']}-01"
    assert weir.call(record["trace_id"])["id"] == record["id"]


def test_big_bodies_go_through_and_are_kept_as_blobs(weir, mock):
    text = "x" * (3 << 20)
    answer = weir.post({"model": "fast", "messages": [{"role": "user", "content": text}]})
    assert answer.status_code == 200
    record = weir.record_of(answer)
    assert record["request"]["size"] > 3 << 20
    name = record["request"]["$blob"].removeprefix("sha256:")
    blob = (weir.data / "blobs" / name[:2] / name).read_bytes()
    assert json.loads(blob)["messages"][0]["content"] == text
    assert weir.get("/api/v1/blobs/sha256:" + name).content == blob
    assert weir.get("/api/v1/blobs/sha256:" + "0" * 64).status_code == 404
    assert weir.get("/api/v1/blobs/..%2F..%2Fweir.yaml").status_code == 400


# ---- Names, keys, bodies ----

def test_models_are_listed_for_each_key(weir):
    ids = {m.id for m in weir.client().models.list()}
    assert {"fast", "safe", "once"} <= ids
    assert {m.id for m in weir.client(WEB).models.list()} >= {"fast"}
    assert "safe" not in {m.id for m in weir.client(WEB).models.list()}
    assert weir.client().models.retrieve("fast").id == "fast"
    with pytest.raises(openai.NotFoundError):
        weir.client().models.retrieve("nothing")


def test_a_stranger_is_not_a_call(weir):
    before = len(weir.calls(limit=1000))
    for key in ("wrong", "x", ADMIN[:-1], ADMIN + "x"):
        answer = weir.post({"model": "fast", "messages": SAY}, key=key)
        assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_api_key"
        assert key == "x" or key not in answer.text
    assert len(weir.calls(limit=1000)) == before


def test_unknown_and_forbidden_models_are_refused(weir):
    answer = weir.post({"model": "fsat", "messages": SAY})
    assert answer.status_code == 404 and "fast" in answer.json()["error"]["message"]
    record = weir.record_of(answer)
    assert (record["outcome"], record["status"], record["attempts"]) == ("refused", 404, [])
    answer = weir.post({"model": "safe", "messages": SAY}, key=WEB)
    assert answer.status_code == 403
    assert weir.record_of(answer)["outcome"] == "refused"


@pytest.mark.parametrize("body, says", [
    (b"", "empty"), (b"{", "ends"), (b"[]", "object"), (b'{"messages":[]}', "model"), (b'{"model":1,"messages":[]}', "model"),
    (b'{"model":"fast","model":"fast","messages":[]}', "2 times"), (b'{"model":"fast","mod\\u0065l":"x"}', "2 times"),
    (b'{"model":"fast","messages":' + b"[" * 200 + b"]" * 200 + b"}", "128"), (b'{"model":"fast"} x', "byte"),
    (b'{"model":"fast\xff"}', "UTF-8"),
])
def test_a_wrong_body_is_400_and_says_why(weir, body, says):
    answer = weir.post(body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert says.lower() in error["message"].lower(), error["message"]


# ---- Retry and fallback ----

def test_fallback_when_a_provider_is_not_there(weir):
    answer = weir.post({"model": "safe", "messages": SAY})
    assert answer.status_code == 200 and answer.headers["x-weir-target"] == "mock/y"
    record = weir.record_of(answer)
    assert [(a["target"], a["status"], a["error"]) for a in record["attempts"]] == [("dead/x", None, "connect"), ("mock/y", 200, None)]


@pytest.mark.parametrize("fault, stream", [(f, s) for s in (False, True) for f in (
    "503", "500", "429", "reset-before-head", "close-before-head", "reset-after-head")] + [("role-then-reset", True)])
def test_what_fails_before_its_first_content_is_tried_again(weir, fault, stream):
    with httpx.Client() as http:
        httpx.put(weir_mock(weir) + "/mock/faults", content=fault + "*1")
        answer = http.post(weir.url + "/v1/chat/completions", json={"model": "mock/a", "messages": SAY, "stream": stream},
                           headers={"authorization": "Bearer " + ADMIN}, timeout=20)
    assert answer.status_code == 200, answer.text
    record = weir.record_of(answer)
    # Where a kept connection broke without a byte of an answer, the request was sent again within the attempt.
    again = fault in ("reset-before-head", "close-before-head") and record["attempts"][0].get("resent")
    assert len(record["attempts"]) == (1 if again else 2) and record["outcome"] == "ok"
    assert record["attempts"][-1]["status"] == 200
    if stream:
        assert answer.text.count('"role":"assistant"') <= 1, "the first attempt's role was held back"
        assert answer.text.rstrip().endswith("[DONE]")


def weir_mock(weir):
    return json.loads(weir.config_path.read_text())["providers"]["mock"]["url"].removesuffix("/v1")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_clients_fault_is_not_tried_again(weir, status):
    answer = weir.post({"model": f"mock/fault-{status}", "messages": SAY})
    assert answer.status_code == status
    assert len(weir.record_of(answer)["attempts"]) == 1


def test_an_error_keeps_its_status_and_bytes(weir, mock):
    direct = httpx.post(mock.url + "/v1/chat/completions", json={"model": "fault-503", "messages": SAY})
    answer = weir.post({"model": "mock/fault-503", "messages": SAY})
    assert (answer.status_code, answer.content) == (503, direct.content)
    record = weir.record_of(answer)
    assert (record["outcome"], record["status"], len(record["attempts"])) == ("error", 503, 2)
    assert record["response_complete"] is True
    assert record["error"]["message"] == direct.json()["error"]["message"]


def test_retry_after_is_passed_on(weir):
    answer = weir.post({"model": "patient", "messages": SAY})
    assert answer.status_code == 429 and answer.headers["retry-after"] == "77"
    assert len(weir.record_of(answer)["attempts"]) == 1, "77 s do not fit a deadline: given up at once"


def test_retry_after_is_waited_for_when_it_fits(weir, mock):
    httpx.put(mock.url + "/mock/faults", content="429=1*1")
    begun = time.monotonic()
    answer = weir.post({"model": "mock/w", "messages": SAY})
    assert answer.status_code == 200 and time.monotonic() - begun >= 0.99


def test_retry_after_may_be_a_date(weir, mock):
    httpx.put(mock.url + "/mock/faults", content="429-date*1")
    begun = time.monotonic()
    assert weir.post({"model": "mock/w", "messages": SAY}).status_code == 200 and time.monotonic() - begun >= 0.9


def test_nobody_there_is_502_with_both_attempts(weir):
    answer = weir.post({"model": "hopeless", "messages": SAY})
    assert answer.status_code == 502
    record = weir.record_of(answer)
    assert [a["error"] for a in record["attempts"]] == ["connect", "connect"]
    assert record["outcome"] == "error" and answer.headers["x-weir-call-id"] in answer.json()["error"]["message"]


def test_the_deadline_bounds_all_attempts(weir):
    begun = time.monotonic()
    answer = weir.post({"model": "hurry", "messages": SAY})
    assert answer.status_code == 504 and time.monotonic() - begun < 2
    assert weir.record_of(answer)["outcome"] == "error"


def test_a_slow_first_byte_is_a_timeout(weir):
    answer = weir.post({"model": "mock/fault-slow-first-byte", "messages": SAY}, timeout=20)
    assert answer.status_code == 504
    assert [a["error"] for a in weir.record_of(answer)["attempts"]] == ["timeout", "timeout"]


@pytest.mark.parametrize("fault", ["html-error", "empty-error", "garbage-head"])
def test_an_error_that_is_not_json_becomes_one(weir, mock, fault):
    answer = weir.post({"model": "mock/fault-" + fault, "messages": SAY})
    assert answer.status_code == {"html-error": 502, "empty-error": 500, "garbage-head": 502}[fault]
    assert answer.json()["error"]["message"] and "<" not in answer.json()["error"]["message"]


# ---- Answers that break ----

@pytest.mark.parametrize("fault", ["reset-mid-body", "close-mid-body", "stall-mid-stream", "error-in-stream"])
def test_a_stream_that_breaks_says_so(weir, fault):
    response = weir.post({"model": "mock/fault-" + fault, "messages": SAY, "stream": True}, timeout=20)
    assert response.status_code == 200
    assert '"error"' in response.text and "[DONE]" not in response.text
    record = weir.record_of(response)
    assert (record["status"], record["outcome"], record["response_complete"]) == (200, "error", False)
    part = record["response"]["choices"][0]["message"]["content"]
    assert part and TEXT.startswith(part) and part != TEXT, "what came is kept"
    assert record["usage"]["source"] == "counted" and record["usage"]["output"] > 0
    with pytest.raises(openai.APIError):
        list(weir.client().chat.completions.create(model="mock/fault-" + fault, messages=SAY, stream=True))


@pytest.mark.parametrize("fault", ["reset-mid-body", "close-mid-body"])
def test_half_an_answer_is_an_error(weir, fault):
    response = weir.post({"model": "mock/fault-" + fault, "messages": SAY})
    assert response.status_code == 502 and response.json()["error"]["type"] == "upstream_error"
    record = weir.record_of(response)
    assert (record["outcome"], record["status"]) == ("error", 502)


@pytest.mark.parametrize("fault", ["cut-segments", "cut-chunks", "sse-crlf", "sse-cr", "sse-mixed", "sse-comments", "sse-multiline",
                                   "sse-unterminated", "no-done", "after-done"])
def test_odd_streams_are_read_right(weir, fault):
    response = weir.post({"model": "mock/fault-" + fault, "messages": SAY, "stream": True})
    assert response.status_code == 200
    record = weir.record_of(response)
    assert record["outcome"] == "ok", record["error"]
    assert record["response"]["choices"][0]["message"]["content"] == TEXT
    assert record["usage"]["output"] == 8


def test_an_event_without_bounds_is_cut(weir):
    response = weir.post({"model": "mock/fault-huge-event", "messages": SAY, "stream": True})
    record = weir.record_of(response)
    assert record["outcome"] == "error" and "8388608" in record["error"]["message"]


@pytest.mark.parametrize("fault", ["empty-ok", "garbage"])
def test_a_good_status_without_an_answer(weir, fault):
    answer = weir.post({"model": "mock/fault-" + fault, "messages": SAY})
    record = weir.record_of(answer)
    if fault == "empty-ok":
        assert (answer.status_code, [a["error"] for a in record["attempts"]]) == (502, ["empty", "empty"])
    else:
        assert answer.status_code == 200 and isinstance(record["response"], str), "bytes that are no JSON are kept as text"


def test_an_error_under_a_good_status_is_an_error(weir):
    answer = weir.post({"model": "mock/fault-error-in-stream", "messages": SAY})
    assert answer.status_code == 200 and "error" in answer.json()
    record = weir.record_of(answer)
    assert (record["outcome"], record["status"]) == ("error", 200)


def test_a_stream_without_content_is_kept_alive(mock):
    config = {"providers": {"mock": provider(mock.url, timeout={"first_byte": "1500ms"})}, "limits": {"ping": "200ms"},
              "models": {"once": {"targets": ["mock/fault-slow-first-byte"], "retry": {"attempts": 1}},
                         "slow": "mock/fault-slow-first-byte=900", "slower": "mock/fault-slow-first-event=900"}}
    with gateway.serve(config) as weir:
        for model in ("slow", "slower"):
            answer = weir.post({"model": model, "messages": SAY, "stream": True})
            assert answer.status_code == 200 and 3 <= answer.text.count(": ping\n\n") <= 5
            assert stream_text(weir.client().chat.completions.create(model=model, messages=SAY, stream=True)) == TEXT
            assert weir.record_of(answer)["outcome"] == "ok"
        answer = weir.post({"model": "once", "messages": SAY, "stream": True})
        assert answer.status_code == 200 and '"error"' in answer.text and "[DONE]" not in answer.text
        record = weir.record_of(answer)
        assert (record["outcome"], record["status"], record["attempts"][0]["error"]) == ("error", 200, "timeout")
        assert ": ping" not in weir.post({"model": "slow", "messages": SAY}).text, "only streams have comments"


# ---- Clients that leave ----

def leave(weir, body, after_bytes):
    data = json.dumps(body).encode()
    with socket.create_connection((weir.host, weir.port)) as s:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
                  % (ADMIN.encode(), len(data), data))
        got = b""
        while len(got) < after_bytes:
            got += s.recv(4096)
        if after_bytes == 0:
            time.sleep(0.2)


@pytest.mark.parametrize("stream, after", [(True, 300), (True, 0), (False, 0)])
def test_a_client_that_leaves_is_noticed(weir, mock, stream, after):
    httpx.delete(mock.url + "/mock/stats")
    model = "mock/fault-stall-mid-stream" if after else "mock/fault-slow-first-byte"
    leave(weir, {"model": model, "messages": SAY, "stream": stream, "user": f"leaver-{stream}-{after}"}, after)
    assert until(lambda: mock_stats(mock)["cancelled"] == 1), mock_stats(mock)
    record = until(lambda: [c for c in weir.calls(status="cancelled") if c["user"] == f"leaver-{stream}-{after}"])[0]
    assert (record["status"], record["outcome"], record["response_complete"]) == (499, "cancelled", False)
    assert record["usage"]["source"] == "counted" and record["usage"]["input"] > 0
    if after:
        assert TEXT.startswith(record["response"]["choices"][0]["message"]["content"])
    assert len(record["attempts"]) == 1, "nobody is there to try again for"


# ---- Limits ----

def test_limits_hold_and_say_when(weir):
    statuses = [weir.post({"model": "fast", "messages": SAY}, key=TIGHT) for _ in range(3)]
    assert [s.status_code for s in statuses] == [200, 200, 429]
    error = statuses[2].json()["error"]
    assert "2" in error["message"] and "tight" in error["message"]
    assert 0 < int(statuses[2].headers["retry-after"]) <= 60
    record = weir.record_of(statuses[2])
    assert (record["outcome"], record["status"], record["key"]) == ("refused", 429, "tight")


def test_no_concurrency_exceeds_a_limit(mock):
    key = "weir_many_key_abcdefghijklmnop"
    config = {"providers": {"mock": provider(mock.url)},
              "keys": [gateway.key_entry("many", key, limits={"requests": "40/m", "concurrent": 8})]}

    async def burst(weir):
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=100), timeout=30) as http:
            return await asyncio.gather(*(http.post(weir.url + "/v1/chat/completions", headers={"authorization": "Bearer " + key},
                                                    json={"model": "mock/m", "messages": SAY}) for _ in range(200)))
    with gateway.serve(config) as weir:
        httpx.delete(mock.url + "/mock/stats")
        answers = asyncio.run(burst(weir))
        served = sum(a.status_code == 200 for a in answers)
        assert served <= 40 and {a.status_code for a in answers} <= {200, 429}
        stats = mock_stats(mock)
        assert stats["requests"] == served and stats["active_max"] <= 8
        records = weir.calls(limit=1000)
        assert len(records) == 200, "each call, served or refused, is recorded once"
        assert len({r["id"] for r in records}) == 200


# ---- Secrets ----

def test_no_key_is_ever_written(weir, mock):
    weir.post({"model": "fast", "messages": [{"role": "user", "content": f"my key is {ADMIN} and {PROVIDER_KEY}"}]})
    weir.post({"model": "fast", "messages": SAY}, key="weir_wrong_key_xyz")
    weir.post({"model": "mock/fault-401", "messages": SAY})
    written = weir.everything_written()
    for secret in (ADMIN, PROVIDER_KEY, WEB, TIGHT, "weir_wrong_key_xyz"):
        assert secret.encode() not in written


# ---- Reload, drain ----

def test_reload_changes_models_and_keeps_connections(mock):
    config = {"providers": {"mock": provider(mock.url)}, "models": {"a": "mock/first"}}
    with gateway.serve(config) as weir, httpx.Client(headers={"authorization": "Bearer " + ADMIN}) as http:
        ask = lambda model: http.post(weir.url + "/v1/chat/completions", json={"model": model, "messages": SAY})
        assert ask("a").headers["x-weir-target"] == "mock/first"
        config["models"] = {"a": "mock/second"}
        weir.configure(config)
        weir.server.process.send_signal(1)
        assert until(lambda: ask("a").headers["x-weir-target"] == "mock/second")
        weir.config_path.write_text("lsiten: {}")
        weir.server.process.send_signal(1)
        assert until(lambda: "did you mean 'listen'" in weir.log_path.read_text())
        assert ask("a").headers["x-weir-target"] == "mock/second", "a wrong file changes nothing"


def test_a_stream_finishes_while_draining():
    with servers.start("mock", "--tokens", "20", "--gap", "50") as slow, \
            gateway.serve({"providers": {"mock": provider(slow.url)}}) as weir:
        stream = weir.client().chat.completions.create(model="mock/m", messages=SAY, stream=True)
        chunks = [next(stream)]
        weir.server.process.terminate()
        time.sleep(0.1)
        with pytest.raises(httpx.ConnectError):
            httpx.get(weir.url + "/health")
        chunks += list(stream)
        assert chunks[-1].choices[0].finish_reason


def test_a_stream_that_outlasts_the_drain_is_broken_and_recorded():
    with servers.start("mock", "--tokens", "8") as slow, \
            gateway.serve({"providers": {"mock": provider(slow.url)}, "listen": {"drain": "1s"}}) as weir:
        stream = weir.client().chat.completions.create(model="mock/fault-stall-mid-stream", messages=SAY, stream=True)
        next(stream)
        weir.server.process.terminate()
        assert weir.server.process.wait(timeout=10) == 0
        with pytest.raises((httpx.HTTPError, openai.APIError)):
            list(stream)
        rows = servers.run("call", "list", "--data", str(weir.data), "--json").stdout.splitlines()
        assert [json.loads(row)["outcome"] for row in rows] == ["cancelled"]


# ---- The log is full ----

def test_a_full_log_refuses_or_serves_as_told(mock):
    base = {"providers": {"mock": provider(mock.url)}}
    for on_full, wanted in (("refuse", 507), ("serve", 200)):
        with gateway.serve(base | {"log": {"quota": "4MiB", "protect": "1h", "on_full": on_full}}) as weir:
            noise = base64.b64encode(random.Random(1).randbytes(200_000)).decode()
            last = None
            for i in range(60):
                last = weir.post({"model": "mock/m", "messages": [{"role": "user", "content": noise[i:] + str(i * 31)}]})
                if last.status_code == 507:
                    break
            assert last.status_code == wanted, last.text
            assert weir.get("/api/v1/calls").status_code == 200, "reads go on"
            size = sum(p.stat().st_size for p in weir.data.rglob("*") if p.is_file())
            assert size <= 4 << 20
            if on_full == "serve":
                assert "weir_calls_unrecorded_total 0\n" not in httpx.get(weir.url + "/metrics").text


# ---- Start and stop ----

def test_the_first_start_makes_a_key_and_shows_it_once(tmp_path, mock):
    (tmp_path / "weir.yaml").write_text(json.dumps({"providers": {"mock": provider(mock.url)}}))
    shown = []
    for _ in range(2):
        with open(tmp_path / "stderr", "w") as log, servers.start("serve", "--data", str(tmp_path / "d"), "--listen", "127.0.0.1:0",
                                                                   cwd=tmp_path, stderr=log, env={"WEIR_KEY": ""}) as server:
            text = (tmp_path / "stderr").read_text()
            shown += [w.split("=", 1)[1] for w in text.split() if w.startswith("key=weir_")]
            answer = httpx.post(server.url + "/v1/chat/completions", json={"model": "mock/m", "messages": SAY},
                                headers={"authorization": "Bearer " + shown[0]})
            assert answer.status_code == 200
    assert len(shown) == 1


def test_one_process_per_data_folder(weir):
    other = servers.run("serve", "--data", str(weir.data), "--listen", "127.0.0.1:0", "--key", ADMIN)
    assert other.returncode == 3 and "in use" in other.stderr


def test_commands_read_calls_from_server_and_folder(weir):
    for _ in range(3):
        weir.post({"model": "fast", "messages": SAY})
    server = servers.run("call", "list", "--url", weir.url, "--key", ADMIN, "--json", "--limit", "2", "--model", "fast")
    assert server.returncode == 0, server.stderr
    rows = [json.loads(line) for line in server.stdout.splitlines()]
    assert len(rows) == 2 and rows[0]["model"] == "fast"
    folder = servers.run("call", "list", "--data", str(weir.data), "--json", "--limit", "2", "--model", "fast")
    assert [json.loads(line)["id"] for line in folder.stdout.splitlines()] == [r["id"] for r in rows]
    shown = servers.run("call", "show", rows[0]["id"], "--url", weir.url, "--key", ADMIN)
    assert json.loads(shown.stdout)["id"] == rows[0]["id"]
    table = servers.run("call", "list", "--url", weir.url, "--key", ADMIN)
    assert table.stdout.startswith("ID ") and "ENDPOINT" in table.stdout and "chat" in table.stdout
    missing = servers.run("call", "show", "0" * 32, "--url", weir.url, "--key", ADMIN)
    assert missing.returncode == 1 and "no call" in missing.stderr


def test_chat_command(weir):
    answer = servers.run("chat", "fast", "--message", "Hello there", "--url", weir.url, "--key", ADMIN)
    assert (answer.returncode, answer.stdout.strip()) == (0, TEXT), answer.stderr


def test_calls_of_others_are_not_shown(weir):
    mine = weir.post({"model": "fast", "messages": SAY}, key=WEB)
    other = weir.post({"model": "fast", "messages": SAY})
    listed = weir.get("/api/v1/calls", key=WEB, limit=1000).json()["calls"]
    assert {c["key"] for c in listed} == {"web"}
    assert weir.get("/api/v1/calls/" + mine.headers["x-weir-call-id"], key=WEB).status_code == 200
    assert weir.get("/api/v1/calls/" + other.headers["x-weir-call-id"], key=WEB).status_code == 404
    assert weir.get("/api/v1/topics", key=WEB).status_code == 403


def test_pages_of_calls_join_without_gap(weir):
    for _ in range(5):
        weir.post({"model": "fast", "messages": SAY})
    whole = [c["id"] for c in weir.calls(limit=1000)]
    paged, cursor = [], None
    while True:
        page = weir.get("/api/v1/calls", limit=3, **({"cursor": cursor} if cursor else {})).json()
        paged += [c["id"] for c in page["calls"]]
        cursor = page["next"]
        if not cursor:
            break
    assert paged == whole


@pytest.mark.parametrize("leak", [False, True])
def test_large_bodies_are_recorded_whole_and_clean(leak):
    with servers.start("mock", "--tokens", "9000") as mock, gateway.serve({
            "providers": {"up": gateway.provider(mock.url)}, "models": {"m": "up/x"}}) as weir:
        text = "".join(f"line {i} of \"it\"\n" for i in range(15000)) + (gateway.ADMIN if leak else "")
        body = {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 9000}
        answer = weir.post(body)
        record = weir.record_of(answer)
        assert len(answer.content) > 30000 and record["response"] == answer.json() and record["response_complete"]
        body["messages"][0]["content"] = text.replace(gateway.ADMIN, "***")
        assert record["request"] == body and record["user"] is None
        assert gateway.ADMIN.encode() not in weir.everything_written()
        small = weir.post({"model": "m", "messages": gateway.SAY, "max_tokens": 1})
        assert weir.record_of(small)["request"]["messages"] == gateway.SAY


def test_a_last_event_may_be_as_large_as_the_limit_says():
    """Larger than the limit's default, and without the empty line that ends it."""
    text = "x" * (9 << 20)
    event = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"role": "assistant", "content": text},
                                                 "finish_reason": "stop"}]}).encode()
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        with listener.accept()[0] as s:
            s.recv(65536)
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + event)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass

    threading.Thread(target=answer, daemon=True).start()
    upstream = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with gateway.serve({"providers": {"up": gateway.provider(upstream)}, "models": {"m": "up/x"}, "limits": {"event": "16MiB"}}) as weir:
        got = weir.post({"model": "m", "messages": gateway.SAY, "stream": True})
        assert got.content.startswith(event) and len(got.content) < len(event) + 100
        record = weir.record_of(got)
        assert record["outcome"] == "ok" and record["response"]["$blob"]
    listener.close()
