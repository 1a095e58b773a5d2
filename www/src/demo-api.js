// What a script can do with the kernel of a page, and our tests do.

/** @param {Pick<import('./peer.js').Peer, 'state' | 'call'>} peer */
export function demoApi(peer) {
  return {
    /** Starting, running, … and who this kernel is, or what is wrong. */
    state: () => (peer.state.status === 'error' ? { ...peer.state, error: String(peer.state.error) } : peer.state),
    /** A URL of the greeter. */
    url: () => peer.call('url'),
    /** The object of a URL that another kernel issued: a reference such as 'ko7'. */
    redeem: (/** @type {string} */ url) => peer.call('redeem', url),
    /** Sends ["method",[value]] and gives the promise of its result. Methods: echo, count, hold, relay. */
    send: (/** @type {string} */ target, /** @type {string} */ method, /** @type {unknown} */ value) =>
      peer.call('send', target, method, value),
    /** Sends `count` with each number, in order, pausing `everyMs` after each; ends when the last is sent. */
    sendNumbers: (
      /** @type {string} */ target,
      /** @type {number} */ from,
      /** @type {number} */ to,
      /** @type {number | undefined} */ everyMs,
    ) => peer.call('sendNumbers', target, from, to, everyMs),
    /** What this incarnation's greeter received, oldest first. */
    received: () => peer.call('received'),
    /** How the messages that this incarnation sent ended, oldest first. */
    outcomes: () => peer.call('outcomes'),
    /** Restarts of peers and the like that this incarnation was told, oldest first. */
    events: () => peer.call('events'),
    /** The kernel's remotes and their counters. */
    remotes: () => peer.call('remotes'),
  };
}
