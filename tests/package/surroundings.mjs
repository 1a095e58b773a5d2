// What the package makes of surroundings that are not as they should be: objects of another realm, browsers whose WebRTC something has
// replaced, databases that answer later. Whatever is handed in becomes an error of that one call.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { equal } from '../../www/story/tally.mjs';
import { open } from './drive.mjs';
import { run } from './pack.mjs';
import { project } from './projects.mjs';

/** @typedef {import('./behaviour.mjs').Place} Place */

/**
 * Objects of an iframe do what this page's do.
 * @param {Place} place
 */
export async function otherRealms({ browser, blank, modules }) {
  const { page, close } = await open(browser, blank);
  try {
    const found = await page.evaluate(async (modules) => {
      const frame = document.body.appendChild(document.createElement('iframe'));
      const other = /** @type {any} */ (frame.contentWindow);
      const kernel = await import(`${modules}kernel/kernel.js`);
      const network = await import(`${modules}network/network.js`);
      const bytes = await (await fetch(`${modules}kernel/kernel.wasm`)).arrayBuffer();
      const copy = new other.Uint8Array(bytes.byteLength);
      copy.set(new Uint8Array(bytes));
      await kernel.default(copy.buffer);
      await network.default(await other.fetch(`${modules}network/network.wasm`));
      const { port1, port2 } = new other.MessageChannel();
      const served = network.Network.serve(port1, other.Object.assign(new other.Object(), { onEvent() {} }));
      const store = await kernel.openKernelStore({ durability: 'memory' });
      const running = await kernel.Kernel.start(port2, other.Object.assign(new other.Object(), { onEvent() {} }), store);
      const aborted = await running
        .redeemOcapURL('ocap:zz@12D3KooWGRUaF6FmXGbxcBRsjBgnLvmrWvjSSW9HvN3gEkCxvbKB', { signal: other.AbortSignal.abort() })
        .catch((/** @type {Error} */ error) => error.name);
      const database = new other.Map();
      const over = kernel.KernelStore.over(
        other.Object.assign(new other.Object(), {
          get: (/** @type {string} */ key) => database.get(key),
          getNextKey: (/** @type {string} */ key) => [...database.keys()].sort().find((other) => other > key),
          set: (/** @type {string} */ key, /** @type {string} */ value) => void database.set(key, value),
          delete: (/** @type {string} */ key) => void database.delete(key),
          createSavepoint() {},
          rollbackSavepoint() {},
          releaseSavepoint() {},
        }),
      );
      const peerId = running.peerId.slice(0, 8);
      await running.stop();
      await served.stop();
      return { peerId, aborted, over: typeof over };
    }, modules);
    equal(found, { peerId: '12D3KooW', aborted: 'AbortError', over: 'object' }, 'what objects of an iframe can do');
  } finally {
    await close();
  }
}

/** What extensions that block WebRTC, or a policy, may leave in its place; and answers that no browser gives. */
const REPLACED = {
  undefined: 'undefined',
  null: 'null',
  'a number': '3',
  'an object': '({})',
  'a function': 'function () {}',
  'one without certificates': 'class { static generateCertificate() { throw new TypeError("no") } }',
  'one whose certificate is none': 'class { static generateCertificate() {} constructor() { throw new Error("blocked") } }',
  'one that rejects': 'class { static generateCertificate() { return Promise.reject(3) } }',
  'one that does nothing': 'class { static generateCertificate = async () => ({}) }',
  'one whose channels are none': 'class { static generateCertificate = async () => ({}); createDataChannel() { return {} } close() { throw 1 } }',
  'one that cannot be set': `class {
    static generateCertificate = async () => ({});
    set ondatachannel(_) { throw new Error('no') }
  }`,
  'one whose offer is none': `class extends RTCPeerConnection { createOffer = async () => undefined }`,
  'one whose offer is a number': `class extends RTCPeerConnection { createOffer = () => ({ sdp: 7 }) }`,
  'one without description': `class extends RTCPeerConnection { get localDescription() { return null } }`,
  'one with another fingerprint': `class extends RTCPeerConnection { get localDescription() { return { sdp: 'a=fingerprint:sha-256\\r\\n' } } }`,
  'one without state': `class extends RTCPeerConnection { get connectionState() { throw new Error('no') } }`,
};

/**
 * @param {Place} place
 * @param {string} relay over WebRTC
 */
export async function replacedWebRtc({ browser, blank, modules }, relay) {
  for (const [what, replacement] of Object.entries(REPLACED)) {
    const { page, close } = await open(browser, blank);
    try {
      await page.evaluate((replacement) => void (globalThis.RTCPeerConnection = (0, eval)(`(${replacement})`)), replacement);
      const found = await page.evaluate(
        async ({ modules, relay }) => {
          const kernel = await import(`${modules}kernel/kernel.js`);
          const network = await import(`${modules}network/network.js`);
          await Promise.all([kernel.default(), network.default()]);
          const { port1, port2 } = new MessageChannel();
          const served = network.Network.serve(port1);
          const store = await kernel.openKernelStore({ durability: 'memory' });
          const running = await kernel.Kernel.start(port2, { relays: [relay], onEvent() {} }, store);
          await new Promise((resolve) => setTimeout(resolve, 700));
          const isUp = served.status().relays.some((/** @type {{ state: string }} */ { state }) => state === 'up');
          const url = await running.issueOcapURL(running.exportObject());
          await running.stop();
          await served.stop();
          return { isUp, url: url.startsWith('ocap:') };
        },
        { modules, relay },
      );
      equal(found, { isUp: false, url: true }, `a kernel whose browser has for RTCPeerConnection ${what}`);
    } catch (error) {
      throw new Error(`RTCPeerConnection is ${what}: ${error instanceof Error ? error.message : error}`);
    } finally {
      await close();
    }
  }
}

/**
 * A database that is done later than it returns would make messages leave before they are durable.
 * @param {Place} place
 */
export async function databasesThatAnswerLater({ browser, blank, modules }) {
  const { page, close } = await open(browser, blank);
  try {
    const found = await page.evaluate(async (modules) => {
      const { default: init, Kernel, KernelStore } = await import(`${modules}kernel/kernel.js`);
      await init();
      const attempt = async (/** @type {string} */ late) => {
        /** @type {Map<string, string>} */
        const rows = new Map();
        /** @type {Record<string, (...args: string[]) => unknown>} */
        const database = {
          get: (key) => rows.get(key),
          getNextKey: (key) => [...rows.keys()].sort().find((other) => other > key),
          set: (key, value) => void rows.set(key, value),
          delete: (key) => void rows.delete(key),
          createSavepoint() {},
          rollbackSavepoint() {},
          releaseSavepoint() {},
        };
        const timely = database[late];
        database[late] = async (...args) => timely(...args);
        try {
          const started = await Kernel.start(new MessageChannel().port2, { onEvent() {} }, KernelStore.over(database));
          // Some functions are not needed to start.
          started.release([started.exportObject()]);
          started.stop();
          return 'nothing';
        } catch (error) {
          const { name, message } = /** @type {Error} */ (error);
          return `${name}: ${message}`;
        }
      };
      /** @type {Record<string, boolean>} */
      const refused = {};
      for (const late of ['set', 'createSavepoint', 'releaseSavepoint']) {
        const outcome = await attempt(late);
        refused[late] = /^Store\w*Error: .*must be done when it returns/.test(outcome) || /** @type {any} */ (outcome);
      }
      return refused;
    }, modules);
    equal(found, { set: true, createSavepoint: true, releaseSavepoint: true }, 'functions that gave a promise');
  } finally {
    await close();
  }
}

/**
 * In Node nothing keeps the process alive after the last `stop`.
 * @param {string} tarball
 * @param {string} relay
 */
export async function theProcessEnds(tarball, relay) {
  const folder = await project('node-ends', tarball, {});
  const script = `
    import initKernel, { Kernel, openKernelStore } from 'ocap-remotes/kernel';
    import initNetwork, { Network } from 'ocap-remotes/network';
    await Promise.all([initKernel(), initNetwork()]);
    const ends = [];
    const answered = new Promise((resolve) => {
      globalThis.onEvent = (kernel) => (event) => {
        if (event.type === 'message') kernel().resolve(event.result, '#"hello"');
        if (event.type === 'notify') resolve(event.body);
      };
    });
    const start = async () => {
      const { port1, port2 } = new MessageChannel();
      const network = Network.serve(port1);
      const store = await openKernelStore({ durability: 'memory' });
      let kernel;
      kernel = await Kernel.start(port2, { relays: ['${relay}'], onEvent: onEvent(() => kernel) }, store);
      ends.push(async () => { await kernel.stop(); await network.stop(); port1.close(); port2.close(); });
      return kernel;
    };
    const [one, other] = [await start(), await start()];
    one.send(await one.redeemOcapURL(await other.issueOcapURL(other.exportObject())), '#["greet",[]]');
    console.log('answered', await answered);
    await Promise.all(ends.map((end) => end()));
  `;
  await writeFile(join(folder, 'ends.mjs'), script);
  const flags = typeof WebSocket === 'undefined' ? ['--experimental-websocket'] : [];
  // A process that does not end is stopped, and that is an error.
  const { stdout } = await run('node', [...flags, 'ends.mjs'], { cwd: folder, timeout: 30_000 });
  equal(stdout.trim(), 'answered #"hello"', 'what the process says before it ends');
}
