// A limit for what might never happen.

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
