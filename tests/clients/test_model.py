"""`weir model`: files brought in whole or not at all; engines that come and go."""
import contextlib, hashlib, http.server, os, threading

import pytest

import gateway, servers
from gateway import ADMIN, until
from test_local_tasks import MODELS

BYTES = (MODELS / "minilm.gguf").read_bytes()
DIGEST = hashlib.sha256(BYTES).hexdigest()


@contextlib.contextmanager
def web(files, cut=None):
    """A server with ranges and a redirect. With cut its first answer breaks off there. Collects the ranges asked for."""
    ranges = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            nonlocal cut
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/model.gguf")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data, asked = files[self.path], self.headers.get("Range")
            ranges.append(asked)
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            self.send_response(416 if start >= len(data) else 206 if asked else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            end, cut = cut or len(data), None
            self.wfile.write(data[start:end])
            self.close_connection = True

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", ranges
    finally:
        server.shutdown()
        server.server_close()


def pull(source, directory, *more):
    return servers.run("model", "pull", str(source), "--dir", str(directory), *more)


def test_a_file_is_copied_when_its_digest_is_right(tmp_path):
    done = pull(MODELS / "minilm.gguf", tmp_path / "new", "--sha256", DIGEST.upper())
    assert done.returncode == 0 and DIGEST in done.stdout, done.stderr
    assert (tmp_path / "new/minilm.gguf").read_bytes() == BYTES
    wrong = pull(MODELS / "minilm.gguf", tmp_path, "--sha256", "0" * 64)
    assert wrong.returncode == 1 and DIGEST in wrong.stderr and not list(tmp_path.glob("*.gguf*"))


def test_a_broken_transfer_goes_on_where_it_broke(tmp_path):
    with web({"/model.gguf": BYTES}, cut=30_000_000) as (url, ranges):
        first = pull(url + "/model.gguf", tmp_path)
        assert first.returncode == 1 and not (tmp_path / "model.gguf").exists()
        kept = (tmp_path / "model.gguf.part").stat().st_size
        assert 0 < kept <= 30_000_000
        second = pull(url + "/moved", tmp_path, "--name", "model", "--sha256", DIGEST)
        assert second.returncode == 0, second.stderr
        assert ranges == [None, f"bytes={kept}-"] and (tmp_path / "model.gguf").read_bytes() == BYTES
    assert [p.name for p in tmp_path.iterdir()] == ["model.gguf"]


@pytest.mark.parametrize("data, says", [(b"<html>no model</html>" * 10, "not a GGUF file"), (BYTES[:1_000_000], "not whole")])
def test_what_is_no_model_does_not_become_one(tmp_path, data, says):
    with web({"/x.gguf": data}) as (url, _):
        done = pull(url + "/x.gguf", tmp_path)
    assert done.returncode == 1 and says in done.stderr and not list(tmp_path.iterdir())


def test_other_failures_say_what(tmp_path):
    assert "not found" in pull(tmp_path / "nothing.gguf", tmp_path / "m").stderr
    assert pull("http://127.0.0.1:9/x.gguf", tmp_path).returncode == 1
    assert pull(MODELS / "minilm.gguf", tmp_path, "--sha256", "12").returncode == 2
    assert pull(MODELS / "minilm.gguf", tmp_path, "--name", "../x").returncode == 2


def test_load_show_unload(tmp_path):
    os.symlink((MODELS / "minilm.gguf").resolve(), tmp_path / "minilm.gguf")
    with gateway.serve({"local": {"dir": str(tmp_path)}}) as weir:
        def say(*words):
            return servers.run("model", *words, "--url", weir.url, "--key", ADMIN)
        assert "unloaded" in say("show", "local/minilm").stdout
        loaded = say("load", "minilm")
        assert loaded.returncode == 0 and "ready" in loaded.stdout, loaded.stderr
        assert say("unload", "minilm").returncode == 0
        assert until(lambda: "unloaded" in say("show", "local/minilm").stdout)
        assert len(weir.client().embeddings.create(model="local/minilm", input="again").data) == 1
        for words in (("load", "nothing"), ("unload", "nothing"), ("show", "local/nothing")):
            refused = say(*words)
            assert refused.returncode == 1 and "nothing" in refused.stderr
        assert say("unload").returncode == 2 and say("sing", "x").returncode == 2
