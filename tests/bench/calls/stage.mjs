// What all rows need: the built pages on a web server, the relay, and the slow line to it.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { Relay } from '../../../www/story/relay.mjs';
import { serveBuilt } from '../../../www/story/site.mjs';
import { required } from '../../network/world.mjs';
import { BrowserSide, nativeKernel } from './side.mjs';
import { openSlowLine } from './slow-line.mjs';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const BUILT = at('../../../pkg');

/** A line as a person far away may have it. */
const SLOW_LINE = { delayMs: 50, bytesPerSecond: 1_000_000 };
/** A call and its answer pass the lines of both ends. */
export const SLOW_TRIP_MS = 4 * SLOW_LINE.delayMs;

export class Stage {
  #closers = [];
  /** @type {Set<{ close: () => Promise<void> }>} Whoever opened them may be interrupted. */
  #sides = new Set();
  #folder = '';
  #site = '';
  /** Addresses of the relay, by the way to it. */
  relay = { ws: '', webrtc: '', 'slow ws': '' };

  static async open() {
    const stage = new Stage();
    try {
      await stage.#open();
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  async #open() {
    this.#folder = await mkdtemp(join(tmpdir(), 'ocap-remotes-calls-'));
    this.#closers.push(() => rm(this.#folder, { recursive: true, force: true }));
    const outDir = join(this.#folder, 'page');
    await build({
      configFile: false,
      logLevel: 'error',
      root: at('page'),
      base: './',
      resolve: {
        alias: [
          { find: /^ocap-remotes\/(kernel|network)$/, replacement: `${BUILT}/$1/$1.js` },
          { find: 'ocap-remotes/connect', replacement: `${BUILT}/js/connect.js` },
        ],
      },
      worker: { format: 'es' },
      build: {
        outDir,
        target: 'es2022',
        modulePreload: false,
        chunkSizeWarningLimit: 4_000,
        rollupOptions: { input: ['kernel', 'libp2p'].map((page) => at(`page/${page}.html`)) },
      },
    });
    const site = await serveBuilt(outDir);
    this.#closers.push(site.close);
    this.#site = site.url;

    const relay = await Relay.create(required('OCAP_RELAY_BIN'));
    this.#closers.push(() => relay.remove());
    this.relayPid = relay.pid;
    const { ws, webrtc } = relay.addresses;
    const port = /\/tcp\/(\d+)/.exec(ws)?.[1];
    const line = await openSlowLine(Number(port), SLOW_LINE);
    this.#closers.push(line.close);
    this.slowConnections = line.connections;
    this.relay = { ws, webrtc, 'slow ws': ws.replace(`/tcp/${port}`, `/tcp/${line.port}`) };
  }

  /**
   * A browser with one of the pages.
   * @param {'kernel' | 'libp2p'} page
   * @param {object} settings
   */
  browser(page, settings) {
    return this.#kept(BrowserSide.open(`${this.#site}${page}.html`, settings));
  }

  /**
   * A native kernel.
   * @param {number} seed its identity follows from it
   * @param {object} options
   */
  native(seed, options) {
    return this.#kept(nativeKernel(seed, options, this.#folder));
  }

  async #kept(opening) {
    const side = await opening;
    this.#sides.add(side);
    return side;
  }

  /** Ends sides that were opened here. */
  async end(sides) {
    sides.forEach((side) => this.#sides.delete(side));
    await Promise.all(sides.map((side) => side.close()));
  }

  async close() {
    await this.end([...this.#sides]);
    for (const close of this.#closers.splice(0).reverse()) {
      await close().catch((error) => console.error(`cannot clean up: ${error.message}`));
    }
  }
}
