//! Certificates and keys out of PEM text (RFC 7468). Errors never repeat the text: it may be a secret.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::der::{Decode, SecretDocument};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::config::tls::{Pem, PemPlace};

/// More than any bundle of authorities has; a device or a log file named by mistake ends here.
const MAX_FILE: u64 = 4 << 20;
/// A thousand times OpenSSL's default; a key that asks for more would hold up every start.
const MAX_PBKDF2_ITERATIONS: u32 = 2_048_000;
/// The memory that scrypt may take, in bytes: 128 × N × r (RFC 7914 §2). OpenSSL's default needs 16 MiB.
const MAX_SCRYPT_BYTES: u64 = 256 << 20;
/// OpenSSL's default is 1.
const MAX_SCRYPT_PARALLELISM: u16 = 16;

const ENCRYPTED_BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

const OTHER_ENCRYPTION: &str = "the key is not encrypted by PBES2 with AES (RFC 8018) but in another way, MD5, DES, RC2 and \
    3DES among them, which are broken; convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out NEW";

/// The text, wherever it is.
pub(super) fn read(pem: &Pem) -> Result<Zeroizing<Vec<u8>>, String> {
    match &pem.0 {
        PemPlace::Text(text) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
        PemPlace::File(path) => read_file(path),
    }
}

/// A file's bytes, which are no more than a file of certificates can have.
pub(super) fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let cannot = |e: std::io::Error| format!("{} cannot be read: {e}", path.display());
    let file = File::open(path).map_err(cannot)?;
    let size = file.metadata().map_err(cannot)?.len().min(MAX_FILE);
    // Enough room from the start: a buffer that grows leaves its first bytes behind unerased.
    let mut bytes = Zeroizing::new(Vec::with_capacity(size as usize + 1024));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("{} is larger than {} MiB; that is no PEM file", path.display(), MAX_FILE >> 20));
    }
    Ok(bytes)
}

/// Every certificate of the text, at least one.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if found.is_empty() => Err(no_items(text, "certificate (BEGIN CERTIFICATE)")),
        Ok(found) => Ok(found),
        Err(e) => Err(unreadable(&e)),
    }
}

/// The first private key of the text.
pub(crate) fn private_key(text: &[u8], password: Option<&str>) -> Result<PrivateKeyDer<'static>, String> {
    if let Some(block) = encrypted_block(text) {
        return decrypt(&block, password);
    }
    if contains(text, "DEK-Info:") {
        return Err(
            "the key is encrypted in OpenSSL's old form, which has no standard; convert it: openssl pkcs8 -topk8 \
                    -v2 aes-256-cbc -in KEY -out NEW"
                .to_owned(),
        );
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|e| match e {
        PemError::NoItemsFound => {
            no_items(text, "private key (BEGIN PRIVATE KEY, RSA PRIVATE KEY, EC PRIVATE KEY or ENCRYPTED PRIVATE KEY)")
        }
        e => unreadable(&e),
    })
}

fn no_items(text: &[u8], what: &str) -> String {
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        None => "it is empty".to_owned(),
        // A SEQUENCE, or the magic of a Java key store.
        Some(0x30 | 0xfe) if !contains(text, "-----BEGIN") => {
            format!("it is binary (DER, PKCS#12 or a Java key store), but PEM is needed: no {what} in it")
        }
        Some(_) => format!("it holds no {what} in PEM"),
    }
}

fn unreadable(error: &PemError) -> String {
    let what = match error {
        PemError::MissingSectionEnd { .. } => "a section has no END line: is it cut?",
        PemError::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        PemError::Base64Decode(_) => "a section is no base64",
        _ => "it cannot be parsed",
    };
    format!("it is no proper PEM: {what}")
}

fn contains(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|window| window == word.as_bytes())
}

/// From BEGIN to END of an encrypted PKCS#8 key. Its lines may end as they like.
fn encrypted_block(text: &[u8]) -> Option<Zeroizing<String>> {
    let text = std::str::from_utf8(text).ok()?;
    let from = text.find(ENCRYPTED_BEGIN)?;
    let block = &text[from..];
    let len = block.find(ENCRYPTED_END).map_or(block.len(), |end| end + ENCRYPTED_END.len());
    Some(Zeroizing::new(block[..len].to_owned()))
}

/// RFC 5958 §3 with PBES2 (RFC 8018 §6.2).
fn decrypt(block: &str, password: Option<&str>) -> Result<PrivateKeyDer<'static>, String> {
    let Some(password) = password else {
        return Err("the key is encrypted, and its password is not given".to_owned());
    };
    let (_, document) =
        SecretDocument::from_pem(block).map_err(|_| "the encrypted key is no proper PEM: is it cut?".to_owned())?;
    let encrypted = EncryptedPrivateKeyInfo::from_der(document.as_bytes()).map_err(|_| OTHER_ENCRYPTION.to_owned())?;
    check_cost(&encrypted.encryption_algorithm)?;
    let decrypted = encrypted.decrypt(password).map_err(|_| "the key's password is wrong".to_owned())?;
    // rustls takes the key as bytes of its own, and graviola erases what it makes of them.
    Ok(PrivatePkcs8KeyDer::from(decrypted.as_bytes().to_vec()).into())
}

/// Refuses what would take minutes or gigabytes, or is broken.
fn check_cost(scheme: &EncryptionScheme<'_>) -> Result<(), String> {
    let EncryptionScheme::Pbes2(parameters) = scheme else { return Err(OTHER_ENCRYPTION.to_owned()) };
    let bearable = match &parameters.kdf {
        Kdf::Pbkdf2(kdf) => kdf.iteration_count <= MAX_PBKDF2_ITERATIONS,
        Kdf::Scrypt(kdf) => {
            let bytes = kdf.cost_parameter.saturating_mul(u64::from(kdf.block_size)).saturating_mul(128);
            bytes <= MAX_SCRYPT_BYTES && kdf.parallelization <= MAX_SCRYPT_PARALLELISM
        }
        _ => return Err(OTHER_ENCRYPTION.to_owned()),
    };
    if bearable { Ok(()) } else { Err("the key's password would take absurdly long to check".to_owned()) }
}

#[cfg(test)]
#[path = "pem_tests.rs"]
mod tests;
