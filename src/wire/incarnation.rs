//! Incarnation ids: which life of a kernel's store is speaking.

use std::{fmt, str::FromStr};

use super::WireError;

/// Identifies one life of a kernel's store. Ours are UUID v4; a peer's are taken as opaque text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IncarnationId(String);

impl IncarnationId {
    /// Longest accepted text, in bytes.
    pub const MAX_LENGTH: usize = 128;

    /// A UUID v4 from 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        IncarnationId(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IncarnationId {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > Self::MAX_LENGTH || !printable {
            return Err(WireError::BadIncarnation);
        }
        Ok(IncarnationId(text.to_owned()))
    }
}

impl fmt::Display for IncarnationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for IncarnationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_uuid_v4() {
        let id = IncarnationId::from_random([0xff; 16]);
        assert_eq!(id.as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn hostile_text_is_refused() {
        for text in ["", " ", "a b", "a\n", "\u{e9}", &"x".repeat(129)] {
            assert_eq!(text.parse::<IncarnationId>(), Err(WireError::BadIncarnation), "{text:?}");
        }
        assert!("any-printable_id:1".parse::<IncarnationId>().is_ok());
    }
}
