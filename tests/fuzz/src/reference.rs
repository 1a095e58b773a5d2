//! Names as text: each has one spelling, which reads back as the same; and an OCAP URL opens only if its issuer made it.

use std::{fmt, str::FromStr};

use ocap_remotes::{
    kernel::{OcapUrl, UrlIssuer, store::KernelStore},
    storage::MemoryStore,
    wire::{EndpointId, Eref, IncarnationId, Kref, PeerId, RefKind},
};

use crate::{choices::Choices, people::people};

/// The input is a text, or what it takes to issue a URL and change it.
pub(crate) fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    is_one_to_one::<Kref>(&text);
    is_one_to_one::<Eref>(&text);
    is_one_to_one::<EndpointId>(&text);
    is_one_to_one::<IncarnationId>(&text);
    reads_back::<PeerId>(&text);
    if let Some(url) = reads_back::<OcapUrl>(&text) {
        let issuer = issuer(1, url.peer().clone());
        assert!(issuer.open(&url).is_err(), "a URL opens that was never issued");
    }
    urls_open_at_their_issuer(Choices::new(data));
}

fn reads_back<T>(text: &str) -> Option<T>
where
    T: FromStr + fmt::Display + fmt::Debug + PartialEq,
{
    let value: T = text.parse().ok()?;
    assert_eq!(value.to_string().parse().ok().as_ref(), Some(&value), "it reads back as another");
    Some(value)
}

fn is_one_to_one<T>(text: &str)
where
    T: FromStr + fmt::Display + fmt::Debug + PartialEq,
{
    if let Some(value) = reads_back::<T>(text) {
        assert_eq!(value.to_string(), text, "one thing has two names");
    }
}

fn issuer(key: u8, peer: PeerId) -> UrlIssuer {
    let mut store = KernelStore::open(Box::new(MemoryStore::new())).expect("an empty store opens");
    UrlIssuer::provide(&mut store, peer, [key; 32]).expect("an empty store takes a key")
}

fn urls_open_at_their_issuer(mut choices: Choices<'_>) {
    let [us, others, ..] = people();
    let ours = issuer(1, us.clone());
    let kind = *choices.pick(&[RefKind::Object, RefKind::Promise]);
    let kref = Kref { kind, index: choices.number().max(1) };
    let nonce = [choices.byte(); 24];
    let relays: Vec<String> = (0..choices.below(5)).map(|_| format!("/dns4/{}", choices.text())).collect();
    let Ok(text) = ours.issue(kref, nonce, &relays) else { return };
    let url: OcapUrl = text.parse().expect("what is issued can be read");
    assert_eq!(ours.open(&url), Ok(kref));
    assert!(issuer(2, us.clone()).open(&url).is_err(), "another key opens it");
    assert!(issuer(1, others.clone()).open(&url).is_err(), "another peer opens it");

    let mut changed = text.clone().into_bytes();
    let place = usize::from(choices.byte()) % changed.len();
    changed[place] = choices.byte();
    let Ok(changed) = String::from_utf8(changed) else { return };
    let Ok(other) = changed.parse::<OcapUrl>() else { return };
    if other.oid() != url.oid() || other.peer() != url.peer() {
        assert!(ours.open(&other).is_err(), "a changed URL opens");
    }
}
