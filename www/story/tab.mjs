// One page in a browser context of its own, and what it complained of.

import { within } from './within.mjs';

/** Lines of the console that are kept for a report. */
const CONSOLE_LINES = 60;
/** A page whose renderer dies at the wrong moment answers no call. */
const CALL_LIMIT_MS = 60_000;
/** What a crashed module, or a program that threw, leaves on the console. */
const CRASH = /crashed|panicked|RuntimeError|onEvent threw/;

/**
 * @typedef {import('../src/program.js').Received} Received
 * @typedef {import('../src/program.js').Outcome} Outcome
 * @typedef {import('../src/program.js').RemoteEvent} RemoteEvent
 */

export class Tab {
  /** @type {string[]} What makes a run fail whatever else happens. */
  crashes = [];
  /** @type {string[]} */
  console = [];

  /**
   * @param {string} name
   * @param {import('playwright-core').Page} page
   */
  constructor(name, page) {
    this.name = name;
    this.page = page;
    page.on('pageerror', (error) => this.crashes.push(`${name}: ${error.stack ?? error}`));
    page.on('crash', () => this.crashes.push(`${name}: the page crashed`));
    page.on('console', (message) => {
      this.console.push(`[${(performance.now() / 1_000).toFixed(2)} s] ${message.type()}: ${message.text()}`);
      this.console.splice(0, this.console.length - CONSOLE_LINES);
      if (message.type() === 'error' && CRASH.test(message.text())) {
        this.crashes.push(`${name}: ${message.text()}`);
      }
    });
  }

  /**
   * Calls the page's `demo`; see www/src/main.js.
   * @param {string} name
   * @param {...unknown} args
   * @returns {Promise<any>}
   */
  call(name, ...args) {
    const answer = this.page.evaluate(([name, args]) => /** @type {any} */ (window).demo[name](...args), [name, args]);
    return within(answer, `${this.name} to answer ${name}`, CALL_LIMIT_MS);
  }

  /** The numbers that this incarnation's greeter received, oldest first. */
  async numbers() {
    return (await this.received()).map(({ value }) => /** @type {number} */ (value));
  }

  /** @returns {Promise<Received[]>} */
  received() {
    return this.call('received');
  }

  /** @returns {Promise<Outcome[]>} */
  outcomes() {
    return this.call('outcomes');
  }

  /** @returns {Promise<Extract<RemoteEvent, { type: 'peerRestarted' }>[]>} */
  async restarts() {
    return (await this.call('events')).filter((/** @type {RemoteEvent} */ { type }) => type === 'peerRestarted');
  }

  /** Sent and not yet acknowledged. */
  async pending() {
    const remotes = await this.call('remotes');
    return remotes.reduce((/** @type {number} */ sum, /** @type {{ pending: number }} */ { pending }) => sum + pending, 0);
  }

  /** Everything that helps to see why something did not happen. */
  async report() {
    const lines = [`--- ${this.name}`];
    for (const what of ['state', 'remotes', 'events']) {
      const told = await this.call(what).catch((error) => `not to be had: ${error.message}`);
      lines.push(`${what}: ${JSON.stringify(told)}`);
    }
    const numbers = await this.numbers().catch(() => []);
    return [...lines, `received: ${numbers.join(' ')}`, ...this.console, ...this.crashes].join('\n');
  }
}
