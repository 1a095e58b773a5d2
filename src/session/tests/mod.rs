//! Stories of two sessions, alice's and bob's, joined by a channel that the story cuts as it likes.

mod channels;
mod delivery;
mod durability;
mod epochs;
mod give_up;
mod retransmission;

use std::time::Duration;

use super::*;
use crate::wire::{Delivery, RemoteCommand};

const ACK_TIMEOUT: Duration = Duration::from_secs(10);
const DELAYED_ACK: Duration = Duration::from_millis(50);

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

fn command(label: u64) -> RemoteCommand {
    RemoteCommand::RedeemUrl { url: format!("ocap:{label}"), reply_key: String::new() }
}

fn label(command: &RemoteCommand) -> u64 {
    match command {
        RemoteCommand::RedeemUrl { url, .. } => url.trim_start_matches("ocap:").parse().unwrap(),
        other => panic!("not one of ours: {other:?}"),
    }
}

fn config() -> SessionConfig {
    SessionConfig::from(&RemoteCommsOptions::default())
}

/// One end: its session, what it has delivered, and what its store would hold.
struct End {
    session: Session,
    delivered: Vec<u64>,
    lost: Vec<Lost>,
    now: Timestamp,
}

impl End {
    fn new() -> Self {
        End::restored(SavedSession::default())
    }

    fn restored(saved: SavedSession) -> Self {
        let now = Timestamp::from_millis(1_000);
        End { session: Session::restore(config(), saved, now), delivered: Vec::new(), lost: Vec::new(), now }
    }

    fn send(&mut self, label: u64) -> Seq {
        self.session.check_room().unwrap();
        let seq = self.session.stage(StoredCommand::new(&command(label)).unwrap());
        self.session.keep_staged();
        self.session.commit(self.now);
        seq
    }

    fn wait(&mut self, time: Duration) -> TimerOutcome {
        self.now = self.now.after(time);
        self.session.handle_timeout(self.now)
    }

    /// Everything that can be written now, written.
    fn write_all(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(write) = self.session.poll_write(self.now) {
            self.session.write_finished(self.now, write.token, WriteOutcome::Written);
            texts.push(write.text);
        }
        texts
    }

    fn finish(&mut self, write: &Write, outcome: WriteOutcome) {
        self.session.write_finished(self.now, write.token, outcome);
    }

    /// What the owner does with a message from the wire, without a store.
    fn take(&mut self, text: &str) -> Option<Receipt> {
        let message = Message::parse(text).unwrap();
        if let Some(acknowledged) = self.session.acknowledged_by(message.ack) {
            self.session.acknowledge(self.now, &acknowledged);
        }
        self.session.sender_starts_at(message.start);
        let receipt = message.command.map(|(seq, command)| {
            let arrived = Arrived { ack: message.ack, ..Arrived::new(command, text.len()) };
            self.session.receive(self.now, seq, arrived)
        });
        loop {
            if let Some(lost) = self.session.lost() {
                self.lost.push(lost);
                self.session.delivered(lost.last);
            } else if let Some((seq, Arrived { command, .. })) = self.session.next_in_order() {
                self.delivered.push(label(command));
                self.session.delivered(seq);
            } else {
                self.session.commit(self.now);
                return receipt;
            }
        }
    }

    fn take_all(&mut self, texts: &[String]) {
        for text in texts {
            self.take(text);
        }
    }
}

/// As an incumbent writes it: no `start`.
fn plain(number: u64, label: u64) -> String {
    StoredCommand::new(&command(label)).unwrap().to_message(seq(number), None, None)
}
