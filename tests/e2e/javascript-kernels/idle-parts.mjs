// Parts of a kernel that do nothing, for tests of what does not get that far.

/**
 * For a `RemoteManager`, and what it hands to its network.
 * @returns {{ parts: { platformServices: any, kernelQueue: any }, handed: ((...given: unknown[]) => unknown)[] }}
 */
export function idleParts() {
  /** @type {((...given: unknown[]) => unknown)[]} */
  const handed = [];
  const nothing = () => {};
  const platformServices = {
    initializeRemoteComms: (/** @type {any[]} */ ...given) => {
      handed.push(...given.filter((it) => typeof it === 'function'));
    },
    stopRemoteComms: nothing,
    sendRemoteMessage: () => new Promise(nothing),
    closeConnection: nothing,
    registerLocationHints: nothing,
    reconnectPeer: nothing,
  };
  const kernelQueue = { enqueueSend: nothing, enqueueNotify: nothing, resolvePromises: nothing, waitForCrank: async () => {} };
  return { parts: { platformServices, kernelQueue }, handed };
}
