//! A byte stream to a peer.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt, io,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite, task::AtomicWaker};
use libp2p::swarm::ConnectionId;

use super::protocol::Spoken;
use crate::{network::status::Path, wire::PeerId};

/// What all streams of a connection share: the way that they take, whether anything comes over it, and their end when it is
/// given up as dead. Closing such a connection in order may never come to an end, and its streams would wait as long, and so
/// would whoever wants another connection with the peer.
#[derive(Debug, Default)]
pub(super) struct Cut {
    done: AtomicBool,
    closer: AtomicWaker,
    alive: AtomicBool,
    with_incumbent: AtomicBool,
    path: OnceLock<Path>,
    streams: Mutex<Vec<Weak<Wakers>>>,
}

/// Who waits for one stream.
#[derive(Debug, Default)]
struct Wakers {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Cut {
    /// Ends the streams now, and the connection when it is closed.
    pub(super) fn cut(&self) {
        self.done.store(true, Ordering::Release);
        self.closer.wake();
        for wakers in self.streams().iter().filter_map(Weak::upgrade) {
            wakers.reader.wake();
            wakers.writer.wake();
        }
    }

    /// Tells which way the connection takes; the first word counts.
    pub(super) fn set_path(&self, path: Path) {
        self.path.get_or_init(|| path);
    }

    /// The way that the connection takes.
    pub(super) fn path(&self) -> Path {
        self.path.get().cloned().unwrap_or_default()
    }

    /// Notes what a stream speaks: so does its peer, for as long as there is the connection.
    pub(super) fn spoken(&self, Spoken { stream, with_incumbent }: Spoken) -> libp2p::Stream {
        self.with_incumbent.store(with_incumbent, Ordering::Relaxed);
        stream
    }

    /// Whether the streams were ended; who closes the connection is woken when they are.
    pub(super) fn is_cut(&self, cx: &Context<'_>) -> bool {
        self.closer.register(cx.waker());
        self.done.load(Ordering::Acquire)
    }

    /// The peer has shown a sign of life: bytes came, or a write that had to wait could go on.
    pub(super) fn note_life(&self) {
        self.alive.store(true, Ordering::Relaxed);
    }

    /// Whether there was a sign of life since this was last asked.
    pub(super) fn take_sign_of_life(&self) -> bool {
        self.alive.swap(false, Ordering::Relaxed)
    }

    /// Whether there is any stream.
    pub(super) fn is_used(&self) -> bool {
        self.streams().iter().any(|wakers| wakers.strong_count() > 0)
    }

    /// A list stays usable whatever happened while it was locked.
    fn streams(&self) -> MutexGuard<'_, Vec<Weak<Wakers>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the streams of each connection share, for as long as there is the connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Cuts(Rc<RefCell<HashMap<ConnectionId, Arc<Cut>>>>);

impl Cuts {
    pub(super) fn of(&self, connection: ConnectionId) -> Arc<Cut> {
        Arc::clone(self.0.borrow_mut().entry(connection).or_default())
    }

    /// The connection that begins is the one for which this was made.
    pub(super) fn join(&self, connection: ConnectionId, cut: Arc<Cut>) {
        self.0.borrow_mut().insert(connection, cut);
    }

    /// Whether there is any stream on the connection.
    pub(super) fn is_used(&self, connection: ConnectionId) -> bool {
        self.0.borrow().get(&connection).is_some_and(|cut| cut.is_used())
    }

    pub(super) fn forget(&self, connection: ConnectionId) {
        self.0.borrow_mut().remove(&connection);
    }
}

/// A stream that may be cut.
pub(super) struct Cuttable<S = libp2p::Stream> {
    inner: S,
    cut: Arc<Cut>,
    wakers: Arc<Wakers>,
}

impl<S> Cuttable<S> {
    pub(super) fn new(inner: S, cut: &Arc<Cut>) -> Self {
        let wakers = Arc::<Wakers>::default();
        let mut streams = cut.streams();
        streams.retain(|wakers| wakers.strong_count() > 0);
        streams.push(Arc::downgrade(&wakers));
        drop(streams);
        Cuttable { inner, cut: Arc::clone(cut), wakers }
    }

    fn check(&self, waker: &AtomicWaker, cx: &Context<'_>) -> io::Result<()> {
        // Registered before it is looked at, or a cut between the two would go unheard.
        waker.register(cx.waker());
        if self.cut.done.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the connection was silent for too long"));
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> Cuttable<S> {
    fn read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.check(&self.wakers.reader, cx)?;
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> Cuttable<S> {
    fn write<T>(
        &mut self,
        cx: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.check(&self.wakers.writer, cx)?;
        act(Pin::new(&mut self.inner), cx)
    }
}

/// A byte stream to a peer on our protocol, in order and without loss until it ends.
///
/// Closing it ends our direction gracefully. Dropping it without closing resets it: the peer sees an error, as it does
/// when the connection or a relay below it is cut.
pub struct NodeStream {
    peer: PeerId,
    stream: Cuttable,
}

impl NodeStream {
    pub(super) fn new(peer: PeerId, stream: Cuttable) -> Self {
        NodeStream { peer, stream }
    }

    /// The connection below.
    pub fn path(&self) -> Path {
        self.stream.cut.path()
    }

    /// Whether the peer is an incumbent.
    pub fn is_with_incumbent(&self) -> bool {
        self.stream.cut.with_incumbent.load(Ordering::Relaxed)
    }

    /// The peer at the other end, proven by its key.
    pub fn peer(&self) -> &PeerId {
        &self.peer
    }
}

impl fmt::Debug for NodeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl AsyncRead for NodeStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.stream.read(cx, buf)
    }
}

impl AsyncWrite for NodeStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.write(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.write(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.write(cx, |stream, cx| stream.poll_close(cx))
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use futures::{FutureExt as _, future::poll_fn};
    use tokio_util::compat::TokioAsyncReadCompatExt as _;

    use super::*;

    #[tokio::test]
    async fn a_cut_ends_every_stream_of_the_connection_for_those_who_wait_and_those_who_come() {
        fn read<S: AsyncRead + Unpin>(stream: &mut Cuttable<S>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
            stream.read(cx, &mut [0])
        }

        let cut = Arc::new(Cut::default());
        let (here, _there) = tokio::io::duplex(1);
        let (other, _its_peer) = tokio::io::duplex(1);
        let mut streams = [here, other].map(|stream| Cuttable::new(stream.compat(), &cut));
        for stream in &mut streams {
            assert!(poll_fn(|cx| read(stream, cx)).now_or_never().is_none());
        }
        let waiting = streams.map(|mut stream| {
            tokio::spawn(async move { poll_fn(|cx| read(&mut stream, cx)).await.unwrap_err().kind() })
        });
        tokio::task::yield_now().await;
        cut.cut();
        for waited in waiting {
            assert_eq!(waited.await.unwrap(), io::ErrorKind::ConnectionReset);
        }
        let (late, _its_peer) = tokio::io::duplex(1);
        let mut late = Cuttable::new(late.compat(), &cut);
        let written = poll_fn(|cx| late.write(cx, |stream, cx| stream.poll_write(cx, &[1]))).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
