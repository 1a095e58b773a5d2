//! The honest peer: a real kernel that costs nothing, and calls at a steady pace.

use std::collections::BTreeMap;

use ocap_remotes::{
    kernel::{Kernel, KernelEffect, KernelEvent},
    wire::{CapData, Handshake, Kref, PeerId},
};

use super::{
    thread::kernel,
    world::{Desk, MILLISECOND, Micros, Person, timestamp},
};
use crate::counting::CountingStore;

/// The time between two calls.
const PACE: Micros = 20 * MILLISECOND;

/// The caller, and what it saw.
pub(crate) struct Honest {
    kernel: Kernel,
    victim: PeerId,
    url: String,
    object: Option<Kref>,
    connected: bool,
    next_call: Micros,
    /// When it stops calling, and when it leaves.
    ends: (Micros, Micros),
    begun: BTreeMap<Kref, Micros>,
    /// When each answered call began, and how long it took.
    pub(crate) took: Vec<(Micros, Micros)>,
}

impl Honest {
    pub(crate) fn new(victim: &PeerId, url: &str, ends: (Micros, Micros)) -> Self {
        Honest {
            kernel: kernel(CountingStore::default(), 3),
            victim: victim.clone(),
            url: url.to_owned(),
            object: None,
            connected: false,
            next_call: 0,
            ends,
            begun: BTreeMap::new(),
            took: Vec::new(),
        }
    }

    /// Calls without an answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.begun.len()
    }

    fn settle(&mut self, desk: &mut Desk<'_>) {
        let now = timestamp(desk.now);
        loop {
            while let Some(event) = self.kernel.poll_event() {
                match event {
                    KernelEvent::Redeemed { result, .. } => {
                        self.object = Some(result.unwrap());
                        self.next_call = desk.now;
                    }
                    KernelEvent::Notify { promise, rejected, value } => {
                        assert!(!rejected, "an honest call is rejected: {}", value.body);
                        let begun = self.begun.remove(&promise).unwrap();
                        self.took.push((begun, desk.now - begun));
                    }
                    KernelEvent::Remote(event) => panic!("the honest kernel is told: {event:?}"),
                    _ => {}
                }
            }
            self.kernel.commit(now).unwrap();
            match self.kernel.poll_effect(now) {
                Some(KernelEffect::Write(write)) => {
                    desk.write(write.message);
                    self.kernel.write_finished(write.remote, write.token, &Ok(()), now).unwrap();
                }
                Some(_) => {}
                None => break,
            }
        }
        if let Some(due) = self.kernel.poll_timeout() {
            desk.wake_at(due.as_millis().saturating_sub(timestamp(0).as_millis()) * MILLISECOND);
        }
        if self.object.is_some() && desk.now < self.ends.0 {
            desk.wake_at(self.next_call);
        }
        desk.wake_at(if desk.now < self.ends.1 { self.ends.1 } else { Micros::MAX });
    }
}

impl Person for Honest {
    fn hears(&mut self, text: &str, desk: &mut Desk<'_>) {
        let now = timestamp(desk.now);
        if self.connected {
            self.kernel.handle_remote_message(&self.victim, text, now).unwrap();
        } else {
            let shown = Handshake::parse_ack(text).unwrap();
            self.connected = true;
            self.kernel.handle_incarnation_change(&self.victim, &shown, now).unwrap();
            self.kernel.redeem_ocap_url(&self.url, [6; 16], now).unwrap();
        }
        self.settle(desk);
    }

    fn is_cut_off(&mut self, _: &mut Desk<'_>) {
        panic!("the honest peer is cut off");
    }

    fn wakes(&mut self, desk: &mut Desk<'_>) {
        if !self.connected {
            desk.connect(self.kernel.peer_id().clone());
            desk.write(Handshake::Hello(self.kernel.incarnation().clone()).encode());
            return;
        }
        if desk.now >= self.ends.1 {
            return desk.leave();
        }
        let now = timestamp(desk.now);
        if self.kernel.poll_timeout().is_some_and(|due| due <= now) {
            self.kernel.handle_timeout(now).unwrap();
        }
        if let Some(object) = self.object
            && desk.now >= self.next_call
            && desk.now < self.ends.0
        {
            self.next_call += PACE;
            let nothing = CapData { body: "call".to_owned(), slots: Vec::new() };
            let answer = self.kernel.send(object, nothing).unwrap();
            self.begun.insert(answer, desk.now);
        }
        self.settle(desk);
    }
}
