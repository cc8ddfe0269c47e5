"""Consumer groups with librdkafka (confluent-kafka), kafkajs and aiokafka: members come, go and die; offsets stay."""
import asyncio, json, pathlib, re, signal, subprocess, sys, time, uuid

import aiokafka, brokers, httpx, pytest, servers
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    with brokers.start(tmp_path_factory.mktemp("groups")) as server:
        yield server


def topic_of(weir, partitions=4, count=0):
    name = f"t-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": weir.kafka})  # it ends with its last reference, and so would what it does
    admin.create_topics([NewTopic(name, partitions)])[name].result(timeout=10)
    produce(weir, name, range(count))
    return name


def produce(weir, topic, values):
    producer = Producer({"bootstrap.servers": weir.kafka, "linger.ms": 2})
    for value in values:
        producer.produce(topic, str(value), key=str(value))
    assert producer.flush(10) == 0


def member(weir, topic, group, **more):
    consumer = Consumer({"bootstrap.servers": weir.kafka, "group.id": group, "auto.offset.reset": "earliest", "session.timeout.ms": 6000,
                         "heartbeat.interval.ms": 200, "enable.auto.commit": False, "fetch.wait.max.ms": 50} | more)
    consumer.subscribe([topic])
    return consumer


def poll_until(consumers, enough, seconds=20):
    """Values by consumer, until enough(values of all) says so."""
    seen = {c: [] for c in consumers}
    deadline = time.monotonic() + seconds
    while not enough(seen):
        assert time.monotonic() < deadline, {c: len(v) for c, v in seen.items()}
        for c in consumers:
            message = c.poll(0.02)
            if message is not None and not message.error():
                seen[c].append(int(message.value()))
    return seen


def all_of(count):
    return lambda seen: sum(map(len, seen.values())) >= count


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_partitions_are_shared_and_taken_over(weir, strategy):
    topic = topic_of(weir)
    more = {"partition.assignment.strategy": strategy}
    one, two = (member(weir, topic, f"g-{strategy}", **more) for _ in range(2))
    poll_until([one, two], lambda _: len(one.assignment()) == 2 and len(two.assignment()) == 2)
    produce(weir, topic, range(100))
    seen = poll_until([one, two], all_of(100))
    assert sorted(seen[one] + seen[two]) == list(range(100)) and seen[one] and seen[two]
    for consumer in one, two:
        consumer.commit(asynchronous=False)
    two.close()
    poll_until([one], lambda _: len(one.assignment()) == 4)
    produce(weir, topic, range(100, 120))
    assert sorted(poll_until([one], all_of(20))[one]) == list(range(100, 120))
    one.close()


def test_a_static_member_comes_back_without_a_rebalance(weir):
    topic = topic_of(weir, count=10)
    instance = {"group.instance.id": "rack-1"}
    first = member(weir, topic, "static", **instance)
    poll_until([first], all_of(10))
    admin = AdminClient({"bootstrap.servers": weir.kafka})
    members = lambda: admin.describe_consumer_groups(["static"])["static"].result(timeout=10).members
    before = members()
    first.close()  # a static member does not leave
    assert len(members()) == 1 and members()[0].group_instance_id == "rack-1"
    again = member(weir, topic, "static", **instance)
    poll_until([again], all_of(10))  # nothing was committed
    assert members()[0].member_id != before[0].member_id
    again.close()


def test_a_member_that_dies_is_missed(weir):
    topic = topic_of(weir, partitions=2)
    survivor = member(weir, topic, "dying")
    script = ("import sys, time; from confluent_kafka import Consumer; c = Consumer({'bootstrap.servers': sys.argv[1], 'group.id': 'dying',"
              "'session.timeout.ms': 6000, 'heartbeat.interval.ms': 200}); c.subscribe([sys.argv[2]])\n"
              "while True:\n  c.poll(0.1)\n  print(len(c.assignment()), flush=True)")
    other = subprocess.Popen([sys.executable, "-c", script, weir.kafka, topic], stdout=subprocess.PIPE, text=True)
    try:
        poll_until([survivor], lambda _: len(survivor.assignment()) == 1)
        other.send_signal(signal.SIGKILL)
        start = time.monotonic()
        poll_until([survivor], lambda _: len(survivor.assignment()) == 2)
        assert time.monotonic() - start > 3  # its session had to end first
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
        survivor.close()


def test_offsets_are_kept_with_their_metadata(weir):
    topic = topic_of(weir, partitions=2, count=20)
    consumer = Consumer({"bootstrap.servers": weir.kafka, "group.id": "kept"})
    consumer.commit(offsets=[TopicPartition(topic, 0, 7, "seven"), TopicPartition(topic, 1, 0)], asynchronous=False)
    found = consumer.committed([TopicPartition(topic, p) for p in (0, 1)], timeout=10)
    assert [(t.offset, t.metadata or "") for t in found] == [(7, "seven"), (0, "")]
    with pytest.raises(KafkaException):
        consumer.commit(offsets=[TopicPartition(topic, 0, 1, "x" * 5000)], asynchronous=False)
    consumer.close()
    admin = AdminClient({"bootstrap.servers": weir.kafka})
    assert "kept" in {g.group_id for g in admin.list_consumer_groups().result(timeout=10).valid}
    assert admin.describe_consumer_groups(["kept"])["kept"].result(timeout=10).state.name == "EMPTY"
    admin.delete_consumer_groups(["kept"])["kept"].result(timeout=10)
    consumer = Consumer({"bootstrap.servers": weir.kafka, "group.id": "kept"})
    assert consumer.committed([TopicPartition(topic, 0)], timeout=10)[0].offset < 0
    consumer.close()


def test_lag_is_in_the_metrics(weir):
    topic = topic_of(weir, partitions=1, count=20)
    consumer = Consumer({"bootstrap.servers": weir.kafka, "group.id": 'behind "them"'})
    consumer.commit(offsets=[TopicPartition(topic, 0, 13)], asynchronous=False)
    consumer.close()
    text = httpx.get(weir.url + "/metrics").text
    assert f'weir_kafka_consumer_lag{{group="behind \\"them\\"",topic="{topic}",partition="0"}} 7\n' in text
    assert "weir_kafka_connections " in text


def test_offsets_survive_sigkill(tmp_path):
    with pytest.raises(AssertionError), brokers.start(tmp_path) as server:  # its exit code is not 0
        topic = topic_of(server, partitions=1, count=50)
        consumer = member(server, topic, "durable")
        poll_until([consumer], all_of(30))
        consumer.commit(offsets=[TopicPartition(topic, 0, 30)], asynchronous=False)
        server.process.kill()
    with brokers.start(tmp_path) as server:
        consumer = member(server, topic, "durable")
        assert poll_until([consumer], all_of(20))[consumer] == list(range(30, 50))
        consumer.close()


def test_weir_group_lists_describes_and_moves(weir):
    topic = topic_of(weir, partitions=2)
    producer = Producer({"bootstrap.servers": weir.kafka})
    for i in range(20):
        producer.produce(topic, str(i), partition=i % 2)
    assert producer.flush(10) == 0
    name = f"moved-{uuid.uuid4().hex[:8]}"
    consumer = member(weir, topic, name)
    poll_until([consumer], all_of(20))
    consumer.commit(asynchronous=False)
    said = servers.run("group", "list", env=weir.env).stdout
    assert re.search(rf"^{name} +Stable +1 +", said, re.M), said
    held = servers.run("group", "reset", name, "--topic", topic, "--to", "start", env=weir.env)
    assert held.returncode == 1 and "has members" in held.stderr
    consumer.close()
    moved = servers.run("group", "reset", name, "--topic", topic, "--partition", "1", "--to", "3", "--json", env=weir.env)
    assert json.loads(moved.stdout)["offsets"] == [{"partition": 1, "from": 10, "to": 3}], moved.stderr
    described = servers.run("group", "describe", name, env=weir.env).stdout
    assert re.search(rf"^{topic} +0 +10 +0$", described, re.M) and re.search(rf"^{topic} +1 +3 +7$", described, re.M), described
    consumer = member(weir, topic, name)
    assert len(poll_until([consumer], all_of(7))[consumer]) == 7
    consumer.close()
    for wrong, code in ((["--to", "99"], 1), (["--to", "soon"], 1), ([], 2)):
        assert servers.run("group", "reset", name, "--topic", topic, *wrong, env=weir.env).returncode == code
    missing = servers.run("group", "reset", "nobody", "--topic", topic, "--to", "end", env=weir.env)
    assert missing.returncode == 1 and "no group 'nobody'" in missing.stderr


def test_kafkajs(weir):
    script = pathlib.Path(__file__).parent / "kafkajs_client.mjs"
    done = subprocess.run(["node", str(script), weir.kafka, f"js-{uuid.uuid4().hex[:8]}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("seen") == list(range(101))
    assert "js" not in found.pop("groups")
    assert found == {"state": "Empty", "members": 0, "committed": 101} or found == {"state": "Stable", "members": 1, "committed": 101}


def test_aiokafka(weir):
    async def run():
        topic = topic_of(weir, partitions=2)
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=weir.kafka)
        await producer.start()
        for i in range(50):
            await producer.send(topic, str(i).encode(), partition=i % 2)
        await producer.stop()
        consumers = [aiokafka.AIOKafkaConsumer(topic, bootstrap_servers=weir.kafka, group_id="aio", auto_offset_reset="earliest",
                                               enable_auto_commit=False) for _ in range(2)]
        for consumer in consumers:
            await consumer.start()
        seen = []
        while len(seen) < 50:
            for consumer in consumers:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    seen += [int(r.value) for r in records]
        await asyncio.gather(*(c.commit() for c in consumers))
        for consumer in consumers:
            await consumer.stop()
        return sorted(set(seen))
    assert asyncio.run(asyncio.wait_for(run(), 30)) == list(range(50))
