// What a story begins with: our kernel, a peer of the older kind, and a way from each to the other.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Incumbent, flip } from './incumbent.mjs';
import { Kernel } from './kernel.mjs';
import { addressOf, peerIdOf } from './libp2p.mjs';
import { sleep } from './wait.mjs';

/** A port that nobody listens on. */
async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Two seeds, the one with the smaller peer id first. */
async function twoSeeds() {
  const [one, other] = [randomBytes(32), randomBytes(32)];
  return (await peerIdOf(one)) < (await peerIdOf(other)) ? [one, other] : [other, one];
}

/** Both ends listen on a WebSocket of their own. */
export const direct = async () => {
  const address = `/ip4/127.0.0.1/tcp/${await freePort()}/ws`;
  return {
    kernelOptions: { directListenAddresses: [address] },
    listen: async () => [`/ip4/127.0.0.1/tcp/${await freePort()}/ws`],
    toKernel: (kernel) => `${address}/p2p/${kernel.peerId}`,
    toPeer: (peer) => addressOf(peer.node),
  };
};

/** Both ends are reached through the circuit relay at this address; `onLimited`: the peer uses its circuits even if they have a limit. */
export const relayed = (address, onLimited = false) => async () => {
  return {
    onLimited,
    kernelOptions: { relays: [address] },
    listen: async () => [`${address}/p2p-circuit`],
    toKernel: (kernel) => `${address}/p2p-circuit/p2p/${kernel.peerId}`,
    toPeer: () => address,
  };
};

export class World {
  #folder;
  #peers = [];

  static async make(place) {
    const world = new World();
    try {
      await world.#begin(place);
    } catch (error) {
      await world.end();
      throw error;
    }
    return world;
  }

  async #begin(place) {
    this.#folder = await mkdtemp(join(tmpdir(), 'ocap-conformance-'));
    this.place = await place();
    // Of two kernels that dial each other at once the one with the smaller id has its way; let that be the peer.
    const [small, large] = await twoSeeds();
    const store = join(this.#folder, 'store');
    this.kernel = new Kernel({ store, keySeed: large.toString('hex'), options: this.place.kernelOptions });
    await this.kernel.start();
    this.peer = await this.startPeer(undefined, small);
  }

  /** A peer that knows these names of the protocol. */
  async startPeer(protocols, seed = randomBytes(32)) {
    const { onLimited } = this.place;
    const peer = new Incumbent({ seed, listen: await this.place.listen(), protocols, onLimited });
    this.#peers.push(peer);
    return peer.start();
  }

  get addressOfKernel() {
    return this.place.toKernel(this.kernel);
  }

  /** Opens a channel to the kernel, which through a relay has to be there first. */
  async open(peer = this.peer, protocols = undefined) {
    return this.#retried(() => peer.open(this.addressOfKernel, protocols));
  }

  /** The same with the handshake. */
  async dial(peer = this.peer, protocols = undefined, messages = 1) {
    return this.#retried(() => peer.dial(this.addressOfKernel, protocols, messages));
  }

  /** A kernel that has just started is reached as soon as it listens, or its relay has taken its reservation. */
  async #retried(attempt) {
    for (let tries = 0; ; tries += 1) {
      try {
        return await attempt();
      } catch (error) {
        if (tries === 100 || error.code === 'ERR_ASSERTION') {
          throw error;
        }
        await sleep(50);
      }
    }
  }

  /** Tells the kernel where the peer is to be found. */
  async introduce(peer = this.peer) {
    await this.kernel.call('registerLocationHints', { peerId: peer.peerId, hints: [this.place.toPeer(peer)] });
  }

  /** The peer redeems a URL of a new object of the kernel's; answers the object as either end calls it. */
  async objectOfKernel(peer = this.peer) {
    const object = await this.kernel.call('exportObject');
    const url = await this.kernel.call('issueOcapUrl', { object });
    await peer.send('redeemURL', [url, 'a key']);
    const { method, params } = await peer.receive('the redeemed object');
    const [success, key, eref] = params;
    if (method !== 'redeemURLReply' || !success || key !== 'a key') {
      throw new Error(`the object is not redeemed: ${JSON.stringify(params)}`);
    }
    return { object, atPeer: eref, inFrameOfKernel: flip(eref), url };
  }

  /** The kernel redeems a URL of the peer's and so gets its object `eref`, which is in the kernel's frame. */
  async objectOfPeer(eref = 'ro+1', peer = this.peer) {
    const redeemed = this.kernel.call('redeemOcapUrl', { url: peer.url() });
    redeemed.catch(() => {}); // It is looked at below.
    const { params } = await peer.receive('the request to redeem');
    await peer.send('redeemURLReply', [true, params[1], eref]);
    return redeemed;
  }

  async end() {
    await this.kernel?.kill();
    await Promise.all(this.#peers.map((peer) => peer.node?.stop()));
    await rm(this.#folder, { recursive: true });
  }
}
