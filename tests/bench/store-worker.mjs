// One engine in a dedicated Worker: does what it is asked and answers with how long it took, and what it wrote meanwhile.

const MESSAGE = 'm'.repeat(200);
const QUEUE = 200;
/** What SQLite's pool puts before each of its files, in use or not. */
const POOL_HEADER = 4096;

/** Bytes written and flushes, and the files, of whatever writes to files of the origin in this Worker. */
const io = { bytes: 0, flushes: 0 };
const files = new Set();
const { write, flush } = FileSystemSyncAccessHandle.prototype;
FileSystemSyncAccessHandle.prototype.write = function (data, options) {
  io.bytes += data.byteLength;
  files.add(this);
  return write.call(this, data, options);
};
FileSystemSyncAccessHandle.prototype.flush = function () {
  io.flushes += 1;
  return flush.call(this);
};

/** Loads an engine, which is no part of opening a store. */
const LOADERS = {
  async ours() {
    const { default: init, StoreBench } = await import('/ours/session_bench.js');
    await init();
    return (name) => (name ? StoreBench.durable(name) : StoreBench.memory());
  },
  async theirs() {
    const { default: load } = await import('/sqlite/index.mjs');
    const sqlite = await load({ print: () => {}, printErr: console.error });
    return (name, journal) => Theirs.open(sqlite, name, journal);
  },
};

/** SQLite as a JavaScript kernel has it: a table of keys and values, prepared statements, savepoints. */
class Theirs {
  seq = 0;

  /** In a file of a pool of its own, since a pool belongs to one Worker at a time; or in memory. */
  static async open(sqlite, name, journal) {
    const pool = name && (await sqlite.installOpfsSAHPoolVfs({ name }));
    const db = pool ? new pool.OpfsSAHPoolDb(`/${name}`) : new sqlite.oo1.DB(':memory:');
    if (pool) {
      if (journal === 'wal') {
        // The pool has no shared memory, without which only an exclusive owner can have a log.
        db.exec('PRAGMA locking_mode=EXCLUSIVE');
      }
      const mode = db.selectValue(`PRAGMA journal_mode=${journal}`);
      if (mode !== journal) {
        throw new Error(`SQLite has journal mode ${mode} instead of ${journal}`);
      }
      db.exec('PRAGMA synchronous=FULL');
    }
    const theirs = new Theirs();
    theirs.db = db;
    db.exec('CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value TEXT) STRICT');
    theirs.statements = Object.fromEntries(
      Object.entries({
        get: 'SELECT value FROM kv WHERE key = ?',
        set: 'INSERT INTO kv (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
        remove: 'DELETE FROM kv WHERE key = ?',
        savepoint: 'SAVEPOINT turn',
        release: 'RELEASE SAVEPOINT turn',
      }).map(([name, sql]) => [name, db.prepare(sql)]),
    );
    return theirs;
  }

  run(name, ...values) {
    const statement = this.statements[name];
    if (values.length > 0) {
      statement.bind(values);
    }
    statement.stepReset();
  }

  fill(rows) {
    const value = 'x'.repeat(100);
    this.run('savepoint');
    for (let number = 0; number < rows; number += 1) {
      this.run('set', `row.${number}`, value);
    }
    this.run('release');
  }

  transactions(count) {
    for (let nth = 0; nth < count; nth += 1) {
      const seq = this.seq++;
      this.run('savepoint');
      this.run('set', `remotePending.r1.${seq}`, MESSAGE);
      this.run('set', 'remoteSeq.r1.nextSendSeq', String(seq));
      this.run('set', 'remoteSeq.r1.highestReceivedSeq', String(seq));
      this.run('set', 'queue.run.head', String(seq));
      this.run('remove', `remotePending.r1.${seq - QUEUE}`);
      this.run('release');
    }
  }

  messages(count, batch) {
    for (let done = 0; done < count; done += batch) {
      this.run('savepoint');
      for (let nth = 0; nth < batch; nth += 1) {
        const seq = this.seq++;
        this.run('set', `remotePending.r1.${seq}`, MESSAGE);
        this.run('set', 'remoteSeq.r1.nextSendSeq', String(seq));
        this.run('remove', `remotePending.r1.${seq - QUEUE}`);
      }
      this.run('release');
    }
  }

  gets(count, rows) {
    let sum = 0;
    const { get } = this.statements;
    for (let nth = 0; nth < count; nth += 1) {
      get.bind([`row.${Math.imul(nth, 7919) % rows}`]);
      get.step();
      sum += get.getString(0).length;
      get.reset();
    }
    return sum;
  }

  close() {
    Object.values(this.statements).forEach((statement) => statement.finalize());
    this.db.close();
  }
}

let open;
let store;
const calls = {
  async load(engine) {
    open = await LOADERS[engine]();
  },
  async open(name, journal) {
    store = await open(name, journal);
  },
  fill: (rows) => store.fill(rows),
  transactions: (count) => store.transactions(count),
  messages: (count, batch) => store.messages(count, batch),
  gets: (count, rows) => store.gets(count, rows),
  size: () => [...files].map((file) => file.getSize()).reduce((sum, size) => sum + (size > POOL_HEADER ? size : 0), 0),
  close: () => store.close(),
};

self.onmessage = async ({ data: [call, ...args] }) => {
  try {
    Object.assign(io, { bytes: 0, flushes: 0 });
    const began = performance.now();
    const value = await calls[call](...args);
    postMessage({ millis: performance.now() - began, value, ...io });
  } catch (error) {
    postMessage({ error: `${call}: ${error?.stack ?? error}` });
  }
};
