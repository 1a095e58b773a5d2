//! Frames: an unsigned-varint length, then that many bytes of UTF-8 (protocol §2).

use super::WireError;

/// Largest message by default: 1 MiB.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Longest length prefix, in bytes: multiformats' varints hold 63 bits. The decoder takes one byte more, and loses its bits.
const MAX_PREFIX: usize = 9;

/// One message as it goes on the stream.
pub fn encode_frame(message: &str) -> Vec<u8> {
    let mut buffer = unsigned_varint::encode::usize_buffer();
    let prefix = unsigned_varint::encode::usize(message.len(), &mut buffer);
    let mut frame = Vec::with_capacity(prefix.len().saturating_add(message.len()));
    frame.extend_from_slice(prefix);
    frame.extend_from_slice(message.as_bytes());
    frame
}

/// Cuts a stream of bytes into messages, holding at most one incomplete frame.
///
/// After an error the stream has no known frame boundary any more: reset it and drop the decoder.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    /// How much of `buffer` was already handed out.
    consumed: usize,
    limit: usize,
}

impl FrameDecoder {
    /// A decoder that refuses frames longer than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        FrameDecoder { buffer: Vec::new(), consumed: 0, limit }
    }

    /// Takes bytes as they come from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.consumed.min(self.buffer.len()));
        self.consumed = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a part of a message is here. To be asked when there is no whole one.
    pub fn has_begun(&self) -> bool {
        self.buffer.len() > self.consumed
    }

    /// The next whole message, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// [`WireError::FrameTooLong`] as soon as the length is known, without waiting for the body;
    /// [`WireError::BadLength`]; [`WireError::NotUtf8`].
    pub fn next_message(&mut self) -> Result<Option<String>, WireError> {
        let unread = self.buffer.get(self.consumed..).unwrap_or_default();
        let (length, body) = match unsigned_varint::decode::u64(unread) {
            Ok((length, body)) if unread.len() - body.len() <= MAX_PREFIX => (length, body),
            Ok(_) => return Err(WireError::BadLength),
            Err(unsigned_varint::decode::Error::Insufficient) => return Ok(None),
            Err(_) => return Err(WireError::BadLength),
        };
        let length = match usize::try_from(length) {
            Ok(length) if length <= self.limit => length,
            _ => return Err(WireError::FrameTooLong { announced: length, limit: self.limit }),
        };
        let Some(bytes) = body.get(..length) else { return Ok(None) };
        let message = std::str::from_utf8(bytes).map_err(|_| WireError::NotUtf8)?.to_owned();
        let prefix = unread.len() - body.len();
        self.consumed += prefix + length;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_of_two_mebibytes_is_refused_from_its_prefix_alone() {
        let mut decoder = FrameDecoder::new(DEFAULT_MAX_MESSAGE_BYTES);
        decoder.push(&encode_frame(&"x".repeat(2 << 20))[..4]);
        let error = WireError::FrameTooLong { announced: 2 << 20, limit: 1 << 20 };
        assert_eq!(decoder.next_message(), Err(error));
    }

    #[test]
    fn a_frame_of_exactly_the_limit_passes() {
        let mut decoder = FrameDecoder::new(8);
        decoder.push(&encode_frame("12345678"));
        assert_eq!(decoder.next_message(), Ok(Some("12345678".into())));
        decoder.push(&encode_frame("123456789"));
        assert!(matches!(decoder.next_message(), Err(WireError::FrameTooLong { announced: 9, limit: 8 })));
    }

    #[test]
    fn hostile_prefixes_are_errors() {
        let wraps_to_zero = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02];
        for bytes in [&[0x80, 0x00][..], &[0xff; 11], &wraps_to_zero] {
            let mut decoder = FrameDecoder::new(16);
            decoder.push(bytes);
            assert_eq!(decoder.next_message(), Err(WireError::BadLength));
        }
        let mut decoder = FrameDecoder::new(16);
        decoder.push(&[2, 0xc3, 0x28]);
        assert_eq!(decoder.next_message(), Err(WireError::NotUtf8));
    }

    proptest! {
        #[test]
        fn messages_survive_any_cutting_of_the_stream(
            messages in proptest::collection::vec(".{0,40}", 0..8),
            cut in 1_usize..7,
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| encode_frame(message)).collect();
            let mut decoder = FrameDecoder::new(1024);
            let mut got = Vec::new();
            for piece in stream.chunks(cut) {
                decoder.push(piece);
                while let Some(message) = decoder.next_message()? {
                    got.push(message);
                }
            }
            prop_assert_eq!(got, messages);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut decoder = FrameDecoder::new(32);
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next_message() {}
        }
    }
}
