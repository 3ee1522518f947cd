//! What must not be shown and must not stay in memory: passwords, tokens, and what is computed from them.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// A secret text. Erased when its last clone is dropped; `Debug` shows nothing of it, not even its length.
#[derive(Clone)]
pub(crate) struct Secret(Arc<Zeroizing<String>>);

/// A token of an exchange on its way to the broker, erased on drop. What the socket's frame copies of it is not.
pub(crate) type Token = Zeroizing<Vec<u8>>;

impl Secret {
    /// Copies the text; the caller's own copy is the caller's to erase.
    pub(crate) fn new(text: &str) -> Self {
        Self(Arc::new(Zeroizing::new(text.to_owned())))
    }

    /// The secret itself, for the one place that proves it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        assert_eq!(format!("{:?} {:#?}", Secret::new("hunter2"), Secret::new("")), "… …");
    }
}
