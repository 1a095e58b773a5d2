// The lab: its kernels, who was introduced to whom, and what is done to them.

import { LabKernel } from './lab-kernel.js';
import { Ledger } from './ledger.js';
import { Samples } from './samples.js';
import { deleteStore, noteStore } from './stores.js';
import { sleep } from './waiting.js';
import { Watch, peerOf } from './watch.js';

/** How long an introduction waits for room among what is pending, in milliseconds. */
const ROOM_LIMIT_MS = 45_000;
/** A book that is out of use and was not written in for so long is closed, in milliseconds: give-ups take less. */
const UNTOUCHED_MS = 720_000;
const NAMES = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

export class Lab {
  /** @type {LabKernel[]} */
  kernels = [];
  ledger = new Ledger();
  samples = new Samples();
  /** Peer ids of kernels that were removed. */
  departed = new Set();
  /** @type {Map<string, { state: 'up' | 'down', reason: string | null }>} Of kernel and relay: `A 12D3…`. */
  relayStates = new Map();

  #listener;
  #made = 0;
  /** @type {Set<string>} Who was introduced to whom: `A>B`. */
  #introductions = new Set();

  /**
   * @param {Pick<import('./lab-kernel.js').KernelPlan, 'relays' | 'options' | 'log'>} settings
   * @param {import('./watch.js').LabListener} listener
   */
  constructor(settings, listener) {
    this.settings = settings;
    this.#listener = listener;
    this.watch = new Watch(this, listener);
  }

  get counts() {
    return this.watch.counts;
  }

  /** @param {string} name */
  find(name) {
    return this.kernels.find((kernel) => kernel.name === name);
  }

  /** @param {string} peerId */
  findPeer(peerId) {
    return this.kernels.find((kernel) => kernel.peerId === peerId);
  }

  /** @param {string} peerId */
  nameOfPeer(peerId) {
    return this.findPeer(peerId)?.name ?? `…${peerId.slice(-6)}`;
  }

  /**
   * @param {Pick<import('./lab-kernel.js').KernelPlan, 'storage' | 'place' | 'comparison'>
   *   & Partial<Pick<import('./lab-kernel.js').KernelPlan, 'options'>>} plan options are beside those of the lab
   */
  async add({ storage, place, comparison, options: more }) {
    this.#made += 1;
    const index = this.#made - 1;
    const name = NAMES[index % NAMES.length] + (index < NAMES.length ? '' : String(Math.floor(index / NAMES.length) + 1));
    const relays = relaysFor(place, this.settings.relays);
    const { options, log } = this.settings;
    const kernel = new LabKernel({ name, storage, place, relays, options: { ...options, ...more }, log, comparison }, {
      onCondition: (changed) => {
        if (changed.condition === 'failed') {
          this.watch.tell(changed, 'error', '', `failed: ${changed.error?.message}`, true);
        }
        this.#listener.onChange();
      },
      onNews: (of, news) => this.watch.takeNews(of, news),
      onObserved: (of, observed, omitted) => this.watch.takeObserved(of, observed, omitted),
      onChanged: (of, change) => this.watch.takeChange(of, change),
    });
    this.kernels.push(kernel);
    if (kernel.storeName) {
      noteStore(kernel.storeName);
    }
    await kernel.start();
    this.watch.tell(kernel, 'life', '', `runs as ${kernel.peerId}, incarnation ${kernel.life?.incarnation}`);
    return kernel;
  }

  /** @param {LabKernel} kernel */
  async remove(kernel) {
    this.#endOfLife(kernel);
    kernel.kill();
    this.kernels = this.kernels.filter((other) => other !== kernel);
    this.departed.add(kernel.peerId);
    for (const introduction of [...this.#introductions].filter((pair) => pair.split('>').includes(kernel.name))) {
      this.#introductions.delete(introduction);
    }
    for (const key of [...this.relayStates.keys()].filter((key) => key.startsWith(`${kernel.name} `))) {
      this.relayStates.delete(key);
    }
    this.samples.forget(kernel.name);
    this.watch.tell(kernel, 'life', '', 'was removed');
    this.#listener.onChange();
    if (kernel.storeName) {
      await deleteStore(kernel.storeName);
    }
  }

  /**
   * Peers in other pages that kernels here have to do with: peer ids.
   * @returns {string[]}
   */
  get elsewhere() {
    const peers = new Set(this.kernels.flatMap(({ name }) => this.samples.remotes(name)));
    return [...peers].filter((peerId) => !this.findPeer(peerId) && !this.departed.has(peerId));
  }

  /**
   * Lets one kernel redeem a URL of the other's greeter.
   * @param {LabKernel} from
   * @param {LabKernel} to
   */
  async introduce(from, to) {
    this.#introductions.add(`${from.name}>${to.name}`);
    const url = await to.call('url');
    const deadline = performance.now() + ROOM_LIMIT_MS;
    for (;;) {
      try {
        await this.redeem(from, url);
        return;
      } catch (error) {
        // What is pending to a former life makes room, or takes the request along, when a handshake shows the new one.
        const isPassing = error instanceof Error && ['ResourceLimitError', 'PeerRestartedError'].includes(error.name);
        if (!isPassing || performance.now() > deadline) {
          throw error;
        }
        await sleep(200);
      }
    }
  }

  /**
   * @param {LabKernel} kernel
   * @param {string} url
   * @returns {Promise<string>} by what name the kernel behind it can be sent to
   */
  async redeem(kernel, url) {
    const reference = await kernel.call('redeem', url);
    const peerId = /@([^,]+)/.exec(url)?.[1] ?? '';
    const peer = this.findPeer(peerId);
    const name = peer?.name ?? peerId;
    const incarnation = peer?.life?.incarnation;
    const known = kernel.targets.get(name);
    if (known?.incarnation !== incarnation || known?.reference !== reference) {
      if (known && known.incarnation !== incarnation) {
        known.book.endOfReceiver();
      }
      const isComparison = kernel.plan.comparison !== undefined;
      const book = this.ledger.open({ from: kernel.name, to: name, toIncarnation: incarnation, isComparison });
      kernel.targets.set(name, { reference, incarnation, book });
      const whose = this.nameOfPeer(peerId);
      this.watch.tell(kernel, 'program', peerId, `redeemed a URL of ${whose} and holds its greeter as ${reference}`);
    }
    this.#listener.onChange();
    return name;
  }

  /**
   * Resolves with the number of messages that were sent, all of them unless it is stopped.
   * @param {LabKernel} kernel
   * @param {string} to
   * @param {number} count
   * @param {string} [text]
   * @returns {Promise<number>}
   */
  async send(kernel, to, count, text) {
    const target = kernel.targets.get(to);
    if (!target) {
      throw Object.assign(new Error(`kernel ${kernel.name} holds no reference of ${to}`), { name: 'ReferenceError' });
    }
    const { book } = target;
    const first = { page: this.ledger.page, book: book.id, n: book.next, ...(text ? { text } : {}) };
    const order = { book, first: book.next, count };
    book.next += count;
    kernel.orders.push(order);
    this.#listener.onChange();
    try {
      return await kernel.call('sendMany', target.reference, first, count);
    } finally {
      kernel.orders = kernel.orders.filter((other) => other !== order);
      this.#listener.onChange();
    }
  }

  /** @param {LabKernel} kernel */
  kill(kernel) {
    kernel.kill();
    if (kernel.plan.storage === 'memory') {
      this.#endOfLife(kernel);
    }
    this.watch.tell(kernel, 'life', '', 'was killed: its Worker and its network are terminated');
    for (const key of [...this.relayStates.keys()].filter((key) => key.startsWith(`${kernel.name} `))) {
      this.relayStates.delete(key);
    }
    this.#listener.onChange();
  }

  /**
   * @param {LabKernel} kernel
   * @param {{ wipe?: boolean }} [how]
   */
  async revive(kernel, { wipe = false } = {}) {
    const before = kernel.life;
    if (wipe) {
      this.#endOfLife(kernel);
      this.watch.tell(kernel, 'life', '', 'its store is emptied; the key stays');
    }
    // By now everything has come that its former Worker had posted.
    for (const { book } of this.kernels.flatMap((other) => other.targets.get(kernel.name) ?? [])) {
      book.endOfReceiver();
    }
    await kernel.start({ wipe });
    const { life } = kernel;
    const isNew = before?.incarnation !== life?.incarnation;
    const which = isNew ? 'as a new incarnation' : 'in the same incarnation';
    this.watch.tell(kernel, 'life', '', `is back ${which}, ${life?.incarnation}`);
    if (isNew) {
      await this.#introduceAgain(kernel);
    }
  }

  /**
   * References to and from a former life mean nothing: whoever was introduced is introduced again.
   * @param {LabKernel} kernel
   */
  async #introduceAgain(kernel) {
    const pairs = [...this.#introductions].map((pair) => pair.split('>').map((name) => this.find(name)));
    const concerned = pairs.filter(([from, to]) =>
      (from === kernel || to === kernel) && from?.condition === 'running' && to?.condition === 'running');
    // Its own redemptions first: their handshakes show the others who it is now.
    for (const own of [true, false]) {
      await Promise.all(concerned.filter(([from]) => (from === kernel) === own).map(([from, to]) =>
        from && to && this.introduce(from, to)));
    }
  }

  /**
   * Nobody is left who could be told what becomes of what this life sent.
   * @param {LabKernel} kernel
   */
  #endOfLife(kernel) {
    for (const { book } of kernel.targets.values()) {
      book.endOfSender();
    }
    kernel.targets.clear();
    kernel.unanswered.clear();
    kernel.early.clear();
  }

  /**
   * @param {LabKernel} kernel
   * @param {Partial<import('./line.js').LineState>} change
   * @param {string} text
   */
  async setLine(kernel, change, text) {
    await kernel.setLine(change);
    this.watch.tell(kernel, 'line', '', text);
    this.#listener.onChange();
  }

  /**
   * @param {LabKernel} kernel
   * @param {number} ms
   */
  async sleep(kernel, ms) {
    await kernel.sleep(ms);
    this.watch.tell(kernel, 'line', '', `slept: its clock is ${ms / 60_000} min ahead, and its connections died unnoticed`);
  }

  /** Reads what every running kernel and network says of itself. */
  async sample() {
    const at = Date.now();
    await Promise.all(this.kernels.filter(({ condition }) => condition === 'running').map(async (kernel) => {
      try {
        const [remotes, status] = await Promise.all([kernel.call('remotes'), kernel.networkStatus()]);
        this.samples.add(at, kernel.name, remotes, status);
        for (const { relay, state, reason } of status.relays) {
          this.relayStates.set(`${kernel.name} ${peerOf(relay)}`, { state, reason });
        }
      } catch {
        // It was ended meanwhile, and has nothing to say.
      }
    }));
    this.#tidyBooks();
  }

  /** Books in which nothing more will be written are added up and forgotten. */
  #tidyBooks() {
    const inUse = new Set(this.kernels.flatMap(({ targets }) => [...targets.values()].map(({ book }) => book)));
    for (const book of this.ledger.books) {
      if (!inUse.has(book) && (book.open.size === 0 || Date.now() - book.touchedAt > UNTOUCHED_MS)) {
        this.ledger.close(book);
      }
    }
  }
}

/**
 * The relays that a network can reach where it lives: a Worker has no WebRTC; a frame, which has, uses it where it can.
 * @param {import('./networks.js').Place} place
 * @param {string[]} relays
 */
export function relaysFor(place, relays) {
  const webrtc = relays.filter((address) => address.includes('/webrtc-direct'));
  const others = relays.filter((address) => !webrtc.includes(address));
  return place === 'worker' ? others : webrtc.length > 0 ? webrtc : others;
}
