//! A value that must never be shown: passwords and whatever else opens a door.

use std::fmt;

use zeroize::Zeroizing;

/// A secret text. `Debug` and `Display` print a fixed placeholder whatever the content or its length;
/// the only way to the text is [`Secret::expose`], which is easy to search for.
/// Erased when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// What stands in the place of a secret wherever one would be shown.
pub const REDACTED: &str = "[redacted]";

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself, for the one place that sends it to the peer.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Secret({REDACTED})")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown_and_still_readable_on_purpose() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "[redacted] Secret([redacted]) Secret([redacted])");
        assert_eq!(secret.expose(), "hunter2");
    }
}
