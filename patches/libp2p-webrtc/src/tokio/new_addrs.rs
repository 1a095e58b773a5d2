//! PATCH: the whole file.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Addresses that are remembered.
const MAX_ADDRS: usize = 1_024;

/// The longest ufrag (RFC 8839, section 5.4).
const MAX_UFRAG_LEN: usize = 256;

/// The addresses that were told of and have no connection yet, so that each is told of once.
///
/// Both address and ufrag are whatever the sender of a packet likes them to be: what is remembered of
/// them is bounded, and one address is not told of again with each ufrag that it comes up with.
#[derive(Debug, Default)]
pub(crate) struct NewAddrs(HashMap<SocketAddr, Told>);

#[derive(Debug)]
struct Told {
    ufrag: String,
    at: Instant,
}

impl NewAddrs {
    /// Whether this address is to be told of; it is remembered then. It may come back with another
    /// ufrag when the former is `older` than this, for that may never have become a connection.
    pub(crate) fn is_news(&mut self, addr: SocketAddr, ufrag: &str, now: Instant, older: Duration) -> bool {
        if ufrag.len() > MAX_UFRAG_LEN {
            return false;
        }
        match self.0.get(&addr) {
            Some(told) if told.ufrag == ufrag || now.duration_since(told.at) < older => return false,
            Some(_) => {}
            None if self.0.len() >= MAX_ADDRS => {
                let oldest = self.0.iter().min_by_key(|(_, told)| told.at);
                if let Some(addr) = oldest.map(|(addr, _)| *addr) {
                    self.0.remove(&addr);
                }
            }
            None => {}
        }
        let ufrag = ufrag.to_owned();
        self.0.insert(addr, Told { ufrag, at: now });
        true
    }

    /// There is a connection at the address.
    pub(crate) fn remove(&mut self, addr: &SocketAddr) {
        self.0.remove(addr);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLDER: Duration = Duration::from_secs(6);

    fn addr(number: u32) -> SocketAddr {
        SocketAddr::from((std::net::Ipv4Addr::from(number), 1))
    }

    #[test]
    fn of_a_crowd_of_addresses_and_of_long_ufrags_little_is_remembered() {
        let (mut addrs, now) = (NewAddrs::default(), Instant::now());
        for number in 0..10_000 {
            let at = now + Duration::from_millis(number.into());
            assert!(addrs.is_news(addr(number), "ufrag", at, OLDER));
        }
        assert_eq!(addrs.0.len(), MAX_ADDRS);
        assert!(!addrs.is_news(addr(10_001), &"x".repeat(257), now, OLDER));
    }

    #[test]
    fn an_address_is_told_of_once_and_with_another_ufrag_when_the_former_is_old() {
        let (mut addrs, now) = (NewAddrs::default(), Instant::now());
        assert!(addrs.is_news(addr(1), "a", now, OLDER));
        for ufrag in ["a", "b", "c"] {
            assert!(!addrs.is_news(addr(1), ufrag, now + OLDER / 2, OLDER));
        }
        assert!(!addrs.is_news(addr(1), "a", now + OLDER, OLDER));
        assert!(addrs.is_news(addr(1), "b", now + OLDER, OLDER));
        addrs.remove(&addr(1));
        assert!(addrs.is_news(addr(1), "b", now + OLDER, OLDER));
    }
}
