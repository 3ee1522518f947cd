//! Where bytes of a peer or a user come in: one function a door, each with what it promises. They are the bodies of the fuzz
//! targets in `fuzz/`, and the unit tests here run them on stable Rust. A promise that is broken is a panic.
//!
//! No part of the client's interface: only `fuzz/` switches the feature on.

mod corpus;
mod exchange;
mod files;
mod kerberos;
mod login;
#[cfg(test)]
mod tests;

pub use corpus::corpus;
pub use exchange::{gss_tokens, kdc_answers};
pub use files::{ccache, hosts, keytab, krb5_conf, pem, principal, resolv_conf};
pub use kerberos::{der, dns_answer, dns_host, kerberos_messages};
pub use login::{oauth_challenge, scram_server};

/// A door: a name, which is that of the fuzz target, and what stands behind it. It says whether the bytes were taken for what
/// they claim to be; a fuzzer does not care, but a corpus that is never taken is none.
pub type Door = (&'static str, fn(&[u8]) -> bool);

/// All of them.
pub const DOORS: [Door; 15] = [
    ("ccache", ccache),
    ("der", der),
    ("dns_answer", dns_answer),
    ("dns_host", dns_host),
    ("gss_tokens", gss_tokens),
    ("hosts", hosts),
    ("kdc_answers", kdc_answers),
    ("kerberos_messages", kerberos_messages),
    ("keytab", keytab),
    ("krb5_conf", krb5_conf),
    ("oauth_challenge", oauth_challenge),
    ("pem", pem),
    ("principal", principal),
    ("resolv_conf", resolv_conf),
    ("scram_server", scram_server),
];

/// An error about bytes has an address in them.
fn within(error: &crate::kerberos::error::KerberosError, length: usize) {
    if let crate::kerberos::error::KerberosError::Malformed(place) = error {
        assert!(place.at <= length, "{place}: after the end at {length}");
    }
}
