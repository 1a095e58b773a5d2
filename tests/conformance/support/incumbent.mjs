// A kernel of the older kind, as far as the wire shows it: a js-libp2p node, an incarnation, and numbered messages that stay
// until they are acknowledged. Nothing in it is ours but the JSON of protocol §3 and §4.

import './polyfill.mjs';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { multiaddr } from '@multiformats/multiaddr';
import { Channel } from './channel.mjs';
import { startNode } from './libp2p.mjs';
import { Inbox, LIMIT } from './wait.mjs';

export const LEGACY = 'whatever';
export const OURS = '/ocap-kernel/remote/1.0.0';

export class Incumbent {
  #inbound = new Inbox();
  #unacknowledged = new Map();
  #lastSent = 0;
  #received = 0;

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

  /** Opens a channel with the handshake, and answers the other end's incarnation. */
  async dial(address, protocols) {
    this.channel = await this.open(address, protocols);
    await this.channel.write({ method: 'handshake', params: { incarnationId: this.incarnation } });
    const { method, params } = await this.channel.read('the answer to the handshake');
    assert.equal(method, 'handshakeAck');
    return params.incarnationId;
  }

  /** Takes the next channel with its handshake, and answers the other end's incarnation. */
  async accept(limit = LIMIT) {
    const channel = await this.opened(limit);
    const { method, params } = await channel.read('a handshake');
    assert.equal(method, 'handshake');
    await channel.write({ method: 'handshakeAck', params: { incarnationId: this.incarnation } });
    // Nothing else may be written on it before.
    this.channel = channel;
    return params.incarnationId;
  }

  // --- Messages

  /** Numbers a message and keeps it, without writing it. */
  prepare(method, params) {
    this.#lastSent += 1;
    const message = { seq: this.#lastSent, method, params };
    this.#unacknowledged.set(message.seq, message);
    return message;
  }

  /** Writes a message that was prepared, with the acknowledgement of the moment. */
  async transmit({ seq, method, params }) {
    await this.channel.write(this.#received > 0 ? { seq, ack: this.#received, method, params } : { seq, method, params });
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
