//! Mechanisms that a test brings with it: the framing and the session are the broker's, the tokens are the test's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// The server's side of one login by a mechanism that [`Builder::sasl_mechanism`](crate::Builder::sasl_mechanism) adds. One is
/// made for each login, and again when a login is renewed (KIP-368). It plays the part of Java's `SaslServer`.
pub trait TokenServer: Send + Sync {
    /// Takes the client's next token, which may be empty, and says what becomes of the login. It is called on the connection's
    /// task, so it should only compute. After [`TokenStep::Done`] or [`TokenStep::Refuse`] it is not called again.
    fn step(&mut self, token: &[u8]) -> TokenStep;
}

/// What answers a client's token (`SaslServerAuthenticator`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenStep {
    /// This token goes back, also if it is empty, and the client's next one is awaited.
    Continue(Bytes),
    /// The client is logged in.
    Done {
        /// The last token. With `None`, the client had the last word: among raw tokens nothing is sent, and the client's next
        /// bytes are an ordinary request; SaslAuthenticate is answered with no bytes either way.
        token: Option<Bytes>,
        /// As whom. A login can be renewed by the same one only.
        principal: String,
    },
    /// The login has failed. SaslAuthenticate is answered with SASL_AUTHENTICATION_FAILED (58) and these words before the
    /// connection is closed; among raw tokens it is just closed.
    Refuse(String),
}

/// Makes one for each login.
type Make = Arc<dyn Fn() -> Box<dyn TokenServer> + Send + Sync>;

/// The mechanisms that were brought, by name.
#[derive(Clone, Default)]
pub(crate) struct Brought(BTreeMap<&'static str, Make>);

impl Brought {
    pub(crate) fn add(&mut self, name: &'static str, make: Make) {
        self.0.insert(name, make);
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    pub(super) fn server(&self, name: &str) -> Option<Box<dyn TokenServer>> {
        self.0.get(name).map(|make| make())
    }
}

impl fmt::Debug for Brought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
