//! Bytes as a series of choices. One that needs more bytes than are left gets zeros, so that every input means something,
//! and the parts of an input mean the same when others are cut out, as fuzzers like to do.

use arbitrary::Unstructured;

/// What is left of an input.
pub(crate) struct Choices<'a>(Unstructured<'a>);

impl<'a> Choices<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Choices(Unstructured::new(data))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A number from 0 to 255.
    pub(crate) fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// A number below `limit`, which is from 1 to 256.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        // The last of them, so that an input that has come to its end chooses the common case.
        self.below(times) == times - 1
    }

    /// One of `items`, of which there are from 1 to 256.
    pub(crate) fn pick<'b, T>(&mut self, items: &'b [T]) -> &'b T {
        &items[self.below(items.len())]
    }

    /// A number of 64 bits.
    pub(crate) fn number(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// Up to 255 bytes, of which the length is told before.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        self.0.bytes(length).unwrap_or_default()
    }

    /// A text of up to 255 bytes; what is not UTF-8 is replaced.
    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// Everything that is left.
    pub(crate) fn rest(mut self) -> &'a [u8] {
        self.0.bytes(self.0.len()).unwrap_or_default()
    }
}
