// The parts of a JavaScript kernel, which remember what they are asked and fail when they are told to.

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

export const parts = () => ({ equal, later, makeDatabase, makePlatform, makeQueue, plain, rejection, thrown, until });
