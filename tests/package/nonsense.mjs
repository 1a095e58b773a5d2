// Calls whatever the package offers with whatever JavaScript has: errors are fine, a crash is not.

import { equal } from '../../www/story/tally.mjs';
import { open } from './drive.mjs';

/** @param {{ browser: import('playwright-core').Browser, blank: string, modules: string, kernels: string }} place */
export async function nonsenseCrashesNothing({ browser, blank, modules, kernels }) {
  const { page, close } = await open(browser, blank);
  try {
    const { calls, crashes } = await page.evaluate(inPage, { modules, kernels });
    equal(crashes, [], 'calls that crashed a half');
    if (calls < 20_000) {
      throw new Error(`only ${calls} calls were made`);
    }
    console.log(`        ${calls} calls`);
  } finally {
    await close();
  }
}

/** @param {{ modules: string, kernels: string }} addresses */
async function inPage({ modules, kernels }) {
  const network = await import(`${modules}network/network.js`);
  const kernel = await import(`${modules}kernel/kernel.js`);
  const remotes = await import(`${modules}remotes/remotes.js`);
  const { Database } = await import(`${kernels}database.mjs`);
  const { idleParts } = await import(`${kernels}idle-parts.mjs`);
  const halves = Object.entries({ kernel, network, remotes });
  await Promise.all(halves.map(([, half]) => half.default()));

  const peer = '12D3KooWGRUaF6FmXGbxcBRsjBgnLvmrWvjSSW9HvN3gEkCxvbKB';
  const refuses = () => {
    throw new RangeError('not this one');
  };
  /** @type {any} */
  const cyclic = { slots: [] };
  Object.assign(cyclic, { self: cyclic, body: cyclic, methargs: cyclic });
  cyclic.slots.push(cyclic.slots);
  const capData = { body: '#1', slots: ['ko1'] };
  const values = [
    ...[undefined, null, true, 3, -1, -0, NaN, 1e300, 2 ** 53, 7n, Symbol('s')],
    ...['', 'x', '\ud800', 'x'.repeat(2_000_000), 'ko1', 'kp1', 'ro+1', 'r1', peer, 'ocap:x@y'],
    ...[{}, [], [3], [undefined], cyclic, cyclic.slots, refuses, new Date(), new Map([[1, 2]]), new Uint8Array(5)],
    ...[capData, { body: 3, slots: 3 }, { methargs: capData, result: 'kp1' }, { get body() { return refuses(); } }],
    new Proxy({}, { get: refuses, ownKeys: refuses, has: refuses, getPrototypeOf: refuses }),
  ];
  /** These end what others are called on. */
  const ends = new Set(['constructor', 'free', 'stop', 'close', 'cleanup', '__destroy_into_raw']);

  const manager = async () => {
    const made = new remotes.RemoteManager({ ...idleParts().parts, kernelStore: new Database() });
    await made.initRemoteComms();
    return made;
  };
  const { port1, port2 } = new MessageChannel();
  const served = network.Network.serve(port1);
  const running = await kernel.Kernel.start(port2, { onEvent() {} }, await kernel.openKernelStore({ durability: 'memory' }));
  running.exportObject();
  const [first, second] = [await manager(), await manager()];
  const functions = (/** @type {any} */ half) =>
    Object.fromEntries(Object.entries(half).filter(([name]) => !/^[A-Z]|^default$|^initSync$/.test(name)));
  /** @type {Record<string, any>} */
  const targets = {
    Kernel: running,
    Network: served,
    KernelStore: await kernel.openKernelStore({ durability: 'memory' }),
    KernelRecords: new remotes.KernelRecords(remotes.KernelStore.over(new Database())),
    RemoteManager: first,
    RemoteHandle: second.establishRemote(peer),
    Transport: await network.initTransport('01'.repeat(32), {}, () => null),
    ...Object.fromEntries(halves.map(([name, half]) => [name, functions(half)])),
    static: {
      start: (/** @type {any[]} */ ...given) => kernel.Kernel.start(...given),
      over: (/** @type {any[]} */ ...given) => kernel.KernelStore.over(...given),
      serve: (/** @type {any[]} */ ...given) => network.Network.serve(...given),
      manager: (/** @type {any[]} */ ...given) => new remotes.RemoteManager(...given),
      records: (/** @type {any[]} */ ...given) => new remotes.KernelRecords(...given),
    },
  };

  let calls = 0;
  /** @type {Set<string>} */
  const crashes = new Set();
  const judge = (/** @type {string} */ what, /** @type {any} */ error) => {
    try {
      if (error instanceof WebAssembly.RuntimeError || error?.name === 'CrashError') {
        crashes.add(`${what}: ${error.message}`);
      }
    } catch {
      // What was thrown lets nobody look at it, so it is ours.
    }
  };
  const call = (/** @type {any} */ target, /** @type {string} */ name, /** @type {unknown[]} */ given, /** @type {string} */ what) => {
    calls += 1;
    try {
      const result = target[name](...given);
      if (result instanceof Promise) {
        result.catch((error) => judge(what, error));
      }
    } catch (error) {
      judge(what, error);
    }
  };
  for (const [label, target] of Object.entries(targets)) {
    /** @type {Set<string>} */
    const names = new Set();
    for (let at = target; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
      Object.entries(Object.getOwnPropertyDescriptors(at))
        .filter(([name, { value }]) => typeof value === 'function' && !ends.has(name))
        .forEach(([name]) => names.add(name));
    }
    for (const name of names) {
      values.forEach((value, nth) => {
        const more = [[], [value], [value, value], ['#1', ['ko1']], ['x', value]];
        more.forEach((rest) => crashes.size === 0 && call(target, name, [value, ...rest], `${label}.${name}, value ${nth}`));
      });
      await new Promise((resolve) => setTimeout(resolve));
    }
  }
  // What a kernel's own parts throw may be anything, too.
  const unreadable = Object.defineProperty(new Error('x'), 'message', { get: refuses });
  const cyclicData = Object.assign(new Error('x'), { data: cyclic });
  const odd = Object.assign(new Error('x'), { name: 7, message: {} });
  for (const [nth, thrown] of [...values, unreadable, cyclicData, odd].entries()) {
    for (const way of [() => { throw thrown; }, async () => { throw thrown; }, () => thrown]) {
      const { parts } = idleParts();
      parts.platformServices.initializeRemoteComms = way;
      const made = new remotes.RemoteManager({ ...parts, kernelStore: new Database() });
      calls += 1;
      await made.initRemoteComms().catch((/** @type {unknown} */ error) => judge(`a part throws value ${nth}`, error));
      made.cleanup();
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  for (const [name, half] of halves) {
    call(half, 'setLogLevel', ['warn'], `${name} at the end`);
  }
  running.exportObject();
  return { calls, crashes: [...crashes] };
}
