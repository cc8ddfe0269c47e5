"""Start `weir` commands that serve, and stop them: with servers.start("mock", "--tokens", "5") as mock: … mock.url …"""
import contextlib, os, pathlib, re, signal, subprocess

WEIR = os.environ.get("WEIR") or str(pathlib.Path(__file__).parents[2] / "build/weir")


class Server:
    def __init__(self, process, ready):
        self.process = process
        self.ready = ready
        self.host, port = re.search(r"http=(\S+):(\d+)", ready).groups()
        self.port = int(port)
        self.url = f"http://{self.host}:{self.port}"
        kafka = re.search(r"kafka=(\S+)", ready)
        self.kafka = kafka and kafka.group(1)


@contextlib.contextmanager
def start(*arguments, env=None, stderr=None, cwd=None):
    """Runs `weir arguments…`, waits for its ready line, and ends it afterwards; its exit code must be 0."""
    process = subprocess.Popen([WEIR, *arguments], stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=cwd,
                               env=os.environ | (env or {}))
    try:
        ready = process.stdout.readline()
        assert ready.startswith("ready "), f"weir {' '.join(arguments)} printed {ready!r}"
        yield Server(process, ready)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def run(*arguments, env=None, timeout=60):
    """Runs a command to its end: CompletedProcess with text."""
    return subprocess.run([WEIR, *arguments], capture_output=True, text=True, timeout=timeout, env=os.environ | (env or {}))
