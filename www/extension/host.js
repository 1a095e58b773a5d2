// Hosts the network, and the kernel in a Worker of its own with its durable store, and serves the popups that connect.

import init, { Network, setLogLevel } from 'ocap-remotes/network';
import { answer, plain, revive } from '../src/calls.js';
import { Peer } from '../src/peer.js';

/**
 * @typedef {import('./vault.js').Vault} Vault
 * @typedef {import('./vault.js').Contact} Contact
 * @typedef {{ at: number, news: import('../src/program.js').News }} Entry
 *
 * @typedef {{ status: 'stopped' | 'starting' }
 *   | { status: 'error', error: import('../src/calls.js').PlainError }
 *   | { status: 'running', peerId: string, incarnationId: string, contact?: Contact }} HostState
 *
 * What a popup is told.
 * @typedef {{ state: HostState } | { network: import('ocap-remotes/network').NetworkStatus } | { entries: Entry[] }
 *   | import('../src/calls.js').Reply} FromHost
 */

/** Of what happened, so that a popup that opens has something to show. */
const ENTRIES = 50;
/** The network tells of each change; the popup needs the last of those that come together. */
const NETWORK_TOLD_AFTER_MS = 50;
/** How often kernel and network are asked whether they live. */
const CHECK_EVERY_MS = 20_000;
/** After a failure this document loads itself again; later and later, since a damaged store stays damaged. */
const RELOAD_AFTER_MS = 1_000;
const RELOAD_AFTER_AT_MOST_MS = 60_000;
const FAILURES = 'failures';

export class Host {
  #vault;
  /** @type {Vault | undefined} What the vault held last. */
  #kept;
  /** @type {Peer | undefined} */
  #peer;
  /** @type {Network | undefined} */
  #network;
  /** @type {HostState} */
  #state = { status: 'stopped' };
  #hasFailed = false;
  /** @type {Entry[]} Oldest first. */
  #entries = [];
  /** @type {Set<chrome.runtime.Port>} */
  #popups = new Set();
  #isNetworkToldSoon = false;

  /** What a popup may call. */
  #calls = {
    url: () => this.#call('url'),
    redeem: (/** @type {string} */ url) => this.#redeem(url),
    send: (/** @type {unknown[]} */ ...args) => this.#call('send', ...args),
    sendNumbers: (/** @type {unknown[]} */ ...args) => this.#call('sendNumbers', ...args),
    received: () => this.#call('received'),
    outcomes: () => this.#call('outcomes'),
    events: () => this.#call('events'),
    remotes: () => this.#call('remotes'),
    settings: () => ({ relays: this.#kept?.relays ?? [], options: this.#kept?.options ?? {} }),
    saveSettings: (/** @type {Pick<Vault, 'relays' | 'options'>} */ settings) => this.#saveSettings(settings),
  };

  /** @param {{ read: () => Promise<Vault>, write: (changes: Partial<Vault>) => Promise<Vault> }} vault */
  constructor(vault) {
    this.#vault = vault;
  }

  /** In the first turn of its page, so that nobody who connects is missed. */
  start() {
    chrome.runtime.onConnect.addListener((port) => this.#serve(port));
    setInterval(() => void this.#check(), CHECK_EVERY_MS);
    void this.#start();
  }

  async #start() {
    try {
      this.#kept = await this.#vault.read();
      const { keySeed, relays, options, greeter } = this.#kept;
      // A former page may still have the store open for a moment: after a reload, say.
      const store = { store: 'kernel', ifInUse: /** @type {const} */ ('wait') };
      const peer = new Peer({ keySeed, relays, options, greeter, ...store, log: 'warn' }, (port) => this.#serveNetwork(port));
      this.#peer = peer;
      peer.onState = () => this.#follow(peer);
      peer.onNews = (news) => this.#hear(news);
      await peer.start();
      if (peer.state.status === 'running') {
        const { incarnationId } = peer.state;
        const object = await peer.call('greeter');
        // A URL comes when its object is durable; only then may the next start count on it.
        await peer.call('url');
        this.#kept = await this.#vault.write({ greeter: { incarnationId, object } });
        sessionStorage.removeItem(FAILURES);
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** @param {MessagePort} port */
  async #serveNetwork(port) {
    await init();
    setLogLevel('warn');
    const network = Network.serve(port, { onEvent: () => this.#tellNetworkSoon() });
    this.#network = network;
    return () => network.stop();
  }

  /** @param {Peer} peer */
  #follow({ state }) {
    if (state.status === 'error') {
      this.#fail(state.error);
    } else if (state.status === 'running') {
      const { peerId, incarnationId } = state;
      const contact = this.#kept?.contact;
      // References of another incarnation mean nothing to this one.
      const known = contact?.incarnationId === incarnationId ? { contact } : {};
      this.#change({ status: 'running', peerId, incarnationId, ...known });
    } else {
      this.#change({ status: state.status });
    }
  }

  /** @param {import('../src/program.js').News} news */
  #hear(news) {
    const entry = { at: Date.now(), news };
    this.#entries.push(entry);
    this.#entries.splice(0, this.#entries.length - ENTRIES);
    this.#tell({ entries: [entry] });
    if (news.type === 'remote' && news.event.type === 'storeFailed') {
      this.#fail(revive({ name: 'StoreError', message: news.event.reason }));
    }
  }

  /** A crashed module tells so whenever it is called. */
  async #check() {
    if (this.#state.status === 'running') {
      try {
        this.#network?.status();
        await this.#peer?.call('remotes');
      } catch (error) {
        this.#fail(error);
      }
    }
  }

  /** @param {unknown} error after which only a fresh page helps, if anything does */
  #fail(error) {
    if (this.#hasFailed) {
      return;
    }
    this.#hasFailed = true;
    console.error('kernel or network has failed', error);
    this.#change({ status: 'error', error: plain(error) });
    const failures = Number(sessionStorage.getItem(FAILURES) ?? 0);
    sessionStorage.setItem(FAILURES, String(failures + 1));
    setTimeout(() => location.reload(), Math.min(RELOAD_AFTER_MS * 2 ** failures, RELOAD_AFTER_AT_MOST_MS));
  }

  /**
   * @param {string} call
   * @param {...unknown} args
   * @returns {Promise<any>}
   */
  async #call(call, ...args) {
    if (!this.#peer) {
      throw new Error('the kernel is not running');
    }
    return this.#peer.call(call, ...args);
  }

  /** @param {string} url */
  async #redeem(url) {
    const object = await this.#call('redeem', url);
    if (this.#state.status === 'running') {
      const peerId = /@([^,]+)/.exec(url)?.[1] ?? '';
      const contact = { incarnationId: this.#state.incarnationId, object, peerId };
      this.#kept = await this.#vault.write({ contact });
      this.#change({ ...this.#state, contact });
    }
    return object;
  }

  /** @param {Pick<Vault, 'relays' | 'options'>} settings */
  async #saveSettings({ relays, options }) {
    await this.#vault.write({ relays, options });
    // The kernel goes on from its store, so that its peers see a lost connection and no restart.
    await this.#peer?.stop();
    await this.#start();
  }

  /** @param {chrome.runtime.Port} port */
  #serve(port) {
    this.#popups.add(port);
    port.onDisconnect.addListener(() => this.#popups.delete(port));
    port.onMessage.addListener(async (call) => {
      const reply = await answer(this.#calls, call);
      if (this.#popups.has(port)) {
        port.postMessage(reply);
      }
    });
    port.postMessage({ state: this.#state });
    port.postMessage({ entries: this.#entries });
    this.#tellNetworkSoon();
  }

  #tellNetworkSoon() {
    if (this.#popups.size === 0 || this.#isNetworkToldSoon) {
      return;
    }
    this.#isNetworkToldSoon = true;
    setTimeout(() => {
      this.#isNetworkToldSoon = false;
      try {
        this.#tell({ network: this.#network?.status() ?? { peers: [], relays: [] } });
      } catch (error) {
        this.#fail(error);
      }
    }, NETWORK_TOLD_AFTER_MS);
  }

  /** @param {HostState} state */
  #change(state) {
    // What failed stays failed until the page is loaded again.
    if (!this.#hasFailed || state.status === 'error') {
      this.#state = state;
      this.#tell({ state });
    }
  }

  /** @param {FromHost} message */
  #tell(message) {
    for (const popup of this.#popups) {
      popup.postMessage(message);
    }
  }
}
