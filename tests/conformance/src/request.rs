//! What the test asks for; the names are those of the JavaScript surface.

use serde::Deserialize;

/// One line of stdin.
#[derive(Deserialize)]
pub(crate) struct Request {
    /// Comes back with the answer.
    pub(crate) id: u64,
    #[serde(flatten)]
    pub(crate) call: Call,
}

/// A call. References are kernel references, such as `ko1`.
#[derive(Deserialize)]
#[serde(tag = "call", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Call {
    /// Answers a new object of the program's.
    ExportObject,
    /// Answers the promise of the result.
    Send { target: String, body: String, slots: Vec<String> },
    /// Settles a promise that the program is to decide.
    Resolve { promise: String, rejected: bool, body: String, slots: Vec<String> },
    /// Lets go of references.
    Release { references: Vec<String> },
    /// Answers a URL.
    IssueOcapUrl { object: String },
    /// Answers the object behind a URL.
    RedeemOcapUrl { url: String },
    /// Tells where a peer may be found.
    RegisterLocationHints { peer_id: String, hints: Vec<String> },
    /// Closes the connection to a peer until it is reconnected.
    CloseConnection { peer_id: String },
    /// Undoes that, and connects.
    ReconnectPeer { peer_id: String, hints: Vec<String> },
    /// Asks a peer to collect its garbage.
    Reap { peer_id: String },
    /// Answers what is known of every remote.
    Remotes,
    /// Answers null when the counts of the store agree with its contents.
    Audit,
}
