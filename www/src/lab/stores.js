// Durable stores that the lab no longer needs.

/** How long the deletion may take, in milliseconds. */
const LIMIT_MS = 20_000;

/**
 * Deletes a kernel's store, which only a Worker can.
 * @param {string} name
 * @returns {Promise<void>}
 */
export function deleteStore(name) {
  const worker = new Worker(new URL('./store-worker.js', import.meta.url), { type: 'module', name: 'store' });
  return new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
    const fail = (/** @type {string} */ why) => reject(new Error(`the store ${name} could not be deleted: ${why}`));
    setTimeout(() => fail('it took too long'), LIMIT_MS);
    worker.addEventListener('error', ({ message }) => fail(message));
    worker.addEventListener('message', ({ data }) => (data === 'deleted' ? resolve() : fail(data)));
    worker.postMessage(name);
  }).finally(() => worker.terminate());
}
