"""Compaction and append time, as a client sees them."""
import random, time

import brokers, pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    with brokers.start(tmp_path_factory.mktemp("compaction")) as server:
        yield server


def make_topic(weir, name, **config):
    admin = AdminClient({"bootstrap.servers": weir.kafka})
    admin.create_topics([NewTopic(name, 1, config={k.replace("_", "."): v for k, v in config.items()})])[name].result(timeout=10)


def read(weir, topic):
    consumer = Consumer({"bootstrap.servers": weir.kafka, "group.id": "reader", "enable.auto.commit": False, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    while not (message := consumer.poll(10)).error():
        found.append((message.offset(), message.key(), message.value(), message.timestamp()))
    consumer.close()
    return found


def test_of_each_key_the_newest_stays(weir):
    make_topic(weir, "compacted", cleanup_policy="compact", segment_bytes="65536", min_cleanable_dirty_ratio="0.1", delete_retention_ms="100")
    producer = Producer({"bootstrap.servers": weir.kafka, "linger.ms": 1, "batch.num.messages": 10, "compression.type": "lz4"})
    random.seed(3)
    newest = {}
    for i in range(2000):
        key = f"k{random.randrange(20)}"
        value = None if random.random() < 0.05 else random.randbytes(500)
        newest[key] = (i, value)
        producer.produce("compacted", value, key)
        if i % 10 == 9:
            producer.flush(10)
    producer.flush(10)
    deadline = time.monotonic() + 15
    while len(found := read(weir, "compacted")) > 500:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    last = {}
    for offset, key, value, _ in found:
        last[key.decode()] = (offset, value)
    assert {k: v for k, v in newest.items() if v[1] is not None} == {k: v for k, v in last.items() if v[1] is not None}
    assert all(newest[k] == v for k, v in last.items())


def test_a_record_without_a_key_is_refused_there(weir):
    make_topic(weir, "keys", cleanup_policy="compact")
    errors = []
    for codec in ("none", "zstd"):
        producer = Producer({"bootstrap.servers": weir.kafka, "compression.type": codec})
        producer.produce("keys", b"x" * 100, on_delivery=lambda error, _: errors.append(error.name()))
        producer.flush(10)
    assert errors == ["INVALID_RECORD"] * 2


def test_append_time(weir):
    make_topic(weir, "stamped", message_timestamp_type="LogAppendTime")
    producer = Producer({"bootstrap.servers": weir.kafka})
    told = []
    before = time.time() * 1000
    producer.produce("stamped", b"x", timestamp=12345, on_delivery=lambda _, message: told.append(message.timestamp()))
    producer.flush(10)
    (_, _, _, (kind, ms)), = read(weir, "stamped")
    assert kind == 2 and before - 1000 < ms < time.time() * 1000 + 1000 and told == [(2, ms)]


def test_settings_are_kept_and_told(weir):
    wanted = {"cleanup.policy": "compact,delete", "min.compaction.lag.ms": "5000", "delete.retention.ms": "0",
              "min.cleanable.dirty.ratio": "0.25", "message.timestamp.type": "LogAppendTime"}
    make_topic(weir, "set", **{k.replace(".", "_"): v for k, v in wanted.items()})
    admin = AdminClient({"bootstrap.servers": weir.kafka})
    resource = ConfigResource("topic", "set")
    told = admin.describe_configs([resource])[resource].result(timeout=10)
    assert {k: told[k].value for k in wanted} == wanted
    with pytest.raises(KafkaException):
        make_topic(weir, "wrong", min_cleanable_dirty_ratio="1.5")
