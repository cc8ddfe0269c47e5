"""weir check: every mistake with its place, warnings, exit codes; and the contract's example, which passes."""
import json, pathlib, subprocess

import servers

EXAMPLE = pathlib.Path(__file__).parents[1] / "unit/config/contract.yaml"


def test_every_mistake_is_named(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text("listen:\n  http: 127.0.0.1\nlog: {quota: 20G}\n\nlsiten: {}\nproviders: {a: {api: openai, key: '${WEIR_UNSET}'}}\n"
                    "models: {m: a/x, n: b/x}\n")
    done = servers.run("check", str(file))
    assert done.returncode == 2
    *mistakes, warning, left_out, count = [line.removeprefix(f"{file}:") for line in done.stdout.splitlines()]
    assert mistakes == [
        "2:9: listen.http: '127.0.0.1' is not HOST:PORT, as 127.0.0.1:8080",
        "3:14: log.quota: '20G' is not a size: a whole number and a unit, as 64KiB, 32MiB, 20GiB",
        "5:1: unknown key 'lsiten', did you mean 'listen'?",
        "7:21: models.n: unknown provider 'b': there is local, a",
    ]
    assert warning == "6:13: warning: provider 'a' is left out: WEIR_UNSET is not set"
    assert left_out == "7:13: warning: models.m: left out with its provider (WEIR_UNSET is not set)"
    assert count == "4 mistakes"


def test_the_example_passes_with_warnings():
    done = servers.run("check", str(EXAMPLE), env={"OPENAI_API_KEY": "sk-secret-1", "AZURE_KEY": "sk-secret-2"})
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[-1].startswith(f"ok: {EXAMPLE}, 5 providers")
    assert all("warning: " in line for line in lines[:-1])
    for word in "hash", "server.pem":
        assert any(word in line for line in lines[:-1]), word
    assert "sk-secret" not in done.stdout + done.stderr


def test_a_pipe_is_a_file_too():
    done = subprocess.run([servers.WEIR, "check", "/dev/stdin"], input="data: x\nlgo: {}\n", capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stdout.splitlines()[0] == "/dev/stdin:2:1: unknown key 'lgo', did you mean 'log'?"


def test_json_and_other_ends(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text("data: [\n")
    done = servers.run("check", "--json", str(file))
    assert done.returncode == 2
    assert [json.loads(line)["level"] for line in done.stdout.splitlines()] == ["mistake"]
    done = servers.run("check", "--json", "/dev/null")
    assert done.returncode == 0
    assert json.loads(done.stdout)["level"] == "ok"
    gone = servers.run("check", str(tmp_path / "gone.yaml"))
    assert gone.returncode == 2 and gone.stdout.splitlines()[0] == f"{tmp_path}/gone.yaml: not found"
    assert servers.run("check", str(tmp_path)).returncode == 2
    assert servers.run("check", "a", "b").returncode == 2
