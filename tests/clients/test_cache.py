"""The exact cache, as clients see it: hits, streams from either form, sharing, what is never kept, bounds, restarts."""
import concurrent.futures, contextlib, json, time

import anthropic, httpx, pytest

import gateway, servers

PRICES = {"up/m": {"input": 1, "output": 2}}


@contextlib.contextmanager
def cached(*mock_arguments, cache=None, keys=None, more=None, arguments=()):
    with servers.start("mock", *mock_arguments) as mock:
        config = {"providers": {"up": gateway.provider(mock.url), "native": gateway.provider(mock.url, responses="native")}, "prices": PRICES,
                  "models": {"c": {"targets": ["up/m"], "retry": {"attempts": 1}, "cache": cache or {"ttl": "1h"}},
                             "plain": "up/m"} | (more or {})}
        if keys:
            config["keys"] = keys
        with gateway.serve(config, *arguments) as weir:
            weir.mock = mock
            yield weir


def ask(weir, text="Hello", stream=False, key=gateway.ADMIN, headers=None, **more):
    return weir.post({"model": "c", "messages": [{"role": "user", "content": text}]} | ({"stream": True} if stream else {}) | more,
                     key=key, headers=headers)


def asked(weir):
    return gateway.mock_stats(weir.mock)["requests"]


def test_a_hit_is_the_same_answer_for_nothing():
    with cached() as weir:
        first, second = ask(weir), ask(weir)
        assert "x-weir-cache" not in first.headers
        assert second.headers["x-weir-cache"] == "hit" and second.headers["x-weir-target"] == "up/m"
        assert second.content == first.content and second.status_code == 200
        assert asked(weir) == 1
        paid, free = weir.record_of(first), weir.record_of(second)
        assert paid["outcome"] == "ok" and paid["cache"]["status"] == "miss" and paid["cache"]["kept"]
        assert free["outcome"] == "cached" and free["attempts"] == [] and free["target"] == "up/m"
        assert free["cost"]["amount"] == "0" and free["cost"]["saved"] == paid["cost"]["amount"] != "0"
        assert free["usage"] == paid["usage"] and free["response"] == paid["response"] and free["response_complete"]
        assert free["cache"]["source"] == paid["id"] and free["cache"]["key"] == paid["cache"]["key"]
        assert [c["outcome"] for c in weir.calls(status="cached")] == ["cached"]
        metrics = httpx.get(weir.url + "/metrics").text
        assert 'weir_calls_total{outcome="cached"} 1' in metrics and 'weir_cache_hits_total{model="c"} 1' in metrics


def text_of(stream):
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    return text, chunks


@pytest.mark.parametrize("usage", [False, True])
def test_either_form_is_answered_from_the_other(usage):
    options = {"stream_options": {"include_usage": True}} if usage else {}
    with cached() as weir, weir.client() as client:
        whole = client.chat.completions.create(model="c", messages=gateway.SAY)
        with client.chat.completions.with_streaming_response.create(model="c", messages=gateway.SAY, stream=True, **options) as raw:
            assert raw.headers["x-weir-cache"] == "hit" and raw.headers["content-type"].startswith("text/event-stream")
            lines = list(raw.iter_lines())
            assert lines[-2] == "data: [DONE]"
        text, chunks = text_of(client.chat.completions.create(model="c", messages=gateway.SAY, stream=True, **options))
        assert text == whole.choices[0].message.content
        assert chunks[0].choices[0].delta.role == "assistant" and chunks[0].id == whole.id
        assert chunks[0].object == "chat.completion.chunk"
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == whole.choices[0].finish_reason
        assert [c.usage for c in chunks if c.usage] == ([whole.usage] if usage else [])
        assert (not chunks[-1].choices) == usage

        say = [{"role": "user", "content": "and now the other way"}]
        text, chunks = text_of(client.chat.completions.create(model="c", messages=say, stream=True, **options))
        answer = client.chat.completions.with_raw_response.create(model="c", messages=say)
        assert answer.headers["x-weir-cache"] == "hit"
        assert answer.parse().choices[0].message.content == text and answer.parse().usage.completion_tokens == 16
        assert asked(weir) == 2


def test_tool_calls_are_replayed_as_deltas():
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {
        "city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city", "days"]}}} for name in ("weather", "news")]
    with cached() as weir, weir.client() as client:
        options = {"model": "c", "messages": gateway.SAY, "tools": tools, "parallel_tool_calls": True}
        whole = client.chat.completions.create(**options)
        with client.chat.completions.stream(**options) as stream:
            again = stream.get_final_completion()
        assert asked(weir) == 1 and len(whole.choices[0].message.tool_calls) == 2
        for a, b in zip(whole.choices[0].message.tool_calls, again.choices[0].message.tool_calls, strict=True):
            assert (a.id, a.function.name, a.function.arguments) == (b.id, b.function.name, b.function.arguments)
        assert again.choices[0].finish_reason == "tool_calls"


def test_what_makes_calls_equal():
    with cached() as weir:
        base = ask(weir, temperature=1)
        for same in ({"temperature": 1.0}, {"temperature": 1, "user": "u1"}, {"temperature": 1, "metadata": {"a": "b"}}):
            assert ask(weir, **same).headers.get("x-weir-cache") == "hit", same
        spaced = '{ "messages": [ {"content": "H\\u0065llo", "role":"user"} ], "temperature": 1e0,\n "model":"c"}'
        assert weir.post(spaced).headers.get("x-weir-cache") == "hit"
        for other in ({"temperature": 0}, {"temperature": 1, "max_tokens": 5}, {"temperature": 1, "n": 2}, {"temperature": 1, "x": 1}):
            assert "x-weir-cache" not in ask(weir, **other).headers, other
        assert "x-weir-cache" not in weir.post({"model": "plain", "messages": [{"role": "user", "content": "Hello"}]}).headers
        assert "x-weir-cache" not in weir.post({"model": "plain", "messages": [{"role": "user", "content": "Hello"}]}).headers
        assert base.status_code == 200


def test_key_owners_do_not_share():
    keys = [gateway.key_entry("a", "sk-aaaaaaaa"), gateway.key_entry("b", "sk-bbbbbbbb")]
    with cached(keys=keys) as weir:
        ask(weir, key="sk-aaaaaaaa")
        assert "x-weir-cache" not in ask(weir, key="sk-bbbbbbbb").headers
        assert ask(weir, key="sk-aaaaaaaa").headers["x-weir-cache"] == "hit"


def test_cache_control_is_heard():
    with cached() as weir:
        first = ask(weir, headers={"cache-control": "no-store"})
        assert weir.record_of(first)["cache"] | {"key": ""} == {"status": "bypass", "key": "", "kept": False}
        kept = ask(weir)
        assert "x-weir-cache" not in kept.headers
        assert ask(weir, headers={"cache-control": "no-store"}).headers["x-weir-cache"] == "hit"
        assert "x-weir-cache" not in ask(weir, headers={"cache-control": "no-cache"}).headers
        assert ask(weir, headers={"cache-control": "max-age=60"}).headers["x-weir-cache"] == "hit"
        assert "x-weir-cache" not in ask(weir, headers={"cache-control": "max-age=0"}).headers
        assert asked(weir) == 4


FAULTS = ["500", "400", "error-in-stream", "reset-mid-body", "close-mid-body", "html-error", "empty-ok", "garbage"]


@pytest.mark.parametrize("fault,stream", [(f, s) for f in FAULTS for s in (False, True)] + [("length-long", False)])
def test_what_went_wrong_is_not_kept(fault, stream):
    with cached() as weir:
        with contextlib.suppress(httpx.HTTPError):
            httpx.put(weir.mock.url + "/mock/faults", content=fault).raise_for_status()
        with contextlib.suppress(httpx.HTTPError):
            ask(weir, stream=stream)
        httpx.delete(weir.mock.url + "/mock/faults")
        good = ask(weir, stream=stream)
        assert good.status_code == 200 and "x-weir-cache" not in good.headers
        assert ask(weir, stream=stream).headers["x-weir-cache"] == "hit"


def test_ttl_and_size_bound_it():
    with cached(cache={"ttl": "1s", "size": "64KiB"}) as weir:
        ask(weir)
        assert ask(weir).headers["x-weir-cache"] == "hit"
        time.sleep(1.1)
        assert "x-weir-cache" not in ask(weir).headers
    with cached("--tokens", "1000", cache={"ttl": "1h", "size": "64KiB"}) as weir:
        for i in range(12):
            ask(weir, f"question {i}")
        assert ask(weir, "question 11").headers["x-weir-cache"] == "hit"
        assert "x-weir-cache" not in ask(weir, "question 0").headers
        cache = weir.get("/api/v1/status").json()["caches"][0]
        assert cache["model"] == "c" and 0 < cache["bytes"] <= cache["bytes_max"] == 65536 and cache["evicted"] > 0


def test_equal_calls_at_once_share_one():
    with cached("--tokens", "20", "--gap", "20", "--latency", "400") as weir:
        def one(i):
            return ask(weir, stream=i % 2 == 0, **({"stream_options": {"include_usage": True}} if i % 4 == 0 else {}))
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(one, range(12)))
        assert asked(weir) == 1
        records = [weir.record_of(a) for a in answers]
        assert sorted(r["outcome"] for r in records) == ["cached"] * 11 + ["ok"]
        assert {r["cache"]["status"] for r in records} >= {"miss", "shared"}
        assert all(r["usage"]["output"] == 20 and r["response_complete"] for r in records)
        assert sum(float(r["cost"]["amount"]) > 0 for r in records) == 1 and {r["target"] for r in records} == {"up/m"}
        texts = {r["response"]["choices"][0]["message"]["content"] for r in records}
        assert len(texts) == 1


def read_until(pieces, word):
    """Pieces are kept by the caller: an iterator that is let go closes the connection."""
    got = ""
    while word not in got:
        got += next(pieces)
    return got


def stream_of(weir, client):
    return client.stream("POST", weir.url + "/v1/chat/completions", headers={"authorization": f"Bearer {gateway.ADMIN}"}, timeout=30,
                         json={"model": "c", "stream": True, "messages": gateway.SAY})


def test_followers_get_the_stream_as_it_comes_and_outlive_their_leader():
    with cached("--tokens", "40", "--gap", "25") as weir, httpx.Client() as a, httpx.Client() as b:
        with stream_of(weir, a) as leader:
            leading = leader.iter_text()
            read_until(leading, "alpha0")
            with stream_of(weir, b) as follower:
                assert follower.headers["x-weir-cache"] == "hit"
                pieces = follower.iter_text()
                got = read_until(pieces, "alpha0")  # what came before, at once
                assert "[DONE]" not in got
                leader.close()
                got += "".join(pieces)
        assert got.count("data: [DONE]") == 1 and all(f"{i}" in got for i in range(40))
        stats = gateway.mock_stats(weir.mock)
        assert stats["requests"] == 1 and stats["cancelled"] == 0
        outcomes = gateway.until(lambda: len(calls := weir.calls()) == 2 and calls)
        leader = next(r for r in outcomes if r["cache"]["status"] == "miss")
        assert leader["outcome"] == "cancelled" and leader["status"] == 499 and leader["usage"]["output"] == 40
        assert next(r for r in outcomes if r is not leader)["outcome"] == "cached"
        assert ask(weir, gateway.SAY[0]["content"]).headers["x-weir-cache"] == "hit"


def test_when_all_leave_the_target_is_left_too():
    with cached("--tokens", "400", "--gap", "25") as weir, httpx.Client() as a, httpx.Client() as b:
        with stream_of(weir, a) as leader:
            leading = leader.iter_text()
            read_until(leading, "alpha0")
            with stream_of(weir, b) as follower:
                following = follower.iter_text()
                read_until(following, "alpha0")
                leader.close()
                time.sleep(0.1)
                assert gateway.mock_stats(weir.mock)["cancelled"] == 0
                follower.close()
        assert gateway.until(lambda: gateway.mock_stats(weir.mock)["cancelled"] == 1)
        assert gateway.until(lambda: len(weir.calls()) == 2)
        assert {r["outcome"] for r in weir.calls()} == {"cancelled"}


def test_followers_of_a_failure_ask_for_themselves():
    with cached("--latency", "150") as weir:
        httpx.put(weir.mock.url + "/mock/faults", content="500*1").raise_for_status()
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda i: ask(weir), range(6)))
        assert sorted(a.status_code for a in answers) == [200] * 5 + [500]
        assert 2 <= asked(weir) <= 6


def test_warm_after_a_restart(tmp_path):
    with servers.start("mock") as mock:
        config = {"providers": {"up": gateway.provider(mock.url)}, "prices": PRICES,
                  "models": {"c": {"targets": ["up/m"], "cache": {"ttl": "3s"}}}}
        (tmp_path / "weir.yaml").write_text(json.dumps(config))
        arguments = ("serve", "--config", str(tmp_path / "weir.yaml"), "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0",
                     "--kafka", "off", "--key", gateway.ADMIN)

        def serve():
            return servers.start(*arguments)
        with serve() as server:
            weir = gateway.Gateway(server, tmp_path)
            weir.mock = mock
            begun = time.monotonic()
            first = ask(weir)
            ask(weir, "streamed", stream=True)
            told = weir.post_to("/v1/responses", {"model": "c", "input": "Hello", "stream": True})
            assert ask(weir).headers["x-weir-cache"] == "hit"
        with serve() as server:
            weir = gateway.Gateway(server, tmp_path)
            weir.mock = mock
            assert gateway.until(lambda: weir.get("/api/v1/status").json()["caches"][0]["entries"] == 3)
            retold = weir.post_to("/v1/responses", {"model": "c", "input": "Hello", "stream": True})
            assert retold.headers["x-weir-cache"] == "hit" and response_events(retold)[-1]["response"] == response_events(told)[-1]["response"]
            again = ask(weir)
            assert again.headers["x-weir-cache"] == "hit" and again.content == first.content
            assert ask(weir, "streamed", stream=True).headers["x-weir-cache"] == "hit"
            assert weir.record_of(again)["cache"]["source"] == weir.call(first.headers["x-weir-call-id"])["id"]
            time.sleep(max(0, 3.1 - (time.monotonic() - begun)))
            assert "x-weir-cache" not in ask(weir).headers  # the ttl counts from the answer's own time
        assert gateway.mock_stats(mock)["requests"] == 4


def responses_cached(way, *mock_arguments):
    more = {"r": {"targets": ["native/m" if way == "native" else "up/m"], "cache": {"ttl": "1h"}}}
    return cached(*mock_arguments, more=more)


def ask_response(weir, stream, **more):
    return weir.post_to("/v1/responses", {"model": "r", "input": "Hello"} | ({"stream": True} if stream else {}) | more)


def response_events(answer):
    events = [json.loads(line[6:]) for line in answer.text.split("\n") if line.startswith("data: ")]
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    return events


LOOK_UP = [{"type": "function", "name": "look_up", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}}]


@pytest.mark.parametrize("way", ["native", "translated"])
@pytest.mark.parametrize("first", [True, False], ids=["streamed first", "whole first"])
def test_responses_in_either_form(way, first):
    with responses_cached(way) as weir:
        for number, more in enumerate([{}, {"tools": LOOK_UP}, {"reasoning": {"effort": "low", "summary": "auto"}}, {"input": "mock:refuse"}]):
            brought = ask_response(weir, first, **more)
            streamed, whole = ask_response(weir, True, **more), ask_response(weir, False, **more)
            assert asked(weir) == number + 1 and [a.headers.get("x-weir-cache") for a in (brought, streamed, whole)] == [None, "hit", "hit"]
            check_forms(brought, streamed, whole)
            records = [weir.record_of(a) for a in (brought, streamed, whole)]
            assert [r["outcome"] for r in records] == ["ok", "cached", "cached"] and records[1]["response"] == whole.json()
            assert records[0]["usage"] == records[1]["usage"] == records[2]["usage"]


def check_forms(brought, streamed, whole):
    """The same answer, told again: in fewer pieces, but with the same events."""
    events = response_events(streamed)
    assert events[-1]["response"] == whole.json() and events[-1]["type"] == "response.completed"
    if brought.headers["content-type"] == "application/json":
        assert brought.json() == whole.json()
        return
    texts, kinds = [], []
    for answer in (brought, streamed):
        told = response_events(answer)
        texts.append("".join(e["delta"] for e in told if e["type"].endswith(".delta")))
        kinds.append([e["type"] for e in told if not e["type"].endswith(".delta")])
    assert texts[0] == texts[1] and kinds[0] == kinds[1]


def test_a_response_from_the_cache_is_one_that_the_sdk_reads_and_continues():
    with responses_cached("translated") as weir, weir.client() as client:
        ask_response(weir, False)
        with client.responses.stream(model="r", input="Hello") as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_response()
        assert "response.output_text.delta" in kinds and asked(weir) == 1
        client.responses.create(model="r", input="And?", previous_response_id=final.id)
        assert len(json.loads(httpx.get(weir.mock.url + "/mock/last/body").text)["messages"]) == 3


@pytest.mark.parametrize("way", ["native", "translated"])
def test_broken_streams_of_responses_are_not_kept(way):
    with responses_cached(way) as weir:
        for fault in ("reset-mid-body", "error-in-stream", "no-done" if way == "native" else "close-mid-body"):
            for _ in range(2):
                assert "x-weir-cache" not in ask_response(weir, True, input=f"mock:fault={fault}").headers
        assert weir.get("/api/v1/status").json()["caches"][0]["entries"] == 0


def test_embeddings_and_completions():
    with cached() as weir, weir.client() as client:
        one = client.embeddings.create(model="c", input=["a", "b"])
        two = client.embeddings.with_raw_response.create(model="c", input=["a", "b"])
        assert two.headers["x-weir-cache"] == "hit" and [d.embedding for d in two.parse().data] == [d.embedding for d in one.data]
        assert "x-weir-cache" not in client.embeddings.with_raw_response.create(model="c", input=["b", "a"]).headers
        whole = client.completions.create(model="c", prompt="Hello", max_tokens=7)
        chunks = list(client.completions.create(model="c", prompt="Hello", max_tokens=7, stream=True))
        assert "".join(c.choices[0].text for c in chunks) == whole.choices[0].text
        assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
        assert asked(weir) == 3


@pytest.mark.parametrize("api", ["anthropic", "openai"])
def test_messages_whatever_the_target_speaks(api):
    with servers.start("mock") as mock, gateway.serve({
            "providers": {"up": gateway.provider(mock.url, api=api)},
            "models": {"c": {"targets": ["up/m"], "cache": {"ttl": "1h"}}}}) as weir:
        client = anthropic.Anthropic(base_url=weir.url, api_key=gateway.ADMIN, max_retries=0)
        tool = {"name": "look_up", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
        for options in ({}, {"tools": [tool]}):
            options |= {"model": "c", "max_tokens": 100, "messages": gateway.SAY}
            whole = client.messages.create(**options)
            raw = client.messages.with_raw_response.create(**options)
            assert raw.headers["x-weir-cache"] == "hit" and raw.parse().content == whole.content
            with client.messages.stream(**options) as stream:
                again = stream.get_final_message()
            assert stream.response.headers["x-weir-cache"] == "hit"
            for got, wanted in zip(again.content, whole.content, strict=True):
                assert {name: getattr(got, name) for name in wanted.model_fields_set} == wanted.to_dict()
            assert again.stop_reason == whole.stop_reason
            assert again.usage.output_tokens == whole.usage.output_tokens
        beta = client.messages.with_raw_response.create(**options, extra_headers={"anthropic-beta": "context-1m-2025-08-07"})
        assert "x-weir-cache" not in beta.headers
        assert gateway.mock_stats(mock)["requests"] == 3
