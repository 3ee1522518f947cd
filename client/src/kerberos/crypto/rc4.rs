//! rc4-hmac (RFC 4757). Broken; here for domains that have nothing else, behind [`super::Crypto::allowing_rc4`].

use hmac::Hmac;
use md4::Md4;
use md5::{Digest, Md5};
use rc4::cipher::consts::U16;
use rc4::{KeyInit, Rc4, StreamCipher};
use zeroize::Zeroizing;

use super::{Confounder, CryptoError, Usage, equal, hmac};

/// How many bytes of the confounder are used (RFC 4757 §5).
pub(super) const CONFOUNDER: usize = 8;

/// HMAC-MD5.
const TAG: usize = 16;

/// RFC 4757 §2: MD4 of the password in UTF-16; no salt, no iterations.
pub(super) fn string_to_key(password: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let text = std::str::from_utf8(password).map_err(|_| CryptoError::NotText)?;
    let utf16: Zeroizing<Vec<u8>> = Zeroizing::new(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
    Ok(Zeroizing::new(Md4::digest(&*utf16).to_vec()))
}

/// RFC 4757 §5: checksum, then confounder and message.
pub(super) fn encrypt(key: &[u8], usage: Usage, confounder: &Confounder, plain: &[u8]) -> Vec<u8> {
    let key = hmac_md5(key, &[&message_type(usage)]);
    let mut sealed = [&confounder[..CONFOUNDER], plain].concat();
    let tag = hmac_md5(&key, &[&sealed]);
    apply(&hmac_md5(&key, &[&*tag]), &mut sealed);
    [&tag[..], &sealed].concat()
}

pub(super) fn decrypt(key: &[u8], usage: Usage, cipher: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let Some((theirs, sealed)) = cipher.split_at_checked(TAG).filter(|(_, sealed)| sealed.len() >= CONFOUNDER) else {
        return Err(CryptoError::TooShort);
    };
    let key = hmac_md5(key, &[&message_type(usage)]);
    let mut plain = Zeroizing::new(sealed.to_vec());
    apply(&hmac_md5(&key, &[theirs]), &mut plain);
    equal(&hmac_md5(&key, &[&*plain]), theirs)?;
    Ok(Zeroizing::new(plain[CONFOUNDER..].to_vec()))
}

/// RFC 4757 §4.
pub(super) fn checksum(key: &[u8], usage: Usage, data: &[&[u8]]) -> Vec<u8> {
    let key = hmac_md5(key, &[b"signaturekey\0"]);
    let mut hash = Md5::new();
    Digest::update(&mut hash, message_type(usage));
    for piece in data {
        Digest::update(&mut hash, piece);
    }
    hmac_md5(&key, &[&hash.finalize()]).to_vec()
}

/// Encrypts or decrypts the number in a wrapped message (RFC 4757 §7.3, `Kseq`).
pub(super) fn sequence(key: &[u8], checksum: &[u8], number: &mut [u8; 8]) {
    let key = hmac_md5(key, &[&[0; 4]]);
    apply(&hmac_md5(&key, &[checksum]), number);
}

/// RFC 4757 §3 numbers two uses differently. Of a reply under a subkey (9) MIT's KDC keeps the number, as a real one showed.
fn message_type(usage: Usage) -> [u8; 4] {
    let number = match usage.0 {
        3 => 8,
        23 => 13,
        other => other,
    };
    number.to_le_bytes()
}

fn hmac_md5(key: &[u8], data: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    hmac::<Hmac<Md5>>(key, data)
}

fn apply(key: &[u8], data: &mut [u8]) {
    let mut stream = Rc4::<U16>::new_from_slice(key).expect("HMAC-MD5 has the 16 bytes of the key");
    stream.apply_keystream(data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kerberos::crypto::testing::unhex;

    /// RFC 4757 §2 gives no bytes; this hash of "foo" is in MIT's tests (`crypto/crypto_tests/t_str2key.c`) and in every table.
    #[test]
    fn the_key_of_a_password_is_its_nt_hash() {
        assert_eq!(*string_to_key(b"foo").unwrap(), unhex("ac8e657f83df82beea5d43bdaf7800cc"));
        assert_eq!(string_to_key(&[0xFF]), Err(CryptoError::NotText));
    }

    /// RFC 4757 has no vectors; this one is of MIT's tests (`crypto/crypto_tests/t_decrypt.c`).
    #[test]
    fn a_message_that_mit_encrypted_is_opened() {
        let key = unhex("f81fec39255f5784e850c4377c88bd85");
        let cipher = unhex("02c1eb15586144122ec717763dd348bf00434ddc6585954c");
        assert_eq!(*decrypt(&key, Usage(0), &cipher).unwrap(), b"");
    }

    #[test]
    fn uses_that_rfc_4757_numbers_differently_share_a_number() {
        let cipher = encrypt(&[7; 16], Usage::AS_REP, &[1; 16], b"x");
        assert_eq!(*decrypt(&[7; 16], Usage::TGS_REP_SESSION_KEY, &cipher).unwrap(), b"x");
        assert_ne!(cipher, encrypt(&[7; 16], Usage::TGS_REP_SUBKEY, &[1; 16], b"x"));
    }
}
