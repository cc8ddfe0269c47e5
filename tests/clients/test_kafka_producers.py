"""Idempotent producers (librdkafka) while Weir is killed: nothing acknowledged is lost, nothing is there twice, order is kept."""
import random, threading, time

import brokers, pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 3
ROUNDS = 4


class Writer(threading.Thread):
    """Numbers on its own: value "<writer> <n>", each writer's numbers in order on one partition."""

    def __init__(self, address, topic, number):
        super().__init__()
        self.number, self.topic, self.stop, self.sent, self.acknowledged, self.failed = number, topic, False, 0, set(), []
        self.producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 1, "log_level": 0,
                                  "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100, "retry.backoff.ms": 20})

    def delivered(self, error, message):
        if error:
            self.failed.append(error)
        else:
            self.acknowledged.add(int(message.value().split()[1]))

    def run(self):
        while not self.stop:
            try:
                self.producer.produce(self.topic, f"{self.number} {self.sent}", partition=self.number % PARTITIONS, on_delivery=self.delivered)
                self.sent += 1
            except BufferError:
                pass
            self.producer.poll(0)
            if self.sent % 50 == 0:
                time.sleep(0.002)
        self.producer.flush(20)


def read_all(address, topic):
    consumer = Consumer({"bootstrap.servers": address, "group.id": "check", "enable.auto.commit": False, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    found, ended = {}, 0
    while ended < PARTITIONS:
        message = consumer.poll(10)
        if message.error():
            ended += 1
            continue
        writer, n = map(int, message.value().split())
        found.setdefault(writer, []).append(n)
    consumer.close()
    return found


def test_killed_again_and_again(tmp_path):
    random.seed(6)
    port = 0
    writers = []
    for i in range(ROUNDS):
        with pytest.raises(AssertionError), brokers.start(tmp_path, kafka=f"127.0.0.1:{port}") as server:  # its exit code is not 0
            if not writers:
                port = server.kafka.rsplit(":", 1)[1]
                admin = AdminClient({"bootstrap.servers": server.kafka})
                admin.create_topics([NewTopic("t", PARTITIONS)])["t"].result(timeout=10)
                writers = [Writer(server.kafka, "t", n) for n in range(4)]
                for writer in writers:
                    writer.start()
            time.sleep(0.3 + random.random() * 0.7)
            server.process.kill()
    with brokers.start(tmp_path, kafka=f"127.0.0.1:{port}") as server:
        time.sleep(0.5)
        for writer in writers:
            writer.stop = True
        for writer in writers:
            writer.join(30)
            assert not writer.failed and writer.acknowledged == set(range(writer.sent))
        found = read_all(server.kafka, "t")
        for writer in writers:
            assert found[writer.number] == list(range(writer.sent))
