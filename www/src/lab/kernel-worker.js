// The Worker of a kernel of the lab. It is started with one message, `{ start: LabKernelSettings, port }`, and then answers calls.

import { jump } from './clock.js';
import init, { Kernel, openKernelStore, setLogLevel } from 'ocap-remotes/kernel';
import { answer, plain } from '../calls.js';
import { Program } from '../program.js';

/**
 * @typedef {import('../kernel-worker.js').KernelSettings & { wipe?: boolean }} LabKernelSettings
 *
 * What a message of the lab says of itself: which page sent it, in which of its books it stands, and under what number.
 * @typedef {{ page: string, book: number, n: number, text?: string }} Marked
 *
 * @typedef {{ type: 'sent', promise: string, value: Marked }
 *   | { type: 'received', value: unknown }
 *   | { type: 'settled', promise: string, rejected: boolean, answer: unknown }
 *   | { type: 'remote', event: import('../program.js').RemoteEvent }} LabNews
 */

/** Entries of the program's own records; the page keeps its own. */
const RECORD_LIMIT = 100;
/** What the program sent and took is gathered for so long before it is told, in milliseconds. */
const GATHER_MS = 20;

const post = (/** @type {unknown} */ message) => self.postMessage(message);

/** @type {LabNews[]} */
let soon = [];
/**
 * Tells what the program sent or took when it is durable: before that it may never have happened, if this Worker is killed.
 * @param {LabNews} news
 */
function tellWhenDurable(news) {
  soon.push(news);
  if (soon.length === 1) {
    setTimeout(async () => {
      const gathered = soon;
      soon = [];
      try {
        // A URL is given when everything before it is durable.
        await program.url();
        post({ news: gathered });
      } catch (error) {
        console.warn('what was not made durable is not told', error);
      }
    }, GATHER_MS);
  }
}

const program = new Program((news) => {
  if (news.type === 'received') {
    tellWhenDurable({ type: 'received', value: news.value });
  } else if (news.type === 'remote') {
    post({ news: [news] });
  }
}, RECORD_LIMIT);

/** @param {import('ocap-remotes/kernel').KernelEvent} event */
function handle(event) {
  if (event.type === 'notify') {
    // Also of promises that a former life of this Worker made, which the program does not know.
    const answer = JSON.parse(event.body.slice(1));
    post({ news: [{ type: 'settled', promise: event.promise, rejected: event.rejected, answer }] });
  }
  program.handle(event);
}

/**
 * False when an answer of the greeter's took the room for a message.
 * @param {() => void} send
 */
function attempt(send) {
  try {
    send();
    return true;
  } catch (error) {
    if (error instanceof Error && error.name === 'ResourceLimitError') {
      return false;
    }
    throw error;
  }
}

/** @type {import('ocap-remotes/kernel').Half | undefined} */
let half;
let sending = new AbortController();

const calls = {
  greeter: () => program.greeter,
  url: () => program.url(),
  redeem: (/** @type {string} */ url) => program.kernel.redeemOcapURL(url),
  release: (/** @type {string} */ reference) => program.kernel.release([reference]),
  remotes: () => program.kernel.remotes(),
  /** What the module's memory takes, in bytes. */
  memory: () => half?.memoryBytes ?? 0,
  sleep: jump,
  stopSending: () => sending.abort(),
  /**
   * Sends `count` messages, numbered from `first`; waits for room when too many are unacknowledged. Gives how many were sent.
   * @param {string} target
   * @param {Marked} first
   * @param {number} count
   */
  async sendMany(target, first, count) {
    // Several may send at once, to different peers: a stop is for all of them.
    if (sending.signal.aborted) {
      sending = new AbortController();
    }
    const { signal } = sending;
    let sent = 0;
    try {
      while (sent < count) {
        const value = { ...first, n: first.n + sent };
        await program.kernel.ready(target, { signal });
        if (attempt(() => tellWhenDurable({ type: 'sent', promise: program.send(target, 'echo', value), value }))) {
          sent += 1;
        }
      }
    } catch (error) {
      if (!signal.aborted) {
        throw error;
      }
    }
    return sent;
  },
};

/** @param {MessageEvent<{ start: LabKernelSettings, port: MessagePort }>} event */
async function start({ data: { start: { log, store: name, ifInUse, options, greeter, wipe, ...settings }, port } }) {
  try {
    half = await init();
    setLogLevel(log);
    const store = await openKernelStore(name === undefined ? { durability: 'memory' } : { name, ifInUse });
    if (wipe) {
      store.reset();
    }
    const kernel = await Kernel.start(port, { ...options, ...settings, onEvent: handle }, store);
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
