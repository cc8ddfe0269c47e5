"""`weir topic`: of a running server, of its folder while it runs, and of damaged files."""
import json, os, subprocess, time

import pytest
import servers

KEY = "sk-weir-topic-test"


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    data = tmp_path_factory.mktemp("topic") / "data"
    with servers.start("serve", "--data", str(data), "--listen", "127.0.0.1:0", "--kafka", "off", "--key", KEY,
                       stderr=subprocess.DEVNULL, cwd=data.parent) as server:
        server.data = str(data)
        server.env = {"WEIR_URL": server.url, "WEIR_KEY": KEY}
        yield server


def topic(weir, *arguments, code=0):
    done = servers.run("topic", *arguments, env=weir.env)
    assert done.returncode == code, done.stderr
    return done


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_written_is_read(weir):
    for value in ("one", '{"two": 2}', "three\twith a tab"):
        topic(weir, "write", "plain", value, "--record-key", "k")
    piped = subprocess.run([servers.WEIR, "topic", "write", "plain"], input="four\nfive", text=True, capture_output=True,
                           env=os.environ | weir.env)
    assert piped.returncode == 0 and piped.stdout == "offset 3\noffset 4\n"
    by_server = lines(topic(weir, "read", "plain", "--json"))
    by_folder = lines(topic(weir, "read", "plain", "--json", "--data", weir.data))
    assert by_server == by_folder
    assert [r["value"] for r in by_server] == ["one", {"two": 2}, "three\twith a tab", "four", "five"]
    assert [r["offset"] for r in by_server] == [0, 1, 2, 3, 4]
    assert by_server[0]["key"] == "k" and by_server[4]["key"] is None
    table = topic(weir, "read", "plain").stdout
    assert "OFFSET" in table and "three with a tab" in table
    for where in ((), ("--data", weir.data)):
        assert [r["offset"] for r in lines(topic(weir, "read", "plain", "--json", "--from", "1", "--limit", "2", *where))] == [1, 2]
        assert len(lines(topic(weir, "read", "plain", "--json", "--from", "1h", *where))) == 5
        assert lines(topic(weir, "read", "plain", "--json", "--from", "end", *where)) == []


def test_more_than_a_page(weir):
    body = "\n".join(f"value {i}" for i in range(300))
    subprocess.run([servers.WEIR, "topic", "write", "many"], input=body, text=True, env=os.environ | weir.env, check=True,
                   stdout=subprocess.DEVNULL)
    assert [r["offset"] for r in lines(topic(weir, "read", "many", "--json", "--limit", "250"))] == list(range(250))


def test_topics_are_shown(weir):
    topic(weir, "write", "shown", "x")
    for where in ((), ("--data", weir.data)):
        found = {t["name"]: t for t in lines(topic(weir, "list", "--json", *where))}
        assert {"weir.calls", "weir.state", "shown"} <= found.keys()
        assert found["shown"]["partitions"][0]["end_offset"] == 1
        assert "weir.calls" in topic(weir, "list", *where).stdout
        described = topic(weir, "describe", "shown", *where).stdout
        assert "durability   write" in described and "EARLIEST" in described
        assert lines(topic(weir, "describe", "shown", "--json", *where)) == [found["shown"]]


@pytest.mark.parametrize("source", ["server", "folder"])
def test_tail_follows(weir, source):
    name = f"followed-{source}"
    topic(weir, "write", name, "before")
    where = ["--data", weir.data] if source == "folder" else []
    tail = subprocess.Popen([servers.WEIR, "topic", "tail", name, "--json", *where], stdout=subprocess.PIPE, text=True,
                            env=os.environ | weir.env)
    try:
        time.sleep(0.5)
        topic(weir, "write", name, "after", "and after")
        assert json.loads(tail.stdout.readline())["value"] == "after"
        assert json.loads(tail.stdout.readline())["value"] == "and after"
    finally:
        tail.kill()
        tail.wait()
        tail.stdout.close()


def test_mistakes_are_named(weir):
    topic(weir, "write", "short", "x")
    for where in ((), ("--data", weir.data)):
        assert "no topic 'absent'" in topic(weir, "read", "absent", *where, code=1).stderr
        assert "0 to 1" in topic(weir, "read", "short", "--from", "7", *where, code=1).stderr
    assert "write an offset, a time" in topic(weir, "read", "short", "--from", "yesterday", "--data", weir.data, code=2).stderr
    assert "partition" in topic(weir, "read", "short", "--partition", "3", "--data", weir.data, code=2).stderr
    assert "written by Weir alone" in topic(weir, "write", "weir.calls", "x", code=1).stderr
    assert "1 to 249 of" in topic(weir, "write", "no/slash", "x", code=1).stderr
    assert "write list, describe" in topic(weir, "lsit", code=2).stderr
    assert "needs a topic" in topic(weir, "read", code=2).stderr
    assert "needs a file" in topic(weir, "dump", code=2).stderr
    assert "needs a running server" in topic(weir, "write", "short", "x", "--data", weir.data, code=2).stderr
    assert "not found" in topic(weir, "list", "--data", "/nowhere", code=1).stderr


def test_a_folder_is_verified_and_dumped_while_it_is_used(weir):
    topic(weir, "write", "checked", "x", "y")
    assert "no damage" in topic(weir, "verify", "--data", weir.data).stdout
    assert lines(topic(weir, "verify", "checked", "--json", "--data", weir.data))[-1]["damaged"] == 0
    file = f"{weir.data}/topics/checked-0/00000000000000000000.log"
    batches = lines(topic(weir, "dump", file, "--json"))
    assert [b["base_offset"] for b in batches] == [0, 1]
    assert batches[1]["position"] == batches[0]["bytes"]
    assert '"value":"y"' in topic(weir, "dump", file, "--records").stdout


def test_damage_is_found(tmp_path):
    data = tmp_path / "data"
    with servers.start("serve", "--data", str(data), "--listen", "127.0.0.1:0", "--kafka", "off", "--key", KEY,
                       stderr=subprocess.DEVNULL, cwd=tmp_path) as server:
        env = {"WEIR_URL": server.url, "WEIR_KEY": KEY}
        assert servers.run("topic", "write", "t", *[f"value {i}" for i in range(9)], env=env).returncode == 0
    file = data / "topics/t-0/00000000000000000000.log"
    content = bytearray(file.read_bytes())
    content[340] ^= 1
    file.write_bytes(content)
    found = servers.run("topic", "verify", "--data", str(data))
    assert found.returncode == 1
    assert "t-0 segment 0 position" in found.stdout and "checksum or header does not match" in found.stdout
    assert servers.run("topic", "dump", str(file)).returncode == 1
    assert file.read_bytes() == content  # looking changes nothing
    rest = servers.run("topic", "read", "t", "--json", "--data", str(data))
    assert rest.returncode == 0 and len(rest.stdout.splitlines()) == 8
    assert "event=log_damaged topic=t partition=0 segment=0" in rest.stderr
    with servers.start("serve", "--data", str(data), "--listen", "127.0.0.1:0", "--kafka", "off", "--key", KEY,
                       stderr=subprocess.PIPE, cwd=tmp_path) as server:
        env = {"WEIR_URL": server.url, "WEIR_KEY": KEY}
        again = servers.run("topic", "read", "t", "--json", env=env)
        assert len(again.stdout.splitlines()) == 8
        told = ""
        while "log_damaged" not in told:  # pytest-timeout, or the end of the output, ends this
            line = server.process.stderr.readline()
            assert line
            told = line
        assert "segment=0" in told and "offset=" in told
        deadline = time.time() + 15
        while not list((data / "quarantine").glob("*")) and time.time() < deadline:
            time.sleep(0.1)
        assert list((data / "quarantine").glob("t-0-*"))
        server.process.stderr.close()
    assert servers.run("topic", "verify", "--data", str(data)).returncode == 0


def test_exit_code_3(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "format").write_text("weir-log 9\n")
    newer = servers.run("topic", "list", "--data", str(data))
    assert newer.returncode == 3 and "newer Weir (format 9" in newer.stderr
