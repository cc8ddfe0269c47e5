"""log.kafka: Weir's topics on a real Apache Kafka, with several Weirs, brokers that go and come back, and Weirs that are killed."""
import concurrent.futures, contextlib, json, signal, subprocess, threading, time

import httpx, pytest

import apache_kafka, gateway, servers
from gateway import ADMIN, SAY

CALLS = "weir.calls"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    with apache_kafka.Kafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="module")
def mock():
    with servers.start("mock", "--tokens", "3") as server:
        yield server


class Weir:
    """A Weir whose data folder outlives it, so that it can be killed and started again."""

    def __init__(self, directory, kafka, mock, **log):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "weir.yaml").write_text(json.dumps({
            "log": {"kafka": kafka.address} | log, "local": {"dir": str(directory / "none")},
            "providers": {"up": gateway.provider(mock.url, models=["m"])}}))

    def start(self, *arguments):
        with open(self.directory / "stderr", "a") as stderr:
            self.process = subprocess.Popen(
                [servers.WEIR, "serve", "--config", str(self.directory / "weir.yaml"), "--data", str(self.directory / "data"),
                 "--listen", "127.0.0.1:0", "--key", ADMIN, *arguments], stdout=subprocess.PIPE, stderr=stderr, text=True)
        ready = self.process.stdout.readline()
        assert ready.startswith("ready "), self.said()
        self.url = servers.Server(self.process, ready).url
        self.http = httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {ADMIN}"}, timeout=30)
        return self

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        code = self.process.wait(30)
        self.process.stdout.close()
        self.http.close()
        assert sig == signal.SIGKILL or code == 0, self.said()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()

    def said(self):
        return (self.directory / "stderr").read_text()

    def call(self, user=""):
        answer = self.http.post("/v1/chat/completions", json={"model": "up/m", "messages": SAY, "user": user})
        return answer.status_code, answer.headers.get("x-weir-call-id"), answer

    def records(self, topic=CALLS, **params):
        answer = self.http.get(f"/api/v1/topics/{topic}/records", params={"limit": 1000} | params)
        assert answer.status_code == 200, answer.text
        return answer.json()["records"]

    def all_keys(self, topic=CALLS):
        keys, at = [], 0
        while page := self.records(topic, **{"from": at}):
            keys += [record["key"] for record in page]
            at = page[-1]["offset"] + 1
        return keys

    def cluster(self):
        return self.http.get("/api/v1/status").json()["log"]["cluster"]

    def drained(self):
        return gateway.until(lambda: self.cluster()["reached"] and not self.cluster()["spool_records"], wait=20)


def keys_on(kafka, topic=CALLS):
    """The keys on the cluster, by another client than Weir's."""
    done = subprocess.run(["kcat", "-C", "-q", "-e", "-b", kafka.address, "-t", topic, "-f", "%k\n"], capture_output=True, text=True, timeout=60)
    return done.stdout.split()


def test_two_weirs_share_what_is_on_the_cluster(kafka, mock, tmp_path):
    with Weir(tmp_path / "a", kafka, mock) as a, Weir(tmp_path / "b", kafka, mock) as b:
        ids = []
        for i in range(6):
            status, call, _ = (a, b)[i % 2].call()
            assert status == 200
            ids.append(call)
            # Read your writes, on the Weir that answered.
            assert (a, b)[i % 2].http.get("/api/v1/calls/" + call).status_code == 200
        assert gateway.until(lambda: len(b.records()) == 6 and len(a.records()) == 6)
        assert a.records() == b.records()
        assert [record["key"] for record in a.records()] == ids == keys_on(kafka)
        assert [record["offset"] for record in a.records()] == list(range(6))
        assert [call["id"] for call in b.http.get("/api/v1/calls").json()["calls"]] == ids[::-1]
        # Positions: by time and by offset they are the same on both.
        middle = a.records()[3]["timestamp_ms"]
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(middle / 1000)) + f".{middle % 1000:03}Z"
        assert a.records(**{"from": stamp})[0]["offset"] == b.records(**{"from": stamp})[0]["offset"] <= 3
        # A tail on one sees what the other appends.
        with concurrent.futures.ThreadPoolExecutor() as pool:
            tail = pool.submit(a.records, **{"from": "end", "wait_ms": 5000})
            time.sleep(0.2)
            status, call, _ = b.call()
            assert [record["key"] for record in tail.result()] == [call]
        assert servers.run("call", "list", "--data", str(tmp_path / "a/data")).stdout.count("\n") >= 7
        config = kafka_config(kafka, CALLS)
        assert config["cleanup.policy"] == "delete" and int(config["max.message.bytes"]) >= 16 << 20


def kafka_config(kafka, topic):
    from confluent_kafka.admin import AdminClient, ConfigResource
    resource = ConfigResource("topic", topic)
    admin = AdminClient({"bootstrap.servers": kafka.address})
    found = admin.describe_configs([resource])[resource].result(10)
    return {name: entry.value for name, entry in found.items()}


def test_first_starts_at_once_agree_on_one_admin_key(kafka, mock, tmp_path):
    weirs = []
    for name in "ab":
        one = Weir(tmp_path / name, kafka, mock)
        one.process = subprocess.Popen(
            [servers.WEIR, "serve", "--config", str(one.directory / "weir.yaml"), "--data", str(one.directory / "data"), "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=open(one.directory / "stderr", "w"), text=True)
        weirs.append(one)
    urls = [servers.Server(one.process, one.process.stdout.readline()).url for one in weirs]
    shown = [line.split("key=")[1].split()[0] for one in weirs for line in one.said().splitlines() if "event=first_key" in line and " key=" in line]
    assert len(shown) == 1
    for url in urls:
        assert httpx.get(url + "/api/v1/calls", headers={"authorization": "Bearer " + shown[0]}).status_code == 200
    for one in weirs:
        one.process.terminate()
        assert one.process.wait(20) == 0
        one.process.stdout.close()


def test_a_broker_killed_under_load_loses_and_repeats_nothing(kafka, mock, tmp_path):
    acknowledged, failed, over = [], [], threading.Event()
    earlier = len(keys_on(kafka))

    def load(weir):
        while not over.is_set():
            status, call, answer = weir.call()
            (acknowledged if status == 200 else failed).append(call or answer.text)
            time.sleep(0.002)

    with Weir(tmp_path / "a", kafka, mock) as a, Weir(tmp_path / "b", kafka, mock) as b:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            loads = [pool.submit(load, weir) for weir in (a, b, a)]
            time.sleep(1)
            kafka.stop(kill=True)
            assert gateway.until(lambda: not a.cluster()["reached"] and not b.cluster()["reached"], wait=10)
            before = len(acknowledged)
            assert gateway.until(lambda: len(acknowledged) > before + 50), "calls stand while brokers are away"
            kafka.start()
            assert gateway.until(lambda: a.cluster()["reached"] and b.cluster()["reached"], wait=20)
            over.set()
            for one in loads:
                one.result(30)
        assert not failed and len(acknowledged) > 100
        assert a.drained() and b.drained()
        on_cluster = keys_on(kafka)
        assert sorted(on_cluster[earlier:]) == sorted(acknowledged), "each once"
        assert gateway.until(lambda: a.all_keys() == b.all_keys() == on_cluster, wait=10)


def test_a_killed_weir_sends_what_it_has_not_sent_and_nothing_twice(kafka, mock, tmp_path):
    acknowledged = []
    weir = Weir(tmp_path / "a", kafka, mock)
    before = len(keys_on(kafka))
    for _ in range(4):
        weir.start()
        with contextlib.suppress(httpx.HTTPError):
            killer = threading.Timer(0.4, weir.process.kill)
            killer.start()
            while True:
                status, call, _ = weir.call()
                assert status == 200
                acknowledged.append(call)
        killer.join()
        weir.stop(signal.SIGKILL)
    with weir:
        assert weir.drained()
        mine = keys_on(kafka)[before:]
        assert len(mine) == len(set(mine)), "none twice"
        assert set(acknowledged) <= set(mine), "none lost"
        assert [key for key in mine if key in set(acknowledged)] == acknowledged, "in order"


def test_started_while_no_broker_is_there(kafka, mock, tmp_path):
    earlier = len(keys_on(kafka))
    weir = Weir(tmp_path / "a", kafka, mock, spool="4MiB")
    with weir:
        first = weir.call()[1]
    kafka.stop()
    begun = time.monotonic()
    with weir:
        assert time.monotonic() - begun < 5
        assert [record["key"] for record in weir.records(**{"from": earlier})] == [first]
        waiting = [weir.call()[1] for _ in range(20)]
        assert weir.cluster()["spool_records"] == 20 and not weir.cluster()["reached"]
        assert "weir_cluster_reached 0" in weir.http.get("/metrics").text
        # The spool's bound: then calls are refused, as on_full says, and served again when it has drained.
        answers = [weir.call(user="x" * 200_000) for _ in range(40)]
        full = [answer for status, _, answer in answers if status == 507]
        assert full and full[0].json()["error"]["code"] == "spool_full"
        waiting += [call for status, call, _ in answers if status == 200]
    # Nothing is lost by a stop without brokers; a start with them sends it all, in order.
    kafka.start()
    with weir:
        assert weir.drained()
        assert weir.call()[0] == 200
        assert keys_on(kafka)[earlier:-1] == [first, *waiting]


def test_a_folder_belongs_to_one_kind_of_log(kafka, mock, tmp_path):
    with Weir(tmp_path / "a", kafka, mock):
        pass
    refused = servers.run("serve", "--data", str(tmp_path / "a/data"), "--listen", "127.0.0.1:0", "--kafka", "off")
    assert refused.returncode != 0 and "set log.kafka to its brokers" in refused.stderr
    (tmp_path / "b").mkdir()
    embedded = ["serve", "--data", str(tmp_path / "b/data"), "--listen", "127.0.0.1:0"]
    with servers.start(*embedded, "--kafka", "off", cwd=tmp_path):
        pass
    refuses = Weir(tmp_path / "b", kafka, mock)
    with pytest.raises(AssertionError, match="has an embedded log already .topic weir.state."):
        refuses.start()
    none = Weir(tmp_path / "c", apache_kafka_at("127.0.0.1:1"), mock)
    with pytest.raises(AssertionError, match="no broker of 127.0.0.1:1 answers"):
        none.start()


def apache_kafka_at(address):
    return type("Nowhere", (), {"address": address})
