//! Memory of packets that were read, for packets to be written: fresh memory costs a browser more than to write to it. It goes
//! back and forth, for the answer to a long message crosses in the memory that the message came in.

use std::{cell::RefCell, ops::RangeInclusive};

use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::JsCast as _;

/// Lengths that are worth to be kept, in bytes.
const KEPT: RangeInclusive<u32> = 16 << 10..=2 << 20;

/// How much is kept at most, in bytes.
const LIMIT: u32 = 4 << 20;

#[derive(Default)]
pub(super) struct Spares {
    buffers: RefCell<Vec<(u32, ArrayBuffer)>>,
}

impl Spares {
    /// Keeps the memory of a packet that nobody reads any more.
    pub(super) fn keep(&self, packet: &Uint8Array) {
        let buffer = packet.buffer();
        let length = buffer.byte_length();
        let mut buffers = self.buffers.borrow_mut();
        let kept: u32 = buffers.iter().map(|(length, _)| length).sum();
        // Memory that is shared cannot be transferred.
        if KEPT.contains(&length) && kept.saturating_add(length) <= LIMIT && buffer.is_instance_of::<ArrayBuffer>() {
            buffers.push((length, buffer));
        }
    }

    /// Room for so many bytes, if there is any.
    pub(super) fn take(&self, length: u32) -> Option<Uint8Array> {
        let mut buffers = self.buffers.borrow_mut();
        let place = buffers.iter().position(|(kept, _)| *kept >= length)?;
        let (_, buffer) = buffers.swap_remove(place);
        Some(Uint8Array::new_with_byte_offset_and_length(&buffer, 0, length))
    }
}
