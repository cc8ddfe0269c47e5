"""A new program takes over from a running one: nothing is refused, nothing is lost, nothing is there twice."""
import collections, contextlib, json, os, pathlib, re, shutil, signal, socket, ssl, subprocess, tempfile, threading, time

import httpx, pytest

import gateway, servers
from gateway import ADMIN, SAY, provider, until
from test_tls import make


class Family:
    """A Weir, and whoever takes its place: a line `ready …` from each."""

    def __init__(self, directory, config, kafka="off", env=None, ca=None):
        self.directory, self.ca = directory, ca
        self.program = directory / "weir"
        shutil.copy(servers.WEIR, self.program)
        (directory / "weir.yaml").write_text(json.dumps(config))
        self.log = open(directory / "stderr", "w")
        self.process = subprocess.Popen([self.program, "serve", "--data", str(directory / "data"), "--listen", "127.0.0.1:0", "--kafka", kafka,
                                         "--key", ADMIN], stdout=subprocess.PIPE, stderr=self.log, cwd=directory, env=os.environ | (env or {}))
        self.pids = []
        self.url = self.await_ready()

    def await_ready(self):
        line = self.process.stdout.readline().decode()
        host, self.kafka, pid = re.search(r"ready http=(\S+) kafka=(\S+) pid=(\d+)", line).groups()
        self.pids.append(int(pid))
        return ("https://" if self.ca else "http://") + host

    def client(self):
        return httpx.Client(timeout=30, verify=ssl.create_default_context(cafile=self.ca) if self.ca else True)

    def said(self):
        return (self.directory / "stderr").read_text()

    def signal(self, number, who=-1):
        os.kill(self.pids[who], number)

    def alive(self, who):
        try:
            state = pathlib.Path(f"/proc/{self.pids[who]}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return False
        return state not in "ZX"

    def end(self):
        self.pids += [pid for pid in map(int, re.findall(r"step=started .*pid=(\d+)", self.said())) if pid not in self.pids]
        for who in range(len(self.pids)):
            if self.alive(who):
                self.signal(signal.SIGTERM, who)
        ended = until(lambda: not any(self.alive(who) for who in range(len(self.pids))), 20)
        for who in range(len(self.pids)):
            if self.alive(who):
                self.signal(signal.SIGKILL, who)
        self.process.wait(timeout=10)
        self.process.stdout.close()
        self.log.close()
        assert ended, self.said()

    def ids(self):
        """How often each call is on the log, read from its files when nobody writes any more."""
        done = subprocess.run([servers.WEIR, "topic", "read", "weir.calls", "--data", str(self.directory / "data"), "--json", "--limit", "1000000"],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return collections.Counter(re.findall(r'"id\\?":\s*\\?"([0-9a-f]{32})', done.stdout))


@contextlib.contextmanager
def family(mock, kafka="off", env=None, ca=None, **more):
    config = {"providers": {"mock": provider(mock.url)}, "models": {"m": "mock/m", "slow": "mock/fault-slow-first-byte=1500"},
              "listen": {"drain": "20s"}} | more
    with tempfile.TemporaryDirectory() as name:
        f = Family(pathlib.Path(name), config, kafka, env, ca)
        try:
            yield f
        except BaseException:
            print(f.said())
            raise
        finally:
            f.end()


@pytest.fixture(scope="module")
def mock():
    with servers.start("mock", "--tokens", "30", "--gap", "20") as server:
        yield server


class Load(threading.Thread):
    """One client that asks without a pause: on kept connections, or on a new one each time; streams or not."""

    def __init__(self, family, stop, stream, kept):
        super().__init__()
        self.family, self.url, self.stop, self.stream, self.kept = family, family.url, stop, stream, kept
        self.ids, self.wrong = [], []
        self.start()

    def ask(self, client):
        with client.stream("POST", self.url + "/v1/chat/completions", json={"model": "m", "messages": SAY, "stream": self.stream},
                           headers={"authorization": f"Bearer {ADMIN}"}) as answer:
            body = answer.read()
        good = answer.status_code == 200 and (b"[DONE]" in body if self.stream else b"choices" in body)
        if good:
            self.ids.append(answer.headers["x-weir-call-id"])
        else:
            self.wrong.append((answer.status_code, body[-200:]))

    def run(self):
        kept = self.family.client()
        while not self.stop.is_set():
            try:
                if self.kept:
                    self.ask(kept)
                else:
                    with self.family.client() as client:
                        self.ask(client)
            except httpx.HTTPError as error:
                self.wrong.append(repr(error))
        kept.close()


def under_load(f, what, clients=8, killed=False):
    stop = threading.Event()
    loads = [Load(f, stop, stream=i % 2 == 0, kept=i % 4 < 2) for i in range(clients)]
    time.sleep(0.7)
    try:
        what()
        time.sleep(0.7)
    finally:
        stop.set()
        for load in loads:
            load.join()
    # What a process that is killed was serving is lost to its clients; nothing else may be.
    wrong = [w for load in loads for w in load.wrong if not (killed and re.search("disconnected|reset|closed|incomplete", str(w)))]
    assert wrong == []
    return [i for load in loads for i in load.ids]


def test_nothing_is_refused_or_lost_under_load(mock):
    with family(mock) as f:
        def twice():
            for n in (1, 2):
                assert until(lambda: n == 1 or not f.alive(n - 2), 20), "the process before has to finish first"
                f.signal(signal.SIGUSR2)
                f.await_ready()
        asked = under_load(f, twice)
        assert len(set(f.pids)) == 3
        assert f.process.wait(timeout=20) == 0, "the first one has finished"
        f.end()
        on_log = f.ids()
        assert len(asked) > 20
        assert {i: on_log[i] for i in asked} == {i: 1 for i in asked}
        assert set(on_log.values()) == {1}


def begin_slow(f):
    """A stream that is under way while others come and go; its end: the whole answer."""
    answers = []

    def ask():
        with contextlib.suppress(httpx.RemoteProtocolError):  # its process is killed
            answers.append(httpx.post(f.url + "/v1/chat/completions", json={"model": "slow", "messages": SAY},
                                      headers={"authorization": f"Bearer {ADMIN}"}, timeout=30))
    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.4)
    return lambda: (thread.join(), answers[0])[1]


def one_call(f):
    return httpx.post(f.url + "/v1/chat/completions", json={"model": "m", "messages": SAY}, headers={"authorization": f"Bearer {ADMIN}"}, timeout=30)


@pytest.mark.parametrize("how", ["not a program", "ends at once", "wrong configuration"])
def test_a_successor_that_does_not_start_changes_nothing(mock, how):
    with family(mock) as f:
        def spoil():
            f.program.unlink()
            if how == "wrong configuration":
                shutil.copy(servers.WEIR, f.program)
                (f.directory / "weir.yaml").write_text("lsiten: x")
            else:
                f.program.write_text("#!/bin/sh\nexit 1\n" if how == "ends at once" else "no program")
                f.program.chmod(0o755)
            f.signal(signal.SIGUSR2)
            assert until(lambda: "step=refused" in f.said(), 10), f.said()
        asked = under_load(f, spoil, clients=4)
        assert f.process.poll() is None
        f.end()
        on_log = f.ids()
        assert {i: on_log[i] for i in asked} == {i: 1 for i in asked}


def test_when_the_successor_is_killed_another_takes_its_place(mock):
    with family(mock) as f:
        answer = begin_slow(f)
        f.signal(signal.SIGUSR2)
        f.await_ready()
        f.signal(signal.SIGKILL)
        slow = answer()
        assert slow.status_code == 200
        f.await_ready()
        after = one_call(f)
        assert after.status_code == 200
        f.process.wait(timeout=20)
        f.end()
        on_log = f.ids()
        assert on_log[slow.headers["x-weir-call-id"]] == 1 and on_log[after.headers["x-weir-call-id"]] == 1


def test_a_successor_that_is_killed_early_is_replaced_too(mock):
    """At any moment between its start and its first record: whoever serves in the end, each call is there once."""
    with family(mock) as f:
        asked = []
        for wait in (0.002, 0.01, 0.03):
            before = len(re.findall("step=started", f.said()))

            def strike():
                f.signal(signal.SIGUSR2)
                assert until(lambda: len(re.findall("step=started", f.said())) > before, 10)
                time.sleep(wait)
                pid = int(re.findall(r"step=started .*pid=(\d+)", f.said())[-1])
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                assert until(lambda: re.search("step=(refused|done)", f.said()), 20)
            asked += under_load(f, strike, clients=4, killed=True)
            if "step=done" in f.said():
                break
        if "step=done" in f.said():
            while f.process.poll() is None and len(f.pids) < 5:
                f.await_ready()
                if f.alive(-1):
                    break
        f.end()
        on_log = f.ids()
        assert {i: on_log[i] for i in asked} == {i: 1 for i in asked}


def test_when_the_old_one_is_killed_the_new_one_goes_on(mock):
    with family(mock) as f:
        begin_slow(f)
        f.signal(signal.SIGUSR2)
        f.await_ready()
        assert f.alive(0), "its stream is under way"
        f.signal(signal.SIGKILL, 0)
        f.process.wait()
        after = one_call(f)
        assert after.status_code == 200
        f.signal(signal.SIGUSR2)
        f.await_ready()
        again = one_call(f)
        f.end()
        on_log = f.ids()
        assert on_log[after.headers["x-weir-call-id"]] == 1 and on_log[again.headers["x-weir-call-id"]] == 1


def upgrade(f, *arguments):
    return servers.run("upgrade", "--data", str(f.directory / "data"), *arguments)


def check_all_on_log(f, asked):
    f.end()
    on_log = f.ids()
    assert len(asked) > 10 and {i: on_log[i] for i in asked} == {i: 1 for i in asked}


def test_by_command(mock):
    with family(mock) as f:
        def twice():
            table = upgrade(f)
            assert table.returncode == 0 and "serves in the place of weir" in table.stdout, table.stderr
            f.await_ready()
            assert until(lambda: not f.alive(0), 20)
            done = upgrade(f, "--json")
            assert done.returncode == 0, done.stderr
            f.await_ready()
            said = json.loads(done.stdout)
            assert [said["pid_before"], said["pid"]] == f.pids[1:] and said["version"] == said["version_before"]
        asked = under_load(f, twice, clients=4)
        f.program.unlink()
        f.program.write_text("no program")
        f.program.chmod(0o755)
        refused = upgrade(f)
        assert refused.returncode == 1 and f"pid {f.pids[-1]} serves on" in refused.stderr
        assert one_call(f).status_code == 200
        check_all_on_log(f, asked)
        gone = upgrade(f)
        assert gone.returncode == 1 and "no server runs on the data folder" in gone.stderr
    assert servers.run("upgrade", "--timeout", "never").returncode == 2
    assert servers.run("upgrade", "--data", "/nowhere").returncode == 1


def test_a_note_of_a_process_that_was_is_not_believed(mock, tmp_path):
    (tmp_path / "server").write_text(f"pid={os.getpid()} started=1 version=0 refused=0\n")
    gone = servers.run("upgrade", "--data", str(tmp_path))
    assert gone.returncode == 1 and "no server runs" in gone.stderr  # and this process was not signalled


def test_with_tls_and_every_record_on_disk(mock, tmp_path):
    cert, key = make(tmp_path, "server")
    with family(mock, ca=str(cert), listen={"drain": "20s", "tls": {"cert": str(cert), "key": str(key)}}, log={"durability": "sync"}) as f:
        def once():
            done = upgrade(f)
            assert done.returncode == 0, done.stderr
            f.await_ready()
        asked = under_load(f, once, clients=4)
        assert f.process.wait(timeout=20) == 0
        check_all_on_log(f, asked)


def test_with_kafka_clients(mock):
    """They lose their connections once, come back, and see each record once, in order."""
    import confluent_kafka
    with family(mock, kafka="127.0.0.1:0") as f:
        address, sent = f.kafka, []
        producer = confluent_kafka.Producer({"bootstrap.servers": address, "enable.idempotence": True, "reconnect.backoff.max.ms": 200})
        consumer = confluent_kafka.Consumer({"bootstrap.servers": address, "group.id": "g", "auto.offset.reset": "earliest", "reconnect.backoff.max.ms": 200})

        def produce(count):
            for _ in range(count):
                sent.append(str(len(sent)).encode())
                producer.produce("t", sent[-1], partition=0)
                producer.poll(0)
                time.sleep(0.002)
        produce(200)
        assert producer.flush(20) == 0
        consumer.subscribe(["t"])
        seen = []

        def read_on():
            message = consumer.poll(0.1)
            if message and not message.error():
                seen.append(message.value())
            return len(seen) >= len(sent)
        assert until(read_on, 20)
        consumer.commit(asynchronous=False)  # its place in the group is lost with the old process: it goes on from here
        done = upgrade(f)
        assert done.returncode == 0, done.stderr
        f.await_ready()
        assert f.kafka == address
        produce(200)
        assert producer.flush(30) == 0 and until(read_on, 30) and seen == sent
        consumer.close()


def test_the_service_manager_is_told(mock):
    """What systemd hears with Type=notify and NotifyAccess=all, by a socket in its place."""
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name + "/notify")
        manager.settimeout(20)
        with family(mock, env={"NOTIFY_SOCKET": name + "/notify"}) as f:
            assert manager.recv(4096) == b"MAINPID=%d\nREADY=1\n" % f.pids[0]
            assert upgrade(f).returncode == 0
            f.await_ready()
            assert manager.recv(4096) == b"MAINPID=%d\nREADY=1\n" % f.pids[1]
