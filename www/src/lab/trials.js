// After each thing that was done: what is promised about it, and what was observed.

import { CLOCK, count, html, plural, write } from './dom.js';
import { add } from './ledger.js';

/** Cards that stay; the oldest go first. */
const KEPT = 8;

/** What docs/delivery.md promises, in a sentence for each control. */
export const PROMISES = {
  send: 'Every message is delivered exactly once and in order, or its sender is told that it may not have been.',
  cut: 'A lost connection is no restart: what is unacknowledged stays pending and is tried again. Only when the peer was not '
    + 'reached in ten minutes of trying is it given up, and its sender told.',
  heal: 'On the new connection everything unacknowledged is written again, in order, before anything new. What had arrived before '
    + 'is recognised by its number and dropped.',
  killDurable: 'What a kernel has committed outlives it. Nothing of it was acknowledged that was not durable, so its peers keep '
    + 'the rest and try again.',
  killMemory: 'Its memory is gone. Whoever waits for it keeps what is pending until it is back, or until it is given up after '
    + 'ten minutes.',
  reviveSame: 'It goes on in the same incarnation: to its peers this was a lost connection.',
  reviveNew: 'The first handshake shows a new incarnation. What was sent to the former life is never delivered to this one: it is '
    + 'rejected, and its senders are told at once.',
  wipe: 'With its store it loses its incarnation, not its key: the same peer id, another life. What was sent to the former one is '
    + 'never delivered to this one, and its senders are told.',
  throttle: 'Slow is not lost. As long as acknowledgements come nothing is given up; the kernel takes no more than 200 '
    + 'unacknowledged messages for each peer.',
  unthrottle: 'What waited is delivered in its order.',
  offline: 'A connection that answers nothing for 4 seconds is taken for dead, and tried again. What is pending waits.',
  online: 'The browser says that it is online: connections are probed at once, and what is pending is written again.',
  sleep: 'A late clock accuses nobody: no peer is given up for the time that this kernel slept. Its dead connections are found by '
    + 'pings, and backoffs are forgotten.',
  cutAll: 'Without a relay kernels cannot reach each other; nothing that they promised is lost while they try.',
  gapRefused: 'A gap is never delivered over: what is ahead of it waits, unacknowledged, until the missing messages were written again.',
  gapAccepted: 'A frame ahead of a gap is taken as if none were missing, and acknowledged with all before it: its sender '
    + 'forgets them, and their callers wait for ever.',
  redeem: 'A URL names an object and gives the right to use it. Its issuer alone can read it; a URL from before a wipe names '
    + 'nothing.',
};

/**
 * @typedef {import('./ledger.js').Tally} Tally
 *
 * @typedef {object} What
 * @property {string} title
 * @property {string} promise
 * @property {() => Tally} [tally] of what it is about, if not of everything
 * @property {string} [word] what stands before the promise
 */

export class Trials {
  #container;
  #lab;
  /**
   * The newest: how it was before, and where it is told.
   * @type {{ before: { tally: Tally, counts: import('./watch.js').Counts }, tally: () => Tally, verdict: HTMLElement,
   *   observed: HTMLElement } | undefined}
   */
  #current;

  /**
   * @param {HTMLElement} container
   * @param {import('./lab.js').Lab} lab
   */
  constructor(container, lab) {
    this.#container = container;
    this.#lab = lab;
  }

  /** @param {What} what has just been done */
  begin({ title, promise, tally = () => this.#lab.ledger.tally(), word = 'Promised' }) {
    this.update();
    const verdict = html('p', { class: 'verdict' });
    const observed = html('p', { class: 'observed' });
    const now = Date.now();
    this.#current = {
      // What is still open from before is part of what happens now.
      before: { tally: { ...tally(), waiting: 0 }, counts: { ...this.#lab.counts } },
      verdict,
      observed,
      tally,
    };
    this.#container.prepend(html('article', { class: 'trial' },
      html('h3', {}, title, ' ', html('time', { datetime: new Date(now).toISOString() }, CLOCK.format(now).slice(0, 8))),
      html('p', { class: 'promise' }, html('b', {}, `${word} `), promise),
      observed,
      verdict));
    while (this.#container.childElementCount > KEPT) {
      this.#container.lastElementChild?.remove();
    }
    this.#container.scrollTop = 0;
    this.update();
  }

  /** What is observed from now on is not about the newest any more. */
  end() {
    this.update();
    this.#current = undefined;
  }

  /** Tells what has been observed since the newest began. */
  update() {
    if (!this.#current) {
      return;
    }
    const { before, verdict, observed, tally } = this.#current;
    const { counts } = this.#lab;
    const { sent, delivered, reported, waiting, gone, lost, doubled, outOfOrder, stale } = add(tally(), before.tally, -1);
    const since = (/** @type {keyof typeof counts} */ what) => counts[what] - before.counts[what];
    const isIdle = sent + delivered + reported + waiting + gone === 0;
    const parts = [
      `sent ${count(sent)}`,
      `delivered ${count(delivered)}`,
      ...(reported + gone > 0 ? [`reported ${count(reported + gone)}`] : []),
      ...(waiting > 0 ? [`on the way ${count(waiting)}`] : []),
      `lost ${count(lost)}`,
      `doubled ${count(doubled)}`,
      ...(outOfOrder > 0 ? [`out of order ${count(outOfOrder)}`] : []),
      ...(stale > 0 ? [`stale ${count(stale)}`] : []),
      ...(since('rewritten') > 0 ? [`${plural(since('rewritten'), 'frame')} written again`] : []),
      ...(since('handshakes') > 0 ? [plural(since('handshakes'), 'handshake')] : []),
      ...(since('restarts') > 0 ? [`${plural(since('restarts'), 'restart')} found`] : []),
      ...(since('givenUp') > 0 ? [`given up ${since('givenUp')} times`] : []),
    ];
    write(observed, `Observed ${parts.join(' · ')}`);
    const isBroken = lost + doubled + outOfOrder + stale > 0;
    verdict.className = `verdict ${isBroken ? 'bad' : waiting > 0 ? 'open' : isIdle ? 'quiet' : 'good'}`;
    const broken = lost > 0 ? `${count(lost)} lost, and nobody was told` : 'The promise was broken';
    const open = isIdle ? '– Send something to put it to the test' : '✓ As promised';
    write(verdict, isBroken ? `✗ ${broken}` : waiting > 0 ? '… Not over yet' : open);
  }
}
