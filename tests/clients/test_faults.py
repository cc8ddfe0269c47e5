"""Every fault of an upstream × endpoint × stream × the client leaving, against one Weir: what the client sees, what the record says, what
it costs, and that permits, connections and memory come back.

What a fault comes to is one line of FAULTS, unstreamed and streamed:
    ok             the whole answer, rightly ended
    count          the same, but its usage is counted here
    spoilt [E]     200 with the upstream's own nonsense, as it came; E: so that nobody can read it
    fail S E       an error body with status S; every attempt failed with E
    cut S E        the same after the upstream began to answer: one attempt, and what came is paid for
    break E        200, the text's beginning, an error event; one attempt failed with E
    error E        the upstream's error under its 200, as it came"""
import asyncio, collections, decimal, json, pathlib, re, secrets

import httpx, pytest

import gateway, servers
from gateway import SAY, mock_stats, provider, until

TEXT = "alpha0 бета1 gamma2 δέλτα3 naïve4 水5 🙂6 omega7"
KEY = "weir_faults_key_abcdefghijklmnop"
PERMITS = 64  # of that key
AT_ONCE = 40
PATIENCE_MS = 900  # Weir's with the mock
SPLIT = "reset-mid-body close-mid-body reset-mid-event reset-after-content close-after-content"
FRAMES = "cut-segments cut-chunks byte-chunks sse-crlf sse-cr sse-mixed sse-comments sse-multiline sse-unterminated no-done done-twice after-done"
USAGES = "usage-on-finish usage-late usage-twice usage-cumulative usage-details usage-impossible"

FAULTS = {
    f"none informational until-close keep-alive=150 {FRAMES} {USAGES}": ("ok", "ok"),
    "usage-never": ("count", "count"),
    "refuse reset-before-head close-before-head": ("fail 502 reset",) * 2,
    "reset-after-head role-then-reset": ("fail 502 truncated",) * 2,
    "garbage-head": ("fail 502 protocol",) * 2,
    "slow-first-byte=60000 slow-first-event=60000": ("fail 504 timeout",) * 2,
    "empty-ok": ("fail 502 empty", "fail 502 reset"),
    "html-error 502": ("fail 502 status",) * 2,
    "empty-error 500": ("fail 500 status",) * 2,
    "503": ("fail 503 status",) * 2,
    "529": ("fail 529 status",) * 2,
    "429 429-no-retry-after 429-ms 429-date=1": ("fail 429 status",) * 2,
    SPLIT: ("cut 502 truncated", "break truncated"),
    "reset-before-done": ("cut 502 truncated", "break truncated"),
    "stall-mid-stream": ("cut 504 timeout", "break timeout"),
    "huge-event=2": ("ok", "break event_too_large"),
    "length-long": ("cut 502 truncated", "ok"),
    "length-short": ("spoilt not_json", "break truncated"),
    "garbage": ("spoilt not_json", "spoilt"),
    "cut-utf8": ("ok", "spoilt"),
    "error-in-stream": ("error error_body", "break error_event"),
    "error-first-event": ("error error_body", "fail 502 error_event"),
}
TALK = {"messages": SAY}
# What is asked: API, provider that answers, path, body. Where they differ every event is translated.
ENDPOINTS = {
    "chat": ("chat", "mock", "/v1/chat/completions", TALK),
    "completions": ("completions", "mock", "/v1/completions", {"prompt": SAY[0]["content"]}),
    "embeddings": ("embeddings", "mock", "/v1/embeddings", {"input": SAY[0]["content"]}),
    "responses": ("responses", "mock", "/v1/responses", {"input": SAY[0]["content"]}),
    "messages": ("messages", "claude", "/v1/messages", TALK | {"max_tokens": 100}),
    "chat>anthropic": ("chat", "claude", "/v1/chat/completions", TALK),
    "chat>gemini": ("chat", "gemini", "/v1/chat/completions", TALK),
    "messages>openai": ("messages", "mock", "/v1/messages", TALK | {"max_tokens": 100}),
}
# Where an API, or a translation, comes to something else.
TRANSLATED = "chat>anthropic chat>gemini messages>openai"
OTHERWISE = {
    # Gemini's streams have no mark of their end but the body's.
    ("length-long", "chat>gemini"): ("fail 502 truncated", "break truncated"),
    ("after-done", "chat>gemini"): (None, "spoilt"),
    # The last event of Responses holds the whole answer.
    ("cut-utf8 no-done", "responses"): (None, "break truncated"),
    # What is translated in one piece has not begun for the client before it is whole: it is tried again.
    (f"{SPLIT} reset-before-done length-long", TRANSLATED): ("fail 502 truncated", None),
    ("stall-mid-stream", TRANSLATED): ("fail 504 timeout", None),
    ("error-in-stream error-first-event", TRANSLATED): ("fail 502 error_body", None),
    # …and nonsense cannot be translated.
    ("garbage length-short", TRANSLATED): ("fail 502 protocol", "break error_event"),
    ("cut-utf8", TRANSLATED): (None, "break error_event"),
}

Case = collections.namedtuple("Case", "fault endpoint stream comes_to")


def comes_to(fault, endpoint, stream, usual):
    for (faults, endpoints), other in OTHERWISE.items():
        if fault in faults.split() and endpoint in endpoints.split():
            return other[stream] or usual[stream]
    return usual[stream]


CASES = [Case(fault, endpoint, stream, comes_to(fault, endpoint, stream, usual)) for faults, usual in FAULTS.items() for fault in faults.split()
         for endpoint in ENDPOINTS for stream in (False, True) if not (stream and endpoint == "embeddings")]


def test_every_fault_has_its_line():
    lines = (pathlib.Path(__file__).parents[2] / "src/cli/mock/mock_faults.def").read_text().splitlines()
    kinds = {line.split('"')[1] for line in lines if line.startswith("FAULT")}
    assert kinds - {case.fault.partition("=")[0] for case in CASES} == {"close-after", "close-reused", "reset-reused"}  # they strike a later call, see below


@pytest.fixture(scope="module")
def mock():
    with servers.start("mock", "--tokens", "8") as server:
        yield server


def config_for(mock):
    timeouts = {"first_byte": f"{PATIENCE_MS}ms", "idle": f"{PATIENCE_MS}ms"}
    return {
        "providers": {name: {"api": api, "url": url, "key": gateway.PROVIDER_KEY, "timeout": timeouts, "connections": 2 * PERMITS} | more
                      for name, api, url, more in (("mock", "openai", mock.url + "/v1", {"responses": "native"}), ("claude", "anthropic", mock.url + "/v1", {}),
                                                   ("gemini", "gemini", mock.url, {}))},
        "keys": [gateway.key_entry("faults", KEY, limits={"concurrent": PERMITS})],
        "limits": {"event": "1MiB"},
        "prices": {f"{ENDPOINTS[case.endpoint][1]}/mock-fault-{case.fault}": {"input": 1, "output": 2} for case in CASES},
    }


@pytest.fixture(scope="module")
def weir(mock):
    with gateway.serve(config_for(mock)) as server:
        server.files_at_start = open_files(server)
        yield server


# ---- A client of sockets: it sees each byte, and may leave at any of them ----

async def read_answer(reader, only_begin):
    """Status, fields and body, as far as they come; only_begin: no further than the body's first bytes."""
    data = b""
    while piece := await reader.read(65536):
        data += piece
        if only_begin and len(data) > data.find(b"\r\n\r\n") + 4 > 4:
            break
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if fields.get("transfer-encoding") == "chunked":
        rest, body = body, b""
        while rest and (size := int(rest.partition(b"\r\n")[0], 16)):
            rest = rest.partition(b"\r\n")[2]
            body, rest = body + rest[:size], rest[size + 2:]
        assert only_begin or rest == b"0\r\n\r\n", "a body that ends without saying so"
    return int(lines[0].split()[1]) if data else 0, fields, body


async def ask(weir, case, trace, leaves=None):
    _, target, path, body = ENDPOINTS[case.endpoint]
    content = json.dumps(body | {"model": f"{target}/mock-fault-{case.fault}"} | ({"stream": True} if case.stream else {})).encode()
    reader, writer = await asyncio.open_connection(weir.host, weir.port)
    writer.write(b"POST %s HTTP/1.1\r\nHost: weir\r\nConnection: close\r\nAuthorization: Bearer %s\r\ntraceparent: 00-%s-00f067aa0ba902b7-01\r\n"
                 b"Content-Length: %d\r\n\r\n%s" % (path.encode(), KEY.encode(), trace.encode(), len(content), content))
    try:
        if leaves == "at once":
            return await asyncio.sleep(0.02)
        return await asyncio.wait_for(read_answer(reader, leaves == "inside"), 10)
    finally:
        writer.transport.abort()


def run_all(weir, leaves, cases=CASES):
    """Every case once, many at the same time: [(case, what the client saw, its record)]."""
    async def main():
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(case):
            trace = secrets.token_hex(16)
            async with gate:
                return case, await ask(weir, case, trace, leaves), trace
        return await asyncio.gather(*map(one, cases))
    done = asyncio.run(main())
    assert until(lambda: open_calls(weir) == 0)
    records = {}
    cursor = {}
    while len(records) < len(done):
        page = weir.get("/api/v1/calls", limit=1000, **cursor).json()
        records |= {call["trace_id"]: call for call in page["calls"]}
        if not page["next"]:
            break
        cursor = {"cursor": page["next"]}
    return [(case, seen, records[trace]) for case, seen, trace in done]


def open_calls(weir):
    return int(re.search(r"^weir_calls_open (\d+)", weir.get("/metrics").text, re.M).group(1))


def rss_kib(weir):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{weir.pid}/status").read_text()).group(1))


def open_files(weir):
    return len(list(pathlib.Path(f"/proc/{weir.pid}/fd").iterdir()))


# ---- What it should come to ----

def events_of(body):
    """The data of a stream's events; bytes that are no JSON as None."""
    text = body.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    for block in text.split("\n\n"):
        data = "\n".join(line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:"))
        if data:
            try:
                yield data if data == "[DONE]" else json.loads(data)
            except ValueError:
                yield None


def text_of(api, answer):
    """The text of an answer, or of an event."""
    if api == "messages":
        return "".join(block.get("text", "") for block in answer.get("content", [answer.get("delta", {})]))
    if api == "responses":
        parts = [part for item in answer.get("output", []) for part in item.get("content", [])]
        return "".join(part.get("text", "") for part in parts) if parts or "output" in answer else (
            answer["delta"] if answer.get("type") == "response.output_text.delta" else "")
    choices = answer.get("choices", [])
    return "".join((c.get("message", c.get("delta", {})).get("content") if api == "chat" else c.get("text")) or "" for c in choices)


ENDS = {"messages": "message_stop", "responses": "response.completed"}


def is_end(api, event):
    return event == "[DONE]" if api not in ENDS else isinstance(event, dict) and event.get("type") == ENDS[api]


def is_error(event):
    return isinstance(event, dict) and ("error" in event or event.get("type") == "error")


def check_client(case, seen):
    status, fields, body = seen
    api = ENDPOINTS[case.endpoint][0]
    kind, *rest = case.comes_to.split()
    if kind in ("fail", "cut"):
        assert status == int(rest[0]) and json.loads(body)["error"]["message"]
        return
    assert status == 200
    if kind == "spoilt":
        return
    if not case.stream:
        answer = json.loads(body)
        if kind == "error":
            assert answer["error"]["message"]
        elif api == "embeddings":
            assert len(answer["data"][0]["embedding"]) == 16
        else:
            assert text_of(api, answer) == TEXT
        return
    events = list(events_of(body))
    text = "".join(text_of(api, e) for e in events if isinstance(e, dict))
    ends = sum(is_end(api, e) for e in events)
    if kind == "break":
        if case.fault == "cut-utf8":
            return  # of Responses even the last event cannot be read: it went by, and an error after it
        assert text and TEXT.startswith(text) and is_error(events[-1]) and ends == 0
    else:
        assert text == TEXT and ends == (case.fault != "no-done" or case.endpoint in TRANSLATED.split())


def check_money(case, record, paid):
    usage, cost = record["usage"], record["cost"]
    if case.fault == "role-then-reset" and ENDPOINTS[case.endpoint][1] == "claude" and case.stream:
        paid = True  # Anthropic tells its input's tokens first
    if not paid:
        assert usage is None and cost is None
        return
    assert decimal.Decimal(cost["amount"]) == decimal.Decimal(usage["input"] + 2 * usage["output"]) / 1000000 or case.fault in (
        "usage-impossible", "usage-details")  # cached input has a price of its own
    assert usage["input"] >= usage["cached_input"] + usage["cache_write"]
    assert usage["source"] != "provider" or usage["input"] == 3 or case.fault == "usage-impossible"
    assert usage["output"] > 0 or case.endpoint == "embeddings" or case.comes_to == "error error_body"


def check_record(case, record):
    kind, *rest = case.comes_to.split()
    good = kind in ("ok", "count") or case.comes_to == "spoilt"
    tries = 2 if kind == "fail" else 1
    assert [a["error"] for a in record["attempts"]] == [None if good else rest[-1]] * tries
    assert record["status"] == (int(rest[0]) if len(rest) == 2 else 200)
    assert (record["endpoint"], record["stream"]) == (ENDPOINTS[case.endpoint][0], case.stream)
    assert record["outcome"] == ("ok" if good else "error")
    assert record["response_complete"] == (good or kind == "fail")
    assert bool(record["error"]) == (not good)
    check_money(case, record, kind != "fail")
    if not good:
        return
    assert record["usage"]["source"] == ("counted" if kind == "count" else "provider")
    if case.endpoint == "embeddings":
        assert record["usage"]["output"] == 0
        return
    if kind == "spoilt":
        return
    assert kind == "count" or record["usage"]["output"] == 8
    assert text_of(ENDPOINTS[case.endpoint][0], record["response"]) == TEXT or case.fault == "cut-utf8"


def wrong_ones(results, *checks):
    """What the checks say of each case, so that one run shows every wrong cell."""
    wrong = []
    for case, seen, record in results:
        try:
            for check in checks:
                check(case, seen, record)
        except (AssertionError, KeyError, TypeError, ValueError) as why:
            wrong.append(f"{case.fault} {case.endpoint} {'stream' if case.stream else 'whole'}, should be '{case.comes_to}': {type(why).__name__} {why}\n"
                         f"    client: {seen and (seen[0], seen[2][-200:])}\n    record: "
                         + json.dumps({k: record[k] for k in ('outcome', 'status', 'response_complete', 'usage', 'cost')})
                         + f" {[(a['status'], a['error']) for a in record['attempts']]}")
    return wrong


@pytest.fixture(scope="module")
def stayed(weir):
    return run_all(weir, None)


def test_what_the_client_sees(stayed):
    wrong = wrong_ones(stayed, lambda case, seen, record: check_client(case, seen))
    assert not wrong, "\n".join(wrong)


def test_what_the_record_says(stayed):
    wrong = wrong_ones(stayed, lambda case, seen, record: check_record(case, record))
    assert not wrong, "\n".join(wrong)


def hangs(case, leaves):
    return case.fault.startswith("slow-first") or case.fault.startswith("stall") or (leaves == "at once" and case.fault in ("429", "429-date=1", "503"))


def check_leaving(leaves, case, record):
    """Who waits for nothing more is cancelled at once; who leaves while all goes fast gets one of two ends, and a record of it."""
    assert record["outcome"] in ("cancelled", "ok", "error")
    assert (record["outcome"] == "cancelled") == (record["status"] == 499)
    if record["outcome"] != "cancelled":
        check_record(case, record)
    if hangs(case, leaves) and (leaves == "at once" or (case.stream and case.fault.startswith("stall"))):
        assert record["outcome"] == "cancelled"
        assert record["timing"]["total_us"] < 1_000_000, "a client that leaves is noticed at once"


@pytest.mark.parametrize("leaves", ["at once", "inside"])
def test_a_client_that_leaves(weir, mock, stayed, leaves):
    before = rss_kib(weir)
    results = run_all(weir, leaves)
    wrong = wrong_ones(results, lambda case, seen, record: check_leaving(leaves, case, record))
    assert not wrong, "\n".join(wrong)
    assert any(record["outcome"] == "cancelled" for _, _, record in results)
    assert until(lambda: mock_stats(mock)["active"] == 0), "the upstream goes on for nobody"
    status = weir.get("/api/v1/status").json()
    assert status["calls"]["open_calls"] == 0 and [t["name"] for t in status["targets"] if t["in_flight"]] == []
    assert open_files(weir) - weir.files_at_start < AT_ONCE + 8, "no more than are kept for later"
    assert "/asan/" in servers.WEIR or rss_kib(weir) - before < 6 << 10


def metric(weir, name):
    return sum(decimal.Decimal(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", weir.get("/metrics").text, re.M))


def test_rounds_of_faults_lose_no_cent_and_leave_nothing_behind(mock):
    """What came before a cut is counted and priced, the sums are those of the records, and after many rounds all is as after a few."""
    cases = [case for case in CASES if not re.match("slow|stall|huge|keep-alive|429|503", case.fault)]
    with gateway.serve(config_for(mock)) as weir:
        sizes, files, spent, tokens = [], [], decimal.Decimal(0), 0
        for turn in range(6):
            for case, _, record in run_all(weir, "inside" if turn % 2 else None, cases):
                usage, cost = record["usage"], record["cost"]
                spent += decimal.Decimal(cost["amount"]) if cost else 0
                tokens += usage["output"] if usage else 0
                if turn % 2 == 0 and case.comes_to.startswith("break") and case.fault in SPLIT.split():
                    came = text_of(ENDPOINTS[case.endpoint][0], record["response"])
                    assert TEXT.startswith(came) and came, case
                    assert usage["output"] >= len(came.split()), (case, usage)  # a word is a token of the mock's
                    if ENDPOINTS[case.endpoint][1] == "mock" and case.fault != "reset-before-done":
                        assert usage["source"] == "counted", (case, usage)
            sizes.append(rss_kib(weir))
            files.append(open_files(weir))
        assert metric(weir, "weir_output_tokens_total") == tokens
        assert abs(metric(weir, "weir_key_cost_usd_total") - spent) < decimal.Decimal("1e-9")
        status = weir.get("/api/v1/status").json()
        assert status["calls"]["open_calls"] == 0 and all(t["in_flight"] == 0 for t in status["targets"])
        assert "/asan/" in servers.WEIR or sizes[5] - sizes[1] < 8 << 10, sizes
        assert files[5] <= files[1] + AT_ONCE, files


def test_everything_came_back(weir, mock, stayed):
    """As many calls at once as there are permits: none is refused, none waits."""
    case = Case("slow-first-event=700", "chat", False, "ok")
    async def main():
        return await asyncio.gather(*[ask(weir, case, secrets.token_hex(16)) for _ in range(PERMITS)])
    httpx.delete(mock.url + "/mock/stats")
    answers = asyncio.run(main())
    assert [status for status, _, _ in answers] == [200] * PERMITS
    assert mock_stats(mock)["active_max"] == PERMITS


def asked_once(mock, fault):
    """A model that is asked once, without a second attempt."""
    return {"providers": {"mock": provider(mock.url, connections=1)},
            "models": {"once": {"targets": [f"mock/mock-fault-{fault}"], "retry": {"attempts": 1}}}}


def ask_in_turn(weir, times, stream):
    """Over one connection, so that one loop asks, with what connection it keeps."""
    with httpx.Client(headers={"authorization": f"Bearer {gateway.ADMIN}"}) as client:
        return [client.post(weir.url + "/v1/chat/completions", json={"model": "once", "messages": SAY, "stream": stream}) for _ in range(times)]


@pytest.mark.parametrize("fault", ["close-after", "close-reused", "reset-reused"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_kept_connection_that_upstream_closed_costs_nobody_an_answer(mock, fault, stream):
    """Whoever meets it closed is sent again on a fresh one: no error, and no second attempt."""
    with gateway.serve(asked_once(mock, fault)) as weir:
        before = mock_stats(mock)["requests"]
        answers = ask_in_turn(weir, 12, stream)
        assert [a.status_code for a in answers] == [200] * 12
        attempts = [weir.record_of(a)["attempts"] for a in answers]
        assert all(len(a) == 1 and a[0]["error"] is None for a in attempts)
        resent = [a[0].get("resent", False) for a in attempts]
        assert not any(a[0]["reused"] for a, again in zip(attempts, resent) if again)
        assert weir.get("/api/v1/status").json()["targets"][0]["faults"] == 0
        if fault == "close-after":
            return  # mostly it is seen closed before it is used
        assert resent == [False] + [True] * 11, "each meets the connection of the one before"
        assert mock_stats(mock)["requests"] - before == 12 + 11


def test_a_connection_that_breaks_late_is_an_attempt(mock):
    """After 2.2 s the target may have worked on it: it is not asked again without being told to."""
    with gateway.serve(asked_once(mock, "reset-reused=2200")) as weir:
        first, second = ask_in_turn(weir, 2, False)
        assert (first.status_code, second.status_code) == (200, 502)
        attempt, = weir.record_of(second)["attempts"]
        assert attempt["error"] == "reset" and attempt["reused"] and "resent" not in attempt
