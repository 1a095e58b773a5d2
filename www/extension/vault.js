// What the wallet keeps besides the kernel's store: the key, which makes it the same peer even if its site data are wiped, and settings.

/**
 * @typedef {object} Vault
 * @property {string} keySeed 64 hex digits. A real wallet would seal it under its password.
 * @property {string[]} relays multiaddrs
 * @property {Partial<import('ocap-remotes/kernel').RemoteCommsOptions>} options
 * @property {import('../src/kernel-worker.js').Greeter} [greeter]
 * @property {Contact} [contact]
 *
 * Whom the popup sends to. References mean something within one incarnation of this kernel only.
 * @typedef {{ incarnationId: string, object: string, peerId: string }} Contact
 */

/** @returns {Promise<Vault>} */
export const readVault = () => writeVault({});

/** @type {Promise<unknown>} Writes happen one after the other, since each reads first. */
let written = Promise.resolve();

/**
 * @param {Partial<Vault>} changes
 * @returns {Promise<Vault>} what is kept now
 */
export function writeVault(changes) {
  const writing = written.then(async () => {
    const { vault } = /** @type {{ vault?: Vault }} */ (await chrome.storage.local.get('vault'));
    const changed = { ...(vault ?? freshVault()), ...changes };
    await chrome.storage.local.set({ vault: changed });
    return changed;
  });
  written = writing.catch(() => {});
  return writing;
}

/** @returns {Vault} */
function freshVault() {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  const keySeed = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { keySeed, relays: [], options: {} };
}
