// What the modules do in a page: loading, errors, events, and a crash.

import { equal } from '../../www/story/tally.mjs';
import { open } from './drive.mjs';

/**
 * Runs `check` in an empty page and compares what it returns.
 * @template A
 * @param {import('playwright-core').Browser} browser
 * @param {string} blank
 * @param {(addresses: A) => unknown} check
 * @param {A} addresses
 * @param {unknown} expected
 */
async function inPage(browser, blank, check, addresses, expected) {
  const { page, close } = await open(browser, blank);
  try {
    equal(await page.evaluate(/** @type {any} */ (check), addresses), expected, 'what happens in the page');
  } finally {
    await close();
  }
}

/**
 * Where the pages are: an empty one, the folder of the package, one with both halves in one that can be told to crash, and parts of
 * a kernel in JavaScript.
 * @typedef {{ browser: import('playwright-core').Browser, blank: string, modules: string, crashTest: string, kernels: string }} Place
 */

/** @param {Place} place */
export const loading = ({ browser, blank, modules }) =>
  inPage(
    browser,
    blank,
    async (modules) => {
      const before = performance.getEntriesByType('resource').length;
      const { default: init, setLogLevel, InitError, NotInitializedError } = await import(`${modules}kernel/kernel.js`);
      const wasmFetches = () =>
        performance.getEntriesByType('resource').slice(before).filter(({ name }) => name.endsWith('.wasm')).length;
      const failure = (/** @type {() => unknown} */ call) =>
        Promise.resolve().then(call).then(() => 'nothing', (error) => error);
      const atImport = wasmFetches();
      const early = await failure(() => setLogLevel('warn'));
      const missing = await failure(() => init(`${modules}nowhere.wasm`));
      const page = await failure(() => init('/page'));
      const [one, other] = [failure(() => init(new Uint8Array([1, 2, 3]))), failure(() => init())];
      const shared = (await one) === (await other);
      const results = await Promise.all([init(), init(new URL(`${modules}kernel/kernel.wasm`)), init()]);
      const fetched = wasmFetches();
      await init();
      setLogLevel('warn');
      return {
        atImport,
        early: early instanceof NotInitializedError && early.name,
        missing: missing instanceof InitError && /answered 404/.test(missing.message),
        page: page instanceof InitError && /is no wasm but text\/html/.test(page.message),
        shared,
        sameHalf: results.every((half) => half === results[0]) && results[0].memoryBytes > 65_536,
        fetchedOnce: fetched === 2 && wasmFetches() === 2, // the one that is missing, and the real one
      };
    },
    modules,
    {
      atImport: 0,
      early: 'NotInitializedError',
      missing: true,
      page: true,
      shared: true,
      sameHalf: true,
      fetchedOnce: true,
    },
  );

/** @param {Place} place */
export const sources = ({ browser, blank, modules }) =>
  inPage(
    browser,
    blank,
    async (modules) => {
      const address = `${modules}kernel/kernel.wasm`;
      const bytes = await (await fetch(address)).arrayBuffer();
      const names = await (await fetch(`${modules}kernel/kernel.names.wasm`)).arrayBuffer();
      const isNamed = (/** @type {WebAssembly.Module} */ module) => WebAssembly.Module.customSections(module, 'name').length > 0;
      /** @type {Record<string, (half: any) => unknown>} */
      const ways = {
        nothing: ({ default: init }) => init(),
        bytes: ({ default: init }) => init(bytes),
        view: ({ default: init }) => init(new Uint8Array(bytes)),
        module: async ({ default: init }) => init(await WebAssembly.compile(bytes)),
        url: ({ default: init }) => init(new URL(address)),
        text: ({ default: init }) => init(address),
        request: ({ default: init }) => init(new Request(address)),
        response: ({ default: init }) => init(fetch(address)),
        untyped: ({ default: init }) => init(new Response(bytes)),
        names: ({ default: init }) => init(names),
        sync: async ({ initSync }) => initSync(await WebAssembly.compile(bytes)),
      };
      const loaded = [];
      for (const [way, load] of Object.entries(ways)) {
        // Each in a Worker of its own, where nothing is loaded yet.
        const worker = new Worker(
          URL.createObjectURL(
            new Blob(
              [
                `onmessage = async () => {
                  try {
                    const address = ${JSON.stringify(address)};
                    const half = await import(${JSON.stringify(`${modules}kernel/kernel.js`)});
                    const bytes = await (await fetch(address)).arrayBuffer();
                    const names = await (await fetch(address.replace('kernel.wasm', 'kernel.names.wasm'))).arrayBuffer();
                    await (${load.toString()})(half);
                    (await half.openKernelStore({ durability: 'memory' })).close();
                    postMessage('');
                  } catch (error) { postMessage(String(error)); }
                };`,
              ],
              { type: 'text/javascript' },
            ),
          ),
          { type: 'module' },
        );
        worker.postMessage('go');
        const problem = await new Promise((resolve) => (worker.onmessage = ({ data }) => resolve(data)));
        worker.terminate();
        loaded.push(problem ? `${way}: ${problem}` : way);
      }
      return {
        loaded,
        named: [isNamed(await WebAssembly.compile(names)), isNamed(await WebAssembly.compile(bytes))],
      };
    },
    modules,
    {
      loaded: ['nothing', 'bytes', 'view', 'module', 'url', 'text', 'request', 'response', 'untyped', 'names', 'sync'],
      named: [true, false],
    },
  );

/** @param {Place} place */
export const errors = ({ browser, blank, modules }) =>
  inPage(
    browser,
    blank,
    async (modules) => {
      const all = await import(`${modules}index.js`);
      const kernel = await import(`${modules}kernel/inline.js`);
      const network = await import(`${modules}network/network.js`);
      await Promise.all([kernel.default(), network.default()]);
      const failure = (/** @type {() => unknown} */ call) =>
        Promise.resolve().then(call).then(() => 'nothing', (error) => error);
      const { port1, port2 } = new MessageChannel();
      const served = network.Network.serve(port1);
      const store = await kernel.openKernelStore({ durability: 'memory' });
      const running = await kernel.Kernel.start(port2, { onEvent() {}, maxMessageSizeBytes: 1024 }, store);
      const peer = running.peerId;
      await running.closeConnection('12D3KooWGRUaF6FmXGbxcBRsjBgnLvmrWvjSSW9HvN3gEkCxvbKB').catch(() => {});
      const unavailable = await failure(() => kernel.openKernelStore());
      const badUrl = await failure(() => running.redeemOcapURL('ocap:nonsense'));
      const foreign = await failure(() => running.send('ko99', '#[]'));
      const option = await failure(() => kernel.openKernelStore({ nme: 'x' }));
      const events = running.events();
      const aborted = AbortSignal.abort(new RangeError('enough'));
      const stopped = await failure(() => running.events({ signal: aborted }).next());
      const changes = served.events();
      await running.stop();
      const end = await events.next();
      const after = await failure(() => running.redeemOcapURL('ocap:nonsense'));
      await served.stop();
      return {
        peer: peer.startsWith('12D3KooW'),
        sameClasses: all.CrashError === kernel.CrashError && all.CrashError === network.CrashError,
        unavailable: [unavailable.name, unavailable instanceof all.StoreUnavailableError, unavailable instanceof all.StoreError],
        stack: unavailable.stack.startsWith('StoreUnavailableError: '),
        badUrl: [badUrl.name, badUrl instanceof all.OcapURLError],
        foreign: [foreign.name, foreign instanceof ReferenceError],
        option: [option.name, option instanceof TypeError],
        stopped: stopped instanceof RangeError,
        end,
        changesEnd: (await drain(changes)).done,
        after: after.name,
        disposable: typeof running[Symbol.dispose],
      };
      async function drain(/** @type {AsyncIterator<unknown>} */ stream) {
        let next = await stream.next();
        while (!next.done) next = await stream.next();
        return next;
      }
    },
    modules,
    {
      peer: true,
      sameClasses: true,
      unavailable: ['StoreUnavailableError', true, true],
      stack: true,
      badUrl: ['OcapURLError', true],
      foreign: ['ReferenceError', true],
      option: ['TypeError', true],
      stopped: true,
      end: { done: true, value: undefined },
      changesEnd: true,
      after: 'NetworkStoppedError',
      disposable: 'function',
    },
  );

/** @param {Place} place */
export const wrongTypes = ({ browser, blank, modules, kernels }) =>
  inPage(
    browser,
    blank,
    async ({ modules, kernels }) => {
      const kernel = await import(`${modules}kernel/kernel.js`);
      const network = await import(`${modules}network/network.js`);
      const remotes = await import(`${modules}remotes/remotes.js`);
      const { Database } = await import(`${kernels}database.mjs`);
      const { idleParts } = await import(`${kernels}idle-parts.mjs`);
      await Promise.all([kernel.default(), network.default(), remotes.default()]);
      const { port1, port2 } = new MessageChannel();
      const served = network.Network.serve(port1);
      const running = await kernel.Kernel.start(port2, { onEvent() {} }, await kernel.openKernelStore({ durability: 'memory' }));
      const transport = await network.initTransport('01'.repeat(32), {}, () => null);
      const { parts, handed } = idleParts();
      const manager = new remotes.RemoteManager({ ...parts, kernelStore: new Database() });
      await manager.initRemoteComms();
      const remote = manager.establishRemote(running.peerId);
      const store = await kernel.openKernelStore({ durability: 'memory' });
      const object = running.exportObject();
      /** @type {unknown[]} */
      const cyclic = [];
      cyclic.push(cyclic);
      /** Called as a program without types would. @type {Record<string, () => unknown>} */
      const calls = {
        'target must be a string, not undefined': () => running.send(),
        'target must be a string, not number': () => running.send(7, '#1'),
        'body must be a string, not object': () => running.send(object, { methargs: [] }),
        'body must be a string, not null': () => running.send(object, null),
        'slots must be an array of strings, not string': () => running.send(object, '#1', object),
        'slots must be an array of strings, not an array of something else': () => running.send(object, '#1', [object, 7]),
        'body must be text, without lone surrogates': () => running.send(object, '#"half a \ud83d"'),
        'slots must be text, without lone surrogates': () => running.send(object, '#1', ['\ude00']),
        'url must be a string, not object': () => running.redeemOcapURL(new URL('ocap:x')),
        'backup must be a Uint8Array, not object': () => store.import({}),
        'level must be a string, not number': () => network.setLogLevel(3),
        'keySeed must be a string, not undefined': () => network.initTransport(undefined, {}, () => null),
        'bad option: maxQueue: invalid type: string "many", expected usize': () =>
          network.initTransport('01'.repeat(32), { maxQueue: 'many' }, () => null),
        'bad option: relays: it is nested too deeply': () => network.initTransport('01'.repeat(32), { relays: cyclic }, () => null),
        'name must be a string': () => kernel.openKernelStore({ name: 7 }),
        'durability must be "durable" or "memory", not "disk"': () => kernel.openKernelStore({ durability: 'disk' }),
        'keepIdentity must be a boolean': () => store.reset({ keepIdentity: 'yes' }),
        'a message is a string': () => transport.sendRemoteMessage(running.peerId),
        'argument 2 must be a string, not undefined': () => handed[0]?.(running.peerId),
        'argument 1 must be a string, not boolean': () => handed[1]?.(true),
        'erefs must be an array of strings, not undefined': () => remote.deliverDropExports(),
      };
      const wrong = [];
      for (const [expected, call] of Object.entries(calls)) {
        try {
          await call();
          wrong.push(`${expected}: nothing was thrown`);
        } catch (error) {
          if (!(error instanceof TypeError && error.message === expected)) {
            wrong.push(`${expected}: ${error}`);
          }
        }
      }
      // Nothing of it has disturbed anybody.
      const url = await running.issueOcapURL(object);
      const redeemed = await running.redeemOcapURL(url);
      const alive = manager.getPeerId().startsWith('12D3KooW');
      manager.cleanup();
      store.close();
      await transport.stop();
      await running.stop();
      await served.stop();
      return { wrong, redeemed: redeemed === object, alive };
    },
    { modules, kernels },
    { wrong: [], redeemed: true, alive: true },
  );

/** @param {Place} place */
export const crash = ({ browser, blank, modules, crashTest, kernels }) =>
  inPage(
    browser,
    blank,
    async ({ modules, crashTest, kernels }) => {
      const half = await import(`${crashTest}kernel/kernel.js`);
      const network = await import(`${modules}network/network.js`);
      const { Database } = await import(`${kernels}database.mjs`);
      const { idleParts } = await import(`${kernels}idle-parts.mjs`);
      await Promise.all([half.default(), network.default()]);
      const late = () => new Promise((resolve) => setTimeout(() => resolve('it still waits'), 60_000));
      const failure = (/** @type {() => unknown} */ call) =>
        Promise.race([Promise.resolve().then(call).then(() => 'nothing', (error) => error), late()]);
      const nobody = '12D3KooWGRUaF6FmXGbxcBRsjBgnLvmrWvjSSW9HvN3gEkCxvbKB';

      // A kernel, whose network is of the other half and goes on.
      const { port1, port2 } = new MessageChannel();
      const served = network.Network.serve(port1);
      const store = await half.openKernelStore({ durability: 'memory' });
      const other = await half.openKernelStore({ durability: 'memory' });
      const running = await half.Kernel.start(port2, { onEvent() {} }, store);
      // A network without a bridge, and remotes for a kernel of one's own, with what they hand to its network.
      const transport = await half.initTransport('1e'.repeat(32), { relays: [] }, () => null);
      const { parts, handed } = idleParts();
      const remotes = new half.RemoteManager({ ...parts, kernelStore: new Database() });
      await remotes.initRemoteComms();
      const remote = remotes.establishRemote(nobody);

      /** @type {Record<string, () => unknown>} */
      const before = {
        'a read event': () => running.events().next(),
        'a start that nobody serves': () => half.Kernel.start(new MessageChannel().port1, { onEvent() {} }, other),
        'a message that is not written': () => transport.sendRemoteMessage(nobody, '{}'),
        'a redemption': () => remote.redeemOcapURL(`ocap:x@${nobody}`),
      };
      /** @type {Record<string, () => unknown>} */
      const after = {
        exportObject: () => running.exportObject(),
        redeemOcapURL: () => running.redeemOcapURL('ocap:x'),
        peerId: () => running.peerId,
        events: () => running.events(),
        setLogLevel: () => half.setLogLevel('warn'),
        init: () => half.default(),
        openKernelStore: () => half.openKernelStore({ durability: 'memory' }),
        'transport.sendRemoteMessage': () => transport.sendRemoteMessage(nobody, '{}'),
        'transport.status': () => transport.status(),
        getPeerId: () => remotes.getPeerId(),
        deliverDropExports: () => remote.deliverDropExports(['ro+1']),
        onMessage: () => handed[0]?.(nobody, '{}'),
        onRemoteGiveUp: () => handed[1]?.(nobody),
        onIncarnationChange: () => handed[2]?.(nobody, 'x'),
      };
      const waiting = Object.entries(before).map(([what, call]) => /** @type {const} */ ([what, failure(call)]));
      const first = await failure(() => half.crashForTest());
      for (const [what, call] of Object.entries(after)) {
        waiting.push([what, failure(call)]);
      }
      const others = [];
      for (const [what, failed] of waiting) {
        const error = await failed;
        if (error !== first) {
          others.push(`${what}: ${error}`);
        }
      }
      return {
        first: first instanceof half.CrashError && /asked to/.test(first.message),
        cause: first.cause instanceof WebAssembly.RuntimeError,
        others,
        free: await failure(() => running.free()),
        otherHalf: served.status().peers,
      };
    },
    { modules, crashTest, kernels },
    { first: true, cause: true, others: [], free: 'nothing', otherHalf: [] },
  );
