// What the benchmark and the soak of the network need: the relay, native peers, and a page in a browser that counts its
// RTCPeerConnections. Ends all of it.
//
//   OCAP_RELAY_BIN, OCAP_KERNEL_PEER   the relay and the native kernels
//   CHROME_BIN                      the browser, /usr/bin/chromium by default
//   OCAP_LOG                        what the native peers log, off by default

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { build } from 'vite';
import { Relay } from '../../www/story/relay.mjs';
import { serveBuilt } from '../../www/story/site.mjs';
import { CHROMIUM, CHROMIUM_FLAGS } from '../../www/story/stage.mjs';
import { Interrupted, listenForSignals, within } from '../../www/story/within.mjs';

const WAIT_LIMIT_MS = 60_000;
/** Whatever is measured takes some minutes. */
const WORK_LIMIT_MS = 600_000;

/** What is loose on both sides: limits that would be measured instead of the network. */
export const LOOSE = { maxMessagesPerSecond: 1_000_000, maxConnectionAttemptsPerMinute: 100_000, streamInactivityTimeoutMs: 600_000 };

/** A native peer, whose lines are kept until somebody takes them. */
export class Peer {
  #lines = [];
  #waiting = [];
  #ended;

  /** @param {object} start see tests/network/src/main.rs */
  constructor(start) {
    this.startedWith = start;
  }

  static async start(start) {
    const peer = new Peer(start);
    await peer.start();
    return peer;
  }

  async start() {
    this.#lines = [];
    const env = { NO_COLOR: '1', ...process.env, RUST_LOG: process.env.OCAP_LOG ?? 'off' };
    const stdio = /** @type {const} */ (['pipe', 'pipe', 'inherit']);
    this.process = spawn(required('OCAP_KERNEL_PEER'), [JSON.stringify(this.startedWith)], { stdio, env });
    this.#ended = once(this.process, 'exit');
    this.process.stdin.on('error', () => {}); // It may be killed while it is told something.
    createInterface({ input: this.process.stdout }).on('line', (line) => {
      this.#lines.push(JSON.parse(line));
      this.#waiting.splice(0).forEach((look) => look());
    });
    this.ready = (await this.take('ready')).ready;
    if (this.ready.addresses) {
      const find = (part, without) => this.ready.addresses.find((address) => address.includes(part) && !address.includes(without));
      this.addresses = {
        ws: find('/ws', 'p2p-circuit'),
        'webrtc-direct': find('/webrtc-direct', 'p2p-circuit'),
        relayed: find('p2p-circuit', '\n'),
      };
    }
  }

  /** The next line that has the member, and what else `wanted` asks; it is not given again, nor any before it. */
  async take(member, wanted = (_line) => true, limitMs = WAIT_LIMIT_MS) {
    const deadline = Date.now() + limitMs;
    for (;;) {
      const index = this.#lines.findIndex((line) => member in line && wanted(line));
      if (index >= 0) {
        const line = this.#lines[index];
        this.#lines.splice(0, index + 1);
        return line;
      }
      if (this.process.exitCode !== null || Date.now() > deadline) {
        throw new Error(`the native peer did not say ${member}; there are ${JSON.stringify(this.#lines.slice(-5))}`);
      }
      await new Promise((resolve) => {
        this.#waiting.push(resolve);
        setTimeout(resolve, 1_000);
      });
    }
  }

  tell(command) {
    this.process.stdin.write(`${JSON.stringify(command)}\n`);
  }

  /** Stops or goes on, as a machine that hangs does. */
  signal(signal) {
    this.process.kill(signal);
  }

  async kill() {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGKILL');
      await this.#ended;
    }
  }
}

/** The value of a variable of the environment. */
export function required(variable) {
  const path = process.env[variable];
  if (!path) {
    throw new Error(`${variable} must be set; \`cargo xtask\` sets it`);
  }
  return path;
}

const HERE = fileURLToPath(new URL('.', import.meta.url));
const BUILT = fileURLToPath(new URL('../../pkg', import.meta.url));

export class World {
  #closers = [];

  static async open() {
    const world = new World();
    try {
      world.folder = await mkdtemp(join(tmpdir(), 'ocap-remotes-network-'));
      world.#closers.push(() => rm(world.folder, { recursive: true, force: true }));
      world.relay = await Relay.create(required('OCAP_RELAY_BIN'));
      world.#closers.push(() => world.relay.remove());
      await world.#serve();
      world.browser = await chromium.launch({
        executablePath: CHROMIUM,
        args: [...CHROMIUM_FLAGS, '--js-flags=--expose-gc'],
      });
      world.#closers.push(() => world.browser.close());
      return world;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  /** The page is built as its users would build it. */
  async #serve() {
    const outDir = join(this.folder, 'page');
    await build({
      configFile: false,
      logLevel: 'error',
      root: join(HERE, 'page'),
      base: './',
      resolve: { alias: [{ find: /^ocap-remotes\/(kernel|network)$/, replacement: `${BUILT}/$1/$1.js` }] },
      build: { outDir, target: 'es2022', modulePreload: false, chunkSizeWarningLimit: 4_000 },
    });
    // With these the page's clock has 5 µs, not 100.
    const headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };
    const site = await serveBuilt(outDir, { headers });
    this.#closers.push(site.close);
    this.site = site.url;
  }

  /** A new page with everything of tests/network/page in `window.network`. What goes wrong there is told on stderr. */
  async openPage() {
    const page = await this.browser.newPage();
    page.on('pageerror', (error) => console.error(`page: ${error.stack ?? error}`));
    page.on('console', (message) => {
      if (message.type() === 'error') {
        console.error(`page: ${message.text()}`);
      }
    });
    await page.goto(this.site);
    await page.waitForFunction(() => 'network' in globalThis);
    return page;
  }

  /**
   * Starts a native peer that listens in so many ways.
   * @param {object} start
   * @param {('ws' | 'webrtc-direct' | 'relayed')[]} ways
   */
  async peer(start, ways = ['ws', 'webrtc-direct', 'relayed'], options = {}) {
    const { LISTEN } = World;
    const listen = ways.flatMap((way) => LISTEN[way] ?? []);
    const peer = await Peer.start({
      certificate: join(this.folder, `certificate-${start.seed}.pem`),
      ...start,
      options: { ...LOOSE, directListenAddresses: listen, relays: ways.includes('relayed') ? [this.relay.addresses.ws] : [], ...options },
    });
    // Started again it is to be found where it was.
    peer.startedWith.options.directListenAddresses = listen.map((address) =>
      peer.addresses[address.includes('/ws') ? 'ws' : 'webrtc-direct'].replace(/\/(certhash|p2p)\/.*/, ''));
    this.#closers.push(() => peer.kill());
    return peer;
  }

  static LISTEN = { ws: ['/ip4/127.0.0.1/tcp/0/ws'], 'webrtc-direct': ['/ip4/127.0.0.1/udp/0/webrtc-direct'] };

  /** Tells on stderr how far the kernels in the pages are. */
  async tellStates() {
    for (const page of this.browser.contexts().flatMap((context) => context.pages())) {
      const state = page.evaluate(() => globalThis.party?.state());
      const told = await within(state, 'the state of a page', WAIT_LIMIT_MS).catch((error) => error.message);
      console.error(`page: ${JSON.stringify(told)}`);
    }
  }

  async close() {
    for (const close of this.#closers.splice(0).reverse()) {
      await close().catch((error) => console.error(`cannot clean up: ${error.message}`));
    }
  }
}

/** Runs `work` in a world, for so long at most, and ends it also after a signal. */
export async function inWorld(work, limitMs = WORK_LIMIT_MS) {
  const world = await World.open();
  const { interrupted, ignore } = listenForSignals();
  try {
    return await within(Promise.race([work(world), interrupted]), 'the end of the work', limitMs);
  } catch (error) {
    if (!(error instanceof Interrupted)) {
      await world.tellStates();
    }
    throw error;
  } finally {
    ignore();
    await world.close();
  }
}
