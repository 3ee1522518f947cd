//! What can go wrong on the way to a ticket and into a context, as data.

use std::fmt;

use super::enctype::Enctype;
use super::error_code::KrbErrorCode;
use super::time::KerberosTime;

/// An error of Kerberos. Its `Display` says what, where and whose fault; [`KerberosError::advice`] what to do. No variant
/// can hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KerberosError {
    /// Something the user gave is wrong or missing; nothing was asked. The text says which setting.
    Config(String),
    /// No KDC of a realm answered.
    Unreachable {
        /// The realm.
        realm: String,
        /// Every address that was tried, with what came of it.
        tried: Vec<String>,
    },
    /// A KDC or a service answered with KRB-ERROR.
    Refused(Box<Refusal>),
    /// The clocks differ by more than is allowed.
    ClockSkew {
        /// What the local clock said.
        ours: KerberosTime,
        /// What the peer's clock said.
        theirs: KerberosTime,
    },
    /// The service did not prove that it is the one asked for.
    ServerNotProven(&'static str),
    /// A token of the service came out of order, was altered, or is not of this context.
    BadToken(&'static str),
    /// The service takes no connection without a security layer, which Kafka's traffic cannot have.
    NoLayer {
        /// The layers it offers (RFC 4752 §3.3): 1 none, 2 integrity, 4 confidentiality.
        offered: u8,
    },
    /// A peer's bytes are not what they should be.
    Malformed(Malformed),
    /// No encryption type that both sides can use.
    NoEnctype {
        /// What was offered, by the KDC or by a keytab.
        offered: Vec<Enctype>,
        /// What may be used here.
        usable: Vec<Enctype>,
    },
    /// The KDC wants a pre-authentication that this client does not have.
    NoPreauth {
        /// The types it offers (IANA "Pre-authentication and Typed Data").
        offered: Vec<i32>,
    },
    /// The KDC does not take the client's key.
    WrongKey {
        /// Whose key.
        client: String,
        /// Which one was tried.
        tried: Tried,
    },
    /// KDCs refer from realm to realm without an end.
    Astray {
        /// The realms on the way, in order.
        way: Vec<String>,
    },
    /// A reply of the KDC answers another question: a field differs from what was asked.
    WrongReply {
        /// Which field.
        field: &'static str,
    },
    /// Cryptography failed on a part of a message.
    Crypto {
        /// Which part.
        what: &'static str,
        /// How.
        cause: CryptoError,
    },
}

/// A KRB-ERROR (RFC 4120 §5.9.1), as far as it concerns its reader. Texts are cut and cleaned: they are the peer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Who said it.
    pub(crate) by: Peer,
    /// What.
    pub(crate) code: KrbErrorCode,
    /// The peer's own words.
    pub(crate) text: Option<String>,
    /// For whom the ticket was to be, if that is known.
    pub(crate) client: Option<String>,
    /// The service that was asked for.
    pub(crate) server: String,
    /// The peer's clock.
    pub(crate) server_time: KerberosTime,
}

/// Who is on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The key distribution center.
    Kdc,
    /// The service, a broker.
    Service,
}

/// With what a client proved itself, without the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    /// A password.
    Password,
    /// A key of a keytab.
    Keytab {
        /// Its type.
        enctype: Enctype,
        /// Its version.
        kvno: u32,
    },
}

/// Where bytes stopped making sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// The message or file they are of.
    pub(crate) what: &'static str,
    /// The field in it.
    pub(crate) field: &'static str,
    /// How far into the message, in bytes.
    pub(crate) at: usize,
    /// What is wrong there.
    pub(crate) problem: &'static str,
}

/// How cryptography fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CryptoError {
    /// The encryption type is not here.
    Unsupported(Enctype),
    /// The encryption type is weak and was not allowed by name.
    NotAllowed(Enctype),
    /// The key has not the length that its type needs.
    KeyLength(Enctype),
    /// Shorter than its own overhead.
    TooShort,
    /// The checksum does not fit: another key, or altered bytes.
    Integrity,
    /// The parameters of string-to-key are not of the form that the type has.
    BadParameters,
    /// The iteration count of string-to-key is outside what is accepted.
    Iterations(u32),
    /// The password is not UTF-8, which RC4's string-to-key needs.
    NotText,
}

impl KerberosError {
    /// Whether the same may succeed later without anything being changed.
    pub(crate) fn is_retriable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(refusal) => refusal.code.is_retriable(),
            _ => false,
        }
    }

    /// Whether it speaks against the client's key or account, so that more tries may lock it. What is wrong with one service,
    /// or with a clock, does not.
    pub(crate) fn blames_the_client(&self) -> bool {
        match self {
            Self::WrongKey { .. } | Self::NoPreauth { .. } | Self::Crypto { .. } => true,
            Self::Refused(refusal) => refusal.by == Peer::Kdc && !refusal.code.is_about_the_service(),
            _ => false,
        }
    }

    /// Whether a KDC with newer keys may say otherwise.
    pub(crate) fn may_be_out_of_date(&self) -> bool {
        match self {
            Self::WrongKey { .. } | Self::Crypto { cause: CryptoError::Integrity, .. } => true,
            Self::Refused(refusal) => refusal.by == Peer::Kdc && refusal.code.is_about_the_clients_key(),
            _ => false,
        }
    }

    /// The code of the KRB-ERROR, if it was one.
    pub(crate) fn code(&self) -> Option<KrbErrorCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    /// What to do about it, if there is something.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => Some("check [realms] in krb5.conf, and that nothing blocks the way to port 88"),
            Self::Refused(refusal) => refusal.code.advice(),
            Self::ClockSkew { .. } => KrbErrorCode::SKEW.advice(),
            Self::ServerNotProven(_) | Self::BadToken(_) => {
                Some("do not trust this address: something else answers in the service's place, or alters what it says")
            }
            Self::NoLayer { .. } => Some("let the service offer the quality of protection \"auth\""),
            Self::NoEnctype { .. } => KrbErrorCode::ETYPE_NOSUPP.advice(),
            Self::NoPreauth { .. } => KrbErrorCode::PREAUTH_REQUIRED.advice(),
            Self::WrongKey { tried: Tried::Password, .. } => Some("the password is wrong"),
            Self::WrongKey { tried: Tried::Keytab { .. }, .. } => {
                Some("the principal has a newer key, or its keys were made anew: make the keytab anew")
            }
            Self::Astray { .. } => Some("check [domain_realm] and [capaths] in krb5.conf, or name the service's realm"),
            Self::Crypto { cause, .. } => cause.advice(),
            Self::Config(_) | Self::Malformed(_) | Self::WrongReply { .. } => None,
        }
    }
}

impl fmt::Display for KerberosError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(problem) => f.write_str(problem),
            Self::Unreachable { realm, tried } if tried.is_empty() => write!(f, "realm {realm} has no known KDC"),
            Self::Unreachable { realm, tried } => write!(f, "no KDC of realm {realm} answers: {}", tried.join(", ")),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::ClockSkew { ours, theirs } => {
                let by = ours.seconds.abs_diff(theirs.seconds);
                write!(f, "the clocks differ by {by} s: here it is {ours}, there {theirs}")
            }
            Self::ServerNotProven(why) => write!(f, "the service did not prove itself: {why}"),
            Self::BadToken(why) => write!(f, "the service's token is refused: {why}"),
            Self::NoLayer { offered } => {
                write!(f, "the service takes nothing without a security layer (it offers layers {offered:#04x})")
            }
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::NoEnctype { offered, usable } => {
                write!(f, "no encryption type in common: offered {}, usable {}", list(offered), list(usable))
            }
            Self::NoPreauth { offered } => {
                write!(
                    f,
                    "the KDC wants a pre-authentication of types {offered:?}; this client has the encrypted timestamp (2)"
                )
            }
            Self::WrongKey { client, tried } => {
                write!(f, "the KDC does not take {tried} of {client}: {}", KrbErrorCode::PREAUTH_FAILED)
            }
            Self::Astray { way } => write!(f, "the KDCs refer from realm to realm without an end: {}", way.join(", ")),
            Self::WrongReply { field } => write!(f, "the KDC's reply answers another question: {field} differs"),
            Self::Crypto { what, cause } => write!(f, "{what}: {cause}"),
        }
    }
}

impl std::error::Error for KerberosError {}

fn list(enctypes: &[Enctype]) -> String {
    let names: Vec<_> = enctypes.iter().map(Enctype::to_string).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            Peer::Kdc => "the KDC",
            Peer::Service => "the service",
        };
        write!(f, "{by} refuses with {}", self.code)?;
        if let Some(text) = &self.text {
            write!(f, " ({text})")?;
        }
        match &self.client {
            Some(client) => write!(f, ", asked by {client} for {}", self.server),
            None => write!(f, ", asked for {}", self.server),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, field, at, problem } = self;
        write!(f, "{what} is malformed: {field} at byte {at}: {problem}")
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password => f.write_str("the password"),
            Self::Keytab { enctype, kvno } => write!(f, "the keytab's {enctype} key of version {kvno}"),
        }
    }
}

impl From<Malformed> for KerberosError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl CryptoError {
    /// Says of which part of a message.
    pub(crate) fn of(self, what: &'static str) -> KerberosError {
        KerberosError::Crypto { what, cause: self }
    }

    fn advice(self) -> Option<&'static str> {
        match self {
            Self::Integrity => Some("the key is another's: wrong password, old keytab, or altered on the way"),
            Self::NotAllowed(_) => Some("let the principal have AES keys, or allow RC4 by name"),
            Self::Iterations(_) => Some("the KDC's salt parameters are unusual; check that it is the KDC"),
            _ => None,
        }
    }
}

impl fmt::Display for CryptoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(enctype) => write!(f, "{enctype} is not supported"),
            Self::NotAllowed(enctype) => write!(f, "{enctype} is weak and not allowed"),
            Self::KeyLength(enctype) => write!(f, "the key has not the length of one for {enctype}"),
            Self::TooShort => f.write_str("it is too short"),
            Self::Integrity => f.write_str("its checksum does not fit"),
            Self::BadParameters => f.write_str("the parameters of string-to-key are malformed"),
            Self::Iterations(count) => write!(f, "string-to-key with {count} iterations is outside what is accepted"),
            Self::NotText => f.write_str("the password is not UTF-8"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: i32) -> KerberosError {
        KerberosError::Refused(Box::new(Refusal {
            by: Peer::Kdc,
            code: KrbErrorCode(code),
            text: Some("PREAUTH_FAILED".to_owned()),
            client: Some("alice@R".to_owned()),
            server: "krbtgt/R@R".to_owned(),
            server_time: KerberosTime::at(0),
        }))
    }

    #[test]
    fn a_refusal_says_who_what_and_whom_and_comes_with_advice() {
        let error = refused(24);
        assert_eq!(
            error.to_string(),
            "the KDC refuses with KDC_ERR_PREAUTH_FAILED (24) (PREAUTH_FAILED), asked by alice@R for krbtgt/R@R"
        );
        assert!(error.advice().unwrap().contains("password") && !error.is_retriable());
        assert_eq!(error.code(), Some(KrbErrorCode::PREAUTH_FAILED));
    }

    #[test]
    fn what_time_may_mend_is_retriable_and_nothing_else() {
        assert!(KerberosError::Unreachable { realm: "R".to_owned(), tried: vec![] }.is_retriable());
        assert!([21, 29, 33, 34].into_iter().all(|code| refused(code).is_retriable()));
        assert!([6, 7, 18, 23, 24, 37].into_iter().all(|code| !refused(code).is_retriable()));
        assert!(!KerberosError::ServerNotProven("").is_retriable());
    }

    #[test]
    fn what_is_wrong_with_one_service_or_a_clock_does_not_blame_the_client() {
        for code in [6, 12, 14, 18, 23, 24, 68] {
            assert!(refused(code).blames_the_client(), "{code}");
        }
        for code in [2, 7, 19, 22, 27] {
            assert!(!refused(code).blames_the_client(), "{code}");
        }
        let skew = KerberosError::ClockSkew { ours: KerberosTime::at(0), theirs: KerberosTime::at(600) };
        assert!(!skew.blames_the_client() && !KerberosError::ServerNotProven("").blames_the_client());
        assert!(KerberosError::WrongKey { client: String::new(), tried: Tried::Password }.blames_the_client());
    }

    #[test]
    fn clock_skew_is_told_with_its_size_and_both_times() {
        let skew = KerberosError::ClockSkew { ours: KerberosTime::at(600), theirs: KerberosTime::at(0) };
        assert_eq!(
            skew.to_string(),
            "the clocks differ by 600 s: here it is 1970-01-01 00:10:00 UTC, there 1970-01-01 00:00:00 UTC"
        );
    }
}
