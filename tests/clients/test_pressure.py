"""Slow readers, many connections: memory stays where the limits say."""
import json, pathlib, re, socket, time

import httpx, pytest

import gateway, servers
from gateway import ADMIN, SAY, mock_stats, provider


def rss_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))


def send(weir, body):
    data = json.dumps(body).encode()
    s = socket.create_connection((weir.host, weir.port))
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
              % (ADMIN.encode(), len(data), data))
    return s


TOKENS = 300_000  # some 70 MB of events


@pytest.fixture(scope="module")
def mock():
    with servers.start("mock", "--tokens", str(TOKENS)) as server:
        yield server


@pytest.mark.parametrize("api", ["openai", "anthropic"])  # passed through, and translated
def test_a_slow_reader_holds_its_provider_back(mock, api):
    with gateway.serve({"providers": {"mock": provider(mock.url, api=api)}}) as weir:
        weir.post({"model": "mock/m", "messages": SAY, "max_tokens": 8})
        before = rss_kib(weir.pid)
        httpx.delete(mock.url + "/mock/stats")
        with send(weir, {"model": "mock/m", "messages": SAY, "stream": True, "max_tokens": TOKENS}) as s:
            time.sleep(1.5)
            assert rss_kib(weir.pid) - before < 12 << 10, "a reader that does not read must not fill memory"
            held = mock_stats(mock)["bytes_out"]
            time.sleep(0.3)
            assert mock_stats(mock)["bytes_out"] == held, "the provider is held back"
            got = bytearray()
            while piece := s.recv(1 << 20):
                got += piece
        assert got.count(b'"content":" ') == TOKENS - 1 and b"data: [DONE]" in got
        assert weir.last()["outcome"] == "ok"


def test_a_reader_that_never_reads_is_given_up(mock):
    config = {"providers": {"mock": provider(mock.url, timeout={"idle": "1s"})}}
    with gateway.serve(config) as weir:
        with send(weir, {"model": "mock/m", "messages": SAY, "stream": True}):
            time.sleep(2.5)
            # Held back by us, the provider is not idle: the stream must be there still.
            assert not weir.calls()


def test_many_calls_leave_nothing_behind():
    with servers.start("mock", "--tokens", "8") as mock, gateway.serve({"providers": {"mock": provider(mock.url)}}) as weir:
        def load(seconds):
            done = servers.run("bench", "--url", weir.url, "--key", ADMIN, "--model", "mock/m", "--concurrency", "32", "--duration", str(seconds), "--json")
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout.splitlines()[-1])
        load(2)
        before = rss_kib(weir.pid)
        load(4)
        assert rss_kib(weir.pid) - before < 2 << 10
        metrics = httpx.get(weir.url + "/metrics").text
        assert "weir_calls_open 0\n" in metrics
        assert "weir_http_connections 1\n" in metrics, "the one that asks"
