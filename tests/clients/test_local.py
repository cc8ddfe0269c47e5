"""The model inside, through the gateway: official clients, records, limits, and an engine that dies."""
import concurrent.futures, os, pathlib, shutil, signal, time

import anthropic, httpx, openai, pytest
from langchain_openai import ChatOpenAI

import gateway, servers
from gateway import ADMIN, SAY, provider, until

MODEL = pathlib.Path(os.environ.get("WEIR_MODELS") or pathlib.Path(__file__).parents[2] / "models") / "smollm2.gguf"
CAPITAL = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    os.symlink(MODEL.resolve(), models / "smollm2.gguf")
    os.symlink(MODEL.with_suffix(".jinja").resolve(), models / "smollm2.jinja")
    (models / "damaged.gguf").write_bytes(MODEL.read_bytes()[:5000])
    (models / "text.gguf").write_text("this is no model")
    config = {"local": {"dir": str(models), "parallel": 4, "queue": 2},
              "providers": {"dead": provider("http://127.0.0.1:9")},
              "models": {"safe": {"targets": ["dead/x", "local/smollm2"]}, "text-then-good": {"targets": ["local/text", "local/smollm2"]}}}
    with gateway.serve(config) as server:
        yield server


def ask(weir, **more):
    return weir.client().chat.completions.create(**({"model": "local/smollm2", "messages": CAPITAL, "temperature": 0, "max_tokens": 40} | more))


def test_it_answers(weir):
    answer = ask(weir)
    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop" and answer.usage.completion_tokens > 3
    record = weir.last(model="local/smollm2")
    assert (record["target"], record["outcome"], record["usage"]["source"]) == ("local/smollm2", "ok", "provider")
    assert record["usage"]["output"] == answer.usage.completion_tokens


def test_a_stream_says_the_same(weir):
    stream = list(ask(weir, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == ask(weir).choices[0].message.content
    assert stream[-1].usage.completion_tokens > 3


def test_langchain(weir):
    chat = ChatOpenAI(base_url=weir.url + "/v1", api_key=ADMIN, model="local/smollm2", temperature=0, max_tokens=40)
    assert "Paris" in chat.invoke(CAPITAL[0]["content"]).content


def test_anthropics_clients_get_it_by_translation(weir):
    claude = anthropic.Anthropic(base_url=weir.url, api_key=gateway.ADMIN, max_retries=0)
    asked = dict(model="local/smollm2", max_tokens=12, messages=[{"role": "user", "content": "Say hello."}], extra_body={"temperature": 0})
    message = claude.messages.create(**asked)
    with claude.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    assert message.content[0].text == streamed.content[0].text != ""
    assert message.usage.output_tokens == streamed.usage.output_tokens > 0
    record = weir.last(model="local/smollm2")
    assert (record["endpoint"], record["target"], record["usage"]["source"]) == ("messages", "local/smollm2", "provider")


def test_it_is_listed_with_its_state(weir):
    assert "local/smollm2" in {m.id for m in weir.client().models.list()}
    states = {m["id"]: m for m in weir.get("/api/v1/models").json()["models"]}
    assert states["local/smollm2"]["state"] == "ready"


def test_it_stands_in_for_a_provider_that_is_not_there(weir):
    answer = weir.post({"model": "safe", "messages": CAPITAL, "temperature": 0, "max_tokens": 20})
    assert answer.headers["x-weir-target"] == "local/smollm2" and "Paris" in answer.text


def test_seeded_answers_do_not_depend_on_company(weir):
    def one(seed):
        return ask(weir, seed=seed, temperature=1.0, max_tokens=12).choices[0].message.content
    alone = [one(s) for s in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == alone


def test_stop_strings(weir):
    answer = ask(weir, stop=["Paris"])
    assert "Paris" not in answer.choices[0].message.content and answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("name", ["damaged", "text"])
def test_a_file_that_cannot_load_is_a_clear_error(weir, name):
    answer = weir.post({"model": "local/" + name, "messages": SAY})
    assert answer.status_code == 503, answer.text
    assert name in answer.json()["error"]["message"] or "GGUF" in answer.json()["error"]["message"]
    assert weir.record_of(answer)["outcome"] == "error"
    assert weir.get("/api/v1/calls").status_code == 200


def test_an_unknown_model_is_404(weir):
    answer = weir.post({"model": "local/nothing", "messages": SAY})
    assert answer.status_code == 404 and "nothing" in answer.json()["error"]["message"]


def test_more_than_the_queue_is_429(weir):
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: weir.post({"model": "local/smollm2", "messages": SAY, "max_tokens": 60, "temperature": 0},
                                                    headers={"x-n": str(n)}, timeout=60), range(12)))
    statuses = [a.status_code for a in answers]
    assert statuses.count(200) >= 6 and set(statuses) <= {200, 429}, statuses
    for refused in (a for a in answers if a.status_code == 429):
        assert int(refused.headers["retry-after"]) >= 1


def test_a_client_that_leaves_frees_its_place(weir):
    with httpx.Client() as http:
        with http.stream("POST", weir.url + "/v1/chat/completions", headers={"authorization": "Bearer " + ADMIN}, timeout=30,
                         json={"model": "local/smollm2", "messages": [{"role": "user", "content": "Tell me a very long story."}], "stream": True,
                               "max_tokens": 2000, "user": "leaver"}) as answer:
            next(answer.iter_lines())
    record = until(lambda: [c for c in weir.calls(status="cancelled") if c["user"] == "leaver"], 10)[0]
    assert record["status"] == 499
    uses = lambda: [m for m in weir.get("/api/v1/models").json()["models"] if m["id"] == "local/smollm2"][0]["uses"]
    assert until(lambda: uses() == 0)


def engine_of(weir):
    children = pathlib.Path(f"/proc/{weir.pid}/task").glob("*/children")
    pids = {int(p) for c in children for p in c.read_text().split()}
    return [p for p in pids if "smollm2" in pathlib.Path(f"/proc/{p}/cmdline").read_text()]


def test_an_engine_that_dies_is_an_error_for_its_calls_and_comes_again(weir):
    ask(weir)
    stream = ask(weir, stream=True, messages=[{"role": "user", "content": "Tell me a very long story."}], max_tokens=1000)
    next(stream)
    next(stream)
    for pid in engine_of(weir):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(openai.APIError):
        list(stream)
    assert weir.get("/health").status_code == 200
    answer = until(lambda: (lambda a: a if a.status_code == 200 else None)(
        weir.post({"model": "local/smollm2", "messages": CAPITAL, "temperature": 0, "max_tokens": 20})), 10)
    assert "Paris" in answer.text
    broken = weir.calls(status="error", model="local/smollm2")[0]
    assert (broken["status"], broken["response_complete"]) == (200, False)
    assert broken["response"]["choices"][0]["message"]["content"]


def test_chat_command(weir):
    answer = servers.run("chat", "local/smollm2", "--message", CAPITAL[0]["content"], "--max-tokens", "30", "--url", weir.url, "--key", ADMIN)
    assert answer.returncode == 0 and answer.stdout.strip(), answer.stderr
