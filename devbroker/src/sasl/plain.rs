//! PLAIN (RFC 4616): `authzid NUL user NUL password`.

use std::fmt;

use subtle::ConstantTimeEq;

/// Who may log in, each with a password. `Debug` shows the names only.
#[derive(Clone, Default)]
pub(crate) struct Users(Vec<(String, String)>);

impl Users {
    pub(crate) fn new(users: &[(&str, &str)]) -> Self {
        Self(users.iter().map(|(user, password)| ((*user).to_owned(), (*password).to_owned())).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn allow(&self, user: &str, password: &str) -> bool {
        self.0.iter().any(|(name, secret)| name == user && bool::from(secret.as_bytes().ct_eq(password.as_bytes())))
    }

    /// The user that the token proves, or why it proves none.
    pub(super) fn check(&self, token: &[u8]) -> Result<String, &'static str> {
        let text = std::str::from_utf8(token).map_err(|_| "the PLAIN token is not UTF-8")?;
        let parts: Vec<&str> = text.split('\0').collect();
        let [authzid, user, password] = parts[..] else {
            return Err("a PLAIN token has three parts: authorization id, user and password");
        };
        if user.is_empty() || password.is_empty() {
            return Err("user or password is empty");
        }
        if !authzid.is_empty() && authzid != user {
            return Err("the authorization id is not the user");
        }
        if !self.allow(user, password) {
            return Err("Authentication failed: Invalid username or password");
        }
        Ok(user.to_owned())
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
