// A peer of js-libp2p that listens over TCP and WebSocket, within a private network if it is given the file of a swarm key.
//
//   echo ADDRESS N   sends N bytes to /echo/1.0.0 and compares what comes back
//   peers            with whom it is connected, and over which addresses
//
// Whoever opens /echo/1.0.0 here gets back what he sends.

import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createLibp2p } from 'libp2p'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { drive } from './driver.js'

const ECHO = '/echo/1.0.0'
const [keyFile] = process.argv.slice(2)

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws'] },
  transports: [tcp(), webSockets()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify() },
  ...(keyFile == null ? {} : { connectionProtector: preSharedKey({ psk: readFileSync(keyFile) }) })
})

await node.handle(ECHO, async stream => {
  for await (const chunk of stream) {
    if (!stream.send(chunk)) {
      await stream.onDrain()
    }
  }
  await stream.close()
})

await drive(node, {
  async echo (address, length) {
    const stream = await node.dialProtocol(multiaddr(address), ECHO)
    const sent = createHash('sha256')
    const received = createHash('sha256')
    const reading = (async () => {
      for await (const chunk of stream) {
        received.update(chunk.subarray())
      }
    })()
    for (let left = Number(length); left > 0;) {
      const block = randomBytes(Math.min(left, 60_000))
      left -= block.length
      sent.update(block)
      if (!stream.send(block)) {
        await stream.onDrain()
      }
    }
    await stream.close()
    await reading
    return { same: sent.digest('hex') === received.digest('hex') }
  },
  async peers () {
    return { peers: node.getConnections().map(connection => ({ peer: connection.remotePeer.toString(), address: connection.remoteAddr.toString() })) }
  }
})
