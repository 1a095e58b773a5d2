//! Attackers: each has a line of its own, and writes what its script says as fast as the victim reads.

use ocap_remotes::wire::{Handshake, PeerId};

use super::{
    RETURN,
    world::{Desk, MILLISECOND, Micros, Person, SECOND},
};

/// What an attacker does next.
pub(crate) enum Step {
    /// A command, in a message with the next number.
    Command(String),
    /// A frame as it stands.
    Frame(String),
    /// Nothing, until something more is heard.
    Wait,
    /// Nothing for so many milliseconds.
    Pause(u64),
    /// Another channel, in the same incarnation.
    Again,
    /// Another channel, as another incarnation.
    Anew,
    /// Another channel, under another key.
    OtherKey,
}

/// Where a script has come to.
pub(crate) struct Script {
    /// Steps so far, of this incarnation.
    pub(crate) step: u64,
    /// Which of several attackers this is.
    pub(crate) slot: u64,
    /// Numbered messages that it got since it was given its object.
    pub(crate) answers: u64,
    /// The URL of the victim's object.
    pub(crate) url: String,
}

/// Who attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// So many peers that hold an object of the victim's.
    Known(usize),
    /// So many that do not.
    Strangers(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Away,
    ShakesHands,
    Redeems,
    Attacks,
}

/// One attacker.
pub(crate) struct Attacker {
    next: fn(&mut Script) -> Step,
    known: bool,
    reads: bool,
    deaf: bool,
    script: Script,
    stage: Stage,
    key: u64,
    life: u64,
    seq: u64,
    heard: u64,
    begins: Micros,
    ends: Micros,
    paused_until: Micros,
    /// Bytes that it has written.
    pub(crate) written: u64,
    /// Keys that it has had.
    pub(crate) keys: u64,
}

/// How an attacker goes about it.
#[derive(Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) next: fn(&mut Script) -> Step,
    /// Whether it acknowledges what it gets.
    pub(crate) reads: bool,
    /// Whether it does not even read its stream.
    pub(crate) deaf: bool,
}

impl Attacker {
    pub(crate) fn new(habits: Habits, known: bool, slot: u64, url: &str, (begins, ends): (Micros, Micros)) -> Self {
        let Habits { next, reads, deaf } = habits;
        let script = Script { step: 0, slot, answers: 0, url: url.to_owned() };
        Attacker {
            next,
            known,
            reads,
            deaf,
            script,
            stage: Stage::Away,
            key: 0,
            life: 0,
            seq: 0,
            heard: 0,
            begins,
            ends,
            paused_until: 0,
            written: 0,
            keys: 0,
        }
    }

    fn write(&mut self, text: String, desk: &mut Desk<'_>) {
        self.written += text.len() as u64;
        desk.write(text);
    }

    fn command(&mut self, command: &str, desk: &mut Desk<'_>) {
        self.seq += 1;
        let heard = if self.reads { self.heard } else { 0 };
        self.write(format!(r#"{{"seq":{},"ack":{heard},{command}}}"#, self.seq), desk);
    }

    fn connect(&mut self, desk: &mut Desk<'_>) {
        self.stage = Stage::ShakesHands;
        let mut seed = [0xA7; 32];
        seed[..8].copy_from_slice(&(self.script.slot << 32 | self.key).to_be_bytes());
        desk.connect(PeerId::from_ed25519_seed(seed).unwrap());
        let life = format!("life-{}", self.life).parse().unwrap();
        self.write(Handshake::Hello(life).encode(), desk);
    }

    fn begin_life(&mut self) {
        self.life += 1;
        (self.seq, self.heard, self.script.step, self.script.answers) = (0, 0, 0, 0);
    }

    /// It leaves; one that is known shows itself once more, much later, as another incarnation.
    fn is_over(&mut self, desk: &mut Desk<'_>) {
        self.stage = Stage::Away;
        desk.leave();
        if desk.now < RETURN {
            desk.wake_at(RETURN);
        } else if desk.now < RETURN + SECOND && self.known {
            self.begin_life();
            self.connect(desk);
            desk.wake_at(RETURN + SECOND);
        }
    }

    fn attack(&mut self, desk: &mut Desk<'_>) {
        while self.stage == Stage::Attacks
            && (self.begins..self.ends).contains(&desk.now)
            && desk.now >= self.paused_until
            && desk.has_room()
        {
            let step = (self.next)(&mut self.script);
            self.script.step += 1;
            match step {
                Step::Command(command) => self.command(&command, desk),
                Step::Frame(text) => self.write(text, desk),
                Step::Wait => {
                    self.script.step -= 1;
                    return;
                }
                Step::Pause(millis) => {
                    self.paused_until = desk.now + millis * MILLISECOND;
                    desk.wake_at(self.paused_until);
                }
                Step::Again => self.connect(desk),
                Step::Anew => {
                    self.begin_life();
                    self.connect(desk);
                }
                Step::OtherKey => {
                    self.begin_life();
                    self.key += 1;
                    self.keys += 1;
                    self.connect(desk);
                }
            }
        }
    }
}

impl Person for Attacker {
    fn hears(&mut self, text: &str, desk: &mut Desk<'_>) {
        if desk.now >= self.ends {
            return;
        }
        match self.stage {
            Stage::ShakesHands if self.known && self.script.step == 0 => {
                self.stage = Stage::Redeems;
                let url = self.script.url.clone();
                self.command(&format!(r#""method":"redeemURL","params":["{url}","key"]"#), desk);
            }
            Stage::ShakesHands => self.stage = Stage::Attacks,
            Stage::Redeems if text.contains("redeemURLReply") => self.stage = Stage::Attacks,
            Stage::Attacks if text.starts_with(r#"{"seq":"#) => self.script.answers += 1,
            _ => {}
        }
        let number = text.strip_prefix(r#"{"seq":"#).and_then(|rest| rest.split(',').next());
        self.heard = self.heard.max(number.and_then(|number| number.parse().ok()).unwrap_or(0));
        self.attack(desk);
    }

    fn is_cut_off(&mut self, desk: &mut Desk<'_>) {
        if desk.now >= self.ends {
            return;
        }
        self.stage = Stage::Away;
        self.paused_until = desk.now + 100 * MILLISECOND;
        desk.wake_at(self.paused_until);
    }

    fn wakes(&mut self, desk: &mut Desk<'_>) {
        if desk.now >= self.ends {
            return self.is_over(desk);
        }
        if self.stage == Stage::Away && desk.now >= self.paused_until {
            if self.keys > 0 || self.seq > 0 {
                self.begin_life();
            }
            self.keys = self.keys.max(1);
            self.connect(desk);
        }
        desk.wake_at(if desk.now < self.begins { self.begins } else { self.ends });
        self.attack(desk);
    }

    fn is_deaf(&self) -> bool {
        self.deaf
    }
}
