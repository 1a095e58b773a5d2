//! Frames: however the stream is cut, the same messages come out, up to the same error, after which nothing comes.

use ocap_remotes::wire::{FrameDecoder, WireError, encode_frame};

use crate::choices::Choices;

const LIMITS: [usize; 8] = [0, 1, 16, 127, 128, 1_024, 16_384, 1 << 20];

/// The input is a limit, up to eight sizes of pieces, and the stream.
pub(crate) fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let limit = *choices.pick(&LIMITS);
    let sizes: Vec<usize> = (0..choices.below(8)).map(|_| usize::from(choices.byte())).collect();
    let stream = choices.rest();

    let (messages, error) = decode(stream, &[], limit);
    assert_eq!(decode(stream, &sizes, limit), (messages.clone(), error.clone()), "it depends on how the stream is cut");

    let encoded: Vec<u8> = messages.iter().flat_map(|message| encode_frame(message)).collect();
    assert_eq!(stream.get(..encoded.len()), Some(&encoded[..]), "a message is not what was on the stream");
    assert!(messages.iter().all(|message| message.len() <= limit));
    match error {
        Some(WireError::FrameTooLong { announced, limit: named }) => {
            assert!(announced > limit as u64 && named == limit)
        }
        Some(WireError::BadLength | WireError::NotUtf8) => {}
        Some(other) => panic!("{other:?} is no error of framing"),
        None => assert!(stream.len() - encoded.len() < limit + 10, "a whole frame was held back"),
    }
}

/// All messages up to the end or the first error, with the stream cut into pieces of `sizes`, over and over.
fn decode(stream: &[u8], sizes: &[usize], limit: usize) -> (Vec<String>, Option<WireError>) {
    let mut decoder = FrameDecoder::new(limit);
    let mut messages = Vec::new();
    let mut rest = stream;
    for size in sizes.iter().copied().filter(|size| *size > 0).cycle().chain([stream.len()]) {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        decoder.push(piece);
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => {
                    decoder.push(&encode_frame(""));
                    assert_eq!(decoder.next_message(), Err(error.clone()), "a poisoned decoder goes on");
                    return (messages, Some(error));
                }
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    (messages, None)
}
