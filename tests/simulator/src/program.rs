//! The program of one kernel: it sends, answers, passes references on and lets them go, and writes all of it down.
//!
//! What it knows is tentative until the kernel's store has committed, and after a crash it goes on from the last commit.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::{Rc, Weak},
};

use ocap_remotes::{
    kernel::{KernelDriver, KernelError, KernelEvent, RedemptionId, RemoteEvent},
    wire::{CapData, Kref, PeerId},
};
use serde_json::{Value, json};

use crate::{
    executor::Executor,
    oracle::{Entry, Label, Life, MessageId, Oracle},
};

/// Something that it holds.
#[derive(Clone, Debug)]
struct Reference {
    label: Label,
    /// A number that no other reference of any life has.
    id: u64,
    sent: u64,
}

/// A message that it has yet to answer.
#[derive(Clone, Debug)]
struct Owed {
    result: Kref,
    id: MessageId,
}

/// What it knows.
#[derive(Clone, Debug, Default)]
struct Knowledge {
    objects: BTreeMap<Kref, u32>,
    references: BTreeMap<Kref, Reference>,
    /// What came with the outcome of a promise that it was given, and of which nobody told it what it is.
    unnamed: BTreeSet<Kref>,
    /// The reference that the last redemption of a URL gave; another may have come by way of somebody who is gone.
    redeemed: BTreeMap<Label, Kref>,
    /// Results that it waits for.
    awaited: BTreeMap<Kref, (MessageId, u64)>,
    /// Promises that it was given, and will hear of.
    passed: BTreeSet<Kref>,
    /// Promises that it has settled. They may come back as arguments, and it may hear what it knows.
    answered: BTreeSet<Kref>,
    owed: Vec<Owed>,
    /// What it gives away, and by which URL.
    offers: Vec<(Label, String)>,
}

/// One life of a program.
pub(crate) struct Program {
    life: Life,
    executor: Rc<Executor>,
    oracle: Rc<RefCell<Oracle>>,
    driver: Weak<KernelDriver>,
    known: Knowledge,
    /// What it knew at the last commit.
    committed: Knowledge,
    /// What it did and saw since.
    journal: Vec<Entry>,
    /// Of this start of the kernel.
    redeeming: BTreeMap<RedemptionId, Label>,
    /// Rules that were broken.
    pub(crate) violation: Option<String>,
    /// Messages answered at once, in percent.
    prompt: u64,
    /// Every host's peer id.
    peers: Rc<Vec<PeerId>>,
}

fn label_text(label: Label) -> String {
    format!("{}.{}.{}", label.owner.host, label.owner.number, label.object)
}

fn parse_label(text: &str) -> Option<Label> {
    let mut parts = text.split('.').map(str::parse::<u32>);
    let (host, number, object) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    Some(Label { owner: Life { host: host as usize, number }, object })
}

impl Program {
    /// A program that knows nothing.
    pub(crate) fn new(
        life: Life,
        executor: &Rc<Executor>,
        oracle: &Rc<RefCell<Oracle>>,
        peers: &Rc<Vec<PeerId>>,
    ) -> Self {
        Program {
            life,
            executor: Rc::clone(executor),
            oracle: Rc::clone(oracle),
            driver: Weak::new(),
            known: Knowledge::default(),
            committed: Knowledge::default(),
            journal: Vec::new(),
            redeeming: BTreeMap::new(),
            violation: None,
            prompt: 60,
            peers: Rc::clone(peers),
        }
    }

    /// Which life this is.
    pub(crate) fn life(&self) -> Life {
        self.life
    }

    /// The kernel was started, perhaps again.
    pub(crate) fn attach(&mut self, driver: &Rc<KernelDriver>) {
        self.driver = Rc::downgrade(driver);
    }

    /// The store has committed.
    pub(crate) fn commit(&mut self) {
        self.oracle.borrow_mut().note_life(self.life);
        for entry in std::mem::take(&mut self.journal) {
            let kept = self.oracle.borrow_mut().commit(self.life, entry);
            if let Err(broken) = kept {
                self.blame(broken);
            }
        }
        self.committed = self.known.clone();
    }

    /// The kernel has crashed.
    pub(crate) fn roll_back(&mut self) {
        self.known = self.committed.clone();
        self.journal.clear();
        self.redeeming.clear();
    }

    /// From now on everything is answered at once.
    pub(crate) fn answer_promptly(&mut self) {
        self.prompt = 100;
    }

    fn blame(&mut self, broken: String) {
        self.violation.get_or_insert(broken);
    }

    /// What it gives away; a URL may leave only when its object is durable.
    pub(crate) fn offers(&self) -> Vec<(Label, String)> {
        self.committed.offers.clone()
    }

    /// Makes an object and a URL for it, unless there are enough.
    pub(crate) fn export(&mut self) {
        let Some(driver) = self.driver.upgrade().filter(|_| self.known.offers.len() < 3) else { return };
        let nonce = driver.random();
        // A disk that fails once may work the next time. The object is there then, whatever becomes of its URL.
        let export = || driver.call(|kernel, _| kernel.export_object());
        let Ok(kref) = export().or_else(|_| export()) else { return };
        let object = u32::try_from(self.known.objects.len()).unwrap();
        self.known.objects.insert(kref, object);
        let issue = || driver.call(|kernel, _| kernel.issue_ocap_url(kref, nonce));
        let Ok(url) = issue().or_else(|_| issue()) else { return };
        self.known.offers.push((Label { owner: self.life, object }, url));
    }

    /// Redemptions that have not ended.
    pub(crate) fn redeeming(&self) -> usize {
        self.redeeming.len()
    }

    /// Redeems another's URL.
    pub(crate) fn redeem(&mut self, label: Label, url: &str) {
        let Some(driver) = self.driver.upgrade() else { return };
        let random = driver.random();
        if let Ok(id) = driver.call(|kernel, now| kernel.redeem_ocap_url(url, random, now)) {
            self.redeeming.insert(id, label);
        }
    }

    /// Sends a message to something that it holds: mostly objects, now and then the promise of a result. Gives the message.
    pub(crate) fn send(&mut self, choice: u64) -> Option<MessageId> {
        let pipelined = !self.known.awaited.is_empty() && choice.is_multiple_of(7);
        if pipelined {
            let index = usize::try_from(choice / 7).ok()? % self.known.awaited.len();
            let promise = *self.known.awaited.keys().nth(index)?;
            // Each promise is a reference of its own, sent to once.
            let fresh = self.executor.id();
            return self.send_to(promise, fresh, 1, None);
        }
        let count = self.known.references.len();
        let index = usize::try_from(choice).ok()?.checked_rem(count)?;
        let (kref, reference) = self.known.references.iter().nth(index)?;
        let (kref, id, number, label) = (*kref, reference.id, reference.sent + 1, reference.label);
        let sent = self.send_to(kref, id, number, Some(label))?;
        self.known.references.get_mut(&kref)?.sent = number;
        Some(sent)
    }

    /// Sends to an object of which it has redeemed a URL.
    pub(crate) fn send_to_label(&mut self, wanted: Label) -> Option<MessageId> {
        let kref = *self.known.redeemed.get(&wanted)?;
        let reference = self.known.references.get(&kref)?;
        let (id, number) = (reference.id, reference.sent + 1);
        let sent = self.send_to(kref, id, number, Some(wanted))?;
        self.known.references.get_mut(&kref)?.sent = number;
        Some(sent)
    }

    fn send_to(&mut self, target: Kref, reference: u64, number: u64, label: Option<Label>) -> Option<MessageId> {
        let driver = self.driver.upgrade()?;
        let id = self.executor.id();
        let gift = self.executor.chance(30).then(|| self.something()).flatten();
        let promise = self.executor.chance(20).then(|| self.some_promise()).flatten();
        let body = json!({
            "id": id,
            "to": label.map(label_text),
            "slots": gift.iter().map(|(_, label)| label_text(*label)).collect::<Vec<_>>(),
        });
        let send = |promise: Option<Kref>| {
            // Promises stand behind the objects, and nothing is said of them.
            let slots = gift.iter().map(|(kref, _)| *kref).chain(promise).collect();
            let data = CapData { body: format!("#{body}"), slots };
            driver.call(|kernel, _| kernel.send(target, data))
        };
        let sent = match send(promise) {
            // It is settled, and the event has not come yet.
            Err(KernelError::NotHeld(kref)) if Some(kref) == promise => send(None),
            sent => sent,
        };
        let promise = sent.ok()?;
        self.known.awaited.insert(promise, (id, reference));
        self.journal.push(Entry::Sent { id, reference, number, target: label });
        Some(id)
    }

    /// Something to give away: an object of its own, or one that it was given.
    fn something(&self) -> Option<(Kref, Label)> {
        let own = self.known.objects.iter().map(|(kref, object)| (*kref, Label { owner: self.life, object: *object }));
        let held = self.known.references.iter().map(|(kref, reference)| (*kref, reference.label));
        let all: Vec<_> = own.chain(held).collect();
        all.get(usize::try_from(self.executor.random(all.len() as u64)).ok()?).copied()
    }

    /// A promise to give away: of a result that it waits for or owes, or one that it was given.
    fn some_promise(&self) -> Option<Kref> {
        let owed = self.known.owed.iter().map(|owed| owed.result);
        let all: Vec<_> = self.known.awaited.keys().chain(&self.known.passed).copied().chain(owed).collect();
        all.get(usize::try_from(self.executor.random(all.len() as u64)).ok()?).copied()
    }

    /// Answers some of what it owes, or all.
    pub(crate) fn answer(&mut self, most: usize) {
        for _ in 0..most.min(self.known.owed.len()) {
            let index = usize::try_from(self.executor.random(self.known.owed.len() as u64)).unwrap();
            let owed = self.known.owed.swap_remove(index);
            if !self.answer_one(&owed) {
                self.known.owed.push(owed);
                return;
            }
        }
    }

    fn answer_one(&mut self, owed: &Owed) -> bool {
        let Some(driver) = self.driver.upgrade() else { return false };
        let gift = self.executor.chance(30).then(|| self.something()).flatten();
        let (text, slots, slot) = match gift {
            Some((kref, label)) => (format!("$0.Alleged: {}", owed.id), vec![kref], Some(label)),
            None => (format!("done {}", owed.id), Vec::new(), None),
        };
        let body = format!("#{}", json!(text));
        let data = CapData { body: body.clone(), slots };
        self.known.passed.remove(&owed.result);
        self.known.answered.insert(owed.result);
        match driver.call(|kernel, _| kernel.resolve(owed.result, false, data)) {
            Ok(()) => {
                self.journal.push(Entry::Answered { id: owed.id, body, slot });
                true
            }
            // The promise is not its own to settle any more: its sender has given this kernel up, or restarted.
            Err(error) => error.name() == "PromiseError" || error.name() == "ReferenceError",
        }
    }

    /// Lets go of something that it holds.
    pub(crate) fn release(&mut self, choice: u64) {
        let Some(driver) = self.driver.upgrade() else { return };
        let count = self.known.references.len() as u64;
        let Some(index) = choice.checked_rem(count) else { return };
        let Some(kref) = self.known.references.keys().nth(usize::try_from(index).unwrap()).copied() else { return };
        if driver.call(|kernel, _| kernel.release(&[kref])).is_ok() {
            self.known.references.remove(&kref);
            self.known.unnamed.remove(&kref);
        }
    }

    /// Lets go of all that it holds, its own objects included: whatever was given away is all that keeps them.
    pub(crate) fn let_go_of_everything(&mut self) {
        let Some(driver) = self.driver.upgrade() else { return };
        let Knowledge { references, objects, unnamed, .. } = &self.known;
        let held: BTreeSet<Kref> = references.keys().chain(objects.keys()).chain(unnamed).copied().collect();
        let held: Vec<Kref> = held.into_iter().collect();
        if let Err(error) = driver.call(|kernel, _| kernel.release(&held)) {
            return self.blame(format!("{:?} cannot let go of what it holds: {error}", self.life));
        }
        self.known.references.clear();
        self.known.unnamed.clear();
        self.known.offers.clear();
    }

    /// It was given something, of which it was told what it is.
    fn take(&mut self, kref: Kref, label: Label) {
        match self.known.objects.get(&kref) {
            Some(object) if label == (Label { owner: self.life, object: *object }) => return,
            Some(object) => return self.blame(format!("{label:?} came as {kref}, which is its own object {object}")),
            // Its own object may also come by way of a third kernel; then it is another reference to the same.
            None => {}
        }
        let fresh = self.executor.id();
        let reference = self.known.references.entry(kref).or_insert(Reference { label, id: fresh, sent: 0 });
        if reference.label != label {
            let known = reference.label;
            self.blame(format!("{kref} was {known:?} and is now said to be {label:?}"));
        }
    }

    /// Takes an event of its kernel.
    pub(crate) fn on_event(&mut self, event: KernelEvent) {
        self.executor.tell(|| format!("{:?} hears {event:?}", self.life));
        match event {
            KernelEvent::Message { target, methargs, result } => self.on_message(target, methargs, result),
            KernelEvent::Notify { promise, rejected, value } => self.on_notify(promise, rejected, &value),
            KernelEvent::Redeemed { id, result } => {
                if let (Some(label), Ok(kref)) = (self.redeeming.remove(&id), result) {
                    self.known.redeemed.insert(label, kref);
                    self.take(kref, label);
                }
            }
            KernelEvent::Remote(RemoteEvent::GivenUp { peer, .. }) => {
                let host = self.host_of(&peer);
                self.journal.push(Entry::GaveUp { host });
            }
            KernelEvent::Remote(RemoteEvent::MessageRejected { peer, reason, .. }) => {
                let host = self.host_of(&peer);
                self.journal.push(Entry::Rejected { host, reason });
            }
            KernelEvent::Remote(RemoteEvent::MessagesLost { peer, .. }) => {
                let host = self.host_of(&peer);
                self.journal.push(Entry::Lost { host });
            }
            // Whatever else happens shows in the outcomes of messages.
            _ => {}
        }
    }

    fn host_of(&self, peer: &PeerId) -> usize {
        self.peers.iter().position(|known| known == peer).expect("there are no others")
    }

    fn on_message(&mut self, target: Kref, methargs: CapData<Kref>, result: Option<Kref>) {
        let Some(object) = self.known.objects.get(&target).copied() else {
            return self.blame(format!("a message for {target}, which is no object of {:?}", self.life));
        };
        let body: Value = serde_json::from_str(methargs.body.trim_start_matches('#')).unwrap_or_default();
        let id = body["id"].as_u64().unwrap_or_default();
        self.journal.push(Entry::Delivered { id, object: Label { owner: self.life, object } });
        let labels = body["slots"].as_array().into_iter().flatten().filter_map(|text| parse_label(text.as_str()?));
        let labels: Vec<_> = labels.collect();
        let promises = methargs.slots.iter().skip(labels.len());
        let is_news = |kref: &&Kref| !self.known.awaited.contains_key(*kref) && !self.known.answered.contains(*kref);
        self.known.passed.extend(promises.filter(is_news));
        for (kref, label) in methargs.slots.into_iter().zip(labels) {
            self.take(kref, label);
        }
        if let Some(result) = result {
            let owed = Owed { result, id };
            if !(self.executor.chance(self.prompt) && self.answer_one(&owed)) {
                self.known.owed.push(owed);
            }
        }
    }

    fn on_notify(&mut self, promise: Kref, rejected: bool, value: &CapData<Kref>) {
        let was_passed = self.known.passed.remove(&promise) || self.known.answered.contains(&promise);
        let Some((id, _)) = self.known.awaited.remove(&promise) else {
            if was_passed {
                let unnamed = value.slots.iter().filter(|slot| !self.known.objects.contains_key(slot));
                return self.known.unnamed.extend(unnamed.filter(|slot| !slot.is_promise()));
            }
            return self.blame(format!("{promise} was settled, for which {:?} does not wait", self.life));
        };
        let slot = self.oracle.borrow().answer_slot(id);
        if let (false, Some(label), Some(kref)) = (rejected, slot, value.slots.first()) {
            self.take(*kref, label);
        }
        self.journal.push(Entry::Settled { id, rejected, body: value.body.clone() });
    }
}
