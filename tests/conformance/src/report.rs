//! What is told on stdout.

use std::io::Write as _;

use ocap_remotes::kernel::{KernelError, KernelEvent, RemoteEvent};
use serde_json::{Value, json};

/// Prints a line. Nobody being there to read it is no reason to stop: stdin ends then, too.
pub(crate) fn line(value: &Value) {
    let _ = writeln!(std::io::stdout().lock(), "{value}");
}

/// The answer to a request.
pub(crate) fn answer(id: u64, result: Result<Value, KernelError>) -> Value {
    match result {
        Ok(value) => json!({ "id": id, "ok": value }),
        Err(error) => json!({ "id": id, "error": { "name": error.name(), "message": error.to_string() } }),
    }
}

/// An event, with the names of the JavaScript surface.
pub(crate) fn event(event: &KernelEvent) -> Value {
    let event = match event {
        KernelEvent::Message { target, methargs, result } => {
            json!({ "type": "message", "target": target, "body": methargs.body, "slots": methargs.slots, "result": result })
        }
        KernelEvent::Notify { promise, rejected, value } => {
            json!({ "type": "notify", "promise": promise, "rejected": rejected, "body": value.body, "slots": value.slots })
        }
        KernelEvent::Retired(objects) => json!({ "type": "retired", "objects": objects }),
        KernelEvent::Redeemed { .. } => json!({ "type": "redeemed" }),
        KernelEvent::StoreFailed(error) => json!({ "type": "storeFailed", "reason": error.to_string() }),
        KernelEvent::Remote(event) => remote_event(event),
    };
    json!({ "event": event })
}

fn remote_event(event: &RemoteEvent) -> Value {
    match event {
        RemoteEvent::PeerRestarted { peer, former, current, discarded, promises_rejected } => json!({
            "type": "peerRestarted", "peerId": peer.to_string(), "formerIncarnation": former.as_str(),
            "incarnation": current.as_str(), "discarded": discarded, "promisesRejected": promises_rejected,
        }),
        RemoteEvent::IdentityShared { peer, current, other } => json!({
            "type": "identityShared", "peerId": peer.to_string(), "incarnation": current.as_str(),
            "otherIncarnation": other.as_str(),
        }),
        RemoteEvent::GivenUp { peer, reason, discarded, promises_rejected } => json!({
            "type": "givenUp", "peerId": peer.to_string(), "reason": reason, "discarded": discarded,
            "promisesRejected": promises_rejected,
        }),
        RemoteEvent::MessagesLost { peer, first, last } => json!({
            "type": "messagesLost", "peerId": peer.to_string(), "first": first.get(), "last": last.get(),
        }),
        RemoteEvent::MessageRejected { peer, seq, reason } => json!({
            "type": "messageRejected", "peerId": peer.to_string(), "seq": seq.get(), "reason": reason,
        }),
    }
}
