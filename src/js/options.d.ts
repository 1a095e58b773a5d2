/** Options of remote communications. All times are in milliseconds. What is out of bounds is a `TypeError` that names the option. */
export interface RemoteCommsOptions {
  /** Multiaddrs of relays, each ending in `/p2p/<peer id>`, through which this kernel listens and dials. At most 64. */
  relays?: string[];
  /** Multiaddrs to listen on directly. Browsers cannot. At most 64. */
  directListenAddresses?: string[];
  /** Hosts besides private addresses and configured relays to which plain `ws://` is allowed. At most 1,024. */
  allowedWsHosts?: string[];
  /** Reconnection attempts before giving up; 0 (the default) is without limit. At most 1,000,000. */
  maxRetryAttempts?: number;
  /**
   * How long a peer is tried for which something waits before it is given up: time in which this program ran, there was a network,
   * and what it tried left. Default 600,000; 1 to 30 days.
   */
  giveUpAfterMs?: number;
  /** Unacknowledged messages per remote before sends are refused. Default 200; 1 to 100,000. */
  maxQueue?: number;
  /** Concurrent connections. Default 100; 1 to 10,000. */
  maxConcurrentConnections?: number;
  /** Longest message, in bytes. Default 1 MiB; 1 KiB to 64 MiB. */
  maxMessageSizeBytes?: number;
  /** Messages per second to one peer. Default 100; 1 to 1,000,000. */
  maxMessagesPerSecond?: number;
  /** Connection attempts per minute that reach one peer; others are paced. Default 10; 1 to 100,000. */
  maxConnectionAttemptsPerMinute?: number;
  /** How long an acknowledgement may take before messages are written again. Default 10,000; 1 to one hour. */
  ackTimeoutMs?: number;
  /** How long an acknowledgement may wait for a message to ride on. Default 50; less than `ackTimeoutMs`. */
  delayedAckMs?: number;
  /** Retransmissions without progress before a remote is given up. Default 3; at most 1,000. */
  maxRetransmissions?: number;
  /** How long the handshake of a channel may take while nothing moves. Default 10,000; 1 to one hour. */
  handshakeTimeoutMs?: number;
  /** How long one dial may take. Default 30,000; 1 to one hour. */
  dialTimeoutMs?: number;
  /** How long one write may stand still. Default 10,000; 1 to one hour. */
  writeTimeoutMs?: number;
  /** First reconnection delay; each next is twice as long, drawn between 0 and that. Default 500; 1 to the longest. */
  reconnectionBaseDelayMs?: number;
  /** Longest reconnection delay. Default 10,000; at most one day. */
  reconnectionMaxDelayMs?: number;
  /** How often each connection is pinged. Default 1,000; 100 to one hour. */
  heartbeatIntervalMs?: number;
  /**
   * Silence after which a connection that answers no ping, and on which nothing moves, is closed. Default 4,000; longer than `heartbeatIntervalMs`, at most
   * one day. A peer that was closed for it gets twice the time, and so on up to 64 s, until it has answered for a minute.
   */
  heartbeatTimeoutMs?: number;
  /** Silence after which a channel is taken for dead. Default 120,000; 5,000 to one day. */
  streamInactivityTimeoutMs?: number;
  /** How often forgotten peers are looked for. Default 900,000; 1 to one day. */
  cleanupIntervalMs?: number;
  /** Idle time after which a peer without a channel is forgotten. Default 3,600,000; 1 to 30 days. */
  stalePeerTimeoutMs?: number;
  /** Accepted for compatibility; a network that has just started has no backoff to forget. */
  crossIncarnationWake?: boolean;
}
