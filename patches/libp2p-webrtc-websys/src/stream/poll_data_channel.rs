use std::{
    cmp::min,
    io,
    pin::Pin,
    rc::{Rc, Weak},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::BytesMut;
use futures::{AsyncRead, AsyncWrite, task::AtomicWaker};
use libp2p_webrtc_utils::MAX_MSG_LEN;
use wasm_bindgen::prelude::*;

use super::unread::{Share, Unread};
use web_sys::{Event, MessageEvent, RtcDataChannel, RtcDataChannelEvent, RtcDataChannelState, RtcDataChannelType};

/// PATCH: how much the browser may have to send before a writer waits, and how much is left of it when it goes on. With
/// no more than one message of [`MAX_MSG_LEN`], the network waits for the page after each; with much more, nothing is seen for
/// long of what a slow line does.
const MAX_BUFFERED_AMOUNT: usize = 64 * 1024;
const LOW_BUFFERED_AMOUNT: usize = 32 * 1024;

/// [`PollDataChannel`] is a wrapper around [`RtcDataChannel`] which implements [`AsyncRead`] and
/// [`AsyncWrite`].
#[derive(Debug, Clone)]
pub(crate) struct PollDataChannel {
    /// The [`RtcDataChannel`] being wrapped.
    inner: RtcDataChannel,

    new_data_waker: Rc<AtomicWaker>,
    /// PATCH: with its share of what may be unread on the connection.
    read_buffer: Rc<Mutex<(BytesMut, Share)>>,

    /// Waker for when we are waiting for the DC to be opened.
    open_waker: Rc<AtomicWaker>,

    /// Waker for when we are waiting to write (again) to the DC because we previously exceeded the
    /// [`MAX_BUFFERED_AMOUNT`] threshold.
    write_waker: Rc<AtomicWaker>,

    /// Waker for when we are waiting for the DC to be closed.
    close_waker: Rc<AtomicWaker>,

    /// Whether we've been overloaded with data by the remote.
    ///
    /// This is set to `true` in case `read_buffer` overflows, i.e. the remote is sending us
    /// messages faster than we can read them. In that case, we return an [`std::io::Error`]
    /// from [`AsyncRead`] or [`AsyncWrite`], depending which one gets called earlier.
    /// Failing these will (very likely),
    /// cause the application developer to drop the stream which resets it.
    overloaded: Rc<AtomicBool>,

    /// PATCH: shared by all clones, so that the last one unsets the handlers.
    _handlers: Rc<Handlers>,
}

/// PATCH: the wakers of everybody who may wait on a data channel.
#[derive(Debug)]
pub(crate) struct Wakers {
    new_data: Rc<AtomicWaker>,
    open: Rc<AtomicWaker>,
    write: Rc<AtomicWaker>,
    close: Rc<AtomicWaker>,
}

impl Wakers {
    /// Wakes all, to be called when no further event will.
    pub(crate) fn wake_all(&self) {
        self.new_data.wake();
        self.open.wake();
        self.write.wake();
        self.close.wake();
    }
}

/// PATCH: the event handlers of a data channel, unset when dropped.
#[derive(Debug)]
struct Handlers {
    channel: RtcDataChannel,
    wakers: Rc<Wakers>,

    // Store the closures for proper garbage collection.
    _on_open_closure: Closure<dyn FnMut(RtcDataChannelEvent)>,
    _on_write_closure: Closure<dyn FnMut(Event)>,
    _on_close_closure: Closure<dyn FnMut(Event)>,
    _on_message_closure: Closure<dyn FnMut(MessageEvent)>,
}

impl Drop for Handlers {
    fn drop(&mut self) {
        self.channel.set_onopen(None);
        self.channel.set_onbufferedamountlow(None);
        self.channel.set_onclose(None);
        self.channel.set_onmessage(None);
        // The channel is not closed, as webrtc-rs does not answer that (#4333): the next channel with
        // the same id would hang.
    }
}

impl PollDataChannel {
    /// PATCH: `unread` counts for all data channels of the connection.
    pub(crate) fn new(inner: RtcDataChannel, unread: &Unread) -> Self {
        let open_waker = Rc::new(AtomicWaker::new());
        let on_open_closure = Closure::new({
            let open_waker = open_waker.clone();

            move |_: RtcDataChannelEvent| {
                tracing::trace!("DataChannel opened");
                open_waker.wake();
            }
        });
        // PATCH: also for channels that the remote opened.
        inner.set_binary_type(RtcDataChannelType::Arraybuffer);
        inner.set_onopen(Some(on_open_closure.as_ref().unchecked_ref()));

        let write_waker = Rc::new(AtomicWaker::new());
        inner.set_buffered_amount_low_threshold(0);
        let on_write_closure = Closure::new({
            let write_waker = write_waker.clone();

            move |_: Event| {
                tracing::trace!("DataChannel available for writing (again)");
                write_waker.wake();
            }
        });
        inner.set_onbufferedamountlow(Some(on_write_closure.as_ref().unchecked_ref()));

        let close_waker = Rc::new(AtomicWaker::new());
        let new_data_waker = Rc::new(AtomicWaker::new());
        let wakers = Rc::new(Wakers {
            new_data: new_data_waker.clone(),
            open: open_waker.clone(),
            write: write_waker.clone(),
            close: close_waker.clone(),
        });
        let on_close_closure = Closure::new({
            let wakers = wakers.clone();

            move |_: Event| {
                tracing::trace!("DataChannel closed");
                // PATCH: readers and writers too, or they wait for ever.
                wakers.wake_all();
            }
        });
        inner.set_onclose(Some(on_close_closure.as_ref().unchecked_ref()));

        // We purposely don't use `with_capacity`
        // so we don't eagerly allocate as much as may be unread per stream.
        let read_buffer = Rc::new(Mutex::new((BytesMut::new(), unread.of_stream())));
        let overloaded = Rc::new(AtomicBool::new(false));

        let on_message_closure = Closure::<dyn FnMut(_)>::new({
            let new_data_waker = new_data_waker.clone();
            let read_buffer = read_buffer.clone();
            let overloaded = overloaded.clone();
            let wakers = wakers.clone();

            move |ev: MessageEvent| {
                // PATCH: a text message is none of ours, and `new Uint8Array("1e9")` is a gigabyte.
                let data = Some(ev.data()).filter(JsValue::is_object);
                let data = data.map(|buffer| js_sys::Uint8Array::new(&buffer));

                let mut read_buffer = read_buffer.lock().unwrap();
                let (bytes, share) = &mut *read_buffer;

                match data {
                    // PATCH: what comes after what was lost is of no use.
                    _ if overloaded.load(Ordering::SeqCst) => {}
                    Some(data) if share.take(data.length() as usize) => {
                        bytes.extend_from_slice(&data.to_vec());
                        new_data_waker.wake();
                    }
                    _ => {
                        overloaded.store(true, Ordering::SeqCst);
                        tracing::debug!("Remote is overloading us with messages, resetting stream");
                        drop(read_buffer);
                        wakers.wake_all();
                    }
                }
            }
        });
        inner.set_onmessage(Some(on_message_closure.as_ref().unchecked_ref()));

        let channel = inner.clone();

        Self {
            inner,
            new_data_waker,
            read_buffer,
            open_waker,
            write_waker,
            close_waker,
            overloaded,
            _handlers: Rc::new(Handlers {
                channel,
                wakers,
                _on_open_closure: on_open_closure,
                _on_write_closure: on_write_closure,
                _on_close_closure: on_close_closure,
                _on_message_closure: on_message_closure,
            }),
        }
    }

    /// PATCH: the wakers, which die with the last clone.
    pub(crate) fn wakers(&self) -> Weak<Wakers> {
        Rc::downgrade(&self._handlers.wakers)
    }

    /// Returns the [RtcDataChannelState] of the [RtcDataChannel]
    fn ready_state(&self) -> RtcDataChannelState {
        self.inner.ready_state()
    }

    /// Returns the current [RtcDataChannel] BufferedAmount
    fn buffered_amount(&self) -> usize {
        self.inner.buffered_amount() as usize
    }

    /// Whether the data channel is ready for reading or writing.
    fn poll_ready(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        match self.ready_state() {
            RtcDataChannelState::Connecting => {
                self.open_waker.register(cx.waker());
                return Poll::Pending;
            }
            RtcDataChannelState::Closing | RtcDataChannelState::Closed => {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            RtcDataChannelState::Open | RtcDataChannelState::__Invalid => {}
            _ => {}
        }

        if self.overloaded.load(Ordering::SeqCst) {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "remote overloaded us with messages",
            )));
        }

        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for PollDataChannel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();

        futures::ready!(this.poll_ready(cx))?;

        let mut read_buffer = this.read_buffer.lock().unwrap();
        let (read_buffer, share) = &mut *read_buffer;

        if read_buffer.is_empty() {
            this.new_data_waker.register(cx.waker());
            return Poll::Pending;
        }

        // Ensure that we:
        // - at most return what the caller can read (`buf.len()`)
        // - at most what we have (`read_buffer.len()`)
        let split_index = min(buf.len(), read_buffer.len());

        let bytes_to_return = read_buffer.split_to(split_index);
        let len = bytes_to_return.len();
        buf[..len].copy_from_slice(&bytes_to_return);
        share.give_back(len);

        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for PollDataChannel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();

        futures::ready!(this.poll_ready(cx))?;

        // PATCH: several messages may wait in the browser.
        if this.buffered_amount() >= MAX_BUFFERED_AMOUNT {
            this.inner
                .set_buffered_amount_low_threshold(LOW_BUFFERED_AMOUNT as u32);
            this.write_waker.register(cx.waker());
            return Poll::Pending;
        }

        let bytes_to_send = min(buf.len(), MAX_MSG_LEN);

        if this
            .inner
            .send_with_u8_array(&buf[..bytes_to_send])
            .is_err()
        {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }

        Poll::Ready(Ok(bytes_to_send))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffered_amount() == 0 {
            return Poll::Ready(Ok(()));
        }

        // PATCH: the threshold may be that of a writer.
        self.inner.set_buffered_amount_low_threshold(0);
        self.write_waker.register(cx.waker());
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ready_state() == RtcDataChannelState::Closed {
            return Poll::Ready(Ok(()));
        }

        if self.ready_state() != RtcDataChannelState::Closing {
            self.inner.close();
        }

        self.close_waker.register(cx.waker());
        Poll::Pending
    }
}
