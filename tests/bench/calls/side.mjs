// One of the two ends: a browser of its own with one page, or a native kernel.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { killGroup, startChromium } from '../../e2e/browser-process.mjs';
import { within } from '../../../www/story/within.mjs';
import { PLAIN_CHROMIUM_FLAGS } from '../../../www/story/stage.mjs';
import { Peer } from '../../network/world.mjs';
import { Page } from './devtools.mjs';

const START_LIMIT_MS = 60_000;

/** A page that keeps `globalThis.party`, in a browser with the defaults of people's browsers and a profile on disk. */
export class BrowserSide {
  #closers = [];
  /** @type {Page} */
  #page;
  /** The group of the browser's processes. */
  group = 0;

  /**
   * @param {string} url of the page
   * @param {object} settings what the page reads from its address
   */
  static async open(url, settings) {
    const side = new BrowserSide();
    try {
      await within(side.#start(`${url}#${encodeURIComponent(JSON.stringify(settings))}`), 'a page that runs', START_LIMIT_MS);
      return side;
    } catch (error) {
      await side.close();
      throw error;
    }
  }

  async #start(url) {
    const profile = await mkdtemp(join(tmpdir(), 'ocap-remotes-calls-'));
    this.#closers.push(() => rm(profile, { recursive: true, force: true, maxRetries: 10 }));
    const { child, endpoint } = await startChromium(profile, PLAIN_CHROMIUM_FLAGS, url);
    this.#closers.push(() => killGroup(child));
    this.group = child.pid ?? 0;
    this.#page = await Page.attach(endpoint);
    this.#closers.push(async () => this.#page.close());
    await this.#page.has('party');
    // Browsers slow down what nobody sees.
    if (!(await this.#page.evaluate(async () => (await globalThis.party) && document.visibilityState === 'visible'))) {
      throw new Error('the page is hidden');
    }
  }

  /** Calls a function of the page's `party`. */
  call(name, ...args) {
    return this.#page.evaluate(async (name, ...args) => (await globalThis.party)[name](...args), name, ...args);
  }

  /** Calls a function of the kernel's Worker, or of js-libp2p's page. */
  do(name, ...args) {
    return this.call('call', name, ...args);
  }

  /** A member of the page's `party`. */
  get(member) {
    return this.#page.evaluate(async (member) => (await globalThis.party)[member], member);
  }

  /** Resolves when the page is there again. */
  reload() {
    return within(this.#page.reload('party'), 'the page to come back', START_LIMIT_MS);
  }

  async close() {
    for (const close of this.#closers.splice(0).reverse()) {
      await close();
    }
  }
}

/**
 * A native kernel, which says nothing of the messages that it answers.
 * @param {number} seed its identity follows from it
 * @param {object} options
 * @param {string} folder for its certificate, without which it does not listen for WebRTC
 */
export async function nativeKernel(seed, options, folder) {
  const certificate = join(folder, `certificate-${seed}.pem`);
  const peer = await Peer.start({ role: 'kernel', seed, quiet: true, certificate, options });
  const { ws, 'webrtc-direct': webrtc } = peer.addresses;
  return {
    url: peer.ready.url,
    peerId: peer.ready.peerId,
    hints: [ws, webrtc].filter((address) => address !== undefined),
    pid: peer.process.pid,
    close: () => peer.kill(),
  };
}
