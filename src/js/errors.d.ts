/** Every error that the package itself makes, so that a program can tell them from others. Match on classes or on `name`. */
export class OcapRemotesError extends Error {
  /** Stable, also in minified programs, over the bridge and between versions. */
  readonly name: string;
  /** What a program may want to know, for those errors that say so. */
  readonly data?: unknown;
}

// Peers and the network.

/** The peer came back with another incarnation: what was sent to its former one is discarded. Redeem its URL again. */
export class PeerRestartedError extends OcapRemotesError {
  readonly data?: { readonly peerId: string };
}

/** The connection was closed by `closeConnection`, and stays closed until `reconnectPeer`. */
export class IntentionalCloseError extends OcapRemotesError {
  readonly data?: { readonly peerId: string };
}

/** The channel was lost before the message was written, or none could be opened. Trying later may succeed. */
export class ConnectionLostError extends OcapRemotesError {
  readonly data?: { readonly peerId: string; readonly reason: string };
}

/** Remote communications were stopped, or never started. */
export class NetworkStoppedError extends OcapRemotesError {}

/** Nobody served the network at the other end of the port within a minute: is `Network.serve` called with the other port? */
export class NetworkTimeoutError extends OcapRemotesError {}

/** A limit was reached; nothing was sent. Wait until some of what was sent is acknowledged, or send less. */
export class ResourceLimitError extends OcapRemotesError {
  readonly data?: {
    readonly limitType: 'connection' | 'messageSize' | 'messageRate' | 'connectionRate' | 'pendingMessages' | 'references';
    /** What it would have been. */
    readonly current: number;
    /** What it may be. */
    readonly limit: number;
  };
}

/** An address of a relay or of a peer cannot be used here; the message says why. */
export class AddressError extends OcapRemotesError {}

/** Something is not what the protocol allows, such as a malformed peer id. */
export class ProtocolError extends OcapRemotesError {}

/** There is no such remote. */
export class UnknownRemoteError extends OcapRemotesError {}

// References, promises and URLs. A reference that the program does not hold is JavaScript's own `ReferenceError`.

/** The promise is settled, is for another to settle, or is none. */
export class PromiseError extends OcapRemotesError {}

/** The URL is malformed, forged, or of another kernel. Was it copied whole? */
export class OcapURLError extends OcapRemotesError {}

/** The issuer of the URL refused: it may have lost its store since. Ask for a fresh URL. */
export class RedemptionError extends OcapRemotesError {}

/** The issuer of the URL did not answer. Is it running, and do both ends know the same relay? */
export class RedemptionTimeoutError extends OcapRemotesError {}

/** The seed or mnemonic is bad, or is not that of the store. */
export class IdentityError extends OcapRemotesError {}

// Stores; docs/store.md tells what to do about each.

/** The store failed. */
export class StoreError extends OcapRemotesError {}

/** Another tab or Worker has the store open: close it there, or wait with `ifInUse: 'wait'`. */
export class StoreInUseError extends StoreError {}

/** The disk is full, or the quota of the origin used up. */
export class StoreFullError extends StoreError {}

/** The file is no store, or was changed from outside. It is left as it is. */
export class StoreDamagedError extends StoreError {}

/** A record in the store is not what it should be. */
export class StoreCorruptError extends StoreError {}

/** Another version of this package wrote the store. It is left as it is. */
export class StoreFormatError extends StoreError {}

/** This context has no durable storage: only dedicated Workers have. Or ask for `durability: 'memory'`. */
export class StoreUnavailableError extends StoreError {}

/** What is to be imported is no whole, unchanged backup. */
export class BackupError extends StoreError {}

// The bridge between the two halves.

/** The other end of the bridge did not answer as it should. */
export class BridgeError extends OcapRemotesError {}

/** The other end closed, or this one did. */
export class BridgeClosedError extends BridgeError {}

/** The other end was loaded anew and has forgotten the question. */
export class BridgeReloadedError extends BridgeError {}

/** The other end does not answer any more. */
export class BridgeUnresponsiveError extends BridgeError {}

/** Too many questions are open. */
export class BridgeBusyError extends BridgeError {}

/** The port refused the message. */
export class BridgePostError extends BridgeError {}

/** The answer is not of the kind that was asked for. */
export class BridgeResultError extends BridgeError {}

/** The Worker that a `Caller` calls failed, or could not be loaded. */
export class WorkerError extends OcapRemotesError {}

// The module itself.

/** The wasm could not be loaded; the message says why, and `cause` is what was thrown. `init` may be called again. */
export class InitError extends OcapRemotesError {}

/** Something was called before `init()` had resolved. */
export class NotInitializedError extends OcapRemotesError {}

/** A function of a database, a store or a run queue called the kernel or the remotes that it serves: call them after it has returned. */
export class ReentrancyError extends OcapRemotesError {}

/** The kernel that the remotes belong to rolled back the crank in which it was done: it never happened. */
export class RolledBackError extends OcapRemotesError {}

/**
 * The half has crashed; `cause` is what crashed it. Every call fails with this one error from then on, and whatever waited for
 * an answer is rejected with it. Load the half again, in a new Worker or page: nothing that was durable is lost.
 */
export class CrashError extends OcapRemotesError {}
