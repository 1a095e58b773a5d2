// Functions of a half that it hands to a program. After a crash they fail, where what only the browser still calls does nothing.

let isHanded = false;

/**
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
