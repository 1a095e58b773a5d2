/**
 * Takes a message of a peer, one after the other, and answers what is to go back, if anything. While it has not answered
 * 16 messages of a peer, that peer is not read. What it throws is logged by name, as is an answer of
 * another kind, and the next message comes.
 */
export type RemoteMessageHandler = (
  from: string,
  message: string,
) => string | null | undefined | void | Promise<string | null | undefined | void>;

/**
 * Called after every handshake with what the peer calls itself; `true` says that it restarted, and nothing is delivered or
 * written before the answer. What it throws counts as a restart.
 */
export type IncarnationChangeHandler = (peerId: string, observedIncarnation: string) => boolean | Promise<boolean>;

/** A transport in this context, without a bridge. Its functions need no `this`. */
export interface Transport {
  /**
   * Writes a message to a peer after those before it; resolves when it is written. Rejects with a `PeerRestartedError`, an
   * `IntentionalCloseError`, a `NetworkStoppedError` (none of which another attempt cures), a `ResourceLimitError`
   * (`data`: `limitType`, `current`, `limit`) or a `ConnectionLostError`.
   */
  sendRemoteMessage(to: string, message: string): Promise<void>;
  /** Closes every connection; resolves when nothing is left. */
  stop(): Promise<void>;
  /** Closes the connection with a peer, for good until `reconnectPeer`. */
  closeConnection(peerId: string): Promise<void>;
  /** Tells where a peer may be found: multiaddrs of its own, or of relays. Peers told of here come before strangers. */
  registerLocationHints(peerId: string, hints: string[]): Promise<void>;
  /** Forgets why a peer was not tried, and tries it now. */
  reconnectPeer(peerId: string, hints?: string[]): Promise<void>;
  /** Forgets all backoffs and permanent failures, and probes all connections. */
  resetAllBackoffs(): Promise<void>;
  /** Multiaddrs at which peers reach this kernel now. */
  getListenAddresses(): string[];
  /** What is known of peers and relays now. */
  status(): NetworkStatus;
}
