/** Called with each message, in order per peer; a text that it gives is sent back. What it throws counts as not received. */
export type TransportMessageHandler = (from: string, message: string) => Promise<string | null> | string | null;

/** Told of a peer that the network has stopped trying to reach. */
export type OnRemoteGiveUp = (peerId: string) => void;

/** Asked after every handshake whether the peer restarted. An error, or anything but a boolean, counts as a restart. */
export type OnIncarnationChange = (peerId: string, observedIncarnation: string) => Promise<boolean> | boolean;

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
