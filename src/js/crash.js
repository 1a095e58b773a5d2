// What the wasm tells of its crash, and what it handed out before.

let message = '';
let isHanded = false;

/** @param {string} said by the last panic; the trap that follows it tells nothing */
export function panicked(said) {
  message = said;
  console.error(`ocap-remotes crashed: ${said}`);
}

export const lastPanic = () => message;

/**
 * A function that a half hands to a program. After a crash it fails, where what only the browser still calls does nothing.
 *
 * @param {(...args: any[]) => unknown} call
 * @returns {(...args: any[]) => unknown}
 */
export function handed(call) {
  return (...args) => {
    isHanded = true;
    try {
      return call(...args);
    } finally {
      isHanded = false;
    }
  };
}

/** Whether the call that begins now is to such a function. It is told once. */
export function takeIsHanded() {
  const was = isHanded;
  isHanded = false;
  return was;
}
