//! A byte stream to a peer.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};

use crate::wire::PeerId;

/// A byte stream to a peer on our protocol, in order and without loss until it ends.
///
/// Closing it ends our direction gracefully. Dropping it without closing resets it: the peer sees an error, as it does
/// when the connection or a relay below it is cut.
pub struct NodeStream {
    peer: PeerId,
    inner: libp2p::Stream,
}

impl NodeStream {
    pub(super) fn new(peer: PeerId, inner: libp2p::Stream) -> Self {
        NodeStream { peer, inner }
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
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for NodeStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
