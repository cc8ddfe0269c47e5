"""The openai and anthropic packages' own API tests, which they run against a mock of their provider, against a Weir (package_suites.py)."""
import concurrent.futures, os, pathlib, re, subprocess, sys

import pytest
from anthropic.resources.messages import DEPRECATED_MODELS

import gateway, servers
from gateway import provider

HERE = pathlib.Path(__file__).parent
OPENAI = ["gpt-6-astra", "gpt-3.5-turbo-instruct", "text-embedding-3-small", "model"]
ANTHROPIC = ["claude-opus-5-5", "model_id", *DEPRECATED_MODELS]


@pytest.fixture(scope="module")
def weir():
    with servers.start("mock", "--tokens", "8") as mock:
        config = {"providers": {"openai": provider(mock.url), "claude": provider(mock.url, api="anthropic")},
                  "models": {name: f"openai/{name}" for name in OPENAI} | {name: f"claude/{name}" for name in ANTHROPIC}}
        with gateway.serve(config) as server:
            yield server


def run_suite(weir, package):
    environment = os.environ | {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1", "WEIR_TEST_PACKAGE": package, "WEIR_TEST_KEY": gateway.ADMIN,
                                "TEST_API_BASE_URL": weir.url + ("/v1" if package == "openai" else "")}
    folder = subprocess.run([HERE.parents[1] / "deps/get", f"{package}-tests"], capture_output=True, text=True, check=True).stdout.strip()
    listing = [sys.executable, "-c", f"import package_suites; print(*package_suites.SERVED['{package}'])"]
    served = subprocess.run(listing, capture_output=True, text=True, check=True, env=environment).stdout.split()
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "package_suites", "--noconftest", "-p", "no:cacheprovider", "--tb=line",
                           "-o", "addopts=", "-o", "asyncio_mode=auto",
                           "-o", "asyncio_default_fixture_loop_scope=session", *(f"tests/api_resources/{path}" for path in served)],
                          cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def done(weir):
    """Both at once: most of their time is Python's."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(("openai", "anthropic"), pool.map(lambda package: run_suite(weir, package), ("openai", "anthropic"))))


# What passed when this was written: fewer means that tests went missing.
@pytest.mark.parametrize("package, passed, excluded", [("openai", 150, 45), ("anthropic", 200, 0)])
def test_own_api_tests(done, package, passed, excluded):
    output = done[package].stdout
    assert done[package].returncode == 0, output[-4000:] + done[package].stderr[-2000:]
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", output.splitlines()[-1])}
    assert counts["passed"] >= passed and counts.get("xfailed", 0) >= excluded and "failed" not in counts, output.splitlines()[-1]
