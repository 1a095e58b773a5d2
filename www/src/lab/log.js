// The log: everything that happened, to be filtered, paused and taken along.

import { CLOCK, count, element, html, write } from './dom.js';

/** Entries that are kept; the oldest go first. */
const KEPT = 5_000;
/** How many may be above that before the oldest go. */
const SLACK = 500;
/** Entries that are shown; the others can be exported, and found by the filter. */
const SHOWN = 150;
/** How often new entries are shown, in milliseconds. */
const DRAWN_EVERY_MS = 250;
/** Longer texts are cut short where they are shown. */
const LONGEST = 180;

/** @typedef {import('./watch.js').Entry} Entry */

/** @type {Record<import('./watch.js').Kind, string>} */
const KINDS = {
  frame: 'frames',
  handshake: 'handshakes',
  restart: 'restarts',
  'give-up': 'give-ups',
  network: 'network',
  line: 'lines',
  life: 'lives',
  program: 'programs',
  error: 'errors',
};

export class Log {
  /** @type {Entry[]} Oldest first. */
  #entries = [];
  #isPaused = false;
  #isDue = false;
  #text = /** @type {HTMLInputElement} */ (element('log-text'));
  #kernel = /** @type {HTMLSelectElement} */ (element('log-kernel'));
  #kind = /** @type {HTMLSelectElement} */ (element('log-kind'));

  constructor() {
    this.#kind.append(...Object.entries(KINDS).map(([kind, name]) => html('option', { value: kind }, name)));
    for (const control of [this.#text, this.#kernel, this.#kind]) {
      control.addEventListener('input', () => this.#draw());
    }
    const pause = element('log-pause');
    pause.addEventListener('click', () => {
      this.#isPaused = !this.#isPaused;
      pause.setAttribute('aria-pressed', String(this.#isPaused));
      write(pause, this.#isPaused ? 'Go on' : 'Pause');
      this.#draw();
    });
    element('log-clear').addEventListener('click', () => {
      this.#entries = [];
      this.#draw();
    });
    element('log-export').addEventListener('click', () => this.#export());
    element('log-controls').addEventListener('submit', (event) => event.preventDefault());
  }

  /** @param {Entry} entry */
  add(entry) {
    this.#entries.push(entry);
    if (this.#entries.length > KEPT + SLACK) {
      this.#entries.splice(0, this.#entries.length - KEPT);
    }
    // Entries come by the hundred, and nobody reads them that fast.
    if (!this.#isDue && !this.#isPaused) {
      this.#isDue = true;
      setTimeout(() => {
        this.#isDue = false;
        if (!this.#isPaused) {
          this.#draw();
        }
      }, DRAWN_EVERY_MS);
    }
  }

  /** @param {string[]} names of the kernels that may be chosen */
  setKernels(names) {
    const known = [...this.#kernel.options].slice(1).map(({ value }) => value);
    for (const name of names.filter((name) => !known.includes(name))) {
      this.#kernel.append(html('option', { value: name }, name));
    }
  }

  /** Those that the filter lets pass, oldest first. */
  #chosen() {
    const [text, kernel, kind] = [this.#text.value.trim().toLowerCase(), this.#kernel.value, this.#kind.value];
    return this.#entries.filter((entry) =>
      (!kernel || entry.kernel === kernel || entry.peer === kernel)
      && (!kind || entry.kind === kind)
      && (!text || `${entry.kernel} ${entry.peer} ${entry.text}`.toLowerCase().includes(text)));
  }

  #draw() {
    const chosen = this.#chosen();
    const rows = chosen.slice(-SHOWN).reverse().map(({ at, kind, kernel, life, peer, text, bad }) =>
      html('li', { class: bad ? 'bad' : kind },
        html('time', { datetime: new Date(at).toISOString() }, CLOCK.format(at)),
        html('b', {}, `${kernel}${life > 0 ? `·${life}` : ''}${peer ? ` – ${peer}` : ''}`),
        html('span', {}, text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text)));
    element('log').replaceChildren(...rows);
    const shown = chosen.length > SHOWN ? `, the newest ${SHOWN} shown` : '';
    write(element('log-count'), `${count(chosen.length)} entries${shown}${this.#isPaused ? ', paused' : ''}`);
  }

  #export() {
    const entries = this.#chosen().map(({ at, ...entry }) => ({ at: new Date(at).toISOString(), ...entry }));
    const url = URL.createObjectURL(new Blob([JSON.stringify(entries, null, 1)], { type: 'application/json' }));
    html('a', { href: url, download: 'ocap-remotes-log.json' }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
}
