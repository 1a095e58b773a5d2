// What became of the numbers of each remote over the last minutes: sent, acknowledged, delivered; pending and the round trip.

import { CLOCK, count, html, set, svg, write } from './dom.js';
import { brief } from './watch.js';
import { SPAN_MS } from './samples.js';

const WIDTH = 600;
const SEQUENCE = { top: 6, height: 84 };
/** How far back a figure may go, in milliseconds. */
const SPANS_MS = [30_000, 60_000, SPAN_MS];
const BELOW = { top: 102, height: 34 };
const HEIGHT = BELOW.top + BELOW.height + 20;

/** @typedef {import('./samples.js').Sample} Sample */

/** The figure of one remote. */
class Timeline {
  #title = html('h3');
  #numbers = html('dl', { class: 'numbers' });
  #sent = svg('path', { class: 'plot sent' });
  #acknowledged = svg('path', { class: 'plot acknowledged' });
  #delivered = svg('path', { class: 'plot delivered' });
  #pending = svg('path', { class: 'plot pending' });
  #roundTrip = svg('path', { class: 'plot round-trip' });
  #events = svg('g');
  #why = html('p', { class: 'why' });
  #most = html('span', { class: 'most', 'aria-hidden': 'true' });
  #since = html('span');
  #svg;

  constructor() {
    this.#svg = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', preserveAspectRatio: 'none' },
      svg('path', {
        class: 'grid',
        d: `M0 ${SEQUENCE.top + SEQUENCE.height}H${WIDTH}M0 ${BELOW.top + BELOW.height}H${WIDTH}`,
      }),
      this.#pending, this.#roundTrip, this.#delivered, this.#acknowledged, this.#sent, this.#events);
    this.figure = html('figure', { class: 'timeline' },
      html('figcaption', {}, this.#title, this.#numbers, this.#why),
      html('div', { class: 'plot-area' }, this.#most, this.#svg,
        html('div', { class: 'axis', 'aria-hidden': 'true' }, this.#since, html('span', {}, 'now'))));
  }

  /**
   * @param {string} name of the peer
   * @param {Sample[]} samples
   * @param {Sample[]} fromPeer what the peer said of this kernel, if it is in this page
   * @param {{ at: number, text: string }[]} events
   */
  draw(name, samples, fromPeer, events) {
    const last = samples.at(-1);
    if (!last) {
      return;
    }
    const now = Date.now();
    // What has not run for long is shown in more detail.
    const span = SPANS_MS.find((ms) => now - samples[0].at < ms) ?? SPAN_MS;
    const x = (/** @type {number} */ at) => WIDTH * (1 - (now - at) / span);
    const shown = samples.filter(({ at }) => now - at < span);
    const delivered = fromPeer.filter(({ at }) => now - at < span);
    write(this.#since, `${span / 1_000} s ago`);
    const most = Math.max(10, ...shown.map(({ sent }) => sent), ...delivered.map(({ received }) => received));
    const path = (/** @type {Sample[]} */ list, /** @type {(sample: Sample) => number | undefined} */ value,
      /** @type {number} */ scale, /** @type {{ top: number, height: number }} */ { top, height }) => {
      let d = '';
      let open = false;
      for (const sample of list) {
        const found = value(sample);
        if (found === undefined) {
          open = false;
          continue;
        }
        d += `${open ? 'L' : 'M'}${x(sample.at).toFixed(1)} ${(top + height * (1 - Math.min(1, found / scale))).toFixed(1)}`;
        open = true;
      }
      return d;
    };
    write(this.#most, count(most));
    set(this.#sent, { d: path(shown, ({ sent }) => sent, most, SEQUENCE) });
    set(this.#acknowledged, { d: path(shown, ({ acknowledged }) => acknowledged, most, SEQUENCE) });
    set(this.#delivered, { d: path(delivered, ({ received }) => received, most, SEQUENCE) });
    const mostPending = Math.max(10, ...shown.map(({ pending }) => pending));
    const line = path(shown, ({ pending }) => pending, mostPending, BELOW);
    const floor = BELOW.top + BELOW.height;
    const under = shown.length > 1 ? `L${x(last.at).toFixed(1)} ${floor}L${x(shown[0].at).toFixed(1)} ${floor}Z` : '';
    set(this.#pending, { d: under && line + under });
    const slowest = Math.max(20, ...shown.map(({ roundTripMs }) => roundTripMs ?? 0));
    set(this.#roundTrip, { d: path(shown, ({ roundTripMs }) => roundTripMs, slowest, BELOW) });
    this.#events.replaceChildren(...events.filter(({ at }) => now - at < span).map(({ at, text }) => {
      const title = svg('title', {}, `${CLOCK.format(at)} ${text}`);
      return svg('path', { class: 'incident', d: `M${x(at).toFixed(1)} ${SEQUENCE.top}V${floor}` }, title);
    }));

    const received = fromPeer.at(-1)?.received;
    const roundTrip = last.roundTripMs === undefined ? '–' : `${last.roundTripMs.toFixed(0)} ms`;
    write(this.#title, name);
    this.#showNumbers([
      ['sent', 'sent', count(last.sent)],
      ['acknowledged', 'acknowledged', count(last.acknowledged)],
      ['delivered', 'delivered', received === undefined ? 'not known here' : count(received)],
      ['pending', `pending, of ${count(mostPending)}`, count(last.pending)],
      ['round-trip', `round trip, of ${count(Math.round(slowest))} ms`, roundTrip],
      ['', 'channel', last.state === 'connected' ? `${last.way}` : last.state ?? '–'],
    ]);
    write(this.#why, explain(last, now));
    set(this.#svg, {
      'aria-label': `Numbers of the remote ${name} over the last minutes. Now: sent ${last.sent}, acknowledged ${last.acknowledged}, `
        + `pending ${last.pending}`,
    });
  }

  /** @param {[look: string, name: string, value: string][]} rows */
  #showNumbers(rows) {
    if (this.#numbers.childElementCount === 0) {
      this.#numbers.append(...rows.map(([look]) => html('div', {},
        html('dt', {}, ...(look ? [key(look), html('span')] : [html('span')])), html('dd'))));
    }
    rows.forEach(([, name, value], index) => {
      const row = this.#numbers.children[index];
      write(/** @type {Element} */ (row.querySelector('span')), name);
      write(/** @type {Element} */ (row.querySelector('dd')), value);
    });
  }
}

/**
 * What helps to see why something does not happen.
 * @param {Sample} sample
 * @param {number} now
 */
function explain({ remote, peer }, now) {
  if (!remote) {
    return '';
  }
  const { duplicates, outOfOrder, rejected, malformed, lost } = remote;
  /** @type {[number, string][]} */
  const counters = [
    [duplicates, 'dropped because they came again'],
    [outOfOrder, 'held because they came before their turn'],
    [rejected, 'that could not be processed'],
    [malformed, 'malformed'],
    [lost, 'given up by the peer'],
  ];
  const frames = counters.filter(([number]) => number > 0).map(([number, what]) => `${count(number)} ${what}`);
  const parts = frames.length > 0 ? [`Frames of this life: ${frames.join(', ')}.`] : [];
  if (peer && peer.state !== 'connected') {
    const wait = peer.nextAttemptAt === null ? '' : `, the next in ${Math.max(0, (peer.nextAttemptAt - now) / 1_000).toFixed(1)} s`;
    parts.push(`${count(peer.failedAttempts)} failed attempts in a row${wait}.`);
    if (peer.lastError) {
      parts.push(`Last error: ${brief(peer.lastError.reason)}`);
    }
  }
  return parts.join(' ');
}

/** @param {string} look */
const key = (look) => svg('svg', { class: 'key', viewBox: '0 0 24 10', 'aria-hidden': 'true' },
  look === 'pending'
    ? svg('path', { class: `plot ${look}`, d: 'M0 1H24V9H0Z' })
    : svg('path', { class: `plot ${look}`, d: 'M0 5H24' }));

/** The figures of one kernel's remotes. */
export class Timelines {
  /** @type {Map<string, Timeline>} By peer id. */
  #figures = new Map();
  #kernel = '';
  #container;

  /** @param {HTMLElement} container */
  constructor(container) {
    this.#container = container;
  }

  /**
   * @param {import('./lab.js').Lab} lab
   * @param {import('./lab-kernel.js').LabKernel} kernel
   * @param {{ at: number, kernel: string, text: string }[]} events
   * @returns {boolean} whether there is any
   */
  draw(lab, kernel, events) {
    const peers = lab.samples.remotes(kernel.name).filter((peerId) => !lab.departed.has(peerId));
    if (this.#kernel !== kernel.name || [...this.#figures.keys()].join() !== peers.join()) {
      this.#kernel = kernel.name;
      this.#figures = new Map(peers.map((peerId) => [peerId, new Timeline()]));
      this.#container.replaceChildren(...[...this.#figures.values()].map(({ figure }) => figure));
    }
    for (const [peerId, timeline] of this.#figures) {
      const peer = lab.findPeer(peerId);
      const fromPeer = peer ? lab.samples.of(peer.name, kernel.peerId) : [];
      const concerned = events.filter((event) => event.kernel === kernel.name || event.kernel === peer?.name);
      const name = peer ? `Kernel ${peer.name}` : `Elsewhere …${peerId.slice(-6)}`;
      timeline.draw(name, lab.samples.of(kernel.name, peerId), fromPeer, concerned);
    }
    return peers.length > 0;
  }
}
