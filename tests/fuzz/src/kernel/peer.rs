//! A peer of the kernel: writes messages that are nearly right, and judges what it is sent.

use std::collections::BTreeMap;

use ocap_remotes::wire::{Message, PeerId, RemoteCommand};
use serde_json::{Value, json};

use crate::choices::Choices;

/// Begins the body of a message whose peer, life and number the rest names.
pub(super) const TAG: &str = "#sent ";

pub(super) struct Peer {
    pub(super) id: PeerId,
    /// How often it has lost its memory, as far as the kernel has noticed.
    life: u32,
    /// The highest number that it used as one should.
    last_sent: u64,
    /// Nothing above was sent to the kernel, in whatever way.
    highest_sent: u64,
    /// What the kernel wrote to it in this life, by number.
    received: BTreeMap<u64, RemoteCommand>,
    /// The kernel has written or abandoned everything up to here, or was told that it need not.
    highest_received: u64,
    /// Keys of redemptions that it may answer.
    reply_keys: Vec<String>,
}

impl Peer {
    pub(super) fn new(id: PeerId) -> Self {
        Peer {
            id,
            life: 0,
            last_sent: 0,
            highest_sent: 0,
            received: BTreeMap::new(),
            highest_received: 0,
            reply_keys: Vec::new(),
        }
    }

    pub(super) fn begin_life(&mut self) {
        *self = Peer { life: self.life + 1, ..Peer::new(self.id.clone()) };
    }

    /// A message, whose text may be spoilt.
    pub(super) fn message(&mut self, choices: &mut Choices<'_>, urls: &[String]) -> String {
        let seq = match choices.below(8) {
            0..=4 => self.last_sent + 1,
            5 => self.last_sent,
            6 => self.last_sent + 1 + choices.below(4) as u64,
            _ => choices.number(),
        };
        let spoilt = choices.once_in(8);
        let body = if spoilt { "#spoilt".to_owned() } else { format!("{TAG}{} {} {seq}", self.id, self.life) };
        let mut message = serde_json::Map::new();
        if !choices.once_in(8) {
            message.insert("seq".into(), seq.into());
            let (method, params) = self.command(choices, &body, urls);
            message.insert("method".into(), method.into());
            message.insert("params".into(), params);
        }
        match choices.below(6) {
            0..=2 => {}
            3 => drop(message.insert("ack".into(), self.highest_received.into())),
            4 => drop(message.insert("ack".into(), choices.byte().into())),
            _ => drop(message.insert("start".into(), (self.last_sent + choices.below(4) as u64).into())),
        }
        let mut text = Value::Object(message).to_string();
        if spoilt {
            let mut bytes = text.into_bytes();
            let place = usize::from(choices.byte()) % bytes.len();
            bytes[place] = choices.byte();
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        self.note_sent(&text);
        text
    }

    /// What the kernel may take the text for is the kernel's reading of it.
    fn note_sent(&mut self, text: &str) {
        let Ok(message) = Message::parse(text) else { return };
        // Who claims to have what was not written will not get it.
        self.highest_received = self.highest_received.max(message.ack.map_or(0, |seq| seq.get()));
        let seq = message.command.map_or(0, |(seq, _)| seq.get());
        let abandoned = message.start.map_or(0, |start| start.get() - 1);
        self.highest_sent = self.highest_sent.max(seq).max(abandoned);
        if seq <= self.last_sent + 8 {
            self.last_sent = self.last_sent.max(seq);
        }
        if abandoned <= self.last_sent + 8 {
            self.last_sent = self.last_sent.max(abandoned);
        }
    }

    fn command(&self, choices: &mut Choices<'_>, body: &str, urls: &[String]) -> (&'static str, Value) {
        let params = match choices.below(16) {
            0..=5 => {
                let result = if choices.once_in(4) { Value::Null } else { eref(choices) };
                json!(["message", eref(choices), { "methargs": data(choices, body), "result": result }])
            }
            6..=9 => {
                let resolution = |choices: &mut Choices<'_>| json!([eref(choices), choices.once_in(4), value(choices)]);
                json!(["notify", (0..choices.below(3)).map(|_| resolution(choices)).collect::<Vec<_>>()])
            }
            10..=12 => {
                let kind = *choices.pick(&["dropExports", "retireExports", "retireImports"]);
                json!([kind, (0..choices.below(3)).map(|_| eref(choices)).collect::<Vec<_>>()])
            }
            13 => json!(["bringOutYourDead"]),
            14 => {
                let url = match urls {
                    [] => choices.text(),
                    urls => choices.pick(&urls[..urls.len().min(200)]).clone(),
                };
                return ("redeemURL", json!([url, "key"]));
            }
            _ => {
                let key = self.reply_keys.get(choices.below(4)).map_or("none", String::as_str);
                let given = !choices.once_in(4);
                return ("redeemURLReply", json!([given, key, eref(choices)]));
            }
        };
        ("deliver", params)
    }

    /// Judges a message of the kernel's.
    pub(super) fn read(&mut self, text: &str) {
        let message = Message::parse(text).expect("the kernel writes messages only");
        let ack = message.ack.map_or(0, |seq| seq.get());
        assert!(ack <= self.highest_sent, "it acknowledges {ack} of {}", self.highest_sent);
        if let Some(start) = message.start {
            self.highest_received = self.highest_received.max(start.get() - 1);
        }
        let Some((seq, command)) = message.command else { return };
        let seq = seq.get();
        assert!(seq <= self.highest_received + 1, "it leaves out what is between {} and {seq}", self.highest_received);
        self.highest_received = self.highest_received.max(seq);
        if let RemoteCommand::RedeemUrl { reply_key, .. } = &command {
            self.reply_keys.insert(0, reply_key.clone());
        }
        let former = self.received.entry(seq).or_insert_with(|| command.clone());
        assert_eq!(*former, command, "number {seq} means two messages");
    }
}

/// One of few references, so that they meet.
fn eref(choices: &mut Choices<'_>) -> Value {
    let kind = *choices.pick(&["o", "p"]);
    let sign = *choices.pick(&["+", "-"]);
    format!("r{kind}{sign}{}", choices.below(6) + 1).into()
}

/// What a promise is settled with.
fn value(choices: &mut Choices<'_>) -> Value {
    data(choices, "#2")
}

fn data(choices: &mut Choices<'_>, body: &str) -> Value {
    let slots: Vec<_> = (0..choices.below(3)).map(|_| eref(choices)).collect();
    json!({ "body": body, "slots": slots })
}
