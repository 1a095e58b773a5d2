// @ts-check
// The database of a JavaScript kernel: a Map with nested savepoints. What is released from the outermost is on the "disk".

export class Database {
  #rows = new Map();
  /** @type {{ name: string, rows: Map<string, string> }[]} */
  #savepoints = [];
  commits = 0;

  /** @param {Map<string, string>} [disk] what the last life left */
  constructor(disk = new Map()) {
    this.#rows = new Map(disk);
    this.disk = new Map(disk);
  }

  kernelKVStore = {
    get: (/** @type {string} */ key) => this.#rows.get(key),
    getNextKey: (/** @type {string} */ key) => {
      let next;
      for (const candidate of this.#rows.keys()) {
        if (candidate > key && (next === undefined || candidate < next)) {
          next = candidate;
        }
      }
      return next;
    },
    set: (/** @type {string} */ key, /** @type {string} */ value) => {
      this.#rows.set(key, value);
      this.#written();
    },
    delete: (/** @type {string} */ key) => {
      this.#rows.delete(key);
      this.#written();
    },
  };

  /** A write outside of every savepoint stands alone. */
  #written() {
    if (this.#savepoints.length === 0) {
      this.disk = new Map(this.#rows);
    }
  }

  createSavepoint(/** @type {string} */ name) {
    this.#savepoints.push({ name, rows: new Map(this.#rows) });
  }

  rollbackSavepoint(/** @type {string} */ name) {
    this.#rows = this.#close(name).rows;
  }

  releaseSavepoint(/** @type {string} */ name) {
    this.#close(name);
    if (this.#savepoints.length === 0) {
      this.disk = new Map(this.#rows);
      this.commits += 1;
    }
  }

  #close(/** @type {string} */ name) {
    const index = this.#savepoints.findLastIndex((savepoint) => savepoint.name === name);
    if (index < 0) {
      throw new Error(`no savepoint ${name}`);
    }
    return this.#savepoints.splice(index)[0];
  }
}
