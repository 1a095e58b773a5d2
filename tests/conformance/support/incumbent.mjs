// A kernel of the older kind, as far as the wire shows it, its faults included (protocol §10): a js-libp2p node, an incarnation, and
// numbered messages that stay until they are acknowledged. Nothing in it is ours but the JSON of protocol §3 and §4.
//
// What is marked "fault" is what MetaMask's ocap-kernel does at 3ca833da, and must not be mended here.

import './polyfill.mjs';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { multiaddr } from '@multiformats/multiaddr';
import { Channel } from './channel.mjs';
import { startNode } from './libp2p.mjs';
import { Inbox, LIMIT, sleep } from './wait.mjs';

/** A reference as the other end sees it. */
export function flip(eref) {
  return eref.includes('+') ? eref.replace('+', '-') : eref.replace('-', '+');
}

export const LEGACY = 'whatever';
export const OURS = '/ocap-kernel/remote/1.0.0';

/** What its transport writes at most, and how many messages may wait for an acknowledgement before its run loop dies. */
const LONGEST = 1024 * 1024;
const MOST_WAITING = 200;
/** Its delay before it dials again is at most this, in milliseconds. */
const RECONNECTION = 500;

export class Incumbent {
  #inbound = new Inbox();
  #unacknowledged = new Map();
  #lastSent = 0;
  #received = 0;
  /** Promises of the other end that came as arguments, by their names here. */
  #awaited = new Set();
  /** What the other end dropped or retired since a message of the kernel's was last sent, by kind. */
  #collected = new Map();
  /** Why its run loop has ended. */
  #died;
  /** Its transport is on the way to a channel. */
  #reconnecting = false;
  /** Channels that it has had. */
  channels = 0;

  /**
   * The incumbent uses no circuit on which its relay sets a limit; with `onLimited` it is a peer that does.
   *
   * @param {{ seed: Uint8Array, listen: string[], protocols?: string[], onLimited?: boolean }} where
   */
  constructor(where) {
    this.where = where;
    this.incarnation = randomUUID();
  }

  async start() {
    const { seed, listen, protocols = [LEGACY] } = this.where;
    this.node = await startNode(seed, listen);
    const accept = (stream) => this.#inbound.put(new Channel(stream));
    await this.node.handle(protocols, accept, this.#streamOptions);
    return this;
  }

  async stop() {
    await this.node.stop();
  }

  /** Goes away and comes back with everything it knew. */
  async restart() {
    await this.stop();
    await this.start();
  }

  /** Goes away and comes back under the same identity with nothing else. */
  async reincarnate() {
    await this.node.stop();
    this.incarnation = randomUUID();
    this.beginAnew();
    await this.start();
  }

  /** Forgets every number, as is due when the other end is another incarnation. */
  beginAnew() {
    this.#unacknowledged.clear();
    this.#lastSent = 0;
    this.#received = 0;
    this.#awaited.clear();
    this.#collected.clear();
    this.#died = undefined;
  }

  get #streamOptions() {
    return this.where.onLimited ? { runOnLimitedConnection: true } : {};
  }

  get peerId() {
    return this.node.peerId.toString();
  }

  /** A URL for an object of its own; what is before the @ is for nobody else to read. */
  url(objectId = 'zTheObject', hints = []) {
    return [`ocap:${objectId}@${this.peerId}`, ...hints].join(',');
  }

  // --- Channels

  /** Opens a stream, without any handshake. */
  async open(address, protocols = LEGACY) {
    const stream = await this.node.dialProtocol(multiaddr(address), protocols, this.#streamOptions);
    return new Channel(stream);
  }

  /** The next stream that the other end opens, before any handshake. */
  async opened(limit = LIMIT) {
    return this.#inbound.take('a channel', undefined, limit);
  }

  /**
   * Opens a channel with the handshake, and answers the other end's incarnation. Fault: there are as many handshakes on the one
   * stream as messages wait for it.
   */
  async dial(address, protocols, messages = 1) {
    this.#reconnecting = true;
    try {
      const channel = await this.open(address, protocols);
      for (let message = 0; message < messages; message += 1) {
        await channel.write({ method: 'handshake', params: { incarnationId: this.incarnation } });
      }
      const { method, params } = await channel.read('the answer to the handshake');
      assert.equal(method, 'handshakeAck');
      this.#register(channel);
      return params.incarnationId;
    } finally {
      this.#reconnecting = false;
    }
  }

  #register(channel) {
    this.channels += 1;
    this.channel = channel;
    this.#watch(channel);
  }

  #watch = (_channel) => {};

  /**
   * From now on it looks for a channel whenever it loses one. Fault: the end of whatever channel it had counts as the loss of the
   * one that it has, unless it is on the way to another.
   */
  holdOn(address) {
    this.#watch = (channel) => channel.ended().then(() => this.#lost(address), () => {});
    this.#watch(this.channel);
  }

  async #lost(address) {
    if (this.#reconnecting || this.node.status !== 'started') {
      return;
    }
    this.#reconnecting = true;
    await sleep(Math.random() * RECONNECTION);
    await this.dial(address).catch(() => {}); // The story may be over.
  }

  /** Takes the next channel with its handshake, and answers the other end's incarnation. */
  async accept(limit = LIMIT) {
    const channel = await this.opened(limit);
    const { method, params } = await channel.read('a handshake');
    assert.equal(method, 'handshake');
    await channel.write({ method: 'handshakeAck', params: { incarnationId: this.incarnation } });
    // Nothing else may be written on it before.
    this.#register(channel);
    return params.incarnationId;
  }

  // --- Messages

  /** Numbers a message and keeps it, without writing it. Fault: its run loop ends when too many wait. */
  prepare(method, params) {
    assert.equal(this.#died, undefined);
    if (this.#unacknowledged.size >= MOST_WAITING && method !== 'redeemURLReply') {
      this.#die(`${this.#unacknowledged.size} messages wait`);
    }
    if (method === 'deliver') {
      this.#collected.clear();
    }
    this.#lastSent += 1;
    const message = { seq: this.#lastSent, method, params };
    this.#unacknowledged.set(message.seq, message);
    return message;
  }

  #die(reason) {
    this.#died = `the incumbent's run loop has ended: ${reason}`;
    assert.fail(this.#died);
  }

  /**
   * Writes a message that was prepared, with the acknowledgement of the moment at which it is written first. Fault: one that is too
   * long is not written, and nobody is told.
   */
  async transmit(message) {
    const { seq, method, params } = message;
    message.text ??= JSON.stringify(this.#received > 0 ? { seq, ack: this.#received, method, params } : { seq, method, params });
    if (Buffer.byteLength(message.text) <= LONGEST) {
      await this.channel.write(message.text);
    }
  }

  /** Sends a message; answers its number. */
  async send(method, params) {
    const message = this.prepare(method, params);
    await this.transmit(message);
    return message.seq;
  }

  /** Sends a delivery. */
  async deliver(...params) {
    return this.send('deliver', params);
  }

  /** Sends a message to an object of the other end. */
  async deliverMessage(target, body, { slots = [], result = 'rp+1' } = {}) {
    return this.deliver('message', target, { methargs: { body, slots }, result });
  }

  /** Writes all that is unacknowledged again, oldest first. */
  async retransmit() {
    for (const message of this.#unacknowledged.values()) {
      await this.transmit(message);
    }
  }

  /** Takes back the last message, which was never taken by the other end. */
  forget(seq) {
    assert.equal(seq, this.#lastSent);
    this.#unacknowledged.delete(seq);
    this.#lastSent -= 1;
  }

  /** Gives up what is unacknowledged, as an incumbent does: without a word, and its numbers are not used again. */
  giveUp() {
    this.#unacknowledged.clear();
  }

  async acknowledge() {
    await this.channel.write({ ack: this.#received });
  }

  get unacknowledged() {
    return [...this.#unacknowledged.keys()];
  }

  /** Fault: tells the outcome of a promise also to the end that has decided it. */
  async #echo([name, rejected, { body, slots }]) {
    if (this.#awaited.delete(name)) {
      await this.deliver('notify', [[flip(name), rejected, { body, slots: slots.map(flip) }]]);
    }
  }

  /** Does to a message of the other end's what its kernel does, as far as that is to be seen. */
  async #process({ method, params: [kind, what, message] }) {
    if (method !== 'deliver') {
      return;
    }
    if (kind === 'message') {
      message.methargs.slots.filter((slot) => slot.startsWith('rp+')).forEach((slot) => this.#awaited.add(slot));
    } else if (kind === 'notify') {
      for (const resolution of what) {
        await this.#echo(resolution);
      }
    } else if (kind !== 'bringOutYourDead') {
      // Fault: it sorts a list that is frozen, if it has more than one element.
      const several = (this.#collected.get(kind) ?? 0) + what.length;
      this.#collected.set(kind, several);
      if (several > 1) {
        this.#die(`${kind} of two objects in one crank`);
      }
    }
  }

  #take({ ack = 0 }) {
    assert.ok(ack <= this.#lastSent, `${ack} was acknowledged, ${this.#lastSent} was the last sent`);
    for (const seq of this.unacknowledged.filter((seq) => seq <= ack)) {
      this.#unacknowledged.delete(seq);
    }
  }

  /** The next message that was not received before, which must be the next in order; it is acknowledged at once. */
  async receive(what = 'a message', { acknowledge = true } = {}) {
    for (;;) {
      const message = await this.channel.read(what);
      this.#take(message);
      if (message.seq > this.#received) {
        assert.equal(message.seq, this.#received + 1, 'nothing is ever written past what may be missing');
        this.#received = message.seq;
        await this.#process(message);
        if (acknowledge) {
          await this.acknowledge();
        }
        return message;
      }
    }
  }

  /** Reads until everything up to `seq` is acknowledged; answers how that was said. */
  async acknowledged(seq) {
    for (;;) {
      const message = await this.channel.read(`the acknowledgement of ${seq}`);
      assert.equal(message.seq, undefined, `no message is expected: ${JSON.stringify(message)}`);
      this.#take(message);
      if (message.ack >= seq) {
        return message;
      }
    }
  }
}
