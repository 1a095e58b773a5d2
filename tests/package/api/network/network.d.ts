/// <reference lib="esnext.disposable" />

export * from '../js/errors.js';

/** How to read events. */
export interface EventsOptions {
    /** Ends the loop with the signal's reason. */
    signal?: AbortSignal;
}

/** The reader was slower than the events: the oldest that waited were dropped. */
export interface MissedEvents {
    type: 'missed';
    events: number;
}

/** Where a kernel's vats run, if this context hosts them. */
export interface NetworkOptions {
    /** Starts a vat and gives the port that leads to it; the port is transferred to the kernel. */
    launch?: (vatId: string, vatConfig: unknown) => MessagePort | Promise<MessagePort>;
    /** Stops a vat that was launched. */
    terminate?: (vatId: string) => void | Promise<void>;
    /** Called with each change, in order; it should be quick. What it throws is logged. */
    onEvent?: (event: NetworkEvent) => void;
}

/**
 * How far a peer's channel is. `idle`: none, and no reason to get one. `waiting`: for `nextAttemptAt`. `closed`: by the kernel,
 * until it reconnects. `failed`: so often for one reason that only a send, a reconnect or a wake makes another attempt.
 */
export type PeerState = 'idle' | 'waiting' | 'dialling' | 'handshaking' | 'connected' | 'closed' | 'failed';

/** What is known of the network end of one peer; the kernel's `remotes()` tells sequence numbers. Times are milliseconds. */
export interface PeerStatus {
    peerId: string;
    state: PeerState;
    /** The channel in use, when connected. */
    channel: {
        kind: 'ws' | 'webrtc-direct' | 'relayed' | 'other';
        /** The relay's peer id, for a circuit. */
        relay: string | null;
        /** What the peer called itself in the handshake. */
        incarnation: string;
        /** Whether this end opened it. */
        dialledByUs: boolean;
        /** Since the Unix epoch. */
        since: number;
        /** When something was last read or written on it, since the Unix epoch. */
        lastTraffic: number;
        /** The last round trip measured by a ping. */
        roundTripMs: number | null;
    } | null;
    /** Messages accepted and not yet written. */
    unwritten: number;
    /** Failed attempts of the reconnection loop in a row. */
    failedAttempts: number;
    /** Since the Unix epoch. */
    nextAttemptAt: number | null;
    lastError: { at: number; reason: string } | null;
}

/** A relay that has been heard of since the start. */
export interface RelayStatus {
    /** Its address, as configured. */
    relay: string;
    /** `up`: peers reach this kernel through it. `down`: it is tried again, for ever. */
    state: 'up' | 'down';
    /** What kind of failure happened last, unless it is up; see `ConnectionErrorCode`. */
    code: ConnectionErrorCode | null;
    /** What happened last, for people, unless it is up. */
    reason: string | null;
}

export interface Network {
    /** As `stop`, at the end of an `await using` block. */
    [Symbol.asyncDispose](): Promise<void>;
}

/**
 * What kept a relay or a peer from being reached. From the relay's own answers: `RelayLimit` (no room for a reservation or a
 * circuit), `ReservationRefused`, `PermissionDenied`, `NoReservation` (the peer has none there), `ConnectionFailed` (it has, but
 * cannot be reached). `NotARelay`: what answers there is none. `RelayUnreachable`: nothing answers there. The names of errno
 * mean what they mean elsewhere; a browser does not tell them apart: there any WebSocket that does not open is `Other`, or
 * `ENETUNREACH` when the browser says that it is offline.
 */
export type ConnectionErrorCode =
| 'ECONNREFUSED' | 'EHOSTUNREACH' | 'ENOTFOUND' | 'ENETUNREACH' | 'ETIMEDOUT' | 'ECONNRESET'
| 'RelayLimit' | 'ReservationRefused' | 'PermissionDenied' | 'NoReservation' | 'ConnectionFailed' | 'NotARelay'
| 'RelayUnreachable' | 'NoAddress' | 'Unsupported' | 'WrongPeer' | 'ProtocolUnsupported' | 'Stopped' | 'Other';

export interface NetworkStatus {
    peers: PeerStatus[];
    relays: RelayStatus[];
}

/** Something changed. A peer's traffic is no change; a peer that is forgotten is `idle`. */
export type NetworkEvent =
| ({ type: 'peer' } & PeerStatus)
| ({ type: 'relay' } & RelayStatus)
/** A peer broke the protocol or a limit. */
| { type: 'fault'; peerId: string; name: string; message: string };

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

/** Anything that two contexts can talk through: a Worker, `self` in a Worker, a MessagePort, or a chrome.runtime.Port. */
export type BridgePort =
| {
    postMessage(message: unknown, transfer?: Transferable[]): void;
    addEventListener(type: string, listener: (event: any) => void): void;
    removeEventListener(type: string, listener: (event: any) => void): void;
}
| {
    postMessage(message: unknown): void;
    onMessage: { addListener(listener: (message: any) => void): void; removeListener(listener: (message: any) => void): void };
    onDisconnect: { addListener(listener: () => void): void; removeListener(listener: () => void): void };
};
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

/**
 * The network of one kernel: libp2p, over WebRTC where the context has it, over WebSocket everywhere.
 */
export class Network {
    private constructor();
    free(): void;
    [Symbol.dispose](): void;
    /**
     * Each change from now on, to be read with `for await`; `status` tells what was before. It ends when the network is stopped.
     * A reader may be 1,000 events behind.
     *
     * # Errors
     * A `TypeError` for a bad option.
     */
    events(options?: EventsOptions | null): AsyncIterableIterator<NetworkEvent | MissedEvents>;
    /**
     * Serves the kernel at the other end of `port`, which decides when remote communications start and with what options.
     *
     * # Errors
     * A `TypeError` if `port` cannot carry messages, or for an option that is unknown or no function.
     */
    static serve(port: BridgePort, options?: NetworkOptions | null): Network;
    /**
     * What is known of peers and relays now; empty while remote communications do not run.
     *
     * # Errors
     * A `CrashError` after a crash.
     */
    status(): NetworkStatus;
    /**
     * Closes every connection and the bridge. The promise resolves when nothing is left.
     */
    stop(): Promise<void>;
}

/**
 * Starts a transport in this context: with WebRTC in a window or an offscreen document, over WebSocket everywhere.
 *
 * `keySeed` is the identity, 32 bytes in hex. Without `localIncarnationId` a new one is made. Without `onIncarnationChange` a
 * peer counts as restarted when it shows another incarnation than before to this transport.
 *
 * # Errors
 * A `TypeError` for a bad option or a handler that is no function; an `Error` for a bad seed; an `AddressError` for an
 * address that cannot be used here.
 */
export function initTransport(keySeed: string, options: RemoteCommsOptions, remoteMessageHandler: RemoteMessageHandler, onRemoteGiveUp: ((peerId: string) => void) | null, localIncarnationId?: string | null, onIncarnationChange?: IncarnationChangeHandler | null): Promise<Transport>;

/**
 * Sets what is logged on the console: `off`, `error`, `warn` (the default), `info`, `debug` or `trace`.
 *
 * # Errors
 * A `TypeError` for any other text.
 */
export function setLogLevel(level: 'off' | 'error' | 'warn' | 'info' | 'debug' | 'trace'): void;

/** What the wasm can be loaded from. A server need not know its type. */
export type InitInput = BufferSource | WebAssembly.Module | string | URL | Request | Response;

/** The loaded wasm. */
export interface Half {
    /** How much memory it has now, in bytes. It grows with what is kept at once, and never shrinks. */
    readonly memoryBytes: number;
}

/**
 * Loads the wasm, by default from the file beside this module. Nothing is fetched before. Any number of calls load it once;
 * after a failure the next call tries again.
 *
 * Rejected with an `InitError` that says what is wrong, or with the `CrashError` after a crash.
 */
export default function init(input?: InitInput | PromiseLike<InitInput>): Promise<Half>;

/**
 * As `init`, at once, from what is in memory already.
 *
 * Throws an `InitError`, or the `CrashError` after a crash.
 */
export function initSync(input: BufferSource | WebAssembly.Module): Half;
