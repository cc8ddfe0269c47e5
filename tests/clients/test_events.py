"""Topics followed by server-sent events: what arrives, whose it is, slow readers, limits, the server's end."""
import contextlib, json, socket, time

import httpx, pytest

import gateway, servers
from gateway import ADMIN, SAY, key_entry, provider, until

USER = "user-key-000000000000000000"


@pytest.fixture(scope="module")
def weir():
    with servers.start("mock", "--tokens", "8") as mock:
        config = {"providers": {"mock": provider(mock.url)}, "keys": [key_entry("user", USER)]}
        with gateway.serve(config) as server:
            yield server


@contextlib.contextmanager
def follow(weir, key=ADMIN, headers=None, **query):
    with httpx.stream("GET", weir.url + "/api/v1/events", params=query, timeout=20,
                      headers={"authorization": f"Bearer {key}"} | (headers or {})) as answer:
        if answer.status_code == 200:
            assert answer.headers["content-type"] == "text/event-stream"
        yield answer


def events(answer):
    event = {}
    for line in answer.iter_lines():
        if not line and "data" in event:
            yield event.get("event"), json.loads(event["data"]), event.get("id")
        if not line:
            event = {}
        elif not line.startswith(":"):
            name, value = line.split(": ", 1)
            event[name] = value


def call(weir, model, key=ADMIN, say="Hello there"):
    assert weir.post({"model": "mock/" + model, "messages": [{"role": "user", "content": say}]}, key=key).status_code == 200


def test_what_arrives_is_told_at_once(weir):
    call(weir, "before")
    with follow(weir, topic="weir.calls") as answer:
        arriving = events(answer)
        time.sleep(0.3)
        begun = time.monotonic()
        call(weir, "after")
        kind, record, offset = next(arriving)
        assert time.monotonic() - begun < 2
        assert (kind, record["value"]["model"], str(record["offset"])) == ("record", "mock/after", offset)
        assert record["value"]["request"]["messages"][0]["content"] == "Hello there"
    with follow(weir, topic="weir.calls", headers={"last-event-id": str(int(offset) - 1)}, bodies=0) as answer:
        _, again, _ = next(events(answer))
        assert again["offset"] == record["offset"]
        assert "request" not in again["value"] and "response" not in again["value"] and again["value"]["usage"] == record["value"]["usage"]


def test_a_key_sees_its_own(weir):
    with follow(weir, key=USER, topic="weir.calls") as answer:
        time.sleep(0.3)
        call(weir, "not-mine")
        call(weir, "mine", key=USER)
        assert next(events(answer))[1]["value"]["model"] == "mock/mine"
    for topic, key, status in (("weir.state", USER, 403), ("none", ADMIN, 404), ("weir.calls", "wrong", 401)):
        with follow(weir, key=key, topic=topic) as answer:
            assert answer.status_code == status
    with follow(weir, topic="weir.calls", **{"from": "never"}) as answer:
        assert answer.status_code == 400


def test_json_of_many_lines_is_one_event(weir):
    written = weir.post_to("/api/v1/topics/lines/records", '{\n "a": [1,\r\n 2]\n}')
    assert written.status_code == 200
    with follow(weir, topic="lines", **{"from": "start"}) as answer:
        assert next(events(answer))[1]["value"] == {"a": [1, 2]}


def test_latest_leaves_out_what_nobody_can_read(weir):
    for n in range(30):
        call(weir, f"many-{n}")
    with follow(weir, topic="weir.calls", latest=5, **{"from": "start"}) as answer:
        arriving = events(answer)
        kind, gap, _ = next(arriving)
        assert kind == "gap" and gap["skipped"] >= 25
        assert [next(arriving)[1]["value"]["model"] for _ in range(5)] == [f"mock/many-{n}" for n in range(25, 30)]


def test_a_reader_that_takes_nothing_costs_nothing(weir):
    """It is not read for, and others are served meanwhile; then it gets all."""
    big = "x" * 200000
    with socket.create_connection((weir.host, weir.port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.sendall(f"GET /api/v1/events?topic=weir.calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\r\n".encode())
        time.sleep(0.3)
        for _ in range(60):
            call(weir, "big", say=big)
        got, until_s = b"", time.monotonic() + 15
        slow.settimeout(3)
        while got.count(b"event: record") < 60 and time.monotonic() < until_s:
            got += slow.recv(1 << 20)
        assert got.count(b"event: record") == 60


def test_there_are_only_so_many(weir):
    time.sleep(1)  # those of before have left
    with contextlib.ExitStack() as stack:
        request = f"GET /api/v1/events?topic=weir.calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\r\n".encode()
        sockets = [stack.enter_context(socket.create_connection((weir.host, weir.port))) for _ in range(256)]
        for s in sockets:
            s.sendall(request)
        assert all(s.recv(12) == b"HTTP/1.1 200" for s in sockets)
        with follow(weir, topic="weir.calls") as answer:
            assert answer.status_code == 503 and "256" in answer.read().decode()

    def again():
        with follow(weir, topic="weir.calls") as answer:
            return answer.status_code == 200
    assert until(again, 5), "who left makes room"


def test_followers_do_not_hold_the_end_up():
    with servers.start("mock") as mock, gateway.serve({"providers": {"mock": provider(mock.url)}}) as weir:
        with follow(weir, topic="weir.calls") as answer:
            begun = time.monotonic()
            weir.server.process.terminate()
            assert list(events(answer)) == []
            assert weir.server.process.wait(10) == 0 and time.monotonic() - begun < 5
