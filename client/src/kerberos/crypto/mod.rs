//! Encryption and checksums by type (RFC 3961), for the types that [`Enctype::is_supported`] names.
//!
//! All goes through [`Crypto`], which knows whether RC4 is allowed: no path leads around that question. Chance is an argument: a
//! message is encrypted with the confounder that is given, which has to be fresh for each.

mod aes_sha1;
mod aes_sha2;
mod cts;
mod nfold;
mod rc4;

use hmac::Mac;
use hmac::digest::KeyInit;
use zeroize::Zeroizing;

use super::enctype::Enctype;
use super::error::CryptoError;
use super::key::Key;

/// Random bytes that go first into each encrypted message, fresh for each. RC4 takes the first 8.
pub(crate) type Confounder = [u8; 16];

/// How often string-to-key may be asked to iterate. Fewer than the RFC's lowest default would make it cheap to guess the password
/// from what we send: anyone can answer in a KDC's place. More would keep a processor busy for a peer that did not prove itself.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=1_000_000;

/// What a key is used for (RFC 4120 §7.5.1, RFC 4121 §2). Each use has keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage(pub(crate) u32);

impl Usage {
    /// PA-ENC-TIMESTAMP, under the client's key.
    pub(crate) const TIMESTAMP: Self = Self(1);
    /// A ticket's sealed part, under the service's key.
    pub(crate) const TICKET: Self = Self(2);
    /// The sealed part of an AS-REP, under the client's key.
    pub(crate) const AS_REP: Self = Self(3);
    /// The checksum of a TGS-REQ's body in its authenticator, under the session key.
    pub(crate) const TGS_REQ_CHECKSUM: Self = Self(6);
    /// The authenticator in a TGS-REQ, under the session key.
    pub(crate) const TGS_REQ_AUTHENTICATOR: Self = Self(7);
    /// The sealed part of a TGS-REP under the session key, if the authenticator had no subkey.
    pub(crate) const TGS_REP_SESSION_KEY: Self = Self(8);
    /// The sealed part of a TGS-REP under the authenticator's subkey.
    pub(crate) const TGS_REP_SUBKEY: Self = Self(9);
    /// The authenticator in an AP-REQ, under the session key.
    pub(crate) const AP_REQ_AUTHENTICATOR: Self = Self(11);
    /// The sealed part of an AP-REP, under the session key.
    pub(crate) const AP_REP: Self = Self(12);
    /// Wrap tokens of the acceptor, sealed or not.
    pub(crate) const ACCEPTOR_SEAL: Self = Self(22);
    /// Wrap tokens of both sides under RC4 keys (RFC 4757 §7.3 says 13, as which this one goes there).
    pub(crate) const RC4_WRAP: Self = Self(23);
    /// Wrap tokens of the initiator, sealed or not.
    pub(crate) const INITIATOR_SEAL: Self = Self(24);
}

/// What may be used. The default is AES alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Crypto {
    rc4: bool,
}

impl Crypto {
    /// RC4 too. It is broken; it is for domains that still have accounts without AES keys, where the user says so by name.
    pub(crate) fn allowing_rc4() -> Self {
        Self { rc4: true }
    }

    /// Whether keys of this type may be used.
    pub(crate) fn permits(self, enctype: Enctype) -> bool {
        enctype.is_supported() && (self.rc4 || !enctype.is_weak())
    }

    /// A key from a password. `salt` is the one that the KDC gave, else realm and name; `params` are the KDC's `s2kparams`.
    /// Iterations outside 4096 to 1,000,000 are refused.
    pub(crate) fn string_to_key(
        self,
        enctype: Enctype,
        password: &[u8],
        salt: &[u8],
        params: Option<&[u8]>,
    ) -> Result<Key, CryptoError> {
        let size = self.key_length(enctype)?;
        let bytes = match enctype {
            Enctype::RC4_HMAC => rc4::string_to_key(password)?,
            Enctype::AES128_SHA1 | Enctype::AES256_SHA1 => {
                aes_sha1::string_to_key(password, salt, iterations(params, aes_sha1::ITERATIONS)?, size)?
            }
            _ => aes_sha2::Suite::of(enctype).string_to_key(password, salt, iterations(params, aes_sha2::ITERATIONS)?),
        };
        Ok(Key::new(enctype, bytes))
    }

    /// Encrypts and authenticates.
    pub(crate) fn encrypt(
        self,
        key: &Key,
        usage: Usage,
        confounder: &Confounder,
        plain: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.check(key)?;
        match key.enctype {
            Enctype::RC4_HMAC => Ok(rc4::encrypt(&key.bytes, usage, confounder, plain)),
            Enctype::AES128_SHA1 | Enctype::AES256_SHA1 => aes_sha1::encrypt(&key.bytes, usage, confounder, plain),
            enctype => aes_sha2::Suite::of(enctype).encrypt(&key.bytes, usage, confounder, plain),
        }
    }

    /// Decrypts what is authentic and nothing else.
    pub(crate) fn decrypt(self, key: &Key, usage: Usage, cipher: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        self.check(key)?;
        match key.enctype {
            Enctype::RC4_HMAC => rc4::decrypt(&key.bytes, usage, cipher),
            Enctype::AES128_SHA1 | Enctype::AES256_SHA1 => aes_sha1::decrypt(&key.bytes, usage, cipher),
            enctype => aes_sha2::Suite::of(enctype).decrypt(&key.bytes, usage, cipher),
        }
    }

    /// The checksum that goes with the key's type.
    pub(crate) fn checksum(self, key: &Key, usage: Usage, data: &[&[u8]]) -> Result<Vec<u8>, CryptoError> {
        self.check(key)?;
        match key.enctype {
            Enctype::RC4_HMAC => Ok(rc4::checksum(&key.bytes, usage, data)),
            Enctype::AES128_SHA1 | Enctype::AES256_SHA1 => aes_sha1::checksum(&key.bytes, usage, data),
            enctype => Ok(aes_sha2::Suite::of(enctype).checksum(&key.bytes, usage, data)),
        }
    }

    /// Whether it is the checksum of these pieces of data, in constant time.
    pub(crate) fn verify(self, key: &Key, usage: Usage, data: &[&[u8]], checksum: &[u8]) -> Result<(), CryptoError> {
        equal(&self.checksum(key, usage, data)?, checksum)
    }

    /// Encrypts or decrypts the number that stands in a wrapped message under an RC4 key, beside this checksum.
    pub(crate) fn rc4_sequence(self, key: &Key, checksum: &[u8], number: &mut [u8; 8]) -> Result<(), CryptoError> {
        self.check(key)?;
        if key.enctype != Enctype::RC4_HMAC {
            return Err(CryptoError::Unsupported(key.enctype));
        }
        rc4::sequence(&key.bytes, checksum, number);
        Ok(())
    }

    /// How much longer a message is encrypted, in bytes.
    pub(crate) fn overhead(self, enctype: Enctype) -> Result<usize, CryptoError> {
        self.key_length(enctype)?;
        let confounder = if enctype == Enctype::RC4_HMAC { rc4::CONFOUNDER } else { cts::BLOCK };
        Ok(confounder + enctype.checksum_length().unwrap_or(0))
    }

    fn key_length(self, enctype: Enctype) -> Result<usize, CryptoError> {
        let length = enctype.key_length().ok_or(CryptoError::Unsupported(enctype))?;
        if self.permits(enctype) { Ok(length) } else { Err(CryptoError::NotAllowed(enctype)) }
    }

    fn check(self, key: &Key) -> Result<(), CryptoError> {
        if key.bytes.len() == self.key_length(key.enctype)? { Ok(()) } else { Err(CryptoError::KeyLength(key.enctype)) }
    }
}

/// The iteration count (RFC 3962 §4, RFC 8009 §4): four octets, big-endian. Zero means 2^32, which is too many.
fn iterations(params: Option<&[u8]>, default: u32) -> Result<u32, CryptoError> {
    let Some(params) = params else { return Ok(default) };
    let octets = params.try_into().map_err(|_| CryptoError::BadParameters)?;
    let count = u32::from_be_bytes(octets);
    if ITERATIONS.contains(&count) { Ok(count) } else { Err(CryptoError::Iterations(count)) }
}

/// The whole code of pieces of data, with any hash. HMAC takes a key of any length (RFC 2104 §2).
fn hmac<M: Mac + KeyInit>(key: &[u8], data: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut mac = <M as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
    for piece in data {
        mac.update(piece);
    }
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

/// Compares in constant time; lengths are no secret.
fn equal(ours: &[u8], theirs: &[u8]) -> Result<(), CryptoError> {
    if subtle::ConstantTimeEq::ct_eq(ours, theirs).into() { Ok(()) } else { Err(CryptoError::Integrity) }
}

/// Splits the last `size` bytes off; something of `least` bytes has to be before them.
fn split_tag(cipher: &[u8], size: usize, least: usize) -> Result<(&[u8], &[u8]), CryptoError> {
    match cipher.len().checked_sub(size) {
        Some(at) if at >= least => Ok(cipher.split_at(at)),
        _ => Err(CryptoError::TooShort),
    }
}

/// The five octets that tell the three keys of a usage apart (RFC 3961 §5.3).
fn purpose(usage: Usage, kind: u8) -> [u8; 5] {
    let [a, b, c, d] = usage.0.to_be_bytes();
    [a, b, c, d, kind]
}

/// Keys of checksums.
const CHECKSUM: u8 = 0x99;
/// Keys of encryption.
const ENCRYPTION: u8 = 0xAA;
/// Keys of the checksum within an encrypted message.
const INTEGRITY: u8 = 0x55;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod testing {
    /// Bytes from hex digits; blanks are for the reader.
    pub(crate) fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<_> =
            text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap() as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Enctype; 5] =
        [Enctype::AES128_SHA1, Enctype::AES256_SHA1, Enctype::AES128_SHA2, Enctype::AES256_SHA2, Enctype::RC4_HMAC];

    fn key(enctype: Enctype) -> Key {
        Key::new(enctype, vec![7; enctype.key_length().unwrap()])
    }

    #[test]
    fn what_is_encrypted_comes_back_under_the_same_key_and_usage_only() {
        let crypto = Crypto::allowing_rc4();
        for enctype in ALL {
            let key = key(enctype);
            for length in [0, 1, 15, 16, 17, 31, 32, 33, 500] {
                let plain: Vec<_> = (0..length).map(|i| i as u8).collect();
                let cipher = crypto.encrypt(&key, Usage::TICKET, &[9; 16], &plain).unwrap();
                assert_eq!(cipher.len(), length + crypto.overhead(enctype).unwrap(), "{enctype}");
                assert_eq!(*crypto.decrypt(&key, Usage::TICKET, &cipher).unwrap(), plain, "{enctype}");
                assert_eq!(crypto.decrypt(&key, Usage::AP_REP, &cipher).unwrap_err(), CryptoError::Integrity);
                let mut other = key.clone();
                other.bytes[0] ^= 1;
                assert_eq!(crypto.decrypt(&other, Usage::TICKET, &cipher).unwrap_err(), CryptoError::Integrity);
            }
        }
    }

    #[test]
    fn a_ciphertext_cut_anywhere_or_with_any_bit_flipped_is_refused() {
        let crypto = Crypto::allowing_rc4();
        for enctype in ALL {
            let key = key(enctype);
            let cipher = crypto.encrypt(&key, Usage::AP_REP, &[9; 16], b"seventeen letters").unwrap();
            for cut in 0..cipher.len() {
                assert!(crypto.decrypt(&key, Usage::AP_REP, &cipher[..cut]).is_err(), "{enctype} cut to {cut}");
            }
            for bit in 0..cipher.len() * 8 {
                let mut flipped = cipher.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let refused = crypto.decrypt(&key, Usage::AP_REP, &flipped).unwrap_err();
                assert_eq!(refused, CryptoError::Integrity, "{enctype} bit {bit}");
            }
        }
    }

    #[test]
    fn a_checksum_fits_its_data_key_usage_and_length_only() {
        let crypto = Crypto::allowing_rc4();
        for enctype in ALL {
            let key = key(enctype);
            let sum = crypto.checksum(&key, Usage::ACCEPTOR_SEAL, &[b"pay", b"load"]).unwrap();
            assert_eq!(Some(sum.len()), enctype.checksum_length());
            let verify = |usage, data, sum: &[u8]| crypto.verify(&key, usage, &[data], sum);
            assert_eq!(verify(Usage::ACCEPTOR_SEAL, b"payload", &sum), Ok(()), "{enctype}");
            assert_eq!(verify(Usage::ACCEPTOR_SEAL, b"paylord", &sum), Err(CryptoError::Integrity));
            assert_eq!(verify(Usage::INITIATOR_SEAL, b"payload", &sum), Err(CryptoError::Integrity));
            for cut in 0..sum.len() {
                assert_eq!(verify(Usage::ACCEPTOR_SEAL, b"payload", &sum[..cut]), Err(CryptoError::Integrity));
            }
            for bit in 0..sum.len() * 8 {
                let mut flipped = sum.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(verify(Usage::ACCEPTOR_SEAL, b"payload", &flipped), Err(CryptoError::Integrity));
            }
        }
    }

    #[test]
    fn rc4_is_refused_on_every_path_unless_allowed() {
        let (crypto, key) = (Crypto::default(), key(Enctype::RC4_HMAC));
        let refused = CryptoError::NotAllowed(Enctype::RC4_HMAC);
        assert_eq!(crypto.string_to_key(Enctype::RC4_HMAC, b"x", b"", None).unwrap_err(), refused);
        assert_eq!(crypto.encrypt(&key, Usage::AP_REP, &[0; 16], b"").unwrap_err(), refused);
        assert_eq!(crypto.decrypt(&key, Usage::AP_REP, &[0; 64]).unwrap_err(), refused);
        assert_eq!(crypto.checksum(&key, Usage::AP_REP, &[b""]).unwrap_err(), refused);
        assert_eq!(crypto.verify(&key, Usage::AP_REP, &[b""], b"").unwrap_err(), refused);
        assert_eq!(crypto.rc4_sequence(&key, b"", &mut [0; 8]).unwrap_err(), refused);
        assert!(!crypto.permits(Enctype::RC4_HMAC) && Crypto::allowing_rc4().permits(Enctype::RC4_HMAC));
    }

    #[test]
    fn a_key_of_the_wrong_length_and_an_unknown_type_are_refused() {
        let crypto = Crypto::allowing_rc4();
        for enctype in ALL {
            for length in [0, 1, 15, 17, 31, 33] {
                let key = Key::new(enctype, vec![0; length]);
                assert_eq!(crypto.decrypt(&key, Usage::AP_REP, &[0; 64]).unwrap_err(), CryptoError::KeyLength(enctype));
            }
        }
        let des3 = Key::new(Enctype(16), vec![0; 24]);
        assert_eq!(crypto.checksum(&des3, Usage::AP_REP, &[]).unwrap_err(), CryptoError::Unsupported(Enctype(16)));
    }

    #[test]
    fn iterations_that_are_too_few_or_too_many_or_no_number_are_refused() {
        let ask = |params: &[u8]| Crypto::default().string_to_key(Enctype::AES256_SHA1, b"p", b"s", Some(params));
        for count in [0, 1, 4095, 1_000_001, u32::MAX] {
            assert_eq!(ask(&count.to_be_bytes()).unwrap_err(), CryptoError::Iterations(count));
        }
        for params in [&b""[..], &[0, 0, 16], &[0, 0, 16, 0, 0]] {
            assert_eq!(ask(params).unwrap_err(), CryptoError::BadParameters);
        }
        let default = Crypto::default().string_to_key(Enctype::AES256_SHA1, b"p", b"s", None).unwrap();
        assert_eq!(ask(&4096_u32.to_be_bytes()).unwrap().bytes, default.bytes);
    }
}
