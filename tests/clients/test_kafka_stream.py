"""What a fetch does to the connection: over TLS, and with readers that do not read."""
import json, random, socket, struct, time

import brokers, test_tls
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

RECORDS, BYTES = 60, 500_000


def fill(more):
    """Topic "big", one partition, 30 MB that do not compress: the records."""
    random.seed(6)
    values = [random.randbytes(BYTES) for _ in range(RECORDS)]
    admin = AdminClient(more)
    admin.create_topics([NewTopic("big", 1)])["big"].result(timeout=10)
    producer = Producer(more)
    for value in values:
        producer.produce("big", value)
        producer.poll(0)
    assert producer.flush(30) == 0
    return values


def test_large_fetches_over_tls(tmp_path):
    ca = test_tls.make(tmp_path, "authority")
    cert, key = test_tls.make(tmp_path, "server", ca)
    (tmp_path / "weir.yaml").write_text(json.dumps({"listen": {"tls": {"cert": str(cert), "key": str(key)}}}))
    with brokers.start(tmp_path) as server:
        tls = {"bootstrap.servers": server.kafka, "security.protocol": "SSL", "ssl.ca.location": str(ca[0])}
        values = fill(tls)
        consumer = Consumer({**tls, "group.id": "g", "fetch.max.bytes": 20_000_000, "max.partition.fetch.bytes": 20_000_000})
        consumer.assign([TopicPartition("big", 0, 0)])
        for value in values:
            message = consumer.poll(10)
            assert message is not None and not message.error() and message.value() == value
        consumer.close()


def fetch(correlation):
    """Fetch 4 of everything from offset 0 of "big"."""
    body = struct.pack(">iiiib", -1, 100, 1, 100_000_000, 0) + struct.pack(">ih3si", 1, 3, b"big", 1) + struct.pack(">iqi", 0, 0, 100_000_000)
    frame = struct.pack(">hhih", 1, 4, correlation, -1) + body
    return struct.pack(">i", len(frame)) + frame


def rss(server):
    for line in open(f"/proc/{server.process.pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) << 10


def test_readers_that_do_not_read_cost_no_memory(tmp_path):
    with brokers.start(tmp_path) as server:
        fill({"bootstrap.servers": server.kafka})
        host, port = server.kafka.rsplit(":", 1)
        before = rss(server)
        slow = []
        for _ in range(40):  # each asks three times for 30 MB, and takes nothing
            s = socket.create_connection((host, int(port)), timeout=20)
            s.sendall(fetch(1) + fetch(2) + fetch(3))
            slow.append(s)
        time.sleep(0.5)
        assert rss(server) - before < 20 << 20
        one = slow[0].makefile("rb")  # now one reads: both answers are whole
        for correlation in (1, 2):
            length, got = struct.unpack(">ii", one.read(8))
            assert got == correlation and length > RECORDS * BYTES
            assert len(one.read(length - 4)) == length - 4
        for s in slow:
            s.close()
        quick = socket.create_connection((host, int(port)), timeout=10)  # nobody else has suffered
        quick.sendall(struct.pack(">ihhih", 10, 18, 0, 9, -1))
        assert struct.unpack(">ii", quick.recv(8))[1] == 9
        quick.close()
