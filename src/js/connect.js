// Joins the contexts that a kernel and its network live in, and carries a page's calls to its Worker. Plain JavaScript without
// any wasm, so that a context which only joins others loads none.

import { BridgeBusyError, BridgeClosedError, WorkerError, errorNamed } from './errors.js';

/** What the ports that are handed over are known by. */
const TAG = 'ocap-remotes';
/** Calls of one context that may be unanswered; more wait. */
const MAX_UNANSWERED = 256;
/** Calls that may wait for that. One more is refused. */
const MAX_WAITING = 4_096;

const isWorker = typeof WorkerGlobalScope !== 'undefined' && globalThis instanceof WorkerGlobalScope;

/** Ports that came, and whoever waits for one, by role. */
const ports = { network: [], kernel: [] };
const takers = { network: [], kernel: [] };

/** Calls that came before anybody answers them, and aborts of them. `undefined` once somebody does. */
let early = [];
/** As many as a `Caller` lets out, twice over for the aborts. */
const MAX_EARLY = 2 * MAX_UNANSWERED;

if (isWorker) {
  // From the start: a port or a call may come while the wasm is still being loaded.
  globalThis.addEventListener('message', (event) => {
    const role = event.data?.[TAG];
    const [port] = event.ports;
    if (port && Object.hasOwn(ports, role)) {
      event.stopImmediatePropagation();
      const taker = takers[role].shift();
      taker ? taker(port) : ports[role].push(port);
    } else if (early && (role === 'call' || role === 'abort') && early.length < MAX_EARLY) {
      early.push(event);
    }
  });
}

/** The question that a document answers once its modules have run, with its address. */
const PRESENT = 'present?';

if (typeof document !== 'undefined') {
  globalThis.chrome?.runtime?.onMessage?.addListener((message, _sender, respond) => {
    if (message?.[TAG] === PRESENT && message.url === location.href) {
      respond(true);
    }
  });
}

/** @param {'network' | 'kernel'} role */
function arriving(role) {
  const port = ports[role].shift();
  return port ? Promise.resolve(port) : new Promise((resolve) => takers[role].push(resolve));
}

const hand = (worker, role, port) => worker.postMessage({ [TAG]: role }, [port]);

export function portFor(kernelWorker) {
  const { port1, port2 } = new MessageChannel();
  hand(kernelWorker, 'network', port1);
  return port2;
}

export function joinWorkers(kernelWorker, networkWorker) {
  hand(networkWorker, 'kernel', portFor(kernelWorker));
}

export const networkPort = () => arriving('network');

export const kernelPort = () => arriving('kernel');

/** What this context opens just now: an extension may have one offscreen document only. */
let opening;

/** How often a document that another life of the service worker opens is looked for, and how often at most. */
const LOOK_EVERY_MS = 25;
const LOOKS = 200;
/** So many looks a document that is there, and may have no ear for messages at all, is given to load. */
const LOOKS_FOR_AN_ANSWER = 40;

const pause = () => new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));

export async function openOffscreenDocument(url, justification = 'Connects this wallet to its peers') {
  const address = globalThis.chrome.runtime.getURL(url);
  if (opening && opening.address !== address) {
    throw new Error(`the offscreen document ${opening.address} is being opened, and there may be one only`);
  }
  opening ??= {
    address,
    done: open(address, url, justification).finally(() => {
      opening = undefined;
    }),
  };
  return opening.done;
}

async function open(address, url, justification) {
  let there = await openDocument();
  if (there === undefined) {
    try {
      return await chrome.offscreen.createDocument({ url, reasons: ['WEB_RTC', 'WORKERS'], justification });
    } catch (error) {
      // A former life of this service worker may be opening one, which is listed a little later.
      there = isOnlyOne(error) ? await appearingDocument() : undefined;
      if (there === undefined) {
        throw error;
      }
    }
  }
  if (there !== address) {
    throw new Error(`the offscreen document ${there} is open, and there may be one only`);
  }
  await untilLoaded(address);
}

const isOnlyOne = (error) => /only a single offscreen/i.test(error?.message);

/** The address of the offscreen document, if there is one. One that has just been made has none yet. */
async function openDocument() {
  const [open] = await chrome.runtime.getContexts({ contextTypes: ['OFFSCREEN_DOCUMENT'] });
  return open?.documentUrl || undefined;
}

async function appearingDocument() {
  let there;
  for (let look = 0; there === undefined && look < LOOKS; look += 1) {
    await pause();
    there = await openDocument();
  }
  return there;
}

/** It is listed while it still loads. */
async function untilLoaded(address) {
  for (let look = 0; look < LOOKS_FOR_AN_ANSWER; look += 1) {
    try {
      return void (await chrome.runtime.sendMessage({ [TAG]: PRESENT, url: address }));
    } catch {
      // Nobody hears messages yet.
      await pause();
    }
  }
}

/** Errors cross as plain data: a clone of an Error would lose its name. */
function plain(error) {
  if (typeof error?.message !== 'string') {
    return { name: 'Error', message: String(error) };
  }
  const { name, message, stack, data } = error;
  return { name, message, stack, data };
}

function revive({ name, message, stack, data }) {
  return Object.assign(errorNamed(name, message, data), { stack });
}

export function answerCalls(calls, target = globalThis) {
  const running = new Map();
  const answer = async ({ id, call, args }) => {
    const abort = new AbortController();
    running.set(id, abort);
    try {
      if (!Object.hasOwn(calls, call) || typeof calls[call] !== 'function') {
        throw new TypeError(`there is no call ${JSON.stringify(call)}`);
      }
      const value = await calls[call](...args, { signal: abort.signal });
      target.postMessage({ [TAG]: 'answer', id, value });
    } catch (error) {
      target.postMessage({ [TAG]: 'answer', id, error: plain(error) });
    } finally {
      running.delete(id);
    }
  };
  const listener = ({ data }) => {
    if (data?.[TAG] === 'call') {
      void answer(data);
    } else if (data?.[TAG] === 'abort') {
      running.get(data.id)?.abort(new DOMException('the caller no longer waits', 'AbortError'));
    }
  };
  target.addEventListener('message', listener);
  target.start?.();
  if (isWorker && target === globalThis) {
    const kept = early ?? [];
    early = undefined;
    kept.forEach(listener);
  }
  return () => target.removeEventListener('message', listener);
}

export class Caller {
  #target;
  #lastId = 0;
  #unanswered = new Map();
  #waiting = [];
  /** @type {Error | undefined} */
  #ended;
  #onMessage = ({ data }) => data?.[TAG] === 'answer' && this.#settle(data);
  #onError = (event) => {
    const { message = 'it could not be loaded' } = event;
    this.close(new WorkerError(`the other end failed: ${message}`));
  };

  constructor(target) {
    this.#target = target;
    target.addEventListener('message', this.#onMessage);
    target.addEventListener('error', this.#onError);
    target.start?.();
  }

  call(name, ...args) {
    return this.callWith({}, name, ...args);
  }

  callWith({ signal }, name, ...args) {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        throw this.#ended;
      }
      signal?.throwIfAborted();
      if (this.#waiting.length >= MAX_WAITING) {
        throw new BridgeBusyError(`${MAX_WAITING} calls already wait`);
      }
      this.#lastId += 1;
      const call = { id: this.#lastId, name, args, signal, resolve, reject };
      call.onAbort = () => this.#abort(call);
      signal?.addEventListener('abort', call.onAbort);
      this.#waiting.push(call);
      this.#post();
    });
  }

  close(reason = new BridgeClosedError('the bridge is closed')) {
    if (this.#ended) {
      return;
    }
    this.#ended = reason;
    this.#target.removeEventListener('message', this.#onMessage);
    this.#target.removeEventListener('error', this.#onError);
    const calls = [...this.#unanswered.values(), ...this.#waiting];
    this.#unanswered.clear();
    this.#waiting = [];
    for (const call of calls) {
      this.#forget(call).reject(reason);
    }
  }

  #post() {
    while (this.#unanswered.size < MAX_UNANSWERED && this.#waiting.length > 0) {
      const call = this.#waiting.shift();
      try {
        this.#target.postMessage({ [TAG]: 'call', id: call.id, call: call.name, args: call.args });
        this.#unanswered.set(call.id, call);
      } catch (error) {
        // An argument that cannot be cloned.
        this.#forget(call).reject(error);
      }
    }
  }

  #settle({ id, value, error }) {
    const call = this.#unanswered.get(id);
    if (!call) {
      return;
    }
    this.#unanswered.delete(id);
    this.#forget(call);
    error ? call.reject(revive(error)) : call.resolve(value);
    this.#post();
  }

  #abort(call) {
    const index = this.#waiting.indexOf(call);
    if (index >= 0) {
      this.#waiting.splice(index, 1);
    } else if (this.#unanswered.delete(call.id)) {
      this.#target.postMessage({ [TAG]: 'abort', id: call.id });
    }
    this.#forget(call).reject(call.signal.reason);
    this.#post();
  }

  #forget(call) {
    call.signal?.removeEventListener('abort', call.onAbort);
    return call;
  }

  [Symbol.dispose ?? Symbol.for('Symbol.dispose')]() {
    this.close();
  }
}
