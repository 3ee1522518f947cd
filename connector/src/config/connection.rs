//! `[connections.NAME]`.

use ottla_protocol::compression::Compression;
use toml::Spanned;
use toml::de::DeValue;

use super::address;
use super::auth::auth;
use super::interpolate;
use super::keys::{self, KindName, Section};
use super::mistake::{Mistake, shown};
use super::model::{
    AckLevel, Auth, Bootstrap, Connection, Exposure, ExpressionError, Jsonl, JsonlPath, Kafka, Kind, OnError,
    REQUEST_BYTES, Role, TopicExpression,
};
use super::nearest::nearest;
use super::read::{Reader, Table, Text};
use super::tls;
use crate::secret::Secret;
use crate::target::partitioning::{PartitionBy, PartitionByError};

const KINDS: [(&str, KindName); 2] = [("kafka", KindName::Kafka), ("jsonl", KindName::Jsonl)];
const ROLES: [(&str, Role); 3] = [("source", Role::Source), ("target", Role::Target), ("both", Role::Both)];
const ON_ERROR: [(&str, OnError); 2] = [("stop", OnError::Stop), ("skip", OnError::Skip)];
const ACKS: [(&str, AckLevel); 4] =
    [("none", AckLevel::None), ("leader", AckLevel::Leader), ("majority", AckLevel::Majority), ("all", AckLevel::All)];
const COMPRESSIONS: [(&str, Compression); 5] = [
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("snappy", Compression::Snappy),
    ("lz4", Compression::Lz4),
    ("zstd", Compression::Zstd),
];

/// The best reading of the words of a key: absent or wrong ones (which leave a mistake behind) become the default.
pub(super) fn word_or<T: Copy>(
    reader: &mut Reader<'_>,
    table: &Table<'_, '_>,
    name: &str,
    meanings: &[(&'static str, T)],
    default: T,
) -> T {
    let value = table.fields.get(name).zip(keys::find(table.section, name));
    value.and_then(|(value, key)| reader.word(key, value, meanings)).unwrap_or(default)
}

/// Reads one connection; `None` if a mistake leaves nothing to go on with.
pub(super) fn read(reader: &mut Reader<'_>, name: &str, mut table: Table<'_, '_>) -> Option<Connection> {
    reader.exposures.clear();
    let stated = table.fields.get("kind").zip(keys::find(Section::Connection, "kind"));
    let kind = stated.and_then(|(value, key)| reader.word(key, value, &KINDS));
    table.kind = kind;
    let meant = reader.check_keys(&table);
    let role = word_or(reader, &table, "role", &ROLES, Role::Both);
    let on_bad_message = word_or(reader, &table, "on_bad_message", &ON_ERROR, OnError::Stop);
    let on_push_error = word_or(reader, &table, "on_push_error", &ON_ERROR, OnError::Stop);
    if stated.is_none() {
        reader.required(&table, "kind", &meant);
    }
    let kind = match kind {
        Some(KindName::Kafka) => kafka(reader, &table, &meant).map(Kind::Kafka),
        Some(KindName::Jsonl) => jsonl(reader, &table, &meant).map(Kind::Jsonl),
        None => {
            // The kind is not known, but what is there can still be checked; nothing is missed.
            let everything: Vec<_> = keys::of(Section::Connection).map(|key| key.name).collect();
            kafka(reader, &table, &everything);
            jsonl(reader, &table, &everything);
            None
        }
    };
    let exposures = std::mem::take(&mut reader.exposures);
    Some(Connection { name: name.to_owned(), role, on_bad_message, on_push_error, kind: kind?, exposures })
}

fn kafka(reader: &mut Reader<'_>, table: &Table<'_, '_>, meant: &[&'static str]) -> Option<Kafka> {
    let acks = word_or(reader, table, "acks", &ACKS, AckLevel::Majority);
    let compression = word_or(reader, table, "compression", &COMPRESSIONS, Compression::Lz4);
    let topics = table.fields.get("topics").map_or(Some(TopicExpression::all()), |value| topics(reader, value));
    let partition_by = table.fields.get("partition_by").map(|value| partition_by(reader, value));
    let max_request_bytes = table.fields.get("max_request_bytes").map(|value| request_bytes(reader, value));
    let bootstrap = reader.required(table, "bootstrap", meant).and_then(|value| bootstrap(reader, value));
    let login = table.fields.get("auth");
    let auth = login.map(|value| auth(reader, value));
    let protection = table.fields.get("tls");
    let tls = protection.map(|value| tls::read(reader, value));
    let embedded = matches!(bootstrap, Some(Bootstrap::Embedded));
    for (value, key, lacks) in [(login, "auth", "no login"), (protection, "tls", "no TLS")] {
        let Some(value) = value.filter(|_| embedded) else { continue };
        let message = format!("the embedded broker takes {lacks}, so `{key}` does not apply");
        let help = format!("leave `{key}` out, or name a real broker in `bootstrap`");
        reader.push(Mistake::error(value.span(), message).help(help));
    }
    if let (Some(login), Some(Some(auth)), None, Some(Bootstrap::Servers(servers))) = (login, &auth, &tls, &bootstrap) {
        warn_of_clear_text(reader, login, auth, servers);
    }
    // A part that is there and wrong leaves no connection.
    let (auth, tls) = (present(auth)?, present(tls)?.map(Box::new));
    let (partition_by, max_request_bytes) = (present(partition_by)?, present(max_request_bytes)?);
    let (bootstrap, topics) = (bootstrap?, topics?);
    Some(Kafka { bootstrap, topics, acks, compression, partition_by, max_request_bytes, auth, tls })
}

/// PLAIN's password and OAUTHBEARER's token travel as they are.
fn warn_of_clear_text(reader: &mut Reader<'_>, login: &Spanned<DeValue<'_>>, auth: &Auth, servers: &[String]) {
    let what = match auth {
        Auth::Plain(_) => "password",
        Auth::OauthBearer(_) => "token",
        Auth::Scram(..) | Auth::Kerberos(_) => return,
    };
    let far = servers.iter().find(|server| address::parse(server).is_ok_and(|address| !address.is_loopback()));
    if let Some(far) = far {
        let problem = format!("the {what} goes to {} unencrypted: anyone on the way can read it", shown(far));
        let help = "add `tls = {}` if the broker has a TLS port, or use scram-sha-512 or kerberos".to_owned();
        reader.expose(login.span(), Exposure { problem, help });
    }
}

/// `None` for what is there and could not be read.
pub(super) fn present<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

/// `partition_by`: a word, or `key:` with a JSON pointer.
fn partition_by(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<PartitionBy> {
    let text = reader.filled_text("partition_by", value)?;
    let error = match text.value.parse::<PartitionBy>() {
        Ok(rule) => return Some(rule),
        Err(error) => error,
    };
    let message = format!("{} is no value of `partition_by`", text.quoted());
    let help = match (&error, nearest(&text.value, PartitionBy::WORDS.iter().copied())) {
        (PartitionByError::Word, Some(near)) => format!("write \"{near}\""),
        _ => error.to_string(),
    };
    reader.push(Mistake::error(text.at, message).help(help));
    None
}

/// `max_request_bytes`: a whole number.
fn request_bytes(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<usize> {
    let DeValue::Integer(number) = value.get_ref() else {
        reader.wrong_type("max_request_bytes", value, "a number of bytes, without quotes");
        return None;
    };
    let bytes =
        usize::from_str_radix(number.as_str(), number.radix()).ok().filter(|bytes| REQUEST_BYTES.contains(bytes));
    if bytes.is_none() {
        let message = format!("{} is no value of `max_request_bytes`", number.as_str());
        let help =
            format!("allowed are {} to {}; the default follows the topic", REQUEST_BYTES.start(), REQUEST_BYTES.end());
        reader.push(Mistake::error(value.span(), message).help(help));
    }
    bytes
}

fn jsonl(reader: &mut Reader<'_>, table: &Table<'_, '_>, meant: &[&'static str]) -> Option<Jsonl> {
    let value = reader.required(table, "path", meant)?;
    let path = reader.filled_text("path", value)?;
    if path.value == "-" {
        return Some(Jsonl { path: JsonlPath::Stdio });
    }
    if path.value.ends_with(['/', '\\']) {
        let message = format!("`path` has to name a file, not the directory {}", path.quoted());
        reader.push(Mistake::error(path.at, message).help("add the file's name"));
        return None;
    }
    Some(Jsonl { path: JsonlPath::File(path.value.into()) })
}

fn bootstrap(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Bootstrap> {
    match value.get_ref() {
        DeValue::String(_) => single_bootstrap(reader, value),
        DeValue::Array(items) if items.is_empty() => {
            reader
                .push(Mistake::error(value.span(), "`bootstrap` is an empty list").help("write [\"localhost:9092\"]"));
            None
        }
        DeValue::Array(items) => {
            let mut servers: Vec<String> = Vec::with_capacity(items.len());
            let mut good = true;
            for item in items {
                match server(reader, item) {
                    Some(server) if !servers.contains(&server) => servers.push(server),
                    Some(_) => reader.push(
                        Mistake::warning(item.span(), "this address is in the list twice")
                            .help("leave one of them out"),
                    ),
                    None => good = false,
                }
            }
            good.then_some(Bootstrap::Servers(servers))
        }
        _ => {
            reader.wrong_type("bootstrap", value, "a list of \"host:port\" or the word \"embedded\"");
            None
        }
    }
}

/// `bootstrap = "…"`: the word `embedded`, else an address that should stand in a list.
fn single_bootstrap(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Bootstrap> {
    let text = reader.filled_text("bootstrap", value)?;
    if text.value == "embedded" {
        return Some(Bootstrap::Embedded);
    }
    let mistake =
        Mistake::error(text.at.clone(), "`bootstrap` has to be a list of \"host:port\" or the word \"embedded\"");
    let items: Vec<_> = text.value.split([',', ';']).map(str::trim).collect();
    let help = if super::nearest::nearest(&text.value, ["embedded"]).is_some() && !text.from_outside {
        "write \"embedded\" for the development broker in this process".to_owned()
    } else if !text.from_outside && items.iter().all(|item| address::parse(item).is_ok()) {
        format!("write [{}]", items.iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", "))
    } else {
        "write [\"localhost:9092\"]".to_owned()
    };
    reader.push(mistake.help(help));
    None
}

fn server(reader: &mut Reader<'_>, item: &Spanned<DeValue<'_>>) -> Option<String> {
    let text = reader.text("an address in `bootstrap`", item)?;
    if text.value == "embedded" {
        reader.push(
            Mistake::error(text.at, "\"embedded\" stands alone, not in a list").help("write bootstrap = \"embedded\""),
        );
        return None;
    }
    match address::parse(&text.value) {
        Ok(address) => Some(address.to_string()),
        Err(error) => {
            let message = format!("the address {} is wrong: {}", text.quoted(), error.problem);
            let help = if text.from_outside { "write `host:port`".to_owned() } else { error.help };
            reader.push(Mistake::error(text.at, message).help(help));
            None
        }
    }
}

fn topics(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<TopicExpression> {
    if value.get_ref().is_array() {
        reader.wrong_type("topics", value, "one regular expression");
        if let Some(mistake) = reader.mistakes.last_mut() {
            mistake.help.push("join several names with `|`: \"orders|items\"".to_owned());
        }
        return None;
    }
    let text = reader.text("topics", value)?;
    match TopicExpression::parse(&text.value) {
        Ok(expression) => {
            reader.mistakes.extend(expression_doubt(&text));
            Some(expression)
        }
        Err(error) => {
            reader.push(expression_mistake(&text, &error));
            None
        }
    }
}

fn expression_mistake(text: &Text, error: &ExpressionError) -> Mistake {
    match error {
        ExpressionError::TooLong { .. } => {
            Mistake::error(text.at.clone(), error.to_string()).help("match by a common beginning: \"orders-.*\"")
        }
        ExpressionError::Syntax { at, .. } => {
            let at = at.map_or(text.at.clone(), |(start, end)| text.part(start..end));
            let message = if text.from_outside {
                "the filled-in topic expression is not a valid regular expression".to_owned()
            } else {
                error.to_string()
            };
            let help = if text.value.starts_with('*') {
                "in a regular expression, \"anything\" is `.*`, not `*`"
            } else {
                "a topic expression is a regular expression; `\\` before a sign takes it literally"
            };
            Mistake::error(at, message).help(help)
        }
    }
}

/// Valid expressions that are most probably not what was meant.
fn expression_doubt(text: &Text) -> Option<Mistake> {
    if text.from_outside {
        return None;
    }
    let value = text.value.as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let star = value.match_indices('*').map(|(at, _)| at);
    let escaped = |at: usize| value[..at].ends_with(plain) && value[..at - 1].ends_with('\\');
    let glob = star.into_iter().find(|&at| value[..at].ends_with(plain) && !escaped(at));
    if let Some(at) = glob.filter(|_| !value.contains(['[', '{', '('])) {
        let letter = value[..at].chars().next_back().unwrap_or_default();
        let message = format!("`{letter}*` means any number of `{letter}`, as in every regular expression");
        let meant = value.replace(".*", "*").replace('*', ".*");
        return Some(
            Mistake::warning(text.part(at - 1..at + 1), message)
                .help(format!("if any ending was meant, write \"{meant}\"")),
        );
    }
    if value.contains(['，', ',']) && !value.contains(['[', '{']) {
        let meant: Vec<_> = value.split([',', '，']).map(str::trim).filter(|part| !part.is_empty()).collect();
        let at = value.find([',', '，']).map_or(0..value.len(), |at| at..at + 1);
        return Some(
            Mistake::warning(text.part(at), "no topic has a comma in its name, so this matches nothing")
                .help(format!("join several names with `|`: \"{}\"", shown(&meant.join("|")))),
        );
    }
    None
}

/// A text that is never shown and should not stand in the file.
pub(super) fn secret(reader: &mut Reader<'_>, name: &str, value: &Spanned<DeValue<'_>>) -> Option<Secret> {
    let clear = value.get_ref().as_str().is_none_or(|text| !interpolate::has_reference(text));
    if clear {
        reader.masks.push(value.span());
    }
    let text = reader.filled_text(name, value)?;
    let spoken = name.replace('_', " ");
    for path in value.get_ref().as_str().map(interpolate::files).unwrap_or_default() {
        reader.check_permissions(&format!("file of the {spoken}"), &path, &text.at);
    }
    if clear {
        let message = format!("the {spoken} stands in the file for everyone who can read it");
        let help = format!("keep it outside: {name} = \"${{env:NAME}}\" or \"${{file:PATH}}\"");
        reader.push(Mistake::warning(text.at, message).help(help));
    }
    Some(Secret::new(text.value))
}

#[cfg(test)]
mod tests {
    use ottla_client::TlsVersion;

    use super::*;

    fn version_name(version: TlsVersion) -> &'static str {
        match version {
            TlsVersion::V1_2 => "1.2",
            TlsVersion::V1_3 => "1.3",
        }
    }

    /// The words of the key table and those that are understood are the same, in both directions.
    #[test]
    fn every_documented_word_is_understood_and_every_understood_word_is_documented() {
        fn same<T>(section: Section, name: &str, meanings: &[(&'static str, T)], name_of: impl Fn(&T) -> &'static str) {
            let documented = keys::find(section, name).unwrap().words;
            assert_eq!(documented, meanings.iter().map(|(word, _)| *word).collect::<Vec<_>>(), "{name}");
            assert_eq!(documented, meanings.iter().map(|(_, meaning)| name_of(meaning)).collect::<Vec<_>>(), "{name}");
        }
        same(Section::Connection, "kind", &KINDS, |kind| kind.name());
        same(Section::Connection, "role", &ROLES, |role| role.name());
        same(Section::Connection, "on_bad_message", &ON_ERROR, |on| on.name());
        same(Section::Connection, "on_push_error", &ON_ERROR, |on| on.name());
        same(Section::Connection, "acks", &ACKS, |acks| acks.name());
        same(Section::Connection, "compression", &COMPRESSIONS, |compression| compression.name());
        same(Section::Tls, "min_version", &tls::VERSIONS, |version| version_name(*version));
        same(Section::Tls, "max_version", &tls::VERSIONS, |version| version_name(*version));
        same(Section::Auth, "mechanism", &crate::config::auth::MECHANISMS, |mechanism| mechanism.name());
    }
}
