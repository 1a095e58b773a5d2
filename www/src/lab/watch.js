// Everything that happens to the kernels of the lab, as they, their networks and the taps tell: counted, booked, and put into words.

/**
 * @typedef {import('./lab-kernel.js').LabKernel} LabKernel
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
 * @typedef {object} Group
 * @property {'out' | 'in'} direction
 * @property {'message' | 'answer' | 'ack' | 'again'} look
 * @property {number} count
 * @property {number | undefined} lastSeq
 */

/** Answers that wait for their message; those of messages whose sender was killed wait in vain. */
const EARLY_LIMIT = 1_000;

export class Watch {
  /** @type {Counts} */
  counts = { written: 0, rewritten: 0, acknowledgements: 0, handshakes: 0, restarts: 0, givenUp: 0 };

  #lab;
  #listener;
  /** @type {Map<string, number>} The highest number written so far, by the writing incarnation and the peer. */
  #highestWritten = new Map();

  /**
   * @param {import('./lab.js').Lab} lab
   * @param {LabListener} listener
   */
  constructor(lab, listener) {
    this.#lab = lab;
    this.#listener = listener;
  }

  /**
   * @param {LabKernel} kernel
   * @param {import('./kernel-worker.js').LabNews} news
   */
  takeNews(kernel, news) {
    switch (news.type) {
      case 'sent': {
        const found = this.#lab.ledger.find(news.value);
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
        const found = this.#lab.ledger.find(news.value);
        found?.book.markReceived(found.n, kernel.life?.incarnation);
        const { text } = /** @type {{ text?: string }} */ (news.value ?? {});
        if (text) {
          this.tell(kernel, 'program', '', `received “${text}”`);
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
    const found = sent ?? this.#lab.ledger.find(answer);
    if (!found) {
      return;
    }
    found.book.markSettled(found.n, rejected);
    if (rejected) {
      const reason = answer instanceof Object && '#error' in answer ? String(answer['#error']) : JSON.stringify(answer);
      this.tell(kernel, 'program', '', `was told that message ${found.n} to ${found.book.direction.to} failed: ${reason}`, true);
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
        const name = this.#lab.findPeer(event.peerId)?.name ?? event.peerId;
        const target = kernel.targets.get(name);
        const forgotten = event.formerIncarnation === event.incarnation;
        if (target && (forgotten || target.incarnation !== event.incarnation)) {
          kernel.targets.delete(name);
        }
        this.tell(kernel, 'restart', event.peerId, `was told that its peer restarted: ${event.discarded} pending messages discarded, `
          + `${event.promisesRejected} promises rejected`, true);
        this.#listener.onChange();
        break;
      }
      case 'givenUp':
        this.counts.givenUp += 1;
        this.tell(kernel, 'give-up', event.peerId, `gave its peer up (${event.reason}): ${event.discarded} messages discarded, `
          + `${event.promisesRejected} promises rejected`, true);
        break;
      case 'messagesLost':
        this.tell(kernel, 'program', event.peerId, `its peer gave up messages ${event.first} to ${event.last}`, true);
        break;
      case 'messageRejected':
        this.tell(kernel, 'program', event.peerId, `could not process message ${event.seq}: ${event.reason}`, true);
        break;
      case 'storeFailed':
        this.tell(kernel, 'error', '', `its store failed and it has stopped; revive it. ${event.reason}`, true);
    }
  }

  /**
   * @param {LabKernel} kernel
   * @param {Observation[]} observed
   * @param {number} omitted
   */
  takeObserved(kernel, observed, omitted) {
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
          this.tell(kernel, 'handshake', seen.peer, `handshake: ${
            seen.restarted ? 'another incarnation' : 'the incarnation that is known'}, ${seen.incarnation}`, false, seen.at);
          break;
        case 'refused':
          this.tell(kernel, 'network', seen.peer, `the network refused ${seen.seq ?? 'an acknowledgement'}: ${
            brief(seen.reason)}`, false, seen.at);
          break;
        case 'givenUp':
          this.tell(kernel, 'give-up', seen.peer, 'the network stopped trying to reach its peer', true, seen.at);
      }
    }
    for (const { peer, group } of groups.values()) {
      this.#listener.onFrames(kernel, peer, group);
      const { direction, look, count, lastSeq } = group;
      const what = { message: 'message', answer: 'answer', ack: 'acknowledgement', again: 'message again' }[look];
      const upTo = lastSeq === undefined ? '' : `, up to ${lastSeq}`;
      const text = count === 1 ? `${what} ${lastSeq ?? ''}`.trimEnd() : `${count} × ${what}${upTo}`;
      this.tell(kernel, 'frame', peer, `${direction === 'out' ? '→' : '←'} ${text}`);
    }
    if (omitted > 0) {
      this.tell(kernel, 'frame', '', `${omitted} more frames, not shown one by one`);
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
  takeChange(kernel, change) {
    switch (change.type) {
      case 'relay':
        this.#lab.relayStates.set(`${kernel.name} ${peerOf(change.relay)}`, { state: change.state, reason: change.reason });
        this.#tellRelay(kernel, change);
        break;
      case 'peer': {
        const { channel } = change;
        const why = change.state === 'connected' || !change.lastError ? '' : `: ${brief(change.lastError.reason)}`;
        const way = channel ? ` over ${channel.kind}${channel.relay ? ` through …${channel.relay.slice(-6)}` : ''}` : '';
        this.tell(kernel, 'network', change.peerId, `channel is ${change.state}${way}${why}`, change.state === 'failed');
        break;
      }
      case 'fault':
        this.tell(kernel, 'network', change.peerId, `its peer broke a rule: ${change.name}, ${change.message}`, true);
    }
    this.#listener.onChange();
  }

  /**
   * @param {LabKernel} kernel
   * @param {import('ocap-remotes/network').RelayStatus} change
   */
  #tellRelay(kernel, { relay, state, reason }) {
    const why = reason ? `: ${brief(reason)}` : '';
    this.tell(kernel, 'network', '', `relay …${peerOf(relay).slice(-6)} is ${state}${why}`, state !== 'up');
  }

  /**
   * @param {LabKernel} kernel
   * @param {Kind} kind
   * @param {string} peerId
   * @param {string} text
   * @param {boolean} [bad]
   * @param {number} [at]
   */
  tell(kernel, kind, peerId, text, bad = false, at = Date.now()) {
    const peer = peerId ? this.#lab.nameOfPeer(peerId) : '';
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
