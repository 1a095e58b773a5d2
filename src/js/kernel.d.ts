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
