//! The reference model: plain lists of what was sent, delivered, answered and settled, and the rules that they must keep.
//!
//! It knows nothing of sequence numbers, channels or stores. A program writes its entries down as it goes; they count once the
//! commit that they belong to is durable, and vanish with a crash before that.

use std::collections::{BTreeMap, BTreeSet};

/// One life of a kernel's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    /// Whose.
    pub host: usize,
    /// Which; it rises with each wipe.
    pub number: u32,
}

/// An object, as everybody knows it who was ever told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Whose program has it.
    pub owner: Life,
    /// Which of that program's objects.
    pub object: u32,
}

/// One message, by the number that the simulator gave it.
pub(crate) type MessageId = u64;

/// Something that a program did or saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It sent a message, as the `number`-th under one reference, to an object or to a promise.
    Sent {
        /// Which.
        id: MessageId,
        /// The reference, named by a number that no other life or reference has.
        reference: u64,
        /// Counted from 1.
        number: u64,
        /// The object; `None` for a promise, whose outcome decides.
        target: Option<Label>,
    },
    /// It took a message for one of its objects.
    Delivered {
        /// Which.
        id: MessageId,
        /// The object that it came to.
        object: Label,
    },
    /// It settled the result of a message.
    Answered {
        /// Which.
        id: MessageId,
        /// With this body.
        body: String,
        /// And this object in its slot.
        slot: Option<Label>,
    },
    /// It has given another host up, or closed its connection to it.
    GaveUp {
        /// That host.
        host: usize,
    },
    /// It was told that messages of another host are lost.
    Lost {
        /// That host.
        host: usize,
    },
    /// It could not process a message of another host's.
    Rejected {
        /// That host.
        host: usize,
        /// Why.
        reason: String,
    },
    /// The promise of a message's result was settled.
    Settled {
        /// Which.
        id: MessageId,
        /// Whether rejected.
        rejected: bool,
        /// With this body.
        body: String,
    },
}

#[derive(Debug)]
struct Sent {
    from: Life,
    reference: u64,
    number: u64,
    target: Option<Label>,
}

/// Everything that is durable.
#[derive(Debug, Default)]
pub struct Oracle {
    sent: BTreeMap<MessageId, Sent>,
    delivered: BTreeMap<MessageId, Life>,
    /// The highest number delivered under each reference at each life.
    highest: BTreeMap<(u64, Life), u64>,
    answers: BTreeMap<MessageId, (String, Option<Label>)>,
    settled: BTreeMap<MessageId, String>,
    /// Nobody may be given up: everybody is there, and will be reached again.
    all_are_there: bool,
    /// Who ever gave up whom.
    gave_up: BTreeSet<(usize, usize)>,
    /// Who ever lost its memory, forgot a peer, or was forgotten by one.
    wiped: BTreeSet<usize>,
}

impl Oracle {
    /// Messages delivered so far.
    pub fn deliveries(&self) -> u64 {
        self.delivered.len() as u64
    }

    /// Messages sent so far.
    pub fn sends(&self) -> u64 {
        self.sent.len() as u64
    }

    /// What the answer to a message has in its slot.
    pub fn answer_slot(&self, id: MessageId) -> Option<Label> {
        self.answers.get(&id).and_then(|(_, slot)| *slot)
    }

    /// An entry of `by` has become durable.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn commit(&mut self, by: Life, entry: Entry) -> Result<(), String> {
        match entry {
            Entry::Sent { id, reference, number, target } => {
                self.sent.insert(id, Sent { from: by, reference, number, target });
                Ok(())
            }
            Entry::Delivered { id, object } => self.deliver(by, id, object),
            Entry::Answered { id, body, slot } => {
                if self.delivered.get(&id) != Some(&by) {
                    return Err(format!("{by:?} answers message {id}, which it never got"));
                }
                match self.answers.insert(id, (body, slot)) {
                    None => Ok(()),
                    Some(_) => Err(format!("{by:?} answers message {id} twice")),
                }
            }
            Entry::GaveUp { host } if self.all_are_there => Err(format!("{by:?} gives host {host} up, which is there")),
            Entry::GaveUp { host } => {
                self.gave_up.insert((by.host, host));
                Ok(())
            }
            Entry::Lost { host } if self.gave_up.contains(&(host, by.host)) => Ok(()),
            Entry::Lost { host } => {
                Err(format!("{by:?} takes messages of host {host} for lost, which never gave it up"))
            }
            Entry::Rejected { host, reason } => self.reject(by, host, &reason),
            Entry::Settled { id, rejected, body } => self.settle(by, id, rejected, &body),
        }
    }

    /// From now on whoever gives another up breaks a rule.
    pub(crate) fn let_nobody_be_given_up(&mut self) {
        self.all_are_there = true;
    }

    /// A life has committed.
    pub(crate) fn note_life(&mut self, life: Life) {
        if life.number > 1 {
            self.wiped.insert(life.host);
        }
    }

    /// Whether one of two hosts ever gave the other up.
    pub(crate) fn severed(&self, one: usize, other: usize) -> bool {
        self.gave_up.contains(&(one, other)) || self.gave_up.contains(&(other, one))
    }

    /// A host takes another for somebody else, and forgets it.
    pub(crate) fn note_impostor(&mut self, host: usize, of: usize) {
        self.wiped.extend([host, of]);
    }

    /// Ends that understand each other reject nothing. Once one gave the other up, or lost its memory, each may have settled
    /// what the other still mentions.
    fn reject(&self, by: Life, host: usize, reason: &str) -> Result<(), String> {
        if self.severed(by.host, host) || self.wiped.contains(&by.host) || self.wiped.contains(&host) {
            return Ok(());
        }
        Err(format!("{by:?} rejects a message of host {host}: {reason}"))
    }

    fn deliver(&mut self, by: Life, id: MessageId, object: Label) -> Result<(), String> {
        let Some(sent) = self.sent.get(&id) else {
            return Err(format!("{by:?} got message {id}, which nobody has durably sent"));
        };
        if object.owner != by || sent.target.is_some_and(|target| target != object) {
            return Err(format!("message {id} for {:?} came to {object:?} of {by:?}: wrong or stale", sent.target));
        }
        if let Some(before) = self.delivered.insert(id, by) {
            return Err(format!("message {id} was delivered to {before:?} and again to {by:?}"));
        }
        let highest = self.highest.entry((sent.reference, by)).or_default();
        if sent.number <= *highest {
            return Err(format!(
                "message {id}, number {} under its reference, was delivered after number {highest}",
                sent.number
            ));
        }
        *highest = sent.number;
        Ok(())
    }

    fn settle(&mut self, by: Life, id: MessageId, rejected: bool, body: &str) -> Result<(), String> {
        let Some(sent) = self.sent.get(&id).filter(|sent| sent.from == by) else {
            return Err(format!("{by:?} learns the outcome of message {id}, which it did not send"));
        };
        if self.settled.insert(id, body.to_owned()).is_some() {
            return Err(format!("the result of message {id} of {:?} was settled twice", sent.from));
        }
        let by_kernel = rejected && body.contains("[KERNEL:");
        if body.contains("[KERNEL:DELIVERY_FAILED]") && self.delivered.contains_key(&id) {
            return Err(format!("message {id} was delivered, and its sender is told that it could not be: {body}"));
        }
        match self.answers.get(&id) {
            Some((answer, _)) if !rejected && answer == body => Ok(()),
            _ if by_kernel => Ok(()),
            answer => Err(format!("the result of message {id} is {body:?}, the answer was {answer:?}")),
        }
    }

    /// Whether a message was delivered and its sender has the answer.
    pub fn is_answered(&self, id: MessageId) -> bool {
        self.delivered.contains_key(&id) && self.answers.contains_key(&id) && self.settled.contains_key(&id)
    }

    /// What became of a message, in words.
    pub fn fate(&self, id: MessageId) -> String {
        let delivered = if self.delivered.contains_key(&id) { "was delivered" } else { "was not delivered" };
        let answered = if self.answers.contains_key(&id) { "answered" } else { "not answered" };
        match self.settled.get(&id) {
            Some(body) => format!("{delivered}, {answered}, and settled as {body}"),
            None => format!("{delivered}, {answered}, and its sender was told nothing"),
        }
    }

    /// At the end, when everybody has answered everything and the network was kind for long enough.
    ///
    /// # Errors
    /// A message of one of the `living` that was neither delivered nor reported, or whose result nobody will ever settle.
    pub fn finish(&self, living: &[Life]) -> Result<(), String> {
        for (id, sent) in &self.sent {
            if living.contains(&sent.from) && !self.settled.contains_key(id) {
                let fate = self.fate(*id);
                return Err(format!("message {id} of {:?} to {:?} {fate}", sent.from, sent.target));
            }
        }
        Ok(())
    }
}
