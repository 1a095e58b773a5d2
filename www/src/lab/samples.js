// What kernels and networks said of each remote over the last minutes.

/** How far back, in milliseconds. */
export const SPAN_MS = 180_000;
/** Samples of one remote; the oldest go first. */
const KEPT = 400;

/**
 * @typedef {object} Sample
 * @property {number} at in milliseconds since 1970
 * @property {number} sent the last number given to a message
 * @property {number} acknowledged the last of those that is acknowledged
 * @property {number} received the highest number received in order
 * @property {number} pending
 * @property {number | undefined} roundTripMs
 * @property {import('ocap-remotes/network').PeerState | undefined} state
 * @property {string | undefined} way what the channel runs over
 * @property {import('ocap-remotes/kernel').RemoteStatus | undefined} remote all that the kernel says, of the last sample only
 * @property {import('ocap-remotes/network').PeerStatus | undefined} peer all that the network says, of the last sample only
 */

export class Samples {
  /** @type {Map<string, Map<string, Sample[]>>} By the kernel's name and the peer's id. */
  #series = new Map();

  /**
   * @param {number} at
   * @param {string} kernel
   * @param {import('ocap-remotes/kernel').RemoteStatus[]} remotes
   * @param {import('ocap-remotes/network').NetworkStatus} status
   */
  add(at, kernel, remotes, { peers }) {
    const series = this.#series.get(kernel) ?? new Map();
    this.#series.set(kernel, series);
    for (const remote of remotes) {
      const { peerId, pending, lastSent, highestReceived } = remote;
      const peer = peers.find((other) => other.peerId === peerId);
      const list = series.get(peerId) ?? [];
      series.set(peerId, list);
      list.push({
        at,
        sent: lastSent,
        acknowledged: lastSent - pending,
        received: highestReceived,
        pending,
        roundTripMs: peer?.channel?.roundTripMs ?? undefined,
        state: peer?.state,
        way: peer?.channel?.kind,
        remote,
        peer,
      });
      // Only the newest is ever read as a whole.
      const before = list.at(-2);
      if (before) {
        before.remote = undefined;
        before.peer = undefined;
      }
      if (list.length > KEPT) {
        list.shift();
      }
    }
  }

  /**
   * The remotes of a kernel: peer ids.
   * @param {string} kernel
   */
  remotes(kernel) {
    return [...(this.#series.get(kernel)?.keys() ?? [])];
  }

  /**
   * @param {string} kernel
   * @param {string} peerId
   * @returns {Sample[]} oldest first
   */
  of(kernel, peerId) {
    return this.#series.get(kernel)?.get(peerId) ?? [];
  }

  /**
   * @param {string} kernel
   * @param {string} peerId
   */
  last(kernel, peerId) {
    return this.of(kernel, peerId).at(-1);
  }

  /** @param {string} kernel */
  forget(kernel) {
    this.#series.delete(kernel);
  }
}
