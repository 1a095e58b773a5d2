//! PATCH: the whole file.

use std::{cell::Cell, rc::Rc};

/// How much may be unread before the stream is reset.
///
/// A browser offers no way to slow the sender down, so this must hold what a well-behaved sender may
/// have on its way while the reader waits: far more than one message of `MAX_MSG_LEN`.
const MAX_OF_STREAM: usize = 16 * 1024 * 1024;

/// How much may be unread on all streams of a connection together. A remote may open a hundred of them.
const MAX_OF_CONNECTION: usize = 24 * 1024 * 1024;

/// What is unread on all streams of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unread(Rc<Cell<usize>>);

impl Unread {
    pub(crate) fn of_stream(&self) -> Share {
        Share { all: self.clone(), own: 0 }
    }
}

/// What of that is unread on one stream; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    all: Unread,
    own: usize,
}

impl Share {
    /// Whether there is room for so much more, which is taken then.
    pub(crate) fn take(&mut self, len: usize) -> bool {
        let fits =
            len <= MAX_OF_STREAM.saturating_sub(self.own) && len <= MAX_OF_CONNECTION.saturating_sub(self.all.0.get());
        if fits {
            self.own += len;
            self.all.0.set(self.all.0.get() + len);
        }
        fits
    }

    /// So much was read.
    pub(crate) fn give_back(&mut self, len: usize) {
        let len = len.min(self.own);
        self.own -= len;
        self.all.0.set(self.all.0.get() - len);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn a_hundred_streams_have_no_more_unread_than_a_connection_may() {
        let connection = Unread::default();
        let mut streams: Vec<Share> = (0..100).map(|_| connection.of_stream()).collect();
        let taken = streams.iter_mut().map(|stream| stream.take(MIB)).filter(|fits| *fits).count();
        assert_eq!(taken * MIB, MAX_OF_CONNECTION);

        streams[0].give_back(MIB);
        assert!(streams[99].take(MIB), "what was read makes room");
        assert!(!streams[98].take(1));
        streams.truncate(10);
        assert!(streams[9].take(14 * MIB), "and so does a stream that ended");
        drop(streams);
        assert_eq!(connection.0.get(), 0);
    }

    #[test]
    fn one_stream_holds_what_a_sender_may_have_on_its_way_and_no_more() {
        let mut stream = Unread::default().of_stream();
        assert!(stream.take(16 * MIB) && !stream.take(1));
        stream.give_back(usize::MAX);
        assert!(!stream.take(usize::MAX) && stream.take(MIB));
    }
}
