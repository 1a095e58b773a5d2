/** Marshalled data: a body that is never looked into, and the references in it. */
export interface CapData {
  body: string;
  slots: string[];
}

/** A message: method and arguments, and the promise for the answer if one is wanted. */
export interface KernelMessage {
  methargs: CapData;
  result?: string | null;
}

/** How one promise was settled: which, whether rejected, and with what. */
export type OneResolution = [promise: string, rejected: boolean, value: CapData];

/** What a delivery resolves to. */
export interface CrankResult {
  didDelivery: string;
}

/** How a network hands over a message; the answer, if any, is sent back. */
export type RemoteMessageHandler = (from: string, message: string) => Promise<string | null>;

/** The network of a kernel. What `initTransport` gives needs only a small adapter to be one; see docs/javascript-kernels.md. */
export interface PlatformServicesRemotePart {
  initializeRemoteComms(
    keySeed: string,
    options: RemoteCommsOptions,
    remoteMessageHandler: RemoteMessageHandler,
    onRemoteGiveUp: (peerId: string) => void,
    incarnationId: string,
    onIncarnationChange: (peerId: string, observedIncarnation: string) => Promise<boolean>,
  ): Promise<void> | void;
  stopRemoteComms(): Promise<void> | void;
  /** Resolves when it was written. An error named `PeerRestartedError`, `IntentionalCloseError` or `NetworkStoppedError` is final. */
  sendRemoteMessage(to: string, message: string): Promise<void> | void;
  closeConnection(peerId: string): Promise<void> | void;
  registerLocationHints(peerId: string, hints: string[]): Promise<void> | void;
  reconnectPeer(peerId: string, hints?: string[]): Promise<void> | void;
  /** Not used by the remotes. */
  resetAllBackoffs?(): Promise<void> | void;
}

/**
 * The run queue of a kernel. Functions that do not return a promise are called inside a savepoint: what they write is undone if
 * anything throws. They may use the store, but not call the `RemoteManager` or a `RemoteHandle` (`ReentrancyError`).
 */
export interface KernelQueueRemotePart {
  enqueueSend(target: string, message: KernelMessage): void;
  enqueueNotify(endpointId: string, kpid: string): void;
  /** Settles promises, tells their subscribers, and queues what waited in them. `endpointId` is who decides them. */
  resolvePromises(endpointId: string | undefined, resolutions: OneResolution[]): void;
  /** Resolves when no crank is open. What was done during a crank leaves the kernel after it. */
  waitForCrank(): Promise<void>;
}

/** What is known of a remote kernel. */
export interface RemoteInfo {
  peerId: string;
  hints?: string[];
}

/** A remote kernel and what is known of it. */
export interface RemoteRecord {
  remoteId: string;
  remoteInfo: RemoteInfo;
}

/** The three numbers of exactly-once delivery with one remote; 0 before the first message. */
export interface RemoteSeqState {
  /** The last number that was given to a message. */
  nextSendSeq: number;
  highestReceivedSeq: number;
  /** The lowest number that is not acknowledged. */
  startSeq: number;
}

/** A relay, with the time when it was last seen in milliseconds since the Unix epoch. */
export interface RelayEntry {
  addr: string;
  lastSeen: number;
  isBootstrap: boolean;
}

/** A promise as the store tells it. */
export interface KernelPromise {
  state: 'unresolved' | 'fulfilled' | 'rejected';
  /** Of an unresolved one. */
  decider?: string;
  subscribers?: string[];
  /** Of a settled one. */
  value?: CapData;
}

/** An item of the run queue. */
export type RunQueueItem =
  | { type: 'send'; target: string; message: KernelMessage }
  | { type: 'notify'; endpointId: string; kpid: string };

/** An endpoint that is to be told to collect its garbage. */
export interface ReapAction {
  type: 'bringOutYourDead';
  endpointId: string;
}

/** Something to tell an endpoint, by `deliverDropExports` and so on; in the receiver's frame. */
export interface GCAction {
  type: 'dropExports' | 'retireExports' | 'retireImports';
  endpointId: string;
  erefs: string[];
}

/** The store of a kernel, as far as remotes need it. Everything is synchronous, and what it throws undoes the event. */
export interface KernelStoreRemotePart {
  createSavepoint(name: string): void;
  rollbackSavepoint(name: string): void;
  releaseSavepoint(name: string): void;
  provideIncarnationId(): string;
  getAllRemoteRecords(): Iterable<RemoteRecord>;
  getNextRemoteId(): string;
  initEndpoint(endpointId: string): void;
  setRemoteInfo(remoteId: string, info: RemoteInfo): void;
  getRemoteSeqState(remoteId: string): RemoteSeqState | undefined;
  setRemoteNextSendSeq(remoteId: string, seq: number): void;
  setRemoteHighestReceivedSeq(remoteId: string, seq: number): void;
  setRemoteStartSeq(remoteId: string, seq: number): void;
  getPendingMessage(remoteId: string, seq: number): string | undefined;
  setPendingMessage(remoteId: string, seq: number, message: string): void;
  deletePendingMessage(remoteId: string, seq: number): void;
  clearRemoteSeqState(remoteId: string): void;
  cleanupOrphanMessages(remoteId: string, startSeq: number): number | void;
  getPeerIncarnation(peerId: string): string | undefined;
  setPeerIncarnation(peerId: string, incarnationId: string): void;
  getOwner(kref: string, throwIfUnknown?: boolean): string | undefined;
  erefToKref(endpointId: string, eref: string): string | undefined;
  translateRefEtoK(endpointId: string, eref: string): string;
  translateRefKtoE(endpointId: string, kref: string, importIfNeeded: boolean): string;
  getReachableFlag(endpointId: string, kref: string): boolean;
  clearReachableFlag(endpointId: string, kref: string): void;
  forgetKref(endpointId: string, kref: string): void;
  forgetEndpointImports(endpointId: string): void;
  getKernelPromise(kpid: string): KernelPromise;
  /** Called for a result promise that the peer was to decide, so that it hears of the outcome. */
  addPromiseSubscriber?(endpointId: string, kpid: string): void;
  getPromisesByDecider(endpointId: string): Iterable<string>;
  scheduleReap(endpointId: string): void;
  /** These two, or `kv`. */
  getRemoteIdentityValue?(key: 'peerId' | 'keySeed' | 'ocapURLKey'): string | undefined;
  setRemoteIdentityValue?(key: 'peerId' | 'keySeed' | 'ocapURLKey', value: string): void;
  /** These two, or `kv`; without either no relay is remembered. */
  getRelayEntries?(): RelayEntry[];
  setRelayEntries?(entries: RelayEntry[]): void;
  getLastActiveTime?(): number | undefined;
  setLastActiveTime?(now: number): void;
  /** As older kernels show it. */
  kv?: { get(key: string): string | undefined; set(key: string, value: string): void };
}

/** The parts of a kernel, each of which may be of any make. */
export interface RemoteManagerOptions {
  platformServices: PlatformServicesRemotePart;
  /** A kernel's own store, a `KernelRecords`, or the key-value store below one, on which a `KernelRecords` is made. */
  kernelStore: KernelStoreRemotePart | KernelRecords | KernelDatabase;
  kernelQueue: KernelQueueRemotePart;
  /** Told of restarts, give-ups and messages that were passed over. */
  logger?: { log(...data: unknown[]): void; warn(...data: unknown[]): void };
  /** The identity of a store that has none: 32 bytes in hex. */
  keySeed?: string;
  /** The identity of a store that has none, as a BIP39 mnemonic; an `IdentityError` for one that has. */
  mnemonic?: string;
}

/** How an identity is made. */
export interface IdentityOptions {
  mnemonic?: string;
  /** To be named in URLs. */
  relays?: string[];
}
