//! aes128-cts-hmac-sha1-96 and aes256-cts-hmac-sha1-96 (RFC 3962, on the simplified profile of RFC 3961 §5.3): the checksum is over the
//! plaintext, so a message is decrypted before it is known to be authentic.

use hmac::Hmac;
use sha1::Sha1;
use zeroize::Zeroizing;

use super::cts::{Aes, BLOCK};
use super::nfold::nfold;
use super::{CHECKSUM, Confounder, CryptoError, ENCRYPTION, INTEGRITY, Usage, equal, hmac, purpose, split_tag};

/// How often string-to-key iterates unless the KDC says otherwise (RFC 3962 §4).
pub(super) const ITERATIONS: u32 = 4096;

/// HMAC-SHA1, truncated to 96 bits.
const TAG: usize = 12;

/// RFC 3962 §4.
pub(super) fn string_to_key(
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    size: usize,
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let mut key = Zeroizing::new(vec![0; size]);
    pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut key);
    derive(&key, b"kerberos")
}

/// DK (RFC 3961 §5.1): the constant, folded to a block, is encrypted again and again until there is enough.
fn derive(key: &[u8], constant: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let aes = Aes::new(key).ok_or(CryptoError::TooShort)?;
    let mut block = Zeroizing::new([0; BLOCK]);
    block.copy_from_slice(&nfold(constant, BLOCK));
    let mut derived = Zeroizing::new(vec![0; key.len()]);
    for piece in derived.chunks_mut(BLOCK) {
        aes.encrypt_block(&mut block);
        piece.copy_from_slice(&block[..piece.len()]);
    }
    Ok(derived)
}

pub(super) fn encrypt(key: &[u8], usage: Usage, confounder: &Confounder, plain: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let tag = tag(&derive(key, &purpose(usage, INTEGRITY))?, &[confounder, plain]);
    let mut cipher = Vec::with_capacity(BLOCK + plain.len() + TAG);
    cipher.extend_from_slice(confounder);
    cipher.extend_from_slice(plain);
    cipher_of(key, usage)?.encrypt(&mut cipher)?;
    cipher.extend_from_slice(&tag);
    Ok(cipher)
}

pub(super) fn decrypt(key: &[u8], usage: Usage, cipher: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let (sealed, theirs) = split_tag(cipher, TAG, BLOCK)?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    cipher_of(key, usage)?.decrypt(&mut plain)?;
    equal(&tag(&derive(key, &purpose(usage, INTEGRITY))?, &[&plain]), theirs)?;
    Ok(Zeroizing::new(plain[BLOCK..].to_vec()))
}

pub(super) fn checksum(key: &[u8], usage: Usage, data: &[&[u8]]) -> Result<Vec<u8>, CryptoError> {
    Ok(tag(&derive(key, &purpose(usage, CHECKSUM))?, data))
}

fn cipher_of(key: &[u8], usage: Usage) -> Result<Aes, CryptoError> {
    Aes::new(&derive(key, &purpose(usage, ENCRYPTION))?).ok_or(CryptoError::TooShort)
}

fn tag(key: &[u8], data: &[&[u8]]) -> Vec<u8> {
    hmac::<Hmac<Sha1>>(key, data)[..TAG].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kerberos::crypto::testing::unhex;

    /// RFC 3962 appendix B, the first part: iterations, password, salt, the keys of 128 and 256 bits.
    #[test]
    fn the_keys_of_rfc_3962_come_from_its_passwords() {
        let x = "X".repeat(65);
        let vectors: [(u32, &str, &[u8], &str, &str); 7] = [
            (
                1,
                "password",
                b"ATHENA.MIT.EDUraeburn",
                "42263c6e89f4fc28b8df68ee09799f15",
                "fe697b52bc0d3ce14432ba036a92e65bbb52280990a2fa27883998d72af30161",
            ),
            (
                2,
                "password",
                b"ATHENA.MIT.EDUraeburn",
                "c651bf29e2300ac27fa469d693bdda13",
                "a2e16d16b36069c135d5e9d2e25f896102685618b95914b467c67622225824ff",
            ),
            (
                1200,
                "password",
                b"ATHENA.MIT.EDUraeburn",
                "4c01cd46d632d01e6dbe230a01ed642a",
                "55a6ac740ad17b4846941051e1e8b0a7548d93b0ab30a8bc3ff16280382b8c2a",
            ),
            (
                5,
                "password",
                b"\x12\x34\x56\x78\x78\x56\x34\x12",
                "e9b23d52273747dd5c35cb55be619d8e",
                "97a4e786be20d81a382d5ebc96d5909cabcdadc87ca48f574504159f16c36e31",
            ),
            (
                1200,
                &x[..64],
                b"pass phrase equals block size",
                "59d1bb789a828b1aa54ef9c2883f69ed",
                "89adee3608db8bc71f1bfbfe459486b05618b70cbae22092534e56c553ba4b34",
            ),
            (
                1200,
                &x,
                b"pass phrase exceeds block size",
                "cb8005dc5f90179a7f02104c0018751d",
                "d78c5c9cb872a8c9dad4697f0bb5b2d21496c82beb2caeda2112fceea057401b",
            ),
            (
                50,
                "\u{1D11E}",
                b"EXAMPLE.COMpianist",
                "f149c1f2e154a73452d43e7fe62a56e5",
                "4b6d9839f84406df1f09cc166db4b83c571848b784a3d6bdc346589a3e393f9e",
            ),
        ];
        for (count, password, salt, short, long) in vectors {
            assert_eq!(
                *string_to_key(password.as_bytes(), salt, count, 16).unwrap(),
                unhex(short),
                "{count} {password}"
            );
            assert_eq!(
                *string_to_key(password.as_bytes(), salt, count, 32).unwrap(),
                unhex(long),
                "{count} {password}"
            );
        }
    }

    /// RFC 3962 has no vectors of whole messages; these are of MIT's own tests (`crypto/crypto_tests/t_decrypt.c`).
    #[test]
    fn messages_that_mit_encrypted_are_opened() {
        for (key, usage, plain, cipher) in [
            ("5a5c0f0ba54f3828b2195e66ca24a289", 0, "", "49ff8e11c173d9583a3254fbe7b1f1df36c538e8416784a1672e6676"),
            ("98450e3f3baa13f5c99beb936981b06f", 1, "1", "f86742f537b35dc2174a4dbaa920faf9042090b065e1ebb1cad9a65394"),
            (
                "17f275f2954f2ed1f90c377ba7f4d6a369aa0136e0bf0c927ad6133c693759a9",
                0,
                "",
                "e5094c55ee7b38262e2b044280b069379a95bf95bd8376fb3281b435",
            ),
        ] {
            let opened = decrypt(&unhex(key), Usage(usage), &unhex(cipher)).unwrap();
            assert_eq!(*opened, plain.as_bytes(), "usage {usage}");
        }
    }
}
