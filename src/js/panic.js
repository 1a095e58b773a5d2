// What the last panic said. The trap that follows a panic tells nothing.

let message = '';

/** @param {string} said */
export function panicked(said) {
  message = said;
  console.error(`ocap-remotes crashed: ${said}`);
}

export const lastPanic = () => message;
