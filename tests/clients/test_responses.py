"""OpenAI's Responses API: the official clients over targets of every kind, conversations kept by Weir, and Gemini's own API."""
import json, pathlib, subprocess

import httpx, openai, pytest

import gateway, servers
from gateway import ADMIN, PROVIDER_KEY, SAY, key_entry, mock_last, provider

TEXT = "alpha0 бета1 gamma2 δέλτα3 naïve4 水5 🙂6 omega7"
SCHEMA = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}, "additionalProperties": False}
TOOL = {"type": "function", "name": "look_up", "description": "Look a city up.", "parameters": SCHEMA, "strict": True}
WEATHER = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}
ALICE, BOB = "alice_key_0123456789", "bob_key_0123456789"
TARGETS = ["gpt", "claude", "gemini", "native"]
TRANSLATED = TARGETS[:3]


@pytest.fixture(scope="module")
def mock():
    with servers.start("mock", "--tokens", "8") as server:
        yield server


@pytest.fixture(scope="module")
def weir(mock):
    config = {
        "providers": {
            "openai": provider(mock.url),
            "anthropic": provider(mock.url, api="anthropic"),
            "gemini": provider(mock.url, api="gemini") | {"url": mock.url + "/v1beta"},
            "responses": provider(mock.url, responses="native"),
        },
        "models": {
            "gpt": "openai/gpt-5", "claude": "anthropic/claude-sonnet-4-5", "gemini": "gemini/gemini-3-pro", "native": "responses/gpt-5",
            "mixed": {"targets": ["responses/fault-503", "gemini/gemini-3-pro"]},
            "mixed-stream": {"targets": ["responses/fault-role-then-reset", "gemini/gemini-3-pro", "openai/gpt-5"]},
            "cut": {"targets": ["openai/fault-reset-mid-body"], "retry": {"attempts": 1}},
            "cut-gemini": {"targets": ["gemini/fault-close-mid-body"], "retry": {"attempts": 1}},
            "limited": {"targets": ["gemini/fault-429"], "retry": {"attempts": 1}},
        },
        "prices": {"gemini/gemini-3-pro": {"input": 2, "output": 12}},
        "keys": [key_entry("alice", ALICE), key_entry("bob", BOB)],
    }
    with gateway.serve(config) as server:
        yield server


@pytest.fixture(scope="module")
def client(weir):
    return weir.client()


def events_of(stream):
    events = list(stream)
    assert [e.sequence_number for e in events] == list(range(len(events)))
    return events


# ---- Answers ----

@pytest.mark.parametrize("model", TARGETS)
def test_a_response(weir, client, model):
    raw = client.responses.with_raw_response.create(model=model, input="Hello there", instructions="Be brief.", metadata={"k": "v"})
    response = raw.parse()
    assert (response.object, response.status, response.output_text) == ("response", "completed", TEXT)
    assert response.usage.output_tokens >= 8 and response.usage.input_tokens > 0
    assert model == "native" or (response.metadata == {"k": "v"} and response.instructions == "Be brief.")
    record = weir.call(raw.headers["x-weir-call-id"])
    assert (record["endpoint"], record["outcome"], record["response_complete"]) == ("responses", "ok", True)
    assert record["request"]["input"] == "Hello there" and record["response"] == json.loads(raw.http_response.content)
    assert record["usage"]["output"] == response.usage.output_tokens and record["metadata"] == {"k": "v"}
    if model != "native":
        assert response.id == "resp_" + record["id"]


@pytest.mark.parametrize("model", TARGETS)
def test_a_stream(weir, client, model):
    events = events_of(client.responses.create(model=model, input="Hello there", stream=True))
    types = [e.type for e in events]
    assert types[:2] == ["response.created", "response.in_progress"] and types[-1] == "response.completed"
    inside = [t for t in types if t != "response.output_text.delta"]
    assert inside[2:-1] == ["response.output_item.added", "response.content_part.added", "response.output_text.done",
                            "response.content_part.done", "response.output_item.done"]
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == TEXT
    final = events[-1].response
    assert final.output_text == TEXT and final.usage.output_tokens >= 8
    assert {e.item_id for e in events if hasattr(e, "item_id")} == {final.output[0].id}
    record = weir.last(model=model)
    assert record["stream"] is True and record["response"]["output"][0]["content"][0]["text"] == TEXT
    assert record["response"]["id"] == final.id and record["timing"]["first_token_us"] > 0


@pytest.mark.parametrize("model", ["claude", "native"])
def test_a_stored_response_is_told_again(weir, client, model):
    made = client.responses.create(model=model, input="Hello there", reasoning={"effort": "low", "summary": "auto"}, tools=[TOOL])
    events = events_of(client.responses.retrieve(made.id, stream=True))
    assert events[-1].response == made and events[0].response.output == []
    later = list(client.responses.retrieve(made.id, stream=True, starting_after=3))
    assert [e.sequence_number for e in later] == list(range(4, len(events))) and later[-1] == events[-1]
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_" + "0" * 32, stream=True)


@pytest.mark.parametrize("model", TARGETS)
def test_the_helper_for_streams_with_a_schema(client, model):
    import pydantic

    class City(pydantic.BaseModel):
        city: str
        size: int

    with client.responses.stream(model=model, input="Which?", text_format=City) as stream:
        final = stream.get_final_response()
    assert isinstance(final.output_parsed, City)


@pytest.mark.parametrize("model", TRANSLATED)
def test_what_ends_early_is_incomplete(client, model):
    response = client.responses.create(model=model, input="Hello there", max_output_tokens=3)
    assert response.status == "incomplete" and response.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize("model", ["claude", "gemini"])
def test_thinking_is_shown_and_comes_back_signed(weir, mock, client, model):
    ask = dict(model=model, reasoning={"effort": "low", "summary": "auto"}, tools=[TOOL])
    with client.responses.stream(input="Look Paris up", **ask) as stream:
        types = {e.type for e in stream}
        first = stream.get_final_response()
    assert "response.reasoning_summary_text.delta" in types
    kinds = [item.type for item in first.output]
    assert kinds[0] == "reasoning" and kinds[-1] == "function_call"
    assert first.output[0].summary[0].text == "思0 思1 思2 思3"
    result = {"type": "function_call_output", "call_id": first.output[-1].call_id, "output": "found"}
    # Kept by Weir, and carried by the client: the mock refuses a signature that was changed, and counts those that came.
    second = client.responses.create(input=[result], previous_response_id=first.id, **ask)
    seen = mock_last(mock)["seen"]
    assert second.status == "completed" and seen["signatures"] == 1 and seen["calls"] == 1 and seen["results"] == 1
    carried = [item.to_dict() for item in first.output]
    client.responses.create(input=[{"role": "user", "content": "Look Paris up"}, *carried, result], store=False, **ask)
    assert mock_last(mock)["seen"]["signatures"] == 1


@pytest.mark.parametrize("model", TRANSLATED)
def test_a_refusal_of_the_model(client, model):
    response = client.responses.create(model=model, input="mock:filter")
    assert response.status == "incomplete" and response.incomplete_details.reason == "content_filter"


# ---- Conversations ----

@pytest.mark.parametrize("model", TARGETS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_agent_of_five_turns_that_weir_remembers(weir, mock, client, model, stream):
    previous = openai.omit
    for turn in range(5):
        items = [{"role": "user", "content": f"Look up city {turn}"}]
        for _ in range(2):
            ask = dict(model=model, input=items, previous_response_id=previous, tools=[TOOL, WEATHER], instructions="You look things up.")
            if stream:
                with client.responses.stream(**ask) as s:
                    response = s.get_final_response()
            else:
                response = client.responses.create(**ask)
            previous = response.id
            calls = [item for item in response.output if item.type == "function_call"]
            if not calls:
                break
            assert json.loads(calls[0].arguments)["city"]
            items = [{"type": "function_call_output", "call_id": c.call_id, "output": json.dumps({"turn": turn})} for c in calls]
        assert response.output_text == TEXT
    if model == "native":
        return
    seen = mock_last(mock)["seen"]
    assert (seen["calls"], seen["results"]) == (5, 5)
    listed = list(client.responses.input_items.list(previous, limit=3, order="asc"))
    assert len(listed) == 4 * 4 + 3 and listed[0].content[0].text == "Look up city 0"
    assert [i.type for i in listed[:4]] == ["message", "function_call", "function_call_output", "message"]
    assert len({item.id for item in listed}) == len(listed)


def test_a_conversation_moves_between_targets(mock, client):
    ask = dict(tools=[TOOL], instructions="Look things up.")
    first = client.responses.create(model="gemini", input="Look Paris up", **ask)
    result = {"type": "function_call_output", "call_id": first.output[-1].call_id, "output": "found"}
    second = client.responses.create(model="claude", input=[result], previous_response_id=first.id, **ask)
    third = client.responses.create(model="native", input="mock:text And?", previous_response_id=second.id, **ask)
    sent = json.loads(mock_last(mock)["body"])
    assert "previous_response_id" not in sent and [i["type"] for i in sent["input"] if i["type"] != "reasoning"] == [
        "message", "function_call", "function_call_output", "message", "message"]
    fourth = client.responses.create(model="gpt", input="mock:text And?", previous_response_id=third.id, **ask)
    assert fourth.output_text == TEXT
    assert (mock_last(mock)["seen"]["calls"], mock_last(mock)["seen"]["results"]) == (1, 1)


def test_items_are_referred_to(mock, client):
    first = client.responses.create(model="gpt", input="Look Paris up", tools=[TOOL])
    call = first.output[0]
    items = [{"role": "user", "content": "Look Paris up"}, {"type": "item_reference", "id": call.id},
             {"type": "function_call_output", "call_id": call.call_id, "output": "found"}]
    assert client.responses.create(model="gpt", input=items, tools=[TOOL]).output_text == TEXT
    assert mock_last(mock)["seen"]["calls"] == 1
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="gpt", input=[{"type": "item_reference", "id": "msg_1"}])


def test_what_is_stored_belongs_to_its_key(weir):
    alice, bob = weir.client(ALICE), weir.client(BOB)
    made = alice.responses.create(model="gpt", input="Hello there")
    again = alice.responses.retrieve(made.id)
    assert again.output_text == TEXT and again.to_dict() == made.to_dict()
    for other in (bob, weir.client()):
        for use in (lambda: other.responses.retrieve(made.id), lambda: other.responses.input_items.list(made.id),
                    lambda: other.responses.delete(made.id)):
            with pytest.raises(openai.NotFoundError):
                use()
        with pytest.raises(openai.BadRequestError) as refused:
            other.responses.create(model="gpt", input="And?", previous_response_id=made.id)
        assert refused.value.code == "previous_response_not_found" and refused.value.param == "previous_response_id"


def test_native_responses_belong_to_their_key_too(weir, mock):
    alice, bob = weir.client(ALICE), weir.client(BOB)
    made = alice.responses.create(model="native", input="Hello there, alice")
    assert not made.id.startswith("resp_0") or len(made.id) != 37
    assert alice.responses.retrieve(made.id).to_dict() == made.to_dict()
    assert alice.responses.create(model="native", input="And?", previous_response_id=made.id).output_text == TEXT
    assert json.loads(mock_last(mock)["body"])["previous_response_id"] == made.id, "the provider keeps it: the bytes pass"
    with pytest.raises(openai.BadRequestError):
        bob.responses.create(model="native", input="And?", previous_response_id=made.id)


def test_what_is_not_to_be_stored_is_not(client):
    made = client.responses.create(model="gpt", input="Hello there", store=False)
    assert made.store is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="gpt", input="And?", previous_response_id=made.id)


def test_what_is_deleted_is_gone_and_stays_so_over_a_restart(mock):
    config = {"providers": {"mock": provider(mock.url)}, "models": {"fast": "mock/m"}}
    with gateway.serve(config) as weir:
        client = weir.client()
        first = client.responses.create(model="fast", input="Hello there")
        second = client.responses.create(model="fast", input="And?", previous_response_id=first.id)
        client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(first.id)
        assert client.responses.retrieve(second.id).id == second.id
        with pytest.raises(openai.BadRequestError):
            client.responses.create(model="fast", input="And?", previous_response_id=second.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.delete(first.id)
        data = weir.data
        weir.server.process.terminate()
        assert weir.server.process.wait(timeout=15) == 0
        with servers.start("serve", "--config", str(weir.config_path), "--data", str(data), "--listen", "127.0.0.1:0", "--kafka", "off",
                           "--key", ADMIN) as again:
            client = openai.OpenAI(base_url=again.url + "/v1", api_key=ADMIN, max_retries=0)
            assert client.responses.retrieve(second.id).output_text == TEXT
            with pytest.raises(openai.NotFoundError):
                client.responses.retrieve(first.id)


def test_a_large_conversation_comes_back_from_blobs(client):
    first = client.responses.create(model="gpt", input="x " * (1 << 20))
    second = client.responses.create(model="gpt", input="And?", previous_response_id=first.id)
    assert second.output_text == TEXT and second.usage.input_tokens > (1 << 20) // 4


# ---- Refusals and failures ----

@pytest.mark.parametrize("more, param", [
    (dict(tools=[{"type": "web_search"}]), "tools"),
    (dict(background=True), "background"),
    (dict(conversation="conv_1"), "conversation"),
    (dict(input=[{"type": "web_search_call", "id": "ws_1", "status": "completed"}]), None),
    (dict(reasoning={"effort": "enormous"}), "reasoning.effort"),
])
def test_what_only_openai_offers_is_refused_before_anything_is_sent(weir, mock, client, more, param):
    before = gateway.mock_stats(mock)["requests"]
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(**({"model": "claude", "input": "Hello"} | more))
    assert gateway.mock_stats(mock)["requests"] == before
    assert param is None or refused.value.param == param
    assert weir.last()["outcome"] == "refused"


def test_built_in_tools_pass_to_who_has_them(mock, client):
    body = {"model": "native", "input": "Hello", "tools": [{"type": "web_search"}], "x_unknown": [1.0]}
    client.responses.create(**{k: v for k, v in body.items() if k != "x_unknown"}, extra_body={"x_unknown": [1.0]})
    sent = json.loads(mock_last(mock)["body"])
    assert sent["tools"] == [{"type": "web_search"}] and sent["x_unknown"] == [1.0]


def test_native_bytes_pass_untouched(weir, mock):
    body = b'{"input":"caf\\u00e9", "model":"native" ,"stream":true,"x":1.0}'
    answer = weir.post_to("/v1/responses", body)
    direct = httpx.post(mock.url + "/v1/responses", content=body.replace(b'"native"', b'"gpt-5"'))
    assert httpx.get(mock.url + "/mock/last/body").content == body.replace(b'"native"', b'"gpt-5"')
    assert answer.content == direct.content and answer.headers["content-type"] == direct.headers["content-type"]


def test_a_failure_before_content_moves_on(client):
    response = client.responses.create(model="mixed", input="Hello there")
    assert response.output_text == TEXT and response.id.startswith("resp_")
    with client.responses.stream(model="mixed-stream", input="Hello there") as stream:
        assert stream.get_final_response().output_text == TEXT


@pytest.mark.parametrize("model", ["cut", "cut-gemini"])
def test_a_stream_that_breaks_off_fails(weir, client, model):
    events = list(client.responses.create(model=model, input="Hello there", stream=True))
    assert events[-1].type == "response.failed" and events[-1].response.status == "failed"
    assert events[-1].response.error.code == "server_error" and events[-1].response.error.message
    record = weir.last(model=model)
    assert (record["status"], record["outcome"], record["response_complete"]) == (200, "error", False)
    assert record["usage"]["output"] > 0
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="gpt", input="And?", previous_response_id=events[-1].response.id)
    assert refused.value.code == "previous_response_failed"


def test_errors_of_a_target(weir, client):
    with pytest.raises(openai.RateLimitError) as limited:
        client.responses.create(model="limited", input="Hello")
    assert limited.value.response.headers["retry-after"] == "1" and "error" in limited.value.response.json()
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="gemini/fault-400", input="Hello")
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="nothing", input="Hello")


def test_what_is_not_offered_says_so(weir, client):
    made = client.responses.create(model="gpt", input="Hello there")
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_" + "0" * 32)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_nonsense")
    assert weir.get(f"/v1/responses/{made.id}/input_items", limit=1000).status_code == 400


# ---- Gemini's own API, for other clients ----

def test_gemini_for_chat(weir, mock):
    client = weir.client()
    raw = client.chat.completions.with_raw_response.create(model="gemini", messages=SAY, temperature=0.5, n=2)
    answer = raw.parse()
    assert [c.message.content for c in answer.choices] == [TEXT, TEXT] and answer.choices[0].finish_reason == "stop"
    last = mock_last(mock)
    assert last["target"] == "/v1beta/models/gemini-3-pro:generateContent"
    assert ["x-goog-api-key", PROVIDER_KEY] in [[n.lower(), v] for n, v in last["headers"]] and ADMIN not in json.dumps(last)
    record = weir.call(raw.headers["x-weir-call-id"])
    assert float(record["cost"]["amount"]) > 0 and record["usage_raw"]["candidatesTokenCount"]
    with client.chat.completions.stream(model="gemini", messages=SAY) as stream:
        assert stream.get_final_completion().choices[0].message.content == TEXT
    assert mock_last(mock)["target"].endswith(":streamGenerateContent?alt=sse")


@pytest.mark.parametrize("stream", [False, True])
def test_gemini_for_an_agent_of_anthropics(weir, mock, stream):
    import anthropic
    client = anthropic.Anthropic(base_url=weir.url, api_key=ADMIN, max_retries=0)
    tools = [{"name": "look_up", "input_schema": SCHEMA}, {"name": "weather", "input_schema": SCHEMA}]
    messages = [{"role": "user", "content": "mock:turns=5 mock:parallel Look it up"}]
    for turn in range(6):
        ask = dict(model="gemini", max_tokens=500, messages=messages, tools=tools)
        if stream:
            with client.messages.stream(**ask) as s:
                message = s.get_final_message()
        else:
            message = client.messages.create(**ask)
        calls = [block for block in message.content if block.type == "tool_use"]
        messages.append({"role": "assistant", "content": message.content})
        if not calls:
            break
        assert message.stop_reason == "tool_use" and len({c.id for c in calls}) == 2
        messages.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": c.id, "content": "found"} for c in calls]})
    assert turn == 5 and message.content[-1].text == TEXT
    seen = mock_last(mock)["seen"]
    assert (seen["calls"], seen["results"]) == (10, 10)


def test_a_block_by_gemini_is_a_filter(weir):
    client = weir.client()
    answer = client.chat.completions.create(model="gemini", messages=[{"role": "user", "content": "mock:filter"}])
    assert answer.choices[0].finish_reason == "content_filter"


def test_the_client_for_node(weir):
    script = pathlib.Path(__file__).parent / "responses_node.mjs"
    for model in TARGETS:
        done = subprocess.run(["node", str(script), weir.url + "/v1", ADMIN, model], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"whole": TEXT, "stream": TEXT, "turns": 5, "last": TEXT, "status": 404}
