// What a program hands to the bindings, checked: they take it for what its type says, and anything else for a place in memory.

/** Longest text that is shown in full. */
const LONGEST = 100;

/** @param {unknown} value @param {string} name of the parameter @param {string} expected */
function refusal(value, name, expected) {
  const found = value === null ? 'null' : Array.isArray(value) ? 'an array of something else' : typeof value;
  return new TypeError(`${name} must be ${expected}, not ${found}`);
}

/**
 * Whether every half of a character has its other half. What has not stands for no text, and would arrive as another.
 * @param {string} value
 */
function isWellFormed(value) {
  return value.isWellFormed ? value.isWellFormed() : !/\p{Surrogate}/u.test(value);
}

/** @param {unknown} value @param {string} name of the parameter */
export function text(value, name) {
  if (typeof value !== 'string') {
    throw refusal(value, name, 'a string');
  }
  if (!isWellFormed(value)) {
    throw new TypeError(`${name} must be text, without lone surrogates`);
  }
  return value;
}

/** @param {unknown} value @param {string} name */
export function texts(value, name) {
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
    throw refusal(value, name, 'an array of strings');
  }
  value.forEach((item) => text(item, name));
  return value;
}

/** Of any realm: an iframe's and Jest's are instances of other classes. @param {unknown} value */
export function isError(value) {
  return typeof value === 'object' && value !== null && typeof /** @type {any} */ (value).message === 'string';
}

/** @param {unknown} value @param {string} name */
export function bytes(value, name) {
  if (!ArrayBuffer.isView(value) || /** @type {any} */ (value).BYTES_PER_ELEMENT !== 1) {
    throw refusal(value, name, 'a Uint8Array');
  }
  return value;
}

/**
 * What a value is, for errors. wasm-bindgen's own description of a cyclic array has no end.
 * @param {unknown} value
 */
export function describe(value) {
  try {
    switch (typeof value) {
      case 'string':
        return JSON.stringify(value.length > LONGEST ? `${value.slice(0, LONGEST)}…` : value);
      case 'object':
        return value === null ? 'null' : Array.isArray(value) ? 'an array' : isError(value) ? String(value) : 'an object';
      case 'function':
      case 'symbol':
        return `a ${typeof value}`;
      default:
        return String(value);
    }
  } catch {
    return 'something that cannot be looked at';
  }
}
