// Two ends that are joined: one that calls, and one, or some, that answer.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { spentBy } from './cpu.mjs';

/** The two ways in which a kernel of a browser lives. */
export const DURABLE = { durability: 'durable', network: 'page' };
export const IN_MEMORY = { durability: 'memory', network: 'worker' };

const RELAY_LIMIT_MS = 30_000;

/** Resolves when peers reach a kernel's page through its relay. */
async function reserved(side) {
  const deadline = Date.now() + RELAY_LIMIT_MS;
  while ((await side.call('status')).relays[0]?.state !== 'up') {
    assert.ok(Date.now() < deadline, 'the relay reserves nothing');
    await sleep(20);
  }
}

export class Pair {
  /** What is called. */
  targets = [];
  #stage;
  #sides = [];
  #caller;

  /** @param {import('./stage.mjs').Stage} stage */
  constructor(stage) {
    this.#stage = stage;
  }

  /**
   * Two kernels, each in its browser, that reach each other through the relay only.
   * @param {import('./stage.mjs').Stage} stage
   * @param {{ way: 'ws' | 'webrtc' | 'slow ws', kernel: typeof DURABLE, options: object }} how
   */
  static kernels(stage, { way, kernel, options }) {
    return Pair.#made(stage, async (pair) => {
      const settings = { ...kernel, options: { ...options, relays: [stage.relay[way]] } };
      const callee = await pair.#add(stage.browser('kernel', settings));
      await reserved(callee);
      pair.#caller = await pair.#add(stage.browser('kernel', settings));
      pair.targets = [await pair.do('redeem', await callee.do('url'))];
      await pair.#checkWay('relayed');
      pair.#checkSlow(way === 'slow ws');
    });
  }

  /**
   * A kernel in a browser, and native ones: one that it dials, or some behind the relay.
   * @param {import('./stage.mjs').Stage} stage
   * @param {{ way: 'ws' | 'webrtc-direct' | 'relayed', options: object, count?: number }} how
   */
  static natives(stage, { way, options, count = 1 }) {
    return Pair.#made(stage, async (pair) => {
      const listen = { ws: ['/ip4/127.0.0.1/tcp/0/ws'], 'webrtc-direct': ['/ip4/127.0.0.1/udp/0/webrtc-direct'], relayed: [] }[way];
      const relays = way === 'relayed' ? [stage.relay.ws] : [];
      const natives = [];
      for (let seed = 1; seed <= count; seed += 1) {
        natives.push(await pair.#add(stage.native(seed, { ...options, relays, directListenAddresses: listen })));
      }
      pair.#caller = await pair.#add(stage.browser('kernel', { ...DURABLE, options: { ...options, relays } }));
      for (const { url, peerId, hints } of natives) {
        pair.targets.push(await pair.do('redeem', url, peerId, hints));
      }
      await pair.#checkWay(way);
    });
  }

  /**
   * Two pages with js-libp2p and nothing else, which meet through the relay.
   * @param {import('./stage.mjs').Stage} stage
   * @param {{ way: 'ws' | 'webrtc' | 'slow ws' }} how
   */
  static theirs(stage, { way }) {
    return Pair.#made(stage, async (pair) => {
      const callee = await pair.#add(stage.browser('libp2p', { relay: stage.relay[way] }));
      const peer = await callee.get('address');
      pair.#caller = await pair.#add(stage.browser('libp2p', { relay: stage.relay[way], peer }));
      pair.#checkSlow(way === 'slow ws');
    });
  }

  static async #made(stage, make) {
    const pair = new Pair(stage);
    try {
      await make(pair);
      return pair;
    } catch (error) {
      await pair.close();
      throw error;
    }
  }

  async #add(opening) {
    const side = await opening;
    this.#sides.push(side);
    return side;
  }

  /** What is measured has to go the way of its name. */
  async #checkWay(way) {
    const { peers } = await this.#caller.call('status');
    assert.deepEqual(peers.map(({ channel }) => channel?.kind), this.targets.map(() => way), 'how the peers are reached');
  }

  #checkSlow(isSlow) {
    assert.equal(this.#stage.slowConnections(), isSlow ? 2 : 0, 'connections over the slow line');
  }

  /** Lets the caller do something. */
  do(name, ...args) {
    return this.#caller.do(name, ...args);
  }

  /** Loads the caller's page again; gives the milliseconds until it has an answer of the first target. */
  async reload() {
    await this.#caller.call('keep', this.targets[0]);
    await this.#caller.reload();
    return this.#caller.get('firstAnswerMs');
  }

  /** What all processes of both ends and between them have spent so far. */
  spent() {
    const [groups, pids] = ['group', 'pid'].map((id) => this.#sides.map((side) => side[id]).filter((id) => id !== undefined));
    return spentBy(groups, [...pids, this.#stage.relayPid]);
  }

  async close() {
    await this.#stage.end(this.#sides.splice(0));
    // The relay and the slow line hear of it a little later.
    while (this.#stage.slowConnections() > 0) {
      await sleep(10);
    }
  }
}
