// The durable stores of this page's kernels, which go with the page: those of a page that was closed or reloaded are deleted by
// the next.

/** How long a deletion may take, in milliseconds. */
const LIMIT_MS = 20_000;
/** Keys of the local storage that name the stores of one page. */
const PREFIX = 'lab-stores ';

const page = crypto.getRandomValues(new Uint32Array(2)).join('-');
/** @type {string[]} */
let names = [];

const lockOf = (/** @type {string} */ owner) => `ocap-remotes lab ${owner}`;

/** Notes that this page has the store. @param {string} name */
export function noteStore(name) {
  if (names.length === 0) {
    // Held as long as the page is there.
    void navigator.locks?.request(lockOf(page), () => new Promise(() => {}));
  }
  names.push(name);
  localStorage.setItem(PREFIX + page, JSON.stringify(names));
}

/** Deletes the stores of pages that are gone. */
export async function deleteForgottenStores() {
  const owners = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX)).map((key) => key.slice(PREFIX.length));
  for (const owner of owners.filter((other) => other !== page)) {
    await navigator.locks.request(lockOf(owner), { ifAvailable: true }, async (lock) => {
      if (lock) {
        const forgotten = JSON.parse(localStorage.getItem(PREFIX + owner) ?? '[]');
        await Promise.all(forgotten.map(deleteFile));
        localStorage.removeItem(PREFIX + owner);
      }
    });
  }
}

/**
 * Deletes a store of this page.
 * @param {string} name
 */
export async function deleteStore(name) {
  await deleteFile(name);
  names = names.filter((other) => other !== name);
  localStorage.setItem(PREFIX + page, JSON.stringify(names));
}

/**
 * Deletes a store's file, which only a Worker can.
 * @param {string} name
 * @returns {Promise<void>}
 */
function deleteFile(name) {
  const worker = new Worker(new URL('./store-worker.js', import.meta.url), { type: 'module', name: 'store' });
  return new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
    const fail = (/** @type {string} */ why) => reject(new Error(`the store ${name} could not be deleted: ${why}`));
    setTimeout(() => fail('it took too long'), LIMIT_MS);
    worker.addEventListener('error', ({ message }) => fail(message));
    worker.addEventListener('message', ({ data }) => (data === 'deleted' ? resolve() : fail(data)));
    worker.postMessage(name);
  }).finally(() => worker.terminate());
}
