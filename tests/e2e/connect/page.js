// What a page does to join a kernel and its network, and to call the kernel's Worker.

import { Caller, joinWorkers, portFor } from '/js/connect.js';
import init, { Network } from '/pkg/network/network.js';

const startWorker = (name) => new Worker(`/connect/${name}-worker.js`, { type: 'module' });

/** The kernel in a Worker, the network here. */
export async function networkInPage() {
  const worker = startWorker('kernel');
  await init();
  const network = Network.serve(portFor(worker));
  using caller = new Caller(worker);
  const peerId = await caller.call('identity');
  await network.stop();
  worker.terminate();
  return peerId;
}

/** Each in a Worker of its own. */
export async function networkInWorker() {
  const [kernel, network] = [startWorker('kernel'), startWorker('network')];
  joinWorkers(kernel, network);
  using caller = new Caller(kernel);
  const peerId = await caller.call('identity');
  [kernel, network].forEach((worker) => worker.terminate());
  return peerId;
}

const outcome = (promise) => promise.then((value) => ({ value }), ({ name, message, data }) => ({ name, message, data }));

/** What becomes of calls: their values and errors, in the order of the cases. */
export async function calls() {
  const worker = startWorker('kernel');
  const caller = new Caller(worker);
  const call = (...args) => outcome(caller.call(...args));
  const outcomes = {
    many: await Promise.all(Array.from({ length: 1_000 }, (_, number) => caller.call('double', number))),
    failed: await call('fail'),
    unknown: await call('toString'),
    uncloneable: await call('double', () => {}),
    deadline: await outcome(caller.callWith({ signal: AbortSignal.timeout(50) }, 'forever', 'x')),
    late: await outcome(caller.callWith({ signal: AbortSignal.abort() }, 'forever', 'x')),
  };
  outcomes.aborted = await call('aborted');
  const waiting = Array.from({ length: 256 + 4_096 }, () => call('forever', 'x'));
  outcomes.busy = await call('double', 1);
  caller.close();
  worker.terminate();
  outcomes.closed = [...new Set((await Promise.all(waiting)).map(({ name }) => name))];
  outcomes.after = await call('double', 1);

  const broken = new Worker('/connect/nothing-there.js', { type: 'module' });
  outcomes.broken = await outcome(new Caller(broken).call('double', 1));
  return outcomes;
}

/** Calls that a Worker gets before it answers any. */
export async function earlyCalls() {
  const worker = startWorker('late');
  using caller = new Caller(worker);
  const abort = new AbortController();
  const aborted = outcome(caller.callWith({ signal: abort.signal }, 'wait', 'x'));
  abort.abort();
  const early = await Promise.all(Array.from({ length: 300 }, (_, number) => caller.call('double', number)));
  worker.terminate();
  return { early, aborted: await aborted };
}
