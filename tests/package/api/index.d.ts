// The halves are `ocap-remotes/kernel` and `ocap-remotes/network`, among others; this module loads none.

export * from './js/errors.js';
export type { BridgePort, EventsOptions, Half, InitInput, Kernel, KernelDatabase, KernelEvent, KernelOptions, KernelStore, KernelStoreOptions, KeyValueDatabase, MissedEvents, PeerEvent, RedeemOptions, RemoteCommsOptions, RemoteStatus, ResetOptions, Savepoints, WaitOptions } from './kernel/kernel.js';
export type { CapData, CrankResult, GCAction, IdentityOptions, KernelMessage, KernelPromise, KernelQueueRemotePart, KernelRecords, KernelStoreRemotePart, OneResolution, PlatformServicesRemotePart, ReapAction, RelayEntry, RemoteComms, RemoteHandle, RemoteInfo, RemoteManager, RemoteManagerOptions, RemoteMessageHandler, RemoteRecord, RemoteSeqState, RunQueueItem } from './remotes/remotes.js';
export type { ConnectionErrorCode, IncarnationChangeHandler, Network, NetworkEvent, NetworkOptions, NetworkStatus, PeerState, PeerStatus, RelayStatus, Transport } from './network/network.js';

/** The version of this package. */
export const version: string;
