// @ts-check
// The run queue and the router of a JavaScript kernel: it works in cranks, each in a savepoint that is open until it is over.

/** @import { KernelMessage, KernelRecords, OneResolution, RemoteManager } from 'ocap-remotes/remotes' */

/** The endpoint of the program. */
export const PROGRAM = 'v1';

export class KernelQueue {
  /** @type {KernelRecords} */
  #store;
  /** @type {Promise<void> | undefined} */
  #crank;
  #running = false;
  #stopped = false;

  /**
   * @param {{ createSavepoint(name: string): void, releaseSavepoint(name: string): void, rollbackSavepoint(name: string): void }} database
   * @param {{ message(target: string, message: KernelMessage): void, notify(promise: string, rejected: boolean, body: string): void }} program
   */
  constructor(database, program) {
    this.database = database;
    this.program = program;
  }

  /** @param {KernelRecords} store @param {RemoteManager} remotes */
  serve(store, remotes) {
    this.#store = store;
    this.remotes = remotes;
  }

  enqueueSend(/** @type {string} */ target, /** @type {KernelMessage} */ message) {
    this.#store.enqueueRun({ type: 'send', target, message });
    this.#wake();
  }

  enqueueNotify(/** @type {string} */ endpointId, /** @type {string} */ kpid) {
    this.#store.enqueueRun({ type: 'notify', endpointId, kpid });
    this.#wake();
  }

  resolvePromises(/** @type {string | undefined} */ endpointId, /** @type {OneResolution[]} */ resolutions) {
    for (const [kpid, rejected, value] of resolutions) {
      const { state, decider, subscribers = [] } = this.#store.getKernelPromise(kpid);
      if (state !== 'unresolved' || decider !== endpointId) {
        throw new Error(`${endpointId} may not resolve ${kpid}, which is ${state} and decided by ${decider}`);
      }
      const waiting = this.#store.resolveKernelPromise(kpid, rejected, value);
      for (const subscriber of subscribers.filter((subscriber) => subscriber !== endpointId)) {
        this.enqueueNotify(subscriber, kpid);
      }
      for (const [target, message] of waiting) {
        this.enqueueSend(target, message);
      }
    }
  }

  async waitForCrank() {
    await this.#crank;
  }

  stop() {
    this.#stopped = true;
  }

  #wake() {
    if (!this.#running) {
      this.#running = true;
      setTimeout(() => this.#run());
    }
  }

  /** Something of this kernel's own, in a crank. @template T @param {() => T | Promise<T>} work */
  async crank(work) {
    while (this.#crank) {
      await this.#crank;
    }
    /** @type {PromiseWithResolvers<void>} */
    const { promise, resolve } = Promise.withResolvers();
    this.#crank = promise;
    this.database.createSavepoint('crank');
    try {
      const result = await work();
      this.database.releaseSavepoint('crank');
      return result;
    } catch (error) {
      this.database.rollbackSavepoint('crank');
      throw error;
    } finally {
      this.#crank = undefined;
      resolve();
    }
  }

  async #run() {
    try {
      for (let more = true; more && !this.#stopped; ) {
        more = await this.crank(() => this.#turn());
      }
    } finally {
      this.#running = false;
    }
  }

  /** One item, and the garbage that it leaves. */
  async #turn() {
    const item = this.#store.dequeueRun();
    if (item?.type === 'send') {
      await this.#deliverSend(item.target, item.message);
    } else if (item?.type === 'notify') {
      await this.#deliverNotify(item.endpointId, item.kpid);
    }
    for (const { type, endpointId, erefs } of this.#store.collectGarbage()) {
      if (endpointId !== PROGRAM) {
        const remote = this.remotes.getRemote(endpointId);
        const deliver = { dropExports: remote.deliverDropExports, retireExports: remote.deliverRetireExports,
          retireImports: remote.deliverRetireImports }[type];
        await deliver.call(remote, erefs);
      }
    }
    for (let reap = this.#store.nextReapAction(); reap; reap = this.#store.nextReapAction()) {
      await this.remotes.getRemote(reap.endpointId).deliverBringOutYourDead();
    }
    return item !== undefined;
  }

  async #deliverSend(/** @type {string} */ target, /** @type {KernelMessage} */ message) {
    const owner = this.#store.getOwner(target, false);
    if (owner === undefined) {
      if (message.result) {
        const { decider } = this.#store.getKernelPromise(message.result);
        this.resolvePromises(decider, [[message.result, true, { body: '#"gone"', slots: [] }]]);
      }
    } else if (owner === PROGRAM) {
      message.methargs.slots.forEach((slot) => this.#store.translateRefKtoE(PROGRAM, slot, true));
      if (message.result) {
        this.#store.translateRefKtoE(PROGRAM, message.result, true);
        this.#store.setPromiseDecider(message.result, PROGRAM);
      }
      this.program.message(target, message);
    } else {
      const eref = this.#store.translateRefKtoE(owner, target, false);
      await this.remotes.getRemote(owner).deliverMessage(eref, this.#store.translateMessageKtoE(owner, message));
    }
  }

  async #deliverNotify(/** @type {string} */ endpointId, /** @type {string} */ kpid) {
    const { state, value } = this.#store.getKernelPromise(kpid);
    if (!value || !this.#store.krefToEref(endpointId, kpid)) {
      return;
    }
    const rejected = state === 'rejected';
    if (endpointId === PROGRAM) {
      this.#store.forgetKref(PROGRAM, kpid);
      this.program.notify(kpid, rejected, value.body);
      return;
    }
    const resolved = this.#store.translateRefKtoE(endpointId, kpid, false);
    const data = this.#store.translateCapDataKtoE(endpointId, value);
    await this.remotes.getRemote(endpointId).deliverNotify([[resolved, rejected, data]]);
  }
}
