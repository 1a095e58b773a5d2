// The body of a call: `#[NUMBER,"PADDING"]`, as the native kernels of tests/network read it.

/** @param {number} number */
const letter = (number) => String.fromCharCode(97 + (number % 26));

/**
 * A body of exactly so many bytes.
 * @param {number} number
 * @param {number} bytes
 */
export function body(number, bytes) {
  const around = `#[${number},""]`.length;
  return `#[${number},"${letter(number).repeat(bytes - around)}"]`;
}

/** The answer to a body. */
export const answerTo = (/** @type {string} */ text) => `#${JSON.parse(text.slice(1))[0]}`;
