//! What several streams of one connection share: how many there may be, how long it may take to close, and what they tell of
//! the life of the peer.

use std::{
    io::{self, IoSlice, IoSliceMut},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite, FutureExt as _};
use futures_timer::Delay;
use libp2p::{
    PeerId,
    core::{
        ConnectedPoint,
        muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox},
    },
    yamux,
};

use super::{address, stream::Cut};

/// Streams of a connection with a kernel, which uses two for pings, two for identify, and a channel, sometimes another. Each
/// may have 256 KiB unread.
const STREAMS_OF_KERNEL: usize = 32;
/// Streams of a connection that we dialled. It may lead to a relay, where each circuit is a stream.
const STREAMS_DIALLED: usize = 192;
/// Streams of a connection with a relay of our own.
const STREAMS_OF_RELAY: usize = 512;

/// How long a connection may take to be closed in order.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// How the streams of a connection are told apart, and how many there may be.
pub(super) fn yamux(peer: &PeerId, endpoint: &ConnectedPoint, relays: &[PeerId]) -> yamux::Config {
    let is_circuit = endpoint.is_relayed() || address::relay_of(endpoint).is_some();
    let streams = match endpoint {
        _ if is_circuit => STREAMS_OF_KERNEL,
        _ if relays.contains(peer) => STREAMS_OF_RELAY,
        ConnectedPoint::Dialer { .. } => STREAMS_DIALLED,
        ConnectedPoint::Listener { .. } => STREAMS_OF_KERNEL,
    };
    let mut config = yamux::Config::default();
    config.set_max_num_streams(streams);
    config
}

/// A connection that is closed in a certain time: closing it in order takes as long as its peer likes, who need only stop reading.
/// One that is dead is closed at once, for until then it stands in the way of others.
pub(super) struct Prompt {
    inner: StreamMuxerBox,
    cut: Arc<Cut>,
    closing: Option<Delay>,
}

impl Prompt {
    /// Over the connection whose `cut` tells when it is given up, and is told of signs of life.
    pub(super) fn over(inner: StreamMuxerBox, cut: Arc<Cut>) -> StreamMuxerBox {
        StreamMuxerBox::new(Prompt { inner, cut, closing: None })
    }

    fn stream(&self, inner: SubstreamBox) -> Watched {
        Watched { inner, cut: Arc::clone(&self.cut), blocked: false }
    }
}

impl StreamMuxer for Prompt {
    type Substream = Watched;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Watched>> {
        Pin::new(&mut self.inner).poll_inbound(cx).map_ok(|stream| self.stream(stream))
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Watched>> {
        Pin::new(&mut self.inner).poll_outbound(cx).map_ok(|stream| self.stream(stream))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(closed) = Pin::new(&mut self.inner).poll_close(cx) {
            return Poll::Ready(closed);
        }
        if !self.cut.is_cut(cx) {
            ready!(self.closing.get_or_insert_with(|| Delay::new(CLOSE_LIMIT)).poll_unpin(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

/// Any stream of a connection, also those of libp2p itself: what comes on a circuit shows that the connection with the relay
/// lives, which answers no ping while a circuit fills the line.
pub(super) struct Watched<S = SubstreamBox> {
    inner: S,
    cut: Arc<Cut>,
    /// A write waits: until the peer has taken what was written before.
    blocked: bool,
}

impl<S: Unpin> Watched<S> {
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let read = act(Pin::new(&mut self.inner), cx);
        if matches!(read, Poll::Ready(Ok(1..))) {
            self.cut.note_life();
        }
        read
    }

    fn write<T>(
        &mut self,
        cx: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = act(Pin::new(&mut self.inner), cx);
        match &written {
            Poll::Pending => self.blocked = true,
            Poll::Ready(Ok(_)) if std::mem::take(&mut self.blocked) => self.cut.note_life(),
            Poll::Ready(_) => {}
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.read(cx, |stream, cx| stream.poll_read(cx, buf))
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.read(cx, |stream, cx| stream.poll_read_vectored(cx, bufs))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, bufs))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, |stream, cx| stream.poll_close(cx))
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use std::time::Instant;

    use futures::{AsyncWriteExt as _, future::poll_fn};
    use libp2p::core::{
        Endpoint,
        muxing::StreamMuxerExt as _,
        transport::PortUse,
        upgrade::{InboundConnectionUpgrade as _, OutboundConnectionUpgrade as _},
    };
    use tokio_util::compat::TokioAsyncReadCompatExt as _;

    use super::*;

    fn accepted() -> ConnectedPoint {
        let (local_addr, send_back_addr) =
            ("/ip4/1.2.3.4/tcp/1/ws".parse().unwrap(), "/ip4/1.2.3.5/tcp/1".parse().unwrap());
        ConnectedPoint::Listener { local_addr, send_back_addr }
    }

    fn dialled(address: &str) -> ConnectedPoint {
        let address = address.parse().unwrap();
        ConnectedPoint::Dialer { address, role_override: Endpoint::Dialer, port_use: PortUse::New }
    }

    #[tokio::test]
    async fn a_peer_that_stops_reading_does_not_keep_its_connection() {
        // What is written into this pipe is never read.
        let (here, _there) = tokio::io::duplex(1);
        let config = yamux(&PeerId::random(), &accepted(), &[]);
        let muxer = config.upgrade_inbound(here.compat(), "/yamux/1.0.0").await.unwrap();
        let begun = Instant::now();
        Prompt::over(StreamMuxerBox::new(muxer), Arc::default()).close().await.unwrap();
        assert!(begun.elapsed() >= CLOSE_LIMIT, "it was not closed in order");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_connection_is_closed_at_once_even_if_that_began_in_order() {
        let (here, _there) = tokio::io::duplex(1);
        let config = yamux(&PeerId::random(), &accepted(), &[]);
        let muxer = config.upgrade_inbound(here.compat(), "/yamux/1.0.0").await.unwrap();
        let cut = Arc::<Cut>::default();
        let closing = tokio::spawn(Prompt::over(StreamMuxerBox::new(muxer), Arc::clone(&cut)).close());
        tokio::task::yield_now().await;
        assert!(!closing.is_finished());
        let begun = Instant::now();
        cut.cut();
        closing.await.unwrap().unwrap();
        assert!(begun.elapsed() < CLOSE_LIMIT / 2);
    }

    #[tokio::test]
    async fn bytes_that_come_and_writes_that_go_on_are_signs_of_life_and_bytes_that_go_are_none() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let cut = Arc::new(Cut::default());
        let (here, mut there) = tokio::io::duplex(2);
        let mut stream = Watched { inner: here.compat(), cut: Arc::clone(&cut), blocked: false };
        fn write<S: AsyncWrite + Unpin>(stream: &mut Watched<S>) -> Option<io::Result<usize>> {
            poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, &[1, 2])).now_or_never()
        }
        assert!(write(&mut stream).is_some());
        assert!(!cut.take_sign_of_life(), "what is written may go nowhere");
        assert!(write(&mut stream).is_none(), "there is no room");
        there.read_exact(&mut [0; 2]).await.unwrap();
        assert!(write(&mut stream).is_some());
        assert!(cut.take_sign_of_life() && !cut.take_sign_of_life());
        there.write_all(&[3]).await.unwrap();
        poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut [0])).await.unwrap();
        assert!(cut.take_sign_of_life());
    }

    /// How many bytes a peer can have unread on the streams of one connection before it is closed, or told to wait.
    async fn unread(streams: usize, config: yamux::Config) -> usize {
        let (here, there) = tokio::io::duplex(1 << 20);
        let mut victim = StreamMuxerBox::new(config.upgrade_inbound(here.compat(), "/yamux/1.0.0").await.unwrap());
        let attacker = yamux::Config::default().upgrade_outbound(there.compat(), "/yamux/1.0.0").await.unwrap();
        let mut attacker = StreamMuxerBox::new(attacker);
        let mut opened = Vec::new();
        for _ in 0..streams {
            opened.push(poll_fn(|cx| attacker.poll_outbound_unpin(cx)).await.unwrap());
        }
        let writing = async {
            let mut written = 0;
            for stream in &mut opened {
                for _ in 0..40 {
                    let write = async {
                        stream.write_all(&[0; 8 << 10]).await?;
                        stream.flush().await
                    };
                    match tokio::time::timeout(Duration::from_millis(20), write).await {
                        Ok(Ok(())) => written += 8 << 10,
                        Ok(Err(_)) => return written,
                        Err(_) => break,
                    }
                }
            }
            written
        };
        let attacking = async {
            // Its own connection has to be driven, too.
            poll_fn(|cx| attacker.poll_unpin(cx)).await.ok();
            std::future::pending::<()>().await;
        };
        let mut held = Vec::new();
        let receiving = async {
            while let Ok(stream) = poll_fn(|cx| victim.poll_inbound_unpin(cx)).await {
                held.push(stream);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            written = writing => written,
            () = attacking => 0,
            () = receiving => 0,
        }
    }

    #[tokio::test]
    async fn what_a_peer_leaves_unread_is_bounded_for_each_connection() {
        const MIB: usize = 1 << 20;
        let unbounded = unread(48, yamux::Config::default()).await;
        assert!(unbounded >= 11 * MIB, "the attack works: {unbounded}");
        let bounded = unread(48, yamux(&PeerId::random(), &accepted(), &[])).await;
        assert!((7 * MIB..=9 * MIB).contains(&bounded), "{bounded}");
    }

    #[test]
    fn relays_have_room_for_circuits_and_kernels_for_what_they_need() {
        let streams = |config: yamux::Config| {
            let debug = format!("{config:?}");
            debug.split("max_num_streams: ").nth(1).unwrap().split(',').next().unwrap().parse::<usize>().unwrap()
        };
        let (relay, bob) = (PeerId::random(), PeerId::random());
        let at = "/ip4/1.2.3.4/tcp/1/ws";
        assert_eq!(streams(yamux(&relay, &dialled(at), &[relay])), STREAMS_OF_RELAY);
        assert_eq!(streams(yamux(&bob, &dialled(at), &[relay])), STREAMS_DIALLED);
        assert_eq!(streams(yamux(&bob, &accepted(), &[relay])), STREAMS_OF_KERNEL);
        let circuit = format!("{at}/p2p/{relay}/p2p-circuit/p2p/{bob}");
        assert_eq!(streams(yamux(&bob, &dialled(&circuit), &[relay])), STREAMS_OF_KERNEL);
    }
}
