//! Conservation: when every program has let go of everything, nothing is left anywhere, and both ends of each pair agree on
//! what is shared. An audit sees one store; what leaks between two is seen only here.
//!
//! One thing may stay: the outcome of a settled promise whose name the peer has not been told to forget, with what that outcome
//! mentions, wherever its owner is. And between two of which one gave the other up, nobody knows which gifts and drops of those that
//! were abandoned had arrived: what they share may stay.

use std::collections::{BTreeMap, BTreeSet};

use ocap_remotes::{
    kernel::store::{KernelStore, PromiseState},
    wire::{Direction, EndpointId, Eref, Kref, PeerId, RefKind},
};

use crate::{host::Host, schedule::HOSTS, world::World};

/// A c-list's objects: the name that the remote has for each, and what it is here.
type Names = BTreeMap<Eref, Kref>;

/// What one kernel keeps of objects.
#[derive(Default)]
struct Kept {
    /// By the host at the other end.
    shared: BTreeMap<usize, Names>,
    /// Objects that the store has rows of.
    objects: BTreeSet<Kref>,
    /// What outcomes of promises mention.
    mentioned: BTreeSet<Kref>,
}

impl Kept {
    fn of(host: &Host, peers: &[PeerId]) -> Result<Self, String> {
        let mut kept = Kept::default();
        let Some(driver) = host.driver() else { return Ok(kept) };
        for row in host.disk.keys() {
            let Some((name, field)) = row.split_once('.') else { continue };
            let Ok(kref) = name.parse::<Kref>() else { continue };
            match (kref.kind, field) {
                (RefKind::Object, "refCount") => _ = kept.objects.insert(kref),
                (RefKind::Promise, "state") => {
                    kept.mentioned.extend(driver.inspect(|kernel| match kernel.store().promise_state(kref) {
                        Ok(Some(PromiseState::Fulfilled(value) | PromiseState::Rejected(value))) => value.slots,
                        _ => Vec::new(),
                    }))
                }
                _ => {}
            }
        }
        let former = |kref: Kref, remote: EndpointId| {
            host.disk.row(&format!("given.{kref}.{remote}")).is_some_and(|gift| gift == "former")
        };
        driver.inspect(|kernel| {
            let store = kernel.store();
            for (remote, info) in store.all_remotes().map_err(|error| error.to_string())? {
                let to = peers.iter().position(|peer| *peer == info.peer_id);
                let to = to.ok_or_else(|| format!("{} is nobody", info.peer_id))?;
                kept.shared.insert(to, names(store, remote, &former)?);
            }
            Ok::<_, String>(())
        })?;
        Ok(kept)
    }

    fn shared_with(&self, host: usize) -> Names {
        self.shared.get(&host).cloned().unwrap_or_default()
    }
}

/// The names in a c-list. A name that only a former incarnation of the peer was given means nothing to this one.
fn names(
    store: &KernelStore,
    remote: EndpointId,
    is_former: &dyn Fn(Kref, EndpointId) -> bool,
) -> Result<Names, String> {
    let entries = store.clist(remote).map_err(|error| error.to_string())?;
    let meant = entries.into_iter().filter(|(kref, _)| !kref.is_promise() && !is_former(*kref, remote));
    Ok(meant.map(|(kref, eref)| (eref, kref)).collect())
}

impl World {
    /// Everybody lets go of everything; then nothing may be left.
    ///
    /// # Errors
    /// What is left, or what two ends do not agree on.
    pub(crate) fn conserve(&mut self) -> Result<(), String> {
        for host in 0..HOSTS {
            self.host(host).program.borrow_mut().let_go_of_everything();
        }
        // Word of what was dropped goes from host to host.
        self.wait(30_000)?;
        let kept = (0..HOSTS).map(|host| Kept::of(self.host(host), self.peers()));
        let kept = kept.collect::<Result<Vec<_>, _>>()?;
        let severed: BTreeSet<_> = Self::pairs().filter(|(one, other)| self.severed(*one, *other)).collect();
        for (one, other) in Self::pairs().filter(|pair| !severed.contains(pair)) {
            agree(one, &kept[one].shared_with(other), other, &kept[other].shared_with(one))?;
        }
        let excused = excused(&kept, &severed);
        for (host, kept) in kept.iter().enumerate() {
            let leaked: Vec<_> = kept.objects.iter().filter(|kref| !excused.contains(&(host, **kref))).collect();
            if !leaked.is_empty() {
                return Err(format!("everything was let go of, and host {host} keeps {leaked:?}"));
            }
        }
        Ok(())
    }
}

/// Each name at one end is a name at the other.
fn agree(one: usize, ours: &Names, other: usize, theirs: &Names) -> Result<(), String> {
    let theirs: BTreeSet<Eref> = theirs.keys().map(|eref| eref.flipped()).collect();
    let ours: BTreeSet<Eref> = ours.keys().copied().collect();
    match ours.difference(&theirs).next() {
        None => Ok(()),
        Some(eref) if eref.direction == Direction::Export => {
            Err(format!("host {one} holds {eref} of host {other}, which knows of no such object"))
        }
        Some(eref) => Err(format!("host {one} keeps {eref} for host {other}, which does not hold it")),
    }
}

/// What outcomes that are still told mention and what is shared after a give-up, there and at every host on the way to its owner.
fn excused(kept: &[Kept], severed: &BTreeSet<(usize, usize)>) -> BTreeSet<(usize, Kref)> {
    let mut excused = BTreeSet::new();
    let mut next: Vec<(usize, Kref)> = Vec::new();
    for (host, kept) in kept.iter().enumerate() {
        next.extend(kept.mentioned.iter().map(|kref| (host, *kref)));
        let doubtful = kept.shared.iter().filter(|(other, _)| severed.contains(&(host, **other)));
        next.extend(doubtful.flat_map(|(_, names)| names.values()).map(|kref| (host, *kref)));
    }
    while let Some((host, kref)) = next.pop() {
        if !excused.insert((host, kref)) {
            continue;
        }
        for (other, names) in &kept[host].shared {
            let named = names.iter().filter(|(eref, named)| **named == kref && eref.direction == Direction::Export);
            let there = named.filter_map(|(eref, _)| kept[*other].shared_with(host).get(&eref.flipped()).copied());
            next.extend(there.map(|kref| (*other, kref)));
        }
    }
    excused
}
