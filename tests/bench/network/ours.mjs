// Our transport in the page, as a kernel in the same context would use it.

import init, { initTransport } from 'ocap-remotes/network';

/** More than any measurement sends: limits are not what is measured. */
const OPTIONS = {
  maxMessagesPerSecond: 1_000_000,
  maxConnectionAttemptsPerMinute: 100_000,
  maxMessageSizeBytes: 2 * 1024 * 1024,
  maxQueue: 10_000,
};

const randomSeed = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(32)), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** @type {import('ocap-remotes/network').Half | undefined} */
let half;

/** What the module holds of memory. */
export const wasmBytes = () => half?.memoryBytes ?? 0;

/** Connects to the peer at one address, and calls `onMessage` with each text that comes. */
export async function connect(peerId, address, onMessage) {
  half ??= await init();
  const transport = await initTransport(randomSeed(), OPTIONS, (_, message) => {
    onMessage(message);
  });
  await transport.registerLocationHints(peerId, [address]);
  return {
    send: (text) => transport.sendRemoteMessage(peerId, text),
    close: () => transport.stop(),
  };
}
