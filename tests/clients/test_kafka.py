"""The Kafka protocol with clients that Weir did not write: kcat (librdkafka 2.0)."""
import json, os, random, signal, socket, struct, subprocess, time

import brokers, pytest, servers


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    with brokers.start(tmp_path_factory.mktemp("kafka")) as server:
        yield server


def kcat(weir, *arguments, text=None):
    done = subprocess.run(["kcat", "-b", weir.kafka, *arguments], input=text, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def consume(weir, topic, *arguments, where="beginning"):
    """[(partition, offset, key, value)] of all there is."""
    out = kcat(weir, "-C", "-q", "-e", "-t", topic, "-o", where, "-f", "%p\t%o\t%k\t%s\n", *arguments)
    return [(int(p), int(o), k, v) for p, o, k, v in (line.split("\t") for line in out.splitlines())]


def test_the_broker_and_its_topics_are_listed(weir):
    seen = json.loads(kcat(weir, "-L", "-J"))
    assert [b["name"] for b in seen["brokers"]] == [weir.kafka]
    assert "weir.calls" in {t["topic"] for t in seen["topics"]}


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_what_is_produced_is_consumed(weir, codec):
    topic = f"made-{codec}"
    lines = [f"k{i}:value {i} {'x' * 200}" for i in range(1000)]
    kcat(weir, "-P", "-t", topic, "-p", "1", "-K", ":", "-z", codec, "-X", "batch.num.messages=100", text="\n".join(lines))
    found = consume(weir, topic)
    assert [(p, o) for p, o, _, _ in found] == [(1, i) for i in range(1000)]
    assert [f"{k}:{v}" for _, _, k, v in found] == lines
    # The same batches, by Weir's own reader.
    read = subprocess.run([servers.WEIR, "topic", "read", topic, "--partition", "1", "--limit", "1000", "--json"], capture_output=True,
                          text=True, env=os.environ | weir.env, check=True).stdout
    assert [json.loads(line)["value"] for line in read.splitlines()] == [line.split(":", 1)[1] for line in lines]


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_acknowledgements(weir, acks):
    topic = f"acks-{acks}"
    kcat(weir, "-P", "-t", topic, "-X", f"acks={acks}", text="\n".join(map(str, range(50))))
    deadline = time.monotonic() + 5
    while acks == "0" and len(consume(weir, topic)) < 50 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sorted(int(v) for _, _, _, v in consume(weir, topic)) == list(range(50))


def test_offsets_from_the_end_and_by_time(weir):
    for value in ("old", "new"):
        kcat(weir, "-P", "-t", "timed", "-p", "0", text=value)
        time.sleep(0.02)
        if value == "old":
            between = int(time.time() * 1000)
            time.sleep(0.02)
    assert [v for *_, v in consume(weir, "timed", "-p", "0", where="-1")] == ["new"]
    assert [v for *_, v in consume(weir, "timed", "-p", "0", where=f"s@{between}")] == ["new"]
    assert [v for *_, v in consume(weir, "timed", "-p", "0", where="s@1000")] == ["old", "new"]
    assert kcat(weir, "-Q", "-t", f"timed:0:{between}").strip() == "timed [0] offset 1"


def test_a_waiting_consumer_is_woken(weir):
    kcat(weir, "-P", "-t", "woken", "-p", "0", text="first")
    reader = subprocess.Popen(["kcat", "-b", weir.kafka, "-C", "-q", "-u", "-t", "woken", "-p", "0", "-o", "beginning", "-c", "2",
                               "-X", "fetch.wait.max.ms=20000"], stdout=subprocess.PIPE, text=True)
    try:
        assert reader.stdout.readline() == "first\n"
        time.sleep(0.3)
        start = time.monotonic()
        kcat(weir, "-P", "-t", "woken", "-p", "0", text="second")
        assert reader.stdout.readline() == "second\n"
        assert time.monotonic() - start < 5
        assert reader.wait(timeout=5) == 0
    finally:
        reader.kill()
        reader.wait()
        reader.stdout.close()


def test_records_longer_than_a_fetch_arrive(weir):
    random.seed(6)
    big = "".join(random.choices("abcdefgh", k=900_000))
    kcat(weir, "-P", "-t", "big", "-p", "0", text="\n".join([big, "small", big]))
    found = consume(weir, "big", "-X", "fetch.message.max.bytes=1000")
    assert [v for *_, v in found] == [big, "small", big]


def test_weirs_own_topics_are_read_and_not_written(weir):
    assert any(k == "key/admin" or "kind" in v for _, _, k, v in consume(weir, "weir.state")) or consume(weir, "weir.state") == []
    done = subprocess.run(["kcat", "-b", weir.kafka, "-P", "-t", "weir.calls", "-p", "0"], input="forged", capture_output=True, text=True,
                          timeout=30)
    assert "authorization failed" in done.stderr.lower()


# ---- Hostile peers ----

def connect(weir):
    host, port = weir.kafka.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=10)


def ask(connection, key, version, body, correlation=7):
    frame = struct.pack(">hhih", key, version, correlation, -1) + body
    connection.sendall(struct.pack(">i", len(frame)) + frame)


def answer(connection):
    def exactly(n):
        got = b""
        while len(got) < n:
            piece = connection.recv(n - len(got))
            if not piece:
                return None
            got += piece
        return got
    head = exactly(4)
    return head and exactly(struct.unpack(">i", head)[0])


def test_a_newer_apiversions_is_answered_in_version_0(weir):
    with connect(weir) as c:
        ask(c, 18, 99, b"\x00")
        correlation, error, count, key, lowest, highest = struct.unpack(">ihihhh", answer(c))
        assert (correlation, error, count, key, lowest) == (7, 35, 1, 18, 0) and highest >= 3


def test_requests_on_one_connection_are_answered_in_order(weir):
    with connect(weir) as c:
        for i in range(200):
            ask(c, 18, 0, b"", correlation=i)
        assert [struct.unpack(">i", answer(c)[:4])[0] for _ in range(200)] == list(range(200))


@pytest.mark.parametrize("what, sent, reason", [
    ("not Kafka", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "larger than its limit"),
    ("negative length", struct.pack(">ihhih", -5, 3, 1, 1, -1), "no Kafka request"),
    ("too long", struct.pack(">ihhih", 200 << 20, 3, 1, 1, -1), "larger than its limit"),
    ("truncated body", struct.pack(">ihhih", 10, 3, 1, 1, -1), "request is malformed"),
    ("an array of two thousand million", struct.pack(">ihhihi", 14, 3, 1, 1, -1, 0x7fffffff), "request is malformed"),
    ("unknown request", struct.pack(">ihhih", 10, 999, 0, 1, -1), "not served"),
    ("unknown version", struct.pack(">ihhihb", 11, 3, 77, 1, -1, 0), "not served"),
])
def test_a_wrong_frame_ends_its_own_connection(weir, what, sent, reason):
    before = weir.stderr.read_text().count(reason)
    with connect(weir) as good, connect(weir) as bad:
        bad.sendall(sent)
        assert answer(bad) is None
        ask(good, 18, 0, b"")
        assert answer(good)
    assert weir.stderr.read_text().count(reason) == before + 1


def test_records_survive_sigkill(tmp_path):
    with pytest.raises(AssertionError), brokers.start(tmp_path) as server:  # its exit code is not 0
        kcat(server, "-P", "-t", "kept", "-p", "0", text="\n".join(map(str, range(1000))))
        server.process.kill()
    assert server.process.returncode == -signal.SIGKILL
    with brokers.start(tmp_path) as server:
        assert [v for *_, v in consume(server, "kept")] == [str(i) for i in range(1000)]
