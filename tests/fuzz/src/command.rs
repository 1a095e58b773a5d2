//! Messages: whatever is read is written again as the same, from memory and from the store's row.

use ocap_remotes::wire::{Message, RemoteCommand, StoredCommand, is_standalone_ack};

/// The input is the text of a message.
pub(crate) fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(message) = Message::parse(&text) else { return };
    let Message { ack, retirement, ref command, .. } = message;
    let resume = message.resume();
    let Some((seq, command)) = command else {
        let written = Message::standalone(ack, resume);
        assert!(is_standalone_ack(&written));
        assert_eq!(Message::parse(&written), Ok(message));
        return;
    };
    let mut stored = StoredCommand::new(command).expect("what was read can be written").with(retirement);
    if command.is_about_garbage() {
        // Such a command keeps the acknowledgement that it came with.
        stored = stored.as_of(ack);
    }
    let written = stored.to_message(*seq, ack, resume);
    assert!(!is_standalone_ack(&written));
    assert!(stored.len() < written.len());
    if matches!(command, RemoteCommand::Garbled(_)) {
        // What could not be read beside it is not written.
        assert!(Message::parse(&written).is_ok());
        return;
    }
    assert_eq!(Message::parse(&written).as_ref(), Ok(&message));

    // A row is a message, whoever wrote it, and is found under its own number only.
    assert_eq!(StoredCommand::from_row(*seq, &text).as_ref(), Ok(&stored));
    assert_eq!(StoredCommand::from_row(*seq, &stored.to_row(*seq)).as_ref(), Ok(&stored));
    if seq.next() != *seq {
        assert!(StoredCommand::from_row(seq.next(), &text).is_err());
    }
}
