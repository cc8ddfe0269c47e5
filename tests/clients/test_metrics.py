"""/metrics, the dashboards and the alert rules of deploy/grafana, with a real Prometheus that scrapes a real Weir."""
import contextlib, json, os, pathlib, re, shutil, socket, subprocess, threading, time

import confluent_kafka, httpx, pytest

import gateway, servers
from gateway import ADMIN, SAY, provider, until

GRAFANA = pathlib.Path(__file__).parents[2] / "deploy/grafana"
MODEL = pathlib.Path(os.environ.get("WEIR_MODELS") or pathlib.Path(__file__).parents[2] / "models") / "smollm2.gguf"
TOOLS = pytest.mark.skipif(not shutil.which("promtool"), reason="needs Debian's prometheus")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def metrics(weir):
    return weir.get("/metrics").text


def value(text, name, **labels):
    """The sum of the samples of that name with those labels."""
    found = [line for line in text.splitlines() if line.startswith(name + "{") or line.startswith(name + " ")]
    found = [line for line in found if all(f'{k}="{v}"' in line for k, v in labels.items())]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    os.symlink(MODEL.resolve(), models / "smollm2.gguf")
    with servers.start("mock", "--tokens", "8") as mock:
        config = {"local": {"dir": str(models)},
                  "providers": {"mock": provider(mock.url), "dead": provider("http://127.0.0.1:1", breaker={"requests": 4, "failures": "50%", "open": "5s", "open_max": "5s"})},
                  "models": {"smart": {"targets": ["dead/gpt-5", "mock/gpt-5-mini"]}, "kept": {"targets": ["mock/gpt-5-mini"], "cache": {"ttl": "1h"}}}}
        with gateway.serve(config, kafka="127.0.0.1:0") as server:
            yield server


def test_calls_are_histograms(weir):
    before = metrics(weir)
    for stream in (False, True, True):
        assert weir.post({"model": "smart", "messages": SAY, "stream": stream}).status_code == 200
    assert weir.post({"model": "mock/fault-429", "messages": SAY, "metadata": {}}).status_code in (200, 429)
    weir.last()
    after = metrics(weir)

    def grew(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)

    mini = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "mock", "gen_ai_request_model": "gpt-5-mini"}
    assert grew("gen_ai_server_request_duration_seconds_count", **mini) == 3
    assert grew("gen_ai_server_request_duration_seconds_bucket", le="+Inf", **mini) == 3
    assert grew("gen_ai_server_time_to_first_token_seconds_count", **mini) == 2
    assert grew("gen_ai_client_operation_time_to_first_chunk_seconds_count", **mini) == 2
    assert grew("gen_ai_client_token_usage_sum", gen_ai_token_type="output", **mini) == 24
    assert grew("gen_ai_client_operation_duration_seconds_count", gen_ai_provider_name="dead", error_type="connect") >= 1
    costs = sum(float(call["cost"]["amount"]) for call in weir.calls(model="smart"))
    assert value(after, "weir_model_cost_usd_total", **mini) == pytest.approx(costs)
    assert value(after, "weir_key_cost_usd_total", key="cli") == pytest.approx(costs)
    assert grew("weir_key_calls_total", key="cli") == 4
    bounds = re.findall(r'gen_ai_client_operation_duration_seconds_bucket\{[^}]*gpt-5-mini"[^}]*le="([^"]+)"', after)
    assert bounds[:3] == ["0.01", "0.02", "0.04"] and bounds[13:15] == ["81.92", "+Inf"]


@TOOLS
def test_promtool_finds_nothing(weir):
    checked = subprocess.run(["promtool", "check", "metrics"], input=metrics(weir), text=True, capture_output=True)
    said = [line for line in (checked.stdout + checked.stderr).splitlines() if "should not contain ':'" not in line or not line.startswith("vllm:")]
    assert said == [], "vLLM's names have colons"
    for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
        checked = subprocess.run(["promtool", *command], cwd=GRAFANA, text=True, capture_output=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@contextlib.contextmanager
def prometheus(weir, directory):
    port = free_port()
    (directory / "prometheus.yml").write_text(json.dumps({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(GRAFANA / "alerts.yaml")],
        "scrape_configs": [{"job_name": "weir", "static_configs": [{"targets": [f"{weir.host}:{weir.port}"]}]}]}))
    process = subprocess.Popen(["prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/tsdb",
                                f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"], stderr=open(directory / "stderr", "w"))
    try:
        api = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)

        def ready():
            with contextlib.suppress(httpx.TransportError):
                return api.get("/-/ready").status_code == 200
        assert until(ready, 15), (directory / "stderr").read_text()
        yield api
    finally:
        process.terminate()
        process.wait(10)


def traffic(weir, stop):
    """Something of everything that the dashboards show."""
    group = {"bootstrap.servers": weir.server.kafka, "group.id": "behind", "enable.auto.commit": False}
    consumer = confluent_kafka.Consumer(group)
    consumer.commit(offsets=[confluent_kafka.TopicPartition("weir.calls", 0, 0)], asynchronous=False)
    consumer.close()
    n = 0
    while not stop.is_set():
        n += 1
        weir.post({"model": "smart", "messages": SAY, "stream": n % 2 == 0})
        weir.post({"model": "kept", "messages": SAY, "temperature": 0})
        weir.post({"model": "kept", "messages": [{"role": "user", "content": f"other {n}"}], "temperature": 0})
        weir.post({"model": "dead/gpt-5", "messages": SAY})
        weir.post({"model": "local/smollm2", "messages": SAY, "max_tokens": 4, "stream": n % 2 == 0})
        weir.post({"model": "smart", "messages": SAY}, key="nobody")
        time.sleep(0.05)


def expressions():
    for path in sorted(GRAFANA.glob("*.json")):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield f"{path.name}: {panel['title']}", target["expr"].replace("$__rate_interval", "10s").replace("$model", ".*")


@TOOLS
def test_every_expression_runs_in_prometheus(weir, tmp_path):
    stop = threading.Event()
    calls = threading.Thread(target=traffic, args=(weir, stop))
    calls.start()
    try:
        with prometheus(weir, tmp_path) as api:
            def ask(expression):
                answer = api.get("/api/v1/query", params={"query": expression}).json()
                assert answer["status"] == "success", (expression, answer)
                return [float(r["value"][1]) for r in answer["data"]["result"]]
            wanted = list(expressions())
            assert len(wanted) > 60

            def empty():
                return [(where, expression) for where, expression in wanted if not any(v == v for v in ask(expression))]
            until(lambda: not empty(), 20)
            assert empty() == []
            assert ask("sum(rate(weir_calls_total[10s]))")[0] > 1
            assert ask('sum(vllm:generation_tokens_total{model_name="smollm2"})')[0] >= 4
            rules = api.get("/api/v1/rules").json()["data"]["groups"][0]["rules"]
            assert len(rules) > 8 and all(r["health"] == "ok" for r in rules), rules
            for rule in rules:
                ask(rule["query"])
    finally:
        stop.set()
        calls.join()


def test_a_caller_cannot_make_series_without_end(weir):
    with httpx.Client(headers={"authorization": f"Bearer {ADMIN}"}, timeout=30) as client:
        for i in range(400):
            client.post(weir.url + "/v1/chat/completions", content=json.dumps({"model": f'mock/m{i}"\\', "messages": SAY}))
    text = metrics(weir)
    assert len(set(re.findall(r"^gen_ai_server_request_duration_seconds_count\{.*?\} ", text, re.M))) <= 301
    assert value(text, "gen_ai_server_request_duration_seconds_count", gen_ai_operation_name="_OTHER") > 90
    assert len(text) < 4e6
