"""The gateways that bench/run compares: how each is installed, configured, started, and asked.

A gateway has name, title, headers (for `weir bench --header`), and start(folder, upstreams) -> Started. `upstreams` names the mock
servers that it forwards to: {"mock": port, "slow": port}; a request's model says which.
"""
import fcntl, hashlib, json, os, pathlib, re, shutil, signal, socket, subprocess, sys, time, urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "weir"
PEERS = ROOT / "bench/peers"
WEIR = pathlib.Path(os.environ.get("WEIR") or ROOT / "build/weir")
KEY, ADMIN_KEY = "sk-bench-0123456789", "sk-admin-0123456789"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def dependency(name):
    return subprocess.run([ROOT / "deps/get", name], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def installed(name, files, install):
    """A folder in the cache made by install(folder) once for each content of the files."""
    digest = hashlib.sha256(b"".join((PEERS / file).read_bytes() for file in files)).hexdigest()[:12]
    folder = CACHE / f"bench-{name}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".whole").exists():
            print(f"installing {name}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            (folder / ".whole").touch()
    return folder


class Started:
    """A running gateway. start_s: from exec to the first answer."""

    def __init__(self, gateway, command, url_of, core, folder, env=None):
        self.gateway = gateway
        self.url_of = url_of
        self.log = open(folder / "output", "w+")
        clock = time.perf_counter()
        self.process = subprocess.Popen(
            [str(word) for word in command], stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=folder,
            env=os.environ | (env or {}), start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        try:
            self.wait_for_answer(clock + 180)
        except BaseException:
            self.stop()
            raise
        self.start_s = time.perf_counter() - clock

    def wait_for_answer(self, deadline):
        body = json.dumps({"model": "mock", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16})
        host, _, port = self.url_of("mock").removeprefix("http://").split("/")[0].rpartition(":")
        head = [f"POST {self.path()} HTTP/1.1", f"Host: {host}:{port}", f"Authorization: Bearer {KEY}",
                "Content-Type: application/json", *self.gateway.headers(self.model("mock")), "Connection: close",
                f"Content-Length: {len(body)}"]
        request = ("\r\n".join(head) + "\r\n\r\n" + body).encode()
        while True:
            try:
                with socket.create_connection((host, int(port)), timeout=30) as s:
                    s.sendall(request)
                    if s.recv(65536).startswith(b"HTTP/1.1 200"):
                        return
            except OSError:
                pass
            if self.process.poll() is not None or time.perf_counter() > deadline:
                raise RuntimeError(f"{self.gateway.name} gives no answer:\n{self.output()}")
            time.sleep(0.0005)

    def output(self):
        self.log.seek(0)
        return self.log.read()[-3000:]

    def path(self):
        return "/v1/chat/completions"

    def model(self, upstream):
        return upstream

    def stop(self):
        """SIGTERM, and SIGKILL to the whole group where that does not help. Returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            code = None
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.log.close()
        return code


class Gateway:
    translates = False  # a model "translated" leads to the slow mock in Anthropic's language

    def __init__(self, core):
        self.core = core

    def headers(self, upstream):
        return []


class Direct(Gateway):
    """No gateway: the load goes to the mock itself."""
    name, title = "direct", "the mock itself"


class Weir(Gateway):
    name, title = "weir", "Weir, keys, limits, prices and log on"
    translates = True

    def version(self):
        commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
        said = subprocess.run([WEIR, "version"], capture_output=True, text=True).stdout.strip()
        return f"{said} {commit}".removeprefix("weir ").strip()

    def start(self, folder, upstreams):
        port = free_port()
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        apis = {name: ("openai", at) for name, at in upstreams.items()} | {"translated": ("anthropic", upstreams["slow"])}
        providers = "".join(f'  up-{name}: {{api: {api}, url: "http://127.0.0.1:{at}/v1", key: sk-up, models: [{name}],\n'
                            "     connections: 16384}\n" for name, (api, at) in apis.items())
        (folder / "weir.yaml").write_text(
            "log: {durability: write}\n"
            f"providers:\n{providers}"
            "models: {" + ", ".join(f"{name}: up-{name}/{name}" for name in apis) + "}\n"
            "prices: {" + ", ".join(f"up-{name}/{name}: {{input: 0.25, output: 2.00}}" for name in apis) + "}\n"
            f"keys:\n  - {{name: bench, hash: \"sha256:{digest}\", models: [{', '.join(apis)}],\n"
            "     limits: {requests: 900000000/m, tokens: 900000000000/m, concurrent: 20000}}\n")
        command = [WEIR, "serve", "--config", "weir.yaml", "--data", "data", "--listen", f"127.0.0.1:{port}", "--kafka", "off",
                   "--key", ADMIN_KEY]
        return Started(self, command, lambda name: f"http://127.0.0.1:{port}/v1", self.core, folder)

    def recorded(self, started):
        """Calls on the log."""
        url = started.url_of("mock").removesuffix("/v1") + "/api/v1/topics"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {ADMIN_KEY}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            topics = json.load(answer)["topics"]
        return sum(p["end_offset"] - p["start_offset"] for t in topics if t["name"] == "weir.calls" for p in t["partitions"])


class Nginx(Gateway):
    name, title = "nginx", "nginx `proxy_pass`, kept upstream connections, no log"

    def version(self):
        return subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip().rpartition("/")[2]

    def start(self, folder, upstreams):
        ports = {name: free_port() for name in upstreams}
        servers = "".join(f"""
  upstream up_{name} {{ server 127.0.0.1:{upstreams[name]}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} reuseport;
    location / {{
      proxy_pass http://up_{name}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering {"off" if name == "slow" else "on"};
    }}
  }}""" for name, port in ports.items())
        (folder / "nginx.conf").write_text(f"""worker_processes 1; daemon off; pid nginx.pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 64m; client_body_buffer_size 1m; tcp_nodelay on;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;{servers}
}}
""")
        command = ["nginx", "-p", folder, "-c", "nginx.conf"]
        return Started(self, command, lambda name: f"http://127.0.0.1:{ports[name]}/v1", self.core, folder)


class Portkey(Gateway):
    name, title = "portkey", "Portkey (npm)"

    def install(self, folder):
        node = pathlib.Path(dependency("node")) / "node"
        for file in ("package.json", "package-lock.json"):
            shutil.copy(PEERS / file, folder)
        npm = [node / "bin/node", node / "lib/node_modules/npm/bin/npm-cli.js"]
        subprocess.run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True, stdout=sys.stderr,
                       env=os.environ | {"PATH": f"{node}/bin:{os.environ['PATH']}", "NODE_USE_SYSTEM_CA": "1"})

    def version(self):
        lock = json.loads((PEERS / "package-lock.json").read_text())
        version = lock["packages"]["node_modules/@portkey-ai/gateway"]["version"]
        return f"{version} on Node {pathlib.Path(dependency('node')).name.split('-')[1]}"

    def headers(self, upstream):
        return ["x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{self.upstreams[upstream]}/v1"]

    def start(self, folder, upstreams):
        self.upstreams = upstreams
        port = free_port()
        home = installed("portkey", ["package.json", "package-lock.json"], self.install)
        command = [pathlib.Path(dependency("node")) / "node/bin/node", home / "node_modules/@portkey-ai/gateway/build/start-server.js",
                   f"--port={port}", "--headless"]
        return Started(self, command, lambda name: f"http://127.0.0.1:{port}/v1", self.core, folder, {"NODE_ENV": "production"})


class LiteLLM(Gateway):
    name, title = "litellm", "LiteLLM (PyPI), one worker, its master key on"

    def uv(self, *words):
        subprocess.run([f"{dependency('uv')}/bin/uv", *map(str, words)], check=True, stdout=sys.stderr,
                       env=os.environ | {"UV_PYTHON_DOWNLOADS": "never", "UV_NATIVE_TLS": "1", "UV_SYSTEM_CERTS": "1"})

    def install(self, folder):
        self.uv("venv", "--quiet", "--python", "/usr/bin/python3", folder / "venv")
        self.uv("pip", "sync", "--quiet", "--require-hashes", "--python", folder / "venv/bin/python", PEERS / "requirements.txt")

    def version(self):
        return re.search(r"^litellm==(\S+)", (PEERS / "requirements.txt").read_text(), re.M).group(1)

    def start(self, folder, upstreams):
        port = free_port()
        home = installed("litellm", ["requirements.txt"], self.install)
        models = "".join(f"  - model_name: {name}\n    litellm_params: {{model: openai/{name}, api_key: sk-up,\n"
                         f'                     api_base: "http://127.0.0.1:{at}/v1"}}\n' for name, at in upstreams.items())
        (folder / "litellm.yaml").write_text(f"model_list:\n{models}general_settings: {{master_key: {KEY}}}\n"
                                             "litellm_settings: {num_retries: 0, telemetry: false}\n")
        command = [home / "venv/bin/litellm", "--config", "litellm.yaml", "--host", "127.0.0.1", "--port", port, "--num_workers", "1"]
        env = {"LITELLM_TELEMETRY": "False", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_PROXY": "127.0.0.1"}
        return Started(self, command, lambda name: f"http://127.0.0.1:{port}/v1", self.core, folder, env)


ALL = {kind.name: kind for kind in (Weir, Nginx, Portkey, LiteLLM)}
