"""A real Apache Kafka of one node (KRaft) on a port of its own, which can be stopped, killed and started again with its data."""
import pathlib, socket, subprocess, time

TREE = pathlib.Path(__file__).parents[2]
LOG4J = """rootLogger.level=INFO
rootLogger.appenderRef.e.ref=E
appender.e.type=Console
appender.e.name=E
appender.e.target=SYSTEM_ERR
appender.e.layout.type=PatternLayout
appender.e.layout.pattern=[%d] %p %m (%c)%n
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Kafka:
    def __init__(self, directory, settings=(), heap="256m", prefix=()):
        self.directory, self.process, self.prefix = directory, None, prefix
        self.jars = subprocess.run([TREE / "tools/kafka"], check=True, capture_output=True, text=True).stdout.strip()
        self.port, controller = free_ports(2)
        self.address = f"127.0.0.1:{self.port}"
        self.heap = [f"-Xms{heap}", f"-Xmx{heap}"]
        one = {f"{topic}.{what}": value for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
               for what, value in (("replication.factor", 1), ("num.partitions", 4))}
        one |= {f"{topic}.min.isr": 1 for topic in ("transaction.state.log", "share.coordinator.state.topic")}
        config = one | {
            "process.roles": "broker,controller", "node.id": 1, "log.dirs": directory / "data",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}", "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}", "num.partitions": 4, "group.initial.rebalance.delay.ms": 0,
        } | dict(settings)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "server.properties").write_text("".join(f"{key}={value}\n" for key, value in config.items()))
        (directory / "log4j2.properties").write_text(LOG4J)
        self.run("kafka.tools.StorageTool", "format", "-t", "d2Vpci10ZXN0LWtyYWZ0MQ", "-c", directory / "server.properties")

    def java(self, main, *arguments):
        return ["java", *self.heap, "-XX:+UseG1GC", "-XX:TieredStopAtLevel=4", f"-Dlog4j2.configurationFile={self.directory}/log4j2.properties",
                "-cp", f"{self.jars}/*", main, *map(str, arguments)]

    def run(self, main, *arguments):
        return subprocess.run(self.java(main, *arguments), check=True, capture_output=True, text=True)

    def start(self):
        command = [*self.prefix, *self.java("kafka.Kafka", self.directory / "server.properties")]
        log = self.directory / "server.log"
        with open(log, "w") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        end = time.monotonic() + 60
        while "Kafka Server started" not in log.read_text():
            assert self.process.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.05)
        return self

    def stop(self, kill=False):
        if self.process:
            (self.process.kill if kill else self.process.terminate)()
            self.process.wait(30)
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop(kill=True)
