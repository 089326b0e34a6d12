// npm's BullMQ: jobs are queued, run by two workers, retried, delayed, chained; none is lost, none runs twice. Arguments: port.
import assert from "node:assert/strict";
import { FlowProducer, Queue, QueueEvents, Worker } from "bullmq";
import { Redis } from "ioredis";

const connection = { host: "127.0.0.1", port: Number(process.argv[2]), maxRetriesPerRequest: null };
const server = new Redis(connection);
await server.flushall();
const queue = new Queue("work", { connection });
const events = new QueueEvents("work", { connection });
await events.waitUntilReady();

const times = new Map();
async function run(job) {
  times.set(job.id, (times.get(job.id) ?? 0) + 1);
  if (job.name === "flaky" && job.attemptsMade < 2) throw new Error("not yet");
  if (job.name === "hopeless") throw new Error("never");
  return job.data.number * 2;
}

const many = await queue.addBulk(Array.from({ length: 200 }, (_, number) => ({ name: "count", data: { number } })));
const flaky = await queue.add("flaky", { number: 1 }, { attempts: 3, backoff: { type: "fixed", delay: 50 } });
const hopeless = await queue.add("hopeless", {}, { attempts: 2 });
const later = await queue.add("later", { number: 2 }, { delay: 300 });
const urgent = await queue.add("urgent", { number: 3 }, { priority: 1 });
assert.equal((await queue.getJobCounts()).delayed, 1);

const workers = [1, 2].map(() => new Worker("work", run, { connection, concurrency: 5 }));
const results = await Promise.all(many.map((job) => job.waitUntilFinished(events, 100_000)));
assert.deepEqual(results, many.map((_, number) => number * 2));
assert.equal(await flaky.waitUntilFinished(events, 100_000), 2);
assert.equal(await later.waitUntilFinished(events, 100_000), 4);
assert.equal(await urgent.waitUntilFinished(events, 100_000), 6);
await assert.rejects(hopeless.waitUntilFinished(events, 100_000), /never/);

const flow = new FlowProducer({ connection });
const tree = await flow.add({
  name: "parent", queueName: "work", data: { number: 5 },
  children: [1, 2, 3].map((number) => ({ name: "child", queueName: "work", data: { number } })),
});
assert.equal(await tree.job.waitUntilFinished(events, 100_000), 10);
assert.deepEqual(Object.values(await tree.job.getChildrenValues()).sort(), [2, 4, 6]);

for (const job of many) assert.equal(times.get(job.id), 1, `job ${job.id}`);
assert.equal(times.get(flaky.id), 3);
assert.equal(times.get(hopeless.id), 2);
const counts = await queue.getJobCounts();
assert.equal(counts.completed, 207);
assert.equal(counts.failed, 1);
assert.equal(counts.active + counts.waiting + counts.delayed + counts.prioritized, 0);
await Promise.all([...workers, queue, events, flow].map((each) => each.close()));
server.disconnect();
console.log("ok");
