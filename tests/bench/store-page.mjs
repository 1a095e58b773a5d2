// Lets the engines take turns, each in Workers of its own, and gives the median of each figure by engine.

/** By name: whose, and with which journal. The incumbent sets none, which is `delete`. */
const DURABLE = { ours: ['ours'], wal: ['theirs', 'wal'], delete: ['theirs', 'delete'] };
const MEMORY = { ourMemory: ['ours'], theirMemory: ['theirs'] };

const ROWS = 10_000;
const GETS = 20_000;
const TRANSACTIONS = { durable: 300, memory: 10_000 };
const OPENED_ROWS = 100_000;
const MESSAGES = 100_000;
const BATCH = 200;

/** What a browser may take to free the files of a Worker that was ended. */
const ENDING_MILLIS = 300;

/** A Worker with a loaded engine; see store-worker.mjs. */
async function start(engine) {
  const worker = new Worker('/bench/store-worker.mjs', { type: 'module' });
  const call = (...message) =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
      worker.onerror = (event) => reject(new Error(event.message));
      worker.postMessage(message);
    });
  await call('load', engine);
  const end = async () => {
    worker.terminate();
    await new Promise((resolve) => setTimeout(resolve, ENDING_MILLIS));
  };
  return { call, end };
}

class Figures {
  #all = {};

  note(engine, figure, value) {
    ((this.#all[engine] ??= {})[figure] ??= []).push(value);
  }

  medians() {
    const median = (values) => values.toSorted((one, other) => one - other)[values.length >> 1];
    const each = (object, map) => Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(value)]));
    return each(this.#all, (engine) => each(engine, median));
  }
}

async function readRows(call, count, rows) {
  const { millis, value } = await call('gets', count, rows);
  if (value !== count * 100) {
    throw new Error(`${count} rows of 100 bytes had ${value} bytes`);
  }
  return millis;
}

/** Transactions and reads, in turns. */
async function work(figures, rounds, engines, isDurable) {
  const workers = {};
  for (const [name, [engine, journal]] of Object.entries(engines)) {
    workers[name] = await start(engine);
    const { call } = workers[name];
    await call('open', isDurable ? `work-${name}` : undefined, journal);
    await call('fill', ROWS);
    // The queue is full from now on.
    await call('messages', BATCH, BATCH);
  }
  const count = isDurable ? TRANSACTIONS.durable : TRANSACTIONS.memory;
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, { call }] of Object.entries(workers)) {
      const { millis, bytes, flushes } = await call('transactions', count);
      const perSecond = { transactions: (count / millis) * 1_000 };
      perSecond.gets = (GETS / (await readRows(call, GETS, ROWS))) * 1_000;
      if (isDurable) {
        figures.note(name, 'transactions', perSecond.transactions);
        figures.note(name, 'gets', perSecond.gets);
        figures.note(name, 'bytes', bytes / count);
        figures.note(name, 'flushes', flushes / count);
      } else {
        figures.note(name, 'memoryTransactions', perSecond.transactions);
        figures.note(name, 'memoryGets', perSecond.gets);
      }
    }
  }
  await Promise.all(Object.values(workers).map(({ end }) => end()));
}

/** From nothing open to the first row, after a store was closed and after its Worker was ended instead, in turns. */
async function openings(figures, rounds) {
  for (const [name, [engine, journal]] of Object.entries(DURABLE)) {
    const { call, end } = await start(engine);
    await call('open', `open-${name}`, journal);
    await call('fill', OPENED_ROWS);
    await call('close');
    await end();
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, [engine, journal]] of Object.entries(DURABLE)) {
      for (const figure of ['open', 'reopen']) {
        const { call, end } = await start(engine);
        const { millis } = await call('open', `open-${name}`, journal);
        figures.note(name, figure, millis + (await readRows(call, 1, OPENED_ROWS)));
        await call('transactions', 3);
        if (figure === 'reopen') {
          await call('close');
        }
        await end();
      }
    }
  }
}

/** How long the files are after many messages. */
async function growth(figures) {
  for (const [name, [engine, journal]] of Object.entries(DURABLE)) {
    const { call, end } = await start(engine);
    await call('open', `growth-${name}`, journal);
    await call('messages', MESSAGES, BATCH);
    figures.note(name, 'size', (await call('size')).value / 1_000);
    await call('close');
    await end();
  }
}

/** @param {number} rounds */
export async function measure(rounds) {
  const figures = new Figures();
  await work(figures, rounds, DURABLE, true);
  await work(figures, rounds, MEMORY, false);
  await openings(figures, rounds);
  await growth(figures);
  return figures.medians();
}
