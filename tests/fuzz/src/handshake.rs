//! The handshake: what is read is written again as the same, and nothing is both question and answer.

use ocap_remotes::wire::{Handshake, WireError};

/// The input is the text of a first message.
pub(crate) fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (hello, ack) = (Handshake::parse_hello(&text), Handshake::parse_ack(&text));
    assert!(hello.is_err() || ack.is_err(), "both hello and acknowledgement");
    if let Ok(id) = hello {
        let written = Handshake::Hello(id.clone()).encode();
        assert_eq!(Handshake::parse_hello(&written), Ok(id));
        assert!(matches!(Handshake::parse_ack(&written), Err(WireError::UnexpectedHandshake { .. })));
    }
    if let Ok(id) = ack {
        let written = Handshake::Ack(id.clone()).encode();
        assert_eq!(Handshake::parse_ack(&written), Ok(id));
        assert!(matches!(Handshake::parse_hello(&written), Err(WireError::UnexpectedHandshake { .. })));
    }
}
