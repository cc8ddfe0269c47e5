"""weir mock: the official SDKs read it, and each fault does to the bytes what its name says."""
import json, pathlib, socket, ssl, struct, time

import anthropic, httpx, openai, pytest
from pydantic import BaseModel

import servers

TRUST = ssl.create_default_context()  # httpx would read the certificates again for each request
TEXT = "alpha0 бета1 gamma2 δέλτα3 naïve4 水5 🙂6 omega7"
SAY = [{"role": "user", "content": "Hello there"}]
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {
    "type": "object", "required": ["city", "days"],
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "note": {"type": "string"}}}}}


@pytest.fixture(scope="module")
def mock():
    with servers.start("mock", "--tokens", "8") as server:
        yield server


@pytest.fixture
def chat(mock):
    return openai.OpenAI(base_url=mock.url + "/v1", api_key="sk-test", max_retries=0).chat.completions


@pytest.fixture
def claude(mock):
    return anthropic.Anthropic(base_url=mock.url, api_key="sk-test", max_retries=0).messages


def post(mock, body, path="/v1/chat/completions", **headers):
    return httpx.post(mock.url + path, json=body, headers=headers, timeout=10, verify=TRUST)


def raw(mock, fault, stream=False, path="/v1/chat/completions"):
    """Every byte of an answer, and how the connection ended: "closed", "reset" or "silent"."""
    body = json.dumps({"model": "m", "messages": SAY, "stream": stream, "max_tokens": 8}).encode()
    with socket.create_connection((mock.host, mock.port)) as s:
        s.settimeout(0.5)
        s.sendall(b"POST %s HTTP/1.1\r\nHost: mock\r\nx-mock-fault: %s\r\nContent-Length: %d\r\n\r\n%s"
                  % (path.encode(), fault.encode(), len(body), body))
        answer = b""
        try:
            while piece := s.recv(65536):
                answer += piece
            return answer, "closed"
        except ConnectionResetError:
            return answer, "reset"
        except TimeoutError:
            return answer, "silent"


def lines(mock, fault, path="/v1/chat/completions"):
    """The data of an answer's stream, fault included, as httpx joins chunks."""
    return post(mock, {"model": "m", "messages": SAY, "stream": True, "max_tokens": 8}, path, **{"x-mock-fault": fault}).text


def data_of(text):
    """The JSON of a stream's events; written for this test: blocks of lines, data lines joined."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for block in text.split("\n\n"):
        data = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        if data and data != ["[DONE]"]:
            yield json.loads("\n".join(data))


def text_of(stream):
    chunks = list(data_of(stream))
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


# ---- OpenAI ----

def test_chat(chat):
    answer = chat.create(model="any", messages=SAY, n=2)
    assert [c.message.content for c in answer.choices] == [TEXT, TEXT]
    assert [c.finish_reason for c in answer.choices] == ["stop", "stop"]
    assert answer.model == "any"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 16, 19)


def test_chat_is_cut_at_the_asked_maximum(chat):
    answer = chat.create(model="any", messages=SAY, max_completion_tokens=2)
    assert answer.choices[0].message.content == "alpha0 бета1"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 2


@pytest.mark.parametrize("choices", [1, 3])
def test_chat_stream(chat, choices):
    chunks = list(chat.create(model="any", messages=SAY, stream=True, n=choices))
    texts = [""] * choices
    for chunk in chunks:
        assert chunk.usage is None
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [TEXT] * choices
    assert [c.choices[0].finish_reason for c in chunks[-choices:]] == ["stop"] * choices


def test_chat_stream_usage_only_when_asked(chat):
    chunks = list(chat.create(model="any", messages=SAY, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 8
    assert all(c.usage is None for c in chunks[:-1])


def test_chat_tools(chat):
    call = chat.create(model="any", messages=SAY, tools=[TOOL]).choices[0]
    assert call.finish_reason == "tool_calls" and call.message.content is None
    assert call.message.tool_calls[0].function.name == "look_up"
    arguments = json.loads(call.message.tool_calls[0].function.arguments)
    assert set(arguments) == {"city", "days"} and isinstance(arguments["city"], str) and isinstance(arguments["days"], int)
    after = SAY + [call.message, {"role": "tool", "tool_call_id": "call_mock_0", "content": "sunny"}]
    assert chat.create(model="any", messages=after, tools=[TOOL]).choices[0].message.content == TEXT
    assert chat.create(model="any", messages=SAY, tools=[TOOL], tool_choice="none").choices[0].message.content == TEXT


def test_chat_parallel_tools_streamed(chat):
    other = {"type": "function", "function": {"name": "other", "parameters": {}}}
    calls = {}
    for chunk in chat.create(model="any", messages=SAY, tools=[TOOL, other], parallel_tool_calls=True, stream=True):
        for call in chunk.choices[0].delta.tool_calls or []:
            if call.id:
                calls[call.index] = [call.id, call.function.name, ""]
            calls[call.index][2] += call.function.arguments
    assert [(c[0], c[1]) for c in calls.values()] == [("call_mock_0", "look_up"), ("call_mock_1", "other")]
    assert set(json.loads(calls[0][2])) == {"city", "days"} and json.loads(calls[1][2]) == {}


def test_chat_structured_output(mock):
    class Part(BaseModel):
        name: str
        sizes: list[float]

    class Whole(BaseModel):
        parts: list[Part]
        exact: bool

    client = openai.OpenAI(base_url=mock.url + "/v1", api_key="k", max_retries=0)
    answer = client.chat.completions.parse(model="any", messages=SAY, response_format=Whole)
    assert isinstance(answer.choices[0].message.parsed.parts[0].name, str)
    with client.chat.completions.stream(model="any", messages=SAY, response_format=Whole) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == answer.choices[0].message.parsed


def test_completions_embeddings_models(mock):
    client = openai.OpenAI(base_url=mock.url + "/v1", api_key="k", max_retries=0)
    assert client.completions.create(model="any", prompt="a").choices[0].text == TEXT
    assert "".join(c.choices[0].text for c in client.completions.create(model="any", prompt="a", stream=True)) == TEXT
    by_base64 = client.embeddings.create(model="any", input=["a", "b"], dimensions=5)
    as_numbers = client.embeddings.create(model="any", input=["a", "b"], dimensions=5, encoding_format="float")
    for one, other in zip(by_base64.data, as_numbers.data):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert sum(x * x for x in one.embedding) == pytest.approx(1, abs=1e-5)
    assert by_base64.data[0].embedding != by_base64.data[1].embedding
    assert [m.id for m in client.models.list()] == ["mock"]


@pytest.mark.parametrize("body, status", [
    (b"{", 400), (b"[]", 400), (b'{"messages":[{}]}', 400), (b'{"model":"m"}', 400), (b'{"model":"m","messages":[{}],"n":0}', 400)])
def test_wrong_requests(mock, body, status):
    answer = httpx.post(mock.url + "/v1/chat/completions", content=body)
    assert answer.status_code == status and answer.json()["error"]["type"] == "invalid_request_error"


def test_unknown_path(mock):
    assert httpx.get(mock.url + "/v1/chat/completions").status_code == 404
    assert httpx.get(mock.url + "/nothing").status_code == 404


# ---- Anthropic ----

def test_messages(claude):
    answer = claude.create(model="any", messages=SAY, max_tokens=100)
    assert answer.content[0].text == TEXT and answer.stop_reason == "end_turn"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 8)
    assert claude.create(model="any", messages=SAY, max_tokens=2).stop_reason == "max_tokens"
    assert claude.count_tokens(model="any", messages=SAY, system="123456789").input_tokens == 6


def test_messages_stream(claude):
    with claude.stream(model="any", messages=SAY, max_tokens=100) as stream:
        assert "".join(stream.text_stream) == TEXT
        final = stream.get_final_message()
    assert final.stop_reason == "end_turn" and (final.usage.input_tokens, final.usage.output_tokens) == (3, 8)


def test_messages_tools(claude):
    tool = {"name": "look_up", "input_schema": TOOL["function"]["parameters"]}
    whole = claude.create(model="any", messages=SAY, max_tokens=100, tools=[tool])
    with claude.stream(model="any", messages=SAY, max_tokens=100, tools=[tool]) as stream:
        streamed = stream.get_final_message()
    assert whole.content[0].input == streamed.content[0].input and set(whole.content[0].input) == {"city", "days"}
    assert whole.stop_reason == streamed.stop_reason == "tool_use"


def test_messages_errors(claude):
    with pytest.raises(anthropic.RateLimitError) as limited:
        claude.create(model="fault-429=7", messages=SAY, max_tokens=9)
    assert limited.value.response.headers["retry-after"] == "7"
    with pytest.raises(anthropic.APIStatusError) as failed:
        list(claude.create(model="fault-error-in-stream", messages=SAY, max_tokens=9, stream=True))
    assert failed.value.body["error"]["type"] == "api_error"


# ---- What it received ----

def test_stats_and_last(mock):
    httpx.delete(mock.url + "/mock/stats")
    body = b'{ "model":"m" , "messages":[{"role":"user","content":"\xc3\xa9"}]}'
    with httpx.Client() as client:
        for _ in range(2):
            client.post(mock.url + "/v1/chat/completions?x=1", content=body, headers={"Authorization": "Bearer sk-secret"})
    last = httpx.get(mock.url + "/mock/last").json()
    assert last["request_line"] == "POST /v1/chat/completions?x=1 HTTP/1.1"
    assert ["Authorization", "Bearer sk-secret"] in last["headers"]
    assert last["body"].encode() == body and last["body_bytes"] == len(body)
    assert httpx.get(mock.url + "/mock/last/body").content == body
    stats = httpx.get(mock.url + "/mock/stats").json()
    assert (stats["requests"], stats["answered"], stats["cancelled"], stats["connections"]) == (2, 2, 0, 1)
    assert stats["bytes_in"] == 2 * len(body) and stats["active"] == 0


def test_a_client_that_leaves_is_counted(mock):
    httpx.delete(mock.url + "/mock/stats")
    for model, stream in (("fault-slow-first-byte=60000", False), ("fault-stall-mid-stream", True)):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(mock.url + "/v1/chat/completions", json={"model": model, "messages": SAY, "stream": stream}, timeout=0.2)
    for _ in range(100):
        stats = httpx.get(mock.url + "/mock/stats").json()
        if stats["active"] == 0:
            break
        time.sleep(0.02)
    assert (stats["cancelled"], stats["answered"], stats["active_max"]) == (2, 0, 1)


def test_pipelined_requests_are_answered_in_order(mock):
    def request(tokens):
        body = json.dumps({"model": "m", "messages": SAY, "max_tokens": tokens}).encode()
        return b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    with socket.create_connection((mock.host, mock.port)) as s:
        s.sendall(request(1) + request(2) + b"GET /mock/stats HTTP/1.1\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := s.recv(65536):
            answer += piece
    places = [answer.index(b'"completion_tokens":1,'), answer.index(b'"completion_tokens":2,'), answer.index(b'"requests"')]
    assert places == sorted(places)


def test_latency_and_gap():
    with servers.start("mock", "--tokens", "5", "--latency", "50", "--gap", "30") as slow:
        times = []
        start = time.monotonic()
        with httpx.stream("POST", slow.url + "/v1/chat/completions", json={"model": "m", "messages": SAY, "stream": True}) as answer:
            for line in answer.iter_lines():
                if '"content":"' in line and '"content":""' not in line:
                    times.append(time.monotonic() - start)
    assert len(times) == 5 and 0.05 <= times[0] < 0.2
    assert all(0.015 < later - sooner < 0.1 for sooner, later in zip(times, times[1:]))


# ---- Faults ----

@pytest.mark.parametrize("fault, stream, end, has", [
    ("reset-before-head", False, "reset", None),
    ("close-before-head", False, "closed", None),
    ("reset-after-head", False, "reset", b"\r\n\r\n"),
    ("reset-after-head", True, "reset", b"\r\n\r\n"),
    ("reset-mid-body", False, "reset", b'{"id"'),
    ("reset-mid-body", True, "reset", "бета1".encode()),
    ("close-mid-body", False, "closed", b'{"id"'),
    ("close-mid-body", True, "closed", "бета1".encode()),
    ("role-then-reset", True, "reset", b'"role"'),
    ("stall-mid-stream", True, "silent", "бета1".encode()),
    ("garbage-head", False, "closed", b"not HTTP"),
    ("length-long", False, "closed", b"fp_mock"),
    ("until-close", True, "closed", b"[DONE]"),
    ("close-after", True, "closed", b"0\r\n\r\n"),
])
def test_how_connections_end(mock, fault, stream, end, has):
    answer, how = raw(mock, fault, stream)
    assert how == end
    assert has in answer if has else answer == b""
    if end != "closed" or fault.startswith("close-mid"):
        assert b"[DONE]" not in answer and b"0\r\n\r\n" not in answer and b"fp_mock\"}" not in answer
    if fault in ("role-then-reset", "reset-after-head"):
        assert b"alpha0" not in answer


def test_refuse():
    with servers.start("mock", "--fault", "refuse*2") as mock:
        for _ in range(2):
            with pytest.raises(httpx.TransportError):
                post(mock, {"model": "m", "messages": SAY})
        assert post(mock, {"model": "m", "messages": SAY}).status_code == 200
        assert httpx.get(mock.url + "/mock/stats").json()["faults"] == 2


def test_lengths(mock):
    for fault, more in (("length-short", False), ("length-long", True)):
        answer, _ = raw(mock, fault)
        head, body = answer.split(b"\r\n\r\n", 1)
        announced = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        assert announced > len(body) if more else announced < len(body)


@pytest.mark.parametrize("fault", ["cut-segments", "cut-chunks", "sse-crlf", "sse-cr", "sse-mixed", "sse-comments", "sse-multiline",
                                   "sse-unterminated", "no-done", "informational", "until-close", "close-after"])
def test_framing_carries_the_same_text(mock, fault):
    assert text_of(lines(mock, fault)) == TEXT


def test_framing_is_what_it_says(mock):
    assert lines(mock, "none").endswith("data: [DONE]\n\n")
    assert lines(mock, "sse-crlf").endswith("data: [DONE]\r\n\r\n")
    assert lines(mock, "sse-cr").endswith("data: [DONE]\r\r")
    mixed = lines(mock, "sse-mixed")
    assert "\r\n\r\n" in mixed and "\r\rdata" in mixed and "\n\n" in mixed and "id: 2" in mixed and "\n:" in mixed and "data:{" in mixed
    assert lines(mock, "sse-unterminated").endswith("data: [DONE]")
    assert "[DONE]" not in lines(mock, "no-done")
    assert "message_stop" not in lines(mock, "no-done", "/v1/messages")
    assert lines(mock, "after-done").count("alpha0") == 2
    assert lines(mock, "sse-comments").count("\n: mock") >= 9
    assert lines(mock, "sse-multiline").count("data: ,") > 20
    assert b"HTTP/1.1 103" in raw(mock, "informational")[0]
    chunk_sizes = [int(line, 16) for line in raw(mock, "cut-chunks", True)[0].split(b"\r\n\r\n", 1)[1].split(b"\r\n")[:9:2]]
    assert chunk_sizes == [1, 3, 2, 7, 1]


def test_huge_event(mock):
    stream = lines(mock, "huge-event")
    assert max(len(line) for line in stream.split("\n")) == 9 * 2**20 + len("data: ")
    assert "x" * 2**21 in lines(mock, "huge-event=2") and stream.endswith("[DONE]\n\n")


def test_garbage_and_errors_inside(mock):
    assert "�" in lines(mock, "garbage") and "[DONE]" in lines(mock, "garbage")
    with pytest.raises(ValueError):
        post(mock, {"model": "fault-garbage", "messages": SAY}).json()
    broken = list(data_of(lines(mock, "error-in-stream")))
    assert broken[-1]["error"]["type"] == "server_error" and "[DONE]" not in lines(mock, "error-in-stream")
    answer = post(mock, {"model": "fault-error-in-stream", "messages": SAY})
    assert answer.status_code == 200 and "error" in answer.json()
    assert post(mock, {"model": "fault-empty-ok", "messages": SAY}).content == b""
    assert lines(mock, "empty-ok") == ""


@pytest.mark.parametrize("fault, status, retry_after", [
    ("429", 429, "1"), ("429=30", 429, "30"), ("429-no-retry-after", 429, None), ("500", 500, None), ("503", 503, "1"), ("401", 401, None),
    ("529", 529, None), ("html-error", 502, None), ("html-error=504", 504, None), ("empty-error", 500, None)])
def test_statuses(mock, fault, status, retry_after):
    answer = post(mock, {"model": "m", "messages": SAY}, **{"x-mock-fault": fault})
    assert answer.status_code == status and answer.headers.get("retry-after") == retry_after
    if "html" in fault:
        assert answer.text.startswith("<!DOCTYPE html>") and answer.headers["content-type"].startswith("text/html")
    elif "empty" in fault:
        assert answer.content == b""
    else:
        assert str(status) in answer.json()["error"]["message"]


def test_retry_after_as_a_date(mock):
    import email.utils
    answer = post(mock, {"model": "fault-429-date=60", "messages": SAY})
    assert 55 <= email.utils.parsedate_to_datetime(answer.headers["retry-after"]).timestamp() - time.time() <= 61


def test_usage_faults(mock):
    def usages(fault, **more):
        body = {"model": "fault-" + fault, "messages": SAY, "stream": True, **more}
        return [(c.get("usage") or {}).get("completion_tokens") for c in data_of(post(mock, body).text)]

    asked = {"stream_options": {"include_usage": True}}
    assert usages("usage-never", **asked) == [None] * 10
    assert usages("usage-on-finish") == [None] * 9 + [8]
    assert usages("usage-late") == [None] * 10 + [8]
    assert usages("usage-twice") == [None] * 9 + [8, 8]
    assert usages("usage-cumulative") == [0, 1, 2, 3, 4, 5, 6, 7, 8, 8]
    late = list(data_of(post(mock, {"model": "fault-usage-late", "messages": SAY, "stream": True}).text))[-1]
    assert len(late["choices"]) == 1
    details = post(mock, {"model": "fault-usage-details", "messages": SAY}).json()["usage"]
    assert details["prompt_tokens_details"]["cached_tokens"] == 1 and details["completion_tokens_details"]["reasoning_tokens"] == 4


def test_faults_by_option_and_control():
    with servers.start("mock", "--fault", "503*2", "--fault", "500:0.5", "--seed", "3") as mock:
        statuses = [post(mock, {"model": "m", "messages": SAY}).status_code for _ in range(42)]
        assert statuses[:2] == [503, 503] and 5 < statuses[2:].count(500) < 35 and set(statuses[2:]) == {200, 500}
        assert httpx.put(mock.url + "/mock/faults", content="429*1\n404\n").status_code == 200
        assert [post(mock, {"model": "m", "messages": SAY}).status_code for _ in range(3)] == [429, 404, 404]
        wrong = httpx.put(mock.url + "/mock/faults", content="400\nreset-befor-head\n")
        assert wrong.status_code == 400 and "did you mean 'reset-before-head'" in wrong.text
        assert post(mock, {"model": "m", "messages": SAY}).status_code == 404
        httpx.delete(mock.url + "/mock/faults")
        assert post(mock, {"model": "m", "messages": SAY}).status_code == 200


@pytest.mark.parametrize("arguments, says", [
    (["--fault", "sse-cl"], "unknown kind 'sse-cl', did you mean 'sse-cr'?"),
    (["--fault", "500:2"], "'2' is not a probability from 0 to 1"),
    (["--fault", "500=x"], "wants whole numbers"),
    (["--tokens", "-1"], "'--tokens': '-1' is not a whole number"),
    (["--listen", "8080"], "cannot listen on '8080'"),
    (["--lisen", "x"], "did you mean '--listen'?"),
])
def test_wrong_usage(arguments, says):
    done = servers.run("mock", *arguments)
    assert done.returncode == 2 and says in done.stderr and done.stdout == ""


def test_wrong_wishes(mock):
    assert "did you mean 'no-done'?" in post(mock, {"model": "fault-no-dine", "messages": SAY}).json()["error"]["message"]
    answer = post(mock, {"model": "m", "messages": SAY}, **{"x-mock-fault": "50x"})
    assert answer.status_code == 400 and "unknown kind '50x'" in answer.text


def test_a_schema_that_repeats_itself(mock):
    schema = {"type": "object", "properties": {name: {"$ref": "#"} for name in "abcdefgh"}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    answer = post(mock, {"model": "m", "messages": SAY, "tools": [tool]}).json()
    assert json.loads(answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]) == {}


def test_address_in_use(mock):
    done = servers.run("mock", "--listen", f"127.0.0.1:{mock.port}")
    assert done.returncode == 1 and "in use" in done.stderr


def test_help_and_document_list_every_kind():
    root = pathlib.Path(__file__).parents[2]
    kinds = [line.split('"')[1] for line in (root / "src/cli/mock/mock_faults.def").read_text().splitlines() if line.startswith("FAULT")]
    text = servers.run("mock", "--help").stdout
    document = (root / "docs/mock.md").read_text()
    assert len(kinds) > 30
    for kind in kinds:
        assert f"\n  {kind}\n" in text and f"`{kind}" in document, kind


def test_a_reset_request_does_not_end_the_mock(mock):
    for _ in range(20):
        with socket.create_connection((mock.host, mock.port)) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 999\r\n\r\n{")
    with socket.create_connection((mock.host, mock.port)) as s:
        s.sendall(b"\x16\x03\x01 not http\r\n\r\n")
        assert s.recv(10) == b""
    assert post(mock, {"model": "m", "messages": SAY}).status_code == 200


# ---- Every API, one answer ----

ASK = "Hello there"
PARAMETERS = TOOL["function"]["parameters"]


def ask_body(api, text, stream=False, tools=False, **more):
    """The same request in each API: its path and its body."""
    name = {"name": "look_up", "parameters": PARAMETERS}
    if api == "gemini":
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/m:{method}", {"contents": [{"role": "user", "parts": [{"text": text}]}]} | (
            {"tools": [{"functionDeclarations": [name, name | {"name": "other"}]}]} if tools else {}) | more
    body = {"model": "m", "stream": stream, "max_tokens": 100, "messages": [{"role": "user", "content": text}]}
    if api == "responses":
        body = {"model": "m", "stream": stream, "input": text} | ({"tools": [{"type": "function"} | n for n in (name, name | {"name": "other"})]} if tools else {})
        return "/v1/responses", body | more
    if api == "messages":
        if tools:
            body["tools"] = [{"name": n, "input_schema": PARAMETERS} for n in ("look_up", "other")]
        return "/v1/messages", body | more
    if tools:
        body["tools"] = [{"type": "function", "function": name | {"name": n}} for n in ("look_up", "other")]
    return {"chat": "/v1/chat/completions", "azure": "/openai/deployments/m/chat/completions?api-version=2025-04-01-preview"}[api], body | more


def whole(api, answer):
    """(text, thinking, names of calls, how it ended, usage in, usage out) of an unstreamed answer."""
    if api == "gemini":
        candidate = (answer.get("candidates") or [{"content": {"parts": []}, "finishReason": "BLOCKED"}])[0]
        parts = candidate["content"]["parts"]
        u = answer["usageMetadata"]
        return ("".join(p.get("text", "") for p in parts if not p.get("thought")), "".join(p.get("text", "") for p in parts if p.get("thought")),
                [p["functionCall"]["name"] for p in parts if "functionCall" in p], candidate["finishReason"],
                u["promptTokenCount"], u["candidatesTokenCount"] + u.get("thoughtsTokenCount", 0))
    if api == "responses":
        of = lambda kind: [i for i in answer["output"] if i["type"] == kind]
        return ("".join(p.get("text") or p.get("refusal") for m in of("message") for p in m["content"]),
                "".join(s["text"] for r in of("reasoning") for s in r["summary"]), [c["name"] for c in of("function_call")], answer["status"],
                answer["usage"]["input_tokens"], answer["usage"]["output_tokens"])
    if api == "messages":
        of = lambda kind: [b for b in answer["content"] if b["type"] == kind]
        return ("".join(b["text"] for b in of("text")), "".join(b["thinking"] for b in of("thinking")), [b["name"] for b in of("tool_use")],
                answer["stop_reason"], answer["usage"]["input_tokens"], answer["usage"]["output_tokens"])
    choice = answer["choices"][0]
    message = choice["message"]
    return (message["content"] or message["refusal"] or "", message.get("reasoning_content", ""),
            [c["function"]["name"] for c in message.get("tool_calls", [])], choice["finish_reason"],
            answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"])


APIS = ("chat", "azure", "responses", "messages", "gemini")
ENDS = {"stop": ("stop", "stop", "completed", "end_turn", "STOP"), "calls": ("tool_calls", "tool_calls", "completed", "tool_use", "STOP"),
        "refusal": ("stop", "stop", "completed", "refusal", "SAFETY"),
        "filter": ("content_filter", "content_filter", "incomplete", "refusal", "BLOCKED")}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("words, tools, text, thinking, calls, end, tokens", [
    ("", False, TEXT, "", [], "stop", 8),
    ("mock:tokens=2", False, "alpha0 бета1", "", [], "stop", 2),
    ("mock:think=2", False, TEXT, "思0 思1", [], "stop", 10),
    ("mock:refuse", False, "The mock was asked to refuse.", "", [], "refusal", 3),
    ("mock:filter", False, "", "", [], "filter", 0),
    ("mock:empty", False, "", "", [], "stop", 0),
    ("Hi", True, "", "", ["look_up"], "calls", None),
    ("mock:parallel", True, "", "", ["look_up", "other"], "calls", None),
    ("mock:call=other.", True, "", "", ["other"], "calls", None),
    ("mock:both", True, TEXT, "", ["look_up"], "calls", None),
    ("mock:text", True, TEXT, "", [], "stop", 8),
])
def test_every_api_says_the_same(mock, api, words, tools, text, thinking, calls, end, tokens):
    path, body = ask_body(api, f"{ASK} {words}", tools=tools)
    answer = post(mock, body, path)
    assert answer.status_code == 200, answer.text
    got = whole(api, answer.json())
    assert got[:4] == (text, thinking, calls, ENDS[end][APIS.index(api)])
    assert got[4] == (len(f"{ASK} {words}") + 3) // 4
    assert tokens is None or got[5] == tokens
    seen = httpx.get(mock.url + "/mock/last", verify=TRUST).json()["seen"]
    assert seen["api"] == api.replace("azure", "chat") and seen["azure"] == (api == "azure")
    assert (seen["messages"], seen["tools"], seen["calls_made"]) == (api != "responses", ["look_up", "other"] if tools else [], len(calls))
    assert (seen["usage"]["input"], seen["usage"]["output"]) == got[4:]
    path, body = ask_body(api, f"{ASK} {words}", tools=tools, stream=True)
    events = list(data_of(post(mock, body, path).text))
    joined = json.dumps(events, ensure_ascii=False)
    assert len(events) >= 2 or words == "mock:filter" or api == "gemini"
    if api == "responses":
        assert whole(api, events[-1]["response"]) == got
        assert [e["sequence_number"] for e in events] == list(range(len(events)))
    else:
        assert all(word in joined for word in text.split()[:3]) and all(f'"name": "{name}"' in joined for name in calls)


def test_signatures_come_back_unchanged(mock):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    first = post(mock, ask_body("messages", "mock:redacted", thinking=thinking, tools=True)[1], "/v1/messages").json()
    assert [b["type"] for b in first["content"]] == ["redacted_thinking", "thinking", "tool_use"]
    talk = [{"role": "user", "content": "mock:redacted"}, {"role": "assistant", "content": first["content"]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_mock_0", "content": "x"}]}]
    body = {"model": "m", "max_tokens": 9, "messages": talk}
    assert post(mock, body, "/v1/messages").json()["stop_reason"] == "end_turn"
    first["content"][1]["signature"] = "bW9jay1zaWduYXR1cmUr_w=="
    assert "signature" in post(mock, body, "/v1/messages").json()["error"]["message"]
    part = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "x"}
    answer = post(mock, {"contents": [{"role": "model", "parts": [part]}]}, "/v1beta/models/m:generateContent")
    assert answer.status_code == 400 and answer.json()["error"]["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("turns", [1, 5])
def test_a_loop_of_tools_comes_to_its_end(mock, turns):
    client = openai.OpenAI(base_url=mock.url + "/v1", api_key="k", max_retries=0)
    talk = [{"role": "user", "content": f"mock:turns={turns}"}]
    ids = []
    while calls := (message := client.chat.completions.create(model="m", messages=talk, tools=[TOOL]).choices[0].message).tool_calls:
        ids += [c.id for c in calls]
        talk += [message, {"role": "tool", "tool_call_id": calls[0].id, "content": "ok"}]
    assert ids == [f"call_mock_{i}" for i in range(turns)] and message.content == TEXT


def test_responses_by_the_sdk(mock):
    client = openai.OpenAI(base_url=mock.url + "/v1", api_key="k", max_retries=0)
    with client.responses.stream(model="m", input=ASK, reasoning={"effort": "low", "summary": "auto"}) as stream:
        kinds = [e.type for e in stream]
        final = stream.get_final_response()
    assert final.output_text == TEXT and kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert final.usage.output_tokens_details.reasoning_tokens == 4 and final.output[0].summary[0].text == "思0 思1 思2 思3"
    cut = client.responses.create(model="m", input=ASK, max_output_tokens=2)
    assert (cut.status, cut.incomplete_details.reason, cut.output_text) == ("incomplete", "max_output_tokens", "alpha0 бета1")
    broken = list(client.responses.create(model="fault-error-in-stream", input=ASK, stream=True))
    assert (broken[-1].type, broken[-1].code) == ("error", "server_error")


def test_cache_images_stops_logprobs(mock):
    part = {"type": "text", "text": "x" * 40, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA=="}}
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [part, image]}]}
    usage = post(mock, body, "/v1/messages").json()["usage"]
    assert (usage["input_tokens"], usage["cache_creation_input_tokens"], usage["cache_creation"]["ephemeral_1h_input_tokens"]) == (85, 10, 10)
    body["messages"] += [{"role": "assistant", "content": "ab"}, {"role": "user", "content": "cd"}]
    usage = post(mock, body, "/v1/messages").json()["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]) == (87, 10, 0)
    stopped = post(mock, ask_body("messages", "a", stop_sequences=["zzz", "δέλ"])[1], "/v1/messages").json()
    assert (stopped["content"][0]["text"], stopped["stop_reason"], stopped["stop_sequence"]) == ("alpha0 бета1 gamma2 ", "stop_sequence", "δέλ")
    choice = post(mock, ask_body("chat", "a", logprobs=True, top_logprobs=2)[1]).json()["choices"][0]
    assert [t["token"] for t in choice["logprobs"]["content"]] == ["alpha0"] + [" " + w for w in TEXT.split()[1:]]
    assert choice["logprobs"]["content"][1]["top_logprobs"][0]["bytes"] == list(" бета1".encode())


def test_gemini_and_azure_paths(mock):
    array = post(mock, ask_body("gemini", ASK)[1], "/v1beta/models/m:streamGenerateContent").json()
    assert isinstance(array, list) and array[-1]["candidates"][0]["finishReason"] == "STOP"
    assert post(mock, ask_body("gemini", ASK)[1], "/v1beta/models/m:countTokens").json() == {"totalTokens": 3}
    batch = {"requests": [{"model": "models/e", "content": {"parts": [{"text": t}]}, "outputDimensionality": 3} for t in "ab"]}
    assert [len(e["values"]) for e in post(mock, batch, "/v1beta/models/e:batchEmbedContents").json()["embeddings"]] == [3, 3]
    first = list(data_of(post(mock, *reversed(ask_body("azure", ASK, stream=True))).text))[0]
    assert first["choices"] == [] and "prompt_filter_results" in first
    schema = {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}}}
    answer = post(mock, *reversed(ask_body("gemini", ASK, generationConfig=schema | {"candidateCount": 2}))).json()
    assert [c["content"]["parts"][0]["text"] for c in answer["candidates"]] == ['{"n":7}', '{"n":7}']
    assert post(mock, {}, "/v1beta/models/m:nothing").status_code == 404


# ---- More faults ----

@pytest.mark.parametrize("api, error", [("chat", "server_error"), ("responses", "server_error"), ("messages", "overloaded_error"), ("gemini", "INTERNAL")])
def test_an_error_in_each_apis_stream(mock, api, error):
    for kind, most in (("error-first-event=529", 1), ("error-in-stream=529", 20)):
        path, body = ask_body(api, f"mock:fault={kind}", stream=True)
        answer = post(mock, body, path)
        events = list(data_of(answer.text))
        assert answer.status_code == 200 and 1 <= len(events) <= most and error in json.dumps(events[-1])
        assert ("event: error\n" in answer.text) == (api in ("responses", "messages"))


@pytest.mark.parametrize("fault, has, lacks", [
    ("reset-mid-event", "alpha0", "omega7"), ("reset-after-content", "omega7", '"stop"'), ("reset-before-done", '"stop"', "[DONE]")])
def test_resets_late_in_a_stream(mock, fault, has, lacks):
    answer, how = raw(mock, fault, stream=True)
    assert how == "reset" and has.encode() in answer and lacks.encode() not in answer
    answer, how = raw(mock, fault, stream=False)
    assert how == "reset" and not answer.endswith(b"}")


def test_bytes_chunks_comments_and_ends(mock):
    assert text_of(lines(mock, "byte-chunks")) == TEXT and b"\r\n1\r\nd\r\n1\r\na\r\n" in raw(mock, "byte-chunks", True)[0]
    assert text_of(lines(mock, "keep-alive=120")) == TEXT and lines(mock, "keep-alive=120").startswith(": keep-alive\n\n: keep-alive\n\n")
    assert lines(mock, "done-twice").endswith("data: [DONE]\n\ndata: [DONE]\n\n")
    with pytest.raises(UnicodeDecodeError):
        raw(mock, "cut-utf8", True)[0].decode()
    answer = post(mock, {"model": "mock-fault-429-ms=300", "messages": SAY})
    assert answer.status_code == 429 and answer.headers["retry-after-ms"] == "300"
    usage = post(mock, {"model": "fault-usage-impossible", "messages": SAY}).json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > usage["prompt_tokens"]
