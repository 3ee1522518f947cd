//! `tls` of a connection: which certificates are believed and shown. The files are read here and put together as a
//! connection would do it, without opening one.

use std::ops::Range;
use std::time::SystemTime;

use ottla_client::{Error, Pem, TlsIdentity, TlsOptions, TlsVersion, TrustedCa};
use toml::Spanned;
use toml::de::DeValue;

use super::connection::{secret, word_or};
use super::interpolate;
use super::keys::Section;
use super::mistake::{Mistake, printable};
use super::read::{Reader, Table};

pub(super) const VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];

/// Where PEM text begins, in contrast to a path.
const BEGIN: &str = "-----BEGIN ";

/// Reads the table; `None` if a mistake leaves nothing to go on with.
pub(super) fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<TlsOptions> {
    let Some(fields) = value.get_ref().as_table() else {
        reader.wrong_type("tls", value, "a table");
        if let Some(mistake) = reader.mistakes.last_mut() {
            mistake.help.push("write tls = {} to trust the system's authorities".to_owned());
        }
        return None;
    };
    let table = Table { section: Section::Tls, at: value.span(), fields, kind: None };
    let before = reader.errors();
    reader.check_keys(&table);
    let options = TlsOptions {
        ca: ca(reader, &table),
        identity: identity(reader, &table),
        server_name: text(reader, &table, "server_name"),
        min_version: word_or(reader, &table, "min_version", &VERSIONS, TlsVersion::V1_2),
        max_version: word_or(reader, &table, "max_version", &VERSIONS, TlsVersion::V1_3),
        insecure_skip_verification: skip_verification(reader, &table),
    };
    // What is not there yet cannot be judged as a whole.
    (reader.errors() == before && try_out(reader, &table, &options)).then_some(options)
}

fn text(reader: &mut Reader<'_>, table: &Table<'_, '_>, name: &'static str) -> Option<String> {
    let value = table.fields.get(name)?;
    reader.filled_text(name, value).map(|text| text.value)
}

fn ca(reader: &mut Reader<'_>, table: &Table<'_, '_>) -> TrustedCa {
    text(reader, table, "ca").as_deref().map(trusted).unwrap_or_default()
}

/// Authorities as a file names them: a PEM file, a directory of them, or the PEM text itself.
pub fn trusted(ca: &str) -> TrustedCa {
    if std::fs::metadata(ca).is_ok_and(|found| found.is_dir()) {
        return TrustedCa::Directory(ca.into());
    }
    TrustedCa::Pem(pem(ca.to_owned()))
}

/// Reads authorities that stand apart from a connection's `tls`. What is wrong is said at `at`.
pub(super) fn try_ca(reader: &mut Reader<'_>, ca: &str, at: &Range<usize>) -> bool {
    let options = TlsOptions { ca: trusted(ca), ..TlsOptions::default() };
    tell(reader, options.check(SystemTime::now()), at)
}

/// Says what a check came to; whether it was good.
fn tell(reader: &mut Reader<'_>, checked: Result<Vec<String>, Error>, at: &Range<usize>) -> bool {
    let good = checked.is_ok();
    let text = match checked {
        Ok(soon) => soon.join("\n"),
        Err(error) => error.to_string(),
    };
    for line in text.lines() {
        let (at, line) = (at.clone(), whole(line));
        reader.push(if good { Mistake::warning(at, line) } else { Mistake::error(at, line) });
    }
    good
}

fn pem(text: String) -> Pem {
    if text.contains(BEGIN) { Pem::text(text) } else { Pem::file(text) }
}

/// `cert` and `key` belong together.
fn identity(reader: &mut Reader<'_>, table: &Table<'_, '_>) -> Option<TlsIdentity> {
    let certificate = text(reader, table, "cert");
    let key = table.fields.get("key").and_then(|value| key(reader, value));
    let password = table.fields.get("key_password").and_then(|value| secret(reader, "key_password", value));
    for (name, other) in [("cert", "key"), ("key", "cert"), ("key_password", "key")] {
        if let Some((at, _)) = table.fields.get_key_value(name).filter(|_| !table.fields.contains_key(other)) {
            let message = format!("`{name}` stands without `{other}`");
            reader.push(Mistake::error(at.span(), message).help(format!("add `{other}`, or leave `{name}` out")));
        }
    }
    let identity = TlsIdentity::new(pem(certificate?), key?);
    Some(match password {
        Some(password) => identity.key_password(password.expose()),
        None => identity,
    })
}

/// A path can be shown, a key cannot.
fn key(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Pem> {
    let inline = value.get_ref().as_str().is_some_and(|text| text.contains(BEGIN));
    if inline {
        return secret(reader, "key", value).map(|key| Pem::text(key.expose()));
    }
    let text = reader.filled_text("key", value)?;
    let references = value.get_ref().as_str().map(interpolate::files).unwrap_or_default();
    if text.value.contains(BEGIN) {
        for path in &references {
            reader.check_permissions("file of the key", path, &text.at);
        }
    } else {
        reader.check_permissions("key", &text.value, &text.at);
    }
    Some(pem(text.value))
}

fn skip_verification(reader: &mut Reader<'_>, table: &Table<'_, '_>) -> bool {
    const NAME: &str = "insecure_skip_verification";
    let skip = reader.flag(table, NAME);
    if let Some(value) = table.fields.get(NAME).filter(|_| skip) {
        let message = "brokers' certificates are not verified: anyone on the way can read and change everything";
        reader.push(Mistake::warning(value.span(), message).help("give the CA in `ca` instead"));
    }
    skip
}

/// Reads the files. What is wrong is said at the key it is about.
fn try_out(reader: &mut Reader<'_>, table: &Table<'_, '_>, options: &TlsOptions) -> bool {
    let now = SystemTime::now();
    let without_identity = TlsOptions { identity: None, ..options.clone() };
    let (key, checked) = match without_identity.check(now) {
        Ok(_) => ("cert", options.check(now)),
        Err(error) => ("ca", Err(error)),
    };
    let at = table.fields.get(key).filter(|_| checked.is_err()).map_or(table.at.clone(), Spanned::span);
    tell(reader, checked, &at)
}

/// A message with a path in it, which may be long and must not be cut.
fn whole(text: &str) -> String {
    text.chars().map(printable).collect()
}
