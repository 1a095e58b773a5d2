// Waiting for time and for things.

/** How long something is waited for if nothing else is said, in milliseconds. */
const LIMIT_MS = 60_000;

/** @param {number} ms */
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * @param {string} what
 * @param {() => boolean} isSo
 * @param {number} [limitMs]
 */
export async function until(what, isSo, limitMs = LIMIT_MS) {
  const deadline = performance.now() + limitMs;
  while (!isSo()) {
    if (performance.now() > deadline) {
      throw Object.assign(new Error(`waited ${limitMs / 1_000} s for ${what}`), { name: 'TimeoutError' });
    }
    await sleep(50);
  }
}
