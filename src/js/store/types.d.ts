/** Which store, and how to open it. */
export interface KernelStoreOptions {
  /** The store's name in this origin: 1 to 64 letters, digits, `-`, `_`, `.`. Default `kernel`. */
  name?: string;
  /**
   * `durable`, the default: in the origin private file system. Only dedicated Workers can open it, and one at a time.
   * `memory`: gone with its context, so that every start of the kernel is a new incarnation.
   */
  durability?: 'durable' | 'memory';
  /**
   * What to do when another tab or Worker has the store open: `fail`, the default, with a `StoreInUseError`; or `wait` for
   * the end of that context.
   */
  ifInUse?: 'fail' | 'wait';
  /** Ends the waiting; the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
}

/** An ordered key-value store of a JavaScript kernel. Keys are ordered as `<` orders them; all are ASCII. */
export interface KeyValueDatabase {
  get(key: string): string | undefined;
  /** Not used, and so not needed. */
  getRequired?(key: string): string;
  /** The smallest key that is greater than `key`. */
  getNextKey(key: string): string | undefined;
  set(key: string, value: string): void;
  delete(key: string): void;
}

/** Nested savepoints. Releasing the outermost one commits: what was written has to be durable when the call returns. */
export interface Savepoints {
  createSavepoint(name: string): void;
  /** Undoes everything since the savepoint, and ends it and those inside it. */
  rollbackSavepoint(name: string): void;
  /** Keeps everything since the savepoint, and ends it and those inside it. */
  releaseSavepoint(name: string): void;
}

/** The database of a JavaScript kernel: one object that has everything, or one that keeps the key-value store inside. */
export type KernelDatabase = Savepoints & (KeyValueDatabase | { kernelKVStore: KeyValueDatabase });

/** How to reset a store. */
export interface ResetOptions {
  /** Keep the key seed, and so the peer id. Default true. */
  keepIdentity?: boolean;
}
