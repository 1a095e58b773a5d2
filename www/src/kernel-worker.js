// The kernel's Worker. It is started with one message, `{ start: KernelSettings, port }`, and then answers calls from the page.

import init, { Kernel, openKernelStore, setLogLevel } from 'ocap-remotes/kernel';
import { answer, plain } from './calls.js';
import { Program } from './program.js';

/**
 * @typedef {Pick<import('./settings.js').Settings, 'keySeed' | 'relays' | 'store' | 'ifInUse' | 'options' | 'log'>
 *   & { greeter?: Greeter }} KernelSettings
 * @typedef {{ incarnationId: string, object: string }} Greeter the greeter of a former start, which its store still has
 * @typedef {{ peerId: string, incarnationId: string }} Identity
 *
 * What the page is posted.
 * @typedef {{ started: Identity } | { failed: import('./calls.js').PlainError } | { news: import('./program.js').News }
 *   | import('./calls.js').Reply} FromKernel
 */

/** @param {FromKernel} message */
const post = (message) => self.postMessage(message);

const program = new Program((news) => post({ news }));

/** What the page may call. */
const calls = {
  greeter: () => program.greeter,
  url: () => program.url(),
  redeem: (/** @type {string} */ url) => program.kernel.redeemOcapURL(url),
  send: program.send.bind(program),
  sendNumbers: program.sendNumbers.bind(program),
  received: () => program.received,
  outcomes: () => program.outcomes,
  events: () => program.events,
  remotes: () => program.kernel.remotes(),
};

/** @param {MessageEvent<{ start: KernelSettings, port: MessagePort }>} event */
async function start({ data: { start: { log, store: name, ifInUse, options, greeter, ...settings }, port } }) {
  try {
    await init();
    setLogLevel(log);
    const store = await openKernelStore(name === undefined ? { durability: 'memory' } : { name, ifInUse });
    const kernel = await Kernel.start(port, { ...options, ...settings, onEvent: (event) => program.handle(event) }, store);
    const { peerId, incarnationId } = kernel;
    program.serve(kernel, greeter?.incarnationId === incarnationId ? greeter.object : undefined);
    post({ started: { peerId, incarnationId } });
  } catch (error) {
    post({ failed: plain(error) });
  }
}

self.addEventListener('message', (first) => {
  self.addEventListener('message', async ({ data }) => post(await answer(calls, data)));
  void start(first);
}, { once: true });
