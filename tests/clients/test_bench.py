"""weir bench: its figures agree with what weir mock did, and what is wrong with answers is found."""
import json, os, signal, socket, subprocess, threading, time

import httpx, pytest

import servers


@pytest.fixture(scope="module")
def mock():
    with servers.start("mock", "--tokens", "8") as server:
        yield server


def bench(url, *arguments, code=0, env=None):
    done = servers.run("bench", "--url", url, "--json", *arguments, env=env)
    assert done.returncode == code, done.stderr + done.stdout
    return json.loads(done.stdout)


def test_counts_agree_with_the_mock(mock):
    httpx.delete(mock.url + "/mock/stats")
    result = bench(mock.url, "--requests", "500", "--concurrency", "4", "--pid", str(mock.process.pid))
    stats = httpx.get(mock.url + "/mock/stats").json()
    assert result["ok"] == stats["requests"] == stats["answered"] == 500
    assert stats["connections"] == result["connects"] == 4 and stats["active_max"] <= 4
    assert result["failed"] == 0 and result["frames"] == {"got": 500, "lost": 0, "doubled": 0, "damaged": 0}
    times = result["latency_us"]
    assert 0 < times["p50"] <= times["p90"] <= times["p99"] <= times["p99.9"] <= times["max"] and times["count"] == 500
    assert result["process"]["processes"] == 1 and result["process"]["rss_end_bytes"] > 1e6


def test_the_request(mock):
    bench(mock.url + "/v1", "--requests", "1", "--model", 'm"1', "--key", "sk-1", "--header", "X-A: b c", "--prompt-bytes", "1000",
          "--tokens", "3", "--stream")
    last = httpx.get(mock.url + "/mock/last").json()
    body = json.loads(last["body"])
    assert last["target"] == "/v1/chat/completions"
    assert ["Authorization", "Bearer sk-1"] in last["headers"] and ["X-A", "b c"] in last["headers"]
    assert body["model"] == 'm"1' and body["max_tokens"] == 3 and body["stream"] is True
    assert 950 < len(body["messages"][1]["content"]) <= 1000
    for size in range(90, 110):
        bench(mock.url, "--requests", "1", "--prompt-bytes", str(size))


def test_url_and_key_from_the_environment(mock):
    done = servers.run("bench", "--requests", "1", env={"WEIR_URL": mock.url, "WEIR_KEY": "sk-env"})
    assert done.returncode == 0 and "1 ok, 0 failed" in done.stdout
    assert ["Authorization", "Bearer sk-env"] in httpx.get(mock.url + "/mock/last").json()["headers"]


def test_streams_first_token_and_gaps():
    with servers.start("mock", "--tokens", "6", "--latency", "40", "--gap", "20") as slow:
        result = bench(slow.url, "--stream", "--tokens", "6", "--concurrency", "5", "--requests", "10")
    assert result["ok"] == 10 and result["frames"] == {"got": 60, "lost": 0, "doubled": 0, "damaged": 0}
    assert 38000 <= result["ttft_us"]["p50"] < 60000
    assert result["gap_us"]["count"] == 50 and 15000 < result["gap_us"]["p50"] < 25000
    assert 138000 < result["latency_us"]["p50"] < 200000


@pytest.mark.parametrize("fault, failure", [
    ("429", "http_429"), ("reset-before-head", "reset"), ("reset-mid-body", "truncated"), ("close-mid-body", "truncated"),
    ("garbage-head", "protocol"), ("length-long", "truncated"), ("empty-ok", "no_text"), ("error-in-stream", "error_event"),
    ("slow-first-byte=9000", "timeout")])
def test_failures_are_told_apart(mock, fault, failure):
    result = bench(mock.url, "--requests", "6", "--concurrency", "2", "--model", "fault-" + fault, "--timeout", "0.3", code=1)
    assert result["failures"] == {failure: 6} and result["ok"] == 0


@pytest.mark.parametrize("fault, failure", [("no-done", "no_done"), ("error-in-stream", "error_event"), ("reset-mid-body", "truncated")])
def test_broken_streams(mock, fault, failure):
    result = bench(mock.url, "--stream", "--requests", "4", "--model", "fault-" + fault, code=1)
    assert result["failures"] == {failure: 4}


@pytest.mark.parametrize("fault", ["cut-segments", "cut-chunks", "sse-mixed", "sse-crlf", "sse-cr", "until-close", "close-after", "informational"])
def test_odd_but_right_streams_pass(mock, fault):
    result = bench(mock.url, "--stream", "--tokens", "8", "--requests", "6", "--model", "fault-" + fault)
    assert result["frames"] == {"got": 48, "lost": 0, "doubled": 0, "damaged": 0}


def test_missing_tokens_are_lost_frames(mock):
    result = bench(mock.url, "--stream", "--tokens", "10", "--requests", "3", code=1)
    assert result["frames"]["lost"] == 6 and result["failures"] == {"wrong_text": 3}


def test_nobody_listens():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        result = bench(f"http://127.0.0.1:{s.getsockname()[1]}", "--duration", "0.2", code=1)
    assert set(result["failures"]) == {"connect"} and 1 <= result["failed"] < 200


def test_a_rate_is_kept(mock):
    result = bench(mock.url, "--rate", "400", "--duration", "1", "--warmup", "0.2")
    assert 395 <= result["ok"] <= 401 and 380 < result["requests_per_s"] < 410


def test_a_stall_cannot_hide(mock):
    """A server that answers nothing for a while: closed loops see one slow request, an open loop all that were due."""
    with servers.start("mock", "--fault", "slow-first-byte=500*1") as stalling:
        result = bench(stalling.url, "--rate", "100", "--duration", "1", "--concurrency", "1")
    assert result["ok"] == 100
    assert result["latency_us"]["p50"] < 400000 and result["latency_us"]["p90"] > 350000
    over = [result["latency_us"][p] for p in ("p90", "p99", "max")]
    assert 480000 < over[2] < 650000 and over == sorted(over)


def test_what_could_not_be_sent_is_counted():
    with servers.start("mock", "--latency", "100") as slow:
        result = bench(slow.url, "--rate", "100", "--duration", "0.5", "--concurrency", "1", "--timeout", "0.3", code=1)
    assert result["ok"] + result["failed"] == 50
    assert 35 < result["failures"]["not_sent"] < 48


def test_cpu_of_a_tree_is_counted(mock):
    """The process is a shell, its child burns."""
    script = "import time\nwhile True: pass"
    with subprocess.Popen(["sh", "-c", "python3 -c \"$0\"; :", script], start_new_session=True) as shell:
        try:
            time.sleep(0.3)
            result = bench(mock.url, "--rate", "50", "--duration", "1", "--pid", str(shell.pid))
            assert result["process"]["processes"] == 2 and result["process"]["cpu_us"] > 200000
        finally:
            os.killpg(shell.pid, signal.SIGKILL)


def test_tls(mock, tmp_path):
    """Through a TLS front that only decrypts, with a certificate made here."""
    import ssl
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                    "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source, target):
        while piece := source.recv(65536):
            target.sendall(piece)

    def serve():
        while True:
            try:
                client = context.wrap_socket(listener.accept()[0], server_side=True)
            except ssl.SSLError:
                continue
            except OSError:
                return
            upstream = socket.create_connection((mock.host, mock.port))
            threading.Thread(target=pump, args=(upstream, client), daemon=True).start()
            threading.Thread(target=pump, args=(client, upstream), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    url = f"https://localhost:{listener.getsockname()[1]}"
    try:
        result = bench(url, "--ca", str(cert), "--requests", "20", "--concurrency", "2", "--stream", "--tokens", "8")
        assert result["ok"] == 20 and result["frames"]["got"] == 160
        distrusted = bench(url, "--requests", "2", "--concurrency", "1", "--timeout", "5", code=1)
        assert distrusted["failures"] == {"connect": 2}
    finally:
        listener.close()


def test_report_for_people(mock):
    done = servers.run("bench", "--url", mock.url, "--requests", "10", "--stream", "--pid", str(os.getpid()))
    for word in ("requests      10 ok, 0 failed", "latency", "first token", "gap", "frames        80 got, 0 lost", "CPU/request"):
        assert word in done.stdout
    failed = servers.run("bench", "--url", mock.url, "--requests", "2", "--model", "fault-401")
    assert failed.returncode == 1 and "http_401 2" in failed.stdout and "asked to fail with 401" in failed.stdout


@pytest.mark.parametrize("arguments, says", [
    ([], "give --url"),
    (["--url", "ftp://x"], "option '--url'"),
    (["--url", "http://127.0.0.1:1", "--concurrency", "0"], "'--concurrency': '0' is not a whole number from 1"),
    (["--url", "http://127.0.0.1:1", "--duration", "fast"], "'fast' is not a time in seconds"),
    (["--url", "http://127.0.0.1:1", "--duration", "0"], "never measures"),
    (["--url", "http://127.0.0.1:1", "--header", "nonsense"], "give 'Name: value'"),
    (["--url", "http://127.0.0.1:1", "--straem"], "did you mean '--stream'?"),
])
def test_wrong_usage(arguments, says):
    done = servers.run("bench", *arguments, env={"WEIR_URL": ""})
    assert done.returncode == 2 and says in done.stderr


def test_unknown_host():
    done = servers.run("bench", "--url", "http://no-such-host.invalid", "--requests", "1")
    assert done.returncode == 1 and "no-such-host.invalid" in done.stderr
