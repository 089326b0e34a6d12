// A peer of js-libp2p that the tests drive: it prints where it listens, then answers one line of JSON for each line it is given.
//
//   identify ADDRESS      dials, and says what the other side said of itself
//   ping ADDRESS          how long a ping took, in milliseconds
//   echo ADDRESS N        sends N bytes to /echo/1.0.0 and compares what comes back
//   streams ADDRESS N     N streams at once, each echoing 50,000 bytes
//   hangup ADDRESS        closes the connections with the other side
//
// Whoever opens /echo/1.0.0 here gets back what he sends.

import { createHash, randomBytes } from 'node:crypto'
import { createLibp2p } from 'libp2p'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { drive } from './driver.js'

const ECHO = '/echo/1.0.0'

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), ping: ping() }
})

const identified = new Map()
node.addEventListener('peer:identify', ({ detail }) => {
  identified.set(detail.peerId.toString(), {
    agent: detail.agentVersion,
    protocolVersion: detail.protocolVersion,
    protocols: detail.protocols,
    addresses: detail.listenAddrs.map(String),
    observed: detail.observedAddr?.toString(),
    record: detail.signedPeerRecord && {
      addresses: detail.signedPeerRecord.addresses.map(String),
      seq: detail.signedPeerRecord.seq.toString()
    }
  })
})

await node.handle(ECHO, async stream => {
  for await (const chunk of stream) {
    if (!stream.send(chunk)) {
      await stream.onDrain()
    }
  }
  await stream.close()
}, { maxInboundStreams: 100 })

async function echo (address, length) {
  const stream = await node.dialProtocol(address, ECHO)
  const sent = createHash('sha256')
  const received = createHash('sha256')
  let count = 0
  const reading = (async () => {
    for await (const chunk of stream) {
      const bytes = chunk.subarray()
      count += bytes.length
      received.update(bytes)
    }
  })()
  for (let left = length; left > 0;) {
    const block = randomBytes(Math.min(left, 60_000))
    left -= block.length
    sent.update(block)
    if (!stream.send(block)) {
      await stream.onDrain()
    }
  }
  await stream.close()
  await reading
  return { received: count, same: sent.digest('hex') === received.digest('hex') }
}

const commands = {
  async identify (address) {
    const connection = await node.dial(address)
    const peer = connection.remotePeer.toString()
    for (let i = 0; i < 1000 && !identified.has(peer); i++) {
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    return { peer, ...identified.get(peer) }
  },
  async ping (address) {
    return { milliseconds: await node.services.ping.ping(address) }
  },
  async echo (address, length) {
    return await echo(address, Number(length))
  },
  async streams (address, count) {
    const all = await Promise.all(Array.from({ length: Number(count) }, async () => await echo(address, 50_000)))
    return { same: all.every(result => result.same && result.received === 50_000) }
  },
  async hangup (address) {
    await node.hangUp(address)
    return {}
  }
}

await drive(node, Object.fromEntries(Object.entries(commands).map(([name, run]) => [name, (address, argument) => run(multiaddr(address), argument)])))
