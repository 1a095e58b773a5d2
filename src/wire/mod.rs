//! What travels between two kernels, and between a kernel and its network: frames, the handshake, remote commands,
//! references, options, and errors that keep their name across a bridge.
//!
//! Everything here parses untrusted bytes into typed values or typed errors. Nothing here keeps state, reads a clock or
//! decides what to do about an error; that is left to [`session`](crate::session) and the two ends.

#![forbid(unsafe_code)]

mod command;
mod error;
mod frame;
mod garbled;
mod handshake;
mod incarnation;
mod message;
mod options;
mod peer;
mod reference;
mod surrogates;

pub use command::{CapData, Delivery, RemoteCommand, Resolution};
pub use error::{LimitType, RemoteError, WireError};
pub use frame::{DEFAULT_MAX_MESSAGE_BYTES, FrameDecoder, encode_frame};
pub use garbled::{Concerns, Garbled};
pub use handshake::Handshake;
pub use incarnation::IncarnationId;
pub use message::{Epoch, MAX_SEQ, Message, Resume, Retirement, Seq, StoredCommand, is_standalone_ack};
pub use options::{OptionError, RemoteCommsOptions};
pub use peer::PeerId;
pub use reference::{Direction, EndpointId, Eref, Kref, RefKind};
