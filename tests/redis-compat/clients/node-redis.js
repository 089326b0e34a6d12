// npm's redis against a server, in both protocols: what an application does with it. Arguments: port.
import assert from "node:assert/strict";
import { createClient } from "redis";

const url = `redis://127.0.0.1:${process.argv[2]}`;
for (const RESP of [2, 3]) {
  const r = await createClient({ url, RESP }).connect();
  await r.flushAll();
  assert.equal(await r.set("k", "v", { EX: 100, NX: true }), "OK");
  assert.equal(await r.set("k", "w", { NX: true }), null);
  await r.hSet("h", { a: "1", b: "two" });
  assert.deepEqual({ ...(await r.hGetAll("h")) }, { a: "1", b: "two" });
  await r.zAdd("z", [{ score: 1, value: "one" }, { score: 2.5, value: "two" }]);
  assert.deepEqual(await r.zRangeWithScores("z", 0, -1), [{ value: "one", score: 1 }, { value: "two", score: 2.5 }]);
  assert.equal(await r.sAdd("s", ["a", "b"]), 2);
  assert.deepEqual([...(await r.sMembers("s"))].sort(), ["a", "b"]);
  await assert.rejects(r.lPush("h", "x"), /WRONGTYPE/);
  assert.deepEqual(await r.multi().incr("n").get("n").exec(), [1, "1"]);
  await Promise.all(Array.from({ length: 1000 }, (_, i) => r.set(`p:${i}`, String(i))));
  let seen = 0;
  for await (const keys of r.scanIterator({ MATCH: "p:*", COUNT: 100 })) seen += [keys].flat().length;
  assert.equal(seen, 1000);

  const other = await r.duplicate().connect();
  const popped = other.blPop("queue", 10);
  await r.rPush("queue", "job");
  assert.deepEqual({ ...(await popped) }, { key: "queue", element: "job" });
  const heard = new Promise((hear) => other.subscribe("news", (message, channel) => hear([message, channel])));
  while ((await r.publish("news", "hello")) === 0) await new Promise((resume) => setTimeout(resume, 5));
  assert.deepEqual(await heard, ["hello", "news"]);

  const id = await r.xAdd("st", "*", { a: "1" });
  assert.equal((await r.xRange("st", "-", "+"))[0].id, id);
  assert.equal(await r.eval("return redis.call('INCRBY', KEYS[1], ARGV[1])", { keys: ["count"], arguments: ["5"] }), 5);
  other.destroy();
  await r.close();
}

console.log("ok");
