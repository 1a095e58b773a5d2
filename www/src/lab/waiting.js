// Waiting for time and for things.

/** How long something is waited for, in milliseconds. */
const LIMIT_MS = 60_000;

/** @param {number} ms */
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * @param {string} what
 * @param {() => boolean} isSo
 */
export async function until(what, isSo) {
  const deadline = performance.now() + LIMIT_MS;
  while (!isSo()) {
    if (performance.now() > deadline) {
      throw Object.assign(new Error(`waited a minute for ${what}`), { name: 'TimeoutError' });
    }
    await sleep(50);
  }
}
