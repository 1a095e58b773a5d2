// The errors of the package, one copy for both of its halves. Their names are stable, whatever a minifier calls the classes.

/** Every error that the package itself makes, so that a program can tell them from others. */
export class OcapRemotesError extends Error {
  get name() {
    return 'OcapRemotesError';
  }
}

// Peers and the network.

export class PeerRestartedError extends OcapRemotesError {
  get name() {
    return 'PeerRestartedError';
  }
}

export class IntentionalCloseError extends OcapRemotesError {
  get name() {
    return 'IntentionalCloseError';
  }
}

export class ConnectionLostError extends OcapRemotesError {
  get name() {
    return 'ConnectionLostError';
  }
}

export class NetworkStoppedError extends OcapRemotesError {
  get name() {
    return 'NetworkStoppedError';
  }
}

export class NetworkTimeoutError extends OcapRemotesError {
  get name() {
    return 'NetworkTimeoutError';
  }
}

export class ResourceLimitError extends OcapRemotesError {
  get name() {
    return 'ResourceLimitError';
  }
}

export class AddressError extends OcapRemotesError {
  get name() {
    return 'AddressError';
  }
}

export class ProtocolError extends OcapRemotesError {
  get name() {
    return 'ProtocolError';
  }
}

export class UnknownRemoteError extends OcapRemotesError {
  get name() {
    return 'UnknownRemoteError';
  }
}

// References, promises and URLs.

export class PromiseError extends OcapRemotesError {
  get name() {
    return 'PromiseError';
  }
}

export class OcapURLError extends OcapRemotesError {
  get name() {
    return 'OcapURLError';
  }
}

export class RedemptionError extends OcapRemotesError {
  get name() {
    return 'RedemptionError';
  }
}

export class RedemptionTimeoutError extends OcapRemotesError {
  get name() {
    return 'RedemptionTimeoutError';
  }
}

export class IdentityError extends OcapRemotesError {
  get name() {
    return 'IdentityError';
  }
}

// Stores.

export class StoreError extends OcapRemotesError {
  get name() {
    return 'StoreError';
  }
}

export class StoreInUseError extends StoreError {
  get name() {
    return 'StoreInUseError';
  }
}

export class StoreFullError extends StoreError {
  get name() {
    return 'StoreFullError';
  }
}

export class StoreDamagedError extends StoreError {
  get name() {
    return 'StoreDamagedError';
  }
}

export class StoreCorruptError extends StoreError {
  get name() {
    return 'StoreCorruptError';
  }
}

export class StoreFormatError extends StoreError {
  get name() {
    return 'StoreFormatError';
  }
}

export class StoreUnavailableError extends StoreError {
  get name() {
    return 'StoreUnavailableError';
  }
}

export class BackupError extends StoreError {
  get name() {
    return 'BackupError';
  }
}

// The bridge between the two halves.

export class BridgeError extends OcapRemotesError {
  get name() {
    return 'BridgeError';
  }
}

export class BridgeClosedError extends BridgeError {
  get name() {
    return 'BridgeClosedError';
  }
}

export class BridgeReloadedError extends BridgeError {
  get name() {
    return 'BridgeReloadedError';
  }
}

export class BridgeUnresponsiveError extends BridgeError {
  get name() {
    return 'BridgeUnresponsiveError';
  }
}

export class BridgeBusyError extends BridgeError {
  get name() {
    return 'BridgeBusyError';
  }
}

export class BridgePostError extends BridgeError {
  get name() {
    return 'BridgePostError';
  }
}

export class BridgeResultError extends BridgeError {
  get name() {
    return 'BridgeResultError';
  }
}

export class WorkerError extends OcapRemotesError {
  get name() {
    return 'WorkerError';
  }
}

// The module itself.

export class InitError extends OcapRemotesError {
  get name() {
    return 'InitError';
  }
}

export class NotInitializedError extends OcapRemotesError {
  get name() {
    return 'NotInitializedError';
  }
}

export class RolledBackError extends OcapRemotesError {
  get name() {
    return 'RolledBackError';
  }
}

export class ReentrancyError extends OcapRemotesError {
  get name() {
    return 'ReentrancyError';
  }
}

export class CrashError extends OcapRemotesError {
  get name() {
    return 'CrashError';
  }
}

/** @returns {Record<string, new (message?: string) => Error>} a function, so that bundlers leave out what nobody calls */
const classes = () => ({
  AddressError,
  BackupError,
  BridgeBusyError,
  BridgeClosedError,
  BridgePostError,
  BridgeReloadedError,
  BridgeResultError,
  BridgeUnresponsiveError,
  ConnectionLostError,
  Error,
  IdentityError,
  IntentionalCloseError,
  NetworkStoppedError,
  NetworkTimeoutError,
  OcapURLError,
  PeerRestartedError,
  PromiseError,
  ProtocolError,
  RangeError,
  RedemptionError,
  RedemptionTimeoutError,
  ReentrancyError,
  ReferenceError,
  ResourceLimitError,
  RolledBackError,
  StoreCorruptError,
  StoreDamagedError,
  StoreError,
  StoreFormatError,
  StoreFullError,
  StoreInUseError,
  StoreUnavailableError,
  SyntaxError,
  TypeError,
  UnknownRemoteError,
  WorkerError,
});

/**
 * The error of this name. One that has no class here, such as a program's own, is an `Error` and keeps its name.
 * @param {string} name
 * @param {string} message
 * @param {unknown} data left out when undefined
 */
export function errorNamed(name, message, data) {
  const known = classes();
  const error = Object.hasOwn(known, name) ? new known[name](message) : new Error(message);
  if (error.name !== name) {
    Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true });
  }
  if (data !== undefined) {
    Object.defineProperty(error, 'data', { value: data, configurable: true, enumerable: true, writable: true });
  }
  return error;
}
