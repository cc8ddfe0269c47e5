"""A Weir in front of a mock: weir.serve({...}) → a running server with its keys, its mock and its records."""
import contextlib, hashlib, json, pathlib, tempfile, time

import httpx, openai

import servers

ADMIN = "weir_test_admin_key_0123456789"
PROVIDER_KEY = "sk-provider-secret-0123456789"
SAY = [{"role": "user", "content": "Hello there"}]


def key_entry(name, key, **more):
    return {"name": name, "hash": "sha256:" + hashlib.sha256(key.encode()).hexdigest(), **more}


class Gateway:
    def __init__(self, server, directory):
        self.server, self.url, self.port, self.host = server, server.url, server.port, server.host
        self.pid = server.process.pid
        self.data = directory / "data"
        self.config_path = directory / "weir.yaml"
        self.log_path = directory / "stderr"

    def client(self, key=ADMIN, **more):
        return openai.OpenAI(base_url=self.url + "/v1", api_key=key, max_retries=0, **more)

    def post_to(self, path, body, key=ADMIN, headers=None, timeout=30):
        content = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return httpx.post(self.url + path, content=content, timeout=timeout,
                          headers={"authorization": f"Bearer {key}", "content-type": "application/json"} | (headers or {}))

    def post(self, body, **more):
        return self.post_to("/v1/chat/completions", body, **more)

    def get(self, path, key=ADMIN, **params):
        return httpx.get(self.url + path, params=params, headers={"authorization": f"Bearer {key}"}, timeout=30)

    def calls(self, **params):
        answer = self.get("/api/v1/calls", **params)
        assert answer.status_code == 200, answer.text
        return answer.json()["calls"]

    def call(self, call_id, wait=5):
        """The record of a call; it may be written a moment after a client has left."""
        until = time.monotonic() + wait
        while True:
            answer = self.get("/api/v1/calls/" + call_id)
            if answer.status_code == 200 or time.monotonic() > until:
                assert answer.status_code == 200, answer.text
                return answer.json()
            time.sleep(0.02)

    def record_of(self, response):
        return self.call(response.headers["x-weir-call-id"])

    def last(self, wait=5, **params):
        """The newest record, once there is one."""
        until = time.monotonic() + wait
        while not (calls := self.calls(limit=1, **params)) and time.monotonic() < until:
            time.sleep(0.02)
        return calls[0]

    def configure(self, config):
        self.config_path.write_text(json.dumps(config))  # JSON is YAML

    def everything_written(self):
        """Each byte that this server left behind: its log lines and its data folder, decompressed by reading it back."""
        self_log = self.log_path.read_bytes()
        records = servers.run("topic", "read", "weir.calls", "--data", str(self.data), "--json", "--limit", "100000")
        blobs = b"".join(p.read_bytes() for p in (self.data / "blobs").rglob("*") if p.is_file())
        return self_log + records.stdout.encode() + blobs


@contextlib.contextmanager
def serve(config, *arguments, env=None, kafka="off"):
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        (directory / "weir.yaml").write_text(json.dumps(config))
        with open(directory / "stderr", "w") as log:
            with servers.start("serve", "--config", str(directory / "weir.yaml"), "--data", str(directory / "data"),
                               "--listen", "127.0.0.1:0", "--kafka", kafka, "--key", ADMIN, *arguments,
                               env=env, stderr=log, cwd=name) as server:
                yield Gateway(server, directory)


def provider(url, **more):
    return {"api": "openai", "url": url + "/v1", "key": PROVIDER_KEY} | more


def mock_stats(mock):
    return httpx.get(mock.url + "/mock/stats").json()


def mock_last(mock):
    return httpx.get(mock.url + "/mock/last").json()


def until(condition, wait=5):
    """Wait for what happens in another process; the last value, true or not."""
    end = time.monotonic() + wait
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return value
