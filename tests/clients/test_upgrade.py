"""A new program takes over from a running one: nothing is refused, nothing is lost, nothing is there twice."""
import collections, contextlib, json, os, pathlib, re, shutil, signal, subprocess, tempfile, threading, time

import httpx, pytest

import gateway, servers
from gateway import ADMIN, SAY, provider, until


class Family:
    """A Weir, and whoever takes its place: a line `ready …` from each."""

    def __init__(self, directory, config):
        self.directory = directory
        self.program = directory / "weir"
        shutil.copy(servers.WEIR, self.program)
        (directory / "weir.yaml").write_text(json.dumps(config))
        self.log = open(directory / "stderr", "w")
        self.process = subprocess.Popen([self.program, "serve", "--data", str(directory / "data"), "--listen", "127.0.0.1:0", "--kafka", "off",
                                         "--key", ADMIN], stdout=subprocess.PIPE, stderr=self.log, cwd=directory)
        self.pids = []
        self.url = self.await_ready()

    def await_ready(self):
        line = self.process.stdout.readline().decode()
        host, pid = re.search(r"ready http=(\S+) kafka=\S+ pid=(\d+)", line).groups()
        self.pids.append(int(pid))
        return "http://" + host

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
def family(mock, **more):
    config = {"providers": {"mock": provider(mock.url)}, "models": {"m": "mock/m", "slow": "mock/fault-slow-first-byte=1500"},
              "listen": {"drain": "20s"}} | more
    with tempfile.TemporaryDirectory() as name:
        f = Family(pathlib.Path(name), config)
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

    def __init__(self, url, stop, stream, kept):
        super().__init__()
        self.url, self.stop, self.stream, self.kept = url, stop, stream, kept
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
        kept = httpx.Client(timeout=30)
        while not self.stop.is_set():
            try:
                if self.kept:
                    self.ask(kept)
                else:
                    with httpx.Client(timeout=30) as client:
                        self.ask(client)
            except httpx.HTTPError as error:
                self.wrong.append(repr(error))
        kept.close()


def under_load(f, what, clients=8, killed=False):
    stop = threading.Event()
    loads = [Load(f.url, stop, stream=i % 2 == 0, kept=i % 4 < 2) for i in range(clients)]
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
