//! That we read and write what the vectors hold. The same for native tests and those in browsers.

use std::{cell::RefCell, collections::BTreeMap, fmt, rc::Rc};

use ocap_remotes::{
    kernel::{Kernel, KernelEffect, OcapUrl, SeedSource, store::KernelStore},
    runtime::Timestamp,
    storage::{KeyValueStore, MemoryStore},
    wire::{CapData, Handshake, Message, PeerId, RemoteCommand, RemoteCommsOptions, Seq, StoredCommand},
};
use serde::{Deserialize, de::DeserializeOwned};

fn read<T: DeserializeOwned>(vectors: &str) -> T {
    serde_json::from_str(vectors).unwrap()
}

fn parsed<T: std::str::FromStr<Err: fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

// --- Handshakes and messages

#[derive(Deserialize)]
struct Wire {
    handshakes: Handshakes,
    messages: Messages,
}

#[derive(Deserialize)]
struct Handshakes {
    hello: Kind,
    ack: Kind,
    refused: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    incarnation_id: String,
    written: String,
    read: Vec<String>,
}

#[derive(Deserialize)]
struct Messages {
    written: Vec<Text>,
    read: Vec<Text>,
    refused: Vec<String>,
    unreadable: Vec<String>,
}

#[derive(Deserialize)]
struct Text {
    name: String,
    text: String,
    seq: Option<u64>,
    ack: Option<u64>,
    start: Option<u64>,
}

impl Text {
    fn message(&self) -> Message {
        let message = Message::parse(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let seq = message.command.as_ref().map(|(seq, _)| seq.get());
        let numbers = (seq, message.ack.map(Seq::get), message.start.map(Seq::get));
        assert_eq!(numbers, (self.seq, self.ack, self.start), "{}", self.name);
        message
    }
}

pub(crate) fn handshakes_and_messages() {
    let Wire { handshakes, messages } = read(include_str!("wire.json"));
    let Handshakes { hello, ack, refused } = handshakes;
    assert_eq!(Handshake::Hello(parsed(&hello.incarnation_id)).encode(), hello.written);
    for text in hello.read.iter().chain([&hello.written]) {
        assert_eq!(Handshake::parse_hello(text).unwrap().as_str(), hello.incarnation_id, "{text}");
        assert!(Handshake::parse_ack(text).is_err(), "{text}");
    }
    assert_eq!(Handshake::Ack(parsed(&ack.incarnation_id)).encode(), ack.written);
    for text in ack.read.iter().chain([&ack.written]) {
        assert_eq!(Handshake::parse_ack(text).unwrap().as_str(), ack.incarnation_id, "{text}");
        assert!(Handshake::parse_hello(text).is_err(), "{text}");
    }
    for text in refused {
        assert!(Handshake::parse_hello(&text).is_err() && Handshake::parse_ack(&text).is_err(), "{text}");
    }

    for text in &messages.written {
        let message = text.message();
        let resume = message.resume();
        let Message { ack, retirement, command, .. } = message;
        let written = match command {
            Some((seq, command)) => StoredCommand::new(&command).unwrap().with(retirement).to_message(seq, ack, resume),
            None => Message::standalone(ack, resume),
        };
        assert_eq!(written, text.text, "{}", text.name);
    }
    for text in &messages.read {
        text.message();
    }
    for text in messages.unreadable {
        let message = Message::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(matches!(message.command, Some((_, RemoteCommand::Garbled(_)))), "{text}");
    }
    for text in messages.refused {
        assert!(Message::parse(&text).is_err(), "{text}");
    }
}

// --- Identities

#[derive(Deserialize)]
struct Identities {
    seeds: Vec<Identity>,
    mnemonics: Vec<Identity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    mnemonic: Option<String>,
    key_seed: String,
    peer_id: String,
}

pub(crate) fn identities() {
    let Identities { seeds, mnemonics } = read(include_str!("identities.json"));
    for Identity { mnemonic, key_seed, peer_id } in seeds.into_iter().chain(mnemonics) {
        let sources =
            [Some(SeedSource::Hex(key_seed.clone().into())), mnemonic.map(|words| SeedSource::Mnemonic(words.into()))];
        for source in sources.into_iter().flatten() {
            let kernel = kernel(Rc::default(), &RemoteCommsOptions::default(), source, Timestamp::default());
            assert_eq!((kernel.peer_id().as_str(), &**kernel.identity().key_seed_hex()), (&*peer_id, &*key_seed));
        }
    }
}

// --- OCAP URLs

#[derive(Deserialize)]
struct Urls {
    good: Vec<GoodUrl>,
    bad: Vec<BadUrl>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GoodUrl {
    url: String,
    oid: String,
    peer_id: String,
    relays: Vec<String>,
}

#[derive(Deserialize)]
struct BadUrl {
    url: String,
    why: String,
}

pub(crate) fn ocap_urls() {
    let Urls { good, bad } = read(include_str!("ocap-urls.json"));
    for GoodUrl { url, oid, peer_id, relays } in good {
        let found: OcapUrl = parsed(&url);
        assert_eq!((found.oid(), found.peer().as_str(), found.relays()), (&*oid, &*peer_id, &*relays), "{url}");
        // Written again it has no hint more than three.
        assert!(url.starts_with(&found.to_string()), "{url}");
    }
    for BadUrl { url, why } in bad {
        assert!(url.parse::<OcapUrl>().is_err(), "{why}: {url}");
    }
}

// --- The store

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Story {
    key_seed: String,
    now: u64,
    relay: String,
    bob: Bob,
    steps: Vec<Step>,
    rows: BTreeMap<String, String>,
    /// Beside those that the incumbent has.
    ours: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bob {
    peer_id: String,
    hints: Vec<String>,
    incarnation_id: String,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
enum Step {
    Export { gives: String },
    Receive { text: String },
    UrlOpened { object: String },
    Send { target: String, body: String, slots: Vec<String>, gives: String },
}

pub(crate) fn the_store_after_a_story() {
    let story: Story = read(include_str!("store.json"));
    let (now, bob) = (Timestamp::from_millis(story.now), parsed::<PeerId>(&story.bob.peer_id));
    let rows: Rc<RefCell<MemoryStore>> = Rc::default();
    let options = RemoteCommsOptions { relays: vec![story.relay], ..RemoteCommsOptions::default() };
    let mut kernel = kernel(rows.clone(), &options, SeedSource::Hex(story.key_seed.into()), now);
    kernel.network_started(now).unwrap();
    kernel.register_location_hints(&bob, story.bob.hints, now).unwrap();
    assert!(!kernel.handle_incarnation_change(&bob, &parsed(&story.bob.incarnation_id), now).unwrap());
    for step in story.steps {
        match step {
            Step::Export { gives } => assert_eq!(kernel.export_object().unwrap().to_string(), gives),
            Step::Receive { text } => kernel.handle_remote_message(&bob, &text, now).unwrap(),
            Step::UrlOpened { object } => {
                let effects = std::iter::from_fn(|| kernel.poll_effect(now)).collect::<Vec<_>>();
                let ticket = effects.into_iter().find_map(|effect| match effect {
                    KernelEffect::OpenUrl { ticket, .. } => Some(ticket),
                    _ => None,
                });
                kernel.url_opened(ticket.unwrap(), Ok(parsed(&object))).unwrap();
            }
            Step::Send { target, body, slots, gives } => {
                let slots = slots.iter().map(|slot| parsed(slot)).collect();
                let promise = kernel.send(parsed(&target), CapData { body, slots }).unwrap();
                assert_eq!(promise.to_string(), gives);
            }
        }
        while kernel.poll_event().is_some() {}
        kernel.commit(now).unwrap();
    }
    kernel.store().audit().unwrap();
    let expected: BTreeMap<_, _> = story.rows.into_iter().chain(story.ours).collect();
    assert_eq!(all(&rows), expected, "as JSON: {}", serde_json::to_string_pretty(&all(&rows)).unwrap());
}

fn kernel(rows: Rc<RefCell<MemoryStore>>, options: &RemoteCommsOptions, seed: SeedSource, now: Timestamp) -> Kernel {
    let store = KernelStore::open(Box::new(rows)).unwrap();
    Kernel::open(store, options, Some(seed), &mut |bytes| bytes.fill(7), now).unwrap()
}

fn all(rows: &Rc<RefCell<MemoryStore>>) -> BTreeMap<String, String> {
    rows.rows().unwrap().into_iter().collect()
}
