//! What is refused before a socket is opened, and what the files say.

use std::path::{Path, PathBuf};

use super::*;
use crate::config::tls::Pem;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls").join(name)
}

fn options() -> TlsOptions {
    TlsOptions { ca: TrustedCa::Pem(Pem::file(testdata("ca.pem"))), ..TlsOptions::default() }
}

fn showing(certificate: &str, key: &str) -> TlsOptions {
    let identity = TlsIdentity::new(Pem::file(testdata(certificate)), Pem::file(testdata(key)));
    TlsOptions { identity: Some(identity), ..options() }
}

fn problems(options: TlsOptions) -> Vec<String> {
    Tls::new(options).map(drop).unwrap_err()
}

#[test]
fn every_form_of_key_makes_a_pair_with_its_certificate() {
    for (certificate, key) in [
        ("client-rsa.pem", "client-rsa.key"),
        ("client-rsa.pem", "client-rsa-pkcs1.key"),
        ("client-p256.pem", "client-p256.key"),
        ("client-p256.pem", "client-p256-sec1.key"),
        ("client-p384.pem", "client-p384.key"),
        ("client-p384.pem", "client-p384-sec1.key"),
        ("client-ed25519.pem", "client-ed25519.key"),
        ("client-chain.pem", "client-p256.key"),
        ("client-both.pem", "client-both.pem"),
    ] {
        Tls::new(showing(certificate, key)).unwrap_or_else(|e| panic!("{certificate} and {key}: {e:?}"));
    }
}

#[test]
fn another_certificates_key_is_refused_and_both_are_named() {
    for key in ["client-p384.key", "client-ed25519.key", "client-rsa.key", "server.key"] {
        let said = problems(showing("client-p256.pem", key)).join("\n");
        assert!(said.contains(key) && said.contains("is not the one of") && said.contains("client-p256.pem"), "{said}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let mut wrong = showing("absent.pem", "client-p256.key");
    wrong.ca = TrustedCa::Pem(Pem::text("no certificate"));
    wrong.server_name = Some("not a name".to_owned());
    (wrong.min_version, wrong.max_version) = (TlsVersion::V1_3, TlsVersion::V1_2);
    let said = problems(wrong);
    assert_eq!(said.len(), 4, "{said:#?}");
    for (problem, word) in said.iter().zip(["min_version", "not a name", "the CA", "absent.pem"]) {
        assert!(problem.contains(word), "{word}: {problem}");
    }
}

#[test]
fn a_directory_gives_the_authorities_of_all_its_files_and_an_empty_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let trusting = || TlsOptions { ca: TrustedCa::Directory(directory.path().to_owned()), ..TlsOptions::default() };
    assert!(problems(trusting())[0].contains("no file with a certificate"));
    std::fs::copy(testdata("client-rsa.key"), directory.path().join("key")).unwrap();
    assert!(problems(trusting())[0].contains("no file with a certificate"));
    for name in ["ca.pem", "other-ca.pem"] {
        std::fs::copy(testdata(name), directory.path().join(name)).unwrap();
    }
    let roots = files::roots(&trusting().ca, &mut Vec::new()).unwrap();
    assert_eq!(roots.len(), 2);
    let absent = TlsOptions { ca: TrustedCa::Directory(directory.path().join("absent")), ..TlsOptions::default() };
    assert!(problems(absent)[0].contains("cannot be read"));
}

#[test]
fn an_end_is_spoken_of_a_month_before_and_after_it() {
    let tls = Tls::new(showing("client-expired.pem", "client-p256.key")).unwrap();
    let end = certificate::validity(&tls.loaded.lock().unwrap().certificates[1].1).unwrap().1;
    assert_eq!(KerberosTime::from(end).to_string(), "2020-01-31 00:00:00 UTC");
    let day = Duration::from_hours(24);
    assert_eq!(tls.ending_soon(end - 31 * day), Vec::<String>::new());
    let soon = tls.ending_soon(end - day);
    assert!(soon.len() == 1 && soon[0].contains("expires at 2020-01-31"), "{soon:?}");
    let late = tls.ending_soon(end + day);
    assert!(late[0].contains("client-expired.pem expired at 2020-01-31 00:00:00 UTC"), "{late:?}");
}

#[test]
fn files_are_read_again_only_when_they_have_changed() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::copy(testdata("ca.pem"), &ca).unwrap();
    let tls = Tls::new(TlsOptions { ca: TrustedCa::Pem(Pem::file(&ca)), ..TlsOptions::default() }).unwrap();
    let first = tls.current();
    assert!(Arc::ptr_eq(&first, &tls.current()));
    std::fs::write(&ca, "half a fi").unwrap();
    assert!(Arc::ptr_eq(&first, &tls.current()), "what worked stays in use");
    std::fs::copy(testdata("other-ca.pem"), &ca).unwrap();
    let second = tls.current();
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&second, &tls.current()));
}
