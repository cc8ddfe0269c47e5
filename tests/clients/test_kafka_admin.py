"""Topics and their settings through confluent-kafka's admin client (librdkafka 2.16); who may connect."""
import socket, uuid

import brokers, pytest
from confluent_kafka import KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource, NewPartitions, NewTopic,
                                   OffsetSpec, ResourceType)


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    with brokers.start(tmp_path_factory.mktemp("admin")) as server:
        yield server


@pytest.fixture(scope="module")
def admin(weir):
    return AdminClient({"bootstrap.servers": weir.kafka})


def refused(future):
    with pytest.raises(KafkaException) as failure:
        future.result(timeout=10)
    return failure.value.args[0].name()


def create(admin, name=None, partitions=2, **more):
    name = name or f"t-{uuid.uuid4().hex[:8]}"
    admin.create_topics([NewTopic(name, partitions, **more)])[name].result(timeout=10)
    return name


def settings(admin, name):
    resource = ConfigResource(ResourceType.TOPIC, name)
    return admin.describe_configs([resource])[resource].result(timeout=10)


def test_topics_come_and_go(admin):
    name = create(admin, partitions=3)
    described = admin.describe_topics(TopicCollection([name]))[name].result(timeout=10)
    assert len(described.partitions) == 3 and not described.is_internal
    admin.create_partitions([NewPartitions(name, 5)])[name].result(timeout=10)
    assert len(admin.list_topics(timeout=10).topics[name].partitions) == 5
    admin.delete_topics([name])[name].result(timeout=10)
    assert name not in admin.list_topics(timeout=10).topics


def test_refusals_are_kafkas(admin):
    name = create(admin)
    topics = lambda **more: admin.create_topics([NewTopic(**more)])[more["topic"]]
    assert refused(topics(topic=name, num_partitions=1)) == "TOPIC_ALREADY_EXISTS"
    assert refused(topics(topic="no/slash", num_partitions=1)) == "TOPIC_EXCEPTION"
    assert refused(topics(topic="..", num_partitions=1)) == "TOPIC_EXCEPTION"
    assert refused(topics(topic="r3", num_partitions=1, replication_factor=3)) == "INVALID_REPLICATION_FACTOR"
    assert refused(topics(topic="c", num_partitions=1, config={"no.such": "1"})) == "INVALID_CONFIG"
    assert refused(topics(topic="c", num_partitions=1, config={"retention.ms": "long"})) == "INVALID_CONFIG"
    assert refused(topics(topic="weir.mine", num_partitions=1)) == "TOPIC_AUTHORIZATION_FAILED"
    assert refused(admin.create_partitions([NewPartitions(name, 2)])[name]) == "INVALID_PARTITIONS"
    assert refused(admin.delete_topics(["absent"])["absent"]) == "UNKNOWN_TOPIC_OR_PART"
    assert refused(admin.delete_topics(["weir.calls"])["weir.calls"]) == "TOPIC_AUTHORIZATION_FAILED"
    assert not {"r3", "c", "weir.mine"} & set(admin.list_topics(timeout=10).topics)


def test_settings_are_described_with_defaults(admin):
    found = settings(admin, create(admin, config={"retention.ms": "1000", "cleanup.policy": "compact"}))
    assert found["retention.ms"].value == "1000" and found["retention.ms"].source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    assert found["cleanup.policy"].value == "compact"
    assert found["max.message.bytes"].value == "1048588" and found["max.message.bytes"].is_default
    assert found["min.insync.replicas"].value == "1"
    assert "log.retention.ms" in found["retention.ms"].synonyms
    resource = ConfigResource(ResourceType.BROKER, "1")
    assert admin.describe_configs([resource])[resource].result(timeout=10)["num.partitions"].value == "4"


def test_settings_are_altered(admin):
    name = create(admin)
    change = lambda op, key, value: ConfigResource(ResourceType.TOPIC, name, incremental_configs=[
        ConfigEntry(key, value, incremental_operation=op)])
    alter = lambda *arguments: list(admin.incremental_alter_configs([change(*arguments)]).values())[0]
    alter(AlterConfigOpType.SET, "retention.ms", "5000").result(timeout=10)
    alter(AlterConfigOpType.APPEND, "cleanup.policy", "compact").result(timeout=10)
    assert settings(admin, name)["retention.ms"].value == "5000"
    assert settings(admin, name)["cleanup.policy"].value == "compact,delete"
    alter(AlterConfigOpType.SUBTRACT, "cleanup.policy", "delete").result(timeout=10)
    alter(AlterConfigOpType.DELETE, "retention.ms", None).result(timeout=10)
    assert settings(admin, name)["retention.ms"].value == "604800000"
    assert settings(admin, name)["cleanup.policy"].value == "compact"
    assert refused(alter(AlterConfigOpType.SET, "preallocate", "true")) == "INVALID_CONFIG"


def test_offsets_are_listed(admin, weir):
    name = create(admin, partitions=1)
    producer = Producer({"bootstrap.servers": weir.kafka})
    for i, ms in enumerate((1000, 9000, 5000)):
        producer.produce(name, str(i), timestamp=ms)
    producer.flush(10)
    where = lambda spec: list(admin.list_offsets({TopicPartition(name, 0): spec}).values())[0].result(timeout=10).offset
    assert (where(OffsetSpec.earliest()), where(OffsetSpec.latest()), where(OffsetSpec.max_timestamp())) == (0, 3, 1)
    assert where(OffsetSpec.for_timestamp(1001)) == 1


def test_records_are_deleted(admin, weir):
    name = create(admin, partitions=1)
    producer = Producer({"bootstrap.servers": weir.kafka})
    for i in range(10):
        producer.produce(name, str(i))
    producer.flush(10)
    where = lambda spec: list(admin.list_offsets({TopicPartition(name, 0): spec}).values())[0].result(timeout=10).offset
    remove = lambda offset: list(admin.delete_records([TopicPartition(name, 0, offset)]).values())[0]
    assert remove(4).result(timeout=10).low_watermark == 4
    assert (where(OffsetSpec.earliest()), where(OffsetSpec.latest())) == (4, 10)
    assert refused(remove(11)) == "OFFSET_OUT_OF_RANGE"


def test_the_limit_of_a_message(admin, weir):
    name = create(admin, partitions=1, config={"max.message.bytes": "2000"})
    failures = []
    producer = Producer({"bootstrap.servers": weir.kafka})
    for size in (100, 3000):
        producer.produce(name, b"x" * size, on_delivery=lambda error, _: failures.append(error and error.name()))
        producer.flush(10)
    assert failures == [None, "MSG_SIZE_TOO_LARGE"]


# ---- Who may connect ----

def outside():
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return s.getsockname()[0]


def test_from_elsewhere_only_with_a_key(tmp_path):
    host = outside()
    with brokers.start(tmp_path, kafka="0.0.0.0:0") as server:
        address = f"{host}:{server.kafka.rsplit(':', 1)[1]}"
        sasl = {"bootstrap.servers": address, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "cli"}
        brokers_seen = AdminClient({**sasl, "sasl.password": brokers.KEY}).list_topics(timeout=10).brokers
        assert [f"{b.host}:{b.port}" for b in brokers_seen.values()] == [address]
        for wrong in ({"bootstrap.servers": address}, {**sasl, "sasl.password": "guess"}, {**sasl, "sasl.username": "x", "sasl.password": brokers.KEY}):
            with pytest.raises(KafkaException):
                AdminClient({**wrong, "log_level": 0}).list_topics(timeout=1.5)
        assert brokers.KEY not in server.stderr.read_text()
