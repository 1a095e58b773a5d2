// One kernel and its network: starts them in their contexts, joins them by a MessageChannel, and carries the page's calls.

import { Calls, revive } from './calls.js';

/**
 * @typedef {import('./program.js').News} News
 * @typedef {import('./kernel-worker.js').FromKernel} FromKernel
 * @typedef {import('./kernel-worker.js').Identity} Identity
 *
 * @typedef {{ status: 'stopped' }
 *   | { status: 'starting' }
 *   | ({ status: 'running' } & Identity)
 *   | { status: 'error', error: Error }} PeerState
 *
 * Serves a network on `port` and gives how to end it.
 * @typedef {(port: MessagePort, onFailure: (error: Error) => void) => Promise<() => Promise<void>>} ServeNetwork
 */

const openKernelWorker = () => new Worker(new URL('./kernel-worker.js', import.meta.url), { type: 'module', name: 'kernel' });

export class Peer {
  /** @type {PeerState} */
  state = { status: 'stopped' };
  /** Called after each change of the state. */
  onState = () => {};
  /** @type {(news: News) => void} Called with what the program sent and received. */
  onNews = () => {};

  #settings;
  #serveNetwork;
  #openWorker;
  /** @type {Worker | undefined} */
  #worker;
  #stopNetwork = async () => {};
  #calls = new Calls();

  /**
   * @param {import('./kernel-worker.js').KernelSettings} settings
   * @param {ServeNetwork} serveNetwork
   * @param {() => Worker} [openWorker] makes the kernel's Worker
   */
  constructor(settings, serveNetwork, openWorker = openKernelWorker) {
    this.#settings = settings;
    this.#serveNetwork = serveNetwork;
    this.#openWorker = openWorker;
  }

  /** Starts a kernel on its store, in memory on an empty one, hence as a new incarnation. Resolves when it runs. */
  async start() {
    await this.stop();
    this.#change({ status: 'starting' });
    const { port1: kernelPort, port2: networkPort } = new MessageChannel();
    try {
      const fail = (/** @type {Error} */ error) => this.#fail(error);
      this.#stopNetwork = await this.#serveNetwork(networkPort, fail);
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
    this.#calls.rejectAll(new Error('the kernel was stopped'));
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
   * @param {string} call
   * @param {...unknown} args
   * @returns {Promise<any>}
   */
  call(call, ...args) {
    const worker = this.#worker;
    if (!worker || this.state.status !== 'running') {
      return Promise.reject(new Error('the kernel is not running'));
    }
    return this.#calls.make((message) => worker.postMessage(message), call, args);
  }

  /**
   * @param {MessagePort} port
   * @returns {Promise<Identity>}
   */
  #startKernel(port) {
    const worker = this.#openWorker();
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
          this.#calls.settle(data);
        }
      });
      worker.postMessage({ start: this.#settings, port }, [port]);
    });
  }

  /** @param {Error} error */
  #fail(error) {
    this.#calls.rejectAll(error);
    this.#change({ status: 'error', error });
  }

  /** @param {PeerState} state */
  #change(state) {
    this.state = state;
    this.onState();
  }
}
