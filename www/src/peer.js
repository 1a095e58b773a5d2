// One kernel and its network: starts them in their contexts, joins them by a MessageChannel, and carries the page's calls.

import { serveNetwork } from './network.js';

/**
 * @typedef {import('./program.js').News} News
 * @typedef {import('./kernel-worker.js').FromKernel} FromKernel
 * @typedef {import('./kernel-worker.js').Identity} Identity
 *
 * @typedef {{ status: 'stopped' }
 *   | { status: 'starting' }
 *   | ({ status: 'running' } & Identity)
 *   | { status: 'error', error: Error }} PeerState
 */

/** @param {{ name: string, message: string }} plain */
const revive = ({ name, message }) => Object.assign(new Error(message), { name });

export class Peer {
  /** @type {PeerState} */
  state = { status: 'stopped' };
  /** Called after each change of the state. */
  onState = () => {};
  /** @type {(news: News) => void} Called with what the program sent and received. */
  onNews = () => {};

  #settings;
  /** @type {Worker | undefined} */
  #worker;
  #stopNetwork = async () => {};
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
  #calls = new Map();
  #lastCall = 0;

  /** @param {import('./settings.js').Settings} settings */
  constructor(settings) {
    this.#settings = settings;
  }

  /** Starts a kernel on its store, in memory on an empty one, hence as a new incarnation. Resolves when it runs. */
  async start() {
    await this.stop();
    this.#change({ status: 'starting' });
    const { port1: kernelPort, port2: networkPort } = new MessageChannel();
    try {
      const fail = (/** @type {Error} */ error) => this.#fail(error);
      this.#stopNetwork = await serveNetwork(this.#settings, networkPort, fail);
      this.#change({ status: 'running', ...(await this.#startKernel(kernelPort)) });
    } catch (error) {
      this.#fail(/** @type {Error} */ (error));
      throw error;
    }
  }

  /** Ends kernel and network as they are, as a closed tab would: the kernel's memory is gone. */
  async stop() {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#rejectCalls(new Error('the kernel was stopped'));
    const stopNetwork = this.#stopNetwork;
    this.#stopNetwork = async () => {};
    try {
      await stopNetwork();
    } finally {
      this.#change({ status: 'stopped' });
    }
  }

  /**
   * Calls the kernel's Worker; see `calls` there.
   * @param {import('./kernel-worker.js').Call['call']} call
   * @param {...unknown} args
   * @returns {Promise<any>}
   */
  call(call, ...args) {
    const worker = this.#worker;
    if (!worker || this.state.status !== 'running') {
      return Promise.reject(new Error('the kernel is not running'));
    }
    return new Promise((resolve, reject) => {
      this.#lastCall += 1;
      this.#calls.set(this.#lastCall, { resolve, reject });
      worker.postMessage({ id: this.#lastCall, call, args });
    });
  }

  /**
   * @param {MessagePort} port
   * @returns {Promise<Identity>}
   */
  #startKernel(port) {
    const worker = new Worker(new URL('./kernel-worker.js', import.meta.url), { type: 'module', name: 'kernel' });
    this.#worker = worker;
    return new Promise((resolve, reject) => {
      worker.addEventListener('error', (event) => {
        const error = new Error(`the kernel's Worker: ${event.message}`);
        reject(error);
        this.#fail(error);
      });
      worker.addEventListener('message', (/** @type {MessageEvent<FromKernel>} */ { data }) => {
        if ('started' in data) {
          resolve(data.started);
        } else if ('failed' in data) {
          reject(revive(data.failed));
        } else if ('news' in data) {
          this.onNews(data.news);
        } else {
          this.#settleCall(data);
        }
      });
      const { keySeed, relays, store, ifInUse, options, log } = this.#settings;
      worker.postMessage({ start: { keySeed, relays, store, ifInUse, options, log }, port }, [port]);
    });
  }

  /** @param {import('./kernel-worker.js').Reply} reply */
  #settleCall({ id, value, error }) {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (error) {
      call?.reject(revive(error));
    } else {
      call?.resolve(value);
    }
  }

  /** @param {Error} error */
  #fail(error) {
    this.#rejectCalls(error);
    this.#change({ status: 'error', error });
  }

  /** @param {Error} error */
  #rejectCalls(error) {
    for (const { reject } of this.#calls.values()) {
      reject(error);
    }
    this.#calls.clear();
  }

  /** @param {PeerState} state */
  #change(state) {
    this.state = state;
    this.onState();
  }
}
