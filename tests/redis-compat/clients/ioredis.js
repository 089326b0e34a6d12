// npm's ioredis against a server: what an application does with it. Arguments: port.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Redis } from "ioredis";

const port = Number(process.argv[2]);
const connect = (options = {}) => new Redis({ host: "127.0.0.1", port, ...options });
const r = connect();
assert.equal(await r.ping(), "PONG");
await r.flushall();

const bytes = Buffer.alloc(10240, Buffer.from(Array.from({ length: 256 }, (_, i) => i)));
await r.set("bin", bytes);
assert.deepEqual(await r.getBuffer("bin"), bytes);
assert.equal(await r.set("k", "v", "EX", 100, "NX"), "OK");
assert.equal(await r.set("k", "w", "NX"), null);
await r.hset("h", { a: 1, b: "two" });
assert.deepEqual(await r.hgetall("h"), { a: "1", b: "two" });
await r.zadd("z", 1, "one", 2.5, "two");
assert.deepEqual(await r.zrange("z", 0, -1, "WITHSCORES"), ["one", "1", "two", "2.5"]);
await assert.rejects(r.lpush("h", 1), /WRONGTYPE/);

// Commands that are sent at once travel together.
const automatic = connect({ enableAutoPipelining: true });
assert.deepEqual(await Promise.all(Array.from({ length: 500 }, (_, i) => automatic.incrby("sum", i))).then((all) => all.at(-1)), (499 * 500) / 2);
const pipeline = r.pipeline();
for (let i = 0; i < 1000; i++) pipeline.set(`p:${i}`, i);
assert.ok((await pipeline.exec()).every(([error, reply]) => error === null && reply === "OK"));
assert.deepEqual(await r.multi().incr("n").get("n").exec(), [[null, 1], [null, "1"]]);
await r.watch("n");
await automatic.set("n", 7);
assert.equal(await r.multi().incr("n").exec(), null);

let seen = 0;
for await (const keys of r.scanStream({ match: "p:*", count: 100 })) seen += keys.length;
assert.equal(seen, 1000);

const blocked = connect();
const popped = blocked.blpop("queue", 10);
await r.rpush("queue", "job");
assert.deepEqual(await popped, ["queue", "job"]);

const listener = connect();
await listener.subscribe("news");
await listener.psubscribe("other.*");
const message = once(listener, "message"), patternMessage = once(listener, "pmessage");
await r.publish("news", "a");
await r.publish("other.b", "c");
assert.deepEqual(await message, ["news", "a"]);
assert.deepEqual(await patternMessage, ["other.*", "other.b", "c"]);

const id = await r.xadd("st", "*", "a", "1");
await r.xgroup("CREATE", "st", "g", "0");
assert.deepEqual(await r.xreadgroup("GROUP", "g", "me", "COUNT", 1, "STREAMS", "st", ">"), [["st", [[id, ["a", "1"]]]]]);
assert.equal(await r.xack("st", "g", id), 1);

const watched = connect();
const monitor = await watched.monitor();
const shown = once(monitor, "monitor");
await r.echo("seen");
assert.deepEqual((await shown)[1], ["echo", "seen"]);

// What reconnects finds its subscriptions and its script again.
r.defineCommand("double", { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1]) * 2" });
assert.equal(await r.double("count", 21), 42);
await r.script("FLUSH");
assert.equal(await r.double("count", 0), 42);
const again = once(listener, "ready");
await r.client("KILL", "TYPE", "pubsub");
await again;
const afterwards = once(listener, "message");
while ((await r.pubsub("NUMSUB", "news"))[1] !== 1) await new Promise((resume) => setTimeout(resume, 10));
await r.publish("news", "still here");
assert.deepEqual(await afterwards, ["news", "still here"]);

for (const client of [r, automatic, blocked, listener, watched, monitor]) client.disconnect();
console.log("ok");
