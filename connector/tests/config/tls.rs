//! `tls` of a connection: files are read and fitted together, and no secret is shown.

use std::path::{Path, PathBuf};

use ottla_client::{TlsVersion, TrustedCa};
use ottla_connector::config::{Config, Kind, Paint};

use super::{PLANTED, check};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls").join(name)
}

/// A connection with this in `tls`, `DIR` standing for the directory of certificates.
fn file(tls: &str) -> String {
    let tls = tls.replace("DIR", &path("").display().to_string());
    format!("[connections.shop]\nkind = \"kafka\"\nbootstrap = [\"localhost:9093\"]\ntls = {tls}\n")
}

fn good(tls: &str) -> (Config, String) {
    let checked = check(&file(tls));
    let report = checked.report.render(Paint::Plain);
    (checked.config.unwrap_or_else(|| panic!("{report}")), report)
}

fn report(tls: &str) -> String {
    let checked = check(&file(tls));
    assert!(checked.config.is_none(), "{tls} is accepted");
    let report = checked.report.render(Paint::Plain);
    assert!(report.contains("shop.toml:4:"), "{report}");
    report
}

fn options(config: &Config) -> ottla_client::TlsOptions {
    let Kind::Kafka(kafka) = &config.connections["shop"].kind else { panic!("a Kafka connection") };
    *kafka.tls.clone().expect("tls")
}

#[test]
fn all_keys_of_tls_mean_what_they_say() {
    let (config, report) = good(
        "{ ca = \"DIR/ca.pem\", cert = \"DIR/client-p256.pem\", key = \"DIR/client-p256.key\", server_name = \"kafka.test\", \
         min_version = \"1.3\" }",
    );
    assert_eq!(report, "");
    let tls = options(&config);
    assert!(matches!(&tls.ca, TrustedCa::Pem(pem) if pem.path().is_some()));
    assert!(tls.identity.is_some() && !tls.insecure_skip_verification);
    assert_eq!((tls.server_name.as_deref(), tls.min_version), (Some("kafka.test"), TlsVersion::V1_3));
    assert!(matches!(options(&good("{ ca = \"DIR\" }").0).ca, TrustedCa::Directory(_)));
}

#[test]
fn a_ca_may_be_written_into_the_file() {
    let ca = std::fs::read_to_string(path("ca.pem")).unwrap();
    let (config, report) = good(&format!("{{ ca = '''\n{ca}''' }}"));
    assert_eq!(report, "");
    assert!(matches!(&options(&config).ca, TrustedCa::Pem(pem) if pem.path().is_none()));
}

#[test]
fn a_key_in_the_file_is_a_warning_and_never_shown() {
    let key = std::fs::read_to_string(path("client-p256.key")).unwrap();
    let (config, report) =
        good(&format!("{{ ca = \"DIR/ca.pem\", cert = \"DIR/client-p256.pem\", key = '''\n{key}''' }}"));
    assert!(report.contains("the key stands in the file for everyone who can read it"), "{report}");
    let broken = check(&file(&format!(
        "{{ ca = \"DIR/ca.pem\", cert = \"DIR/client-rsa.pem\", key = '''\n{key}''', kye = 1 }}"
    )));
    for line in key.lines().filter(|line| !line.starts_with("-----")) {
        for shown in [&report, &format!("{config:?}"), &broken.report.render(Paint::Plain)] {
            assert!(!shown.contains(line), "{shown}");
        }
    }
}

#[test]
fn files_that_are_wrong_are_named_at_their_keys() {
    for (tls, words) in [
        ("{ ca = \"absent.pem\" }", "the CA absent.pem: absent.pem cannot be read"),
        ("{ ca = \"DIR/client-p256.key\" }", "holds no certificate"),
        ("{ ca = \"DIR/ca.pem\", cert = \"DIR/client-p256.pem\", key = \"DIR/client-rsa.key\" }", "is not the one of"),
        ("{ ca = \"DIR/ca.pem\", cert = \"DIR/client-p256.pem\", key = \"DIR/ca.pem\" }", "holds no private key"),
        (
            "{ ca = \"DIR/ca.pem\", cert = \"DIR/client-rsa.pem\", key = \"DIR/client-rsa-encrypted.key\" }",
            "its password is not given",
        ),
        ("{ ca = \"DIR/ca.pem\", cert = \"DIR/client-rsa.pem\" }", "`cert` stands without `key`"),
        ("{ ca = \"DIR/ca.pem\", key = \"DIR/client-rsa.key\" }", "`key` stands without `cert`"),
        ("{ ca = \"DIR/ca.pem\", server_name = \"no name\" }", "neither a host name nor an IP address"),
        ("{ ca = \"DIR/ca.pem\", min_version = \"1.3\", max_version = \"1.2\" }", "min_version is above max_version"),
        ("{ ca = \"DIR/ca.pem\", min_version = \"1.1\" }", "no value of `min_version`"),
        ("{ ca = \"DIR/ca.pem\", insecure_skip_verification = \"yes\" }", "true or false"),
        ("{ caa = \"DIR/ca.pem\" }", "write `ca`"),
        ("true", "write tls = {} to trust the system's authorities"),
    ] {
        let report = report(tls);
        assert!(report.contains(words), "{words}\n{report}");
    }
}

#[test]
fn the_passwords_of_keys_come_from_outside_and_are_not_shown() {
    let encrypted = "ca = \"DIR/ca.pem\", cert = \"DIR/client-rsa.pem\", key = \"DIR/client-rsa-encrypted.key\"";
    let (config, report) = good(&format!("{{ {encrypted}, key_password = \"key-secret\" }}"));
    assert!(report.contains("the key password stands in the file"), "{report}");
    assert!(!format!("{report} {config:?}").contains("key-secret"));
    let report = self::report(&format!("{{ {encrypted}, key_password = \"${{env:SECRET}}\" }}"));
    assert!(report.contains("the key's password is wrong") && !report.contains(PLANTED), "{report}");
}

#[test]
fn what_ends_or_is_not_verified_is_a_warning() {
    let (_, report) = good("{ ca = \"DIR/ca.pem\", cert = \"DIR/client-expired.pem\", key = \"DIR/client-p256.key\" }");
    assert!(report.contains("client-expired.pem expired at 2020-01-31 00:00:00 UTC"), "{report}");
    let (config, report) = good("{ insecure_skip_verification = true }");
    assert!(report.contains("brokers' certificates are not verified"), "{report}");
    assert!(options(&config).insecure_skip_verification);
}

#[test]
fn the_embedded_broker_has_no_tls() {
    let text = file("{ ca = \"DIR/ca.pem\" }").replace("[\"localhost:9093\"]", "\"embedded\"");
    let report = check(&text).report.render(Paint::Plain);
    assert!(report.contains("the embedded broker takes no TLS, so `tls` does not apply"), "{report}");
}
