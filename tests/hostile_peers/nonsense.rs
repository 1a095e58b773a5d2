//! Messages that are none, lie, repeat others, or come from nobody.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use ocap_remotes::wire::encode_frame;

use crate::{
    attacker::{Attacker, redeem_nonsense},
    honest::{Honest, Target, story, under_attack},
    support::{ANY_PORT, start},
};

#[test]
fn a_flood_of_messages() {
    let attack = async |target: Target| {
        let attacker = Attacker::new(0);
        let until = Instant::now() + Duration::from_secs(4);
        let mut written = 0_u64;
        while Instant::now() < until || written <= 1_000 {
            let Some(mut stream) = attacker.channel(&target, "flood").await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            // What is no message, and what repeats: the kernel has to look at each.
            while Instant::now() < until || written <= 1_000 {
                let frame = if written.is_multiple_of(8) { encode_frame("nonsense") } else { redeem_nonsense(1) };
                if stream.write_all(&frame).await.is_err() || stream.flush().await.is_err() {
                    break;
                }
                written += 1;
            }
        }
        written
    };
    under_attack("one peer that writes as fast as it can for 4 s", attack, async |_, written| {
        eprintln!("hostile peers: it wrote {written} frames");
        assert!(written > 1_000);
    });
}

#[test]
fn lies_about_length_and_frames_that_never_end() {
    let attack = async |target: Target| {
        let mut held = Vec::new();
        let mut cut = 0;
        for number in 0..60_u16 {
            let attacker = Attacker::new(number);
            let Some(mut stream) = attacker.channel(&target, "liar").await else { continue };
            if number % 2 == 0 {
                // Announces 2^62 bytes: the stream is cut.
                let _ = stream.write_all(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f]).await;
                let _ = stream.flush().await;
                let ended = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut [0; 64])).await;
                cut += usize::from(matches!(ended, Ok(Ok(0) | Err(_))));
            } else {
                // Announces 1 MiB, sends most of it, and stops.
                let _ = stream.write_all(&[0x80, 0x80, 0x40]).await;
                let _ = stream.write_all(&vec![b' '; 1_000_000]).await;
                let _ = stream.flush().await;
                held.push((attacker, stream));
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        (cut, held.len())
    };
    under_attack("30 lies about the length, 30 frames of 1 MB that never end", attack, async |_, (cut, held)| {
        assert_eq!((cut, held), (30, 30));
    });
}

#[test]
fn a_peer_that_claims_a_new_incarnation_each_time() {
    let attack = async |target: Target| {
        let (attacker, begun) = (Attacker::new(0), Instant::now());
        let mut granted = 0;
        for number in 0..200 {
            if let Some(mut stream) = attacker.channel(&target, &format!("life-{number}")).await {
                granted += 1;
                let _ = stream.write_all(&redeem_nonsense(1)).await;
                let _ = stream.flush().await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        (granted, begun.elapsed())
    };
    under_attack("200 incarnations of one peer", attack, async |honest, (granted, took)| {
        eprintln!("hostile peers: {granted} channels granted, {} restarts taken notice of", honest.restarts());
        // Thirty a minute.
        let most = 30 * (1 + took.as_secs() / 60) as usize;
        assert!((1..=most).contains(&honest.restarts()));
    });
}

#[test]
fn many_keys_and_repeated_frames() {
    let attack = async |target: Target| {
        let (mut held, begun) = (Vec::new(), Instant::now());
        for number in 0..200 {
            let attacker = Attacker::new(number);
            let Some(mut stream) = attacker.channel(&target, "one-of-many").await else { continue };
            for _ in 0..50 {
                let _ = stream.write_all(&redeem_nonsense(1)).await;
            }
            let _ = stream.flush().await;
            held.push((attacker, stream));
        }
        (held.len(), begun.elapsed())
    };
    under_attack("200 keys of one address, each repeating a frame 50 times", attack, async |honest, (served, took)| {
        let (remotes, processed) = honest.bob.driver.inspect(|kernel| {
            let remotes = kernel.remotes().remotes();
            let others = remotes.filter(|remote| *remote.peer() != honest.alice.peer);
            others.fold((0, 0), |(count, sum), remote| (count + 1, sum + remote.counters().delivered))
        });
        eprintln!("hostile peers: {served} served, {remotes} remotes, {processed} messages processed");
        // Strangers have 75 places, and lend them after half a minute.
        let places = 75 * (1 + took.as_secs() / 30);
        assert!(served as u64 <= places && processed <= remotes, "{served} of {places}");
        let time = honest.newcomer().await;
        eprintln!("hostile peers: after it a newcomer is served in {time:?}");
    });
}

#[test]
fn a_crowd_that_names_things_of_its_own() {
    const OF_THEIR_OWN: [&str; 3] = [
        r#"{"seq":1,"method":"redeemURLReply","params":[true,"x","ro+1"]}"#,
        r#"{"seq":1,"method":"deliver","params":["notify",[["rp+1",false,{"body":"","slots":["ro+1"]}]]]}"#,
        r#"{"seq":1,"method":"deliver","params":["message","ro+1",{"methargs":{"body":"","slots":[]},"result":"rp+1"}]}"#,
    ];
    story(async {
        let honest = Honest::new().await;
        let target = honest.target.clone();
        let (opened, served) = mpsc::channel();
        let (finish, finished) = mpsc::channel::<()>();
        let attack = async move || {
            let mut held = Vec::new();
            for number in 0..130_u16 {
                let attacker = Attacker::new(number);
                let Some(mut stream) = attacker.channel(&target, "one-of-many").await else { continue };
                let text = OF_THEIR_OWN[usize::from(number) % OF_THEIR_OWN.len()];
                let _ = stream.write_all(&encode_frame(text)).await;
                let _ = stream.flush().await;
                held.push((attacker, stream));
            }
            opened.send(held.len()).unwrap();
            while finished.try_recv() == Err(mpsc::TryRecvError::Empty) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let attacker = std::thread::spawn(move || story(attack()));
        let served = loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Ok(served) = served.try_recv() {
                break served;
            }
        };
        let carol = start(3, ANY_PORT).await;
        honest.bob.knows(&carol);
        carol.knows(&honest.bob);
        let begun = Instant::now();
        carol.redeem(&honest.bob.issue().await).await.unwrap();
        let time = begun.elapsed();
        eprintln!("hostile peers: {served} of 130 are served; meanwhile somebody who is known is in {time:?}");
        assert!((20..=75).contains(&served) && time < Duration::from_secs(5), "strangers have 75 places");
        drop(finish);
        attacker.join().unwrap();
        for party in [&*honest.alice, &*honest.bob, &carol] {
            party.driver.stop().await.unwrap();
        }
    });
}
