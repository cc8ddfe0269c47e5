"""Endpoints beside chat, and providers of every kind: what reaches whom, and what cannot."""
import httpx, pytest

import gateway, servers
from gateway import PROVIDER_KEY, SAY, mock_last, provider


@pytest.fixture(scope="module")
def mock():
    with servers.start("mock", "--tokens", "8") as server:
        yield server


@pytest.fixture(scope="module")
def weir(mock):
    config = {
        "providers": {
            "mock": provider(mock.url),
            "claude": provider(mock.url, api="anthropic"),
            "azure": provider(mock.url, api="azure", api_version="2025-04-01-preview", models={"gpt-4.1": "my-deployment"}) | {"url": mock.url},
            "azure-v1": provider(mock.url, api="azure", api_version="v1") | {"url": mock.url + "/openai/v1"},
        },
        "models": {
            "either": {"targets": ["claude/c", "mock/m"]},
        },
    }
    with gateway.serve(config) as server:
        yield server


def test_completions_pass_through(weir, mock):
    raw = weir.client().completions.with_raw_response.create(model="mock/m", prompt="Say it", max_tokens=20)
    record = weir.call(raw.headers["x-weir-call-id"])
    assert (record["endpoint"], record["model"], record["target"], record["outcome"]) == ("completions", "mock/m", "mock/m", "ok")
    assert record["response"]["choices"][0]["text"] == raw.parse().choices[0].text
    assert record["usage"]["output"] == 8 and record["usage"]["source"] == "provider"
    assert httpx.get(mock.url + "/mock/last/body").json() == {"model": "m", "prompt": "Say it", "max_tokens": 20}


def test_completions_stream(weir):
    chunks = list(weir.client().completions.create(model="mock/m", prompt="Say it", stream=True))
    text = "".join(c.choices[0].text for c in chunks if c.choices)
    record = weir.last(model="mock/m")
    assert record["endpoint"] == "completions" and record["stream"] is True and record["response_complete"] is True
    assert record["response"]["object"] == "text_completion"
    assert record["response"]["choices"][0]["text"] == text and text
    assert record["usage"]["output"] == 8


def test_what_a_provider_has_not_is_refused_before_it_is_asked(weir, mock):
    before = gateway.mock_stats(mock)["requests"]
    answer = weir.post_to("/v1/completions", {"model": "claude/c", "prompt": "x"})
    assert answer.status_code == 400 and "anthropic has no such API" in answer.json()["error"]["message"]
    assert gateway.mock_stats(mock)["requests"] == before
    record = weir.record_of(answer)
    assert (record["outcome"], record["status"], record["attempts"]) == ("refused", 400, [])


def test_the_next_target_that_can_is_taken(weir):
    answer = weir.post_to("/v1/completions", {"model": "either", "prompt": "x"})
    assert answer.status_code == 200 and answer.headers["x-weir-target"] == "mock/m"
    assert len(weir.record_of(answer)["attempts"]) == 1


def test_embeddings_pass_through(weir, mock):
    raw = weir.client().embeddings.with_raw_response.create(model="mock/m", input=["one", "two"], encoding_format="float")
    record = weir.call(raw.headers["x-weir-call-id"])
    assert len(raw.parse().data) == 2
    assert (record["endpoint"], record["outcome"], record["stream"]) == ("embeddings", "ok", False)
    assert record["usage"]["input"] > 0 and record["usage"]["output"] == 0
    assert httpx.get(mock.url + "/mock/last/body").json() == {"model": "m", "input": ["one", "two"], "encoding_format": "float"}
    assert weir.client().embeddings.create(model="azure/gpt-4.1", input="x").data[0].embedding


@pytest.mark.parametrize("endpoint, body, path", [
    ("/v1/chat/completions", {"messages": SAY}, "/openai/deployments/my-deployment/chat/completions?api-version=2025-04-01-preview"),
    ("/v1/completions", {"prompt": "x"}, "/openai/deployments/my-deployment/completions?api-version=2025-04-01-preview"),
    ("/v1/messages", {"messages": SAY, "max_tokens": 9}, "/openai/deployments/my-deployment/chat/completions?api-version=2025-04-01-preview"),
])
def test_azure_by_deployment(weir, mock, endpoint, body, path):
    answer = weir.post_to(endpoint, {"model": "azure/gpt-4.1"} | body)
    assert answer.status_code == 200, answer.text
    sent = mock_last(mock)
    assert sent["target"] == path
    headers = {name.lower(): value for name, value in sent["headers"]}
    assert headers["api-key"] == PROVIDER_KEY and "authorization" not in headers
    assert weir.record_of(answer)["target"] == "azure/gpt-4.1"


def test_azure_without_versions(weir, mock):
    with weir.client().chat.completions.stream(model="azure-v1/gpt-5", messages=SAY) as stream:
        assert stream.get_final_completion().choices[0].finish_reason == "stop"
    assert mock_last(mock)["target"] == "/openai/v1/chat/completions"
    assert httpx.get(mock.url + "/mock/last/body").json()["model"] == "gpt-5"


def test_no_models_name_leaves_its_place_in_a_path(weir, mock):
    config = {"providers": {"azure": provider(mock.url, api="azure", api_version="2024-10-21") | {"url": mock.url}}}
    with gateway.serve(config) as server:
        before = gateway.mock_stats(mock)["requests"]
        answer = server.post({"model": "azure/..", "messages": SAY})
        error = answer.json()["error"]
        assert answer.status_code == 400 and error["code"] == "invalid_model" and "deployment" in error["message"]
        assert len(server.record_of(answer)["attempts"]) == 1 and gateway.mock_stats(mock)["requests"] == before
        assert server.post({"model": "azure/a/../../b?c#d", "messages": SAY}).status_code == 200
        assert mock_last(mock)["target"].startswith("/openai/deployments/a%2F..%2F..%2Fb%3Fc%23d/chat/completions?")
