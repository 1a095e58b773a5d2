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

/** What a kernel is started with. */
export interface KernelOptions extends RemoteCommsOptions {
    /** The identity: 32 bytes in hex. Without it and without `mnemonic`, a random one is made. */
    keySeed?: string;
    /** The identity, as a BIP39 mnemonic. */
    mnemonic?: string;
    /**
     * Called with each event, in order, never within a call into the kernel, nor before what waits for `Kernel.start` has run. What it calls before it returns is made durable
     * together with the event, or not at all: after a crash the event comes again.
     *
     * If it throws, or returns a promise that is rejected, that is logged, what it has done stays, and the result of its message, unless it is
     * settled, is rejected with an `Error`: `[KERNEL:HANDLER_FAILED] the program threw an error`. Nothing else is disturbed.
     */
    onEvent: (event: KernelEvent) => void;
    /** Ends the waiting for the network's end; the promise is rejected with the signal's reason, and the store is closed. */
    signal?: AbortSignal;
}

/** How to redeem a URL. */
export interface RedeemOptions {
    /** Ends the waiting; the promise is rejected with the signal's reason. `AbortSignal.timeout(ms)` sets a deadline. */
    signal?: AbortSignal;
}

/** How to wait. */
export interface WaitOptions {
    /** Ends the waiting; the promise is rejected with the signal's reason. `AbortSignal.timeout(ms)` sets a deadline. */
    signal?: AbortSignal;
}

/** Something for the program. References are strings: `ko<N>` objects, `kp<N>` promises. */
export type KernelEvent =
/** A message to one of the program's objects; settle `result`, if there is one, with `resolve` or `reject`. */
| { type: 'message'; target: string; body: string; slots: string[]; result?: string }
/** A promise that the program held was settled, and is released thereby. */
| { type: 'notify'; promise: string; rejected: boolean; body: string; slots: string[] }
/** Objects that the program had released can no longer be reached from outside either. */
| { type: 'retired'; objects: string[] }
/** A peer came back with another incarnation: it has lost its memory of us. So it has if both incarnations are the same. */
| {
    type: 'peerRestarted';
    peerId: string;
    formerIncarnation: string;
    incarnation: string;
    /** Messages to the former incarnation that were discarded. */
    discarded: number;
    /** Promises that it was to decide, rejected with `[KERNEL:PEER_RESTARTED]`. */
    promisesRejected: number;
}
/**
 * Two kernels have the identity of a peer, because one key seed or mnemonic is used by both, and come in turns: it has come back
 * in the incarnation that it had before its last. Neither can be talked to for long until the other is stopped.
 */
| { type: 'identityShared'; peerId: string; incarnation: string; otherIncarnation: string }
/** A peer was given up; the next message to it tries again. */
| { type: 'givenUp'; peerId: string; reason: string; discarded: number; promisesRejected: number }
/** Messages `first` to `last` were abandoned by the peer before they arrived. */
| { type: 'messagesLost'; peerId: string; first: number; last: number }
/** A message that could not be processed was undone and passed over. */
| { type: 'messageRejected'; peerId: string; seq: number; reason: string }
/** The store could not be made durable: this kernel has stopped. Start it again; what was not durable never happened. */
| { type: 'storeFailed'; reason: string };

/** What `kernel.events()` gives. */
export type PeerEvent = Exclude<KernelEvent, { type: 'message' | 'notify' | 'retired' }>;

export interface Kernel {
    /** As `stop`, at the end of an `await using` block. */
    [Symbol.asyncDispose](): Promise<void>;
}

/** What is known of a remote kernel; the counters begin with the start of this kernel. */
export interface RemoteStatus {
    id: string;
    peerId: string;
    /** Messages that the peer has not acknowledged. */
    pending: number;
    /** The last number given to a message; 0 before the first. The last `pending` numbers up to it are not acknowledged. */
    lastSent: number;
    /** The highest number received in order; 0 before the first. */
    highestReceived: number;
    delivered: number;
    duplicates: number;
    outOfOrder: number;
    rejected: number;
    malformed: number;
    lost: number;
}

/** Which store, and how to open it. */
export interface KernelStoreOptions {
    /** The store's name in this origin: 1 to 64 letters, digits, `-`, `_`, `.`. Default `kernel`. */
    name?: string;
    /**
     * `durable`, the default: in the origin private file system. Only dedicated Workers can open it, and one at a time.
     * `memory`: gone with its context, so that every start of the kernel is a new incarnation.
     */
    durability?: 'durable' | 'memory';
    /**
     * What to do when another tab or Worker has the store open: `fail`, the default, with a `StoreInUseError`; or `wait` for
     * the end of that context.
     */
    ifInUse?: 'fail' | 'wait';
    /** Ends the waiting; the promise is rejected with the signal's reason. */
    signal?: AbortSignal;
}

/** An ordered key-value store of a JavaScript kernel. Keys are ordered as `<` orders them; all are ASCII. */
export interface KeyValueDatabase {
    get(key: string): string | undefined;
    /** Not used, and so not needed. */
    getRequired?(key: string): string;
    /** The smallest key that is greater than `key`. */
    getNextKey(key: string): string | undefined;
    set(key: string, value: string): void;
    delete(key: string): void;
}

/** Nested savepoints. Releasing the outermost one commits: what was written has to be durable when the call returns. */
export interface Savepoints {
    createSavepoint(name: string): void;
    /** Undoes everything since the savepoint, and ends it and those inside it. */
    rollbackSavepoint(name: string): void;
    /** Keeps everything since the savepoint, and ends it and those inside it. */
    releaseSavepoint(name: string): void;
}

/** The database of a JavaScript kernel: one object that has everything, or one that keeps the key-value store inside. */
export type KernelDatabase = Savepoints & (KeyValueDatabase | { kernelKVStore: KeyValueDatabase });

/** How to reset a store. */
export interface ResetOptions {
    /** Keep the key seed, and so the peer id. Default true. */
    keepIdentity?: boolean;
}

/**
 * A kernel that serves one program, and its remotes.
 */
export class Kernel {
    private constructor();
    free(): void;
    [Symbol.dispose](): void;
    /**
     * Closes the connection to a peer until `reconnectPeer`. What was pending is rejected; sends to it fail.
     */
    closeConnection(peerId: string): Promise<void>;
    /**
     * Makes a new promise, such as `kp4`, that this program is to settle with `resolve` or `reject`.
     *
     * # Errors
     * A `StoreError`.
     */
    createPromise(): string;
    /**
     * What happens to peers and to this kernel, from now on, to be read with `for await`. It ends when the kernel is stopped.
     *
     * Messages, answers and retired objects are not among it: what a program does about them has to become durable together with
     * them, which only `onEvent` can. A reader may be 1,000 events behind.
     *
     * # Errors
     * A `TypeError` for a bad option.
     */
    events(options?: EventsOptions | null): AsyncIterableIterator<PeerEvent | MissedEvents>;
    /**
     * Makes a new object and gives its reference, such as `ko3`. It lives until it is released and no peer holds it.
     *
     * # Errors
     * A `StoreError`.
     */
    exportObject(): string;
    /**
     * Everything in this kernel's store, as a file for the user to keep; see `KernelStore.export`.
     */
    exportStore(): Promise<Uint8Array>;
    /**
     * Makes a URL by which anyone who has it can get the object from this kernel, as long as the program keeps it; resolves
     * when the object is durable. Rejected with a `ReferenceError` for something that this program does not hold, or that is
     * no object.
     */
    issueOcapURL(object: string): Promise<string>;
    /**
     * Resolves when `target` takes one more message: as soon as less than `maxQueue` to its peer are unacknowledged. Send at
     * once then, for others may wait too. Rejected with a `ReferenceError` if `target` is not, or no longer, held by this program,
     * or with the reason of an aborted `signal`.
     */
    ready(target: string, options?: WaitOptions | null): Promise<void>;
    /**
     * Undoes `closeConnection` and connects now; forgets that the peer was given up.
     */
    reconnectPeer(peerId: string, hints?: string[] | null): Promise<void>;
    /**
     * Gets the object behind a URL; rejected with an `OcapURLError`, a `RedemptionError`, why its issuer cannot be reached, or
     * the reason of an aborted `signal`. An object that comes after that is let go, unless the program holds it anyway.
     */
    redeemOcapURL(url: string, options?: RedeemOptions | null): Promise<string>;
    /**
     * Tells where a peer may be found: multiaddrs of relays, or of the peer itself.
     *
     * # Errors
     * A `ProtocolError` if `peerId` is none.
     */
    registerLocationHints(peerId: string, hints: string[]): void;
    /**
     * Rejects a promise that this program is to settle. Its reference means nothing to the program afterwards.
     *
     * # Errors
     * As `resolve`.
     */
    reject(promise: string, body: string, slots?: string[] | null): void;
    /**
     * Lets go of references, the program's own objects included; all of them or, on an error, none.
     *
     * # Errors
     * A `ReferenceError` for something that this program does not hold.
     */
    release(references: string[]): void;
    /**
     * What is known of every remote.
     */
    remotes(): RemoteStatus[];
    /**
     * Fulfils a promise that this program is to settle. Its reference means nothing to the program afterwards.
     *
     * # Errors
     * A `PromiseError` if it is settled or for another to settle; a `ReferenceError`; a `ResourceLimitError`.
     */
    resolve(promise: string, body: string, slots?: string[] | null): void;
    /**
     * Sends a message to an object or promise and gives the promise of its result; the outcome comes as a `notify` event.
     *
     * # Errors
     * A `ReferenceError` for something that this program does not hold; a `ResourceLimitError` when the message is too
     * long or too many to that peer are unacknowledged, which `ready` waits out. Nothing was sent then.
     */
    send(target: string, body: string, slots?: string[] | null): string;
    /**
     * Starts a kernel over the network at the other end of `port`; resolves when its remote communications have started.
     *
     * It goes on from `store`, which it takes over, and closes when it is stopped or cannot be started. If none is given it
     * opens the durable store called `kernel`, which only a dedicated Worker can.
     *
     * # Errors
     * A `TypeError` for a bad option; what `openKernelStore` throws; an `IdentityError` for a bad seed, or one that is not
     * the store's; a `NetworkTimeoutError` if nobody answers for a minute; whatever kept the network from starting; the
     * reason of an aborted `signal`.
     */
    static start(port: BridgePort, options: KernelOptions, store?: KernelStore | null): Promise<Kernel>;
    /**
     * Stops this kernel and then the network, and closes the store; every later call fails.
     */
    stop(): Promise<void>;
    /**
     * The incarnation id of this kernel's store.
     */
    readonly incarnationId: string;
    /**
     * The libp2p peer id of this kernel.
     */
    readonly peerId: string;
}

/**
 * The store of one kernel. `Kernel.start` takes it over, and `Kernel.stop` closes it.
 */
export class KernelStore {
    private constructor();
    free(): void;
    [Symbol.dispose](): void;
    /**
     * Closes the store, so that others can open it.
     */
    close(): void;
    /**
     * Everything in the store, as a file for the user to keep. It holds the kernel's private keys: whoever has it can be
     * this kernel.
     *
     * # Errors
     * A `StoreError`.
     */
    export(): Uint8Array;
    /**
     * Puts what was exported in the place of everything in the store. The kernel goes on as a new incarnation: its peers
     * treat it as restarted. URLs from before the export keep their meaning; those given out since name nothing.
     *
     * # Errors
     * A `BackupError` for anything but a whole, unchanged backup; a `StoreError`. The store is as it was then.
     */
    import(backup: Uint8Array): void;
    /**
     * A store on a JavaScript kernel's own database, with the incumbent's keys. What the database throws undoes the event
     * during which it was thrown; what it throws on a commit stops the kernel. Its functions may not call the kernel.
     *
     * # Errors
     * A `TypeError` if a function is missing; a `StoreError` or a `StoreCorruptError` for what is in it.
     */
    static over(database: KernelDatabase): KernelStore;
    /**
     * Empties the store. A kernel that is started on it is a new incarnation.
     *
     * # Errors
     * A `TypeError` for a bad option; a `StoreError`, and the store is as it was.
     */
    reset(options?: ResetOptions | null): void;
}

/**
 * Opens a store, which is made if there is none. Everything in it is checked.
 *
 * # Errors
 * A `TypeError` for a bad option; a `StoreUnavailableError` where there is no durable storage, which is everywhere but in a
 * dedicated Worker; a `StoreInUseError`; a `StoreDamagedError` or a `StoreFormatError` for a file that cannot be trusted, which
 * is left as it is; a `StoreFullError`; a `StoreError`.
 */
export function openKernelStore(options?: KernelStoreOptions | null): Promise<KernelStore>;

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
