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
