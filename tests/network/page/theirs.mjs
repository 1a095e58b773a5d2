// js-libp2p with what the incumbent makes of it, and nothing else: one stream of length-prefixed JSON, begun with a handshake.

import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2';
import { identify } from '@libp2p/identify';
import { ping } from '@libp2p/ping';
import { lpStream } from '@libp2p/utils';
import { webRTCDirect } from '@libp2p/webrtc';
import { webSockets } from '@libp2p/websockets';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';

const PROTOCOL = '/ocap-kernel/remote/1.0.0';
const MAX_FRAME = 1024 * 1024;

export class Theirs {
  /**
   * Writes that are begun at a time. One does, since a write ends as soon as there is room; with more, yamux 8 makes frames of
   * over 1 MiB, for which rust-libp2p closes the connection.
   */
  static WINDOW = 1;

  /** @type {(text: string) => void} Called with each message of the peer. */
  onMessage = () => {};

  static async start() {
    const theirs = new Theirs();
    theirs.node = await createLibp2p({
      transports: [webSockets(), webRTCDirect(), circuitRelayTransport()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: { identify: identify(), ping: ping() },
      // In browsers it refuses private addresses by default.
      connectionGater: { denyDialMultiaddr: () => false },
    });
    return theirs;
  }

  /** Chooses the peer to talk to. The first message dials. */
  async meet(address) {
    this.address = address;
  }

  async #connect() {
    const stream = await this.node.dialProtocol(multiaddr(this.address), PROTOCOL, { runOnLimitedConnection: true });
    this.frames = lpStream(stream, { maxDataLength: MAX_FRAME, maxBufferSize: 4 * MAX_FRAME });
    await this.#write(JSON.stringify({ method: 'handshake', params: { incarnationId: crypto.randomUUID() } }));
    const { method } = JSON.parse(await this.#read());
    if (method !== 'handshakeAck') {
      throw new Error(`the handshake was answered by ${method}`);
    }
    void this.#listen();
  }

  async #listen() {
    try {
      for (;;) {
        const text = await this.#read();
        this.onMessage(text);
      }
    } catch (error) {
      if (!this.stopped) {
        console.error(`js-libp2p: ${error}`);
      }
    }
  }

  async #read() {
    return new TextDecoder('utf-8', { fatal: true }).decode((await this.frames.read()).subarray());
  }

  #write(text) {
    return this.frames.write(new TextEncoder().encode(text));
  }

  async send(text) {
    this.connected ??= this.#connect();
    await this.connected;
    await this.#write(text);
  }

  async stop() {
    this.stopped = true;
    await this.node.stop();
  }
}
