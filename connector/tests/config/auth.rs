//! `auth`: each mechanism with its own keys, and what is said when they do not fit.

use std::path::Path;

use ottla_client::{ScramHash, TrustedCa};
use ottla_connector::config::{Account, Auth, Kind, Oauth, TokenSource, trusted};
use ottla_connector::secret::Secret;

use super::{PLANTED, check, reports};

fn file(auth: &str) -> String {
    format!("[connections.shop]\nkind = \"kafka\"\nbootstrap = [\"localhost:9092\"]\nauth = {auth}\n")
}

fn read(auth: &str) -> Auth {
    let checked = check(&file(auth));
    let config = checked.config.unwrap_or_else(|| panic!("{auth}: {:?}", checked.report));
    let Kind::Kafka(kafka) = &config.connections["shop"].kind else { panic!("a cluster") };
    kafka.auth.clone().unwrap()
}

/// The messages of the mistakes, in order, and the help of each.
fn said(auth: &str) -> String {
    let report = check(&file(auth)).report.render(ottla_connector::config::Paint::Plain);
    assert!(!report.contains(PLANTED) && !report.contains("hunter2"), "{report}");
    report
}

#[test]
fn scram_takes_a_user_and_a_password() {
    let account = || Account { username: "etl".to_owned(), password: Secret::new(PLANTED) };
    for (word, hash) in [("scram-sha-256", ScramHash::Sha256), ("scram-sha-512", ScramHash::Sha512)] {
        let auth = read(&format!(r#"{{ mechanism = "{word}", username = "etl", password = "${{env:SECRET}}" }}"#));
        assert_eq!(auth, Auth::Scram(hash, account()));
        assert_eq!((auth.mechanism().name(), auth.who().as_str()), (word, "as etl"));
        assert!(!format!("{auth:?}").contains(PLANTED));
    }
}

#[test]
fn tokens_come_from_a_file_or_an_endpoint() {
    let auth = read(r#"{ mechanism = "oauthbearer", token_file = "/run/token", extensions = { traceId = "7" } }"#);
    let source = TokenSource::File("/run/token".into());
    assert_eq!(
        auth,
        Auth::OauthBearer(Box::new(Oauth { source, extensions: vec![("traceId".to_owned(), "7".to_owned())] }))
    );
    let auth = read(
        r#"{ mechanism = "oauthbearer", token_endpoint = "https://id.example.org/token", client_id = "etl", client_secret = "${env:SECRET}", scope = "kafka" }"#,
    );
    let source = TokenSource::Endpoint {
        url: "https://id.example.org/token".to_owned(),
        ca: None,
        client_id: "etl".to_owned(),
        client_secret: Secret::new(PLANTED),
        scope: Some("kafka".to_owned()),
    };
    assert_eq!(auth, Auth::OauthBearer(Box::new(Oauth { source, extensions: Vec::new() })));
}

#[test]
fn a_mechanism_that_is_nearly_right_is_shown_how_to_be_written() {
    for (written, meant) in [
        ("SCRAM-SHA-256", "scram-sha-256"),
        ("sha512", "scram-sha-512"),
        ("oauth", "oauthbearer"),
        ("scram-sha256", "scram-sha-256"),
    ] {
        let report = said(&format!(r#"{{ mechanism = "{written}", username = "etl", password = "${{env:SECRET}}" }}"#));
        assert!(report.contains(&format!("write \"{meant}\"")), "{report}");
        assert!(
            report
                .contains("allowed are \"plain\", \"scram-sha-256\", \"scram-sha-512\", \"oauthbearer\", \"kerberos\""),
            "{report}"
        );
    }
}

#[test]
fn keys_of_another_mechanism_are_refused_by_name_and_what_is_missing_is_asked_for() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            auth = { mechanism = "scram-sha-256", username = "etl", client_id = "x" }
        "#,
        r#"
            error: the key `password` is missing
             --> shop.toml:4:8
              |
            4 | auth = { mechanism = "scram-sha-256", username = "etl", client_id = *** }
              |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              = help: add `password = "${env:SHOP_PASSWORD}"`

            error: `client_id` does not apply to the mechanism "scram-sha-256"
             --> shop.toml:4:57
              |
            4 | auth = { mechanism = "scram-sha-256", username = "etl", client_id = *** }
              |                                                         ^^^^^^^^^
              = help: leave it out, or choose another `mechanism`

            error: 2 mistakes in shop.toml
        "#,
    );
}

#[test]
fn every_way_to_get_a_token_wrong_is_told() {
    for (keys, part) in [
        ("", "there is nowhere to get a token from"),
        (r#", token_file = "/t", password = "hunter2""#, "`password` does not apply to the mechanism \"oauthbearer\""),
        (r#", token_file = "/t", token_endpoint = "https://h/t""#, "two places for one token"),
        (r#", token_file = "/t", client_secret = "hunter2""#, "`client_secret` does not apply beside `token_file`"),
        (r#", token_endpoint = "https://h/t", client_secret = "${env:SECRET}""#, "the key `client_id` is missing"),
        (r#", token_endpoint = "https://h/t", client_id = "x""#, "the key `client_secret` is missing"),
        (r#", token_endpoint = "h/t", client_id = "x", client_secret = "${env:SECRET}""#, "has to be a URL"),
        (
            r#", token_endpoint = "https://u:hunter2@h/t", client_id = "x", client_secret = "${env:SECRET}""#,
            "has a login in it",
        ),
        (r#", token_file = "/t", extensions = { auth = "x" }"#, "auth is the token's own name"),
        (r#", token_file = "/t", extensions = "x""#, "`extensions` has to be a table"),
        (r#", token_file = """#, "`token_file` is empty"),
    ] {
        let report = said(&format!("{{ mechanism = \"oauthbearer\"{keys} }}"));
        assert!(report.contains(part) && report.contains("error: 1 mistake"), "{keys}\n{report}");
    }
}

#[test]
fn a_clients_secret_in_the_file_or_on_an_open_line_is_a_warning() {
    let auth = r#"{ mechanism = "oauthbearer", token_endpoint = "http://id.example.org/t", client_id = "x", client_secret = "hunter2" }"#;
    let report = said(auth);
    assert!(report.contains("warning: the client secret stands in the file"), "{report}");
    let open = "warning: the client's secret and the token go to `token_endpoint` unencrypted";
    assert!(report.contains(open), "{report}");
    assert!(check(&file(auth)).config.is_some());
    for (host, is_open) in [("localhost.example.org", true), ("127.0.0.1.example.org", true), ("127.0.0.1:80", false)] {
        assert_eq!(said(&auth.replace("id.example.org", host)).contains(open), is_open, "{host}");
    }
}

/// An endpoint, with this beside it.
fn endpoint(more: &str) -> String {
    let login = r#"client_id = "x", client_secret = "${env:SECRET}""#;
    format!(r#"{{ mechanism = "oauthbearer", token_endpoint = "https://id.example.org/t", {login}, {more} }}"#)
}

fn testdata(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls").join(name).display().to_string()
}

#[test]
fn the_authority_of_a_token_endpoint_is_a_file_a_directory_or_a_text() {
    let text = std::fs::read_to_string(testdata("ca.pem")).unwrap();
    let of = |written: &str| {
        let Auth::OauthBearer(oauth) = read(&endpoint(&format!("token_endpoint_ca = {written}"))) else { panic!() };
        let TokenSource::Endpoint { ca, .. } = oauth.source else { panic!("an endpoint") };
        trusted(&ca.unwrap())
    };
    assert!(matches!(of(&format!("{:?}", testdata("ca.pem"))), TrustedCa::Pem(pem) if pem.path().is_some()));
    assert!(matches!(of(&format!("{:?}", testdata(""))), TrustedCa::Directory(_)));
    assert!(matches!(of(&format!("'''\n{text}'''")), TrustedCa::Pem(pem) if pem.path().is_none()));
}

#[test]
fn an_authority_of_a_token_endpoint_that_is_none_is_named_at_its_key() {
    let key = testdata("client-p256.key");
    for (written, part) in [
        ("token_endpoint_ca = \"absent.pem\"".to_owned(), "the CA absent.pem: absent.pem cannot be read"),
        (format!("token_endpoint_ca = {key:?}"), "holds no certificate"),
        ("token_endpoint_ca = \"\"".to_owned(), "`token_endpoint_ca` is empty"),
        ("token_endpoint_ca = 7".to_owned(), "`token_endpoint_ca` has to be a text in quotes"),
        (format!("token_endpoint_cert = {key:?}"), "write `token_endpoint_ca`"),
        (format!("tokenendpoint_ca = {key:?}"), "write `token_endpoint_ca`"),
    ] {
        let report = said(&endpoint(&written));
        assert!(report.contains(part) && report.contains("error: 1 mistake"), "{written}\n{report}");
        assert!(report.contains(" --> shop.toml:4:"), "{report}");
    }
    let beside = r#"{ mechanism = "oauthbearer", token_file = "/t", token_endpoint_ca = "ca.pem" }"#;
    assert!(said(beside).contains("`token_endpoint_ca` does not apply beside `token_file`"));
    let other = r#"{ mechanism = "plain", username = "u", password = "${env:SECRET}", token_endpoint_ca = "ca.pem" }"#;
    assert!(said(other).contains("`token_endpoint_ca` does not apply to the mechanism \"plain\""));
    let open =
        endpoint(&format!("token_endpoint_ca = {:?}", testdata("ca.pem"))).replace("https://id.", "http://localhost.");
    assert!(said(&open).contains("`token_endpoint_ca` does not apply to a `token_endpoint` without TLS"));
}
