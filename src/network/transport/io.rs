//! What goes into the transport, and what comes out.

use crate::{
    network::{circuit::CircuitUse, link::DialError},
    runtime::Timestamp,
    wire::{IncarnationId, PeerId, RemoteError, WireError},
};

/// Names one message that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SendId(pub u64);

/// Names one stream; the driver chooses it and never uses it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub u64);

/// Names one attempt to open a stream; the transport chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub(super) u64);

/// How the kernel took a message.
#[derive(Clone, Debug, PartialEq)]
pub enum DeliveryOutcome {
    /// It has it; a non-empty answer goes back to the peer.
    Accepted(Option<String>),
    /// It will not have this one; the next may fare better.
    Refused(RemoteError),
    /// It cannot be reached at all, so this message and the next would be lost.
    Unreachable(RemoteError),
}

/// What happened outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The kernel sends a message.
    Send {
        /// Comes back in [`Effect::SendDone`].
        id: SendId,
        /// To whom.
        to: PeerId,
        /// The text, not looked into.
        message: String,
    },
    /// The kernel wants no connection with a peer until [`Input::Reconnect`].
    CloseConnection {
        /// The peer.
        peer: PeerId,
    },
    /// The kernel knows where a peer may be found.
    RegisterHints {
        /// The peer.
        peer: PeerId,
        /// Multiaddrs of the peer, or of relays.
        hints: Vec<String>,
    },
    /// The kernel wants a connection now, whatever was before.
    Reconnect {
        /// The peer.
        peer: PeerId,
        /// As in [`Input::RegisterHints`].
        hints: Vec<String>,
    },
    /// All backoffs and permanent failures are to be forgotten.
    ResetBackoffs,
    /// The way to the network may have changed: the same, and connections may be dead without knowing.
    NetworkChanged,
    /// Everything ends; the transport takes nothing in afterwards.
    Stop,
    /// A stream is open.
    DialSucceeded {
        /// The attempt.
        dial: DialId,
        /// The stream.
        channel: ChannelId,
    },
    /// No stream could be opened.
    DialFailed {
        /// The attempt.
        dial: DialId,
        /// Why.
        error: DialError,
    },
    /// A peer opened a stream.
    Inbound {
        /// The stream.
        channel: ChannelId,
        /// Who, authenticated by the network.
        peer: PeerId,
    },
    /// The frame that [`Effect::Read`] asked for.
    Frame {
        /// The stream.
        channel: ChannelId,
        /// The text.
        text: String,
    },
    /// What came is no frame; the stream has no boundary any more.
    FrameError {
        /// The stream.
        channel: ChannelId,
        /// What is wrong.
        error: WireError,
    },
    /// The answer to [`Effect::Weigh`].
    Weighed {
        /// The stream.
        channel: ChannelId,
        /// The circuit below it; `None` for a connection that does not end by itself.
        circuit: Option<CircuitUse>,
        /// Whether its peer is an incumbent.
        with_incumbent: bool,
    },
    /// The answer to [`Effect::CheckLine`].
    LineChecked {
        /// The stream.
        channel: ChannelId,
        /// Whether what was given to the connection before may still be on its way.
        carrying: bool,
    },
    /// A part of the oldest unfinished [`Effect::Write`] of this stream was taken.
    PartWritten {
        /// The stream.
        channel: ChannelId,
    },
    /// A part of the frame that [`Effect::Read`] asked for came; there is more to come.
    PartRead {
        /// The stream.
        channel: ChannelId,
    },
    /// The oldest unfinished [`Effect::Write`] of this stream is done.
    Written {
        /// The stream.
        channel: ChannelId,
    },
    /// The stream ended, or reading or writing failed.
    ChannelClosed {
        /// The stream.
        channel: ChannelId,
        /// What happened.
        reason: String,
    },
    /// The kernel's answer to [`Effect::AskVerdict`].
    Verdict {
        /// The stream.
        channel: ChannelId,
        /// The peer.
        peer: PeerId,
        /// Whether the peer restarted; an error is taken for a restart.
        restarted: Result<bool, RemoteError>,
    },
    /// The kernel's answer to the oldest unanswered [`Effect::Deliver`] of this peer.
    Delivered {
        /// The peer.
        peer: PeerId,
        /// The answer.
        outcome: DeliveryOutcome,
    },
    /// The time of [`poll_timeout`](super::Transport::poll_timeout) has come.
    Timeout,
}

/// What is to be done outside, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Open a stream to a peer.
    Dial {
        /// The attempt.
        dial: DialId,
        /// The peer.
        peer: PeerId,
        /// Where to look, best first.
        addresses: Vec<String>,
        /// Whether a connection that exists is of no use.
        anew: bool,
    },
    /// Nobody waits for this attempt any more.
    CancelDial {
        /// The attempt.
        dial: DialId,
    },
    /// Hand over one more frame of this stream. Frames are never handed over unasked, so a slow kernel slows its peers.
    Read {
        /// The stream.
        channel: ChannelId,
    },
    /// Write a frame after those before it.
    Write {
        /// The stream.
        channel: ChannelId,
        /// The text.
        text: String,
    },
    /// Tell how much of the circuit below the stream is used.
    Weigh {
        /// The stream.
        channel: ChannelId,
    },
    /// Tell whether the connection below the stream may still be carrying what it was given until then: whether its peer has
    /// not yet answered anything that was sent behind that.
    CheckLine {
        /// The stream.
        channel: ChannelId,
        /// Until when.
        since: Timestamp,
    },
    /// Finish the writes under way, then close our direction of the stream. Its peer's is read on.
    Finish {
        /// The stream.
        channel: ChannelId,
    },
    /// Finish the writes under way, then close the stream. Nothing more is said about it.
    Close {
        /// The stream.
        channel: ChannelId,
    },
    /// Drop the stream at once. Nothing more is said about it.
    Reset {
        /// The stream.
        channel: ChannelId,
    },
    /// Ask the kernel whether a peer restarted.
    AskVerdict {
        /// The stream on which it showed itself.
        channel: ChannelId,
        /// The peer.
        peer: PeerId,
        /// What it calls itself now.
        incarnation: IncarnationId,
    },
    /// Hand a message to the kernel.
    Deliver {
        /// Its sender.
        peer: PeerId,
        /// The text.
        text: String,
    },
    /// A send is finished: written, or not and why.
    SendDone {
        /// Which.
        id: SendId,
        /// The outcome.
        result: Result<(), RemoteError>,
    },
    /// Find out at once which connections are dead, and try relays that wait.
    Probe,
    /// A long frame is under way, and moves: a message of the peer's, or one to it. Told now and then.
    Moving {
        /// The peer.
        peer: PeerId,
    },
    /// There is no channel to the peer, and the transport judges how long that may last.
    NoChannel {
        /// The peer.
        peer: PeerId,
    },
    /// The peer is not tried any more.
    GiveUp {
        /// The peer.
        peer: PeerId,
    },
    /// A peer broke the protocol or a limit; to be logged.
    Fault {
        /// The peer.
        peer: PeerId,
        /// What it did.
        error: RemoteError,
    },
}
