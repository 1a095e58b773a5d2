// Limits for what might never happen, and signals that end it before.

/**
 * The promise's outcome, or an error that says what did not happen in time.
 *
 * @template T
 * @param {Promise<T>} promise
 * @param {string} what
 * @param {number} limit in milliseconds
 * @returns {Promise<T>}
 */
export async function within(promise, what, limit) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  /** @type {Promise<never>} */
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${limit / 1_000} s for ${what}`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A signal ended the run. */
export class Interrupted extends Error {
  /** @param {string} signal */
  constructor(signal) {
    super(`interrupted by ${signal}`);
  }
}

/**
 * From now until `ignore` is called a signal rejects `interrupted`, instead of ending the process before it has cleared up.
 *
 * @returns {{ interrupted: Promise<never>, ignore: () => void }}
 */
export function listenForSignals() {
  /** @type {(signal: NodeJS.Signals) => void} */
  let interrupt = () => {};
  /** @type {Promise<never>} */
  const interrupted = new Promise((_, reject) => {
    interrupt = (signal) => reject(new Interrupted(signal));
  });
  interrupted.catch(() => {}); // also while nobody waits for it
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  return { interrupted, ignore: () => void process.off('SIGINT', interrupt).off('SIGTERM', interrupt) };
}
