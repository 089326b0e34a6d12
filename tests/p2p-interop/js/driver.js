// How the tests drive a peer: it prints where it listens, then answers one line of JSON for each line it is given: a command and its arguments.

import { createInterface } from 'node:readline'

export async function drive (libp2p, commands) {
  console.log(JSON.stringify({ id: libp2p.peerId.toString(), addresses: libp2p.getMultiaddrs().map(String) }))
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, ...rest] = line.split(' ')
    try {
      console.log(JSON.stringify(await commands[command](...rest)))
    } catch (error) {
      console.log(JSON.stringify({ error: `${error.name}: ${error.message}` }))
    }
  }

  process.exit(0)
}
