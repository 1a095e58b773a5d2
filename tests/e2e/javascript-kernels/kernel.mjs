// @ts-check
// A JavaScript kernel whose remotes and transport are ours: everything else in it is a few lines of JavaScript.

import initKernel, { KernelRecords, KernelStore, RemoteManager } from 'ocap-remotes/remotes';
import initNetwork, { initTransport } from 'ocap-remotes/network';
import { Database } from './database.mjs';
import { KernelQueue, PROGRAM } from './queue.mjs';

/** @import { KernelMessage, RemoteCommsOptions } from 'ocap-remotes/remotes' */

/** What a message on the wire is. */
const kindOf = (/** @type {string} */ message) => {
  const { method, params, ack } = JSON.parse(message);
  return method === 'deliver' ? params[0] : (method ?? (ack === undefined ? 'nothing' : 'ack'));
};

/** Our transport as the platform services of a JavaScript kernel. */
class PlatformServices {
  /** @type {import('ocap-remotes/network').Transport | undefined} */
  #transport;
  /** @type {string[]} */
  written = [];

  /** @type {import('ocap-remotes/remotes').PlatformServicesRemotePart['initializeRemoteComms']} */
  async initializeRemoteComms(keySeed, options, onMessage, onGiveUp, incarnationId, onIncarnationChange) {
    this.#transport = await initTransport(keySeed, options, onMessage, onGiveUp, incarnationId, onIncarnationChange);
  }

  #running() {
    if (!this.#transport) {
      throw new Error('remote comms not initialized');
    }
    return this.#transport;
  }

  async stopRemoteComms() {
    await this.#transport?.stop();
    this.#transport = undefined;
  }

  async sendRemoteMessage(/** @type {string} */ to, /** @type {string} */ message) {
    await this.#running().sendRemoteMessage(to, message);
    this.written.push(kindOf(message));
  }

  closeConnection = async (/** @type {string} */ peerId) => this.#running().closeConnection(peerId);
  registerLocationHints = async (/** @type {string} */ peerId, /** @type {string[]} */ hints) =>
    this.#running().registerLocationHints(peerId, hints);
  reconnectPeer = async (/** @type {string} */ peerId, /** @type {string[]} */ hints) =>
    this.#running().reconnectPeer(peerId, hints);
  resetAllBackoffs = async () => this.#running().resetAllBackoffs();
  getListenAddresses = () => this.#transport?.getListenAddresses() ?? [];
}

/** A store that is a plain object of functions, as a JavaScript kernel's own is. */
function plain(/** @type {KernelRecords} */ records) {
  const names = Object.getOwnPropertyNames(KernelRecords.prototype).filter((name) => name !== 'constructor');
  return Object.fromEntries(names.map((name) => [name, (/** @type {any[]} */ ...args) => /** @type {any} */ (records)[name](...args)]));
}

export class JavaScriptKernel {
  /** @type {{ target: string, body: string, slots: string[], result?: string | null }[]} */
  messages = [];
  /** @type {{ promise: string, rejected: boolean, body: string }[]} */
  outcomes = [];
  /** @type {string[]} */
  log = [];
  /** Whether messages are answered at once. */
  answers = true;

  /**
   * @param {{ keySeed: string, ownStore: boolean, disk?: [string, string][], options: RemoteCommsOptions }} start `ownStore`: the
   *   kernel has a store with the incumbent's functions; else only a key-value store
   */
  static async start({ keySeed, ownStore, disk, options }) {
    await Promise.all([initKernel(), initNetwork()]);
    const kernel = new JavaScriptKernel();
    kernel.database = new Database(new Map(disk));
    kernel.queue = new KernelQueue(kernel.database, {
      message: (target, message) => kernel.#received(target, message),
      notify: (promise, rejected, body) => kernel.outcomes.push({ promise, rejected, body }),
    });
    kernel.platform = new PlatformServices();
    const tell = (/** @type {unknown[]} */ ...data) => kernel.log.push(data.join(' '));
    /** @type {any} */
    const store = ownStore ? plain(new KernelRecords(KernelStore.over(kernel.database))) : kernel.database;
    kernel.remotes = new RemoteManager({
      platformServices: kernel.platform,
      kernelStore: store,
      kernelQueue: kernel.queue,
      logger: { log: tell, warn: tell },
      keySeed,
    });
    kernel.store = /** @type {KernelRecords} */ (kernel.remotes.kernelStore);
    kernel.queue.serve(kernel.store, kernel.remotes);
    kernel.store.initEndpoint(PROGRAM);
    await kernel.remotes.initRemoteComms(options);
    return kernel;
  }

  #received(/** @type {string} */ target, /** @type {KernelMessage} */ { methargs, result }) {
    this.messages.push({ target, ...methargs, result });
    if (result && this.answers) {
      this.queue.resolvePromises(PROGRAM, [[result, false, { body: `#"${methargs.body}?"`, slots: [] }]]);
    }
  }

  identity() {
    return { peerId: this.remotes.getPeerId(), incarnationId: this.remotes.incarnationId };
  }

  listening() {
    return this.platform.getListenAddresses();
  }

  exportObject() {
    return this.queue.crank(() => {
      const kref = this.store.translateRefEtoK(PROGRAM, `o+${Math.floor(performance.timeOrigin + performance.now())}`);
      this.store.pinObject(kref);
      return kref;
    });
  }

  /** A turn, in which garbage is collected. */
  turn() {
    this.queue.enqueueNotify(PROGRAM, this.store.initKernelPromise()[0]);
  }

  /** The program's object is gone, whoever has it. */
  abandon(/** @type {string} */ kref) {
    return this.queue.crank(() => {
      this.store.unpinObject(kref);
      this.store.forgetKref(PROGRAM, kref);
      this.turn();
    });
  }

  /** The program lets go of an object, which it would still know if it saw it again. */
  drop(/** @type {string} */ kref) {
    return this.queue.crank(() => {
      this.store.clearReachableFlag(PROGRAM, kref);
      this.turn();
    });
  }

  issue(/** @type {string} */ kref) {
    return this.remotes.issueOcapURL(kref);
  }

  async redeem(/** @type {string} */ url) {
    const kref = await this.remotes.redeemOcapURL(url);
    return this.queue.crank(() => {
      this.store.translateRefKtoE(PROGRAM, kref, true);
      return kref;
    });
  }

  /** Asks one remote, as the incumbent's URL manager does. */
  redeemAt(/** @type {string} */ peerId, /** @type {string} */ url) {
    return this.remotes.remoteFor(peerId).redeemOcapURL(url).then((kref) => `got ${kref}`, (error) => `${error.name}: ${error.message}`);
  }

  send(/** @type {string} */ target, /** @type {string} */ body, /** @type {string[]} */ slots = []) {
    return this.queue.crank(() => {
      const [result] = this.store.initKernelPromise();
      this.store.translateRefKtoE(PROGRAM, result, true);
      this.queue.enqueueSend(target, { methargs: { body, slots }, result });
      return result;
    });
  }

  release(/** @type {string} */ kref) {
    return this.queue.crank(() => {
      this.store.forgetKref(PROGRAM, kref);
      this.turn();
    });
  }

  reap() {
    this.remotes.reapRemotes();
    this.turn();
  }

  owner(/** @type {string} */ kref) {
    return this.store.getOwner(kref, false) ?? null;
  }

  /** Whether a peer's kernel has not dropped an object. */
  isReachedBy(/** @type {string} */ peerId, /** @type {string} */ kref) {
    return this.store.getReachableFlag(this.remotes.remoteFor(peerId).remoteId, kref);
  }

  giveUp(/** @type {string} */ peerId, /** @type {string} */ reason) {
    this.remotes.remoteFor(peerId).giveUp(reason);
  }

  seen() {
    const { messages, outcomes, log } = this;
    return { messages, outcomes, log, written: this.platform.written };
  }

  setAnswers(/** @type {boolean} */ answers) {
    this.answers = answers;
  }

  /** Ends this life of the kernel; gives what its disk holds. */
  async stop() {
    this.queue.stop();
    await this.remotes.stop();
    return [...this.database.disk];
  }
}
