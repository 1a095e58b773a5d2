//! One task reads a stream, one writes it.

use std::{io, rc::Rc, time::Duration};

use futures::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _,
    channel::{mpsc, oneshot},
    future::AbortHandle,
};

use super::Driver;
use crate::{
    network::{
        link::Links,
        status::Path,
        transport::{ChannelId, Input},
    },
    runtime::{Runtime, timeout},
    wire::{FrameDecoder, encode_frame},
};

/// Frames that may wait for the writer. The transport has fewer under way at once.
const WRITE_QUEUE: usize = 16;
/// Bytes from which on no further frame is written along.
const WRITTEN_TOGETHER: usize = 16 << 10;
/// Bytes read at once.
const READ_BUFFER: usize = 16 << 10;

/// The driver's hold on a stream.
pub(super) struct StreamHandle {
    credit: mpsc::Sender<()>,
    /// Gone when no more is to be written.
    frames: Option<mpsc::Sender<String>>,
    reader: AbortHandle,
    writer: AbortHandle,
    written: oneshot::Receiver<()>,
    /// The connection below.
    pub(super) path: Path,
    pub(super) with_incumbent: bool,
}

impl StreamHandle {
    /// Lets the reader hand over one more frame.
    pub(super) fn read(&mut self) {
        // Full only if a frame was already asked for.
        self.credit.try_send(()).ok();
    }

    pub(super) fn write(&mut self, text: String) {
        let Some(frames) = &mut self.frames else { return };
        if frames.try_send(text).is_err() {
            // The writer has ended, and has said why; or the queue is too short, and then nothing may be skipped.
            self.abort();
        }
    }

    /// Lets the writer finish and close our direction.
    pub(super) fn finish(&mut self) {
        self.frames = None;
    }

    pub(super) fn abort(&self) {
        self.reader.abort();
        self.writer.abort();
    }

    /// Lets the writer finish and close the stream, for at most `limit`.
    pub(super) async fn close(self, runtime: &dyn Runtime, limit: Duration) {
        let StreamHandle { frames, reader, writer, written, .. } = self;
        reader.abort();
        drop(frames);
        timeout(runtime, limit, written).await;
        writer.abort();
    }
}

pub(super) fn start<L: Links>(driver: &Rc<Driver<L>>, channel: ChannelId, stream: L::Stream) -> StreamHandle {
    let (path, with_incumbent) = (L::path(&stream), L::is_with_incumbent(&stream));
    let (read_half, write_half) = stream.split();
    let (credit, credits) = mpsc::channel(1);
    let (frames, to_write) = mpsc::channel(WRITE_QUEUE);
    let (done, written) = oneshot::channel();
    let reader = driver.spawn_abortable(read(Rc::clone(driver), channel, read_half, credits));
    let writing = write(Rc::clone(driver), channel, write_half, to_write);
    let writer = driver.spawn_abortable(async move {
        writing.await;
        done.send(()).ok();
    });
    StreamHandle { credit, frames: Some(frames), reader, writer, written, path, with_incumbent }
}

/// Hands over a frame for each credit, until the stream ends.
async fn read<L: Links>(
    driver: Rc<Driver<L>>,
    channel: ChannelId,
    mut stream: impl AsyncRead + Unpin,
    mut credits: mpsc::Receiver<()>,
) {
    let mut decoder = FrameDecoder::new(driver.max_message_bytes);
    let mut buffer = vec![0; READ_BUFFER];
    while credits.next().await.is_some() {
        match next_frame(&driver, channel, &mut stream, &mut decoder, &mut buffer).await {
            Ok(text) => driver.feed(Input::Frame { channel, text }),
            Err(end) => return driver.feed(end),
        }
    }
}

async fn next_frame<L: Links>(
    driver: &Rc<Driver<L>>,
    channel: ChannelId,
    stream: &mut (impl AsyncRead + Unpin),
    decoder: &mut FrameDecoder,
    buffer: &mut [u8],
) -> Result<String, Input> {
    loop {
        match decoder.next_message() {
            Ok(Some(text)) => return Ok(text),
            Ok(None) => {}
            Err(error) => return Err(Input::FrameError { channel, error }),
        }
        if decoder.has_begun() {
            driver.feed(Input::PartRead { channel });
        }
        match stream.read(buffer).await {
            Ok(0) => return Err(Input::ChannelClosed { channel, reason: "the peer closed the stream".to_owned() }),
            Ok(length) => decoder.push(buffer.get(..length).unwrap_or_default()),
            Err(error) => return Err(Input::ChannelClosed { channel, reason: error.to_string() }),
        }
    }
}

/// Writes frames in order; nothing after one that failed.
async fn write<L: Links>(
    driver: Rc<Driver<L>>,
    channel: ChannelId,
    mut stream: impl AsyncWrite + Unpin,
    mut frames: mpsc::Receiver<String>,
) {
    while let Some(text) = frames.next().await {
        let mut bytes = encode_frame(&text);
        let mut count = 1_usize;
        // What waits already goes along: each write costs a packet, an encryption and a call of the browser.
        while bytes.len() < WRITTEN_TOGETHER
            && let Ok(text) = frames.try_recv()
        {
            bytes.extend_from_slice(&encode_frame(&text));
            count = count.saturating_add(1);
        }
        match write_whole(&driver, channel, &mut stream, &bytes).await {
            Ok(()) => (0..count).for_each(|_| driver.feed(Input::Written { channel })),
            Err(error) => return driver.feed(Input::ChannelClosed { channel, reason: error.to_string() }),
        }
    }
    if let Err(error) = stream.close().await {
        tracing::debug!(%error, "a stream could not be closed in order");
    }
}

/// Writes all of it, and tells of each part, if it does not go at once: a slow line takes its time.
async fn write_whole<L: Links>(
    driver: &Rc<Driver<L>>,
    channel: ChannelId,
    stream: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        let taken = stream.write(left).await?;
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        left = left.get(taken..).unwrap_or_default();
        if taken < bytes.len() {
            driver.feed(Input::PartWritten { channel });
        }
    }
    stream.flush().await
}
