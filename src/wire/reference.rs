//! References: the kernel's own (`ko1`, `kp1`), and an endpoint's (`o+1` of the local program, `ro-2` of a remote).

use std::{fmt, str::FromStr};

use super::WireError;

/// Whether a reference names an object or a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefKind {
    /// An object.
    Object,
    /// A promise.
    Promise,
}

/// Which side of a c-list brought a reference into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// `+`: the endpoint that owns the c-list exports it to the kernel.
    Export,
    /// `-`: the kernel gave it to the endpoint, which imports it.
    Import,
}

/// A kernel reference: `ko<N>` or `kp<N>`, N ≥ 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kref {
    /// Object or promise.
    pub kind: RefKind,
    /// The number.
    pub index: u64,
}

impl Kref {
    /// An object's reference.
    pub fn object(index: u64) -> Self {
        Kref { kind: RefKind::Object, index }
    }

    /// A promise's reference.
    pub fn promise(index: u64) -> Self {
        Kref { kind: RefKind::Promise, index }
    }

    /// Whether this names a promise.
    pub fn is_promise(self) -> bool {
        self.kind == RefKind::Promise
    }
}

/// An endpoint's own name for something in its c-list; between kernels it is the remote reference (rref).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Eref {
    /// Whether the c-list is a remote's (`ro+1`) or the local program's (`o+1`).
    pub remote: bool,
    /// Object or promise.
    pub kind: RefKind,
    /// Who exports it.
    pub direction: Direction,
    /// The number.
    pub index: u64,
}

impl Eref {
    /// The same reference as the other end of the wire names it.
    #[must_use]
    pub fn flipped(self) -> Self {
        let direction = match self.direction {
            Direction::Export => Direction::Import,
            Direction::Import => Direction::Export,
        };
        Eref { direction, ..self }
    }

    /// Parses a reference that came over the wire, which must be a remote's.
    ///
    /// # Errors
    /// [`WireError::BadReference`].
    pub fn parse_remote(text: &str) -> Result<Self, WireError> {
        let eref: Eref = text.parse()?;
        if eref.remote { Ok(eref) } else { Err(WireError::bad_reference(text, "a remote reference")) }
    }
}

/// Whose c-list: a remote `r<N>` or a local vat `v<N>`, N ≥ 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointId {
    /// A remote kernel.
    Remote(u64),
    /// A local program.
    Vat(u64),
}

impl EndpointId {
    /// Whether this is a remote kernel.
    pub fn is_remote(self) -> bool {
        matches!(self, EndpointId::Remote(_))
    }
}

/// A canonical decimal number ≥ 1: no sign, no leading zero, so that one thing has one name.
fn index(digits: &str) -> Option<u64> {
    let canonical = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    if canonical { digits.parse().ok() } else { None }
}

fn kind(rest: &str) -> Option<(RefKind, &str)> {
    rest.strip_prefix('o')
        .map(|rest| (RefKind::Object, rest))
        .or_else(|| rest.strip_prefix('p').map(|rest| (RefKind::Promise, rest)))
}

impl FromStr for Kref {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        let parsed = text.strip_prefix('k').and_then(kind);
        parsed
            .and_then(|(kind, digits)| Some(Kref { kind, index: index(digits)? }))
            .ok_or_else(|| WireError::bad_reference(text, "a kernel reference (ko1, kp1)"))
    }
}

impl FromStr for Eref {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        let parse = || {
            let (remote, rest) = text.strip_prefix('r').map_or((false, text), |rest| (true, rest));
            let (kind, rest) = kind(rest)?;
            let (direction, digits) = rest
                .strip_prefix('+')
                .map(|digits| (Direction::Export, digits))
                .or_else(|| rest.strip_prefix('-').map(|digits| (Direction::Import, digits)))?;
            Some(Eref { remote, kind, direction, index: index(digits)? })
        };
        parse().ok_or_else(|| WireError::bad_reference(text, "an endpoint reference (ro+1, rp-1, o+1)"))
    }
}

impl FromStr for EndpointId {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        let remote = || text.strip_prefix('r').and_then(index).map(EndpointId::Remote);
        let vat = || text.strip_prefix('v').and_then(index).map(EndpointId::Vat);
        remote().or_else(vat).ok_or_else(|| WireError::bad_reference(text, "an endpoint id (r1, v1)"))
    }
}

/// References are spelled many times for each message, and the formatter's own way to write a number is slow.
fn write_number(f: &mut fmt::Formatter<'_>, number: u64) -> fmt::Result {
    f.write_str(itoa::Buffer::new().format(number))
}

impl fmt::Display for Kref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            RefKind::Object => "ko",
            RefKind::Promise => "kp",
        })?;
        write_number(f, self.index)
    }
}

impl fmt::Display for Eref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.remote {
            f.write_str("r")?;
        }
        f.write_str(match (self.kind, self.direction) {
            (RefKind::Object, Direction::Export) => "o+",
            (RefKind::Object, Direction::Import) => "o-",
            (RefKind::Promise, Direction::Export) => "p+",
            (RefKind::Promise, Direction::Import) => "p-",
        })?;
        write_number(f, self.index)
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letter, index) = match self {
            EndpointId::Remote(index) => ("r", *index),
            EndpointId::Vat(index) => ("v", *index),
        };
        f.write_str(letter)?;
        write_number(f, index)
    }
}

/// `Debug` as `Display` and serde as text, for the types whose text is their meaning.
macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text!(Kref, Eref, EndpointId);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_senders_import_is_the_receivers_export() {
        let ours = Eref::parse_remote("ro-3").unwrap();
        assert_eq!(ours.flipped().to_string(), "ro+3");
        assert_eq!(ours.flipped().flipped(), ours);
    }

    #[test]
    fn unusual_spellings_are_refused() {
        for text in ["", "r", "ro", "ro+", "ro+0", "ro+01", "ro++1", "ro1", "rq+1", "ro+1 ", "ro+-1", "ro+1.5"] {
            assert!(text.parse::<Eref>().is_err(), "{text}");
        }
        assert!(Eref::parse_remote("o+1").is_err());
        for text in ["ko0", "ko", "k1", "ko+1", "ko18446744073709551616", "r0", "x1"] {
            assert!(text.parse::<Kref>().is_err() && text.parse::<EndpointId>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_value_are_one_to_one(text in "r?[op][+-][0-9]{1,6}|k[op][0-9]{1,6}|[rv][0-9]{1,6}") {
            if let Ok(value) = text.parse::<Eref>() {
                prop_assert_eq!(value.to_string(), text.clone());
            }
            if let Ok(value) = text.parse::<Kref>() {
                prop_assert_eq!(value.to_string(), text.clone());
            }
            if let Ok(value) = text.parse::<EndpointId>() {
                prop_assert_eq!(value.to_string(), text);
            }
        }
    }
}
