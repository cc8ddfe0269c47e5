"""`weir serve` with the Kafka protocol on a free port."""
import contextlib

import servers

KEY = "sk-weir-kafka-test"


@contextlib.contextmanager
def start(directory, *arguments, kafka="127.0.0.1:0", env=None, **more):
    """A server whose data and standard error are in directory; .kafka is its address."""
    with open(directory / "stderr", "a") as stderr:
        with servers.start("serve", "--data", str(directory / "data"), "--listen", "127.0.0.1:0", "--kafka", kafka, "--key", KEY,
                           *arguments, cwd=directory, stderr=stderr, env=env, **more) as server:
            server.data = directory / "data"
            server.stderr = directory / "stderr"
            server.env = {"WEIR_URL": server.url, "WEIR_KEY": KEY}
            yield server
