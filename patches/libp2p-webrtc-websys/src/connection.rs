//! A libp2p connection backed by an [RtcPeerConnection](https://developer.mozilla.org/en-US/docs/Web/API/RTCPeerConnection).

use std::{
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker, ready},
};

use futures::{StreamExt, channel::mpsc, stream::FuturesUnordered, task::AtomicWaker};
use js_sys::{Object, Reflect};
use libp2p_core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p_webrtc_utils::Fingerprint;
use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Event, RtcConfiguration, RtcDataChannel, RtcDataChannelInit, RtcDataChannelType, RtcSessionDescriptionInit,
};

use super::{Error, Stream};
use crate::stream::{
    DropListener,
    poll_data_channel::{PollDataChannel, Wakers},
    unread::Unread,
};

/// A WebRTC Connection.
///
/// All connections need to be [`Send`] which is why some fields are wrapped in [`SendWrapper`].
/// This is safe because WASM is single-threaded.
pub struct Connection {
    /// The [RtcPeerConnection] that is used for the WebRTC Connection
    inner: SendWrapper<RtcPeerConnection>,

    /// Whether the connection is closed
    closed: bool,
    /// A list of futures, which, once completed, signal that a [`Stream`] has been dropped.
    drop_listeners: FuturesUnordered<DropListener>,
    no_drop_listeners_waker: Option<Waker>,

    /// PATCH: woken when the state of the connection changes.
    state_waker: SendWrapper<Rc<AtomicWaker>>,
    /// PATCH: the wakers of all streams that may be alive, to be woken when the connection closes.
    stream_wakers: SendWrapper<Vec<Weak<Wakers>>>,

    _onconnectionstatechange_closure: SendWrapper<Closure<dyn FnMut(Event)>>,
}

impl Connection {
    /// Create a new inner WebRTC Connection
    pub(crate) fn new(peer_connection: RtcPeerConnection) -> Self {
        let state_waker = Rc::new(AtomicWaker::new());
        let onconnectionstatechange_closure = Closure::<dyn FnMut(_)>::new({
            let state_waker = state_waker.clone();
            move |_: Event| state_waker.wake()
        });
        let on_state_change = onconnectionstatechange_closure.as_ref();
        // PATCH: without it the end is noticed by the silence.
        let _ = peer_connection
            .inner
            .set_onconnectionstatechange(on_state_change);
        peer_connection.on_sctp_state_change(on_state_change);

        Self {
            inner: SendWrapper::new(peer_connection),
            closed: false,
            drop_listeners: FuturesUnordered::default(),
            no_drop_listeners_waker: None,
            state_waker: SendWrapper::new(state_waker),
            stream_wakers: SendWrapper::new(Vec::new()),
            _onconnectionstatechange_closure: SendWrapper::new(onconnectionstatechange_closure),
        }
    }

    fn new_stream_from_data_channel(&mut self, data_channel: PollDataChannel) -> Stream {
        let (stream, drop_listener, wakers) = Stream::new_with_wakers(data_channel);

        self.stream_wakers.retain(|wakers| wakers.strong_count() > 0);
        self.stream_wakers.push(wakers);
        self.drop_listeners.push(drop_listener);
        if let Some(waker) = self.no_drop_listeners_waker.take() {
            waker.wake()
        }
        stream
    }

    /// Closes the Peer Connection.
    ///
    /// This closes the data channels also and they will return an error
    /// if they are used.
    fn close_connection(&mut self) {
        if !self.closed {
            tracing::trace!("connection::close_connection");
            // PATCH: unset the handlers, as they are dropped before JS forgets them.
            self.inner.close();
            self.closed = true;
            // PATCH: closing a connection fires no events on its data channels.
            for wakers in self.stream_wakers.drain(..) {
                if let Some(wakers) = wakers.upgrade() {
                    wakers.wake_all();
                }
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close_connection();
    }
}

/// WebRTC native multiplexing
/// Allows users to open substreams
impl StreamMuxer for Connection {
    type Substream = Stream;
    type Error = Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        match ready!(self.inner.inbound_data_channels.poll_next_unpin(cx)) {
            Some(data_channel) => {
                let stream = self.new_stream_from_data_channel(data_channel);

                Poll::Ready(Ok(stream))
            }
            None => {
                // This only happens if the [`RtcPeerConnection::ondatachannel`] closure gets freed
                // which means we are most likely shutting down the connection.
                tracing::debug!("`Sender` for inbound data channels has been dropped");
                Poll::Ready(Err(Error::Connection("connection closed".to_owned())))
            }
        }
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        tracing::trace!("Creating outbound data channel");

        let data_channel = self.inner.new_regular_data_channel()?;
        let data_channel = PollDataChannel::new(data_channel, &self.inner.unread);
        let stream = self.new_stream_from_data_channel(data_channel);

        Poll::Ready(Ok(stream))
    }

    /// Closes the Peer Connection.
    fn poll_close(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        tracing::trace!("connection::poll_close");

        self.close_connection();
        Poll::Ready(Ok(()))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        // PATCH: end the connection when the browser has given it up.
        self.state_waker.register(cx.waker());
        if self.inner.is_lost() {
            return Poll::Ready(Err(Error::Connection("connection lost".to_owned())));
        }

        loop {
            match ready!(self.drop_listeners.poll_next_unpin(cx)) {
                Some(Ok(())) => {}
                Some(Err(e)) => {
                    tracing::debug!("a DropListener failed: {e}")
                }
                None => {
                    self.no_drop_listeners_waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        }
    }
}

pub(crate) struct RtcPeerConnection {
    inner: Browser,

    /// An [`mpsc::channel`] for all inbound data channels.
    ///
    /// Because the browser's WebRTC API is event-based, we need to use a channel to obtain all
    /// inbound data channels.
    ///
    /// PATCH: here, not in [`Connection`], for the remote may open channels and write on them as soon
    /// as it has done its part of the handshake, while we still wait for the last of ours.
    inbound_data_channels: mpsc::Receiver<PollDataChannel>,
    /// PATCH: what is unread on all data channels.
    unread: Unread,
    _ondatachannel_closure: Closure<dyn FnMut(JsValue)>,
}

/// PATCH: browsers count connections that were not closed against a limit, also after a failed dial.
impl Drop for RtcPeerConnection {
    fn drop(&mut self) {
        self.close();
    }
}

impl RtcPeerConnection {
    pub(crate) async fn new(algorithm: String) -> Result<Self, Error> {
        let algo = Object::new();
        Reflect::set(&algo, &"name".into(), &"ECDSA".into())?;
        Reflect::set(&algo, &"namedCurve".into(), &"P-256".into())?;
        Reflect::set(&algo, &"hash".into(), &algorithm.into())?;

        let certificate = settled(Browser::generate_certificate(&algo)).await?;

        let config = RtcConfiguration::default();
        // wrap certificate in a js Array first before adding it to the config object
        let certificate_arr = js_sys::Array::new();
        certificate_arr.push(&certificate);
        config.set_certificates(&certificate_arr);

        let inner = Browser::new(&config)?;

        // An ondatachannel Future enables us to poll for incoming data channel events in
        // poll_incoming
        let (mut tx_ondatachannel, rx_ondatachannel) = mpsc::channel(4); // we may get more than one data channel opened on a single peer connection

        let unread = Unread::default();
        let unread_inbound = unread.clone();
        let ondatachannel_closure = Closure::<dyn FnMut(JsValue)>::new(move |ev: JsValue| {
            tracing::trace!("New data channel");

            let channel = Reflect::get(&ev, &"channel".into()).and_then(JsCast::dyn_into);
            let Ok(channel) = channel else {
                tracing::debug!("the browser opened something that is no data channel");
                return;
            };
            if let Err(e) = tx_ondatachannel.try_send(PollDataChannel::new(channel, &unread_inbound)) {
                if e.is_full() {
                    tracing::debug!("Remote is opening too many data channels, we can't keep up!");
                    return;
                }

                if e.is_disconnected() {
                    tracing::debug!("Receiver is gone, are we shutting down?");
                }
            }
        });
        let connection = Self {
            inner,
            inbound_data_channels: rx_ondatachannel,
            unread,
            _ondatachannel_closure: ondatachannel_closure,
        };
        let handler = connection._ondatachannel_closure.as_ref();
        connection.inner.set_ondatachannel(handler)?;
        Ok(connection)
    }

    /// PATCH: closing is the end whatever the browser says of it.
    fn close(&self) {
        let _ = self.inner.set_ondatachannel(&JsValue::NULL);
        let _ = self.inner.set_onconnectionstatechange(&JsValue::NULL);
        self.on_sctp_state_change(&JsValue::NULL);
        let _ = self.inner.close();
    }

    /// PATCH: whether the browser has given the connection up. What has no state is of no use.
    fn is_lost(&self) -> bool {
        match self.inner.connection_state() {
            Ok(state) => state == "failed" || state == "closed" || self.is_sctp_closed(),
            Err(_) => true,
        }
    }

    /// PATCH: sets the handler for changes of what carries the data channels, or none. When the remote
    /// closes the connection, this closes at once, while the connection's own state stays.
    fn on_sctp_state_change(&self, handler: &JsValue) {
        if let Some(sctp) = self.sctp() {
            let _ = Reflect::set(&sctp, &"onstatechange".into(), handler);
        }
    }

    /// PATCH: whether the remote has closed what carries the data channels.
    fn is_sctp_closed(&self) -> bool {
        self.sctp()
            .and_then(|sctp| Reflect::get(&sctp, &"state".into()).ok())
            .is_some_and(|state| state == "closed")
    }

    /// PATCH: the RTCSctpTransport, which web-sys does not have.
    fn sctp(&self) -> Option<JsValue> {
        Reflect::get(&self.inner, &"sctp".into())
            .ok()
            .filter(JsValue::is_object)
    }

    /// Creates the stream for the initial noise handshake.
    ///
    /// The underlying data channel MUST have `negotiated` set to `true` and carry the ID 0.
    pub(crate) fn new_handshake_stream(&self) -> Result<(Stream, DropListener), Error> {
        let data_channel = self.new_data_channel(true)?;
        Ok(Stream::new(PollDataChannel::new(data_channel, &self.unread)))
    }

    /// Creates a regular data channel for when the connection is already established.
    pub(crate) fn new_regular_data_channel(&self) -> Result<RtcDataChannel, Error> {
        self.new_data_channel(false)
    }

    /// PATCH: `createDataChannel` throws when the connection is closed or out of ids (about a
    /// thousand); web-sys does not catch that.
    fn new_data_channel(&self, negotiated: bool) -> Result<RtcDataChannel, Error> {
        const LABEL: &str = "";

        let options = RtcDataChannelInit::new();
        if negotiated {
            options.set_negotiated(true);
            options.set_id(0); // id is only ever set to zero when negotiated is true
        }
        let create: js_sys::Function = Reflect::get(&self.inner, &"createDataChannel".into())?
            .dyn_into()
            .map_err(|_| Error::JsCastFailed)?;
        let dc: RtcDataChannel = create
            .call2(&self.inner, &LABEL.into(), &options)?
            .dyn_into()
            .map_err(|_| Error::JsCastFailed)?;
        dc.set_binary_type(RtcDataChannelType::Arraybuffer); // Hardcoded here, it's the only type we use

        Ok(dc)
    }

    pub(crate) async fn create_offer(&self) -> Result<String, Error> {
        let offer = settled(self.inner.create_offer()).await?;

        text(&offer, "sdp").ok_or_else(|| Error::Js("No SDP in the offer".to_string()))
    }

    pub(crate) async fn set_local_description(
        &self,
        sdp: RtcSessionDescriptionInit,
    ) -> Result<(), Error> {
        settled(self.inner.set_local_description(&sdp)).await?;

        Ok(())
    }

    pub(crate) fn local_fingerprint(&self) -> Result<Fingerprint, Error> {
        let sdp = text(&self.inner.local_description()?, "sdp")
            .ok_or_else(|| Error::Js("No local description".to_string()))?;

        let fingerprint =
            parse_fingerprint(&sdp).ok_or_else(|| Error::Js("No fingerprint in SDP".to_string()))?;

        Ok(fingerprint)
    }

    pub(crate) async fn set_remote_description(
        &self,
        sdp: RtcSessionDescriptionInit,
    ) -> Result<(), Error> {
        settled(self.inner.set_remote_description(&sdp)).await?;

        Ok(())
    }
}

/// PATCH: the browser's connection. web-sys takes the answers for what they should be, and what throws for what cannot; but
/// extensions replace `RTCPeerConnection`, and a policy may make any of it throw.
#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = RTCPeerConnection)]
    type Browser;

    #[wasm_bindgen(constructor, catch, js_class = RTCPeerConnection)]
    fn new(config: &RtcConfiguration) -> Result<Browser, JsValue>;
    #[wasm_bindgen(static_method_of = Browser, catch, js_class = RTCPeerConnection, js_name = generateCertificate)]
    fn generate_certificate(algorithm: &Object) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = createOffer)]
    fn create_offer(this: &Browser) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = setLocalDescription)]
    fn set_local_description(this: &Browser, sdp: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = setRemoteDescription)]
    fn set_remote_description(this: &Browser, sdp: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    fn close(this: &Browser) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch, getter, js_name = connectionState)]
    fn connection_state(this: &Browser) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch, getter, js_name = localDescription)]
    fn local_description(this: &Browser) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch, setter)]
    fn set_ondatachannel(this: &Browser, handler: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch, setter)]
    fn set_onconnectionstatechange(this: &Browser, handler: &JsValue) -> Result<(), JsValue>;
}

/// PATCH: waits for an answer, which need not be a promise.
async fn settled(answer: Result<JsValue, JsValue>) -> Result<JsValue, JsValue> {
    JsFuture::from(js_sys::Promise::resolve(&answer?)).await
}

/// PATCH: a member that is a text.
fn text(object: &JsValue, name: &str) -> Option<String> {
    Reflect::get(object, &name.into()).ok()?.as_string()
}

/// Parse Fingerprint from a SDP.
fn parse_fingerprint(sdp: &str) -> Option<Fingerprint> {
    // split the sdp by new lines / carriage returns
    let lines = sdp.split("\r\n");

    // iterate through the lines to find the one starting with a=fingerprint:
    // get the value after the first space
    // return the value as a Fingerprint
    for line in lines {
        // PATCH: no panic when it is another.
        if line.starts_with("a=fingerprint:") {
            let fingerprint = line.split(' ').nth(1)?;
            let bytes = hex::decode(fingerprint.replace(':', "")).ok()?;
            let arr: [u8; 32] = bytes.as_slice().try_into().ok()?;
            return Some(Fingerprint::raw(arr));
        }
    }
    None
}

#[cfg(test)]
mod sdp_tests {
    use super::*;

    #[test]
    fn no_fingerprint_is_read_from_a_line_that_has_none() {
        for line in ["", " sha-256", "sha-256 ", "sha-256 xx", "sha-256 A8:17", "sha-512 A8"] {
            assert_eq!(parse_fingerprint(&format!("a=fingerprint:{line}\r\n")), None, "{line}");
        }
    }

    #[test]
    fn test_fingerprint() {
        let sdp = "v=0\r\no=- 0 0 IN IP6 ::1\r\ns=-\r\nc=IN IP6 ::1\r\nt=0 0\r\na=ice-lite\r\nm=application 61885 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\na=setup:passive\r\na=ice-ufrag:libp2p+webrtc+v1/YwapWySn6fE6L9i47PhlB6X4gzNXcgFs\r\na=ice-pwd:libp2p+webrtc+v1/YwapWySn6fE6L9i47PhlB6X4gzNXcgFs\r\na=fingerprint:sha-256 A8:17:77:1E:02:7E:D1:2B:53:92:70:A6:8E:F9:02:CC:21:72:3A:92:5D:F4:97:5F:27:C4:5E:75:D4:F4:31:89\r\na=sctp-port:5000\r\na=max-message-size:16384\r\na=candidate:1467250027 1 UDP 1467250027 ::1 61885 typ host\r\n";

        let fingerprint = parse_fingerprint(sdp).unwrap();

        assert_eq!(fingerprint.algorithm(), "sha-256");
        assert_eq!(
            fingerprint.to_sdp_format(),
            "A8:17:77:1E:02:7E:D1:2B:53:92:70:A6:8E:F9:02:CC:21:72:3A:92:5D:F4:97:5F:27:C4:5E:75:D4:F4:31:89"
        );
    }
}
