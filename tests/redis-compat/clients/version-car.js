// What MIMEI EXPORT writes, checked with IPFS's own libraries and node's crypto: every CID, the MiMei's id, the author's signature, and the keys.
// None of Leither's code takes part. Then it is written anew by them, in another order and with a block that nothing needs, for MIMEI IMPORT.
import assert from 'node:assert';
import crypto from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline as copy } from 'node:stream/promises';
import { CarReader, CarWriter } from '@ipld/car';
import * as dagCbor from '@ipld/dag-cbor';
import { Redis } from 'ioredis';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';

const sha256 = bytes => crypto.createHash('sha256').update(bytes).digest();

const redis = new Redis(Number(process.argv[2]));
const pipeline = redis.pipeline();
for (let i = 0; i < 3000; i++) {
  pipeline.set(`key${i}`, `value${i}`);
  pipeline.hset('hash', `field${i}`, 'x'.repeat(i % 50));
}
pipeline.set('blob', crypto.randomBytes(500000));
pipeline.xadd('stream', '*', 'f', 'v');
pipeline.zadd('scores', 1.5, 'a', '-inf', 'b');
await pipeline.exec();
assert.strictEqual(await redis.call('MIMEI', 'BACKUP'), 1);
await redis.set('key0', 'changed');
assert.strictEqual(await redis.call('MIMEI', 'BACKUP', 'MEMO', 'second'), 2);
const file = path.join(process.env.TMPDIR || os.tmpdir(), 'version.car');
await redis.call('MIMEI', 'EXPORT', file, 'VERSION', '2');
const [mid] = await redis.call('MIMEI', 'ID');
const size = await redis.dbsize();

const car = await CarReader.fromBytes(fs.readFileSync(file));
const blocks = new Map();
const cids = [];
let info;
for await (const { cid, bytes } of car.blocks()) {
  assert.ok(sha256(bytes).equals(Buffer.from(cid.multihash.digest)), `${cid} is not the hash of its block`);
  assert.ok(!blocks.has(cid.toString()), `${cid} is there twice`);
  blocks.set(cid.toString(), bytes);
  cids.push(cid);
  info ??= bytes;
}
const read = cid => {
  const bytes = blocks.get(cid.toString());
  assert.ok(bytes, `${cid} is not there`);
  return cid.code === dagCbor.code ? dagCbor.decode(bytes) : bytes;
};

assert.strictEqual(sha256(info).subarray(0, 20).toString('base64url'), mid);
const roots = await car.getRoots();
assert.strictEqual(roots.length, 1);
const { sig, ...signed } = read(roots[0]);
assert.strictEqual(signed.version, 2);
assert.strictEqual(signed.memo, 'second');
assert.strictEqual(Buffer.from(signed.mid).toString('base64url'), mid);
const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), dagCbor.decode(info).author.slice(4)]);
const author = crypto.createPublicKey({ key: spki, format: 'der', type: 'spki' });
const message = Buffer.concat([Buffer.from('leither-version-1:'), dagCbor.encode(signed)]);
assert.ok(crypto.verify(null, message, author, sig), 'the signature is not the author\'s');
message[message.length - 1] ^= 1;
assert.ok(!crypto.verify(null, message, author, sig), 'the signature is anybody\'s');

const seen = new Set([roots[0].toString()]);
const walk = value => {
  const cid = CID.asCID(value);
  if (cid) {
    if (!seen.has(cid.toString())) {
      seen.add(cid.toString());
      walk(read(cid));
    }
  } else if (value && typeof value === 'object' && !(value instanceof Uint8Array)) {
    Object.values(value).forEach(walk);
  }
};
walk(signed.state);
assert.strictEqual(seen.size + 1, blocks.size, 'the file has blocks that the version does not need');

const keys = ([level, ...items]) => (level === 0 ? items.length : items.reduce((sum, [, child]) => sum + keys(read(child)), 0));
const [[number, root, count]] = read(signed.state).databases;
assert.strictEqual(number, 0);
assert.strictEqual(count, size);
assert.strictEqual(keys(read(root)), size);

const useless = dagCbor.encode({ nobody: 'needs this' });
const uselessCid = CID.createV1(dagCbor.code, createDigest(0x12, sha256(useless)));
const { writer, out } = CarWriter.create(roots);
const copied = copy(Readable.from(out), fs.createWriteStream(`${file}.again`));
await writer.put({ cid: uselessCid, bytes: useless });
for (const cid of cids.reverse()) {
  await writer.put({ cid, bytes: blocks.get(cid.toString()) });
}
await writer.close();
await copied;

assert.strictEqual(await redis.call('MIMEI', 'DELVERS', '2'), 1);
const reply = await redis.call('MIMEI', 'IMPORT', `${file}.again`);
const imported = Object.fromEntries(reply.flatMap((name, i) => (i % 2 === 0 ? [[name, reply[i + 1]]] : [])));
assert.strictEqual(imported.mid, mid);
assert.strictEqual(imported.added, 1);
assert.strictEqual(imported.leftout, 1);
assert.strictEqual(await redis.call('MIMEI', 'OPEN', mid, 'VERSION', '2'), 'OK');
assert.strictEqual(await redis.get('key0'), 'changed');
assert.strictEqual(await redis.hlen('hash'), 3000);
redis.disconnect();
console.log('ok');
