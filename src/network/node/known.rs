//! The peers that the kernel has spoken of: the node's handles tell, its task asks.

use std::{cell::RefCell, collections::HashSet, rc::Rc};

use super::address;
use crate::wire::PeerId;

/// All others are strangers. There are as many as the kernel speaks of.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Rc<RefCell<HashSet<libp2p::PeerId>>>);

impl Known {
    pub(super) fn insert(&self, peer: &PeerId) {
        // What is no peer id of libp2p never connects either.
        if let Ok(peer) = address::libp2p_peer(peer) {
            self.0.borrow_mut().insert(peer);
        }
    }

    pub(super) fn contains(&self, peer: &libp2p::PeerId) -> bool {
        self.0.borrow().contains(peer)
    }
}
