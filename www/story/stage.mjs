// What every whole-system run needs: the relay, the built page on a web server, and a browser. Ends all of it, however a run ends.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { Relay } from './relay.mjs';
import { serveBuilt } from './site.mjs';
import { Tab } from './tab.mjs';
import { Interrupted, listenForSignals, within } from './within.mjs';

/** Where the browser is; `cargo xtask` tells. */
export const CHROMIUM = process.env.CHROME_BIN ?? '/usr/bin/chromium';

/** What makes a browser run at all where there is no display and no user, and ask nobody for anything. */
export const PLAIN_CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export const CHROMIUM_FLAGS = [
  ...PLAIN_CHROMIUM_FLAGS,
  // Timers of a page in the background run once a second, and one of two pages always is in the background.
  '--disable-background-timer-throttling',
  '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows',
];

/** What clears up waits for browsers, and one that is broken never ends by itself. */
const CLOSER_LIMIT_MS = 30_000;

/** How a page reaches the relay follows from where its network lives: a Worker has no WebRTC. */
const TRANSPORT = /** @type {const} */ ({ window: 'webrtc', worker: 'ws' });

/**
 * A file or folder that an environment variable must name.
 * @param {string} variable
 * @param {string} what
 */
function required(variable, what) {
  const path = process.env[variable];
  if (!path || !existsSync(path)) {
    throw new Error(`${variable} must name ${what}; \`cargo xtask demo\` sets it`);
  }
  return path;
}

export class Stage {
  /** @type {Tab[]} Every page that was opened and not dismissed, closed ones too. */
  tabs = [];
  /** @type {(() => Promise<unknown>)[]} */
  #closers = [];
  /** @type {Relay} */
  relay;
  /** @type {import('playwright-core').Browser} */
  browser;
  #site = '';

  /** @param {{ headless?: boolean }} [options] */
  static async open({ headless = true } = {}) {
    const stage = new Stage();
    try {
      const site = await serveBuilt(required('OCAP_WWW_DIST', 'the folder of the built page'), { host: process.env.OCAP_HOST });
      stage.#closers.push(site.close);
      stage.#site = site.url;
      const relay = await Relay.create(required('OCAP_RELAY_BIN', 'the relay'));
      stage.#closers.push(() => relay.remove());
      stage.relay = relay;
      stage.browser = await chromium.launch({
        executablePath: CHROMIUM,
        headless,
        args: CHROMIUM_FLAGS,
        // A signal ends the run, and the end of the run closes the browser.
        handleSIGINT: false,
        handleSIGTERM: false,
        handleSIGHUP: false,
      });
      stage.#closers.push(() => stage.browser.close());
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  /**
   * The address of a page for a new kernel.
   * @param {string} name
   * @param {'window' | 'worker'} network
   */
  address(name, network) {
    const relay = this.relay.addresses[TRANSPORT[network]];
    return `${this.#site}kernel.html?${new URLSearchParams({ name, network, relay })}`;
  }

  /**
   * The address of the page that shows many kernels.
   * @param {Record<string, string>} [settings] what else its address says; see www/src/lab/address.js
   */
  labAddress(settings = {}) {
    const { ws, webrtc } = this.relay.addresses;
    return `${this.#site}#${new URLSearchParams([['relay', ws], ['relay', webrtc], ...Object.entries(settings)])}`;
  }

  /**
   * Opens a page in a context of its own and waits until its kernel runs.
   * @param {string} name
   * @param {'window' | 'worker'} network
   * @param {string} [seed] 64 hex digits
   * @param {Record<string, string>} [settings] what else its address says
   */
  async openTab(name, network, seed = randomBytes(32).toString('hex'), settings = {}) {
    const context = await this.browser.newContext({ viewport: { width: 1000, height: 900 } });
    const tab = await this.openPage(context, name, network, { seed, ...settings });
    await this.untilRunning(tab);
    return tab;
  }

  /**
   * Opens a page without waiting for its kernel.
   * @param {import('playwright-core').BrowserContext} context of any browser
   * @param {string} name
   * @param {'window' | 'worker'} network
   * @param {Record<string, string>} settings what else its address says; see www/src/settings.js
   */
  async openPage(context, name, network, settings) {
    const tab = new Tab(name, await context.newPage());
    this.tabs.push(tab);
    const query = new URLSearchParams({ log: process.env.OCAP_LOG ?? 'warn', ...settings });
    await tab.page.goto(`${this.address(name, network)}&${query}`);
    return tab;
  }

  /** @param {Tab} tab */
  untilRunning(tab) {
    return this.waitFor(`${tab.name}'s kernel to run`, 120, async () => {
      const { status, error } = await tab.call('state');
      if (error) {
        throw new Error(`${tab.name}'s kernel does not start: ${error}`);
      }
      return status === 'running';
    });
  }

  /**
   * Forgets a page that is about to be killed: its crash is no failure.
   * @param {Tab} tab
   */
  dismiss(tab) {
    this.checkHealth();
    this.tabs = this.tabs.filter((other) => other !== tab);
  }

  /**
   * Asks again and again until the answer is yes.
   * @param {string} what
   * @param {number} seconds in which nothing moves
   * @param {() => Promise<boolean>} probe
   * @param {() => Promise<string>} [progress] what changes as long as there is some: a busy machine is slow, and does not stand still
   */
  async waitFor(what, seconds, probe, progress = async () => '') {
    let moved = Date.now();
    let before = await progress();
    while (!(await probe())) {
      this.checkHealth();
      const now = await progress();
      if (now !== before) {
        [before, moved] = [now, Date.now()];
      }
      if (Date.now() > moved + seconds * 1_000) {
        throw new Error(`waited ${seconds} s for ${what}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  /** Fails if a page or a module has crashed. */
  checkHealth() {
    const crashes = this.tabs.flatMap((tab) => tab.crashes);
    if (crashes.length > 0) {
      throw new Error(`a page is broken:\n${crashes.join('\n')}`);
    }
  }

  /**
   * Pictures of the open pages, if OCAP_SCREENSHOTS names a folder for them.
   * @param {string} prefix
   */
  async takePictures(prefix) {
    const folder = process.env.OCAP_SCREENSHOTS;
    if (folder) {
      for (const { name, page } of this.tabs.filter((tab) => !tab.page.isClosed())) {
        await page.screenshot({ path: join(folder, `${prefix}-${name}.png`), fullPage: true });
      }
    }
  }

  /** What the pages know and the relay said, for a run that failed. */
  async report() {
    const tabs = this.tabs.filter((tab) => !tab.page.isClosed());
    const reports = await Promise.all(tabs.map((tab) => tab.report()));
    return [...reports, '--- relay', ...(this.relay?.log ?? [])].join('\n');
  }

  /** @param {() => Promise<unknown>} close what else is to be cleared up, also after a signal */
  atEnd(close) {
    this.#closers.push(close);
  }

  async close() {
    for (const close of this.#closers.splice(0).reverse()) {
      await within(close(), 'it to end', CLOSER_LIMIT_MS).catch((error) => console.error(`cannot clean up: ${error.message}`));
    }
  }
}

/**
 * Runs `work` on a new stage, and clears up after it also when it fails or a signal comes. What was seen is told on stderr on failure.
 * @template T
 * @param {(stage: Stage) => Promise<T>} work
 * @param {{ headless?: boolean, limitMs?: number }} [options] how long the work may take, 5 minutes by default
 */
export async function onStage(work, { headless, limitMs = 300_000 } = {}) {
  const { interrupted, ignore } = listenForSignals();
  const stage = await Stage.open({ headless });
  try {
    const outcome = Promise.race([work(stage), interrupted]);
    return await (limitMs === Infinity ? outcome : within(outcome, 'the end of it all', limitMs));
  } catch (error) {
    if (!(error instanceof Interrupted)) {
      console.error(await stage.report());
    }
    throw error;
  } finally {
    ignore();
    await stage.close();
  }
}
