// Stories of our remotes in a JavaScript kernel. `make` is `new RemoteManager`, `records` makes our kernel store over a database.
// One file: one that Rust imports cannot import another, and the runner's server may leave a fifth request at once unanswered.

const SEED = '11'.repeat(32);
const BOB = '12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN';
const CAROL = '12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X';
const [LIFE, NEXT_LIFE] = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222'];

/** A kernel whose network is up. */
async function start(make, change = (parts) => parts) {
  const [database, platformServices, kernelQueue, log] = [makeDatabase(), makePlatform(), makeQueue(), []];
  const logger = { log: (line) => void log.push(line), warn: (line) => void log.push(line) };
  const parts = change({ platformServices, kernelStore: database, kernelQueue, logger, keySeed: SEED });
  const manager = make(parts);
  kernelQueue.store = manager.kernelStore;
  await manager.initRemoteComms({ delayedAckMs: 0, ackTimeoutMs: 60_000, somethingNewer: 7 });
  return { manager, database, platform: platformServices, queue: kernelQueue, log };
}

const message = (seq, target = 'ro+1') => {
  const methargs = { body: `message ${seq}`, slots: ['ro+2'] };
  return JSON.stringify({ seq, method: 'deliver', params: ['message', target, { methargs, result: `rp+${seq}` }] });
};
const deliver = (seq, ...params) => JSON.stringify({ seq, method: 'deliver', params });

export function whatIsMissingIsNamed(make) {
  const parts = () => ({ platformServices: makePlatform(), kernelStore: makeDatabase(), kernelQueue: makeQueue() });
  make(parts()).free();
  const lacking = {
    platformServices: 'sendRemoteMessage',
    kernelQueue: 'waitForCrank',
    kernelStore: 'getNextKey',
    logger: 'warn',
  };
  for (const [part, name] of Object.entries(lacking)) {
    const given = { logger: { log() {}, warn() {} }, ...parts() };
    delete given[part][name];
    const error = thrown(() => make(given), `${part} without ${name}`);
    equal([error.name, error.message.includes(name)], ['TypeError', true], error.message);
  }
  const unknown = thrown(() => make({ ...parts(), keyseed: SEED }), 'an unknown member');
  equal([unknown.name, unknown.message.includes('keyseed')], ['TypeError', true], unknown.message);
}

export async function whatAKernelDeliversIsWrittenInOrder(make) {
  const { manager, database, platform } = await start(make);
  equal(platform.given.keySeed, SEED, 'the seed');
  equal(platform.given.options.somethingNewer, 7, 'an option that only the network knows');
  equal(platform.given.incarnationId, manager.incarnationId, 'the incarnation');
  const bob = manager.remoteFor(BOB, ['/dns4/relay.example/tcp/443/wss']);
  equal([bob.remoteId, bob.peerId, manager.getRemote('r1').peerId], ['r1', BOB, BOB], 'the remote');
  const results = [
    bob.deliverMessage('ro+1', { methargs: { body: 'x', slots: ['ro-1'] }, result: 'rp-1' }),
    bob.deliverNotify([['rp+1', true, { body: 'no', slots: [] }]]),
    bob.deliverDropExports(['ro+1']),
    bob.deliverRetireExports(['ro+1']),
    bob.deliverRetireImports(['ro-1']),
    bob.deliverBringOutYourDead(),
  ];
  equal(await Promise.all(results), Array(6).fill({ didDelivery: 'r1' }), 'the results');
  const redeemed = bob.redeemOcapURL(`ocap:zabc@${BOB}`);
  await until(() => platform.written.length === 7, 'everything to be written');
  equal(platform.written.map(({ seq, method, params }) => [seq, method, method === 'deliver' ? params : params[0]]), [
    [1, 'deliver', ['message', 'ro+1', { methargs: { body: 'x', slots: ['ro-1'] }, result: 'rp-1' }]],
    [2, 'deliver', ['notify', [['rp+1', true, { body: 'no', slots: [] }]]]],
    [3, 'deliver', ['dropExports', ['ro+1']]],
    [4, 'deliver', ['retireExports', ['ro+1']]],
    [5, 'deliver', ['retireImports', ['ro-1']]],
    [6, 'deliver', ['bringOutYourDead']],
    [7, 'redeemURL', `ocap:zabc@${BOB}`],
  ], 'what was written');
  equal(platform.asked, [['registerLocationHints', BOB, ['/dns4/relay.example/tcp/443/wss']]], 'the hints');
  equal(Object.keys(database.all()).filter((key) => key.startsWith('remotePending.')).length, 7, 'messages kept');
  const key = platform.written[6].params[1];
  const answer = JSON.stringify({ seq: 1, ack: 7, method: 'redeemURLReply', params: [true, key, 'ro+9'] });
  equal(await platform.given.onMessage(BOB, answer), null, 'the answer to the network');
  equal(await redeemed, manager.kernelStore.erefToKref('r1', 'ro+9'), 'what was redeemed');
  equal(Object.keys(database.all()).filter((key) => key.startsWith('remotePending.')).length, 0, 'messages kept');
  await until(() => platform.written.length === 8, 'the acknowledgement');
  equal(platform.written[7].ack, 1, 'what is acknowledged');
  equal(database.open(), 0, 'savepoints that are open');
  await manager.stop();
}

export async function whatAPeerSendsIsQueuedTranslated(make, records) {
  for (const ownStore of [false, true]) {
    const { manager, platform, queue, log } = await start(make, (parts) =>
      ownStore ? { ...parts, kernelStore: plain(records(parts.kernelStore)) } : parts);
    const { onMessage } = platform.given;
    const store = manager.kernelStore;
    await onMessage(BOB, message(1));
    const [[target, { methargs, result }]] = queue.sent;
    equal(store.getOwner(target), 'r1', 'the owner of the target');
    equal(methargs, { body: 'message 1', slots: [store.erefToKref('r1', 'ro+2')] }, 'the arguments');
    equal(store.getKernelPromise(result), { state: 'unresolved', decider: 'r1', subscribers: ['r1'] }, 'the result');
    await onMessage(BOB, deliver(2, 'notify', [['rp+8', false, { body: 'yes', slots: [] }]]));
    equal(queue.resolved, [[store.erefToKref('r1', 'rp+8'), false, 'yes']], 'what was resolved');

    // What a peer may not say is passed over, and told; it neither reaches the queue nor stands in the way. An outcome that is
    // known here is no news.
    const given = store.initKernelObject('kernel');
    const eref = store.translateRefKtoE('r1', given, true).replace('+', '-');
    await onMessage(BOB, message(3, 'ro-77'));
    await onMessage(BOB, deliver(4, 'notify', [['rp+8', false, { body: 'again', slots: [] }]]));
    await onMessage(BOB, deliver(5, 'retireExports', [eref]));
    const told = () => log.filter((line) => line.includes('passed over')).map((line) => /message \d+/.exec(line)[0]);
    await until(() => told().length === 2, 'word of what was passed over');
    equal(told(), ['message 3', 'message 5'], 'what was passed over');
    equal(queue.sent.length, 1, 'messages that reached the queue');
    const [[kpid, rejected, body], ...more] = queue.resolved.slice(1);
    equal([kpid, rejected, more], [store.erefToKref('r1', 'rp+3'), true, []], 'what was resolved since');
    equal(body.includes('[KERNEL:DELIVERY_FAILED]'), true, body);
    await onMessage(BOB, deliver(6, 'dropExports', [eref]));
    equal(store.getReachableFlag('r1', given), false, 'whether bob reaches it');
    await onMessage(BOB, deliver(7, 'retireExports', [eref]));
    equal(store.erefToKref('r1', eref), undefined, 'what bob calls it');
    await onMessage(BOB, deliver(8, 'bringOutYourDead'));
    equal(store.nextReapAction(), { type: 'bringOutYourDead', endpointId: 'r1' }, 'the reap');
    const before = platform.written.length;
    await manager.getRemote('r1').deliverBringOutYourDead();
    await later(50);
    equal(platform.written.slice(before).filter(({ method }) => method), [], 'what the reap sent back');
    equal((await rejection(onMessage(BOB, 'no message'), 'no message')).name, 'ProtocolError', 'what is no message');
    await manager.stop();
  }
}

export async function whatIsThrownIsTheErrorAndUndoes(make, records) {
  const { manager, database, platform, queue } = await start(make, (parts) => ({
    ...parts,
    kernelStore: plain(records(parts.kernelStore)),
  }));
  const { onMessage } = platform.given;
  const bob = manager.remoteFor(BOB);
  const before = JSON.stringify(database.all());
  const failure = new RangeError('the queue is full');
  queue.during = () => {
    throw failure;
  };
  equal((await rejection(onMessage(BOB, message(1)), 'the message')) === failure, true, 'whether it is the very error');
  equal(JSON.stringify(database.all()), before, 'what is left of it');
  queue.during = () => {};
  await onMessage(BOB, message(1));
  equal(queue.sent.length, 1, 'how often it was queued in the end');

  const broken = { name: 'OddError', message: 'not even an Error' };
  const { setPendingMessage } = manager.kernelStore;
  manager.kernelStore.setPendingMessage = () => {
    throw broken;
  };
  equal((await rejection(bob.deliverDropExports(['ro+1']), 'the delivery')) === broken, true, 'whether it is the very thing');
  manager.kernelStore.setPendingMessage = setPendingMessage;
  await bob.deliverDropExports(['ro+2']);
  await until(() => platform.written.some(({ seq, params }) => seq === 1 && params[1][0] === 'ro+2'), 'the next delivery');

  platform.failure = Object.assign(new Error('busy'), { name: 'BusyError' });
  equal((await rejection(manager.closeConnection(BOB), 'closing')) === platform.failure, true, 'whether it is the very error');
  manager.kernelStore.getRemoteSeqState = () => 'nonsense';
  equal(database.open(), 0, 'savepoints that are open');
  manager.cleanup();
}

export async function aCallFromWithinIsAnError(make) {
  const { manager, platform, queue } = await start(make);
  const { onMessage } = platform.given;
  const bob = manager.remoteFor(BOB);
  const within = [];
  queue.during = () => {
    within.push(thrown(() => manager.remoteFor(CAROL), 'a remote'), thrown(() => bob.giveUp('x'), 'giving up'));
    queue.later = rejection(bob.deliverBringOutYourDead(), 'a delivery');
    queue.allowed = [manager.getPeerId(), queue.store.runQueueLength()];
    throw within[0];
  };
  const error = await rejection(onMessage(BOB, message(1)), 'the message');
  equal([...within, await queue.later, error].map(({ name }) => name), Array(4).fill('ReentrancyError'), 'the errors');
  equal(queue.allowed, [manager.getPeerId(), 0], 'what may be asked');
  queue.during = () => {};
  await onMessage(BOB, message(1));
  equal(queue.sent.length, 1, 'what was queued afterwards');
  await manager.stop();
}

export async function whatIsDoneInACrankLeavesAfterIt(make) {
  const { manager, database, platform, queue } = await start(make);
  const bob = manager.remoteFor(BOB);
  await later(20);
  for (const keep of [false, true]) {
    let end;
    queue.crank = new Promise((resolve) => (end = resolve));
    database.createSavepoint('crank');
    await bob.deliverDropExports([keep ? 'ro+2' : 'ro+1']);
    const received = platform.given.onMessage(BOB, message(keep ? 2 : 1));
    await later(50);
    const numbered = platform.written.filter(({ seq }) => seq);
    equal([numbered.length, queue.sent.length], [0, keep ? 1 : 0], 'what happened meanwhile');
    keep ? database.releaseSavepoint('crank') : database.rollbackSavepoint('crank');
    end();
    await received;
  }
  await until(() => platform.written.some(({ seq }) => seq === 1), 'what is to be written');
  equal(platform.written.filter(({ seq }) => seq).map(({ params }) => params[1][0]), ['ro+2'], 'what was written');
  equal(queue.sent.length, 2, 'what was received');
  await manager.stop();
}

export async function aPeerThatRestartedIsForgotten(make) {
  const { manager, platform, queue, log, database } = await start(make);
  const { onIncarnationChange, onMessage } = platform.given;
  await onMessage(BOB, message(1));
  equal(await onIncarnationChange(BOB, LIFE), false, 'the first verdict');
  equal(await onIncarnationChange(BOB, LIFE), false, 'the second verdict');
  const bob = manager.remoteFor(BOB);
  const promise = manager.kernelStore.translateRefEtoK('r1', 'rp+5');
  const redeemed = rejection(bob.redeemOcapURL(`ocap:zabc@${BOB}`), 'the redemption');
  await until(() => platform.written.some(({ seq }) => seq === 1), 'the redemption to be written');
  equal(await manager.handleIncarnationChange(BOB, NEXT_LIFE), true, 'the verdict on another incarnation');
  equal((await redeemed).name, 'PeerRestartedError', 'what became of the redemption');
  const rejected = queue.resolved.find(([kpid]) => kpid === promise);
  equal([rejected[1], rejected[2].includes('[KERNEL:PEER_RESTARTED]')], [true, true], 'what became of the promise');
  equal(manager.kernelStore.erefToKref('r1', 'ro+1'), undefined, 'what the former life exported');
  equal(manager.kernelStore.getRemoteSeqState('r1'), undefined, 'the numbers');
  equal(database.all()[`peerIncarnation.${BOB}`], NEXT_LIFE, 'the incarnation');
  equal(log.some((line) => line.includes('restarted')), true, 'whether the logger was told');
  await bob.deliverDropExports(['ro+3']);
  await until(() => platform.written.at(-1).seq === 1 && platform.written.at(-1).method === 'deliver', 'a fresh start');
  await onMessage(BOB, message(1));
  equal(queue.sent.length, 2, 'messages of both lives');
  equal((await rejection(onIncarnationChange(BOB, ''), 'no incarnation')).name, 'TypeError', 'no incarnation');
  await manager.stop();
}

export async function aPeerThatIsLostIsGivenUp(make) {
  const { manager, platform, queue, database } = await start(make);
  const bob = manager.remoteFor(BOB);
  for (const giveUp of [
    () => bob.giveUp('enough'),
    () => platform.given.onGiveUp(BOB),
    () => manager.handleRemoteGiveUp(BOB),
    () => manager.closeConnection(BOB),
  ]) {
    queue.resolved.length = 0;
    const promise = manager.kernelStore.translateRefEtoK('r1', `rp+${Math.floor(Math.random() * 1e9) + 1}`);
    const redeemed = rejection(bob.redeemOcapURL(`ocap:zabc@${BOB}`), 'the redemption');
    await later(20);
    await giveUp();
    equal((await redeemed).name, 'ConnectionLostError', 'what became of the redemption');
    equal(queue.resolved.map(([kpid, rejected, body]) => [kpid, rejected, body.includes('[KERNEL:CONNECTION_LOST]')]),
      [[promise, true, true]], 'what became of the promise');
    equal(Object.keys(database.all()).filter((key) => key.startsWith('remotePending.')), [], 'what is left pending');
  }
  const redeemed = rejection(bob.redeemOcapURL(`ocap:zabc@${BOB}`), 'the redemption');
  bob.rejectPendingRedemptions('enough');
  equal((await redeemed).message, 'enough', 'what became of the redemption');
  const stopped = rejection(bob.redeemOcapURL(`ocap:zabc@${BOB}`), 'the redemption');
  manager.cleanup();
  equal((await stopped).name, 'NetworkStoppedError', 'what became of the redemption');
  bob.cleanup();
  equal(thrown(() => manager.getRemoteComms(), 'comms').message, 'Remote comms not initialized', 'comms');
  await manager.initRemoteComms({ ackTimeoutMs: 60_000, delayedAckMs: 0 });
  equal(manager.getRemote('r1').peerId, BOB, 'the remote, taken up again');
  await manager.stop();
}

export async function anIdentityIsMadeOnce(make) {
  const [platformServices, kernelQueue, kernelStore] = [makePlatform(), makeQueue(), makeDatabase()];
  const parts = { platformServices, kernelQueue, kernelStore };
  const manager = make({ ...parts, keySeed: SEED });
  equal(thrown(() => manager.getPeerId(), 'a peer id').message, 'Remote identity not initialized', 'no identity');
  await manager.initIdentity({ relays: ['/dns4/relay.example/tcp/443/wss/p2p/x'] });
  equal([manager.isIdentityInitialized(), manager.isRemoteCommsInitialized()], [true, false], 'what is there');
  equal(kernelStore.get('keySeed'), SEED, 'the seed');
  equal(kernelStore.get('peerId'), manager.getPeerId(), 'the peer id');
  const object = manager.kernelStore.initKernelObject('v1');
  const url = await manager.issueOcapURL(object);
  equal(url.endsWith(`@${manager.getPeerId()},/dns4/relay.example/tcp/443/wss/p2p/x`), true, url);
  equal(await manager.getRemoteIdentity().redeemLocalOcapURL(url), object, 'what is behind it');
  equal(await manager.redeemOcapURL(url), object, 'what is behind it');
  const forged = rejection(manager.redeemOcapURL(url.replace(/z./, 'zZ')), 'a forged URL');
  equal((await forged).name, 'OcapURLError', 'a forged URL');
  const again = make({ ...parts, mnemonic: 'abandon '.repeat(11) + 'about' });
  equal((await rejection(again.initIdentity(), 'a mnemonic')).name, 'IdentityError', 'a mnemonic for what has an identity');
  const other = make({ ...parts, keySeed: '22'.repeat(32) });
  await other.initIdentity();
  equal(other.getPeerId(), manager.getPeerId(), 'the identity that the store has');
}

export async function aTransportIsFunctions(initTransport) {
  const ignore = () => null;
  const transport = await initTransport(SEED, { relays: [] }, ignore, undefined, LIFE, () => false);
  equal(Object.keys(transport).sort(), ['closeConnection', 'getListenAddresses', 'reconnectPeer', 'registerLocationHints',
    'resetAllBackoffs', 'sendRemoteMessage', 'status', 'stop'], 'the functions');
  const { sendRemoteMessage, stop, closeConnection, getListenAddresses, reconnectPeer } = transport;
  equal(getListenAddresses(), [], 'the addresses of a browser without relays');
  equal((await rejection(sendRemoteMessage('nobody', 'x'), 'no peer')).name, 'TypeError', 'no peer');
  await closeConnection(BOB);
  equal((await rejection(sendRemoteMessage(BOB, 'x'), 'a closed peer')).name, 'IntentionalCloseError', 'a closed peer');
  await reconnectPeer(BOB);
  equal((await rejection(sendRemoteMessage(BOB, 'x'), 'a peer without an address')).name, 'ConnectionLostError', 'no address');
  await stop();
  equal((await rejection(sendRemoteMessage(BOB, 'x'), 'a stopped network')).name, 'NetworkStoppedError', 'stopped');
  await stop();
  for (const bad of [
    [SEED, { maxQueue: 0 }, ignore],
    [SEED, {}, 'no function'],
    [SEED, {}, ignore, 'no function'],
    [SEED, {}, ignore, undefined, ''],
  ]) {
    equal((await rejection(initTransport(...bad), 'nonsense')).name, 'TypeError', 'nonsense');
  }
  equal((await rejection(initTransport('no seed', {}, ignore), 'no seed')).message.includes('seed'), true, 'no seed');
}

// The parts of the kernel, which remember what they are asked and fail when they are told to.

function equal(found, expected, what) {
  const [one, other] = [found, expected].map((value) => JSON.stringify(value));
  if (one !== other) {
    throw new Error(`${what}: found ${one}, expected ${other}`);
  }
}

async function rejection(promise, what) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`${what} was not refused`);
}

function thrown(work, what) {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error(`${what} was not refused`);
}

const later = (ms = 0) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(probe, what) {
  for (let attempt = 0; attempt < 400; attempt += 1) {
    if (probe()) {
      return;
    }
    await later(10);
  }
  throw new Error(`waited for ${what} in vain`);
}

function makeDatabase() {
  let rows = new Map();
  let savepoints = [];
  const close = (name) => {
    const index = savepoints.findLastIndex((savepoint) => savepoint.name === name);
    if (index < 0) throw new Error(`no savepoint ${name}`);
    return savepoints.splice(index)[0];
  };
  return {
    get: (key) => rows.get(key),
    getNextKey: (key) => [...rows.keys()].filter((other) => other > key).sort()[0],
    set: (key, value) => void rows.set(key, value),
    delete: (key) => void rows.delete(key),
    createSavepoint: (name) => void savepoints.push({ name, rows: new Map(rows) }),
    rollbackSavepoint: (name) => void (rows = close(name).rows),
    releaseSavepoint: (name) => void close(name),
    open: () => savepoints.length,
    all: () => Object.fromEntries([...rows].sort()),
  };
}

/** A network that takes everything. `given` is what it was started with. */
function makePlatform() {
  const platform = {
    written: [],
    asked: [],
    initializeRemoteComms(keySeed, options, onMessage, onGiveUp, incarnationId, onIncarnationChange) {
      platform.given = { keySeed, options, onMessage, onGiveUp, incarnationId, onIncarnationChange };
    },
    stopRemoteComms: () => void platform.asked.push(['stopRemoteComms']),
    async sendRemoteMessage(to, message) {
      if (platform.failure) throw platform.failure;
      platform.written.push(JSON.parse(message));
    },
    closeConnection: async (...call) => {
      if (platform.failure) throw platform.failure;
      platform.asked.push(['closeConnection', ...call]);
    },
    registerLocationHints: (...call) => void platform.asked.push(['registerLocationHints', ...call]),
    reconnectPeer: (...call) => void platform.asked.push(['reconnectPeer', ...call]),
  };
  return platform;
}

function makeQueue() {
  const queue = {
    sent: [],
    resolved: [],
    store: undefined,
    /** Called in the middle of everything. */
    during: () => {},
    crank: Promise.resolve(),
    enqueueSend(target, message) {
      queue.during();
      queue.store.enqueueRun({ type: 'send', target, message });
      queue.sent.push([target, message]);
    },
    enqueueNotify(endpointId, kpid) {
      queue.store.enqueueRun({ type: 'notify', endpointId, kpid });
    },
    resolvePromises(endpointId, resolutions) {
      queue.during();
      for (const [kpid, rejected, value] of resolutions) {
        const { decider } = queue.store.getKernelPromise(kpid);
        if (decider !== endpointId) throw new Error(`${kpid} is for ${decider}`);
        queue.store.resolveKernelPromise(kpid, rejected, value);
        queue.resolved.push([kpid, rejected, value.body]);
      }
    },
    waitForCrank: () => queue.crank,
  };
  return queue;
}

/** A store that is a plain object of functions, as a kernel's own is. */
function plain(records) {
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(records)).filter((name) => name !== 'constructor');
  return Object.fromEntries(names.map((name) => [name, (...call) => records[name](...call)]));
}
