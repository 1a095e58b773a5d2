// The popup's end of the host: finds it, or has it opened, and carries calls. It connects again whenever the host has gone.

import { Calls, revive } from '../src/calls.js';
import { ask } from './request.js';

/** Before it looks for a host that went, or did not listen yet. */
const AGAIN_AFTER_MS = 250;

export class Wallet {
  /** @type {import('../src/peer.js').PeerState & { contact?: import('./vault.js').Contact }} */
  state = { status: 'stopped' };
  /** Called after each change of the state. */
  onState = () => {};
  /** @type {(network: import('ocap-remotes/network').NetworkStatus) => void} */
  onNetwork = () => {};
  /** @type {(entries: import('./host.js').Entry[]) => void} Called with what happened, oldest first. */
  onEntries = () => {};

  /** @type {chrome.runtime.Port | undefined} */
  #port;
  #calls = new Calls();

  async connect() {
    try {
      await ask('open');
      const port = chrome.runtime.connect();
      this.#port = port;
      port.onMessage.addListener((/** @type {import('./host.js').FromHost} */ message) => this.#hear(message));
      port.onDisconnect.addListener(() => this.#lose('the wallet’s page was closed'));
    } catch (error) {
      this.#lose(/** @type {Error} */ (error).message);
    }
  }

  /**
   * Calls the host; see `#calls` there.
   * @param {string} call
   * @param {...unknown} args
   * @returns {Promise<any>}
   */
  call(call, ...args) {
    const port = this.#port;
    if (!port) {
      return Promise.reject(new Error('the wallet is starting'));
    }
    return this.#calls.make((message) => port.postMessage(message), call, args);
  }

  /** @param {import('./host.js').FromHost} message */
  #hear(message) {
    if ('state' in message) {
      const { state } = message;
      this.state = state.status === 'error' ? { ...state, error: revive(state.error) } : state;
      this.onState();
    } else if ('network' in message) {
      this.onNetwork(message.network);
    } else if ('entries' in message) {
      this.onEntries(message.entries);
    } else {
      this.#calls.settle(message);
    }
  }

  /** @param {string} reason */
  #lose(reason) {
    this.#port = undefined;
    this.#calls.rejectAll(revive({ name: 'ConnectionLostError', message: reason }));
    this.state = { status: 'starting' };
    this.onState();
    setTimeout(() => void this.connect(), AGAIN_AFTER_MS);
  }
}
