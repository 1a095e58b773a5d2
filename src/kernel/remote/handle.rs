//! One remote as a whole: what it is made of, its channel and its timers.

use std::cell::Cell;

use super::{
    super::{KernelError, host::HostKernel, store::RemoteInfo},
    counters::RemoteCounters,
    ends::{Damage, first_epoch, recover},
    flow::{MAX_UNANSWERED, Requests},
    gaps::Asked,
    given::Given,
    portions::Portions,
    retired::Retired,
    turns::Turns,
};
use crate::{
    runtime::Timestamp,
    session::{Session, SessionConfig, TimerOutcome, Write, WriteOutcome, WriteToken},
    wire::{EndpointId, IncarnationId, Kref, MAX_SEQ, PeerId, Resume, Seq},
};

/// Names one URL that a peer wants to redeem and that is being opened, so that an answer which comes after the peer has
/// restarted is not taken for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UrlTicket {
    pub(super) remote: EndpointId,
    pub(super) number: u64,
}

/// How far the URL is that the message at the head asks for. Meanwhile the messages behind it wait, no transaction is open,
/// and other remotes go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// The head asks for none, or was not looked at.
    Idle,
    /// It is being opened.
    Waiting(UrlTicket),
    /// It is open, or there is a reason why not.
    Done(Result<Kref, String>),
}

/// One remote kernel.
#[derive(Debug)]
pub struct RemoteHandle {
    pub(super) id: EndpointId,
    pub(super) info: RemoteInfo,
    pub(super) session: Session,
    /// The peer's incarnation before its present one.
    pub(super) former: Option<IncarnationId>,
    pub(super) counters: RemoteCounters,
    pub(super) max_message_bytes: usize,
    /// The message at the head.
    pub(super) portions: Portions,
    /// What was given to the peer, and when.
    pub(super) given: Given,
    /// Which names of settled promises the peer has retired and this end has forgotten.
    pub(super) retired: Retired,
    /// The URL that the message at the head asks for, while it is being opened.
    pub(super) opening: Opening,
    /// Numbers the tickets.
    pub(super) last_ticket: u64,
    /// The reap that is due was asked for by the peer; it must not be asked to reap in turn.
    pub(super) reap_is_the_peers: bool,
    /// What the peer asked.
    pub(super) requests: Requests,
    /// How many requests the peer has not answered: at least as many. Of a former life's it is not known before they are counted.
    pub(super) unanswered: Cell<usize>,
    /// Which messages asked for what the peer has not told.
    pub(super) asked: Asked,
    /// What it was told of garbage since its kernel's last turn.
    pub(super) turns: Turns,
    /// Something that the peer sent was lost, in this conversation and this life of the kernel.
    pub(super) misses_some: bool,
    /// The peer was given an object, and nobody has taken note.
    pub(super) was_given: bool,
    /// The peer has retired something that it was given, and nobody has looked what is left.
    pub(super) gave_back: bool,
    /// The peer had forgotten this kernel, and holds nothing of what it was given.
    pub(super) starts_over: bool,
    /// Where the peer said that it is, in something that the storage kept from being heard. It says so once on each channel, so
    /// this belongs to whatever comes next.
    pub(super) unheard: Option<Resume>,
    /// When the peer last wrote, or this kernel was started.
    pub(super) heard: Timestamp,
    /// What could not be read of it, if anybody has still to be told.
    pub(super) damage: Option<Damage>,
}

impl RemoteHandle {
    /// Takes up a remote as the store left it: a message that was written before its counter is recovered, rows that
    /// acknowledgements left behind are removed.
    pub(in crate::kernel) fn restore(
        host: &mut dyn HostKernel,
        id: EndpointId,
        info: RemoteInfo,
        config: SessionConfig,
        max_message_bytes: usize,
        now: Timestamp,
    ) -> Result<Self, KernelError> {
        let (saved, damage) = host.transaction("restoreRemote", |host| recover(host, id, now))?;
        let given = Given::restore(host, id, &saved)?;
        let asked = Asked::restore(&saved)?;
        let turns = Turns::restore(&saved);
        let is_new = saved.last_sent == 0;
        let mut session = Session::restore(config, saved, now);
        if host.keeps_epochs() && session.epoch().is_none() {
            let epoch = first_epoch(id, now);
            host.transaction("epoch", |host| host.set_epoch(id, epoch))?;
            session.begin_epoch(epoch);
        }
        let former = host.former_incarnation(id)?;
        Ok(RemoteHandle {
            id,
            info,
            session,
            former,
            counters: RemoteCounters::default(),
            max_message_bytes,
            portions: Portions::default(),
            given,
            retired: Retired::default(),
            opening: Opening::Idle,
            last_ticket: 0,
            reap_is_the_peers: false,
            requests: Requests::default(),
            unanswered: Cell::new(if is_new { 0 } else { MAX_UNANSWERED }),
            asked,
            turns,
            misses_some: false,
            was_given: false,
            gave_back: false,
            starts_over: false,
            unheard: None,
            heard: now,
            damage,
        })
    }

    /// Its id in this kernel.
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// The peer at the other end.
    pub fn peer(&self) -> &PeerId {
        &self.info.peer_id
    }

    /// Where the peer may be found.
    pub fn hints(&self) -> &[String] {
        &self.info.hints
    }

    /// What has happened since this kernel was started.
    pub fn counters(&self) -> RemoteCounters {
        self.counters
    }

    /// How many messages wait to be acknowledged by the peer.
    pub fn pending(&self) -> usize {
        self.session.pending()
    }

    /// How many more messages may be sent before some are acknowledged or answered.
    pub fn room(&self) -> usize {
        self.session.room().min(MAX_UNANSWERED.saturating_sub(self.unanswered()))
    }

    /// The last number that was given to a message; 0 before the first. The last [`pending`](Self::pending) numbers up to it
    /// are not acknowledged.
    pub fn last_sent(&self) -> u64 {
        let before_start = self.session.start().get().saturating_sub(1);
        before_start.saturating_add(self.pending() as u64).min(MAX_SEQ)
    }

    /// The highest number received in order, if anything was.
    pub fn highest_received(&self) -> Option<Seq> {
        self.session.highest_received()
    }

    /// Puts hints before those that are known, and forgets the oldest beyond the limit.
    pub(in crate::kernel) fn add_hints(
        &mut self,
        host: &mut dyn HostKernel,
        hints: &[String],
    ) -> Result<(), KernelError> {
        let mut info = self.info.clone();
        info.hints.retain(|known| !hints.contains(known));
        info.hints.splice(0..0, hints.iter().cloned());
        info.hints.truncate(super::RemoteManager::MAX_HINTS);
        if info != self.info {
            host.transaction("locationHints", |host| host.set_remote_info(self.id, &info))?;
            self.info = info;
        }
        Ok(())
    }

    /// Whether nothing is under way with the peer.
    pub(in crate::kernel) fn is_idle(&self) -> bool {
        self.opening == Opening::Idle
            && !self.portions.is_begun()
            && self.session.pending() == 0
            && !self.session.awaits_commit()
    }

    /// Whether some of a long message was processed, and not all.
    pub(in crate::kernel) fn has_more(&self) -> bool {
        self.portions.is_begun()
    }

    pub(in crate::kernel) fn channel_up(&mut self, now: Timestamp) {
        self.session.channel_up(now);
    }

    pub(in crate::kernel) fn channel_was_announced(&mut self) {
        self.session.channel_was_announced();
    }

    pub(in crate::kernel) fn network_started(&mut self, now: Timestamp) {
        self.session.network_started(now);
    }

    pub(in crate::kernel) fn awaits_commit(&self) -> bool {
        self.session.awaits_commit()
    }

    pub(in crate::kernel) fn seal(&mut self) {
        self.session.seal();
    }

    pub(in crate::kernel) fn commit_sealed(&mut self, now: Timestamp) {
        self.session.commit_sealed(now);
    }

    pub(in crate::kernel) fn commit(&mut self, now: Timestamp) {
        self.session.commit(now);
    }

    pub(in crate::kernel) fn poll_write(&mut self, now: Timestamp) -> Option<Write> {
        self.session.poll_write(now)
    }

    pub(in crate::kernel) fn write_finished(&mut self, now: Timestamp, token: WriteToken, outcome: WriteOutcome) {
        self.session.write_finished(now, token, outcome);
    }

    pub(in crate::kernel) fn is_current(&self, token: WriteToken) -> bool {
        self.session.is_current(token)
    }

    pub(in crate::kernel) fn poll_timeout(&self) -> Option<Timestamp> {
        self.session.poll_timeout()
    }

    pub(in crate::kernel) fn no_channel(&mut self, now: Timestamp) {
        self.session.no_channel(now);
    }

    pub(in crate::kernel) fn moving(&mut self, now: Timestamp) {
        self.session.moving(now);
    }

    pub(in crate::kernel) fn handle_timeout(&mut self, now: Timestamp) -> TimerOutcome {
        self.session.handle_timeout(now)
    }
}
