//! The envelope around a command: sequence number, acknowledgement, resume point (protocol §4, §5).

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Garbled, RemoteCommand, WireError};
use crate::runtime::Timestamp;

/// Largest sequence number: 2^53 − 1, the largest whole number that JavaScript holds exactly.
pub const MAX_SEQ: u64 = (1 << 53) - 1;

/// A sequence number: 1 for the first message of an incarnation to a peer, and one more for each that follows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// The first sequence number.
    pub const FIRST: Seq = Seq(1);

    /// `None` unless 1 ≤ `value` ≤ [`MAX_SEQ`].
    pub fn new(value: u64) -> Option<Self> {
        (1..=MAX_SEQ).contains(&value).then_some(Seq(value))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number after this one; at [`MAX_SEQ`], which no kernel lives to reach, it stays.
    #[must_use]
    pub fn next(self) -> Self {
        Seq(self.0.saturating_add(1).min(MAX_SEQ))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which conversation a message belongs to (protocol §11): our extension, which others ignore. An end that forgets the other
/// begins another conversation, under a higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// From 1 to [`MAX_SEQ`].
    pub number: u64,
    /// The sender has heard this number from the receiver.
    pub shared: bool,
}

impl Epoch {
    /// The epoch of a conversation that begins `now`; `salt` tells it from others of the same moment.
    pub fn beginning(now: Timestamp, salt: u64) -> Self {
        // Seconds above, then milliseconds and the salt: numbers rise, however the records of a peer come and go.
        let (seconds, millis) = (now.as_millis() / 1_000, now.as_millis() % 1_000);
        let number = (seconds << 20) | (millis << 10) | (salt & 0x3ff);
        Epoch { number: number.clamp(1, MAX_SEQ), shared: false }
    }

    /// The epoch of a conversation that begins after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Epoch { number: self.number.saturating_add(1).min(MAX_SEQ), shared: false }
    }
}

/// What the first message on a channel tells: where its sender resumes, and in which conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resume {
    /// The lowest number that the sender may still send.
    pub start: Seq,
    /// The conversation, from a sender that keeps epochs.
    pub epoch: Option<Epoch>,
}

impl From<Seq> for Resume {
    fn from(start: Seq) -> Self {
        Resume { start, epoch: None }
    }
}

/// What a message says of the names of settled promises (protocol §11): our extension, which others ignore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Retirement {
    /// The sender retires the names of the promises that this notification settles: it will not use them again.
    pub retires: bool,
    /// The sender has forgotten every name that was retired by the receiver's messages up to this one, and nothing that it
    /// sends from here on mentions one.
    pub retired: Option<Seq>,
}

/// A command without its envelope, as JSON text `"method":…,"params":…` — what the sender keeps until it is acknowledged.
///
/// The acknowledgement is added when it is written, so that a retransmission carries the newest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredCommand {
    text: String,
    /// For a command that says what its sender holds no longer: the acknowledgement that stays with it, see [`as_of`](Self::as_of).
    as_of: Option<u64>,
    retirement: Retirement,
    is_call: bool,
}

impl StoredCommand {
    /// Marshals a command.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if it cannot be written as JSON.
    pub fn new(command: &RemoteCommand) -> Result<Self, WireError> {
        let params = command.params().map_err(|error| WireError::malformed(&error))?;
        let method = serde_json::to_string(command.method()).map_err(|error| WireError::malformed(&error))?;
        let text = format!(r#""method":{method},"params":{params}"#);
        Ok(StoredCommand { text, as_of: None, retirement: Retirement::default(), is_call: command.is_call() })
    }

    /// Says that the command was true when everything up to `received` had been processed. It carries that acknowledgement
    /// for ever, however much is received before it is written: a drop must not seem to know of what gave the thing again.
    #[must_use]
    pub fn as_of(self, received: Option<Seq>) -> Self {
        StoredCommand { as_of: Some(received.map_or(0, Seq::get)), ..self }
    }

    /// Says something of the names of settled promises, which stays with the command however late it is written.
    #[must_use]
    pub fn with(self, retirement: Retirement) -> Self {
        StoredCommand { retirement, ..self }
    }

    /// Whether it is a message whose receiver is to tell its outcome.
    pub fn is_call(&self) -> bool {
        self.is_call
    }

    /// The acknowledgement that it carries if it is written when `received` is the highest number received in order.
    pub fn carried_ack(&self, received: Option<Seq>) -> Option<Seq> {
        self.as_of.map_or(received, Seq::new)
    }

    /// Length of the text, in bytes.
    #[allow(clippy::len_without_is_empty)] // It is never empty.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// The row for the store: a whole message, which an incumbent can read and send as it stands.
    pub fn to_row(&self, seq: Seq) -> String {
        self.to_message(seq, None, None)
    }

    /// Reads a row, whoever wrote it.
    ///
    /// # Errors
    /// The row is not a sequenced message with this number.
    pub fn from_row(seq: Seq, row: &str) -> Result<Self, WireError> {
        let message = Message::parse(row)?;
        match message.command {
            Some((found, command)) if found == seq => {
                let stored = StoredCommand::new(&command)?.with(message.retirement);
                Ok(if command.is_about_garbage() { stored.as_of(message.ack) } else { stored })
            }
            _ => Err(WireError::Malformed(format!("the row of message {seq} holds another"))),
        }
    }

    /// The message as it is written now: `ack` is the highest number received in order, `resume` the resume point.
    pub fn to_message(&self, seq: Seq, ack: Option<Seq>, resume: Option<Resume>) -> String {
        let mut text = format!(r#"{{"seq":{seq},"#);
        let Retirement { retires, retired } = self.retirement;
        push_number(&mut text, "ack", self.carried_ack(ack));
        if let Some(Resume { start, epoch }) = resume {
            push_number(&mut text, "start", Some(start));
            push_epoch(&mut text, epoch);
        }
        push_number(&mut text, "retired", retired);
        if retires {
            text.push_str(r#""retires":true,"#);
        }
        text.push_str(&self.text);
        text.push('}');
        text
    }
}

fn push_number(text: &mut String, name: &str, value: Option<Seq>) {
    if let Some(value) = value {
        text.push_str(&format!(r#""{name}":{value},"#));
    }
}

fn push_epoch(text: &mut String, epoch: Option<Epoch>) {
    if let Some(Epoch { number, shared }) = epoch {
        text.push_str(&format!(r#""epoch":{number},"#));
        if shared {
            text.push_str(r#""shared":true,"#);
        }
    }
}

/// One message from a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The highest number that the peer received in order, if it says.
    pub ack: Option<Seq>,
    /// Our extension: the lowest number that the peer may still send. Everything below it that did not arrive never will.
    pub start: Option<Seq>,
    /// Our extension: the conversation that this and what follows belongs to; it comes with `start`.
    pub epoch: Option<Epoch>,
    /// Our extension: what a command says of the names of settled promises.
    pub retirement: Retirement,
    /// The command and its number; absent in a standalone acknowledgement.
    pub command: Option<(Seq, RemoteCommand)>,
}

impl Message {
    /// The text of a standalone acknowledgement, which may also tell the resume point. An incumbent reads only `ack`, and
    /// takes `"ack":0` for nothing received.
    pub fn standalone(ack: Option<Seq>, resume: Option<Resume>) -> String {
        let mut text = format!(r#"{{"ack":{},"#, ack.map_or(0, Seq::get));
        if let Some(Resume { start, epoch }) = resume {
            push_number(&mut text, "start", Some(start));
            push_epoch(&mut text, epoch);
        }
        text.pop();
        text.push('}');
        text
    }

    /// Where the sender resumes, if it says.
    pub fn resume(&self) -> Option<Resume> {
        self.start.map(|start| Resume { start, epoch: self.epoch })
    }

    /// Has it say where its sender resumes.
    pub fn resume_at(&mut self, resume: Option<Resume>) {
        (self.start, self.epoch) = (resume.map(|resume| resume.start), resume.and_then(|resume| resume.epoch));
    }

    /// Reads a message. One that has a number is read in any case: where something else in it is wrong, its command is
    /// [`Garbled`], and nothing beside the number counts.
    ///
    /// # Errors
    /// [`WireError::BadSeq`] for a number that is not one; [`WireError::Malformed`] for what has none, or is no object.
    pub fn parse(text: &str) -> Result<Self, WireError> {
        let raw: RawMessage<'_> = serde_json::from_str(text).map_err(|error| WireError::malformed(&error))?;
        let said = raw.said();
        let Some(seq) = raw.seq.map(Number::seq).transpose()? else {
            return match (raw.method, raw.ack) {
                (Some(_), _) => Err(WireError::BadSeq("nothing".into())),
                (None, None) => Err(WireError::Malformed("neither a command nor an acknowledgement".into())),
                // Only what has a number comes in an order that means something.
                (None, Some(_)) => said.map(|said| Message { retirement: Retirement::default(), ..said }),
            };
        };
        let params = raw.params.map_or("null", RawValue::get);
        let method = raw.method.map(|method| serde_json::from_str::<Cow<'_, str>>(method.get()));
        let command = match &method {
            Some(Ok(method)) => RemoteCommand::parse(method, params),
            Some(Err(error)) => RemoteCommand::Garbled(Garbled::new("", params, error)),
            None => RemoteCommand::Garbled(Garbled::new("", params, &"a sequence number without a method")),
        };
        Ok(match said {
            Ok(said) => Message { command: Some((seq, command)), ..said },
            Err(error) => {
                let command = RemoteCommand::Garbled(Garbled::because(command, params, &error));
                Message { command: Some((seq, command)), ..Message::default() }
            }
        })
    }
}

/// Whether a message is a standalone acknowledgement, without reading more of it than its first member.
pub fn is_standalone_ack(message: &str) -> bool {
    message.starts_with(r#"{"ack":"#)
}

fn truncated(text: &str) -> String {
    text.chars().take(32).collect()
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(borrow, default)]
    seq: Option<Number<'a>>,
    #[serde(borrow, default)]
    ack: Option<Number<'a>>,
    #[serde(borrow, default)]
    start: Option<Number<'a>>,
    #[serde(borrow, default)]
    epoch: Option<Number<'a>>,
    #[serde(borrow, default)]
    shared: Option<&'a RawValue>,
    #[serde(borrow, default)]
    retired: Option<Number<'a>>,
    #[serde(borrow, default)]
    retires: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

impl RawMessage<'_> {
    /// Everything but the command.
    fn said(&self) -> Result<Message, WireError> {
        let flag = |raw: Option<&RawValue>| match raw.map(RawValue::get) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(WireError::Malformed(format!("{} is neither true nor false", truncated(other)))),
        };
        let ack = self.ack.map(Number::or_zero).transpose()?.flatten();
        let start = self.start.map(Number::seq).transpose()?;
        let number = self.epoch.filter(|_| start.is_some()).map(Number::seq).transpose()?;
        let shared = flag(self.shared)?;
        let epoch = number.map(|number| Epoch { number: number.get(), shared });
        let retired = self.retired.map(Number::or_zero).transpose()?.flatten();
        let retirement = Retirement { retires: flag(self.retires)?, retired };
        Ok(Message { ack, start, epoch, retirement, command: None })
    }
}

/// The text of a JSON value that should be a sequence number.
#[derive(Clone, Copy)]
struct Number<'a>(&'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Number<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Number(raw.get()))
    }
}

impl Number<'_> {
    fn seq(self) -> Result<Seq, WireError> {
        self.or_zero()?.ok_or_else(|| WireError::BadSeq("0".into()))
    }

    /// Like [`seq`](Self::seq), but takes 0 for `None`.
    fn or_zero(self) -> Result<Option<Seq>, WireError> {
        match self.0.parse() {
            Ok(0) => Ok(None),
            Ok(number) if number <= MAX_SEQ => Ok(Seq::new(number)),
            _ => Err(WireError::BadSeq(truncated(self.0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{CapData, Concerns, Delivery, Eref, Resolution};

    fn eref(text: &str) -> Eref {
        text.parse().unwrap()
    }

    fn sent(command: RemoteCommand) -> String {
        StoredCommand::new(&command).unwrap().to_message(Seq(4), Seq::new(2), None)
    }

    /// The exact texts of protocol §4, member order included.
    #[test]
    fn the_texts_are_the_incumbents() {
        let methargs = CapData { body: r#"#["hi",[]]"#.into(), slots: vec![eref("ro+2")] };
        let cases = [
            (
                RemoteCommand::Deliver(Delivery::Message {
                    target: eref("ro-1"),
                    methargs: methargs.clone(),
                    result: Some(eref("rp+5")),
                }),
                r##"{"seq":4,"ack":2,"method":"deliver","params":["message","ro-1",{"methargs":{"body":"#[\"hi\",[]]","slots":["ro+2"]},"result":"rp+5"}]}"##,
            ),
            (
                RemoteCommand::Deliver(Delivery::Notify(vec![Resolution {
                    promise: eref("rp-1"),
                    rejected: true,
                    value: methargs,
                }])),
                r##"{"seq":4,"ack":2,"method":"deliver","params":["notify",[["rp-1",true,{"body":"#[\"hi\",[]]","slots":["ro+2"]}]]]}"##,
            ),
            (
                RemoteCommand::Deliver(Delivery::DropExports(vec![eref("ro-1"), eref("ro-2")])),
                r#"{"seq":4,"ack":2,"method":"deliver","params":["dropExports",["ro-1","ro-2"]]}"#,
            ),
            (
                RemoteCommand::Deliver(Delivery::RetireExports(vec![])),
                r#"{"seq":4,"ack":2,"method":"deliver","params":["retireExports",[]]}"#,
            ),
            (
                RemoteCommand::Deliver(Delivery::RetireImports(vec![eref("ro+9")])),
                r#"{"seq":4,"ack":2,"method":"deliver","params":["retireImports",["ro+9"]]}"#,
            ),
            (
                RemoteCommand::Deliver(Delivery::BringOutYourDead),
                r#"{"seq":4,"ack":2,"method":"deliver","params":["bringOutYourDead"]}"#,
            ),
            (
                RemoteCommand::RedeemUrl { url: "ocap:z@p".into(), reply_key: "k".into() },
                r#"{"seq":4,"ack":2,"method":"redeemURL","params":["ocap:z@p","k"]}"#,
            ),
            (
                RemoteCommand::RedeemUrlReply { reply_key: "k".into(), result: Ok(eref("ro+1")) },
                r#"{"seq":4,"ack":2,"method":"redeemURLReply","params":[true,"k","ro+1"]}"#,
            ),
            (
                RemoteCommand::RedeemUrlReply { reply_key: "k".into(), result: Err("no".into()) },
                r#"{"seq":4,"ack":2,"method":"redeemURLReply","params":[false,"k","no"]}"#,
            ),
        ];
        for (command, text) in cases {
            assert_eq!(sent(command.clone()), text);
            let parsed = Message::parse(text).unwrap();
            let retirement = Retirement::default();
            assert_eq!(
                parsed,
                Message { ack: Seq::new(2), start: None, epoch: None, retirement, command: Some((Seq(4), command)) }
            );
        }
    }

    #[test]
    fn a_standalone_acknowledgement_needs_no_seq() {
        assert_eq!(Message::standalone(Seq::new(7), None), r#"{"ack":7}"#);
        assert_eq!(Message::standalone(None, Some(Seq(3).into())), r#"{"ack":0,"start":3}"#);
        let parsed = Message::parse(r#"{"ack":0,"start":3}"#).unwrap();
        let retirement = Retirement::default();
        assert_eq!(parsed, Message { ack: None, start: Seq::new(3), epoch: None, retirement, command: None });
        assert!(is_standalone_ack(r#"{"ack":7}"#) && !is_standalone_ack(r#"{"seq":1,"ack":7}"#));
    }

    #[test]
    fn an_epoch_comes_with_the_resume_point() {
        for (shared, told) in [(false, ""), (true, r#","shared":true"#)] {
            let epoch = Some(Epoch { number: 7, shared });
            let resume = Some(Resume { start: Seq(3), epoch });
            let alone = Message::standalone(Seq::new(2), resume);
            assert_eq!(alone, format!(r#"{{"ack":2,"start":3,"epoch":7{told}}}"#));
            let command = StoredCommand::new(&RemoteCommand::Deliver(Delivery::BringOutYourDead)).unwrap();
            let text = command.to_message(Seq(3), None, resume);
            let rest = r#""method":"deliver","params":["bringOutYourDead"]}"#;
            assert_eq!(text, format!(r#"{{"seq":3,"start":3,"epoch":7{told},{rest}"#));
            for text in [alone, text] {
                assert_eq!(Message::parse(&text).unwrap().resume(), resume);
            }
        }
        assert_eq!(Message::parse(r#"{"ack":2,"epoch":7}"#).unwrap().epoch, None, "it is told with a start");
        for epoch in ["0", "-1", "9007199254740992", r#""7""#] {
            assert!(Message::parse(&format!(r#"{{"ack":2,"start":3,"epoch":{epoch}}}"#)).is_err(), "{epoch}");
        }
    }

    #[test]
    fn epochs_rise() {
        let at = |millis, salt| Epoch::beginning(Timestamp::from_millis(millis), salt).number;
        assert!(at(0, 0) >= 1 && at(u64::MAX, 9) == MAX_SEQ);
        assert!(at(1_796_000_000_000, 1_023) < at(1_796_000_000_001, 0) && at(1_796_000_000_001, 0) < MAX_SEQ / 2);
        assert_eq!(Epoch { number: MAX_SEQ, shared: true }.next().number, MAX_SEQ);
    }

    #[test]
    fn what_is_said_of_retired_names_stays_with_the_row() {
        let said = Retirement { retires: true, retired: Seq::new(7) };
        let command = StoredCommand::new(&RemoteCommand::Deliver(Delivery::Notify(vec![]))).unwrap().with(said);
        let text = command.to_message(Seq(3), Seq::new(9), None);
        let told = r#"{"seq":3,"ack":9,"retired":7,"retires":true,"method":"deliver","params":["notify",[]]}"#;
        assert_eq!(text, told);
        assert_eq!(Message::parse(&text).unwrap().retirement, said);
        assert_eq!(StoredCommand::from_row(Seq(3), &command.to_row(Seq(3))).unwrap(), command);
        for spoilt in [told.replace("true", "1"), told.replace(":7", ":-7"), told.replace(":9", ":{}")] {
            let Message { ack, retirement, command, .. } = Message::parse(&spoilt).unwrap();
            assert_eq!((ack, retirement), (None, Retirement::default()), "{spoilt}");
            assert!(matches!(command, Some((Seq(3), RemoteCommand::Garbled(_)))), "{spoilt}");
        }
    }

    #[test]
    fn sequence_numbers_that_are_none_are_named() {
        for number in ["0", "-1", "1.5", "9007199254740992", "1e3", r#""1""#, "[1]", "true"] {
            let text = format!(r#"{{"seq":{number},"method":"deliver","params":["bringOutYourDead"]}}"#);
            assert_eq!(Message::parse(&text), Err(WireError::BadSeq(number.into())), "{number}");
        }
        assert!(Message::parse(r#"{"ack":-1}"#).is_err() && Message::parse(r#"{"ack":1,"start":0}"#).is_err());
        assert!(Message::parse(r#"{"method":"deliver","params":["bringOutYourDead"]}"#).is_err());
        let largest = r#"{"seq":9007199254740991,"method":"deliver","params":["bringOutYourDead"]}"#;
        assert!(Message::parse(largest).is_ok());
    }

    #[test]
    fn malformed_commands_with_a_number_are_garbled() {
        for (method, params) in [
            ("deliver", r#"[]"#),
            ("deliver", r#"["explode"]"#),
            ("deliver", r#"["bringOutYourDead",1]"#),
            ("deliver", r#"["dropExports"]"#),
            ("deliver", r#"["dropExports",["o+1"]]"#),
            ("deliver", r#"["dropExports",["ko1"]]"#),
            ("deliver", r#"["message","ro-1"]"#),
            ("deliver", r#"["message","ro-1",{"methargs":{"body":1,"slots":[]},"result":null}]"#),
            ("deliver", r#"["notify",[["rp-1","yes",{"body":"","slots":[]}]]]"#),
            ("deliver", "null"),
            ("redeemURL", r#"["ocap:z@p"]"#),
            ("redeemURLReply", r#"[true,"k","ko1"]"#),
            ("redeemURLReply", r#"["true","k","ro+1"]"#),
            ("nonsense", r#"[]"#),
            (r#"non\"sense"#, "{}"),
        ] {
            let text = format!(r#"{{"seq":1,"method":"{method}","params":{params}}}"#);
            let message = Message::parse(&text).unwrap();
            let Some((Seq(1), command @ RemoteCommand::Garbled(_))) = &message.command else { panic!("{text}") };
            assert_eq!(StoredCommand::new(command).unwrap().to_row(Seq(1)), text);
        }
        for text in [r#"{"seq":1}"#, r#"{"seq":1,"method":7}"#] {
            let command = Message::parse(text).unwrap().command;
            assert!(matches!(command, Some((Seq(1), RemoteCommand::Garbled(_)))), "{text}");
        }
        for text in ["", "garbage", "{}", "[]", r#"{"method":"deliver"}"#, r#"{"seq":1,"seq":2,"method":"deliver"}"#] {
            assert!(Message::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn who_waits_is_told_where_that_can_be_read() {
        let result = |name: &str| Concerns::Result(eref(name));
        for (method, params, concerns) in [
            ("deliver", r#"["message","ro-1",{"methargs":{"body":1,"slots":[]},"result":"rp+5"},1]"#, result("rp+5")),
            ("deliver", r#"["message",7,{"result":"rp+5"}]"#, result("rp+5")),
            ("deliver", r#"["message","ro-1",{"result":"ro+5"}]"#, Concerns::Nobody),
            (
                "deliver",
                r#"["notify",[["rp-1",1],[],["x"],["rp-2"]]]"#,
                Concerns::Promises(vec![eref("rp-1"), eref("rp-2")]),
            ),
            ("deliver", r#"["explode",{"result":"rp+5"}]"#, Concerns::Nobody),
            ("redeemURL", r#"[7,"k"]"#, Concerns::Request("k".into())),
            ("redeemURLReply", r#"[true,"k",{}]"#, Concerns::Reply("k".into())),
            ("redeemURLReply", "{}", Concerns::Nobody),
        ] {
            let text = format!(r#"{{"seq":1,"method":"{method}","params":{params}}}"#);
            let command = Message::parse(&text).unwrap().command.unwrap().1;
            assert!(matches!(command, RemoteCommand::Garbled(_)), "{text}");
            assert_eq!(command.concerns(), concerns, "{text}");
        }
    }

    #[test]
    fn a_row_is_a_message_that_an_incumbent_can_send_and_its_rows_are_read() {
        let command = StoredCommand::new(&RemoteCommand::Deliver(Delivery::BringOutYourDead)).unwrap();
        let row = command.to_row(Seq(3));
        assert_eq!(row, r#"{"seq":3,"method":"deliver","params":["bringOutYourDead"]}"#);
        let theirs = r#"{"seq":3,"ack":9,"method":"deliver","params":["bringOutYourDead"]}"#;
        assert_eq!(StoredCommand::from_row(Seq(3), theirs).unwrap(), command);
        assert!(StoredCommand::from_row(Seq(2), theirs).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"\{("(seq|ack|start|epoch|shared|retired|retires|method|params)":(-?[0-9.e]{1,9}|"[a-zR]*"|\[[^\]]{0,20}\]),?){0,5}\}"#) {
            let _ = Message::parse(&text);
        }
    }
}
