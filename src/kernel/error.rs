//! Errors of the kernel's end, and the errors that promises are rejected with.

use super::{
    identity::IdentityError,
    ocap_url::OcapUrlError,
    store::{RefError, StoreError},
};
use crate::wire::{CapData, EndpointId, Kref, PeerId, RemoteError, WireError};

/// Why the kernel could not do what it was asked, by its program or by a peer. Whatever it was, it was rolled back.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum KernelError {
    /// The store failed, or holds what it should not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A reference is unknown, or not of the right kind.
    #[error(transparent)]
    Reference(#[from] RefError),
    /// A message is not what the protocol allows.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A limit was reached, or the network refused.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// An OCAP URL is malformed, forged, or another kernel's.
    #[error(transparent)]
    Url(#[from] OcapUrlError),
    /// The kernel's identity cannot be what was asked for.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A result must be a promise.
    #[error("{0} is not a promise")]
    NotAPromise(Kref),
    /// Only objects have URLs.
    #[error("{0} is not an object")]
    NotAnObject(Kref),
    /// The program named something that it does not hold.
    #[error("{0} is not known to this program: it was never given, or was released")]
    NotHeld(Kref),
    /// The issuer of an OCAP URL refused to redeem it.
    #[error("the URL could not be redeemed: {0}")]
    Redemption(String),
    /// No answer to the redemption of an OCAP URL came in time.
    #[error("redeeming the URL at {0} timed out")]
    RedemptionTimeout(PeerId),
    /// There is no such remote.
    #[error("no remote {0}")]
    UnknownRemote(EndpointId),
    /// A peer asks more than it reads the answers of.
    #[error("too much that it asked is unanswered, or not acknowledged")]
    Overloaded,
    /// The kernel that the remotes belong to, which is not ours, failed: one of its functions threw.
    #[error("{message}")]
    Host {
        /// The error's `name`.
        name: String,
        /// The error's `message`.
        message: String,
    },
    /// A function of the kernel that the remotes belong to called them while they were calling it.
    #[error("remotes cannot be called by what they call; do it after that has returned")]
    Reentrant,
    /// The kernel that the remotes belong to rolled back the crank in which it was done.
    #[error("the crank in which it was done was rolled back")]
    RolledBack,
}

impl KernelError {
    /// What the sender of a message that could not be processed is told.
    pub(super) fn rejection_code(&self) -> RejectionCode {
        match self {
            KernelError::Overloaded => RejectionCode::Overloaded,
            _ => RejectionCode::DeliveryFailed,
        }
    }

    /// The stable name, as `Error.name` in JavaScript.
    pub fn name(&self) -> &str {
        match self {
            KernelError::Store(error)
            | KernelError::Reference(RefError::Store(error))
            | KernelError::Identity(IdentityError::Store(error)) => KernelError::store_name(error),
            KernelError::Reference(
                RefError::AlreadyResolved(_)
                | RefError::Circular(_)
                | RefError::NotDecider { .. }
                | RefError::UnknownPromise(_)
                | RefError::WaitsForItself(_),
            )
            | KernelError::NotAPromise(_) => "PromiseError",
            KernelError::Reference(
                RefError::TooMuchToTell(_) | RefError::TooMuchWaits { .. } | RefError::WaitsForTooMany(_),
            ) => "ResourceLimitError",
            KernelError::Reference(_) | KernelError::NotHeld(_) | KernelError::NotAnObject(_) => "ReferenceError",
            KernelError::Wire(_) => "ProtocolError",
            KernelError::Remote(error) => error.name(),
            KernelError::Url(_) => "OcapURLError",
            KernelError::Identity(_) => "IdentityError",
            KernelError::Redemption(_) => "RedemptionError",
            KernelError::RedemptionTimeout(_) => "RedemptionTimeoutError",
            KernelError::UnknownRemote(_) => "UnknownRemoteError",
            KernelError::Overloaded => "OverloadedError",
            KernelError::Host { name, .. } => name,
            KernelError::Reentrant => "ReentrancyError",
            KernelError::RolledBack => "RolledBackError",
        }
    }

    fn store_name(error: &StoreError) -> &'static str {
        match error {
            StoreError::Corrupt { .. } | StoreError::UnknownKref(_) | StoreError::CountBelowZero(_) => {
                "StoreCorruptError"
            }
            StoreError::Storage(error) => error.name(),
        }
    }

    /// Whether rows cannot be read, or contradict each other.
    pub(in crate::kernel) fn is_damage(&self) -> bool {
        match self {
            KernelError::Store(error) | KernelError::Reference(RefError::Store(error)) => error.is_damage(),
            _ => false,
        }
    }

    /// Whether the storage itself failed, or a kernel that is not ours, so that the same may succeed later: the fault is not
    /// the message's.
    pub fn is_storage_failure(&self) -> bool {
        let error = match self {
            KernelError::Store(error)
            | KernelError::Reference(RefError::Store(error))
            | KernelError::Identity(IdentityError::Store(error)) => error,
            KernelError::Host { .. } | KernelError::Reentrant | KernelError::RolledBack => return true,
            _ => return false,
        };
        matches!(error, StoreError::Storage(_))
    }
}

/// Why a kernel rejects a promise by itself; the codes are the incumbent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionCode {
    /// The peer that was to decide it came back without its memory.
    PeerRestarted,
    /// The peer that was to decide it cannot be reached, or was given up.
    ConnectionLost,
    /// The object it was sent to is gone.
    ObjectDeleted,
    /// The message could not be delivered.
    DeliveryFailed,
    /// A promise was resolved to something that takes no messages.
    BadPromiseResolution,
    /// The program threw an error when it was given the message.
    HandlerFailed,
    /// Too much that its sender asked is unanswered, or not acknowledged. (Ours; the incumbent has no such code.)
    Overloaded,
}

impl RejectionCode {
    /// The code as it stands in the message of the error.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectionCode::PeerRestarted => "PEER_RESTARTED",
            RejectionCode::ConnectionLost => "CONNECTION_LOST",
            RejectionCode::ObjectDeleted => "OBJECT_DELETED",
            RejectionCode::DeliveryFailed => "DELIVERY_FAILED",
            RejectionCode::BadPromiseResolution => "BAD_PROMISE_RESOLUTION",
            RejectionCode::HandlerFailed => "HANDLER_FAILED",
            RejectionCode::Overloaded => "OVERLOADED",
        }
    }

    /// The rejection as marshalled data: an `Error` with the message `[KERNEL:<code>] <detail>`, in smallcaps. Of the detail it
    /// has the first 1,000 characters: it may have come from outside, and has to fit into a message.
    pub fn rejection(self, detail: &str) -> CapData<Kref> {
        let detail: String = detail.chars().take(1_000).collect();
        let message = format!("[KERNEL:{}] {detail}", self.as_str());
        let error = serde_json::json!({ "#error": message, "name": "Error" });
        CapData { body: format!("#{error}"), slots: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_is_a_smallcaps_error() {
        let rejection = RejectionCode::PeerRestarted.rejection("it \"restarted\"");
        assert_eq!(rejection.body, r##"#{"#error":"[KERNEL:PEER_RESTARTED] it \"restarted\"","name":"Error"}"##);
    }
}
