// Files, directories and names as IPFS's own JavaScript libraries make them, for comparison with Leither's.
//   node unixfs.js make FOLDER      prints the CIDs of all cases, and writes the blocks of one of them into FOLDER/js
//   node unixfs.js read FOLDER CID  reads what CID leads to from FOLDER/leither and prints each path with the SHA-256 of its content
//   node unixfs.js ipns FOLDER      checks FOLDER/leither.ipns-record, and writes FOLDER/js.ipns-record with a key of its own
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { MemoryBlockstore } from 'blockstore-core';
import { exporter, recursive } from 'ipfs-unixfs-exporter';
import { importer } from 'ipfs-unixfs-importer';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { createIPNSRecord, marshalIPNSRecord, multihashToIPNSRoutingKey, unmarshalIPNSRecord } from 'ipns';
import { ipnsValidator } from 'ipns/validator';
import { CID } from 'multiformats/cid';

const bytes = length => {
  const made = new Uint8Array(length);
  for (let i = 0; i < length; i++) made[i] = i * 31 + (i >>> 8) * 7 + (i >>> 16) + (i >>> 24);
  return made;
};
const files = count => Array.from({ length: count }, (_, i) => ({ path: `d/file-${i}.txt`, content: bytes(i % 100) }));
const root = async (source, store, options) => {
  let last;
  for await (const entry of importer(source, store, options)) last = entry;
  return last.cid.toString();
};
const collect = async chunks => {
  if (chunks instanceof Uint8Array) return Buffer.from(chunks);
  const all = [];
  for await (const chunk of await chunks) all.push(chunk);
  return Buffer.concat(all);
};

const [what, folder, cid] = process.argv.slice(2);
if (what === 'make') {
  const cids = {};
  for (const [profile, chunk, width] of [['unixfs-v0-2015', 262144, 174], ['unixfs-v1-2025', 1048576, 1024]]) {
    const few = width < 200 ? [width - 1, width, width + 1] : [3];
    const sizes = [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, ...few.flatMap(n => [n * chunk - 1, n * chunk, n * chunk + 1])];
    for (const size of new Set(sizes)) {
      cids[`${profile} file ${size}`] = await root([{ content: bytes(size) }], new MemoryBlockstore(), { profile });
    }
    for (const count of [0, 1, 1000, 10000]) {
      const source = count ? files(count) : [{ path: 'd' }];
      cids[`${profile} directory ${count}`] = await root(source, new MemoryBlockstore(), { profile });
    }
    cids[`${profile} mtime`] = await root([{ path: 'd', mtime: { secs: 5n, nsecs: 7 }, mode: 0o700 }], new MemoryBlockstore(), { profile });
  }

  const store = new MemoryBlockstore();
  const source = [...files(6000), { path: 'd/big', content: bytes(3 * 1048576 + 5) }];
  cids.made = await root(source, store, { profile: 'unixfs-v1-2025' });
  fs.mkdirSync(path.join(folder, 'js'));
  for await (const pair of store.getAll()) {
    fs.writeFileSync(path.join(folder, 'js', pair.cid.toString()), await collect(pair.bytes ?? pair.block));
  }
  console.log(JSON.stringify(cids));
} else if (what === 'read') {
  const store = new MemoryBlockstore();
  for (const name of fs.readdirSync(path.join(folder, 'leither'))) {
    await store.put(CID.parse(name), fs.readFileSync(path.join(folder, 'leither', name)));
  }
  const read = {};
  for await (const entry of recursive(CID.parse(cid), store)) {
    const name = entry.path.split('/').slice(1).join('/');
    const node = await exporter(entry.cid, store);
    read[name] = node.type === 'directory' ? 'directory' : crypto.createHash('sha256').update(await collect(node.content())).digest('hex');
  }
  console.log(JSON.stringify(read));
} else {
  const name = CID.parse(fs.readFileSync(path.join(folder, 'name'), 'utf8').trim());
  const record = fs.readFileSync(path.join(folder, 'leither.ipns-record'));
  await ipnsValidator(multihashToIPNSRoutingKey(name.multihash), record);
  const { value, sequence, ttl, validity } = unmarshalIPNSRecord(record);
  const made = {};
  for (const type of ['Ed25519', 'secp256k1', 'RSA']) {
    const key = await generateKeyPair(type);
    const own = await createIPNSRecord(key, '/ipfs/bafkqaddwgevxmmraojswg33smq', 42, 3600_000, { ttlNs: 60_000_000_000n, v1Compatible: true });
    fs.writeFileSync(path.join(folder, `js-${type}.ipns-record`), marshalIPNSRecord(own));
    made[type] = key.publicKey.toCID().toString();
  }
  console.log(JSON.stringify({ value, validity, sequence: String(sequence), ttl: String(ttl), made }));
}
