/** A network that runs. The functions need no `this`; none works after `stop`. */
export interface Transport {
  /**
   * Writes a message to a peer, opening a channel if there is none; resolves when it was written, not when it arrived. Rejected
   * with a `PeerRestartedError`, an `IntentionalCloseError`, a `NetworkStoppedError`, a `ResourceLimitError` or a
   * `ConnectionLostError`: it was not written then, and nothing after it before it is sent again.
   */
  sendRemoteMessage(to: string, message: string): Promise<void>;
  /** Closes every connection; resolves when nothing is left. */
  stop(): Promise<void>;
  /** Closes the connection to a peer and refuses new ones until `reconnectPeer`. */
  closeConnection(peerId: string): Promise<void>;
  /** Tells where a peer may be found, by multiaddrs of relays or of the peer itself. It has an effect at once. */
  registerLocationHints(peerId: string, hints: string[]): Promise<void>;
  /** Undoes `closeConnection` and any permanent failure, and connects now. */
  reconnectPeer(peerId: string, hints?: string[]): Promise<void>;
  /** Forgets all backoffs and permanent failures, as after a sleep. It has an effect at once. */
  resetAllBackoffs(): Promise<void>;
  /** Multiaddrs at which peers reach this network now; in browsers, circuits through the relays that serve it. */
  getListenAddresses(): string[];
}
