// A whole kernel with its network in the window, and a program that sends numbered messages and notes what becomes of them.

import initKernel, { Kernel, openKernelStore } from 'ocap-remotes/kernel';
import initNetwork, { Network } from 'ocap-remotes/network';

const letter = (number) => String.fromCharCode(97 + (number % 26));

export class KernelPage {
  /** Numbers in the order in which they came, once the padding was looked at. */
  received = [];
  /** By number: when the answer came, and whether it was one. */
  answered = new Map();
  events = [];
  /** By the promise of the answer. */
  #sent = new Map();
  /** How many, by target. */
  #unanswered = new Map();
  #onSettled = () => {};

  static async start(options) {
    const halves = await Promise.all([initKernel(), initNetwork()]);
    const page = new KernelPage();
    page.wasmBytes = () => halves.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
    const { port1, port2 } = new MessageChannel();
    page.network = Network.serve(port2);
    const store = await openKernelStore({ durability: 'memory' });
    page.kernel = await Kernel.start(port1, { ...options, onEvent: (event) => page.#take(event) }, store);
    page.object = page.kernel.exportObject();
    return page;
  }

  #take(event) {
    if (event.type === 'message') {
      const [number, padding] = JSON.parse(event.body.slice(1));
      if (padding !== letter(number).repeat(padding.length)) {
        throw new Error(`${number} came damaged`);
      }
      this.received.push(number);
      this.kernel.resolve(event.result, `#${number}`);
    } else if (event.type === 'notify') {
      const { number, target } = this.#sent.get(event.promise);
      this.#sent.delete(event.promise);
      this.#unanswered.set(target, this.#unanswered.get(target) - 1);
      this.answered.set(number, { at: now(), rejected: event.rejected, body: event.body });
      this.#onSettled();
    } else {
      this.events.push({ ...event, at: now() });
    }
  }

  /** Sends a message of about so many bytes; false if no more are accepted now. */
  trySend(target, number, bytes) {
    try {
      this.#sent.set(this.kernel.send(target, `#[${number},"${letter(number).repeat(bytes)}"]`), { number, target });
      this.#unanswered.set(target, (this.#unanswered.get(target) ?? 0) + 1);
      return true;
    } catch (error) {
      if (error.name === 'ResourceLimitError') {
        return false;
      }
      throw error;
    }
  }

  /** Sends numbers `first` to `last`, with at most `window` unanswered, and resolves when all are answered; gives how long it took. */
  async sendAll(target, first, last, bytes, window) {
    const startedAt = performance.now();
    const unanswered = () => this.#unanswered.get(target) ?? 0;
    for (let number = first; number <= last; number += 1) {
      while (unanswered() >= window) {
        await this.#settled();
      }
      // The room may be taken by our answers to the peer: waiting for its answers would wait for ever.
      while (!this.trySend(target, number, bytes)) {
        await this.kernel.ready(target);
      }
    }
    while (unanswered() > 0) {
      await this.#settled();
    }
    return performance.now() - startedAt;
  }

  async #settled() {
    await new Promise((resolve) => (this.#onSettled = resolve));
  }

  /** Sends a number every so many milliseconds until it is stopped. */
  stream(target, everyMs) {
    let number = 0;
    const timer = setInterval(() => this.trySend(target, (number += 1), 100), everyMs);
    return () => clearInterval(timer);
  }

  /** Resolves when the peer is known to have restarted, and one message to what `url` names is answered; gives when it was known. */
  async freshAfterRestart(url, number) {
    const restarted = () => this.events.find(({ type }) => type === 'peerRestarted');
    while (!restarted()) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const { at } = restarted();
    this.events = [];
    await this.sendAll(await this.kernel.redeemOcapURL(url), number, number, 100, Infinity);
    return at;
  }

  /** For whoever looks why it got stuck. */
  state() {
    const unanswered = Object.fromEntries([...this.#unanswered].map(([target, count]) => [String(target), count]));
    return { received: this.received.length, answered: this.answered.size, unanswered, events: this.events, status: this.network.status() };
  }

  async stop() {
    await this.kernel.stop();
    await this.network.stop();
  }
}

/** Milliseconds since the Unix epoch, as finely as the page has them. */
export const now = () => performance.timeOrigin + performance.now();
