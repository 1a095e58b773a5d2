//! What is wrong with the records, or with a reference.

use crate::{
    storage::StorageError,
    wire::{EndpointId, Eref, Kref},
};

/// An error of the storage itself, or of what was found in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A value is not what its key promises.
    #[error("corrupt store: {key} holds {value:?}")]
    Corrupt {
        /// The key.
        key: String,
        /// Its value, cut to a printable length.
        value: String,
    },
    /// A reference to an object or promise that does not exist.
    #[error("the store has no {0}")]
    UnknownKref(Kref),
    /// A reference count would fall below zero: it is wrong, or something was released twice.
    #[error("the count of {0} would fall below zero")]
    CountBelowZero(Kref),
}

impl StoreError {
    /// Whether the storage works, and holds what it should not.
    pub fn is_damage(&self) -> bool {
        !matches!(self, StoreError::Storage(_))
    }

    /// Whether nothing is wrong but that the store was closed.
    pub fn is_closed(&self) -> bool {
        *self == StoreError::Storage(StorageError::Closed)
    }
}

/// Why a reference cannot be used as asked. All but [`Store`](RefError::Store) are the fault of whoever named it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefError {
    /// The endpoint names something that it was never given, or has lost.
    #[error("{endpoint} has no {eref}")]
    UnknownReference {
        /// The endpoint.
        endpoint: EndpointId,
        /// Its name for the thing.
        eref: Eref,
    },
    /// A remote's reference in a vat's c-list, or the reverse.
    #[error("{eref} is not a reference of {endpoint}'s kind")]
    WrongKind {
        /// The endpoint.
        endpoint: EndpointId,
        /// The reference.
        eref: Eref,
    },
    /// Only the importer drops and retires imports, only the exporter retires exports, and neither applies to promises.
    #[error("{endpoint} cannot drop or retire {eref} so")]
    NotCollectable {
        /// The endpoint.
        endpoint: EndpointId,
        /// The reference.
        eref: Eref,
    },
    /// Retired without having been dropped.
    #[error("{endpoint} retires {eref}, which is still reachable")]
    StillReachable {
        /// The endpoint.
        endpoint: EndpointId,
        /// The reference.
        eref: Eref,
    },
    /// The endpoint's c-list lacks what the endpoint is to decide, or to hear of.
    #[error("{kref} is not in the c-list of {endpoint}")]
    NotInClist {
        /// The endpoint.
        endpoint: EndpointId,
        /// The promise.
        kref: Kref,
    },
    /// The entry of a promise that the endpoint has yet to decide cannot go: nobody would ever resolve it.
    #[error("{endpoint} has yet to decide {kref}")]
    StillDecides {
        /// The endpoint.
        endpoint: EndpointId,
        /// The promise.
        kref: Kref,
    },
    /// The promise is settled.
    #[error("{0} is resolved already")]
    AlreadyResolved(Kref),
    /// The value leads back to the promise that it settles, by way of settled promises: whoever is told of one would have to be
    /// told of the other, without end.
    #[error("{0} cannot be settled with what leads back to it")]
    Circular(Kref),
    /// The promise would wait for itself: the message whose result is to settle it waits, be it by way of others, for that result.
    #[error("{0} would wait for itself")]
    WaitsForItself(Kref),
    /// More promises would wait for each other in a row than are followed.
    #[error("{0} would wait for too many promises in a row")]
    WaitsForTooMany(Kref),
    /// A remote has as much waiting in promises as it may.
    #[error("{endpoint} has {messages} messages with {bytes} bytes waiting for promises; there is no room for another")]
    TooMuchWaits {
        /// The remote.
        endpoint: EndpointId,
        /// How many messages wait.
        messages: usize,
        /// Their size.
        bytes: usize,
    },
    /// A remote mentions settled promises again and again, and has too much told of them.
    #[error("{0} mentions what was settled long ago, and had too much told of that already")]
    TooMuchToTell(EndpointId),
    /// A remote makes promises and does not settle them.
    #[error("{0} has too many promises that it has yet to settle")]
    TooManyUnsettled(EndpointId),
    /// The promise is for another to decide.
    #[error("{kref} is not for {endpoint} to decide")]
    NotDecider {
        /// Who tried.
        endpoint: EndpointId,
        /// The promise.
        kref: Kref,
    },
    /// There is no such promise.
    #[error("there is no promise {0}")]
    UnknownPromise(Kref),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
