// What a program hands to the bindings, checked: they take it for what its type says, and anything else for a place in memory.

/** @param {unknown} value @param {string} name of the parameter @param {string} expected */
function refusal(value, name, expected) {
  const found = value === null ? 'null' : Array.isArray(value) ? 'an array of something else' : typeof value;
  return new TypeError(`${name} must be ${expected}, not ${found}`);
}

/** @param {unknown} value @param {string} name of the parameter */
export function text(value, name) {
  if (typeof value !== 'string') {
    throw refusal(value, name, 'a string');
  }
  return value;
}

/** @param {unknown} value @param {string} name */
export function texts(value, name) {
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
    throw refusal(value, name, 'an array of strings');
  }
  return value;
}

/** @param {unknown} value @param {string} name */
export function bytes(value, name) {
  if (!(value instanceof Uint8Array)) {
    throw refusal(value, name, 'a Uint8Array');
  }
  return value;
}
