//! A Kafka end as a URL: `kafka://host:port[,host:port…]/topic?key=value&…`, with TLS `kafka+tls://…`.

use std::path::Path;
use std::time::SystemTime;

use ottla_client::{Pem, TlsIdentity, TlsOptions, TrustedCa};
use ottla_protocol::compression::Compression;

use super::{Side, mistake};
use crate::config::address;
use crate::config::model::{AckLevel, Exposure, OnError, REQUEST_BYTES};
use crate::config::nearest::nearest;
use crate::config::topics::is_topic_name;
use crate::config::{Environment as _, ProcessEnvironment};
use crate::target::partitioning::PartitionBy;
use crate::task::ClusterSpec;

/// The scheme of a Kafka end.
pub(super) const SCHEME: &str = "kafka://";
/// The scheme of a Kafka end under TLS.
pub(super) const TLS_SCHEME: &str = "kafka+tls://";
/// The keys of an end under TLS. There is none for a secret: the command line is for everybody to read.
const TLS_KEYS: [&str; 4] = ["ca", "cert", "key", "server_name"];

/// What a URL says, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) servers: Vec<String>,
    pub(super) tls: Option<Tls>,
    pub(super) topic: String,
    pub(super) acks: AckLevel,
    pub(super) compression: Compression,
    pub(super) on_bad_message: OnError,
    pub(super) on_push_error: OnError,
    pub(super) partition_by: Option<PartitionBy>,
    pub(super) max_request_bytes: Option<usize>,
}

/// What a URL says of TLS: paths and a name, all of which may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tls {
    pub(super) ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    pub(super) server_name: Option<String>,
}

impl Tls {
    fn set(&mut self, key: &str, value: String) {
        let place = match key {
            "ca" => &mut self.ca,
            "cert" => &mut self.cert,
            "key" => &mut self.key,
            _ => &mut self.server_name,
        };
        *place = Some(value);
    }

    fn options(&self) -> TlsOptions {
        let ca = match self.ca.as_deref() {
            None => TrustedCa::System,
            Some(path) if Path::new(path).is_dir() => TrustedCa::Directory(path.into()),
            Some(path) => TrustedCa::Pem(Pem::file(path)),
        };
        let pair = self.cert.as_ref().zip(self.key.as_ref());
        let identity = pair.map(|(cert, key)| TlsIdentity::new(Pem::file(cert), Pem::file(key)));
        TlsOptions { ca, identity, server_name: self.server_name.clone(), ..TlsOptions::default() }
    }

    /// Reads the files and says what is wrong with them.
    fn check(&self, wrong: &mut impl FnMut(&str, &str)) {
        if self.cert.is_some() != self.key.is_some() {
            return wrong("`cert` and `key` belong together", "give both or neither");
        }
        if let Err(error) = self.options().check(SystemTime::now()) {
            for line in error.to_string().lines() {
                wrong(line, "the keys of TLS are ca, cert, key and server_name; `ottla copy --help` explains them");
            }
        }
    }
}

impl Url {
    /// Which of its secrets others get at. There is one only: a URL has no login.
    pub(super) fn exposure(&self) -> Option<Exposure> {
        let key = self.tls.as_ref()?.key.as_deref()?;
        Exposure::of_file("key", key, ProcessEnvironment.permissions(Path::new(key))?)
    }

    pub(super) fn cluster(&self) -> ClusterSpec {
        let tls = self.tls.as_ref().map(|tls| Box::new(tls.options()));
        ClusterSpec { name: self.servers.join(","), servers: self.servers.clone(), auth: None, tls }
    }
}

/// The part behind the scheme; every mistake in it is noted.
pub(super) fn url(whole: &str, rest: &str, tls: Option<Tls>, side: Side, mistakes: &mut Vec<String>) -> Option<Url> {
    let before = mistakes.len();
    let mut wrong = |problem: &str, help: &str| mistakes.push(mistake(side, &shown(whole), problem, help));
    let rest = match login_end(rest) {
        Some(end) => {
            wrong("it has a login in it", "a login is given in a config file, not on the command line");
            &rest[end..]
        }
        None => rest,
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (servers, topic) = place.split_once('/').unwrap_or((place, ""));
    let servers = check_servers(servers, &mut wrong);
    let topic = percent_decoded(topic);
    if topic.is_empty() {
        wrong("it names no topic", "write kafka://host:port/topic");
    } else if !is_topic_name(&topic) {
        wrong(
            &format!("`{topic}` is no topic name"),
            "a topic's name has letters, digits, `.`, `_` and `-`, at most 249 of them",
        );
    }
    let mut url = Url {
        servers,
        tls,
        topic,
        acks: AckLevel::default(),
        compression: Compression::Lz4,
        on_bad_message: OnError::Stop,
        on_push_error: OnError::Stop,
        partition_by: None,
        max_request_bytes: None,
    };
    check_query(query, side, &mut url, &mut wrong);
    if let Some(tls) = &url.tls {
        tls.check(&mut wrong);
    }
    (mistakes.len() == before).then_some(url)
}

fn check_servers(servers: &str, wrong: &mut impl FnMut(&str, &str)) -> Vec<String> {
    let mut checked = Vec::new();
    for server in servers.split(',') {
        match address::parse(server) {
            Ok(address) => checked.push(address.to_string()),
            Err(error) => wrong(&format!("`{server}` is no address: {}", error.problem), &error.help),
        }
    }
    checked
}

fn check_query(query: &str, side: Side, url: &mut Url, wrong: &mut impl FnMut(&str, &str)) {
    let mut seen: Vec<&str> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let of_tls = TLS_KEYS.contains(&key);
        if of_tls && url.tls.is_none() {
            wrong(&format!("`{key}` is for TLS"), "write kafka+tls:// for TLS, or leave it out");
            continue;
        }
        if !of_tls && !side.keys().contains(&key) {
            unknown_key(key, side, pair.contains('='), wrong);
            continue;
        }
        if seen.contains(&key) {
            wrong(&format!("`{key}` stands in it twice"), "give it once");
            continue;
        }
        seen.push(key);
        let value = percent_decoded(value);
        if let Some(tls) = url.tls.as_mut().filter(|_| of_tls) {
            tls.set(key, value);
            continue;
        }
        if matches!(key, "partition_by" | "max_request_bytes") {
            if let Err(problem) = set_parsed(url, key, &value) {
                wrong(&format!("`{value}` is no value of `{key}`"), &problem);
            }
            continue;
        }
        let known = match key {
            "acks" => set(&mut url.acks, &value, &ACKS, AckLevel::name),
            "compression" => set(&mut url.compression, &value, &CODECS, Compression::name),
            "on_bad_message" => set(&mut url.on_bad_message, &value, &POLICIES, OnError::name),
            _ => set(&mut url.on_push_error, &value, &POLICIES, OnError::name),
        };
        if let Err(words) = known {
            let help = match nearest(&value, words.iter().copied()) {
                Some(near) => format!("write {key}={near}"),
                None => format!("it is one of {}", words.join(", ")),
            };
            wrong(&format!("`{value}` is no value of `{key}`"), &help);
        }
    }
}

const ACKS: [AckLevel; 4] = [AckLevel::None, AckLevel::Leader, AckLevel::Majority, AckLevel::All];
const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const POLICIES: [OnError; 2] = [OnError::Stop, OnError::Skip];

/// Takes a value that is no word of a list, or says what it has to be.
fn set_parsed(url: &mut Url, key: &str, value: &str) -> Result<(), String> {
    if key == "partition_by" {
        let rule = value.parse::<PartitionBy>().map_err(|error| error.to_string())?;
        url.partition_by = Some(rule);
        return Ok(());
    }
    let allowed = || format!("it is a number of bytes from {} to {}", REQUEST_BYTES.start(), REQUEST_BYTES.end());
    let bytes = value.parse::<usize>().ok().filter(|bytes| REQUEST_BYTES.contains(bytes)).ok_or_else(allowed)?;
    url.max_request_bytes = Some(bytes);
    Ok(())
}

/// Takes the value of that name, or gives all names there are.
fn set<T: Copy>(
    place: &mut T,
    name: &str,
    values: &[T],
    name_of: impl Fn(T) -> &'static str,
) -> Result<(), Vec<&'static str>> {
    match values.iter().find(|value| name_of(**value) == name) {
        Some(value) => {
            *place = *value;
            Ok(())
        }
        None => Err(values.iter().map(|value| name_of(*value)).collect()),
    }
}

/// `spelled_out`: it stands before a `=`. Else it may be a secret.
fn unknown_key(key: &str, side: Side, spelled_out: bool, wrong: &mut impl FnMut(&str, &str)) {
    let other = if side == Side::Source { Side::Target } else { Side::Source };
    let help = match nearest(key, side.keys().iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if other.keys().contains(&key) => format!("it belongs to {}", other.name()),
        None => format!("the keys of {} are {}", side.name(), side.keys().join(", ")),
    };
    let shown = shown_pair(key);
    wrong(&format!("the key `{}` is not known here", if spelled_out { key } else { &shown }), &help);
}

/// `%41` as `A`; what is no escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escape = after.first_chunk::<2>().filter(|_| first == b'%');
        let decoded = escape.and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        bytes.push(decoded.unwrap_or(first));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// What stands for a part of a URL that may be a secret.
const HIDDEN: &str = "[redacted]";

/// The URL as an error may show it: without a login, and without the values of keys that no URL has. A password may have any
/// character in it, so all up to the last `@` is the login.
pub(in crate::cli) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (login, rest) = match login_end(rest) {
        Some(end) => (format!("{HIDDEN}@"), &rest[end..]),
        None => (String::new(), rest),
    };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let pairs = query.map(|query| query.split('&').map(shown_pair).collect::<Vec<_>>().join("&"));
    let query = pairs.map_or(String::new(), |pairs| format!("?{pairs}"));
    format!("{scheme}://{login}{place}{query}")
}

fn shown_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((key, _)) if !is_key(key) => format!("{key}={HIDDEN}"),
        // A key of its own accord: `?hunter2`.
        None if !pair.is_empty() && !is_key(pair) => HIDDEN.to_owned(),
        _ => pair.to_owned(),
    }
}

fn is_key(key: &str) -> bool {
    [Side::Source, Side::Target].iter().any(|side| side.keys().contains(&key)) || TLS_KEYS.contains(&key)
}

/// Where the login of a URL ends, its `@` included. The value of a key, such as a path, may have an `@` too.
fn login_end(rest: &str) -> Option<usize> {
    let end = rest.rfind('@')? + 1;
    let before = rest[..end].split_once('?').map(|(_, query)| query.rsplit('&').next().unwrap_or_default());
    let in_value = before.and_then(|pair| pair.split_once('=')).is_some_and(|(key, _)| is_key(key));
    if in_value { login_end(&rest[..end - 1]) } else { Some(end) }
}
