"""Kafka clients while Weir is killed at random: idempotent and transactional producers, transactional copiers, a group with commits.

Nothing acknowledged is lost, nothing is there twice under idempotence, each partition keeps its order, nothing aborted is seen,
transactions are there whole or not at all, what is copied is there exactly once, and no committed offset moves backwards.
`make crash-kafka SECONDS=n` runs it for longer."""
import os, random, threading, time

import brokers, pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

LONG = "SECONDS" in os.environ
SECONDS = float(os.environ.get("SECONDS", 6))
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
PARTITIONS = 2
API_SECONDS = 3  # librdkafka may sit out the whole of it when the connection broke under a request of a transaction
QUICK = {"log_level": 0, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100, "retry.backoff.ms": 20, "socket.timeout.ms": 10000}


class Actor(threading.Thread):
    """Does `turn` again and again until it is told to stop; an error of its own ends it and fails the test."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address, self.ending, self.failure = address, False, None

    def run(self):
        try:
            while not self.ending:
                self.turn()
            self.end()
        except Exception as e:  # noqa: BLE001: it is told to the main thread
            self.failure = e

    def end(self):
        pass


class Writer(Actor):
    """Idempotent: value "<n>", in order, on one partition of topic "in"."""

    def __init__(self, address, partition):
        super().__init__(address)
        self.partition, self.sent, self.acknowledged, self.errors = partition, 0, set(), []
        self.producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 1, **QUICK})

    def delivered(self, error, message):
        self.errors.append(error) if error else self.acknowledged.add(int(message.value()))

    def turn(self):
        self.producer.produce("in", str(self.sent), partition=self.partition, on_delivery=self.delivered)
        self.sent += 1
        self.producer.poll(0)
        if self.sent % 10 == 0:
            time.sleep(0.01)

    def end(self):
        self.producer.flush(30)


class Transactor(Actor):
    """Transactions "<name>.<n>", one record on each partition of topic "all"; some are aborted."""

    def __init__(self, address, name):
        super().__init__(address)
        self.name, self.count, self.fates, self.producer = name, 0, {}, None

    def turn(self):
        self.count += 1
        value, commit = f"{self.name}.{self.count}", random.random() < 0.7
        self.fates[value] = "unknown" if commit else "aborted"
        try:
            if not self.producer:
                self.producer = Producer({"bootstrap.servers": self.address, "transactional.id": self.name, "linger.ms": 0, **QUICK})
                self.producer.init_transactions(20)
            self.producer.begin_transaction()
            for partition in range(PARTITIONS):
                self.producer.produce("all", value, partition=partition)
            self.producer.flush(API_SECONDS)
            self.producer.commit_transaction(API_SECONDS) if commit else self.producer.abort_transaction(API_SECONDS)
            if commit:
                self.fates[value] = "committed"
        except KafkaException as e:
            self.recover(e)

    def recover(self, e):
        """A retriable commit is tried again; else the transaction's fate stays unknown, or it is aborted; fatal: begin anew."""
        try:
            if e.args[0].txn_requires_abort():
                self.producer.abort_transaction(API_SECONDS)
            else:
                self.producer = None
        except KafkaException:
            self.producer = None


class Copier(Actor):
    """From "in" to "out", each record once, with the offsets in the same transaction."""

    def __init__(self, address, name):
        super().__init__(address)
        self.name, self.consumer, self.producer, self.copied_at = name, None, None, 0.0

    def open(self):
        self.close()
        self.producer = Producer({"bootstrap.servers": self.address, "transactional.id": self.name, "linger.ms": 0, **QUICK})
        self.producer.init_transactions(20)
        self.consumer = Consumer({"bootstrap.servers": self.address, "group.id": "copiers", "auto.offset.reset": "earliest",
                                  "enable.auto.commit": False, "session.timeout.ms": 6000, **QUICK})
        self.consumer.subscribe(["in"])

    def close(self):
        if self.consumer:
            self.consumer.close()
        self.consumer = self.producer = None

    def turn(self):
        try:
            if not self.consumer:
                self.open()
            messages = [m for m in self.consumer.consume(1000, 0.1) if not m.error()]
            if not messages:
                return
            self.producer.begin_transaction()
            for message in messages:
                self.producer.produce("out", message.value(), partition=message.partition())
            positions = self.consumer.position(self.consumer.assignment())
            self.producer.send_offsets_to_transaction([p for p in positions if p.offset >= 0], self.consumer.consumer_group_metadata(), API_SECONDS)
            self.producer.commit_transaction(API_SECONDS)
            self.copied_at = time.monotonic()
        except KafkaException:
            try:
                self.close()  # what was not committed is read again by whoever comes next
            except KafkaException:
                self.consumer = self.producer = None

    def end(self):
        self.close()


class Watcher(Actor):
    """A plain group on "in": commits as it goes, and looks that what is committed never falls."""

    def __init__(self, address):
        super().__init__(address)
        self.consumer = Consumer({"bootstrap.servers": address, "group.id": "watchers", "auto.offset.reset": "earliest",
                                  "enable.auto.commit": False, "session.timeout.ms": 6000, **QUICK})
        self.consumer.subscribe(["in"])
        self.highest = {}

    def turn(self):
        messages = [m for m in self.consumer.consume(1000, 0.1) if not m.error()]
        try:
            if messages:
                for done in self.consumer.commit(asynchronous=False):
                    if not done.error and done.offset >= 0:
                        self.highest[done.partition] = max(self.highest.get(done.partition, 0), done.offset)
            for found in self.consumer.committed([TopicPartition("in", p) for p in self.highest], 5):
                assert found.offset >= self.highest[found.partition], f"partition {found.partition} fell to {found.offset} from {self.highest[found.partition]}"
        except KafkaException:
            pass

    def end(self):
        self.consumer.close()


def read(address, topic, isolation="read_committed"):
    """[values] of each partition."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "check", "enable.auto.commit": False, "enable.partition.eof": True, "isolation.level": isolation})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    found, ended = [[] for _ in range(PARTITIONS)], 0
    while ended < PARTITIONS:
        message = consumer.poll(15)
        assert message, f"nothing came from {topic}"
        if message.error():
            ended += 1
        else:
            found[message.partition()].append(message.value().decode())
    consumer.close()
    return found


def cast(address):
    writers = [Writer(address, p) for p in range(PARTITIONS)]
    return writers, [Transactor(address, n) for n in ("t1", "t2")], [Copier(address, n) for n in ("c1", "c2")], Watcher(address)


def check_transactions(server, transactors):
    seen = [set(values) for values in read(server.kafka, "all")]
    for values, partition in zip(read(server.kafka, "all"), seen):
        assert len(values) == len(partition), "a transaction's record is there twice"
        for name in {v.split(".")[0] for v in values}:
            numbers = [int(v.split(".")[1]) for v in values if v.startswith(name + ".")]
            assert numbers == sorted(numbers)
    assert all(partition == seen[0] for partition in seen), "a transaction is there in part"
    for transactor in transactors:
        for value, fate in transactor.fates.items():
            assert fate == "unknown" or (value in seen[0]) == (fate == "committed"), f"{value} is {fate}"


def wait_for_copies(server, writers):
    wanted = sum(writer.sent for writer in writers)
    deadline = time.monotonic() + 180
    while sum(map(len, read(server.kafka, "out"))) < wanted and time.monotonic() < deadline:
        time.sleep(0.5)


def test_killed_at_random(tmp_path):
    random.seed(SEED)
    print("SEED", SEED)
    port, actors, kills, begin = 0, [], 0, time.monotonic()
    while time.monotonic() - begin < SECONDS:
        with pytest.raises(AssertionError), brokers.start(tmp_path, kafka=f"127.0.0.1:{port}") as server:  # its exit code is not 0
            if not actors:
                port = server.kafka.rsplit(":", 1)[1]
                admin = AdminClient({"bootstrap.servers": server.kafka})
                for made in admin.create_topics([NewTopic(t, PARTITIONS, config={"segment.bytes": "262144"}) for t in ("in", "out", "all")]).values():
                    made.result(timeout=10)
                writers, transactors, copiers, watcher = cast(server.kafka)
                actors = [*writers, *transactors, *copiers, watcher]
                for actor in actors:
                    actor.start()
            time.sleep(0.4 + random.random() * 2)
            server.process.kill()
            kills += 1
    with brokers.start(tmp_path, kafka=f"127.0.0.1:{port}") as server:
        for actor in [*writers, *transactors, watcher]:
            actor.ending = True
        for actor in [*writers, *transactors, watcher]:
            actor.join(60)
        for actor in [*writers, *transactors, watcher]:
            assert not actor.is_alive() and not actor.failure, actor.failure
        if LONG:
            wait_for_copies(server, writers)
        for copier in copiers:
            copier.ending = True
            assert not copier.failure, copier.failure
        copied = read(server.kafka, "out")
        found = read(server.kafka, "in")
        for writer in writers:
            assert not writer.errors and writer.acknowledged == set(range(writer.sent))
            assert found[writer.partition] == [str(n) for n in range(writer.sent)]
        # librdkafka may sit out its own timeouts before it goes on, so the short run does not wait for the last record.
        assert all(copy == whole[:len(copy)] for copy, whole in zip(copied, found)), "copied wrong"
        assert not LONG or copied == found, "not all was copied"
        check_transactions(server, transactors)
    print(f"{kills} kills, {sum(w.sent for w in writers)} records, {sum(t.count for t in transactors)} transactions")
