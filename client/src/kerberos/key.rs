//! Keys that erase themselves.

use std::fmt;

use zeroize::Zeroizing;

use super::enctype::Enctype;

/// A key with its type (RFC 4120 §5.2.9, `EncryptionKey`). Erased on drop; `Debug` shows the type only. Its length is
/// whatever its source said: what uses it checks.
#[derive(Clone)]
pub(crate) struct Key {
    /// What it is a key for.
    pub(crate) enctype: Enctype,
    /// The key itself.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

impl Key {
    /// A key; the bytes given are moved, not copied.
    pub(crate) fn new(enctype: Enctype, bytes: impl Into<Zeroizing<Vec<u8>>>) -> Self {
        Self { enctype, bytes: bytes.into() }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, …)", self.enctype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_shown() {
        let key = Key::new(Enctype::AES128_SHA1, vec![0xAB; 16]);
        let shown = format!("{key:?} {key:#?}");
        assert!(shown.contains("aes128"), "{shown}");
        assert!(!shown.contains("171") && !shown.to_lowercase().contains("ab,"), "{shown}");
    }
}
