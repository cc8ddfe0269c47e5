"""weir conformance: Weir passes it, and what is wrong fails it."""
import json, pathlib

import pytest

import gateway, servers
from gateway import ADMIN, PROVIDER_KEY, provider

KINDS = ("openai", "azure", "anthropic", "gemini")


@pytest.fixture(scope="module")
def mock():
    with servers.start("mock", "--tokens", "8") as server:
        yield server


def run(url, mock, *arguments):
    done = servers.run("conformance", "--url", url, "--mock", mock.url, "--json", *arguments, timeout=120)
    *cases, total = [json.loads(line) for line in done.stdout.splitlines()]
    assert total == {"passed": sum(c["pass"] for c in cases), "failed": sum(not c["pass"] for c in cases)}
    assert done.returncode == (1 if total["failed"] else 0)
    assert all(c["pass"] == (c["why"] is None) for c in cases)
    return cases


def test_weir_passes(mock):
    azure = {"api": "azure", "url": mock.url, "key": PROVIDER_KEY, "api_version": "2025-04-01-preview", "models": {"gpt-5-mini": "gpt-5-mini"}}
    gemini = {"api": "gemini", "url": mock.url, "key": PROVIDER_KEY}
    providers = {"gemini": gemini, "openai": provider(mock.url, responses="native"), "anthropic": provider(mock.url, api="anthropic"), "azure": azure}
    models = {f"{kind}-mock": {"targets": [f"{kind}/gpt-5-mini"], "retry": {"attempts": 1}} for kind in KINDS}
    with gateway.serve({"providers": providers, "models": models}) as weir:
        cases = run(weir.url, mock, "--key", ADMIN, *(word for kind in KINDS for word in ("--target", f"{kind}={kind}-mock")))
    failed = {(c["api"], c["target"], c["case"]): c["why"] for c in cases if not c["pass"]}
    assert not failed, json.dumps([[*k, v] for k, v in failed.items()], indent=1)
    assert len(cases) > 1000


def test_the_mock_alone_passes_what_is_no_gateways_work(mock):
    for only in ("text", "tool", "logprobs", "image", "structured", "empty answer", "refusal", "filtered", "choices", "sequence", "loop", "thinking", "cache",
                 "characters", "fault sse-c", "fault sse-m", "fault cut", "fault byte", "same bytes", "unknown", "leaves", "base64"):
        cases = run(mock.url + "/v1", mock, "--target", "openai=m", "--only", only)
        assert cases and not [c for c in cases if not c["pass"] and c["api"] != "messages"], only
        assert not [c for c in run(mock.url, mock, "--target", "anthropic=m", "--only", only) if not c["pass"] and c["api"] == "messages"], only


def test_what_is_wrong_fails(mock):
    """A gateway that does nothing about its upstream's faults: the mock itself."""
    failed = {c["case"] for c in run(mock.url, mock, "--target", "openai=m", "--key", "sk-client-0123456789") if not c["pass"] and c["api"] == "chat"}
    assert {"fault html-error", "fault reset-before-head", "fault reset-mid-body", "fault length-long", "fault usage-late", "credentials"} & failed >= {
        "fault html-error", "fault reset-before-head", "fault reset-mid-body", "fault length-long", "credentials"}
    assert not {"text", "tool", "image"} & failed


def test_it_starts_its_own_mock(mock):
    done = servers.run("conformance", "--url", mock.url, "--mock-listen", "127.0.0.1:0", "--target", "openai=m", "--only", "several turns")
    assert done.returncode == 1 and "upstream's messages" in done.stdout, "another mock was asked"
    assert "chat " in done.stdout and "FAIL FAIL" in done.stdout


@pytest.mark.parametrize("arguments, says", [
    ([], "which gateway?"), (["--url", "https://x"], "which models"), (["--url", "http://127.0.0.1:9", "--target", "open=x"], "KIND=MODEL"),
    (["--url", "http://127.0.0.1:9", "--model", "m"], "where is the mock?"),
    (["--url", "https://127.0.0.1:9", "--model", "m", "--mock", "http://127.0.0.1:9"], "not supported"),
])
def test_wrong_usage(arguments, says):
    done = servers.run("conformance", *arguments, env={"WEIR_URL": ""})
    assert done.returncode == 2 and says in done.stderr


def test_the_document_names_every_word_of_the_table():
    document = (pathlib.Path(__file__).parents[2] / "docs/conformance.md").read_text()
    assert all(option in document for option in ("--mock-listen", "--target", "--header", "--only", "--json"))
