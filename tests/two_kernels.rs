//! Two whole kernels, natively, through the life of a peer.
#![cfg(all(feature = "kernel", feature = "network", not(target_arch = "wasm32")))]
#![allow(clippy::unwrap_used, clippy::panic)] // clippy knows tests by #[test] only

mod support;

use ocap_remotes::kernel::{KernelEvent, RemoteEvent};
use support::{ANY_PORT, start};

#[test]
fn two_kernels_talk_and_one_restarts_and_one_closes_and_opens_again() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let (alice, bob) = (start(1, ANY_PORT).await, start(2, ANY_PORT).await);
        alice.knows(&bob);

        let object = alice.redeem(&bob.issue().await).await.unwrap();
        let expected: Vec<String> = (0..100).map(|number| format!("#{number}")).collect();
        for body in &expected {
            alice.send(object, body);
        }
        bob.has_received(100).await;
        assert_eq!(bob.bodies(), expected);

        // Bob leaves with 100 promises unsettled, and comes back without his memory.
        bob.driver.stop().await.unwrap();
        alice.send(object, "#\"pending\"");
        let bob = start(2, &bob.address).await;
        bob.knows(&alice);
        let answer = bob.redeem(&alice.issue().await).await.unwrap();
        let (discarded, rejected) = alice
            .hears("the restart", |event| match event {
                KernelEvent::Remote(RemoteEvent::PeerRestarted { discarded, promises_rejected, .. }) => {
                    Some((*discarded, *promises_rejected))
                }
                _ => None,
            })
            .await;
        assert!(discarded >= 1, "the pending message was discarded");
        assert_eq!(rejected, 101);
        let rejections = alice
            .events
            .borrow()
            .iter()
            .filter(|event| match event {
                KernelEvent::Notify { rejected: true, value, .. } => value.body.contains("[KERNEL:PEER_RESTARTED]"),
                _ => false,
            })
            .count();
        assert_eq!(rejections, 101);
        assert!(bob.bodies().is_empty(), "nothing stale reached the new incarnation");

        bob.send(answer, "#\"fresh\"");
        alice.has_received(1).await;
        let object = alice.redeem(&bob.issue().await).await.unwrap();
        alice.send(object, "#\"fresh\"");
        bob.has_received(1).await;

        // Closed on purpose, it stays closed until somebody says otherwise.
        alice.driver.close_connection(bob.peer.clone()).await.unwrap();
        alice.send(object, "#\"closed\"");
        let refused = alice
            .hears("the refusal", |event| match event {
                KernelEvent::Notify { rejected: true, value, .. } if value.body.contains("closed on purpose") => {
                    Some(value.body.clone())
                }
                _ => None,
            })
            .await;
        assert!(refused.contains("[KERNEL:CONNECTION_LOST]"), "{refused}");
        alice.driver.reconnect_peer(bob.peer.clone(), Vec::new()).await.unwrap();
        alice.send(object, "#\"open again\"");
        bob.has_received(2).await;
        assert_eq!(bob.bodies(), ["#\"fresh\"", "#\"open again\""]);

        for party in [&alice, &bob] {
            party.driver.inspect(|kernel| kernel.store().audit()).unwrap();
            party.driver.stop().await.unwrap();
        }
    });
}
