// The kernel's Worker. It is started with one message, `{ start: KernelSettings, port }`, and then answers calls from the page.

import init, { Kernel, openKernelStore, setLogLevel } from 'ocap-remotes/kernel';
import { Program } from './program.js';

/**
 * @typedef {Pick<import('./settings.js').Settings, 'keySeed' | 'relays' | 'store' | 'ifInUse' | 'options' | 'log'>} KernelSettings
 * @typedef {{ peerId: string, incarnationId: string }} Identity
 *
 * What the page posts after the start, and what it is posted.
 * @typedef {{ id: number, call: keyof typeof calls, args: unknown[] }} Call
 * @typedef {{ id: number, value?: unknown, error?: Error }} Reply
 * @typedef {{ started: Identity } | { failed: Error } | { news: import('./program.js').News } | Reply} FromKernel
 */

/** @param {FromKernel} message */
const post = (message) => self.postMessage(message);

const program = new Program((news) => post({ news }));

/** What the page may call. */
const calls = {
  url: () => program.url(),
  redeem: (/** @type {string} */ url) => program.kernel.redeemOcapURL(url),
  send: program.send.bind(program),
  sendNumbers: program.sendNumbers.bind(program),
  received: () => program.received,
  outcomes: () => program.outcomes,
  events: () => program.events,
  remotes: () => program.kernel.remotes(),
};

/**
 * Errors cross as plain data: a clone of an Error would lose its name.
 * @param {unknown} error
 */
function plain(error) {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return { name, message };
}

/** @param {MessageEvent<{ start: KernelSettings, port: MessagePort }>} event */
async function start({ data: { start: { log, store: name, ifInUse, options, ...settings }, port } }) {
  try {
    await init();
    setLogLevel(log);
    const store = await openKernelStore(name === undefined ? { durability: 'memory' } : { name, ifInUse });
    const kernel = await Kernel.start(port, { ...options, ...settings, onEvent: (event) => program.handle(event) }, store);
    program.serve(kernel);
    post({ started: { peerId: kernel.peerId, incarnationId: kernel.incarnationId } });
  } catch (error) {
    post({ failed: plain(error) });
  }
}

/** @param {MessageEvent<Call>} event */
async function answer({ data: { id, call, args } }) {
  try {
    /** @type {(...args: any[]) => unknown} */
    const called = calls[call];
    post({ id, value: await called(...args) });
  } catch (error) {
    post({ id, error: plain(error) });
  }
}

self.addEventListener('message', (first) => {
  self.addEventListener('message', answer);
  void start(first);
}, { once: true });
