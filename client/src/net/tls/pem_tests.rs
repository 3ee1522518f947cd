//! Every form of key, and text that is none.

use super::*;

/// A file of the project's `testdata/tls`, which no package of this crate holds.
fn testdata(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls").join(name);
    std::fs::read_to_string(path).unwrap()
}

const PASSWORD: &str = "key-secret";

/// Every form, its file, and whether it needs the password.
const KEYS: [(&str, &str, bool); 9] = [
    ("PKCS#8 RSA", "client-rsa.key", false),
    ("PKCS#8 P-256", "client-p256.key", false),
    ("PKCS#8 P-384", "client-p384.key", false),
    ("PKCS#8 Ed25519", "client-ed25519.key", false),
    ("PKCS#1 RSA", "client-rsa-pkcs1.key", false),
    ("SEC1 P-256", "client-p256-sec1.key", false),
    ("SEC1 P-384", "client-p384-sec1.key", false),
    ("encrypted PKCS#8 by PBKDF2", "client-rsa-encrypted.key", true),
    ("encrypted PKCS#8 by scrypt", "client-p256-scrypt.key", true),
];

fn refused(text: &[u8], password: Option<&str>) -> String {
    private_key(text, password).map(drop).unwrap_err()
}

#[test]
fn every_form_of_key_is_read() {
    let certificate = testdata("client-p256.pem");
    for (form, file, encrypted) in KEYS {
        let text = testdata(file);
        let password = encrypted.then_some(PASSWORD);
        assert!(private_key(text.as_bytes(), password).is_ok(), "{form}");
        let windows = text.replace('\n', "\r\n");
        assert!(private_key(windows.as_bytes(), password).is_ok(), "{form} with CRLF");
        let surrounded = format!("Bag Attributes\n{certificate}{text}# end\n");
        assert!(private_key(surrounded.as_bytes(), password).is_ok(), "{form} beside a certificate");
    }
}

#[test]
fn an_encrypted_key_opens_to_the_very_key_that_was_encrypted() {
    for (encrypted, open) in
        [("client-rsa-encrypted.key", "client-rsa.key"), ("client-p256-scrypt.key", "client-p256.key")]
    {
        let (encrypted, open) = (testdata(encrypted), testdata(open));
        let opened = private_key(encrypted.as_bytes(), Some(PASSWORD)).unwrap();
        assert_eq!(opened.secret_der(), private_key(open.as_bytes(), None).unwrap().secret_der());
    }
}

#[test]
fn a_wrong_and_a_missing_password_are_told_apart_and_not_repeated() {
    for (form, file, _) in KEYS.iter().filter(|(.., encrypted)| *encrypted) {
        let text = testdata(file);
        assert!(refused(text.as_bytes(), None).contains("password is not given"), "{form}");
        let wrong = refused(text.as_bytes(), Some("open-sesame"));
        assert!(wrong.contains("password is wrong") && !wrong.contains("open-sesame"), "{form}: {wrong}");
    }
}

#[test]
fn broken_and_old_encryption_is_refused_with_the_command_that_helps() {
    for (file, word) in
        [("client-p256-pbes1.key", "not encrypted by PBES2"), ("client-rsa-legacy-encrypted.key", "old form")]
    {
        let said = refused(testdata(file).as_bytes(), Some(PASSWORD));
        assert!(said.contains(word) && said.contains("openssl pkcs8 -topk8"), "{said}");
    }
}

#[test]
fn what_is_no_key_is_named_for_what_it_is() {
    let authority = testdata("ca.pem");
    for (text, word) in [
        (&b" \n"[..], "empty"),
        (b"hello", "no private key"),
        (authority.as_bytes(), "no private key"),
        (b"\x30\x82\x01\x02\x00\x00", "binary"),
        (b"\xfe\xed\xfe\xed\x00\x00", "binary"),
        (b"-----BEGIN PRIVATE KEY-----\nMIIB\n", "END line"),
        (b"-----BEGIN PRIVATE KEY-----\n***\n-----END PRIVATE KEY-----\n", "base64"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB", "cut"),
    ] {
        let said = refused(text, Some(PASSWORD));
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(certificates(testdata("client-p256.key").as_bytes()).unwrap_err().contains("no certificate"));
}

/// PBES2 of AES-256-CBC under these parameters of a key derivation function, with no key inside.
fn encrypted_under(kdf: &[u8]) -> String {
    let sequence = |parts: &[&[u8]]| {
        let content = parts.concat();
        [&[0x30, u8::try_from(content.len()).unwrap()], content.as_slice()].concat()
    };
    let cipher = sequence(&[
        b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2a",
        b"\x04\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    ]);
    let scheme = sequence(&[b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d", &sequence(&[kdf, &cipher])]);
    let der = sequence(&[&scheme, b"\x04\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"]);
    pkcs8::der::pem::encode_string("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF, &der).unwrap()
}

#[test]
fn a_key_that_would_take_hours_or_all_memory_is_refused_at_once() {
    // PBKDF2 with 99,999,999 iterations.
    let pbkdf2 = b"\x30\x19\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c\x30\x0c\x04\x04salt\x02\x04\x05\xf5\xe0\xff";
    // scrypt with N = 2^30, r = 8, p = 1: one tebibyte.
    let scrypt = b"\x30\x1f\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x04\x0b\x30\x12\x04\x04salt\x02\x04\x40\x00\x00\x00\x02\x01\x08\x02\x01\x01";
    for kdf in [&pbkdf2[..], scrypt] {
        let started = std::time::Instant::now();
        assert!(refused(encrypted_under(kdf).as_bytes(), Some(PASSWORD)).contains("absurdly long"), "{kdf:x?}");
        // The iterations would take minutes, the memory does not exist.
        assert!(started.elapsed().as_secs() < 20);
    }
}

#[test]
fn text_cut_anywhere_gives_a_key_or_an_error_and_never_shows_it() {
    for (form, file, encrypted) in KEYS {
        let text = testdata(file);
        // Of the encrypted ones only cuts that leave no key to try a password on, since each try costs its time.
        let step = if encrypted { 16 } else { 1 };
        let end = text.find("-----END").unwrap();
        for len in (0..end).step_by(step) {
            let said = refused(&text.as_bytes()[..len], Some(PASSWORD));
            assert!(!said.contains(&text[40..60]), "{form}: {said}");
        }
    }
}

#[test]
fn no_flipped_bit_makes_a_panic() {
    let text = testdata("client-p256-sec1.key").into_bytes();
    for bit in 0..text.len() * 8 {
        let mut flipped = text.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = private_key(&flipped, None);
        let _ = certificates(&flipped);
    }
}

#[test]
fn a_file_without_end_is_not_read_into_memory() {
    let said = read_file(Path::new("/dev/zero")).unwrap_err();
    assert!(said.contains("larger than 4 MiB"), "{said}");
}
