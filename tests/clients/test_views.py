"""Calls found by what was said in them, and summed up, over HTTP."""
import hashlib, json

import httpx, pytest

import gateway, servers
from gateway import ADMIN, provider

USER = "user-key-000000000000000000"
HASH = "sha256:" + hashlib.sha256(USER.encode()).hexdigest()


@pytest.fixture(scope="module")
def weir():
    with servers.start("mock", "--tokens", "8") as mock:
        config = {"providers": {"mock": provider(mock.url)}, "keys": [{"name": "user", "hash": HASH}],
                  "models": {"smart": "mock/gpt-5-mini"}}
        with gateway.serve(config) as server:
            for n in range(6):
                server.client().chat.completions.create(model="smart" if n % 2 else "mock/other", user=f"user{n}",
                                                        messages=[{"role": "user", "content": f"Où est la rivière numéro {n}?"}])
            server.client(USER).chat.completions.create(model="smart", messages=[{"role": "user", "content": "private words"}])
            server.post({"model": "nothing", "messages": [{"role": "user", "content": "refused words"}]})
            folded(server)
            yield server


def folded(weir):
    def level():
        state = weir.get("/api/v1/view").json()
        return state["folded"] == state["end"] > 0
    assert gateway.until(level)


def models(calls):
    return [c["model"] for c in calls]


def test_calls_are_found(weir):
    assert len(weir.calls(q="riviere")) == 6, "without the accent"
    assert len(weir.calls(q="numéro 3")) == 1
    assert models(weir.calls(q="refused")) == ["nothing"]
    assert weir.calls(q='" NEAR( *') == []
    assert models(weir.calls(outcome="refused")) == ["nothing"]
    assert models(weir.calls(target="mock/other")) == ["mock/other"] * 3
    assert [c["user"] for c in weir.calls(user="user4")] == ["user4"]
    assert len(weir.calls(endpoint="chat")) == 8 and weir.calls(endpoint="messages") == []
    assert weir.calls(min_ms=60000) == []


def test_pages_hold_together(weir):
    seen, cursor = [], None
    while True:
        page = weir.get("/api/v1/calls", q="rivière", limit=4, **({"cursor": cursor} if cursor else {})).json()
        seen += [c["id"] for c in page["calls"]]
        cursor = page["next"]
        if not cursor:
            break
    assert len(seen) == len(set(seen)) == 6


def test_sums(weir):
    groups = {g["name"]: g for g in weir.get("/api/v1/stats", by="model").json()["groups"]}
    assert {name: g["calls"] for name, g in groups.items()} == {"smart": 4, "mock/other": 3, "nothing": 1}
    assert groups["smart"]["output"] == 32
    record = weir.calls(model="smart", limit=1)[0]
    assert float(groups["smart"]["cost"]) >= 3 * float(record["cost"]["amount"]) > 0
    assert 0 < groups["smart"]["total_us"]["p50"] <= groups["smart"]["total_us"]["p99"]
    whole = weir.get("/api/v1/stats", step="1m", since="1h").json()["groups"][0]
    assert sum(p["calls"] for p in whole["points"]) == whole["calls"] == 8


def test_a_key_sees_its_own(weir):
    assert len(weir.get("/api/v1/calls", key=USER, q="words").json()["calls"]) == 1
    assert weir.get("/api/v1/stats", key=USER).json()["groups"][0]["calls"] == 1
    assert weir.get("/api/v1/view", key=USER).status_code == 403


@pytest.mark.parametrize("path, params, says", [
    ("/api/v1/stats", {"by": "moon"}, "model, target, key"),
    ("/api/v1/stats", {"step": "7s"}, "whole minutes"),
    ("/api/v1/stats", {"since": "yesterday"}, "since"),
    ("/api/v1/calls", {"q": "x" * 600}, "512 bytes"),
    ("/api/v1/calls", {"min_ms": "fast"}, "whole number"),
])
def test_mistakes(weir, path, params, says):
    answer = weir.get(path, **params)
    assert answer.status_code == 400 and says in answer.json()["error"]["message"]


def test_it_is_made_again_while_serving(weir):
    before = weir.get("/api/v1/stats", since="1h").json()["groups"]
    assert httpx.post(weir.url + "/api/v1/view/rebuild", headers={"authorization": f"Bearer {ADMIN}"}).status_code == 202
    assert gateway.until(lambda: weir.get("/api/v1/stats", since="1h").json().get("groups") == before)
    assert len(weir.calls(q="rivière")) == 6


def test_the_command_tells_and_rebuilds(weir):
    def view(*words):
        return servers.run("view", *words, "--url", weir.url, "--key", ADMIN)
    folded(weir)
    status = view("status")
    assert status.returncode == 0 and "level with the log" in status.stdout, status.stderr
    assert json.loads(view("status", "--json").stdout) == weir.get("/api/v1/view").json()
    before = weir.get("/api/v1/stats", since="1h").json()["groups"]
    rebuilt = view("rebuild")
    assert rebuilt.returncode == 0 and "level with the log" in rebuilt.stdout, rebuilt.stderr
    assert weir.get("/api/v1/stats", since="1h").json()["groups"] == before
    assert view("rebild").returncode == 2
    assert servers.run("view", "status", "--url", weir.url, "--key", USER).returncode == 1


def test_words_are_divided_as_they_are_written(weir):
    folded(weir)
    for said in ("rivière-numéro", "numéro, (rivière)", "riv?", '"rivière"'):
        assert len(weir.calls(q=said)) == 6, said
    assert weir.calls(q="rivière-nowhere") == []
    assert len(weir.calls(q="\x1c…!")) <= 8, "no word: no failure"


class Killed(Exception):
    pass


def test_killed_at_any_moment_it_agrees_with_the_log(tmp_path):
    calls = 0
    with servers.start("mock", "--tokens", "2") as mock:
        config = tmp_path / "weir.yaml"
        config.write_text(json.dumps({"providers": {"mock": provider(mock.url)}}))
        for turn in range(4):
            with pytest.raises(Killed), servers.start("serve", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--kafka", "off",
                                                      "--key", ADMIN, "--config", str(config)) as server:
                weir = gateway.Gateway(server, tmp_path)
                if calls:
                    folded(weir)
                assert sum(g["calls"] for g in weir.get("/api/v1/stats").json().get("groups", [])) == calls
                for _ in range(40 + turn * 17):
                    weir.post({"model": "mock/m", "messages": [{"role": "user", "content": "kill"}]})
                    calls += 1
                server.process.kill()
                raise Killed
