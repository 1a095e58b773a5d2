// Where the networks of the lab live: each in a Worker or a frame of its own, so that it can be cut and killed by itself.

import { Calls, revive } from '../calls.js';

/**
 * @typedef {'worker' | 'frame'} Place
 * @typedef {import('./network-context.js').FromNetwork} FromNetwork
 *
 * @typedef {object} NetworkListener
 * @property {(observed: import('./tap.js').Observation[], omitted: number) => void} onObserved
 * @property {(change: import('ocap-remotes/network').NetworkEvent) => void} onChanged
 */

/** How long a context may take to load, in milliseconds. */
const LOAD_LIMIT_MS = 30_000;

/** One network, as the page holds it. */
export class LabNetwork {
  #calls = new Calls();
  #control;
  #end;

  /**
   * @param {MessagePort} control
   * @param {() => void} end
   */
  constructor(control, end) {
    this.#control = control;
    this.#end = end;
  }

  /**
   * Starts a network on `port`; resolves when it serves.
   * @param {Place} place
   * @param {string} name of its kernel
   * @param {Omit<import('./network-context.js').NetworkStart, 'control'>} start
   * @param {NetworkListener} listener
   * @param {(error: Error) => void} onFailure
   */
  static async open(place, name, start, listener, onFailure) {
    const { port1: control, port2 } = new MessageChannel();
    const message = { ...start, control: port2 };
    const transfer = [start.port, port2];
    const end = place === 'worker'
      ? openWorker(name, message, transfer, onFailure)
      : await openFrame(name, message, transfer);
    const network = new LabNetwork(control, end);
    try {
      await network.#listen(listener, onFailure);
      return network;
    } catch (error) {
      network.end();
      throw error;
    }
  }

  /**
   * @param {NetworkListener} listener
   * @param {(error: Error) => void} onFailure
   * @returns {Promise<void>}
   */
  #listen({ onObserved, onChanged }, onFailure) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(named('TimeoutError', 'the network did not load in time')), LOAD_LIMIT_MS);
      this.#control.onmessage = (/** @type {MessageEvent<FromNetwork>} */ { data }) => {
        if ('observed' in data) {
          onObserved(data.observed, data.omitted);
        } else if ('changed' in data) {
          onChanged(data.changed);
        } else if ('serving' in data) {
          clearTimeout(timer);
          resolve();
        } else if ('failed' in data) {
          clearTimeout(timer);
          reject(revive(data.failed));
          onFailure(revive(data.failed));
        } else {
          this.#calls.settle(data);
        }
      };
    });
  }

  /**
   * See `calls` in network-context.js.
   * @param {string} call
   * @param {...unknown} args
   * @returns {Promise<any>}
   */
  call(call, ...args) {
    return this.#calls.make((message) => this.#control.postMessage(message), call, args);
  }

  /** Ends it as a closed tab would, without a goodbye. */
  end() {
    this.#end();
    this.#control.close();
    this.#calls.rejectAll(new Error('the network was ended'));
  }
}

/**
 * @param {string} name
 * @param {unknown} message
 * @param {Transferable[]} transfer
 * @param {(error: Error) => void} onFailure
 */
function openWorker(name, message, transfer, onFailure) {
  const worker = new Worker(new URL('./network-worker.js', import.meta.url), { type: 'module', name: `network of ${name}` });
  worker.addEventListener('error', ({ message: why = 'it cannot be loaded' }) => onFailure(new Error(`the network's Worker: ${why}`)));
  worker.postMessage(message, transfer);
  return () => worker.terminate();
}

/**
 * @param {string} name
 * @param {unknown} message
 * @param {Transferable[]} transfer
 */
async function openFrame(name, message, transfer) {
  const frame = document.createElement('iframe');
  frame.title = `The network of kernel ${name}; nothing is to be seen in it`;
  frame.hidden = true;
  frame.src = new URL('network.html', document.baseURI).href;
  const loaded = new Promise((resolve, reject) => {
    frame.addEventListener('load', resolve, { once: true });
    setTimeout(() => reject(named('TimeoutError', 'the frame of the network did not load in time')), LOAD_LIMIT_MS);
  });
  document.body.append(frame);
  const end = () => frame.remove();
  try {
    await loaded;
    frame.contentWindow?.postMessage(message, location.origin, transfer);
    return end;
  } catch (error) {
    end();
    throw error;
  }
}

/**
 * @param {string} name
 * @param {string} message
 */
const named = (name, message) => Object.assign(new Error(message), { name });
