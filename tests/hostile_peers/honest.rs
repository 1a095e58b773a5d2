//! The honest pair, which goes on talking while one of them is attacked.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use ocap_remotes::{
    kernel::{KernelEvent, RemoteEvent},
    wire::{CapData, Kref, PeerId},
};

use crate::support::{ANY_PORT, Party, start};

/// The honest pair: Alice sends, Bob answers; and where the attackers find Bob.
pub(crate) struct Honest {
    pub(crate) alice: Rc<Party>,
    pub(crate) bob: Rc<Party>,
    object: Kref,
    pub(crate) target: Target,
    sent: usize,
    /// What may have to be waited for.
    pub(crate) patience: Duration,
}

#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) peer: PeerId,
}

impl Target {
    pub(crate) fn port(&self) -> u16 {
        self.address.split('/').nth(4).unwrap().parse().unwrap()
    }
}

/// Runs the attack in a thread of its own while Alice talks to Bob, and gives what it returned.
pub(crate) fn under_attack<T: Send + 'static, F>(
    name: &str,
    attack: impl FnOnce(Target) -> F + Send + 'static,
    afterwards: impl AsyncFnOnce(&Honest, T),
) where
    F: Future<Output = T>,
{
    story(async {
        let mut honest = Honest::new().await;
        let (usual, _) = honest.talk(|count| count >= 20).await;
        let before = resident();
        let target = honest.target.clone();
        let attacker = std::thread::spawn(move || story(attack(target)));
        let (during, worst) = honest.talk(|count| attacker.is_finished() && count >= 20).await;
        let outcome = attacker.join().unwrap();
        let growth = resident().saturating_sub(before) / 1_024;
        eprintln!(
            "hostile peers: {name}: an honest round trip {usual:?} before, {during:?} during the attack (median), \
             {worst:?} at worst; memory of both sides +{growth} KB"
        );
        honest.patience = patience(usual);
        assert!(worst < honest.patience, "the honest are kept waiting for {worst:?}");
        honest.nothing_is_lost().await;
        afterwards(&honest, outcome).await;
        for party in [&honest.alice, &honest.bob] {
            party.driver.inspect(|kernel| kernel.store().audit()).unwrap();
            party.driver.stop().await.unwrap();
        }
    });
}

/// What an honest kernel may have to wait, by what is usual on this machine when nobody attacks.
pub(crate) fn patience(usual: Duration) -> Duration {
    Duration::from_secs(5).max(usual * 400)
}

pub(crate) fn story<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let bounded = async { tokio::time::timeout(Duration::from_secs(300), story).await };
    runtime.block_on(local.run_until(bounded)).expect("the story does not hang")
}

/// Memory of this process, in bytes.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}

impl Honest {
    pub(crate) async fn new() -> Self {
        let (alice, bob) = (Rc::new(start(1, ANY_PORT).await), Rc::new(start(2, ANY_PORT).await));
        alice.knows(&bob);
        let object = alice.redeem(&bob.issue().await).await.unwrap();
        let target = Target { address: bob.address.clone(), peer: bob.peer.clone() };
        Honest { alice, bob, object, target, sent: 0, patience: patience(Duration::ZERO) }
    }

    /// Sends and waits for the answer, until `enough` says so of the count; gives the median and the worst round trip.
    pub(crate) async fn talk(&mut self, enough: impl Fn(usize) -> bool) -> (Duration, Duration) {
        let mut times = Vec::new();
        while !enough(times.len()) {
            let begun = Instant::now();
            let promise = self.alice.send(self.object, &format!("#{}", self.sent));
            self.sent += 1;
            self.answer_all().await;
            while !self.is_settled(promise) {
                self.answer_all().await;
                assert!(begun.elapsed() < Duration::from_secs(60), "no answer for a minute");
            }
            times.push(begun.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times.sort();
        (times[times.len() / 2], *times.last().unwrap())
    }

    /// Bob's program answers every message.
    pub(crate) async fn answer_all(&self) {
        tokio::time::sleep(Duration::from_micros(200)).await;
        let results: Vec<Kref> = {
            let mut events = self.bob.events.borrow_mut();
            let results = events.iter_mut().filter_map(|event| match event {
                KernelEvent::Message { result, .. } => result.take(),
                _ => None,
            });
            results.collect()
        };
        for result in results {
            let answer = CapData { body: "#\"yes\"".into(), slots: Vec::new() };
            self.bob.driver.call(|kernel, _| kernel.resolve(result, false, answer)).unwrap();
        }
    }

    pub(crate) fn is_settled(&self, promise: Kref) -> bool {
        let events = self.alice.events.borrow();
        events
            .iter()
            .rev()
            .any(|event| matches!(event, KernelEvent::Notify { promise: settled, .. } if *settled == promise))
    }

    pub(crate) async fn nothing_is_lost(&self) {
        let expected: Vec<String> = (0..self.sent).map(|number| format!("#{number}")).collect();
        assert_eq!(self.bob.bodies(), expected);
    }

    /// How long it takes a kernel that Bob has never seen to redeem a URL of his.
    pub(crate) async fn newcomer(&self) -> Duration {
        let carol = start(3, ANY_PORT).await;
        carol.knows(&self.bob);
        let url = self.bob.issue().await;
        let begun = Instant::now();
        carol.redeem(&url).await.unwrap();
        let time = begun.elapsed();
        carol.driver.stop().await.unwrap();
        time
    }

    pub(crate) fn restarts(&self) -> usize {
        let events = self.bob.events.borrow();
        events.iter().filter(|event| matches!(event, KernelEvent::Remote(RemoteEvent::PeerRestarted { .. }))).count()
    }
}
