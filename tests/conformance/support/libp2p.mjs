// Nodes of js-libp2p, made up as the incumbent's are, but on loopback.

import './polyfill.mjs';
import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { identify } from '@libp2p/identify';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { ping } from '@libp2p/ping';
import { webSockets } from '@libp2p/websockets';
import { createLibp2p } from 'libp2p';

export const LOOPBACK = '/ip4/127.0.0.1/tcp/0/ws';

/** The usual five new connections a second from one host are too few where everybody is on one host. */
const CONNECTION_MANAGER = { inboundConnectionThreshold: 1_000 };

/** The peer id that follows from a seed of 32 bytes. */
export async function peerIdOf(seed) {
  return peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', seed)).toString();
}

/** A node that listens at `listen` under the identity of a seed of 32 bytes. */
export async function startNode(seed, listen) {
  return createLibp2p({
    privateKey: await generateKeyPairFromSeed('Ed25519', seed),
    addresses: { listen },
    transports: [webSockets(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: CONNECTION_MANAGER,
    connectionGater: { denyDialMultiaddr: async () => false },
    services: { identify: identify(), ping: ping() },
  });
}

/**
 * A circuit relay. Without a limit it lets as much through as it is given.
 *
 * @param {{ defaultDurationLimit: number, defaultDataLimit: bigint }} [limit] of each circuit, in milliseconds and bytes
 */
export async function startRelay(limit) {
  return createLibp2p({
    addresses: { listen: [LOOPBACK] },
    transports: [webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: CONNECTION_MANAGER,
    services: {
      identify: identify(),
      ping: ping(),
      relay: circuitRelayServer({ reservations: { applyDefaultLimit: limit !== undefined, ...limit, maxReservations: 1_000 } }),
    },
  });
}

/** Where a node of this machine listens, with its peer id. */
export function addressOf(node) {
  const address = node.getMultiaddrs().map(String).find((text) => text.includes('/127.0.0.1/') && !text.includes('/p2p-circuit'));
  if (address === undefined) {
    throw new Error(`the node listens at none of ${node.getMultiaddrs().join(', ')}`);
  }
  return address;
}
