// A page with a kernel in a Worker, and its network here or in a second Worker; its address says which, as JSON after `#`. What the
// script outside calls is `globalThis.party`, a promise that is settled when the kernel runs.

import { Caller, joinWorkers, portFor } from 'ocap-remotes/connect';

/** Whom the page called before it was reloaded. */
const CALLED = 'called';

const { durability, network, options } = JSON.parse(decodeURIComponent(location.hash.slice(1)));

/** Joins the kernel's Worker with a network; gives what tells the network's status. */
async function networkFor(worker) {
  if (network === 'worker') {
    const networkWorker = new Worker(new URL('./network-worker.mjs', import.meta.url), { type: 'module' });
    joinWorkers(worker, networkWorker);
    const caller = new Caller(networkWorker);
    return () => caller.call('status');
  }
  const port = portFor(worker);
  const { default: init, Network } = await import('ocap-remotes/network');
  await init();
  const served = Network.serve(port);
  return async () => served.status();
}

async function start() {
  const worker = new Worker(new URL('./kernel-worker.mjs', import.meta.url), { type: 'module' });
  const kernel = new Caller(worker);
  const [status] = await Promise.all([networkFor(worker), kernel.call('start', durability, options)]);
  const called = sessionStorage.getItem(CALLED);
  let firstAnswerMs;
  if (called !== null) {
    await kernel.call('call', called, 100);
    firstAnswerMs = performance.now();
  }
  return {
    status,
    /** From the reload to the first answered call. */
    firstAnswerMs,
    call: (name, ...args) => kernel.call(name, ...args),
    /** After a reload it is called at once. */
    keep: (target) => sessionStorage.setItem(CALLED, target),
  };
}

globalThis.party = start();
