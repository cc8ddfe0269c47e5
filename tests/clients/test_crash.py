"""SIGKILL at random moments under load: every call whose answer a client has seen whole is on the log exactly once.

WEIR_CRASH_SECONDS sets how long (a few rounds without it; `make crash` runs it for hours); WEIR_CRASH_SEED repeats the moments."""
import collections, json, os, random, subprocess, threading, time

import httpx, pytest

import gateway, servers
from gateway import ADMIN, SAY, provider

CLIENTS = 8


def ask_until_it_dies(url, seen, number, stop):
    """One client: calls, streaming and not in turn, until the server is gone. Notes the calls that it saw end."""
    with httpx.Client(timeout=10, headers={"authorization": "Bearer " + ADMIN}) as http:
        for n in range(1_000_000):
            if stop.is_set():
                return
            body = {"model": "mock/m", "messages": SAY, "stream": n % 2 == 0, "user": f"{number}-{n}"}
            try:
                answer = http.post(url + "/v1/chat/completions", json=body)
            except httpx.HTTPError:
                return
            whole = answer.text.rstrip().endswith("[DONE]") if body["stream"] else answer.json()["choices"]
            if answer.status_code == 200 and whole:
                seen.append(answer.headers["x-weir-call-id"])


def start_server(directory, config):
    (directory / "weir.yaml").write_text(json.dumps(config))
    log = open(directory / "stderr", "a")
    process = subprocess.Popen([servers.WEIR, "serve", "--data", "data", "--listen", "127.0.0.1:0", "--kafka", "off", "--key", ADMIN],
                               cwd=directory, stdout=subprocess.PIPE, stderr=log, text=True)
    ready = process.stdout.readline()
    assert ready.startswith("ready "), (directory / "stderr").read_text()
    return process, servers.Server(process, ready).url


def ids_on_the_log(url):
    ids, cursor = [], None
    while True:
        answer = httpx.get(url + "/api/v1/calls", params={"limit": 1000} | ({"cursor": cursor} if cursor else {}),
                           headers={"authorization": "Bearer " + ADMIN}, timeout=60)
        page = answer.json()
        ids += [c["id"] for c in page["calls"]]
        cursor = page["next"]
        if not cursor:
            return ids


@pytest.mark.timeout(0)
@pytest.mark.parametrize("durability", ["write", "sync"])
def test_nothing_acknowledged_is_lost(tmp_path, durability):
    seconds = float(os.environ.get("WEIR_CRASH_SECONDS", 0))
    seed = int(os.environ.get("WEIR_CRASH_SEED", 0)) or random.randrange(1 << 30)
    chance, end = random.Random(seed), time.monotonic() + seconds / 2
    seen, rounds = [], 0
    with servers.start("mock", "--tokens", "4") as mock:
        config = {"providers": {"mock": provider(mock.url)}, "log": {"durability": durability}}
        while rounds < 4 or time.monotonic() < end:
            process, url = start_server(tmp_path, config)
            stop = threading.Event()
            threads = [threading.Thread(target=ask_until_it_dies, args=(url, seen, n, stop)) for n in range(CLIENTS)]
            for t in threads:
                t.start()
            time.sleep(chance.uniform(0.05, 0.8))
            process.kill()
            process.wait()
            stop.set()
            for t in threads:
                t.join()
            rounds += 1
        process, url = start_server(tmp_path, config)
        times = collections.Counter(ids_on_the_log(url))
        process.terminate()
        assert process.wait(timeout=20) == 0
    lost = [i for i in seen if times[i] != 1]
    assert len(seen) > 50, "the load was no load"
    assert not lost, f"{len(lost)} of {len(seen)} acknowledged calls are not on the log once (WEIR_CRASH_SEED={seed}): {lost[:5]}"
    assert max(times.values()) == 1, f"some call is on the log twice (WEIR_CRASH_SEED={seed})"
    verify = servers.run("topic", "verify", "--data", str(tmp_path / "data"))
    assert verify.returncode == 0, verify.stdout + verify.stderr
