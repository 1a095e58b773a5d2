//! A byte stream to a peer.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite, task::AtomicWaker};

use crate::{network::status::Path, wire::PeerId};

/// What all streams of a connection share: the way that they take, and their end when it is given up as dead. Closing such a connection in order may never come to an end,
/// and its streams would wait as long.
#[derive(Debug, Default)]
pub(super) struct Cut {
    done: AtomicBool,
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
    /// Ends the streams now.
    pub(super) fn cut(&self) {
        self.done.store(true, Ordering::Release);
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

    /// Whether there is any stream.
    pub(super) fn is_used(&self) -> bool {
        self.streams().iter().any(|wakers| wakers.strong_count() > 0)
    }

    /// A list stays usable whatever happened while it was locked.
    fn streams(&self) -> MutexGuard<'_, Vec<Weak<Wakers>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that may be cut.
pub(super) struct Cuttable<S = libp2p::Stream> {
    inner: S,
    cut: Arc<Cut>,
    wakers: Arc<Wakers>,
}

impl<S: Unpin> Cuttable<S> {
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

    /// The stream to read from, unless it is cut.
    fn reading(&mut self, cx: &Context<'_>) -> io::Result<Pin<&mut S>> {
        self.check(&self.wakers.reader, cx)?;
        Ok(Pin::new(&mut self.inner))
    }

    /// The stream to write on, unless it is cut.
    fn writing(&mut self, cx: &Context<'_>) -> io::Result<Pin<&mut S>> {
        self.check(&self.wakers.writer, cx)?;
        Ok(Pin::new(&mut self.inner))
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
        self.stream.reading(cx)?.poll_read(cx, buf)
    }
}

impl AsyncWrite for NodeStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.writing(cx)?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.writing(cx)?.poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.writing(cx)?.poll_close(cx)
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
            stream.reading(cx)?.poll_read(cx, &mut [0])
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
        let written = poll_fn(|cx| late.writing(cx)?.poll_write(cx, &[1])).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
