//! `auth = { … }` of a Kafka connection: the login.

use ottla_client::{ScramHash, TokenEndpoint};
use toml::Spanned;
use toml::de::DeValue;

use super::connection::{present, secret};
use super::kerberos;
use super::keys::{self, Section};
use super::mistake::Mistake;
use super::model::{Account, Auth, Mechanism, Oauth, TokenSource};
use super::read::{Reader, Table, Text};
use super::tls;

pub(super) const MECHANISMS: [(&str, Mechanism); 5] = [
    ("plain", Mechanism::Plain),
    ("scram-sha-256", Mechanism::ScramSha256),
    ("scram-sha-512", Mechanism::ScramSha512),
    ("oauthbearer", Mechanism::OauthBearer),
    ("kerberos", Mechanism::Kerberos),
];

/// The keys of user and password.
const ACCOUNT: &[&str] = &["username", "password"];
/// The keys of tickets, apart from the password.
pub(super) const TICKETS: &[&str] =
    &["principal", "keytab", "ccache", "krb5_conf", "service_name", "service_realm", "service_host"];
/// The keys of tokens.
pub(super) const TOKENS: &[&str] =
    &["token_file", "token_endpoint", "token_endpoint_ca", "client_id", "client_secret", "scope", "extensions"];

/// Those of them that mean nothing without `token_endpoint`.
const OF_ENDPOINTS: &[&str] = &["token_endpoint_ca", "client_id", "client_secret", "scope"];

pub(super) fn auth(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Auth> {
    let fields = reader.table("auth", value)?;
    let table = Table { section: Section::Auth, at: value.span(), fields, kind: None };
    let meant = reader.check_keys(&table);
    let key = keys::find(Section::Auth, "mechanism");
    let mechanism = reader.required(&table, "mechanism", &meant).zip(key);
    let mechanism = mechanism.and_then(|(value, key)| reader.word(key, value, &MECHANISMS));
    match mechanism {
        Some(Mechanism::Plain) => account(reader, &table, &meant, Mechanism::Plain).map(Auth::Plain),
        Some(mechanism @ Mechanism::ScramSha256) => {
            account(reader, &table, &meant, mechanism).map(|account| Auth::Scram(ScramHash::Sha256, account))
        }
        Some(mechanism @ Mechanism::ScramSha512) => {
            account(reader, &table, &meant, mechanism).map(|account| Auth::Scram(ScramHash::Sha512, account))
        }
        Some(Mechanism::OauthBearer) => oauth(reader, &table, &meant).map(|oauth| Auth::OauthBearer(Box::new(oauth))),
        Some(Mechanism::Kerberos) => kerberos::read(reader, &table, &meant).map(|it| Auth::Kerberos(Box::new(it))),
        None => {
            // The mechanism is not known, but what is there can still be checked.
            for (name, value) in fields {
                match name.get_ref().as_ref() {
                    name @ ("password" | "client_secret") => drop(secret(reader, name, value)),
                    name if ACCOUNT.contains(&name) => drop(reader.filled_text(name, value)),
                    _ => {}
                }
            }
            if !TOKENS.iter().chain(TICKETS).any(|name| fields.contains_key(*name)) {
                for name in ACCOUNT {
                    reader.required(&table, name, &meant);
                }
            }
            None
        }
    }
}

fn account(
    reader: &mut Reader<'_>,
    table: &Table<'_, '_>,
    meant: &[&'static str],
    mechanism: Mechanism,
) -> Option<Account> {
    out_of_place(reader, table, mechanism, TOKENS);
    out_of_place(reader, table, mechanism, TICKETS);
    let username = reader.required(table, "username", meant);
    let username = username.and_then(|value| reader.filled_text("username", value));
    let password = reader.required(table, "password", meant);
    let password = password.and_then(|value| secret(reader, "password", value));
    Some(Account { username: username?.value, password: password? })
}

fn oauth(reader: &mut Reader<'_>, table: &Table<'_, '_>, meant: &[&'static str]) -> Option<Oauth> {
    out_of_place(reader, table, Mechanism::OauthBearer, ACCOUNT);
    out_of_place(reader, table, Mechanism::OauthBearer, TICKETS);
    let extensions = table.fields.get("extensions").map_or(Some(Vec::new()), |value| extensions(reader, value));
    let source = match (table.fields.get("token_file"), table.fields.get("token_endpoint")) {
        (Some(file), None) => {
            out_of_place_beside(reader, table, "token_file", OF_ENDPOINTS);
            let path = reader.filled_text("token_file", file);
            if let Some(path) = &path {
                reader.check_permissions("token file", &path.value, &path.at);
            }
            path.map(|path| TokenSource::File(path.value.into()))
        }
        (None, Some(endpoint)) => token_endpoint(reader, table, meant, endpoint),
        (Some(_), Some(endpoint)) => {
            let message = "`token_endpoint` and `token_file` are two places for one token";
            reader.push(Mistake::error(endpoint.span(), message).help("leave one of them out"));
            None
        }
        (None, None) => {
            if !meant.contains(&"token_file") && !meant.contains(&"token_endpoint") {
                let message = "there is nowhere to get a token from";
                let help = "add `token_file = \"/run/secrets/kafka-token\"`, or `token_endpoint` with `client_id` and `client_secret`";
                reader.push(Mistake::absence(table.at.clone(), message).help(help));
            }
            None
        }
    };
    let oauth = Oauth { source: source?, extensions: extensions? };
    if let Some(problem) = oauth.options().problem() {
        let place = table.fields.get("extensions").or(table.fields.get("token_endpoint"));
        let at = place.map_or(table.at.clone(), Spanned::span);
        reader.push(Mistake::error(at, problem));
        return None;
    }
    Some(oauth)
}

fn token_endpoint(
    reader: &mut Reader<'_>,
    table: &Table<'_, '_>,
    meant: &[&'static str],
    value: &Spanned<DeValue<'_>>,
) -> Option<TokenSource> {
    let url = reader.filled_text("token_endpoint", value).and_then(|url| checked_url(reader, url));
    let ca = table.fields.get("token_endpoint_ca");
    let ca = ca.map(|value| endpoint_ca(reader, value, url.as_deref()));
    let client_id = reader.required(table, "client_id", meant);
    let client_id = client_id.and_then(|value| reader.filled_text("client_id", value));
    let client_secret = reader.required(table, "client_secret", meant);
    let client_secret = client_secret.and_then(|value| secret(reader, "client_secret", value));
    let scope = table.fields.get("scope").map(|value| reader.filled_text("scope", value));
    let scope = present(scope)?.map(|text| text.value);
    let (client_id, client_secret) = (client_id?.value, client_secret?);
    Some(TokenSource::Endpoint { url: url?, ca: present(ca)?, client_id, client_secret, scope })
}

/// The authorities that the endpoint is believed by, which are read to see whether they are some.
fn endpoint_ca(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>, url: Option<&str>) -> Option<String> {
    let ca = reader.filled_text("token_endpoint_ca", value)?;
    if url.is_some_and(|url| url.starts_with("http://")) {
        let message = "`token_endpoint_ca` does not apply to a `token_endpoint` without TLS";
        reader.push(Mistake::error(ca.at, message).help("leave it out, or write https:// if the endpoint has it"));
        return None;
    }
    tls::try_ca(reader, &ca.value, &ca.at).then_some(ca.value)
}

fn checked_url(reader: &mut Reader<'_>, url: Text) -> Option<String> {
    const FORM: &str = "write \"https://HOST/PATH\"";
    let rest = url.value.strip_prefix("https://").or_else(|| url.value.strip_prefix("http://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty() && !rest.starts_with('/')) else {
        let message = format!("`token_endpoint` has to be a URL, not {}", url.quoted());
        reader.push(Mistake::error(url.at, message).help(FORM));
        return None;
    };
    if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
        reader.masks.push(url.at.clone());
        let message = "`token_endpoint` has a login in it";
        reader.push(Mistake::error(url.at, message).help("use `client_id` and `client_secret`"));
        return None;
    }
    if TokenEndpoint::new(&url.value, "", "").is_exposed() {
        let message = "the client's secret and the token go to `token_endpoint` unencrypted";
        reader.push(Mistake::warning(url.at.clone(), message).help("write https:// if the endpoint has it"));
    }
    Some(url.value)
}

fn extensions(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Vec<(String, String)>> {
    let table = reader.table("extensions", value)?;
    let mut out = Vec::with_capacity(table.len());
    let mut good = true;
    for (name, value) in table {
        match reader.filled_text("a value in `extensions`", value) {
            Some(text) => out.push((name.get_ref().to_string(), text.value)),
            None => good = false,
        }
    }
    good.then_some(out)
}

/// Keys of other mechanisms.
pub(super) fn out_of_place(reader: &mut Reader<'_>, table: &Table<'_, '_>, mechanism: Mechanism, others: &[&str]) {
    for (name, value) in table.fields {
        if others.contains(&name.get_ref().as_ref()) {
            reader.masks.push(value.span());
            let message = format!("`{}` does not apply to the mechanism \"{}\"", name.get_ref(), mechanism.name());
            reader.push(Mistake::error(name.span(), message).help("leave it out, or choose another `mechanism`"));
        }
    }
}

/// Keys that mean nothing beside another.
fn out_of_place_beside(reader: &mut Reader<'_>, table: &Table<'_, '_>, beside: &str, others: &[&str]) {
    for (name, value) in table.fields {
        if others.contains(&name.get_ref().as_ref()) {
            reader.masks.push(value.span());
            let message = format!("`{}` does not apply beside `{beside}`", name.get_ref());
            reader.push(Mistake::error(name.span(), message).help("leave one of the two out"));
        }
    }
}
