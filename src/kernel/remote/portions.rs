//! Long lists, a portion in each turn of the kernel: so that what one peer settles or drops at once keeps nobody else waiting.
//!
//! Each portion is a transaction of its own. Only the last advances the number; a crash before that gets the message once more, and
//! what was settled, dropped or retired already is passed over then. Meanwhile the messages behind it wait, and the peer is not told of
//! garbage: until the number has advanced, what is dropped would be taken for what was dropped before the message came.

use std::collections::{HashMap, VecDeque};

use super::{
    super::{KernelError, order::last_first},
    outbound::MAX_REFERENCES,
};
use crate::{
    session::Arrived,
    wire::{Delivery, Eref, RemoteCommand, Resolution},
};

/// The message at the head, in portions.
#[derive(Debug, Default)]
pub(super) struct Portions {
    waiting: VecDeque<Arrived>,
    /// Some are done.
    is_begun: bool,
    /// What could not be done first.
    refused: Option<KernelError>,
}

impl Portions {
    /// Some of the message at the head was processed, and not all.
    pub(super) fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// The next portion, and whether it is the last. `message` is at the head.
    pub(super) fn next(&mut self, message: &Arrived, longest: usize) -> (Arrived, bool) {
        if self.waiting.is_empty() {
            self.waiting = portions(message, longest);
        }
        let next = self.waiting.pop_front().unwrap_or_else(|| message.clone());
        (next, self.waiting.is_empty())
    }

    /// A portion could not be processed now.
    pub(super) fn put_back(&mut self, portion: Arrived) {
        self.waiting.push_front(portion);
    }

    /// A portion was processed which was not the last.
    pub(super) fn note(&mut self, refused: Option<KernelError>) {
        self.is_begun = true;
        if self.refused.is_none() {
            self.refused = refused;
        }
    }

    /// The last was processed: what could not be done first, before it.
    pub(super) fn end(&mut self) -> Option<KernelError> {
        std::mem::take(self).refused
    }
}

/// A message in portions of about so many references, with those of what is dropped and retired as their receiver names them.
fn portions(message: &Arrived, longest: usize) -> VecDeque<Arrived> {
    let RemoteCommand::Deliver(delivery) = &message.command else { return VecDeque::from([message.clone()]) };
    if delivery.references() > MAX_REFERENCES {
        // It is refused as a whole.
        return VecDeque::from([message.clone()]);
    }
    let parts: Vec<Delivery> = match delivery.clone().in_receivers_frame() {
        Delivery::DropExports(erefs) => cut(erefs, longest, |_| 1).map(Delivery::DropExports).collect(),
        Delivery::RetireExports(erefs) => cut(erefs, longest, |_| 1).map(Delivery::RetireExports).collect(),
        Delivery::RetireImports(erefs) => cut(erefs, longest, |_| 1).map(Delivery::RetireImports).collect(),
        Delivery::Notify(resolutions) => {
            let references = |resolution: &Resolution<_>| resolution.value.slots.len().saturating_add(1);
            let is_long = resolutions.iter().map(references).sum::<usize>() > longest;
            let resolutions = if is_long { what_leads_on_first(resolutions) } else { resolutions };
            cut(resolutions, longest, references).map(Delivery::Notify).collect()
        }
        whole @ (Delivery::Message { .. } | Delivery::BringOutYourDead) => vec![whole],
    };
    let whole_size = std::iter::once(message.size).chain(std::iter::repeat(0));
    let portion = |(part, size)| Arrived {
        command: RemoteCommand::Deliver(part),
        ack: message.ack,
        retirement: message.retirement,
        size,
    };
    parts.into_iter().zip(whole_size).map(portion).collect()
}

/// Puts each resolution before those of the promises that its value names: who is told of those later still waits for them, and
/// hears of each once.
fn what_leads_on_first(resolutions: Vec<Resolution<Eref>>) -> Vec<Resolution<Eref>> {
    let places: HashMap<Eref, usize> =
        resolutions.iter().enumerate().rev().map(|(place, resolution)| (resolution.promise, place)).collect();
    let leads_to = |place: usize| {
        let slots = resolutions.get(place).map_or(&[][..], |resolution| &resolution.value.slots);
        slots.iter().filter_map(|slot| places.get(slot).copied())
    };
    let last_first = last_first(0..resolutions.len(), leads_to);
    let mut resolutions: Vec<_> = resolutions.into_iter().map(Some).collect();
    let take = |place: usize| resolutions.get_mut(place).and_then(Option::take);
    last_first.into_iter().rev().filter_map(take).collect()
}

/// Cuts a list wherever `longest` is reached; at least one part, which may be empty.
fn cut<T>(list: Vec<T>, longest: usize, length: impl Fn(&T) -> usize) -> impl Iterator<Item = Vec<T>> {
    let mut rest = list.into_iter().peekable();
    let mut is_first = true;
    std::iter::from_fn(move || {
        if !std::mem::take(&mut is_first) && rest.peek().is_none() {
            return None;
        }
        let (mut part, mut reached) = (Vec::new(), 0_usize);
        while reached < longest.max(1)
            && let Some(next) = rest.next()
        {
            reached = reached.saturating_add(length(&next));
            part.push(next);
        }
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    fn arrived(delivery: &str) -> Arrived {
        let text = format!(r#"{{"seq":1,"ack":3,"method":"deliver","params":[{delivery}]}}"#);
        let message = Message::parse(&text).unwrap();
        Arrived {
            command: message.command.unwrap().1,
            ack: message.ack,
            retirement: message.retirement,
            size: text.len(),
        }
    }

    fn in_portions(message: &Arrived, longest: usize) -> Vec<Arrived> {
        let mut portions = Portions::default();
        let mut all = Vec::new();
        loop {
            let (portion, is_last) = portions.next(message, longest);
            all.push(portion);
            if is_last {
                return all;
            }
            portions.note(None);
        }
    }

    #[test]
    fn portions_are_what_the_whole_is() {
        let message = arrived(r#""dropExports",["ro-1","ro-2","ro-3","ro-4","ro-5"]"#);
        let portions = in_portions(&message, 2);
        let erefs: Vec<_> = portions
            .iter()
            .map(|portion| match &portion.command {
                RemoteCommand::Deliver(Delivery::DropExports(erefs)) => erefs.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(erefs.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(portions.iter().map(|portion| portion.size).sum::<usize>(), message.size);
        assert!(portions.iter().all(|portion| portion.ack == message.ack));
    }

    #[test]
    fn what_is_short_or_empty_is_one() {
        for delivery in [r#""dropExports",[]"#, r#""bringOutYourDead""#, r#""retireImports",["ro+1"]"#] {
            let message = arrived(delivery);
            assert_eq!(in_portions(&message, 2).len(), 1, "{delivery}");
        }
    }

    #[test]
    fn a_resolution_counts_with_what_it_names() {
        let resolution = |n: u64, slots: &str| format!(r#"["rp+{n}",false,{{"body":"","slots":[{slots}]}}]"#);
        let all = [resolution(1, r#""ro+1","ro+2""#), resolution(2, ""), resolution(3, ""), resolution(4, "")];
        let message = arrived(&format!(r#""notify",[{}]"#, all.join(",")));
        let counts: Vec<_> = in_portions(&message, 3).iter().map(|portion| portion.command.settles().len()).collect();
        assert_eq!(counts, [1, 3]);
    }

    #[test]
    fn what_leads_to_others_comes_before_them_also_in_a_circle() {
        let resolution = |n: u64, slots: &str| format!(r#"["rp+{n}",false,{{"body":"","slots":[{slots}]}}]"#);
        let list = |named: [&str; 4]| {
            let all: Vec<_> = (1..).zip(named).map(|(n, slots)| resolution(n, slots)).collect();
            let message = arrived(&format!(r#""notify",[{}]"#, all.join(",")));
            let portions = in_portions(&message, 2);
            let settled = portions.iter().flat_map(|portion| portion.command.settles());
            settled.map(|eref| eref.index).collect::<Vec<_>>()
        };
        assert_eq!(list(["", r#""rp+1""#, r#""rp+2""#, r#""rp+3""#]), [4, 3, 2, 1]);
        assert_eq!(list([r#""rp+2""#, r#""rp+3""#, "", ""]), [1, 2, 3, 4]);
        assert_eq!(list([r#""rp+4""#, "", r#""rp+4","rp+3""#, r#""ro+1""#]), [1, 2, 3, 4]);
        assert_eq!(list([r#""rp+2""#, r#""rp+1""#, "", ""]).len(), 4);
    }

    #[test]
    fn the_frame_is_that_of_the_whole_list() {
        // A list of both signs stays as it is, also where all of a portion have the wrong one.
        let message = arrived(r#""dropExports",["ro+1","ro+2","ro-3"]"#);
        let first = in_portions(&message, 2).swap_remove(0);
        let RemoteCommand::Deliver(Delivery::DropExports(erefs)) = first.command else { panic!("a list of drops") };
        assert_eq!(erefs, ["ro+1".parse().unwrap(), "ro+2".parse().unwrap()]);
    }

    #[test]
    fn what_was_refused_first_is_told_in_the_end() {
        let mut portions = Portions::default();
        portions.note(None);
        portions.note(Some(KernelError::Overloaded));
        portions.note(Some(KernelError::Reentrant));
        assert!(portions.is_begun());
        assert!(matches!(portions.end(), Some(KernelError::Overloaded)));
        assert!(!portions.is_begun());
    }
}
