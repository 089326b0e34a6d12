// What js-libp2p and Helia need for what bench/libp2p measures of ours, both ends in this process: a line of JSON for each work.
// Its arguments: megabytes of the file, megabytes of the stream, connections, rounds.

import { randomBytes } from 'node:crypto'
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createHeliaLight } from 'helia'

const [fileMegabytes, streamMegabytes, connections, rounds] = process.argv.slice(2).map(Number)

const start = async () => await withBitswap(withLibp2pLight(createHeliaLight(), {
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionManager: { inboundConnectionThreshold: 100_000, maxIncomingPendingConnections: 1000 },
  services: { identify: identify() }
})).start()

async function measure (what, unit, work) {
  const perCpuSecond = []
  const perSecond = []
  for (let i = -1; i < rounds; i++) {
    const done = await work(async timed => {
      const [cpu, begun] = [process.cpuUsage(), performance.now()]
      const done = await timed()
      const { user, system } = process.cpuUsage(cpu)
      if (i >= 0) {
        perCpuSecond.push(1e6 * done / (user + system))
        perSecond.push(1e3 * done / (performance.now() - begun))
      }
    })
    await done
  }
  const median = values => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]
  console.log(JSON.stringify({ what, unit, perCpuSecond: median(perCpuSecond), perSecond: median(perSecond) }))
}

const server = await start()
const address = server.libp2p.getMultiaddrs()[0]

const cid = await unixfs(server).addBytes(randomBytes(fileMegabytes * 1e6), { profile: 'unixfs-v1-2025' })
await measure(`Bitswap: a file of ${fileMegabytes} MB, Helia to Helia`, 'MB', async timed => {
  const client = await start()
  await client.libp2p.dial(address)
  await timed(async () => {
    let bytes = 0
    for await (const chunk of unixfs(client).cat(cid)) {
      bytes += chunk.length
    }
    return bytes / 1e6
  })
  await client.stop()
})

await server.libp2p.handle('/sink/1', async stream => {
  for await (const _ of stream) {
    // Read and dropped.
  }
  stream.send(new Uint8Array(1))
  await stream.close()
})
await measure('one stream, writes of 64 KiB, js-libp2p', 'MB', async timed => {
  const client = await start()
  const connection = await client.libp2p.dial(address)
  await timed(async () => {
    const stream = await connection.newStream('/sink/1')
    const block = new Uint8Array(65_536)
    for (let left = streamMegabytes * 1e6; left > 0; left -= block.length) {
      if (!stream.send(block)) {
        await stream.onDrain()
      }
    }
    await stream.close()
    for await (const _ of stream) {
      // It says one byte when it has all.
    }
    return streamMegabytes
  })
  await client.stop()
})

// A host lets five new connections a second in from one address, so these are counted in its CPU time alone.
await measure('connections: TCP, Noise, Yamux, identify both ways, js-libp2p', 'connections', async timed => {
  const client = await start()
  await timed(async () => {
    for (let i = 0; i < connections; i++) {
      const identified = new Promise(resolve => client.libp2p.addEventListener('peer:identify', resolve, { once: true }))
      const connection = await client.libp2p.dial(address, { force: true })
      await identified
      await connection.close()
      await new Promise(resolve => setTimeout(resolve, 210))
    }
    return connections
  })
  await client.stop()
})

process.exit(0)
