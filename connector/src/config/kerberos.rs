//! `auth` with the mechanism `kerberos`. The files are read here, so that what is wrong with them is said at the key that
//! names them; no KDC is asked.

use std::path::PathBuf;

use ottla_client::{KerberosOptions, KerberosSetting};
use toml::Spanned;
use toml::de::DeValue;

use super::auth::{TOKENS, out_of_place};
use super::connection::secret;
use super::mistake::{Mistake, printable};
use super::model::Mechanism;
use super::read::{Reader, Table};
use crate::secret::Secret;

/// What stands before the content of a file, in contrast to its path.
const INLINE: &str = "base64:";
/// The keytab or credential cache that Kerberos's own programs use by themselves.
const DEFAULT: &str = "default";

/// A login by tickets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kerberos {
    /// What gets the tickets.
    pub credential: KerberosCredential,
    /// As whom; `None` for the only one in the keytab, or the cache's owner.
    pub principal: Option<String>,
    /// Where KDCs are; `None` for the system's file.
    pub krb5_conf: Option<Krb5Conf>,
    /// The first part of the brokers' principals; `None` for Kafka's own default, `kafka`.
    pub service_name: Option<String>,
    /// Their realm; `None` to find it out.
    pub service_realm: Option<String>,
    /// Their host; `None` for each one's own.
    pub service_host: Option<String>,
}

/// What gets tickets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KerberosCredential {
    /// A keytab's path.
    Keytab(PathBuf),
    /// The keytab that environment and krb5.conf say.
    DefaultKeytab,
    /// A keytab's content in base64.
    InlineKeytab(Secret),
    /// A password.
    Password(Secret),
    /// The tickets that `kinit` left, in the cache of this name; `None` for the default one.
    Cache(Option<String>),
}

/// A krb5.conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Krb5Conf {
    /// Its path.
    File(PathBuf),
    /// Its text.
    Text(String),
    /// Its text in base64.
    Base64(String),
}

impl Kerberos {
    /// As the client takes it.
    pub(crate) fn options(&self) -> KerberosOptions {
        let principal = self.principal.as_deref();
        let options = match &self.credential {
            KerberosCredential::Keytab(path) => KerberosOptions::keytab(path),
            KerberosCredential::DefaultKeytab => KerberosOptions::default_keytab(),
            KerberosCredential::InlineKeytab(text) => KerberosOptions::keytab_base64(text.expose()),
            KerberosCredential::Password(password) => {
                KerberosOptions::password(principal.unwrap_or_default(), password.expose())
            }
            KerberosCredential::Cache(name) => KerberosOptions::credential_cache(name.as_deref()),
        };
        let options = principal.into_iter().fold(options, KerberosOptions::principal);
        let options = self.service_name.as_deref().into_iter().fold(options, KerberosOptions::service_name);
        let options = self.service_realm.as_deref().into_iter().fold(options, KerberosOptions::service_realm);
        let options = self.service_host.as_deref().into_iter().fold(options, KerberosOptions::service_host);
        match &self.krb5_conf {
            None => options,
            Some(Krb5Conf::File(path)) => options.krb5_conf(path),
            Some(Krb5Conf::Text(text)) => options.krb5_conf_text(text),
            Some(Krb5Conf::Base64(text)) => options.krb5_conf_base64(text),
        }
    }

    pub(super) fn who(&self) -> String {
        match (&self.principal, &self.credential) {
            (Some(principal), _) => format!("as {principal}"),
            (None, KerberosCredential::Keytab(path)) => format!("as the principal in {}", path.display()),
            (None, KerberosCredential::DefaultKeytab) => "as the principal in the default keytab".to_owned(),
            (None, KerberosCredential::Cache(Some(name))) => format!("with the tickets in {name}"),
            (None, KerberosCredential::Cache(None)) => "with the tickets of kinit".to_owned(),
            (None, _) => "as the principal in the inline keytab".to_owned(),
        }
    }
}

/// Reads the table; `None` if a mistake leaves nothing to go on with.
pub(super) fn read(reader: &mut Reader<'_>, table: &Table<'_, '_>, meant: &[&'static str]) -> Option<Kerberos> {
    let before = reader.errors();
    out_of_place(reader, table, Mechanism::Kerberos, TOKENS);
    out_of_place(reader, table, Mechanism::Kerberos, &["username"]);
    let credential = credential(reader, table, meant);
    let needs_principal = matches!(credential, Some(KerberosCredential::Password(_)));
    if needs_principal {
        reader.required(table, "principal", &[]);
    }
    let kerberos = Kerberos {
        principal: text(reader, table, "principal"),
        krb5_conf: text(reader, table, "krb5_conf").map(krb5_conf),
        service_name: text(reader, table, "service_name"),
        service_realm: text(reader, table, "service_realm"),
        service_host: text(reader, table, "service_host"),
        credential: credential?,
    };
    // What is not there yet cannot be judged as a whole.
    (reader.errors() == before && try_out(reader, table, &kerberos)).then_some(kerberos)
}

fn text(reader: &mut Reader<'_>, table: &Table<'_, '_>, name: &'static str) -> Option<String> {
    let value = table.fields.get(name)?;
    reader.filled_text(name, value).map(|text| text.value)
}

fn krb5_conf(text: String) -> Krb5Conf {
    match text.strip_prefix(INLINE) {
        Some(encoded) => Krb5Conf::Base64(encoded.to_owned()),
        None if text.contains('\n') => Krb5Conf::Text(text),
        None => Krb5Conf::File(text.into()),
    }
}

/// One of the three, and no other beside it.
fn credential(reader: &mut Reader<'_>, table: &Table<'_, '_>, meant: &[&'static str]) -> Option<KerberosCredential> {
    const THREE: [&str; 3] = ["keytab", "password", "ccache"];
    let there: Vec<_> = THREE.into_iter().filter_map(|name| Some((name, table.fields.get(name)?))).collect();
    match there.as_slice() {
        [("keytab", value)] => keytab(reader, value),
        [("password", value)] => secret(reader, "password", value).map(KerberosCredential::Password),
        [(_, value)] => {
            let name = reader.filled_text("ccache", value)?.value;
            reader.check_permissions("credential cache", name.strip_prefix("FILE:").unwrap_or(&name), &value.span());
            Some(KerberosCredential::Cache(Some(name).filter(|name| name != DEFAULT)))
        }
        [] => {
            if !THREE.iter().any(|name| meant.contains(name)) {
                let message = "there is nothing to get a ticket with";
                let help = "add `keytab = \"/etc/security/etl.keytab\"`, `password`, or `ccache = \"default\"` for the tickets of kinit";
                reader.push(Mistake::absence(table.at.clone(), message).help(help));
            }
            None
        }
        [(first, _), rest @ ..] => {
            for (name, value) in rest {
                reader.masks.push(value.span());
                let message = format!("`{name}` does not apply beside `{first}`");
                reader.push(Mistake::error(value.span(), message).help("leave one of the two out"));
            }
            None
        }
    }
}

/// A path can be shown, a key cannot.
fn keytab(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<KerberosCredential> {
    if value.get_ref().as_str().is_some_and(|text| text.starts_with(INLINE)) {
        let text = secret(reader, "keytab", value)?;
        let encoded = text.expose().strip_prefix(INLINE).unwrap_or_default();
        return Some(KerberosCredential::InlineKeytab(Secret::new(encoded)));
    }
    let name = reader.filled_text("keytab", value)?.value;
    if name != DEFAULT {
        reader.check_permissions("keytab", &name, &value.span());
    }
    Some(if name == DEFAULT { KerberosCredential::DefaultKeytab } else { KerberosCredential::Keytab(name.into()) })
}

/// Reads the files. What is wrong is said at the key it is about.
fn try_out(reader: &mut Reader<'_>, table: &Table<'_, '_>, kerberos: &Kerberos) -> bool {
    let Err(mistake) = kerberos.options().check() else { return true };
    let key = match mistake.setting {
        KerberosSetting::Krb5Conf => "krb5_conf",
        KerberosSetting::Keytab => "keytab",
        KerberosSetting::Password => "password",
        KerberosSetting::Cache => "ccache",
        KerberosSetting::Principal => "principal",
        _ => "mechanism",
    };
    let at = table.fields.get(key).map_or(table.at.clone(), Spanned::span);
    let message: String = mistake.problem.chars().map(printable).collect();
    reader.push(Mistake::error(at, message).help(help(mistake.setting)));
    false
}

fn help(setting: KerberosSetting) -> &'static str {
    match setting {
        KerberosSetting::Krb5Conf => "give the path of a krb5.conf, or its text after `base64:`",
        KerberosSetting::Keytab => {
            "give the path of a keytab that this user can read, or `default`; `klist -k PATH` shows what is in it"
        }
        KerberosSetting::Cache => "give a path, `FILE:PATH` or `default`",
        KerberosSetting::Principal => "write `NAME@REALM` as `klist` shows it; upper and lower case differ",
        _ => "see `ottla check --keys`",
    }
}
