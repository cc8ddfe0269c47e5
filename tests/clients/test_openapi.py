"""The API's description: it has every route and no other, and Schemathesis finds no fault in a live server by it."""
import json, pathlib, re, subprocess

import httpx, pytest

import gateway, servers
from gateway import ADMIN, SAY, provider, until

ROOT = pathlib.Path(__file__).parents[2]
DESCRIPTION = json.loads((ROOT / "src/api/openapi.json").read_text())
SCHEMATHESIS = ROOT / "build/venv-schemathesis/bin/schemathesis"
# The page, and other names of /v1/traces, /v1/metrics and /v1/logs.
ELSEWHERE = re.compile(r"/|/page\..*|/otel/.*|/api/public/.*")


def routes():
    """(method, path) of src/api/router.c, in the description's form as far as it can be known."""
    found = re.findall(r'\{STR_INIT\("(\w+)"\), STR_INIT\("([^"]+)"\)', (ROOT / "src/api/router.c").read_text())
    assert len(found) > 40
    return [(method.lower(), path) for method, path in found if not ELSEWHERE.fullmatch(path)]


def as_pattern(path):
    return re.compile(re.escape(path).replace(r"\*\*", ".+").replace(r"\*", "[^/]+"))


def test_every_route_is_described():
    described = [(method, path) for path, methods in DESCRIPTION["paths"].items() for method in methods]
    for method, route in routes():
        assert any(m == method and as_pattern(route).fullmatch(p) for m, p in described), f"{method} {route} is not in openapi.json"
    for method, path in described:
        assert any(m == method and as_pattern(r).fullmatch(path) for m, r in routes()), f"{method} {path} has no route"
    names = [o["operationId"] for methods in DESCRIPTION["paths"].values() for o in methods.values()]
    assert len(names) == len(set(names))


@pytest.fixture(scope="module")
def weir():
    with servers.start("mock", "--tokens", "4") as mock:
        config = {"providers": {"mock": provider(mock.url)}, "models": {"fast": "mock/m"}, "alerts": {"errors": {"when": "errors > 1"}}}
        with gateway.serve(config, kafka="127.0.0.1:0") as server:
            for _ in range(3):
                server.post({"model": "fast", "messages": SAY, "user": "ada"})
            assert until(lambda: server.get("/api/v1/ledger").status_code == 200 and server.get("/api/v1/stats").status_code == 200)
            yield server


def test_each_is_served(weir):
    assert weir.get("/api/v1/openapi.json").json() == DESCRIPTION
    for path, methods in DESCRIPTION["paths"].items():
        asked = re.sub(r"\{\w+\}", "0" * 32, path)
        answer = httpx.request("OPTIONS", weir.url + asked)
        assert answer.status_code == 405 and answer.headers["allow"].split(", ") == [m.upper() for m in methods] or "/v1/responses" in path, (path, answer.headers)


def test_schemathesis_finds_nothing(weir):
    """The same requests every time: those that each parameter's edges give, and a few drawn ones."""
    run = subprocess.run([SCHEMATHESIS, "--config-file", ROOT / "tests/clients/schemathesis.toml", "run", weir.url + "/api/v1/openapi.json",
                          "-u", weir.url, "-H", f"Authorization: Bearer {ADMIN}", "--include-path-regex", "^/(api/v1|health|metrics)",
                          "--exclude-path", "/api/v1/events", "--phases", "examples,coverage,fuzzing", "--max-examples", "10", "--seed", "1",
                          "--no-shrink", "--continue-on-failure", "--request-timeout", "10", "-w", "1"],
                         text=True, capture_output=True, timeout=120, cwd="/tmp")
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert int(re.search(r"(\d+) generated", run.stdout).group(1)) > 1000
