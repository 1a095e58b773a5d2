// One kernel of the lab through all of its lives: its Worker, its network, its line, its store.

import { Peer } from '../peer.js';
import { newLife } from './marks.js';
import { LabNetwork } from './networks.js';

/**
 * @typedef {object} KernelPlan what a kernel of the lab is started with
 * @property {string} name
 * @property {'memory' | 'durable'} storage
 * @property {import('./networks.js').Place} place of its network
 * @property {string[]} relays
 * @property {Partial<import('ocap-remotes/kernel').RemoteCommsOptions>} options
 * @property {import('../settings.js').LogLevel} log
 * @property {{ acceptsGaps: boolean }} [comparison] for one that shows what another rule comes to
 *
 * @typedef {'starting' | 'running' | 'killed' | 'failed'} Condition
 *
 * What is held of another kernel: the reference of its greeter, and the book of what is sent to it.
 * @typedef {{ reference: string, incarnation: string | undefined, book: import('./ledger.js').Book }} Target
 *
 * @typedef {object} KernelListener
 * @property {(kernel: LabKernel) => void} onCondition
 * @property {(kernel: LabKernel, news: import('./kernel-worker.js').LabNews) => void} onNews
 * @property {(kernel: LabKernel, observed: import('./tap.js').Observation[], omitted: number) => void} onObserved
 * @property {(kernel: LabKernel, change: import('ocap-remotes/network').NetworkEvent) => void} onChanged
 */

const openWorker = () => new Worker(new URL('./kernel-worker.js', import.meta.url), { type: 'module', name: 'kernel' });

export class LabKernel {
  /** @type {Condition} */
  condition = 'starting';
  /** @type {Error | undefined} Why it failed. */
  error;
  peerId = '';
  /** @type {import('./marks.js').Life[]} Oldest first. */
  lives = [];
  /** @type {import('./line.js').LineState} */
  line = { cut: false, silent: false, throttle: undefined };
  /** @type {Map<string, Target>} By the name of a kernel of this page, or the peer id of another. */
  targets = new Map();
  /** @type {Map<string, { book: import('./ledger.js').Book, n: number }>} What was sent, by the promise of its answer. */
  unanswered = new Map();
  /**
   * Answers to messages that the page has not been told of.
   * @type {Map<string, Extract<import('./kernel-worker.js').LabNews, { type: 'settled' }>>}
   */
  early = new Map();
  /** @type {{ book: import('./ledger.js').Book, first: number, count: number }[]} What it is to send, and partly has. */
  orders = [];

  #seed = Array.from(crypto.getRandomValues(new Uint8Array(32)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  #listener;
  /** How far its clock is ahead of the page's, in milliseconds. */
  #aheadMs = 0;
  /** @type {Peer | undefined} */
  #peer;
  /** @type {LabNetwork | undefined} */
  #network;
  /** @type {import('../kernel-worker.js').Greeter | undefined} */
  #greeter;

  /**
   * @param {KernelPlan} plan
   * @param {KernelListener} listener
   */
  constructor(plan, listener) {
    this.plan = plan;
    this.#listener = listener;
    /** The durable store's name, unlike that of any other tab. */
    this.storeName = plan.storage === 'durable' ? `lab-${this.#seed.slice(0, 16)}` : undefined;
  }

  get name() {
    return this.plan.name;
  }

  get life() {
    return this.lives.at(-1);
  }

  /**
   * Starts it on its store. Resolves when it runs.
   * @param {{ wipe?: boolean }} [how] with an emptied store
   */
  async start({ wipe = false } = {}) {
    this.#end();
    this.#become('starting');
    const { relays, options, log } = this.plan;
    /** @type {import('./kernel-worker.js').LabKernelSettings} */
    const settings = {
      keySeed: this.#seed, relays, options, log, store: this.storeName, ifInUse: 'wait', greeter: this.#greeter, wipe,
    };
    const peer = new Peer(settings, (port, onFailure) => this.#serveNetwork(port, onFailure), openWorker);
    this.#peer = peer;
    peer.onNews = (list) => {
      for (const news of /** @type {import('./kernel-worker.js').LabNews[]} */ (/** @type {unknown} */ (list))) {
        this.#listener.onNews(this, news);
      }
    };
    peer.onState = () => {
      if (peer === this.#peer && peer.state.status === 'error') {
        this.error = peer.state.error;
        this.#become('failed');
      }
    };
    await peer.start();
    if (peer !== this.#peer || peer.state.status !== 'running') {
      throw new Error('the kernel was ended while it started');
    }
    const { peerId, incarnationId } = peer.state;
    this.peerId = peerId;
    if (this.life?.incarnation !== incarnationId) {
      this.lives.push(newLife(this.name, incarnationId, this.lives.length + 1));
      this.targets.clear();
      this.unanswered.clear();
      this.early.clear();
    }
    this.#greeter = { incarnationId, object: await peer.call('greeter') };
    this.error = undefined;
    this.#become('running');
  }

  /**
   * @param {MessagePort} port
   * @param {(error: Error) => void} onFailure
   */
  async #serveNetwork(port, onFailure) {
    const { name, place, log, comparison } = this.plan;
    const acceptsGaps = comparison?.acceptsGaps ?? false;
    const network = await LabNetwork.open(place, name, { port, log, line: this.line, acceptsGaps }, {
      onObserved: (observed, omitted) => this.#listener.onObserved(this, observed, omitted),
      onChanged: (change) => this.#listener.onChanged(this, change),
    }, onFailure);
    this.#network = network;
    return async () => network.end();
  }

  /** Terminates its Worker and its network in the middle of whatever they do. */
  kill() {
    this.#end();
    this.#become('killed');
  }

  #end() {
    const peer = this.#peer;
    this.#peer = undefined;
    this.#network = undefined;
    this.#aheadMs = 0;
    this.orders = [];
    // Its Worker is terminated at once, and its network with the end of this turn.
    peer?.stop().catch((error) => console.warn('a network could not be ended', error));
  }

  /** @param {Partial<import('./line.js').LineState>} change */
  async setLine(change) {
    this.line = { ...this.line, ...change };
    await this.#network?.call('line', change);
  }

  /**
   * Of the messages that it writes from now on, some vanish as if they had been written.
   * @param {number} spared
   * @param {number} count
   */
  async swallow(spared, count) {
    await this.#network?.call('swallow', spared, count);
  }

  /** @param {number} ms */
  async sleep(ms) {
    this.#aheadMs += ms;
    await Promise.all([this.call('sleep', ms), this.#network?.call('sleep', ms)]);
  }

  /**
   * What the memories of its two modules take, in bytes.
   * @returns {Promise<{ kernel: number, network: number }>}
   */
  async memory() {
    const [kernel, network] = await Promise.all([this.call('memory'), this.#network?.call('memory')]);
    return { kernel, network: network ?? 0 };
  }

  /** @returns {Promise<import('ocap-remotes/network').NetworkStatus>} */
  async networkStatus() {
    const { peers, relays } = (await this.#network?.call('status')) ?? { peers: [], relays: [] };
    const byOurClock = (/** @type {number | null} */ at) => (at === null ? null : at - this.#aheadMs);
    return {
      peers: peers.map((/** @type {import('ocap-remotes/network').PeerStatus} */ peer) =>
        ({ ...peer, nextAttemptAt: byOurClock(peer.nextAttemptAt) })),
      relays,
    };
  }

  /**
   * See `calls` in kernel-worker.js.
   * @param {string} call
   * @param {...unknown} args
   * @returns {Promise<any>}
   */
  call(call, ...args) {
    return this.#peer ? this.#peer.call(call, ...args) : Promise.reject(new Error(`kernel ${this.name} is not running`));
  }

  /** @param {Condition} condition */
  #become(condition) {
    this.condition = condition;
    this.#listener.onCondition(this);
  }
}
