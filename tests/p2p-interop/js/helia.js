// A node of Helia with js-libp2p's DHT and Bitswap that the tests drive (driver.js). Its arguments: the DHT's protocol, "none" for none; server or client.
//
//   connect ADDRESS            dials; returns when a server of the DHT is in its table
//   hangup PEER                closes the connections with the other side
//   provide CID                tells the DHT; how many peers were told
//   providers CID N            the first N providers that the DHT names
//   findpeer PEER              where the DHT says it is
//   put KEY VALUE, get KEY     values of the DHT, in hexadecimal
//   publish NAME CID N         an IPNS record of the key of that name; its name
//   resolve NAME               what the name points to
//   add BYTES PROFILE          adds a file of random bytes; its CID and SHA-256
//   adddir COUNT PROFILE       adds a directory of files "0" to COUNT-1, in each "file 0" and so on
//   cat CID                    how many bytes there are and their SHA-256; reads them from others where they are not here
//   dir CID                    reads a directory and all its files: how many, and whether each has what adddir writes
//   has CID                    whether the block is here
//   block CID SECONDS          gets one block within a time

import { createHash, randomBytes } from 'node:crypto'
import { withBitswap } from '@helia/bitswap'
import { IPNSEntry, ipns, ipnsSelector, ipnsValidator } from '@helia/ipns'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { identify, identifyPush } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createHeliaLight } from 'helia'
import { base36 } from 'multiformats/bases/base36'
import { CID } from 'multiformats/cid'
import { drive } from './driver.js'

const [protocol, mode] = process.argv.slice(2)
const PATIENCE = 120_000

const services = { identify: identify(), identifyPush: identifyPush(), ping: ping() }
if (protocol !== 'none') {
  services.dht = kadDHT({
    protocol,
    clientMode: mode === 'client',
    // All of this is on one machine.
    peerInfoMapper: passthroughMapper,
    allowQueryWithZeroPeers: true,
    validators: { ipns: async (key, value, options) => { await ipnsValidator(key, value, helia.keychain, options) } },
    selectors: { ipns: (key, values) => ipnsSelector(key, values.map(value => IPNSEntry.decode(value))) }
  })
}

const helia = withBitswap(withLibp2pLight(createHeliaLight(), {
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws'] },
  transports: [tcp(), webSockets()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionManager: { inboundConnectionThreshold: 1000 },
  services
}))
await helia.start()
const libp2p = helia.libp2p
const dht = libp2p.services.dht
const fs = unixfs(helia)
const names = ipns(helia)
const signal = () => AbortSignal.timeout(PATIENCE)

async function collect (events, take) {
  for await (const event of events) {
    if (take(event) === true) {
      break
    }
  }
}

async function hashed (content) {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of content) {
    bytes += chunk.length
    hash.update(chunk)
  }
  return { bytes, sha256: hash.digest('hex') }
}

// Helia's own defaults stand above a profile unless they are taken away.
const as = profile => ({ profile, cidVersion: undefined, rawLeaves: undefined, layout: undefined, chunker: undefined })

const addresses = peer => ({ id: peer.id.toString(), addresses: peer.multiaddrs.map(String) })

await drive(libp2p, {
  async connect (address) {
    const peer = (await libp2p.dial(multiaddr(address), { signal: signal() })).remotePeer
    // Whoever serves the DHT is in its table once it has said so and was asked whether it is true.
    for (let i = 0; i < 500 && dht != null && await dht.routingTable.find(peer) == null; i++) {
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    return { peer: peer.toString() }
  },
  async hangup (peer) {
    await libp2p.hangUp(peerIdFromString(peer))
    return {}
  },
  async provide (cid) {
    let told = 0
    const errors = []
    await collect(dht.provide(CID.parse(cid), { signal: signal() }), event => {
      if (event.name === 'PEER_RESPONSE' && event.messageType === 'ADD_PROVIDER') {
        told++
      } else if (event.name === 'QUERY_ERROR') {
        errors.push(event.error.message)
      }
    })
    return { told, errors }
  },
  async providers (cid, count) {
    const found = new Map()
    await collect(dht.findProviders(CID.parse(cid), { signal: signal() }), event => {
      if (event.name === 'PROVIDER') {
        for (const peer of event.providers) {
          found.set(peer.id.toString(), addresses(peer))
        }
      }
      return found.size >= Number(count)
    })
    return { providers: [...found.values()] }
  },
  async findpeer (id) {
    let found
    await collect(dht.findPeer(peerIdFromString(id), { signal: signal() }), event => {
      if (event.name === 'FINAL_PEER') {
        found = addresses(event.peer)
        return true
      }
    })
    return found ?? {}
  },
  async put (key, value) {
    let told = 0
    const errors = []
    await collect(dht.put(Buffer.from(key, 'hex'), Buffer.from(value, 'hex'), { signal: signal() }), event => {
      if (event.name === 'PEER_RESPONSE' && event.messageType === 'PUT_VALUE') {
        told++
      } else if (event.name === 'QUERY_ERROR') {
        errors.push(event.error.message)
      }
    })
    return { told, errors }
  },
  async get (key) {
    let value
    await collect(dht.get(Buffer.from(key, 'hex'), { signal: signal() }), event => {
      if (event.name === 'VALUE') {
        value = Buffer.from(event.value).toString('hex')
      }
    })
    return { value }
  },
  async publish (name, cid, count) {
    let published
    for (let i = 0; i < Number(count); i++) {
      published = await names.publish(name, CID.parse(cid), { signal: signal() })
    }
    return { name: published.publicKey.toCID().toString(base36) }
  },
  async resolve (name) {
    let value
    for await (const result of names.resolve(CID.parse(name, base36), { nocache: true, signal: signal() })) {
      value = result.value
    }
    return { value }
  },
  async add (bytes, profile) {
    const content = randomBytes(Number(bytes))
    const cid = await fs.addBytes(content, as(profile))
    return { cid: cid.toString(), sha256: createHash('sha256').update(content).digest('hex') }
  },
  async adddir (count, profile) {
    let cid
    for await (const entry of fs.addAll(files(Number(count)), { ...as(profile), wrapWithDirectory: true })) {
      cid = entry.cid
    }
    return { cid: cid.toString() }
  },
  async cat (cid) {
    return await hashed(fs.cat(CID.parse(cid), { signal: signal() }))
  },
  async dir (cid) {
    let right = 0
    const running = new Set()
    for await (const entry of fs.ls(CID.parse(cid), { signal: signal() })) {
      const reading = (async () => {
        let text = ''
        for await (const chunk of fs.cat(entry.cid, { signal: signal() })) {
          text += Buffer.from(chunk).toString()
        }
        if (text === `file ${entry.name}`) {
          right++
        }
      })()
      running.add(reading)
      reading.finally(() => running.delete(reading)).catch(() => {})
      if (running.size >= 200) {
        await Promise.race(running)
      }
    }
    await Promise.all(running)
    return { right }
  },
  async has (cid) {
    return { has: await helia.blockstore.has(CID.parse(cid)) }
  },
  async block (cid, seconds) {
    const { bytes, sha256 } = await hashed(await helia.blockstore.get(CID.parse(cid), { signal: AbortSignal.timeout(1000 * Number(seconds)) }))
    return { bytes, sha256 }
  }
})

function * files (count) {
  for (let i = 0; i < count; i++) {
    yield { path: `${i}`, content: Buffer.from(`file ${i}`) }
  }
}
