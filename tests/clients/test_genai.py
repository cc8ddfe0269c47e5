"""google-genai against the mock's Gemini: what Weir's own `gemini` provider is tested with is what Google's client understands. And the same
prompts through Weir come to the same words."""
import json

import pytest
from google import genai
from google.genai import errors, types

import gateway, servers

MODEL = "gemini-3-pro"
TEXT = "alpha0 бета1 gamma2 δέλτα3 naïve4 水5 🙂6 omega7"


@pytest.fixture(scope="module")
def mock():
    with servers.start("mock", "--tokens", "8") as server:
        yield server


@pytest.fixture(scope="module", params=["v1", "v1beta"])
def client(mock, request):
    options = types.HttpOptions(base_url=mock.url, api_version=request.param)
    with genai.Client(api_key="any", http_options=options) as made:
        yield made


def ask(client, contents, **config):
    return client.models.generate_content(model=MODEL, contents=contents, config=types.GenerateContentConfig(**config))


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def test_an_answer_and_its_usage(client):
    answer = ask(client, "Hello there")
    usage = answer.usage_metadata
    assert answer.text == TEXT and answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count) == (3, 8, 11)


def test_a_stream_comes_in_pieces_and_tells_its_usage(client):
    chunks = list(client.models.generate_content_stream(model=MODEL, contents="Hello there"))
    assert "".join(chunk.text or "" for chunk in chunks) == TEXT and len(chunks) > 8
    assert chunks[-1].usage_metadata.candidates_token_count == 8 and chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


@pytest.mark.parametrize("stream", [False, True])
def test_a_loop_of_tools_over_five_turns(client, stream):
    """The client's own loop calls the function and sends its results, and the signatures of thoughts, back."""
    config = types.GenerateContentConfig(tools=[get_weather], thinking_config=types.ThinkingConfig(include_thoughts=True),
                                         automatic_function_calling=types.AutomaticFunctionCallingConfig(maximum_remote_calls=10))
    chat = client.chats.create(model=MODEL, config=config)
    if stream:
        text = "".join(part.text or "" for chunk in chat.send_message_stream("mock:turns=5 what is the weather?")
                       for part in chunk.candidates[0].content.parts if not part.thought)
    else:
        text = chat.send_message("mock:turns=5 what is the weather?").text
    results = [part for content in chat.get_history() for part in content.parts or [] if part.function_response]
    assert text == TEXT and len(results) == 5


def test_thinking_with_its_signature(client):
    answer = ask(client, "Hello there", thinking_config=types.ThinkingConfig(include_thoughts=True))
    thought, said = answer.candidates[0].content.parts
    assert thought.thought and thought.text and said.text == TEXT and said.thought_signature
    assert answer.usage_metadata.thoughts_token_count == 4


def test_structured_output_is_parsed(client):
    schema = {"type": "OBJECT", "properties": {"name": {"type": "STRING"}, "age": {"type": "INTEGER"}}, "required": ["name", "age"]}
    answer = ask(client, "Hello there", response_mime_type="application/json", response_schema=schema)
    assert set(json.loads(answer.text)) == {"name", "age"}


def test_a_blocked_prompt_a_refusal_and_a_limit(client):
    assert ask(client, "mock:filter").prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    assert ask(client, "mock:refuse").candidates[0].finish_reason == types.FinishReason.SAFETY
    assert ask(client, "Hello", max_output_tokens=2).candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert len(ask(client, "Hello", candidate_count=3).candidates) == 3


def test_tokens_embeddings_and_models(client):
    assert client.models.count_tokens(model=MODEL, contents="Hello there").total_tokens == 3
    assert [len(e.values) for e in client.models.embed_content(model=MODEL, contents=["a", "b"]).embeddings] == [16, 16]
    assert [model.name for model in client.models.list()] == ["models/mock"]


@pytest.mark.parametrize("status, kind", [(400, errors.ClientError), (429, errors.ClientError), (500, errors.ServerError), (503, errors.ServerError)])
def test_errors_are_the_clients_own(client, status, kind):
    with pytest.raises(kind) as caught:
        ask(client, f"mock:fault={status}")
    assert caught.value.code == status and caught.value.message


def test_a_broken_stream_is_an_error(client):
    with pytest.raises(Exception):
        list(client.models.generate_content_stream(model=MODEL, contents="mock:fault=reset-mid-body"))


def test_through_weir_the_same_is_said(mock, client):
    """Weir speaks Gemini to providers only: an OpenAI client's call of the same model comes to the same words and tokens."""
    with gateway.serve({"providers": {"gemini": {"api": "gemini", "url": mock.url, "key": gateway.PROVIDER_KEY}}}) as weir:
        theirs = ask(client, "Hello there")
        ours = weir.client().chat.completions.create(model=f"gemini/{MODEL}", messages=gateway.SAY)
        assert ours.choices[0].message.content == theirs.text
        assert (ours.usage.prompt_tokens, ours.usage.completion_tokens) == (theirs.usage_metadata.prompt_token_count,
                                                                           theirs.usage_metadata.candidates_token_count)
