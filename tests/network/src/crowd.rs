//! Many kernels that all send to one object, each as fast as it is answered.

use std::{cell::RefCell, rc::Rc, time::Duration};

use anyhow::Result;
use futures::future;
use ocap_remotes::wire::Kref;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    Command, Start,
    kernel::{Party, message},
    report,
};

/// How many messages of each are unanswered at a time.
const WINDOW: usize = 8;
/// Beside the number.
const PADDING: usize = 200;
/// How many start at a time: all at once would be a flood.
const AT_A_TIME: usize = 10;

struct Member {
    party: Rc<Party>,
    target: RefCell<Option<Kref>>,
}

pub(crate) async fn start(start: &Start) -> Result<impl Fn(Command) + use<>> {
    let mut members = Vec::new();
    for number in 0..start.count {
        let seed = start.seed.wrapping_add(number);
        let party = Party::start(seed, None, &start.options, Duration::ZERO).await?;
        party.handle.addresses(&start.options).await?;
        members.push(Rc::new(Member { party, target: RefCell::default() }));
    }
    report(&json!({ "ready": { "count": members.len() } }));
    let members = Rc::new(members);
    Ok(move |command| {
        let members = Rc::clone(&members);
        tokio::task::spawn_local(async move { obey(&members, command).await.expect("the crowd gets through") });
    })
}

async fn obey(members: &[Rc<Member>], command: Command) -> Result<()> {
    match command {
        Command::Meet(url) => {
            for some in members.chunks(AT_A_TIME) {
                future::try_join_all(some.iter().map(async |member| {
                    let target = member.party.redeem(&url).await?;
                    member.target.replace(Some(target));
                    anyhow::Ok(())
                }))
                .await?;
            }
            report(&json!({ "met": members.len() }));
        }
        Command::Go { seconds } => {
            let until = Instant::now() + Duration::from_secs(seconds);
            let served = future::try_join_all(members.iter().map(|member| send_until(member, until))).await?;
            report(&json!({ "served": served, "seconds": seconds }));
        }
        Command::Cut(_) | Command::Send { .. } => {} // for single kernels
    }
    Ok(())
}

/// Sends for so long, and gives how many were answered in that time.
async fn send_until(member: &Member, until: Instant) -> Result<u32> {
    let target = *member.target.borrow();
    let Some(target) = target else { return Ok(0) };
    let (mut sent, mut answered) = (0_u32, 0_u32);
    while Instant::now() < until {
        while sent - answered < u32::try_from(WINDOW)? {
            sent += 1;
            anyhow::ensure!(member.party.send(target, &message(sent, PADDING))?.is_some(), "8 are not too many");
        }
        match tokio::time::timeout_at(until, member.party.settled()).await {
            Ok(settled) => {
                anyhow::ensure!(settled.iter().all(|(_, rejected)| !rejected), "rejected");
                answered += u32::try_from(settled.len())?;
            }
            Err(_) => break,
        }
    }
    // What is still on its way is not for the next round.
    while answered < sent {
        let settled = tokio::time::timeout(Duration::from_secs(30), member.party.settled()).await?;
        sent -= u32::try_from(settled.len())?;
    }
    Ok(answered)
}
