// The lab: its kernels, who was introduced to whom, what is sent, and everything that happens, told to whoever shows it.

import { deleteStore } from './stores.js';
import { LabKernel } from './lab-kernel.js';
import { Ledger } from './ledger.js';
import { Samples } from './samples.js';

/**
 * @typedef {import('./tap.js').Observation} Observation
 *
 * Something that happened, for the log.
 * @typedef {'frame' | 'handshake' | 'restart' | 'give-up' | 'network' | 'line' | 'life' | 'program' | 'error'} Kind
 * @typedef {{ at: number, kind: Kind, kernel: string, life: number, peer: string, text: string, bad: boolean }} Entry
 *
 * @typedef {object} Counts since the page was opened
 * @property {number} written frames with a number that kernels gave to their networks
 * @property {number} rewritten of those, frames that had been given before
 * @property {number} acknowledgements that came by themselves
 * @property {number} handshakes
 * @property {number} restarts found by handshakes
 * @property {number} givenUp remotes that a kernel gave up
 *
 * @typedef {object} LabListener
 * @property {(entry: Entry) => void} onEntry
 * @property {() => void} onChange kernels, their conditions, lines or targets changed
 * @property {(from: LabKernel, peer: string, group: Group) => void} onFrames
 * @property {(kernel: LabKernel, observation: Observation) => void} onObservation
 *
 * Frames of one kind that were written or read together.
 * @typedef {{ direction: 'out' | 'in', look: 'message' | 'answer' | 'ack' | 'again', count: number, lastSeq: number | undefined }} Group
 */

/** How long an introduction waits for room among what is pending, in milliseconds. */
const ROOM_LIMIT_MS = 45_000;
/** Answers that wait for their message; those of messages whose sender was killed wait in vain. */
const EARLY_LIMIT = 1_000;
const NAMES = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

export class Lab {
  /** @type {LabKernel[]} */
  kernels = [];
  ledger = new Ledger();
  samples = new Samples();
  /** @type {Counts} */
  counts = { written: 0, rewritten: 0, acknowledgements: 0, handshakes: 0, restarts: 0, givenUp: 0 };
  /** Peer ids of kernels that were removed. */
  departed = new Set();
  /** @type {Map<string, { state: 'up' | 'down' | 'givenUp', reason: string | null }>} Of kernel and relay: `A 12D3…`. */
  relayStates = new Map();

  #listener;
  #made = 0;
  /** @type {Map<string, number>} The highest number written so far, by the writing incarnation and the peer. */
  #highestWritten = new Map();
  /** @type {Set<string>} Who was introduced to whom: `A>B`. */
  #introductions = new Set();

  /**
   * @param {{ relays: string[], options: import('./lab-kernel.js').KernelPlan['options'], log: import('../settings.js').LogLevel }} settings
   * @param {LabListener} listener
   */
  constructor(settings, listener) {
    this.settings = settings;
    this.#listener = listener;
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
          this.#tell(changed, 'error', '', `failed: ${changed.error?.message}`, true);
        }
        this.#listener.onChange();
      },
      onNews: (of, news) => this.#takeNews(of, news),
      onObserved: (of, observed, omitted) => this.#takeObserved(of, observed, omitted),
      onChanged: (of, change) => this.#takeChange(of, change),
    });
    this.kernels.push(kernel);
    await kernel.start();
    this.#tell(kernel, 'life', '', `runs as ${kernel.peerId}, incarnation ${kernel.life?.incarnation}`);
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
    this.#tell(kernel, 'life', '', 'was removed');
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
        await new Promise((resolve) => setTimeout(resolve, 200));
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
      known?.book.endOfReceiver();
      const isComparison = kernel.plan.comparison !== undefined;
      const book = this.ledger.open({ from: kernel.name, to: name, toIncarnation: incarnation, isComparison });
      kernel.targets.set(name, { reference, incarnation, book });
      this.#tell(kernel, 'program', peerId, `redeemed a URL of ${this.nameOfPeer(peerId)} and holds its greeter as ${reference}`);
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
    for (const { book } of this.kernels.flatMap((other) => other.targets.get(kernel.name) ?? [])) {
      book.endOfReceiver();
    }
    this.#tell(kernel, 'life', '', 'was killed: its Worker and its network are terminated');
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
      this.#tell(kernel, 'life', '', 'its store is emptied; the key stays');
    }
    await kernel.start({ wipe });
    const { life } = kernel;
    const isNew = before?.incarnation !== life?.incarnation;
    this.#tell(kernel, 'life', '', `is back ${isNew ? 'as a new incarnation' : 'in the same incarnation'}, ${life?.incarnation}`);
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
    this.#tell(kernel, 'line', '', text);
    this.#listener.onChange();
  }

  /**
   * @param {LabKernel} kernel
   * @param {number} ms
   */
  async sleep(kernel, ms) {
    await kernel.sleep(ms);
    this.#tell(kernel, 'line', '', `slept: its clock is ${ms / 60_000} min ahead, and its connections died unnoticed`);
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

  /** Books in which nothing is open and nothing more will be written are added up and forgotten. */
  #tidyBooks() {
    const inUse = new Set(this.kernels.flatMap(({ targets }) => [...targets.values()].map(({ book }) => book)));
    for (const book of this.ledger.books) {
      if (!inUse.has(book) && book.open.size === 0) {
        this.ledger.close(book);
      }
    }
  }

  /**
   * @param {LabKernel} kernel
   * @param {import('./kernel-worker.js').LabNews} news
   */
  #takeNews(kernel, news) {
    switch (news.type) {
      case 'sent': {
        const found = this.ledger.find(news.value);
        if (found) {
          found.book.markSent(found.n);
          kernel.unanswered.set(news.promise, found);
          const early = kernel.early.get(news.promise);
          if (early) {
            this.#takeAnswer(kernel, early);
          }
        }
        break;
      }
      case 'received': {
        const found = this.ledger.find(news.value);
        found?.book.markReceived(found.n, kernel.life?.incarnation);
        const { text } = /** @type {{ text?: string }} */ (news.value ?? {});
        if (text) {
          this.#tell(kernel, 'program', '', `received “${text}”`);
        }
        break;
      }
      case 'settled':
        this.#takeAnswer(kernel, news);
        break;
      case 'remote':
        this.#takeRemoteEvent(kernel, news.event);
    }
  }

  /**
   * @param {LabKernel} kernel
   * @param {Extract<import('./kernel-worker.js').LabNews, { type: 'settled' }>} news
   */
  #takeAnswer(kernel, news) {
    const { promise, rejected, answer } = news;
    const sent = kernel.unanswered.get(promise);
    kernel.unanswered.delete(promise);
    kernel.early.delete(promise);
    if (!sent && kernel.early.size < EARLY_LIMIT) {
      kernel.early.set(promise, news); // it may come before the page is told of its message
    }
    const found = sent ?? this.ledger.find(answer);
    if (!found) {
      return;
    }
    found.book.markSettled(found.n, rejected);
    if (rejected) {
      const reason = answer instanceof Object && '#error' in answer ? String(answer['#error']) : JSON.stringify(answer);
      this.#tell(kernel, 'program', '', `was told that message ${found.n} to ${found.book.direction.to} failed: ${reason}`, true);
    }
  }

  /**
   * @param {LabKernel} kernel
   * @param {import('../program.js').RemoteEvent} event
   */
  #takeRemoteEvent(kernel, event) {
    switch (event.type) {
      case 'peerRestarted': {
        this.counts.restarts += 1;
        const name = this.findPeer(event.peerId)?.name ?? event.peerId;
        const target = kernel.targets.get(name);
        if (target && target.incarnation !== event.incarnation) {
          kernel.targets.delete(name);
        }
        this.#tell(kernel, 'restart', event.peerId, `was told that its peer restarted: ${event.discarded} pending messages discarded, `
          + `${event.promisesRejected} promises rejected`, true);
        this.#listener.onChange();
        break;
      }
      case 'givenUp':
        this.counts.givenUp += 1;
        this.#tell(kernel, 'give-up', event.peerId, `gave its peer up (${event.reason}): ${event.discarded} messages discarded, `
          + `${event.promisesRejected} promises rejected`, true);
        break;
      case 'messagesLost':
        this.#tell(kernel, 'program', event.peerId, `its peer gave up messages ${event.first} to ${event.last}`, true);
        break;
      case 'messageRejected':
        this.#tell(kernel, 'program', event.peerId, `could not process message ${event.seq}: ${event.reason}`, true);
        break;
      case 'storeFailed':
        this.#tell(kernel, 'error', '', `its store failed and it has stopped; revive it. ${event.reason}`, true);
    }
  }

  /**
   * @param {LabKernel} kernel
   * @param {Observation[]} observed
   * @param {number} omitted
   */
  #takeObserved(kernel, observed, omitted) {
    /** @type {Map<string, { peer: string, group: Group }>} */
    const groups = new Map();
    for (const seen of observed) {
      this.#listener.onObservation(kernel, seen);
      switch (seen.type) {
        case 'out':
        case 'in': {
          const again = seen.type === 'out' && this.#isAgain(kernel, seen);
          const look = again ? 'again' : seen.frame === 'ack' ? 'ack' : seen.frame === 'notify' ? 'answer' : 'message';
          const key = `${seen.type} ${seen.peer} ${look}`;
          const group = groups.get(key)?.group ?? { direction: seen.type, look, count: 0, lastSeq: undefined };
          group.count += 1;
          group.lastSeq = seen.seq ?? group.lastSeq;
          groups.set(key, { peer: seen.peer, group });
          break;
        }
        case 'handshake':
          this.counts.handshakes += 1;
          if (seen.restarted) {
            this.#highestWritten.delete(`${kernel.life?.incarnation} ${seen.peer}`); // numbers begin anew
          }
          this.#tell(kernel, 'handshake', seen.peer, `handshake: ${seen.restarted ? 'another incarnation' : 'the incarnation that is known'}, `
            + seen.incarnation, false, seen.at);
          break;
        case 'refused':
          this.#tell(kernel, 'network', seen.peer, `the network refused ${seen.seq ?? 'an acknowledgement'}: ${brief(seen.reason)}`, false, seen.at);
          break;
        case 'givenUp':
          this.#tell(kernel, 'give-up', seen.peer, 'the network stopped trying to reach its peer', true, seen.at);
      }
    }
    for (const { peer, group } of groups.values()) {
      this.#listener.onFrames(kernel, peer, group);
      const { direction, look, count, lastSeq } = group;
      const what = { message: 'message', answer: 'answer', ack: 'acknowledgement', again: 'message again' }[look];
      const text = count === 1 ? `${what}${lastSeq === undefined ? '' : ` ${lastSeq}`}` : `${count} × ${what}${lastSeq === undefined ? '' : `, up to ${lastSeq}`}`;
      this.#tell(kernel, 'frame', peer, `${direction === 'out' ? '→' : '←'} ${text}`);
    }
    if (omitted > 0) {
      this.#tell(kernel, 'frame', '', `${omitted} more frames, not shown one by one`);
    }
  }

  /**
   * Whether a frame was written before. Also counts.
   * @param {LabKernel} kernel
   * @param {Observation & { type: 'out' | 'in' }} seen
   */
  #isAgain(kernel, { peer, seq }) {
    if (seq === undefined) {
      this.counts.acknowledgements += 1;
      return false;
    }
    this.counts.written += 1;
    const direction = `${kernel.life?.incarnation} ${peer}`;
    const highest = this.#highestWritten.get(direction) ?? 0;
    if (seq <= highest) {
      this.counts.rewritten += 1;
      return true;
    }
    this.#highestWritten.set(direction, seq);
    return false;
  }

  /**
   * @param {LabKernel} kernel
   * @param {import('ocap-remotes/network').NetworkEvent} change
   */
  #takeChange(kernel, change) {
    switch (change.type) {
      case 'relay':
        this.relayStates.set(`${kernel.name} ${peerOf(change.relay)}`, { state: change.state, reason: change.reason });
        this.#tell(kernel, 'network', '', `relay …${peerOf(change.relay).slice(-6)} is ${
          { up: 'up', down: 'down', givenUp: 'given up until a dial or a wake' }[change.state]}${change.reason ? `: ${brief(change.reason)}` : ''}`,
          change.state !== 'up');
        break;
      case 'peer': {
        const { channel } = change;
        const why = change.state === 'connected' || !change.lastError ? '' : `: ${brief(change.lastError.reason)}`;
        const way = channel ? ` over ${channel.kind}${channel.relay ? ` through …${channel.relay.slice(-6)}` : ''}` : '';
        this.#tell(kernel, 'network', change.peerId, `channel is ${change.state}${way}${why}`, change.state === 'failed');
        break;
      }
      case 'fault':
        this.#tell(kernel, 'network', change.peerId, `its peer broke a rule: ${change.name}, ${change.message}`, true);
    }
    this.#listener.onChange();
  }

  /**
   * @param {LabKernel} kernel
   * @param {Kind} kind
   * @param {string} peerId
   * @param {string} text
   * @param {boolean} [bad]
   * @param {number} [at]
   */
  #tell(kernel, kind, peerId, text, bad = false, at = Date.now()) {
    const peer = peerId ? this.nameOfPeer(peerId) : '';
    this.#listener.onEntry({ at, kind, kernel: kernel.name, life: kernel.life?.number ?? 0, peer, text, bad });
  }
}

/**
 * A reason without the addresses that were tried, which repeat each other.
 * @param {string} reason
 */
export const brief = (reason) => reason.split(/:? \[\(/)[0];

/** @param {string} address a relay's multiaddr */
export const peerOf = (address) => address.split('/p2p/').at(-1) ?? address;

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
