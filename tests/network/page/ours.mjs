// Our network half, as a page has it: `Network.serve`, driven over its port by what a kernel would say. There is no kernel.

import init, { Network, setLogLevel } from 'ocap-remotes/network';

/** Of the identity of the page's network, which is always the same. */
export const SEED = '07'.repeat(32);

/** What is loose in a benchmark: limits that would be measured instead of the network. */
const OPTIONS = { maxMessagesPerSecond: 1_000_000, maxConnectionAttemptsPerMinute: 100_000, streamInactivityTimeoutMs: 600_000 };

export class Ours {
  /** Writes that are begun at a time: one ends when the network has taken the message, of which the port tells later. */
  static WINDOW = 64;

  /** @type {(text: string) => void} Called with each message of a peer. */
  onMessage = () => {};
  #calls = new Map();
  #lastCall = 0;

  /** Starts a network under `options`, which no peer knows yet. */
  static async start(options = {}) {
    const { memory } = await init();
    setLogLevel('error');
    const ours = new Ours();
    ours.wasmBytes = () => memory.buffer.byteLength;
    const { port1, port2 } = new MessageChannel();
    ours.port = port1;
    ours.network = Network.serve(port2);
    await new Promise((resolve) => {
      port1.onmessage = ({ data }) => ours.#take(data, resolve);
      port1.postMessage({ '@@Syn': true });
    });
    await ours.call('initializeRemoteComms', { keySeed: SEED, incarnationId: crypto.randomUUID(), ...OPTIONS, ...options });
    return ours;
  }

  #take(data, opened) {
    if (data['@@Syn']) {
      this.port.postMessage({ '@@Ack': true });
    } else if (data['@@Ack']) {
      opened();
    } else if (data.method === undefined) {
      const { resolve, reject } = this.#calls.get(data.id);
      this.#calls.delete(data.id);
      if (data.error) {
        reject(new Error(data.error.message));
      } else {
        resolve(data.result);
      }
    } else {
      this.port.postMessage({ jsonrpc: '2.0', id: data.id, result: data.method === 'remoteIncarnationChange' ? false : null });
      if (data.method === 'remoteDeliver') {
        this.onMessage(data.params.message);
      }
    }
  }

  call(method, params) {
    this.#lastCall += 1;
    const id = `m${this.#lastCall}`;
    this.port.postMessage({ jsonrpc: '2.0', id, method, params });
    return new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }));
  }

  /** Chooses the peer to talk to, at an address that ends in its id. The first message dials. */
  async meet(address) {
    this.peerId = address.split('/').at(-1);
    await this.call('registerLocationHints', { peerId: this.peerId, hints: [address] });
  }

  /** Resolves when the message is written. */
  send(text) {
    return this.call('sendRemoteMessage', { to: this.peerId, message: text });
  }

  async stop() {
    await this.network.stop();
    this.network.free();
    this.port.close();
  }
}
