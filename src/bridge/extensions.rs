//! What an end can do beyond protocol §9. Each end tells the other by a notification, the first message after the opening; a
//! JavaScript kernel's ends ignore notifications, and are spared whatever they did not ask for.

#![forbid(unsafe_code)]

use serde_json::{Value, json};

use super::connection::{MAX_PENDING_CALLS, MAX_RUNNING_REQUESTS};

/// What one end told the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extensions {
    /// It takes several messages in one post, as an array.
    pub(super) batches: bool,
    /// It takes messages as packets, which can be transferred instead of copied.
    pub(super) packets: bool,
    /// It answers pings.
    pub(super) pings: bool,
    /// It wants to hear of long messages that move.
    pub(super) moving: bool,
    /// It wants to hear when there is no channel to a peer, and leaves it to the network then to give that up.
    pub(super) outages: bool,
    /// Requests that it runs at once. Further calls wait, in their order, at the end that makes them.
    pub(super) calls: usize,
}

impl Extensions {
    /// What is taken for granted.
    pub(super) const NONE: Extensions = Extensions {
        batches: false,
        packets: false,
        pings: false,
        moving: false,
        outages: false,
        calls: MAX_PENDING_CALLS,
    };

    /// What an end of ours can do, over a port that transfers bytes or one that makes JSON of everything anyway.
    pub(super) fn ours(transfers: bool) -> Self {
        Extensions {
            batches: true,
            packets: transfers,
            pings: true,
            moving: true,
            outages: true,
            calls: MAX_RUNNING_REQUESTS,
        }
    }

    pub(super) fn to_params(self) -> Value {
        let Extensions { batches, packets, pings, moving, outages, calls } = self;
        json!({ "batches": batches, "packets": packets, "pings": pings, "moving": moving, "outages": outages, "calls": calls })
    }

    /// Members that are missing, unknown or not of their type count as never said.
    pub(super) fn read(params: &Value) -> Self {
        let is = |key: &str| params.get(key).and_then(Value::as_bool).unwrap_or(false);
        let calls = params.get("calls").and_then(Value::as_u64).and_then(|calls| usize::try_from(calls).ok());
        Extensions {
            batches: is("batches"),
            packets: is("packets"),
            pings: is("pings"),
            moving: is("moving"),
            outages: is("outages"),
            // Without room for one call nothing would ever be asked.
            calls: calls.map_or(MAX_PENDING_CALLS, |calls| calls.clamp(1, MAX_PENDING_CALLS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_and_nonsense_is_nothing() {
        for transfers in [false, true] {
            let ours = Extensions::ours(transfers);
            assert_eq!(Extensions::read(&ours.to_params()), ours);
        }
        for nothing in
            [json!(null), json!([]), json!(7), json!({}), json!({ "batches": 1, "packets": "yes", "calls": -1 })]
        {
            assert_eq!(Extensions::read(&nothing), Extensions::NONE, "{nothing}");
        }
        assert_eq!(Extensions::read(&json!({ "calls": 0 })).calls, 1);
        assert_eq!(Extensions::read(&json!({ "calls": u64::MAX })).calls, MAX_PENDING_CALLS);
    }
}
