//! Kerberos 5 in pure Rust: what a client needs to prove itself to a Kafka broker and to have the broker prove itself.
//!
//! Everything here computes; only `kdc`, `host_names`, and `dns` for both, talk. Time, chance and bytes are arguments, so that recorded
//! exchanges and the vectors of the RFCs replay exactly.
//!
//! | file | what is decided there | source |
//! |---|---|---|
//! | `der` | how fields become bytes, and what of a peer's bytes is taken | X.690, RFC 4120 §5.1 |
//! | `messages` | tickets, requests, replies, errors | RFC 4120 §5 |
//! | `crypto` | keys from passwords, sealing, checksums | RFC 3961, 3962, 8009, 4757 |
//! | `exchange` | the walk to a ticket: pre-authentication, referrals, renewal, the KDC's clock | RFC 4120 §3, RFC 6806 |
//! | `login` | when which ticket is got, kept and replaced; what a user may set | Kafka's `KerberosLogin` |
//! | `gss` | the context with a service: initial token, its answer, wrapped messages | RFC 4121, 4757 |
//! | `config` | what krb5.conf says: KDCs, whose host is whose, which encryption types | krb5.conf(5), MIT `util/profile` |
//! | `keytab`, `ccache` | keys and tickets in files | MIT `kt_file.c`, `cc_file.c` |
//! | `kdc`, `dns` | whom a request is sent to, how, and how long that is waited for | RFC 4120 §7.2, RFC 2782 |
//! | `host_names`, `hosts_file` | what a broker's host is called in its principal | MIT `sn2princ.c`, hosts(5) |
//! | `principal`, `enctype`, `key`, `time`, `ticket` | the words that all of them share | RFC 4120 §5.2, §6 |
//! | `error`, `error_code` | what can go wrong and what to do about it | RFC 4120 §7.5.9 |
//!
//! The SASL mechanism on top is `sasl::gssapi` (RFC 4752).
//!
//! # What it does not do, on purpose
//!
//! No single and triple DES, no Camellia: nothing that Kafka meets needs them. RC4 (RFC 4757) only where the user allows
//! it by name (`crypto::Crypto::allowing_rc4`). No FAST (RFC 6113), no SPAKE, no PKINIT: a KDC that takes no encrypted
//! timestamp is named as such, not asked again and again. No delegation, no channel bindings, no acceptor.

pub(crate) mod ccache;
pub(crate) mod config;
pub(crate) mod crypto;
mod cursor;
pub(crate) mod der;
pub(crate) mod dns;
pub(crate) mod enctype;
pub(crate) mod error;
pub(crate) mod error_code;
pub(crate) mod exchange;
#[cfg(test)]
mod files_real;
pub(crate) mod gss;
pub(crate) mod host_names;
pub(crate) mod hosts_file;
pub(crate) mod kdc;
pub(crate) mod key;
pub(crate) mod keytab;
pub(crate) mod login;
#[cfg(test)]
mod login_real;
pub(crate) mod messages;
pub(crate) mod principal;
#[cfg(test)]
mod recorded;
pub(crate) mod ticket;
pub(crate) mod time;
