"""Transactions: librdkafka's producer through confluent-kafka, against what readers of committed records may see."""
import subprocess, time

import brokers, kafka_wire, pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 2


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    with brokers.start(tmp_path_factory.mktemp("transactions")) as server:
        yield server


@pytest.fixture
def topic(weir, request):
    name = request.node.name.replace("[", "-").strip("]")
    make_topic(weir, name)
    return name


def make_topic(weir, name):
    admin = AdminClient({"bootstrap.servers": weir.kafka})
    admin.create_topics([NewTopic(name, PARTITIONS)])[name].result(timeout=10)


def producer(weir, name, **settings):
    made = Producer({"bootstrap.servers": weir.kafka, "transactional.id": name, "log_level": 0, "linger.ms": 1,
                     "retry.backoff.ms": 20, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100,
                     **{k.replace("_", "."): v for k, v in settings.items()}})
    made.init_transactions(20)
    return made


def write(producer_, topic, values, partition=0):
    for value in values:
        producer_.produce(topic, value, partition=partition)
    producer_.flush(10)


def read(weir, topic, isolation="read_committed", partitions=PARTITIONS):
    consumer = Consumer({"bootstrap.servers": weir.kafka, "group.id": "reader", "enable.auto.commit": False,
                         "enable.partition.eof": True, "isolation.level": isolation})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    found, ended = [], 0
    while ended < partitions:
        message = consumer.poll(10)
        assert message, "nothing came"
        if message.error():
            ended += 1
        else:
            found.append(message.value().decode())
    consumer.close()
    return found


def test_committed_is_seen_and_aborted_is_not(weir, topic):
    p = producer(weir, topic)
    p.begin_transaction()
    write(p, topic, ["a1", "a2"])
    write(p, topic, ["b1"], partition=1)
    assert read(weir, topic) == [] and sorted(read(weir, topic, "read_uncommitted")) == ["a1", "a2", "b1"]
    p.commit_transaction(10)
    assert sorted(read(weir, topic)) == ["a1", "a2", "b1"]
    p.begin_transaction()
    write(p, topic, ["lost"])
    p.abort_transaction(10)
    plain = Producer({"bootstrap.servers": weir.kafka})
    write(plain, topic, ["plain"])
    p.begin_transaction()
    write(p, topic, ["c1"])
    p.commit_transaction(10)
    assert sorted(read(weir, topic)) == ["a1", "a2", "b1", "c1", "plain"]
    assert "lost" in read(weir, topic, "read_uncommitted")


def test_an_open_transaction_holds_back_what_follows(weir, topic):
    consumer = Consumer({"bootstrap.servers": weir.kafka, "group.id": "none", "isolation.level": "read_committed"})
    p = producer(weir, topic)
    p.begin_transaction()
    write(p, topic, ["first"])
    write(Producer({"bootstrap.servers": weir.kafka}), topic, ["behind"])
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0)) == (0, 0)  # the last stable offset
    assert read(weir, topic) == []
    p.abort_transaction(10)
    assert read(weir, topic) == ["behind"]
    consumer.close()


def test_a_waiting_reader_is_woken_by_the_end_of_a_transaction(weir, topic):
    consumer = Consumer({"bootstrap.servers": weir.kafka, "group.id": "none", "fetch.wait.max.ms": 10000})
    consumer.assign([TopicPartition(topic, 0, 0)])
    p = producer(weir, topic)
    p.begin_transaction()
    write(p, topic, ["x"])
    assert consumer.poll(0.5) is None
    p.commit_transaction(10)
    begin = time.monotonic()
    assert consumer.poll(5).value() == b"x" and time.monotonic() - begin < 1
    consumer.close()


def test_a_new_producer_fences_the_old(weir, topic):
    old = producer(weir, topic)
    old.begin_transaction()
    write(old, topic, ["zombie"])
    new = producer(weir, topic)
    with pytest.raises(KafkaException) as raised:
        old.commit_transaction(10)
    assert raised.value.args[0].fatal() and raised.value.args[0].code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED,
                                                                           KafkaError.INVALID_PRODUCER_EPOCH)
    new.begin_transaction()
    write(new, topic, ["new"])
    new.commit_transaction(10)
    assert read(weir, topic) == ["new"]


def test_time_runs_out(weir, topic):
    p = producer(weir, topic, transaction_timeout_ms=1500)
    p.begin_transaction()
    write(p, topic, ["slow"])
    deadline = time.monotonic() + 8
    write(Producer({"bootstrap.servers": weir.kafka}), topic, ["after"])
    while read(weir, topic) != ["after"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    with pytest.raises(KafkaException):
        p.commit_transaction(10)


def copy(weir, source, target, count, name, abort_at=()):
    """Consume, transform, produce; each transaction takes the offsets along."""
    consumer = Consumer({"bootstrap.servers": weir.kafka, "group.id": name, "auto.offset.reset": "earliest",
                         "enable.auto.commit": False})
    consumer.subscribe([source])
    p = producer(weir, name)
    done, rounds = 0, 0
    while done < count:
        messages = consumer.consume(7, 5)
        assert messages, "nothing came"
        p.begin_transaction()
        for message in messages:
            p.produce(target, message.value().upper(), partition=message.partition())
        p.send_offsets_to_transaction(consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 10)
        rounds += 1
        if rounds in abort_at:
            p.abort_transaction(10)
            for part in consumer.committed(consumer.assignment()):
                part.offset = max(part.offset, 0)
                consumer.seek(part)
            continue
        p.commit_transaction(10)
        done += len(messages)
    committed = sum(part.offset for part in consumer.committed(consumer.assignment()))
    consumer.close()
    return committed


def test_exactly_once_through_a_copier(weir, topic):
    target = topic + "-out"
    make_topic(weir, target)
    values = [f"v{i}" for i in range(60)]
    plain = Producer({"bootstrap.servers": weir.kafka})
    write(plain, topic, values[:30])
    write(plain, topic, values[30:], partition=1)
    assert copy(weir, topic, target, 60, topic, abort_at=(2, 5)) == 60
    assert sorted(read(weir, target)) == sorted(v.upper() for v in values)


def test_offsets_of_an_aborted_transaction_do_not_count(weir, topic):
    group = topic + "-group"
    consumer = Consumer({"bootstrap.servers": weir.kafka, "group.id": group})
    p = producer(weir, topic)
    for end, wanted in ((p.abort_transaction, -1001), (p.commit_transaction, 5)):
        p.begin_transaction()
        write(p, topic, ["x"])
        p.send_offsets_to_transaction([TopicPartition(topic, 0, 5)], consumer.consumer_group_metadata(), 10)
        end(10)
        assert consumer.committed([TopicPartition(topic, 0)], 10)[0].offset == wanted
    consumer.close()


def test_a_killed_weir_goes_on_with_what_was_begun(tmp_path):
    port = 0
    with pytest.raises(AssertionError), brokers.start(tmp_path) as server:
        port = server.kafka.rsplit(":", 1)[1]
        make_topic(server, "t")
        p = producer(server, "x")
        for n in range(3):
            p.begin_transaction()
            write(p, "t", [f"committed{n}"])
            p.commit_transaction(10)
        p.begin_transaction()
        write(p, "t", ["aborted"])
        p.abort_transaction(10)
        p.begin_transaction()
        write(p, "t", ["over the kill"])
        left = producer(server, "left", transaction_timeout_ms=60000)
        left.begin_transaction()
        write(left, "t", ["left behind"], partition=1)
        server.process.kill()
    with brokers.start(tmp_path, kafka=f"127.0.0.1:{port}") as server:
        assert read(server, "t") == ["committed0", "committed1", "committed2"]
        p.commit_transaction(20)
        assert read(server, "t") == ["committed0", "committed1", "committed2", "over the kill"]
        new = producer(server, "left")
        new.begin_transaction()
        write(new, "t", ["begun anew"], partition=1)
        new.commit_transaction(10)
        assert sorted(read(server, "t")) == ["begun anew", "committed0", "committed1", "committed2", "over the kill"]


def test_a_batch_of_no_transaction_is_refused(weir, topic):
    """What says that it is transactional, from a producer that has begun no transaction."""
    with kafka_wire.Wire(weir.kafka) as wire:
        transactional = kafka_wire.batch([b"x"], attributes=16, producer=4000, epoch=0, sequence=0)
        assert wire.produce(topic, 0, transactional) == 53  # TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        assert wire.produce(topic, 0, transactional, transactional_id="none") == 49  # INVALID_PRODUCER_ID_MAPPING
        p = producer(weir, topic)
        assert wire.produce(topic, 0, transactional, transactional_id=topic) == 49  # another producer's
        assert wire.produce(topic, 0, kafka_wire.batch([b"x"], attributes=48, producer=4000, epoch=0, sequence=0), transactional_id=topic) in (49, 87)
        assert wire.produce(topic, 0, kafka_wire.batch([b"x"], attributes=32)) == 87  # a control batch
        assert wire.produce("__transaction_state", 0, kafka_wire.batch([b"x"], key=b"k")) == 17  # INVALID_TOPIC_EXCEPTION
        del p
    assert read(weir, topic, "read_uncommitted") == []


def test_transactions_are_listed(weir, topic):
    p = producer(weir, topic)
    p.begin_transaction()
    write(p, topic, ["x"])
    with kafka_wire.Wire(weir.kafka) as wire:
        answer = wire.ask(66, 0, b"\x00\x01\x01\x00")  # no filters
        assert topic.encode() in answer and b"Ongoing" in answer
        answer = wire.ask(65, 0, b"\x00\x02" + bytes([len(topic) + 1]) + topic.encode() + b"\x00")
        assert b"Ongoing" in answer
        answer = wire.ask(61, 0, b"\x00\x02" + bytes([len(topic) + 1]) + topic.encode() + b"\x02\x00\x00\x00\x00\x00\x00")
        assert answer.endswith(b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")  # its transaction begins at 0
    p.abort_transaction(10)
