//! A stream between two hosts: bytes in both directions, which arrive later, in order, until it ends.
//!
//! A frame is written in one piece, so the pieces are what mischief is done to: after the handshake a piece may be lost,
//! repeated or overtaken. When a line breaks, what is under way is lost, one end learns it at once and the other perhaps
//! only after many seconds, as a heartbeat would tell it (a half-open stream).

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use futures::{AsyncRead, AsyncWrite};
use ocap_remotes::wire::PeerId;

use crate::{executor::ContextId, network::Ether};

/// Bytes that may be under way in one direction.
const WINDOW: usize = 256 << 10;
/// When a heartbeat tells of a stream that has died in silence: between these, in milliseconds.
const HEARTBEAT: (u64, u64) = (4_000, 20_000);

/// How a direction has ended, as its reader will learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    InOrder,
    Broken,
}

/// One direction.
#[derive(Default)]
struct Way {
    /// Arrived and not read.
    arrived: VecDeque<u8>,
    ended: Option<Ended>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    under_way: usize,
    /// When the last piece arrives.
    last_due: u64,
    /// Pieces written so far.
    pieces: u64,
    /// What is written from now on goes nowhere: the line broke, and the writer does not know.
    void: bool,
    /// The writer has learnt that the stream is dead.
    refused: bool,
    /// A piece that the next one overtakes.
    kept_back: Option<Vec<u8>>,
}

/// Whether a frame is a handshake, behind its length of one to four bytes.
fn is_handshake(frame: &[u8]) -> bool {
    (1..=4).any(|start| frame.get(start..).is_some_and(|text| text.starts_with(br#"{"method":"handshake"#)))
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// Both directions; 0 is the one towards the end that was dialled.
pub(crate) struct Conduit {
    ether: Rc<Ether>,
    ends: [(PeerId, ContextId); 2],
    ways: [RefCell<Way>; 2],
}

/// One end's hold on a stream. Dropping it without closing it resets it.
pub(crate) struct SimStream {
    conduit: Rc<Conduit>,
    /// The direction in which this end writes.
    out: usize,
    closed: bool,
}

/// A stream from the first to the second.
pub(crate) fn conduit(
    ether: &Rc<Ether>,
    from: (PeerId, ContextId),
    to: (PeerId, ContextId),
) -> (Rc<Conduit>, SimStream, SimStream) {
    let conduit = Rc::new(Conduit { ether: Rc::clone(ether), ends: [from, to], ways: Default::default() });
    let end = |out| SimStream { conduit: Rc::clone(&conduit), out, closed: false };
    let (here, there) = (end(0), end(1));
    (conduit, here, there)
}

impl Conduit {
    /// The line broke. What is under way is lost, in part or whole.
    pub(crate) fn break_off(self: &Rc<Self>) {
        let executor = Rc::clone(self.ether.executor());
        let quick = usize::from(executor.chance(50));
        for end in 0..2 {
            self.ways[end].borrow_mut().void = true;
            let (least, most) = HEARTBEAT;
            let notices = if end == quick || executor.chance(50) {
                executor.random(3)
            } else {
                least + executor.random(most - least)
            };
            let conduit = Rc::clone(self);
            executor.schedule(notices, None, move || conduit.learn_of_death(end));
        }
    }

    /// The end that writes in direction `out` learns that the stream is dead.
    fn learn_of_death(&self, out: usize) {
        let mut way = self.ways[out].borrow_mut();
        way.refused = true;
        wake(&mut way.writer);
        drop(way);
        self.end(1 - out, Ended::Broken);
    }

    /// The reader of a direction learns that nothing more comes.
    fn end(&self, way: usize, how: Ended) {
        let mut way = self.ways[way].borrow_mut();
        if way.ended.is_none() {
            way.ended = Some(how);
        }
        if how == Ended::Broken {
            way.arrived.clear();
        }
        wake(&mut way.reader);
    }

    fn write(self: &Rc<Self>, out: usize, piece: Vec<u8>) {
        let executor = self.ether.executor();
        let mischief = self.ether.mischief(&self.ends[0].0, &self.ends[1].0);
        let mut way = self.ways[out].borrow_mut();
        executor.tell(|| {
            let (from, to) = (&self.ends[out].0, &self.ends[1 - out].0);
            let text = String::from_utf8_lossy(&piece);
            format!("{from} writes to {to}{}: {text}", if way.void { " in vain" } else { "" })
        });
        if way.void {
            return;
        }
        if way.pieces > 0 && is_handshake(&piece) {
            self.ether.note_breach(&format!("{} shakes hands a second time on a stream", self.ends[out].0));
        }
        way.pieces += 1;
        // The first pieces are the handshake and what tells where its sender resumes.
        let meets = way.pieces > 2 && mischief > 0 && executor.chance(mischief);
        let mut pieces = vec![piece];
        if meets {
            match executor.random(3) {
                0 => pieces.clear(),
                1 => pieces.push(pieces[0].clone()),
                _ if way.kept_back.is_none() => {
                    way.kept_back = pieces.pop();
                }
                _ => {}
            }
        } else if let Some(overtaken) = way.kept_back.take() {
            pieces.push(overtaken);
        }
        for piece in pieces {
            let due = (executor.now() + self.ether.delay()).max(way.last_due);
            way.last_due = due;
            way.under_way += piece.len();
            let conduit = Rc::clone(self);
            // To the reader's context: if that sleeps, so does what is for it.
            let reader = Some(self.ends[1 - out].1);
            executor.schedule(due - executor.now(), reader, move || conduit.arrive(out, piece));
        }
    }

    fn arrive(&self, out: usize, piece: Vec<u8>) {
        let mut way = self.ways[out].borrow_mut();
        way.under_way = way.under_way.saturating_sub(piece.len());
        wake(&mut way.writer);
        if !way.void && way.ended.is_none() {
            way.arrived.extend(piece);
            wake(&mut way.reader);
        }
    }

    /// The end that writes in direction `out` says that it is done, behind everything that it wrote.
    fn close(self: &Rc<Self>, out: usize, how: Ended) {
        let executor = self.ether.executor();
        let way = self.ways[out].borrow();
        if way.void {
            return;
        }
        let due = (executor.now() + self.ether.delay()).max(way.last_due);
        let conduit = Rc::clone(self);
        executor.schedule(due - executor.now(), None, move || {
            conduit.end(out, how);
            if how == Ended::Broken {
                let mut back = conduit.ways[1 - out].borrow_mut();
                back.refused = true;
                wake(&mut back.writer);
            }
        });
    }
}

impl AsyncRead for SimStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut way = self.conduit.ways[1 - self.out].borrow_mut();
        if !way.arrived.is_empty() {
            let count = way.arrived.len().min(buffer.len());
            for (slot, byte) in buffer.iter_mut().zip(way.arrived.drain(..count)) {
                *slot = byte;
            }
            return Poll::Ready(Ok(count));
        }
        match way.ended {
            Some(Ended::InOrder) => Poll::Ready(Ok(0)),
            Some(Ended::Broken) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            None => {
                way.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let mut way = self.conduit.ways[self.out].borrow_mut();
        if way.refused {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if way.under_way > WINDOW {
            way.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        drop(way);
        self.conduit.write(self.out, buffer.to_vec());
        Poll::Ready(Ok(buffer.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let refused = self.conduit.ways[self.out].borrow().refused;
        Poll::Ready(if refused { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) })
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.closed, true) {
            self.conduit.close(self.out, Ended::InOrder);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        if !self.closed {
            self.conduit.close(self.out, Ended::Broken);
        }
    }
}
