import type { Half } from './remotes.js';

export * from './remotes.js';

/**
 * Loads the wasm, which is in this module: for places where no file can be fetched. Any number of calls load it once.
 *
 * Rejected with an `InitError`, or with the `CrashError` after a crash.
 */
export default function init(): Promise<Half>;
