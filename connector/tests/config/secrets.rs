//! Secrets: where they come from, and that they are never shown.

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
