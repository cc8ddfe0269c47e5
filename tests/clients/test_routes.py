"""Which target a call takes, and what keeps it away from one, as the records tell it."""
import collections, concurrent.futures, json, threading, time

import httpx, pytest

import gateway, servers
from gateway import SAY, mock_last, mock_stats, provider, until


@pytest.fixture(scope="module")
def mocks():
    with servers.start("mock", "--tokens", "4") as one, servers.start("mock", "--tokens", "4") as two, \
         servers.start("mock", "--tokens", "4", "--latency", "150") as slow:
        yield one, two, slow


QUICK = {"failures": "50%", "requests": 4, "window": "10s", "open": "2s", "open_max": "2s"}


@pytest.fixture(scope="module")
def config(mocks):
    one, two, slow = (m.url for m in mocks)
    return {
        "providers": {
            "one": provider(one, breaker=QUICK),
            "two": provider(two, breaker=QUICK),
            "slow": provider(slow),
            "narrow": provider(one, concurrency=2),
            "stingy": provider(one, retry_budget={"share": "20%", "reserve": 0}, breaker="off"),
        },
        "models": {
            "weighted": {"strategy": "weighted", "targets": [{"model": "one/a", "weight": 3}, {"model": "two/a", "weight": 1}]},
            "sticky": {"strategy": "sticky", "targets": [{"model": "one/a", "weight": 3}, {"model": "two/a", "weight": 1}]},
            "nearest": {"strategy": "latency", "targets": ["slow/b", "two/b"]},
            "rules": {"targets": [
                {"model": "one/gold", "when": "metadata.tier == 'gold' && tokens < 1000"},
                {"model": "two/long", "when": "tokens >= 1000"},
                {"model": "one/stream", "when": "stream"}]},
            "narrow": {"targets": ["narrow/fault-stall-mid-stream", "two/spare"]},
            "narrow-only": {"targets": ["narrow/fault-stall-mid-stream"]},
            "breaking": {"targets": ["one/fault-500", "two/good"]},
            "client-fault": {"targets": ["one/fault-400", "two/never"]},
            "only": {"targets": ["two/fault-500"], "retry": {"attempts": 1}},
            "cooling": {"targets": ["one/fault-429=30", "two/good"]},
            "stingy": {"targets": ["stingy/fault-500"], "retry": {"attempts": 2}},
            "with-params": {"targets": ["one/p"], "params": {"temperature": 0.25, "max_tokens": 7, "stop": ["a", "b"]}},
        },
    }


@pytest.fixture(scope="module")
def weir(config):
    with gateway.serve(config) as server:
        yield server


def ask(weir, model, **more):
    return weir.post({"model": model, "messages": SAY} | more)


def targets(weir, model, count, **more):
    return collections.Counter(ask(weir, model, **more).headers["x-weir-target"] for _ in range(count))


def test_weights_share_the_calls(weir):
    seen = targets(weir, "weighted", 120)
    assert 68 <= seen["one/a"] <= 110 and sum(seen.values()) == 120, seen  # 90 ± 4.6 σ
    assert weir.last(model="weighted")["attempts"][0]["chosen_by"] == "weight"


def test_a_user_keeps_the_target(weir):
    seen = {f"user-{n}": set(targets(weir, "sticky", 2, user=f"user-{n}")) for n in range(60)}
    assert all(len(s) == 1 for s in seen.values())
    share = collections.Counter(next(iter(s)) for s in seen.values())
    assert 30 <= share["one/a"] <= 58, share
    assert weir.last(model="sticky")["attempts"][0]["chosen_by"] == "sticky"


def test_the_faster_target_gets_the_calls(weir):
    targets(weir, "nearest", 4)
    seen = targets(weir, "nearest", 20)
    assert seen["two/b"] >= 18, seen
    assert weir.last(model="nearest")["attempts"][0]["chosen_by"] == "latency"


def test_conditions_choose_the_target(weir):
    gold = ask(weir, "rules", metadata={"tier": "gold"})
    assert gold.headers["x-weir-target"] == "one/gold"
    long = weir.post({"model": "rules", "messages": [{"role": "user", "content": "word " * 2000}], "metadata": {"tier": "gold"}})
    assert long.headers["x-weir-target"] == "two/long"
    assert weir.record_of(long)["attempts"][0]["skipped"] == [{"target": "one/gold", "reason": "condition"},
                                                              {"target": "one/stream", "reason": "condition"}]
    assert ask(weir, "rules", stream=True).headers["x-weir-target"] == "one/stream"
    none = ask(weir, "rules")
    assert none.status_code == 400 and none.json()["error"]["code"] == "no_target"
    record = weir.record_of(none)
    assert record["outcome"] == "refused" and len(record["skipped"]) == 3 and record["attempts"] == []


def stalled(weir, model, count):
    """That many streams that hang, and a way to let them go."""
    stop = threading.Event()
    begun = threading.Semaphore(0)

    def hang():
        with httpx.stream("POST", weir.url + "/v1/chat/completions", json={"model": model, "messages": SAY, "stream": True},
                          headers={"authorization": f"Bearer {gateway.ADMIN}"}, timeout=20) as answer:
            begun.release()
            stop.wait(15)

    pool = [threading.Thread(target=hang) for _ in range(count)]
    for thread in pool:
        thread.start()
    for _ in pool:
        assert begun.acquire(timeout=10)
    return lambda: (stop.set(), [t.join() for t in pool])


def state_of(weir, target):
    return next(t for t in weir.get("/api/v1/status").json()["targets"] if t["name"] == target)


def test_concurrency_sends_calls_on_and_then_away(weir):
    release = stalled(weir, "narrow", 2)
    try:
        assert state_of(weir, "narrow/fault-stall-mid-stream")["in_flight"] == 2
        answer = ask(weir, "narrow")
        assert answer.headers["x-weir-target"] == "two/spare"
        assert weir.record_of(answer)["attempts"][0]["skipped"] == [{"target": "narrow/fault-stall-mid-stream", "reason": "concurrency"}]
        answer = ask(weir, "narrow-only")
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert answer.json()["error"]["code"] == "target_busy"
        record = weir.record_of(answer)
        assert record["outcome"] == "refused" and record["skipped"][0]["reason"] == "concurrency"
    finally:
        release()
    assert until(lambda: state_of(weir, "narrow/fault-stall-mid-stream")["in_flight"] == 0)


def test_a_breaker_opens_probes_and_opens_again(weir):
    for _ in range(8):
        assert ask(weir, "breaking").headers["x-weir-target"] == "two/good"
    record = weir.last(model="breaking")
    assert [a["target"] for a in record["attempts"]] == ["two/good"]
    assert record["attempts"][0]["skipped"] == [{"target": "one/fault-500", "reason": "breaker_open"}]
    state = state_of(weir, "one/fault-500")
    assert state["breaker"] == "open" and state["opened"] >= 1 and state["faults"] >= 4
    assert until(lambda: state_of(weir, "one/fault-500")["up_in_ms"] == 0)
    record = weir.record_of(ask(weir, "breaking"))
    assert [(a["target"], a.get("probe", False)) for a in record["attempts"]] == [("one/fault-500", True), ("two/good", False)]
    assert state_of(weir, "one/fault-500")["breaker"] == "open"
    metrics = httpx.get(weir.url + "/metrics").text
    assert 'weir_target_skipped_total{target="one/fault-500",reason="breaker_open"}' in metrics
    assert 'weir_target_breaker_open{target="one/fault-500"} 1' in metrics


def test_client_faults_never_open_a_breaker(weir):
    for _ in range(10):
        assert ask(weir, "client-fault").status_code == 400
    state = state_of(weir, "one/fault-400")
    assert (state["breaker"], state["faults"], state["in_flight"]) == ("closed", 0, 0)


def test_an_only_target_is_never_benched(weir):
    statuses = [ask(weir, "only").status_code for _ in range(8)]
    assert statuses == [500] * 8
    assert all(len(r["attempts"]) == 1 for r in weir.calls(model="only", limit=8))


def test_retry_after_is_kept_to(weir, mocks):
    assert ask(weir, "cooling").headers["x-weir-target"] == "two/good"
    record = weir.record_of(ask(weir, "cooling"))
    assert record["attempts"][0]["skipped"] == [{"target": "one/fault-429=30", "reason": "retry_after"}]


def test_retries_have_a_budget(weir):
    attempts = [len(weir.record_of(ask(weir, "stingy"))["attempts"]) for _ in range(15)]
    assert attempts[0] == 1 and sum(attempts) - 15 <= 3, attempts
    record = weir.last(model="stingy")
    assert record["status"] == 500 and (len(record["attempts"]) == 2 or record["skipped"][0]["reason"] == "retry_budget")


def test_params_fill_what_the_request_leaves_open(weir, mocks):
    assert ask(weir, "with-params", temperature=0.75).status_code == 200
    sent = json.loads(httpx.get(mocks[0].url + "/mock/last/body").content)
    assert (sent["temperature"], sent["max_tokens"], sent["stop"], sent["model"]) == (0.75, 7, ["a", "b"], "p")
    assert sent["messages"] == SAY
    raw = b'{"model":"with-params","messages":[],"temperature":1,"max_tokens":1,"stop":null}'
    weir.post(raw)
    assert httpx.get(mocks[0].url + "/mock/last/body").content == raw.replace(b"with-params", b"p")


def test_states_survive_a_reload_and_clients_that_leave(weir, config):
    before = state_of(weir, "one/fault-500")["faults"]
    weir.configure(config)
    weir.server.process.send_signal(1)
    assert until(lambda: "event=reload result=done" in weir.log_path.read_text())
    assert before >= 4 and state_of(weir, "one/fault-500")["faults"] >= before
    assert all(t["in_flight"] == 0 for t in weir.get("/api/v1/status").json()["targets"])


def test_a_provider_that_fails_its_health_probe_is_passed_over(mocks):
    config = {
        "providers": {"sick": provider("http://127.0.0.1:9", health={"path": "/health", "every": "100ms"}),
                      "well": provider(mocks[0].url, health={"path": "/mock/stats", "every": "100ms"})},
        "models": {"m": {"targets": ["sick/a", "well/b"]}},
    }
    with gateway.serve(config) as weir:
        assert until(lambda: not state_of(weir, "sick/a")["healthy"])
        assert state_of(weir, "well/b")["healthy"]
        record = weir.record_of(ask(weir, "m"))
        assert [a["target"] for a in record["attempts"]] == ["well/b"]
        assert record["attempts"][0]["skipped"] == [{"target": "sick/a", "reason": "unhealthy"}]
        config["providers"]["sick"].pop("health")
        weir.configure(config)
        weir.server.process.send_signal(1)
        assert until(lambda: state_of(weir, "sick/a")["healthy"]), "nobody asks any more"
