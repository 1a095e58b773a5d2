//! A kernel with a program that does as it is told, and a peer that writes what it likes.

use ocap_remotes::{
    kernel::{Kernel, KernelEffect, KernelEvent, SeedSource, store::KernelStore},
    runtime::Timestamp,
    wire::{CapData, Kref, PeerId, RemoteCommsOptions},
};

use crate::counting::CountingStore;

/// The kernel, and where its peer has come to.
pub(crate) struct Victim {
    pub(crate) kernel: Kernel,
    pub(crate) store: CountingStore,
    peer: PeerId,
    now: Timestamp,
    seq: u64,
    /// The last number that the kernel has used.
    heard: u64,
    pub(crate) events: Vec<KernelEvent>,
    /// Bytes that the peer has written.
    pub(crate) received: u64,
}

impl Victim {
    /// A kernel whose peer knows an object of the program's as `ro-1`.
    pub(crate) fn new() -> Self {
        let (store, now) = (CountingStore::default(), Timestamp::from_millis(1_000));
        let records = KernelStore::open(Box::new(store.clone())).unwrap();
        let seed = SeedSource::Hex("02".repeat(32).into());
        let mut random = |bytes: &mut [u8]| bytes.fill(7);
        let kernel = Kernel::open(records, &RemoteCommsOptions::default(), Some(seed), &mut random, now).unwrap();
        let peer = PeerId::from_ed25519_seed([9; 32]).unwrap();
        let mut victim = Victim { kernel, store, peer, now, seq: 0, heard: 0, events: Vec::new(), received: 0 };
        victim.kernel.handle_incarnation_change(&victim.peer.clone(), &"life".parse().unwrap(), now).unwrap();
        let object = victim.kernel.export_object().unwrap();
        let url = victim.kernel.issue_ocap_url(object, [5; 24]).unwrap();
        victim.writes(&format!(r#""method":"redeemURL","params":["{url}","key"]"#));
        victim
    }

    /// The peer writes a message, and acknowledges what is written to it.
    pub(crate) fn writes(&mut self, command: &str) {
        self.seq += 1;
        // It is no incumbent, of which one spares the run loop.
        let start = if self.seq == 1 { r#""start":1,"# } else { "" };
        let text = format!(r#"{{"seq":{},"ack":{},{start}{command}}}"#, self.seq, self.heard);
        self.received += text.len() as u64;
        self.kernel.handle_remote_message(&self.peer, &text, self.now).unwrap();
        self.settles();
    }

    /// The program takes its events, everything is committed, and what is to be written is.
    pub(crate) fn settles(&mut self) {
        loop {
            while let Some(event) = self.kernel.poll_event() {
                self.events.push(event);
            }
            self.kernel.commit(self.now).unwrap();
            let Some(effect) = self.kernel.poll_effect(self.now) else {
                if !self.kernel.has_more() {
                    return;
                }
                self.kernel.go_on().unwrap();
                continue;
            };
            match effect {
                KernelEffect::Write(write) => {
                    self.kernel.write_finished(write.remote, write.token, &Ok(()), self.now).unwrap();
                    let number = write.message.strip_prefix(r#"{"seq":"#).and_then(|rest| rest.split(',').next());
                    self.heard =
                        number.and_then(|number| number.parse().ok()).map_or(self.heard, |seq| self.heard.max(seq));
                }
                KernelEffect::OpenUrl { ticket, url } => self.kernel.open_url(ticket, &url).unwrap(),
                KernelEffect::RegisterLocationHints { .. } => {}
            }
        }
    }

    /// The peer sends a message.
    pub(crate) fn sends(&mut self, target: &str, body: &str, slots: &str, result: &str) {
        let result = if result.is_empty() { "null".to_owned() } else { format!("\"{result}\"") };
        self.writes(&format!(
            r#""method":"deliver","params":["message","{target}",{{"methargs":{{"body":"{body}","slots":[{slots}]}},"result":{result}}}]"#
        ));
    }

    /// The peer settles promises.
    pub(crate) fn notifies(&mut self, resolutions: &[String]) {
        self.writes(&format!(r#""method":"deliver","params":["notify",[{}]]"#, resolutions.join(",")));
    }

    /// What the program was given by the messages since this was asked last, and the promises of their results.
    pub(crate) fn given(&mut self) -> (Vec<Kref>, Vec<Kref>) {
        let (mut slots, mut results) = (Vec::new(), Vec::new());
        for event in self.events.drain(..) {
            if let KernelEvent::Message { methargs, result, .. } = event {
                slots.extend(methargs.slots);
                results.extend(result);
            }
        }
        (slots, results)
    }

    pub(crate) fn resolves(&mut self, promise: Kref, body: &str, slots: Vec<Kref>) {
        self.kernel.resolve(promise, false, CapData { body: body.to_owned(), slots }).unwrap();
        self.settles();
    }
}

/// One entry of a notification.
pub(crate) fn resolution(index: u64, body: &str, promises: &[u64]) -> String {
    let slots = promises.iter().map(|index| format!("\"rp+{index}\"")).collect::<Vec<_>>().join(",");
    format!(r#"["rp+{index}",false,{{"body":"{body}","slots":[{slots}]}}]"#)
}

/// References, as a list in JSON has them.
pub(crate) fn names(prefix: &str, count: u64) -> String {
    names_from(prefix, 10_000, count)
}

/// The same from another number on.
pub(crate) fn names_from(prefix: &str, first: u64, count: u64) -> String {
    (first..first + count).map(|index| format!("\"{prefix}{index}\"")).collect::<Vec<_>>().join(",")
}
