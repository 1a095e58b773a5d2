//! Why a peer could not be reached, in codes on which reconnection policy can act.
//!
//! What a browser does not tell: a WebSocket that fails to open gives no reason, so a refused port, an unknown host
//! name, an unreachable network, a bad certificate, a server that is no WebSocket and one that is just being started again are
//! all [`ErrorCode::Other`] (or [`ErrorCode::NetUnreach`] when the browser says that it is offline). WebRTC gives none either:
//! a dead address ends as [`ErrorCode::TimedOut`].

use std::{error::Error, io};

use libp2p::{
    TransportError,
    core::transport::timeout::TransportTimeoutError,
    noise,
    relay::outbound::hop::{ConnectError, ProtocolViolation, ReserveError},
    swarm,
};

use crate::network::link::{DialError, ErrorCode};

impl ErrorCode {
    /// Whether the same dial may succeed later without anybody changing an address or a program.
    fn is_retryable(self) -> bool {
        self.hope() > 1 || self == ErrorCode::ProtocolUnsupported
    }

    /// How much this says that trying again is worth while; of several addresses the most hopeful speaks for the peer.
    fn hope(self) -> u8 {
        match self {
            ErrorCode::Stopped | ErrorCode::NoAddress | ErrorCode::Unsupported => 0,
            ErrorCode::ProtocolUnsupported
            | ErrorCode::WrongPeer
            | ErrorCode::PermissionDenied
            | ErrorCode::NotARelay => 1,
            ErrorCode::ConnRefused | ErrorCode::HostUnreach | ErrorCode::NotFound | ErrorCode::NetUnreach => 2,
            ErrorCode::TimedOut | ErrorCode::Other => 3,
            ErrorCode::RelayUnreachable | ErrorCode::Reset | ErrorCode::RelayLimit | ErrorCode::ReservationRefused => 4,
            ErrorCode::NoReservation | ErrorCode::ConnectionFailed => 5,
        }
    }
}

impl DialError {
    pub(super) fn new(code: ErrorCode, reason: impl Into<String>) -> Self {
        DialError { code, retryable: code.is_retryable(), reason: reason.into() }
    }

    /// Of several addresses that failed, the failure that gives most hope: a relay that merely lacks a reservation now
    /// outweighs a refused port, so that a peer counts as permanently failed only if all ways are.
    pub(super) fn more_hopeful(first: Option<DialError>, second: DialError) -> DialError {
        match first {
            Some(first) if first.code.hope() >= second.code.hope() => first,
            _ => second,
        }
    }

    /// Of a dial to one address, which is a circuit or not.
    pub(super) fn from_swarm(error: &swarm::DialError, circuit: bool) -> Self {
        let reason = chain(error);
        let code = match error {
            swarm::DialError::WrongPeerId { .. } | swarm::DialError::LocalPeerId { .. } => ErrorCode::WrongPeer,
            swarm::DialError::NoAddresses => ErrorCode::NoAddress,
            swarm::DialError::Transport(failures) => {
                let code = failures.first().map_or(ErrorCode::NoAddress, |(_, error)| transport_code(error));
                match code {
                    ErrorCode::NoReservation
                    | ErrorCode::ConnectionFailed
                    | ErrorCode::RelayLimit
                    | ErrorCode::PermissionDenied
                    | ErrorCode::NotARelay
                    | ErrorCode::Unsupported => code,
                    _ if circuit => ErrorCode::RelayUnreachable,
                    _ => code,
                }
            }
            swarm::DialError::DialPeerConditionFalse(_)
            | swarm::DialError::Aborted
            | swarm::DialError::Denied { .. } => ErrorCode::Other,
        };
        DialError::new(code, reason)
    }
}

fn transport_code(error: &TransportError<io::Error>) -> ErrorCode {
    match error {
        TransportError::MultiaddrNotSupported(_) => ErrorCode::Unsupported,
        TransportError::Other(error) => error_code(error),
    }
}

/// What a relay that was asked for a circuit answered.
fn refused_circuit(error: &ConnectError) -> Option<ErrorCode> {
    match error {
        ConnectError::NoReservation => Some(ErrorCode::NoReservation),
        ConnectError::ConnectionFailed => Some(ErrorCode::ConnectionFailed),
        ConnectError::ResourceLimitExceeded => Some(ErrorCode::RelayLimit),
        ConnectError::PermissionDenied => Some(ErrorCode::PermissionDenied),
        ConnectError::Unsupported => Some(ErrorCode::NotARelay),
        ConnectError::Io(_) | ConnectError::Protocol(_) => None,
    }
}

/// What a relay that was asked for a reservation answered.
fn refused_reservation(error: &ReserveError) -> Option<ErrorCode> {
    match error {
        ReserveError::Refused => Some(ErrorCode::ReservationRefused),
        ReserveError::ResourceLimitExceeded => Some(ErrorCode::RelayLimit),
        ReserveError::Unsupported => Some(ErrorCode::NotARelay),
        // libp2p's client knows only the answers above; this one too is defined.
        ReserveError::Protocol(ProtocolViolation::UnexpectedStatus(status)) if status == "PERMISSION_DENIED" => {
            Some(ErrorCode::PermissionDenied)
        }
        ReserveError::Io(_) | ReserveError::Protocol(_) => None,
    }
}

/// Looks through the layers of an error for one that says what happened.
pub(super) fn error_code(error: &(dyn Error + 'static)) -> ErrorCode {
    let mut next = Some(error);
    while let Some(error) = next {
        let answer = error.downcast_ref().and_then(refused_circuit);
        if let Some(code) = answer.or_else(|| error.downcast_ref().and_then(refused_reservation)) {
            return code;
        }
        if let Some(TransportTimeoutError::<io::Error>::Timeout) = error.downcast_ref() {
            return ErrorCode::TimedOut;
        }
        // Noise shows an I/O error as itself, not as its source.
        let io_error = match error.downcast_ref() {
            Some(noise::Error::Io(error)) => Some(error),
            _ => error.downcast_ref::<io::Error>(),
        };
        next = match io_error {
            Some(error) => {
                if let Some(code) = io_code(error.kind()) {
                    return code;
                }
                // An io::Error hides what it wraps from `source`.
                error.get_ref().map(|inner| inner as &(dyn Error + 'static))
            }
            None => error.source(),
        };
    }
    ErrorCode::Other
}

fn io_code(kind: io::ErrorKind) -> Option<ErrorCode> {
    match kind {
        io::ErrorKind::ConnectionRefused if cfg!(target_arch = "wasm32") => Some(ErrorCode::Other),
        io::ErrorKind::ConnectionRefused => Some(ErrorCode::ConnRefused),
        io::ErrorKind::HostUnreachable => Some(ErrorCode::HostUnreach),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => Some(ErrorCode::NetUnreach),
        io::ErrorKind::TimedOut => Some(ErrorCode::TimedOut),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(ErrorCode::Reset),
        _ => None,
    }
}

/// The error and its causes in one line, each said once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = error.source();
    }
    text
}
