//! `auth` with the mechanism `kerberos`: what may stand there, and what is said of files that are missing or wrong.

use ottla_connector::config::{Auth, Kerberos, KerberosCredential, Kind, Krb5Conf, Paint};
use ottla_connector::secret::Secret;

use super::{PLANTED, check};

/// A keytab with one made-up key of etl@EXAMPLE.COM, version 3.
const KEYTAB: &str =
    "BQIAAABFAAEAC0VYQU1QTEUuQ09NAANldGwAAAABAAAAAAMAEgAgAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8AAAAD";
/// `[libdefaults]`, `default_realm = EXAMPLE.COM`
const CONF: &str = "base64:W2xpYmRlZmF1bHRzXQpkZWZhdWx0X3JlYWxtID0gRVhBTVBMRS5DT00K";

fn file(keys: &str) -> String {
    let auth = format!(r#"{{ mechanism = "kerberos", krb5_conf = "{CONF}", {keys} }}"#);
    format!("[connections.shop]\nkind = \"kafka\"\nbootstrap = [\"localhost:9092\"]\nauth = {auth}\n")
}

fn read(text: &str) -> Kerberos {
    let checked = check(text);
    let config = checked.config.unwrap_or_else(|| panic!("{}", checked.report.render(Paint::Plain)));
    let Kind::Kafka(kafka) = &config.connections["shop"].kind else { panic!("a cluster") };
    let Some(Auth::Kerberos(kerberos)) = kafka.auth.clone() else { panic!("kerberos") };
    *kerberos
}

#[test]
fn a_keytab_a_password_and_a_cache_are_taken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("etl.keytab");
    std::fs::write(&path, decoded(KEYTAB)).unwrap();
    let by_path = read(&file(&format!("keytab = '{}'", path.display())));
    assert_eq!(by_path.credential, KerberosCredential::Keytab(path));

    let inline = read(&file(&format!(r#"keytab = "base64:{KEYTAB}", principal = "etl", service_name = "broker""#)));
    assert_eq!(inline.credential, KerberosCredential::InlineKeytab(Secret::new(KEYTAB)));
    assert_eq!((inline.principal.as_deref(), inline.service_name.as_deref()), (Some("etl"), Some("broker")));
    assert!(!format!("{inline:?}").contains(KEYTAB));

    let password = read(&file(
        r#"password = "${env:SECRET}", principal = "etl@OTHER.COM", service_realm = "R", service_host = "lb""#,
    ));
    assert_eq!(password.credential, KerberosCredential::Password(Secret::new(PLANTED)));
    assert_eq!((password.service_realm.as_deref(), password.service_host.as_deref()), (Some("R"), Some("lb")));

    assert_eq!(read(&file(r#"ccache = "default""#)).credential, KerberosCredential::Cache(None));
    let named = KerberosCredential::Cache(Some("FILE:/run/cc".to_owned()));
    assert_eq!(read(&file(r#"ccache = "FILE:/run/cc""#)).credential, named);
}

#[cfg(unix)]
#[test]
fn a_keytab_or_ticket_cache_that_others_get_at_is_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;

    use ottla_connector::config::{ProcessEnvironment, check_text};

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("etl");
    std::fs::write(&path, decoded(KEYTAB)).unwrap();
    let at = path.display();
    for (key, what) in [
        (format!("keytab = '{at}'"), "keytab"),
        (format!("ccache = '{at}'"), "credential cache"),
        (format!("ccache = 'FILE:{at}'"), "credential cache"),
    ] {
        for (mode, said) in
            [(0o600, None), (0o640, Some("its group can read")), (0o606, Some("other users can read and change"))]
        {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let checked = check_text(std::path::Path::new("shop.toml"), &file(&key), &ProcessEnvironment);
            let report = checked.report.render(Paint::Plain);
            match said {
                None => assert!(!report.contains("can read"), "{report}"),
                Some(said) => assert!(report.contains(&format!("warning: {said} the {what} `{at}`")), "{report}"),
            }
        }
    }
}

#[test]
fn the_keytab_by_the_name_default_is_the_one_that_krb5_conf_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("of the client");
    std::fs::write(&path, decoded(KEYTAB)).unwrap();
    let conf = format!("[libdefaults]\ndefault_client_keytab_name = {}\n", path.display());
    let text = format!(
        "[connections.shop]\nkind = \"kafka\"\nbootstrap = [\"localhost:9092\"]\nauth.mechanism = \"kerberos\"\nauth.keytab = \"default\"\nauth.krb5_conf = '''\n{conf}'''\n"
    );
    assert_eq!(read(&text).credential, KerberosCredential::DefaultKeytab);
    std::fs::remove_file(&path).unwrap();
    let missing = text.replace("client_keytab", "keytab");
    let report = check(&missing).report.render(Paint::Plain);
    assert!(report.contains("of the client cannot be read"), "{report}");
}

/// The bytes of base64 text.
fn decoded(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = text.trim_end_matches('=').chars().map(|digit| DIGITS.find(digit).unwrap() as u32);
    let (mut out, mut held, mut count) = (Vec::new(), 0_u32, 0);
    for six in bits {
        (held, count) = (held << 6 | six, count + 6);
        if count >= 8 {
            count -= 8;
            out.push((held >> count) as u8);
        }
    }
    out
}

#[test]
fn a_krb5_conf_is_a_path_or_a_text_or_base64() {
    let with = |conf: &str| {
        format!(
            "[connections.shop]\nkind = \"kafka\"\nbootstrap = [\"localhost:9092\"]\nauth.mechanism = \"kerberos\"\nauth.ccache = \"default\"\n{conf}\n"
        )
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("krb5.conf");
    std::fs::write(&path, "[libdefaults]\n").unwrap();
    let by_path = read(&with(&format!("auth.krb5_conf = '{}'", path.display())));
    assert_eq!(by_path.krb5_conf, Some(Krb5Conf::File(path)));
    let text = read(&with("auth.krb5_conf = '''\n[libdefaults]\ndefault_realm = R\n'''"));
    assert_eq!(text.krb5_conf, Some(Krb5Conf::Text("[libdefaults]\ndefault_realm = R\n".to_owned())));
    assert!(matches!(read(&file(r#"ccache = "default""#)).krb5_conf, Some(Krb5Conf::Base64(_))));
}

#[test]
fn every_way_to_get_it_wrong_is_told_at_its_key() {
    for (keys, part, column) in [
        (r#"principal = "etl""#, "there is nothing to get a ticket with", None),
        (r#"keytab = "/no/such.keytab""#, "/no/such.keytab cannot be read", Some("keytab")),
        (r#"keytab = "base64:?""#, "the inline keytab is not base64", Some("keytab")),
        (r#"keytab = "base64:AAAA""#, "this is no keytab", Some("keytab")),
        (r#"ccache = "KCM:7""#, "credential caches of type KCM: cannot be read", Some("ccache")),
        (r#"password = "${env:SECRET}""#, "the key `principal` is missing", None),
        (r#"password = "${env:SECRET}", principal = "etl@""#, "has an empty realm", Some("principal")),
        (r#"password = "${env:SECRET}", ccache = "default""#, "`ccache` does not apply beside `password`", None),
        (r#"ccache = "default", username = "etl""#, "`username` does not apply to the mechanism \"kerberos\"", None),
        (r#"ccache = "default", token_file = "/t""#, "`token_file` does not apply to the mechanism", None),
        (r#"ccache = "default", keytap = "/t""#, "write `keytab`", None),
    ] {
        let text = file(keys);
        let report = check(&text).report.render(Paint::Plain);
        assert!(report.contains(part) && report.contains("error: 1 mistake"), "{keys}\n{report}");
        assert!(!report.contains(PLANTED), "{report}");
        if let Some(key) = column {
            let line = text.lines().last().unwrap();
            let at = line.find(&format!("{key} =")).unwrap() + key.len() + 3;
            assert!(report.contains(&format!("shop.toml:4:{}", at + 1)), "{keys}\n{report}");
        }
    }
}

#[test]
fn a_keytab_of_another_says_what_it_has() {
    let report = check(&file(&format!(r#"keytab = "base64:{KEYTAB}", principal = "alice""#))).report;
    let report = report.render(Paint::Plain);
    let has = "the keytab has no key of alice@EXAMPLE.COM; it has etl@EXAMPLE.COM (kvno 3: aes256-cts-hmac-sha1-96)";
    assert!(report.contains(has) && !report.contains(KEYTAB), "{report}");
    assert!(report.contains("warning: the keytab stands in the file"), "{report}");
}

#[test]
fn a_missing_krb5_conf_is_told_at_its_key() {
    let text = "[connections.shop]\nkind = \"kafka\"\nbootstrap = [\"localhost:9092\"]\nauth = { mechanism = \"kerberos\", ccache = \"default\", krb5_conf = \"/no/krb5.conf\" }\n";
    let report = check(text).report.render(Paint::Plain);
    assert!(report.contains("/no/krb5.conf: there is no such file") && report.contains("shop.toml:4:"), "{report}");
}

#[test]
fn other_mechanisms_have_no_tickets() {
    let text = "[connections.shop]\nkind = \"kafka\"\nbootstrap = [\"localhost:9092\"]\nauth = { mechanism = \"plain\", username = \"etl\", password = \"${env:SECRET}\", keytab = \"/k\" }\n";
    let report = check(text).report.render(Paint::Plain);
    assert!(report.contains("`keytab` does not apply to the mechanism \"plain\""), "{report}");
}
