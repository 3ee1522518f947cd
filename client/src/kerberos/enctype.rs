//! Encryption types by number and name (RFC 3961 §8, IANA "Kerberos Encryption Type Numbers").

use std::fmt;

/// An encryption type's number. An open set: keytabs, caches and KDCs name types that nothing here can use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Enctype(pub(crate) i32);

/// Number, the name that MIT prints, and what else krb5.conf may call it (MIT `krb5int_enctypes_list`).
type Row = (i32, &'static str, &'static [&'static str]);

#[rustfmt::skip]
const NAMES: [Row; 9] = [
    (1, "des-cbc-crc", &[]),
    (3, "des-cbc-md5", &["des"]),
    (16, "des3-cbc-sha1", &["des3-hmac-sha1", "des3-cbc-sha1-kd"]),
    (17, "aes128-cts-hmac-sha1-96", &["aes128-cts", "aes128-sha1"]),
    (18, "aes256-cts-hmac-sha1-96", &["aes256-cts", "aes256-sha1"]),
    (19, "aes128-cts-hmac-sha256-128", &["aes128-sha2"]),
    (20, "aes256-cts-hmac-sha384-192", &["aes256-sha2"]),
    (23, "arcfour-hmac", &["rc4-hmac", "arcfour-hmac-md5"]),
    (24, "arcfour-hmac-exp", &["rc4-hmac-exp", "arcfour-hmac-md5-exp"]),
];

impl Enctype {
    /// aes128-cts-hmac-sha1-96 (RFC 3962).
    pub(crate) const AES128_SHA1: Self = Self(17);
    /// aes256-cts-hmac-sha1-96 (RFC 3962).
    pub(crate) const AES256_SHA1: Self = Self(18);
    /// aes128-cts-hmac-sha256-128 (RFC 8009).
    pub(crate) const AES128_SHA2: Self = Self(19);
    /// aes256-cts-hmac-sha384-192 (RFC 8009).
    pub(crate) const AES256_SHA2: Self = Self(20);
    /// rc4-hmac (RFC 4757). Broken by today's measure; used only where the user allows it by name.
    pub(crate) const RC4_HMAC: Self = Self(23);

    /// What is asked for unless the user says otherwise, best first. The order is MIT's: acceptors on a Java before 11
    /// have no RFC 8009.
    pub(crate) const DEFAULT: [Self; 4] = [Self::AES256_SHA1, Self::AES128_SHA1, Self::AES256_SHA2, Self::AES128_SHA2];

    /// The type that krb5.conf calls so, in any case. Families (`aes`, `rc4`) and `DEFAULT` are no single type: `None`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let is = |known: &&str| known.eq_ignore_ascii_case(name);
        NAMES.iter().find(|(_, first, others)| is(first) || others.iter().any(&is)).map(|row| Self(row.0))
    }

    /// MIT's name, if the number has one here.
    pub(crate) fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|row| row.0 == self.0).map(|row| row.1)
    }

    /// Whether the cryptography is here. RC4 counts; it has to be allowed as well.
    pub(crate) fn is_supported(self) -> bool {
        self.key_length().is_some()
    }

    /// Whether it may be used only where the user allows it by name.
    pub(crate) fn is_weak(self) -> bool {
        self == Self::RC4_HMAC
    }

    /// The length of its keys in bytes; `None` if it is not supported.
    pub(crate) fn key_length(self) -> Option<usize> {
        match self {
            Self::AES128_SHA1 | Self::AES128_SHA2 | Self::RC4_HMAC => Some(16),
            Self::AES256_SHA1 | Self::AES256_SHA2 => Some(32),
            _ => None,
        }
    }

    /// The number of the checksum that goes with it (IANA "Kerberos Checksum Type Numbers"); `None` if it is not
    /// supported.
    pub(crate) fn checksum_type(self) -> Option<i32> {
        match self {
            Self::AES128_SHA1 => Some(15),
            Self::AES256_SHA1 => Some(16),
            Self::AES128_SHA2 => Some(19),
            Self::AES256_SHA2 => Some(20),
            Self::RC4_HMAC => Some(-138),
            _ => None,
        }
    }

    /// The length of that checksum in bytes; `None` if it is not supported.
    pub(crate) fn checksum_length(self) -> Option<usize> {
        match self {
            Self::AES128_SHA1 | Self::AES256_SHA1 => Some(12),
            Self::AES128_SHA2 | Self::RC4_HMAC => Some(16),
            Self::AES256_SHA2 => Some(24),
            _ => None,
        }
    }
}

impl fmt::Display for Enctype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "enctype {}", self.0),
        }
    }
}

impl fmt::Debug for Enctype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Enctype({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_found_by_each_of_its_names_in_any_case() {
        for (name, number) in [
            ("aes256-cts-hmac-sha1-96", 18),
            ("AES256-CTS", 18),
            ("aes128-cts", 17),
            ("aes128-sha2", 19),
            ("aes256-cts-hmac-sha384-192", 20),
            ("rc4-hmac", 23),
            ("arcfour-hmac", 23),
            ("des3-cbc-sha1", 16),
        ] {
            assert_eq!(Enctype::from_name(name), Some(Enctype(number)), "{name}");
        }
        assert_eq!(Enctype::from_name("aes"), None);
    }

    #[test]
    fn no_name_stands_for_two_types() {
        let all: Vec<_> = NAMES.iter().flat_map(|row| row.2.iter().chain([&row.1])).collect();
        let unique: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
    }

    #[test]
    fn what_cannot_be_used_has_a_name_but_no_lengths() {
        let des3 = Enctype(16);
        assert_eq!(des3.to_string(), "des3-cbc-sha1");
        assert!(!des3.is_supported() && des3.checksum_type().is_none() && des3.checksum_length().is_none());
        assert_eq!(Enctype(99).to_string(), "enctype 99");
        assert!(Enctype::DEFAULT.iter().all(|enctype| enctype.is_supported() && !enctype.is_weak()));
    }
}
