"""Alerts: conditions over real calls, told to a real webhook and a real mail server within seconds."""
import base64, contextlib, http.server, json, os, signal, socketserver, ssl, subprocess, tempfile, threading, time

import httpx, pytest

import gateway, servers
from gateway import ADMIN, SAY, provider, until


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.seen.append((self.path, dict(self.headers), json.loads(body), time.monotonic()))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def hook():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.seen, server.statuses = [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


class Mail(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a client needs; STARTTLS where the server has a certificate."""

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self):
        to, self.said = [], []
        self.say("220 sink")
        while line := self.rfile.readline().decode().strip():
            self.said.append(line)
            verb = line.split()[0].upper()
            if verb == "EHLO":
                tls = self.server.tls and not isinstance(self.connection, ssl.SSLSocket)
                for extension in [*(["STARTTLS"] if tls else []), "AUTH PLAIN"]:
                    self.say("250-" + extension)
                self.say("250 8BITMIME")
            elif verb == "STARTTLS":
                self.say("220 go on")
                self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            elif verb == "AUTH":
                good = base64.b64decode(line.split()[2]) == b"\0weir\0mail-secret"
                self.say("235 yes" if good else "535 no")
            elif verb == "RCPT":
                to.append(line.split("<")[1].rstrip(">"))
                self.say("250 yes")
            elif verb == "DATA":
                self.say("354 speak")
                text = b""
                while not text.endswith(b"\r\n.\r\n"):
                    text += self.rfile.readline()
                self.server.seen.append((to, text.decode(), isinstance(self.connection, ssl.SSLSocket), self.said))
                self.say("250 taken")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 yes")


@contextlib.contextmanager
def mail(tls=None):
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
    server = Server(("127.0.0.1", 0), Mail)
    server.seen, server.tls = [], tls
    server.url = f"smtp://localhost:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def certificate(directory):
    key, cert = directory / "key.pem", directory / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


def events(weir, **wanted):
    records = weir.get("/api/v1/topics/weir.alerts/records", limit=1000).json()["records"]
    return [r["value"] for r in records if wanted.items() <= r["value"].items()]


def alert(weir, name):
    return next(a for a in weir.get("/api/v1/alerts").json()["alerts"] if a["name"] == name)


def command(weir, *words):
    return servers.run(*words, "--url", weir.url, "--key", ADMIN)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    tls, cert = certificate(tmp_path_factory.mktemp("tls"))
    with servers.start("mock", "--tokens", "8") as mock, hook() as hooked, mail(tls) as mailed:
        config = {
            "providers": {"mock": provider(mock.url)}, "prices": {"mock/dear": {"input": 1000000, "output": 1000000}},
            "notify": {"hook": {"webhook": hooked.url + "/json", "internal": True, "headers": {"x-team": "search"}},
                       "slack": {"webhook": hooked.url + "/slack", "form": "slack", "internal": True},
                       "outside": {"webhook": hooked.url + "/never"},
                       "mail": {"smtp": mailed.url, "from": "weir@example.com", "to": ["ops@example.com", "ada@example.com"],
                                "user": "weir", "password": "mail-secret"}},
            "alerts": {"errors": {"when": "error_rate > 20%", "over": "10m", "by": "model", "min_calls": 3, "to": ["hook", "slack", "mail"]},
                       "spend": {"when": "cost > 20", "over": "1d", "by": "user", "to": ["hook"]},
                       "said": {"when": "calls > 0", "over": "1m", "where": {"q": "<secret plan>"}, "to": ["hook"]},
                       "guarded": {"when": "calls > 1000000", "to": ["outside"]}}}
        with gateway.serve(config, "--ca", str(cert)) as server:
            server.hooked, server.mailed, server.config = hooked, mailed, config
            yield server


def fail(weir, model="fault-500", count=4):
    for _ in range(count):
        assert weir.post({"model": "mock/" + model, "messages": SAY}).status_code >= 400
    return time.monotonic()


def told(weir, **wanted):
    return [(path, body) for path, _, body, _ in list(weir.hooked.seen) if path == "/json" and wanted.items() <= body.items()]


def test_errors_are_told_within_five_seconds(world):
    failed = fail(world)
    assert until(lambda: told(world, alert="errors", state="firing"), 5)
    path, headers, body, when = next(s for s in world.hooked.seen if s[2].get("alert") == "errors")
    assert when - failed < 5
    assert (body["group"], body["by"], body["when"]) == ("mock/fault-500", "model", "error_rate > 20%") and body["value"] == 1
    assert {k.lower(): v for k, v in headers.items()}["x-team"] == "search"
    assert until(lambda: [s for s in world.hooked.seen if s[0] == "/slack"], 5)
    slack = next(s[2] for s in world.hooked.seen if s[0] == "/slack")
    assert slack == {"text": ":red_circle: errors: error_rate of model mock/fault-500 is 100 % over 10m (error_rate &gt; 20%)"}


def test_the_mail_goes_over_tls_with_a_password(world):
    assert until(lambda: world.mailed.seen, 5)
    to, text, secure, said = world.mailed.seen[0]
    assert to == ["ops@example.com", "ada@example.com"] and secure
    assert "Subject: [Weir] errors: error_rate of model mock/fault-500 is 100 % over 10m" in text
    assert '"state":"firing"' in text and text.index("\r\n\r\n") > 0


def test_it_is_said_once(world):
    before = len(world.hooked.seen)
    fail(world, count=3)
    time.sleep(1.5)
    assert len(world.hooked.seen) == before
    assert len(events(world, alert="errors", group="mock/fault-500", state="firing")) == 1


def test_spend_of_a_user(world):
    for user, count in (("ada", 1), ("bob", 3)):
        for _ in range(count):
            assert world.post({"model": "mock/dear", "messages": SAY, "user": user}).status_code == 200
    assert until(lambda: told(world, alert="spend"), 5)
    assert [body["group"] for _, body in told(world, alert="spend")] == ["bob"]
    assert until(lambda: len(world.calls(user="bob")) == 3)
    spent = sum(float(c["cost"]["amount"]) for c in world.calls(user="bob"))
    # Told at the call that passed the bound, or at the one after it.
    assert told(world, alert="spend")[0][1]["value"] in (pytest.approx(spent * 2 / 3), pytest.approx(spent))


def test_words_are_watched(world):
    assert not told(world, alert="said")
    world.post({"model": "mock/m", "messages": [{"role": "user", "content": "This is my <SECRET plan>"}]})
    assert until(lambda: told(world, alert="said"), 5)


def test_an_address_inside_is_not_dialled(world):
    answer = command(world, "alert", "test", "guarded")
    assert answer.returncode == 1 and "internal: true" in answer.stdout
    assert not [s for s in world.hooked.seen if s[0] == "/never"]


def test_test_messages(world):
    before = len(world.hooked.seen)
    answer = command(world, "alert", "test", "errors")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert [line.split() for line in answer.stdout.splitlines()] == [["hook", "told"], ["slack", "told"], ["mail", "told"]]
    assert [s[2].get("state") for s in world.hooked.seen[before:] if s[0] == "/json"] == ["test"]
    assert "Test of errors" in world.mailed.seen[-1][1]
    assert command(world, "alert", "test", "nothing").returncode == 1


def test_silence(world):
    assert command(world, "alert", "silence", "errors", "--for", "1h").returncode == 0
    assert alert(world, "errors")["silenced_until"]
    fail(world, "fault-503")
    assert until(lambda: events(world, alert="errors", group="mock/fault-503"), 5)[0]["silenced"] is True
    time.sleep(0.5)
    assert not told(world, alert="errors", group="mock/fault-503")
    listed = command(world, "alert", "list")
    assert "errors" in listed.stdout and "silenced" in listed.stdout and "mock/fault-503" in listed.stdout
    assert command(world, "alert", "silence", "errors", "--off").returncode == 0
    assert until(lambda: told(world, alert="errors", group="mock/fault-503"), 5), "it still holds, so it is told now"
    for wrong in ("", "x", "0s", "9999d"):
        assert httpx.post(world.url + "/api/v1/alerts/errors/silence", params={"for": wrong},
                          headers={"authorization": f"Bearer {ADMIN}"}).status_code == 400


def test_a_webhook_that_fails_is_tried_again(world):
    world.hooked.statuses[:] = [500, 503]
    fail(world, "fault-502")
    assert until(lambda: len(told(world, alert="errors", group="mock/fault-502")) >= 2, 8)
    world.hooked.statuses[:] = []


def test_state_survives_a_reload_and_a_restart(tmp_path):
    with servers.start("mock", "--tokens", "8") as mock, hook() as hooked:
        config = {"providers": {"mock": provider(mock.url)}, "notify": {"hook": {"webhook": hooked.url + "/json", "internal": True}},
                  "alerts": {"errors": {"when": "errors > 2", "over": "10m", "to": ["hook"]},
                             "calm": {"when": "calls > 1", "over": "10s", "to": ["hook"]}}}
        (tmp_path / "weir.yaml").write_text(json.dumps(config))
        arguments = ("serve", "--config", str(tmp_path / "weir.yaml"), "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0",
                     "--kafka", "off", "--key", ADMIN)

        def seen(name, state):
            return [s for s in hooked.seen if s[2]["alert"] == name and s[2]["state"] == state]
        with open(tmp_path / "stderr", "a") as log:
            with servers.start(*arguments, stderr=log, cwd=tmp_path) as server:
                weir = gateway.Gateway(server, tmp_path)
                fail(weir)
                assert until(lambda: seen("errors", "firing") and seen("calm", "firing"), 5)
                server.process.send_signal(signal.SIGHUP)
                assert until(lambda: "result=done" in weir.log_path.read_text(), 5)
                assert until(lambda: [g for g in alert(weir, "errors")["groups"] if g["firing"]], 5)
            with servers.start(*arguments, stderr=log, cwd=tmp_path) as server:
                weir = gateway.Gateway(server, tmp_path)
                assert until(lambda: [g for g in alert(weir, "errors")["groups"] if g["firing"] and g["value"] >= 4], 5)
                assert until(lambda: seen("calm", "resolved"), 20), "an end is told by who comes after"
                assert len(seen("errors", "firing")) == 1 and len(seen("calm", "firing")) == 1
