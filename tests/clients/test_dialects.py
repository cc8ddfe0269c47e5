"""Any client reaches any target: Anthropic's and OpenAI's clients against targets of each kind, and what is kept of it."""
import json

import anthropic, httpx, openai, pytest

import dialects, gateway
from dialects import FUNCTION, TARGETS, TEXT, TOOL, WEATHER
from gateway import ADMIN, PROVIDER_KEY, SAY, mock_last, mock_stats, provider, until

mock = pytest.fixture(scope="module")(dialects.mock)
weir = pytest.fixture(scope="module")(dialects.weir)


@pytest.fixture(scope="module")
def claude(weir):
    return anthropic.Anthropic(base_url=weir.url, api_key=ADMIN, max_retries=0)


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


# ---- Anthropic's clients ----

@pytest.mark.parametrize("model", TARGETS)
def test_a_message(weir, claude, model):
    raw = claude.messages.with_raw_response.create(model=model, max_tokens=100, messages=SAY)
    message = raw.parse()
    assert (message.type, message.role, message.stop_reason, text_of(message)) == ("message", "assistant", "end_turn", TEXT)
    assert message.usage.output_tokens == 8 and message.usage.input_tokens > 0
    record = weir.call(raw.headers["x-weir-call-id"])
    assert (record["endpoint"], record["outcome"], record["stream"], record["response_complete"]) == ("messages", "ok", False, True)
    assert record["request"] == {"model": model, "max_tokens": 100, "messages": SAY}, "the client's request, in its own language"
    assert record["response"] == json.loads(raw.http_response.content), "and the answer that it got"
    assert record["usage"]["output"] == 8 and record["usage"]["source"] == "provider"
    assert float(record["cost"]["amount"]) > 0


@pytest.mark.parametrize("model", TARGETS)
def test_a_streamed_message(weir, claude, model):
    with claude.messages.stream(model=model, max_tokens=100, messages=SAY) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
    assert "".join(pieces) == TEXT == text_of(message) and len(pieces) > 1
    assert message.stop_reason == "end_turn" and message.usage.output_tokens == 8
    record = weir.last(model=model)
    assert record["stream"] is True and record["outcome"] == "ok" and record["response_complete"] is True
    assert record["response"]["content"] == [{"type": "text", "text": TEXT}]
    assert record["response"]["stop_reason"] == "end_turn"
    assert record["usage"]["output"] == 8 and record["usage"]["source"] == "provider"
    assert record["timing"]["first_token_us"] > 0


def test_a_message_passes_through_in_all_its_bytes(weir, mock):
    body = b'{"max_tokens":5, "model":"claude","messages":[{"role":"user","content":[{"type":"text","text":"caf\\u00e9","cache_control":{"type":"ephemeral"}}]}],"x_unknown":[1.0]}'
    answer = weir.post_to("/v1/messages", body)
    assert answer.status_code == 200
    assert httpx.get(mock.url + "/mock/last/body").content == body.replace(b'"claude"', b'"claude-sonnet-4-5"')
    direct = httpx.post(mock.url + "/v1/messages", content=body.replace(b'"claude"', b'"claude-sonnet-4-5"')).content
    assert answer.content == direct


@pytest.mark.parametrize("stream", [False, True])
def test_headers_of_the_api_go_through_and_the_callers_key_does_not(weir, mock, stream):
    answer = httpx.post(weir.url + "/v1/messages", json={"model": "claude", "max_tokens": 9, "messages": SAY, "stream": stream}, headers=[
        ("x-api-key", ADMIN), ("anthropic-version", "2023-01-01"), ("anthropic-beta", "one-2025-01-01"),
        ("anthropic-beta", "two-2025-01-01"), ("x-stainless-lang", "python"), ("anthropic-dangerous-direct-browser-access", "true")])
    assert answer.status_code == 200
    sent = [(name.lower(), value) for name, value in mock_last(mock)["headers"]]
    names = [name for name, _ in sent]
    assert ("anthropic-version", "2023-01-01") in sent and names.count("anthropic-version") == 1
    assert [value for name, value in sent if name == "anthropic-beta"] == ["one-2025-01-01", "two-2025-01-01"]
    assert [value for name, value in sent if name == "x-api-key"] == [PROVIDER_KEY]
    assert not {"authorization", "x-stainless-lang", "anthropic-dangerous-direct-browser-access"} & set(names)
    assert ADMIN not in json.dumps(mock_last(mock))


def test_a_version_is_named_where_the_caller_named_none(weir, mock):
    weir.post_to("/v1/messages", {"model": "claude", "max_tokens": 9, "messages": SAY})
    assert ["anthropic-version", "2023-06-01"] in [[n.lower(), v] for n, v in mock_last(mock)["headers"]]
    weir.post({"model": "claude", "messages": SAY})
    assert ["anthropic-version", "2023-06-01"] in [[n.lower(), v] for n, v in mock_last(mock)["headers"]]


@pytest.mark.parametrize("model", TARGETS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_agent_of_five_turns_with_tools(weir, claude, model, stream):
    messages = []
    for turn in range(5):
        messages.append({"role": "user", "content": f"Look up city {turn}"})
        for _ in range(2):
            ask = dict(model=model, max_tokens=200, messages=messages, tools=[TOOL, WEATHER], system="You look things up.")
            if stream:
                with claude.messages.stream(**ask) as s:
                    message = s.get_final_message()
            else:
                message = claude.messages.create(**ask)
            messages.append({"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in message.content]})
            uses = [b for b in message.content if b.type == "tool_use"]
            if not uses:
                assert message.stop_reason == "end_turn"
                break
            assert message.stop_reason == "tool_use" and uses[0].name == "look_up" and "city" in uses[0].input
            messages.append({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": u.id, "content": [{"type": "text", "text": "It is there."}]} for u in uses]})
        assert text_of(message) == TEXT
    record = weir.last(model=model)
    assert len(record["request"]["messages"]) == len(messages) - 1 and record["outcome"] == "ok"


@pytest.mark.parametrize("model", TARGETS)
def test_parallel_tools(claude, model):
    with claude.messages.stream(model=model, max_tokens=200, messages=SAY, tools=[TOOL, WEATHER],
                                tool_choice={"type": "any", "disable_parallel_tool_use": False}) as stream:
        message = stream.get_final_message()
    uses = [b for b in message.content if b.type == "tool_use"]
    assert message.stop_reason == "tool_use" and len({u.id for u in uses}) == len(uses) >= 1


@pytest.mark.parametrize("model", TARGETS)
def test_what_a_coding_agent_sends(weir, claude, mock, model):
    tools = [{"name": f"tool_{i}", "description": "Does a thing. " * 40, "input_schema": {
        "type": "object", "additionalProperties": False, "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {"path": {"type": "string"}, "lines": {"type": "array", "items": {"type": "integer"}}}, "required": ["path"]}} for i in range(40)]
    tools[-1]["cache_control"] = {"type": "ephemeral"}
    system = [{"type": "text", "text": "You are a coding agent. " * 1500, "cache_control": {"type": "ephemeral"}},
              {"type": "text", "text": "# Environment\n<env>\nplatform: linux\n</env>"}]
    with claude.beta.messages.stream(
            model=model, max_tokens=32000, system=system, tools=tools, extra_body={"temperature": 1}, metadata={"user_id": "user_1_account__session_2"},
            messages=[{"role": "user", "content": [{"type": "text", "text": "<system-reminder>\nx\n</system-reminder>"},
                                                   {"type": "text", "text": "Fix it", "cache_control": {"type": "ephemeral"}}]}],
            betas=["claude-code-20250219", "interleaved-thinking-2025-05-14", "fine-grained-tool-streaming-2025-05-14"]) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "tool_use" and message.content[-1].name == "tool_0"
    assert len(mock_last(mock)["seen"]["tools"]) == 40
    beta = [v for n, v in mock_last(mock)["headers"] if n.lower() == "anthropic-beta"]
    assert (",".join(beta).count("claude-code-20250219") == 1) == (model == "claude")
    assert weir.last(model=model)["user"] == "user_1_account__session_2"


def test_tokens_are_counted(weir, claude):
    count = claude.messages.count_tokens(model="claude", messages=SAY).input_tokens
    assert count == claude.messages.create(model="claude", max_tokens=9, messages=SAY).usage.input_tokens
    assert claude.messages.count_tokens(model="gpt", messages=SAY, system="x" * 400).input_tokens > 100
    record = weir.last(model="gpt")
    assert (record["endpoint"], record["outcome"], record["attempts"], record["usage"], record["cost"]) == ("count_tokens", "ok", [], None, None)


def test_models_in_both_forms(weir, claude):
    assert {"claude", "gpt"} <= {m.id for m in claude.models.list()}
    assert claude.models.retrieve("gpt").type == "model"
    assert {"claude", "gpt"} <= {m.id for m in weir.client().models.list()}


def test_errors_have_their_classes(weir, claude):
    say = dict(max_tokens=9, messages=SAY)
    with pytest.raises(anthropic.AuthenticationError) as e:
        anthropic.Anthropic(base_url=weir.url, api_key="nonsense").messages.create(model="claude", **say)
    assert e.value.body["type"] == "error" and e.value.body["error"]["type"] == "authentication_error"
    with pytest.raises(anthropic.NotFoundError) as e:
        claude.messages.create(model="nothing", **say)
    assert e.value.body["error"]["type"] == "not_found_error"
    for provider_name in "anthropic", "openai", "google":
        with pytest.raises(anthropic.RateLimitError) as e:
            claude.messages.create(model=provider_name + "/fault-429", **say)
        assert e.value.body["error"]["type"] == "rate_limit_error"
        with pytest.raises(anthropic.InternalServerError) as e:
            claude.messages.create(model=provider_name + "/fault-500", **say)
        assert e.value.status_code == 500 and e.value.body["type"] == "error"
    with pytest.raises(anthropic.BadRequestError) as e:
        claude.messages.create(model="gpt", max_tokens=9, messages="nonsense")
    assert weir.last(model="gpt")["outcome"] == "refused"


@pytest.mark.parametrize("target", ["anthropic", "openai", "google"])
@pytest.mark.parametrize("fault", ["error-in-stream", "close-mid-body", "reset-mid-body"])
def test_a_stream_that_breaks_says_so(weir, claude, target, fault):
    with pytest.raises((anthropic.APIStatusError, anthropic.APIError)):
        with claude.messages.stream(model=f"{target}/fault-{fault}", max_tokens=100, messages=SAY) as stream:
            list(stream)
    record = weir.last(model=f"{target}/fault-{fault}")
    assert (record["status"], record["outcome"], record["response_complete"]) == (200, "error", False)
    assert record["response"]["content"][0]["text"] and TEXT.startswith(record["response"]["content"][0]["text"])


# ---- OpenAI's clients at other targets ----

@pytest.mark.parametrize("stream", [False, True])
def test_gemini_is_asked_in_its_own_way(weir, mock, stream):
    answer = weir.post({"model": "gemini", "messages": [{"role": "system", "content": "Be kind."}] + SAY, "stream": stream, "max_tokens": 50})
    assert answer.status_code == 200 and "alpha0" in answer.text
    sent = mock_last(mock)
    way = ":streamGenerateContent?alt=sse" if stream else ":generateContent"
    assert sent["target"] == "/v1beta/models/gemini-2.5-flash" + way
    headers = {name.lower(): value for name, value in sent["headers"]}
    assert headers["x-goog-api-key"] == PROVIDER_KEY and "authorization" not in headers
    assert json.loads(sent["body"])["systemInstruction"]["parts"] == [{"text": "Be kind."}]
    record = weir.record_of(answer)
    assert record["target"] == "google/gemini-2.5-flash" and record["usage"]["output"] == 8


def test_gemini_has_embeddings_at_its_door_for_openais_clients(weir, mock):
    assert weir.client().embeddings.create(model="google/gemini-embedding-001", input="x", encoding_format="float").data[0].embedding
    sent = mock_last(mock)
    assert sent["target"] == "/v1beta/openai/embeddings"
    assert [v for n, v in sent["headers"] if n.lower() in ("authorization", "x-goog-api-key")] == ["Bearer " + PROVIDER_KEY]


def test_openai_at_anthropic(weir, mock):
    raw = weir.client().chat.completions.with_raw_response.create(
        model="claude", messages=[{"role": "system", "content": "Be kind."}] + SAY, stop=["END"], temperature=0.5)
    answer = raw.parse()
    assert answer.choices[0].message.content == TEXT and answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == 8 and answer.object == "chat.completion"
    sent = httpx.get(mock.url + "/mock/last/body").json()
    assert sent["model"] == "claude-sonnet-4-5" and sent["stop_sequences"] == ["END"] and sent["max_tokens"] > 0
    record = weir.call(raw.headers["x-weir-call-id"])
    assert record["endpoint"] == "chat" and record["target"] == "anthropic/claude-sonnet-4-5"
    assert record["response"] == json.loads(raw.http_response.content)
    assert record["usage_raw"]["output_tokens"] == 8, "as the provider sent it"
    assert float(record["cost"]["amount"]) > 0


@pytest.mark.parametrize("usage", [False, True])
def test_openai_at_anthropic_streamed(weir, usage):
    more = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(weir.client().chat.completions.create(model="claude", messages=SAY, stream=True, **more))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert (chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 8) == usage
    record = weir.last(model="claude")
    assert record["response"]["choices"][0]["message"]["content"] == TEXT and record["response_complete"] is True
    assert record["usage"]["output"] == 8


@pytest.mark.parametrize("model", TARGETS)
@pytest.mark.parametrize("stream", [False, True])
def test_openai_agent_of_five_turns(weir, model, stream):
    client, messages = weir.client(), [{"role": "system", "content": "You look things up."}]
    for turn in range(5):
        messages.append({"role": "user", "content": f"Look up city {turn}"})
        for _ in range(2):
            ask = dict(model=model, messages=messages, tools=[FUNCTION])
            if stream:
                with client.chat.completions.stream(**ask) as s:
                    choice = s.get_final_completion().choices[0]
            else:
                choice = client.chat.completions.create(**ask).choices[0]
            messages.append(choice.message.model_dump(exclude_none=True, exclude={"parsed"}))
            if not choice.message.tool_calls:
                break
            assert choice.finish_reason == "tool_calls"
            for call in choice.message.tool_calls:
                assert call.function.name == "look_up" and "city" in json.loads(call.function.arguments)
                call_id = call.id
                messages.append({"role": "tool", "tool_call_id": call_id, "content": "It is there."})
            for call in messages[-2]["tool_calls"]:
                call["function"].pop("parsed_arguments", None)
        assert choice.message.content == TEXT and choice.finish_reason == "stop"


def test_openai_errors_at_anthropic(weir):
    with pytest.raises(openai.RateLimitError):
        weir.client().chat.completions.create(model="anthropic/fault-429", messages=SAY)
    answer = weir.post({"model": "patient", "messages": SAY})
    assert answer.status_code == 429 and answer.headers["retry-after"] == "77" and answer.json()["error"]["type"]
    assert answer.json().keys() == {"error"}, "OpenAI's form"


@pytest.mark.parametrize("target", ["anthropic", "google"])
@pytest.mark.parametrize("fault", ["error-in-stream", "close-mid-body"])
def test_openai_stream_that_breaks(weir, target, fault):
    with pytest.raises(openai.APIError):
        list(weir.client().chat.completions.create(model=f"{target}/fault-{fault}", messages=SAY, stream=True))
    record = weir.last(model=f"{target}/fault-{fault}")
    assert (record["status"], record["outcome"], record["response_complete"]) == (200, "error", False)


def test_what_a_target_cannot_do_is_said_before_it_is_asked(weir, mock):
    before = mock_stats(mock)["requests"]
    answer = weir.post({"model": "claude", "messages": SAY, "n": 2})
    assert answer.status_code == 400 and "'n'" in answer.json()["error"]["message"]
    assert mock_stats(mock)["requests"] == before
    record = weir.record_of(answer)
    assert (record["outcome"], record["attempts"]) == ("refused", [])


# ---- Fallback across languages ----

@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["claude-first", "gpt-first", "gemini-first"])
def test_the_next_target_may_speak_another_language(weir, claude, model, stream):
    if stream:
        with claude.messages.stream(model=model, max_tokens=50, messages=SAY) as s:
            message = s.get_final_message()
    else:
        message = claude.messages.create(model=model, max_tokens=50, messages=SAY)
    assert text_of(message) == TEXT
    record = weir.last(model=model)
    assert record["outcome"] == "ok"
    # The first target asked to be left alone for a while: the second call of a model may pass it over.
    assert len(record["attempts"]) == 2 or record["attempts"][0].get("skipped"), record["attempts"]
    chunks = weir.client().chat.completions.create(model=model, messages=SAY, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT


def test_the_next_target_that_can_is_taken(weir):
    answer = weir.post({"model": "claude-first", "messages": SAY, "n": 2})
    assert answer.status_code == 200 and len(answer.json()["choices"]) == 2
    assert [a["target"] for a in weir.record_of(answer)["attempts"]] == ["openai/gpt-5"]


# ---- Leaving, and being kept waiting ----

@pytest.mark.parametrize("client, model", [("/v1/messages", "openai"), ("/v1/messages", "anthropic"),
                                           ("/v1/chat/completions", "anthropic"), ("/v1/chat/completions", "google")])
def test_a_client_that_leaves_a_translated_stream_is_noticed(weir, mock, client, model):
    before = mock_stats(mock)["cancelled"]
    name = model + "/fault-stall-mid-stream"
    with httpx.stream("POST", weir.url + client, headers={"x-api-key": ADMIN}, timeout=10,
                      json={"model": name, "max_tokens": 100, "messages": SAY, "stream": True}) as answer:
        for line in answer.iter_lines():
            if "alpha0" in line:
                break
    assert until(lambda: mock_stats(mock)["cancelled"] == before + 1)
    record = until(lambda: (r := weir.last(model=name)) and r["outcome"] == "cancelled" and r)
    assert record["status"] == 499 and record["usage"]["output"] > 0


def test_a_waiting_stream_is_kept_alive_in_the_clients_language(mock):
    config = {"providers": {"openai": provider(mock.url), "anthropic": provider(mock.url, api="anthropic")}, "limits": {"ping": "50ms"}}
    with gateway.serve(config) as weir:
        for model in "openai", "anthropic":
            ask = {"model": model + "/fault-slow-first-event=400", "max_tokens": 100, "messages": SAY, "stream": True}
            body = weir.post_to("/v1/messages", ask).text
            assert body.startswith('event: ping\ndata: {"type": "ping"}\n\n') and "message_stop" in body
            claude = anthropic.Anthropic(base_url=weir.url, api_key=ADMIN, max_retries=0)
            with claude.messages.stream(**{k: v for k, v in ask.items() if k != "stream"}) as stream:
                assert text_of(stream.get_final_message()) == TEXT
            assert weir.post(ask).text.startswith(": ping\n\n")
