//! Secrets: where they come from, and that they are never shown.

use ottla_connector::config::Paint;

use super::reports;

#[test]
fn a_missing_secret_file_is_named() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            auth = { mechanism = "plain", username = "etl", password = "${file:/no/such/file}" }
        "#,
        r#"
            error: the file `/no/such/file` cannot be read: there is no such file
             --> shop.toml:4:61
              |
            4 | auth = { mechanism = "plain", username = "etl", password = "${file:/no/such/file}" }
              |                                                             ^^^^^^^^^^^^^^^^^^^^^
              = help: a relative path starts at the current directory

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn a_password_in_the_file_is_a_warning_and_not_shown() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            auth = { mechanism = "plain", username = "etl", password = "hunter2" }
        "#,
        r#"
            warning: the password stands in the file for everyone who can read it
             --> shop.toml:4:60
              |
            4 | auth = { mechanism = "plain", username = "etl", password = *** }
              |                                                            ^^^
              = help: keep it outside: password = "${env:NAME}" or "${file:PATH}"
        "#,
    );
}

#[test]
fn a_password_is_not_shown_beside_another_mistake() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            auth = { mechanism = "plian", username = "etl", passwort = "hunter2" }
        "#,
        r#"
            error: `plian` is no value of `mechanism`
             --> shop.toml:4:22
              |
            4 | auth = { mechanism = "plian", username = "etl", passwort = *** }
              |                      ^^^^^^^
              = help: write "plain"
              = help: allowed are "plain", "scram-sha-256", "scram-sha-512", "oauthbearer", "kerberos"

            error: unknown key `passwort` in `auth`
             --> shop.toml:4:49
              |
            4 | auth = { mechanism = "plian", username = "etl", passwort = *** }
              |                                                 ^^^^^^^^
              = help: write `password`

            error: 2 mistakes in shop.toml
        "#,
    );
}

#[test]
fn a_login_in_an_address_is_not_shown() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["kafka://etl:hunter2@broker:9092"]
        "#,
        r#"
            error: the address `kafka://etl:***@broker:9092` is wrong: it is a URL
             --> shop.toml:3:14
              |
            3 | bootstrap = ["kafka://etl:***@broker:9092"]
              |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              = help: write it without the scheme: `broker:9092`

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn the_embedded_broker_takes_no_login() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = "embedded"
            auth = { mechanism = "plain", username = "etl", password = "${env:SECRET}" }
        "#,
        r#"
            error: the embedded broker takes no login, so `auth` does not apply
             --> shop.toml:4:8
              |
            4 | auth = { mechanism = "plain", username = "etl", password = "${env:SECRET}" }
              |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              = help: leave `auth` out, or name a real broker in `bootstrap`

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn a_password_or_token_in_clear_text_to_another_machine_is_a_warning() {
    let warned = |server: &str, rest: &str| {
        let checked =
            super::check(&format!("[connections.shop]\nkind = \"kafka\"\nbootstrap = [\"{server}\"]\n{rest}\n"));
        assert!(checked.config.is_some(), "{server} {rest}: {}", checked.report.render(Paint::Plain));
        checked.report.render(Paint::Plain).contains("unencrypted: anyone on the way can read it")
    };
    let plain = r#"auth = { mechanism = "plain", username = "etl", password = "${env:SECRET}" }"#;
    let token = r#"auth = { mechanism = "oauthbearer", token_file = "/no/such/token" }"#;
    let scram = r#"auth = { mechanism = "scram-sha-512", username = "etl", password = "${env:SECRET}" }"#;
    for far in ["kafka.example.com:9092", "10.0.0.7:9092", "[2001:db8::1]:9092"] {
        assert!(warned(far, plain) && warned(far, token), "{far}");
        assert!(!warned(far, scram) && !warned(far, &format!("{plain}\ntls = {{}}")), "{far}");
    }
    for near in ["localhost:9092", "127.0.0.1:9092", "[::1]:9092", "broker.localhost:9092"] {
        assert!(!warned(near, plain) && !warned(near, token), "{near}");
    }
}

#[cfg(unix)]
#[test]
fn a_secret_in_a_file_that_others_get_at_is_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;

    use ottla_connector::config::{ProcessEnvironment, check_text};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "hunter2").unwrap();
    let key = folder.path().join("client.key");
    let tls = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls");
    std::fs::copy(tls.join("client-p256.key"), &key).unwrap();
    let cases = [
        format!("auth = {{ mechanism = \"plain\", username = \"etl\", password = \"${{file:{}}}\" }}", path.display()),
        format!("auth = {{ mechanism = \"oauthbearer\", token_file = \"{}\" }}", path.display()),
        format!(
            "tls = {{ ca = \"{0}/ca.pem\", cert = \"{0}/client-p256.pem\", key = \"{1}\" }}",
            tls.display(),
            key.display()
        ),
    ];
    for (mode, said) in [
        (0o600, None),
        (0o400, None),
        (0o640, Some("its group can read the")),
        (0o604, Some("other users can read the")),
        (0o620, Some("its group can change the")),
        (0o666, Some("other users can read and change the")),
    ] {
        for file in [&path, &key] {
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        for case in &cases {
            let text = format!("[connections.shop]\nkind = \"kafka\"\nbootstrap = [\"localhost:9092\"]\n{case}\n");
            let checked = check_text(std::path::Path::new("shop.toml"), &text, &ProcessEnvironment);
            let report = checked.report.render(Paint::Plain);
            match said {
                None => assert!(!report.contains("can read") && !report.contains("can change"), "{mode:o}: {report}"),
                Some(said) => {
                    assert!(report.contains(said), "{mode:o} {case}: {report}");
                    assert!(report.contains(&format!("(mode {mode:04o})")) && report.contains("chmod 600"), "{report}");
                    assert_eq!(checked.config.unwrap().connections["shop"].exposures.len(), 1);
                }
            }
            assert!(!report.contains("hunter2"), "{report}");
        }
    }
}
