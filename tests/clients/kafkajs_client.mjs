// kafkajs against a broker: what it saw, as JSON. Arguments: address, topic.
import kafkajs from "kafkajs";

const { Kafka, CompressionTypes, logLevel } = kafkajs;
const [broker, topic] = process.argv.slice(2);
const kafka = new Kafka({ clientId: "test", brokers: [broker], logLevel: logLevel.ERROR });
const admin = kafka.admin();
await admin.connect();
await admin.createTopics({ topics: [{ topic, numPartitions: 2 }], waitForLeaders: true });

const producer = kafka.producer();
await producer.connect();
for (let batch = 0; batch < 5; batch++)
  await producer.send({
    topic,
    compression: batch % 2 ? CompressionTypes.GZIP : CompressionTypes.None,
    messages: Array.from({ length: 20 }, (_, i) => ({ key: `k${i}`, value: `${batch * 20 + i}`, headers: { batch: `${batch}` } })),
  });

const seen = [];
const run = async (groupId, wanted) => {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 10000, maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  let enough;
  const done = new Promise((resolve) => (enough = resolve));
  const from = seen.length;
  await consumer.run({
    eachMessage: async ({ message }) => {
      seen.push(Number(message.value));
      if (seen.length - from === wanted) enough();
    },
  });
  await done;
  await consumer.stop();
  const described = await admin.describeGroups([groupId]);
  await consumer.disconnect();
  return described.groups[0];
};
const group = await run("js", 100);
await producer.send({ topic, messages: [{ value: "100" }] });
await run("js", 1); // goes on where it was
const offsets = await admin.fetchOffsets({ groupId: "js", topics: [topic] });
await admin.deleteGroups(["js"]);
const groups = (await admin.listGroups()).groups.map((g) => g.groupId);
await producer.disconnect();
await admin.disconnect();
console.log(JSON.stringify({
  seen: [...seen].sort((a, b) => a - b),
  state: group.state,
  members: group.members.length,
  committed: offsets[0].partitions.reduce((sum, p) => sum + Number(p.offset), 0),
  groups,
}));
