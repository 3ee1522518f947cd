//! A Kafka end as a URL: `kafka://host:port[,host:port…]/topic?key=value&…`, with TLS `kafka+tls://…`.

use std::path::Path;
use std::time::SystemTime;

use ottla_client::{Pem, TlsIdentity, TlsOptions, TrustedCa};
use ottla_protocol::compression::Compression;

use super::{Side, mistake};
use crate::config::address;
use crate::config::model::{AckLevel, OnError, REQUEST_BYTES};
use crate::config::nearest::nearest;
use crate::config::topics::is_topic_name;
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
    pub(super) fn cluster(&self) -> ClusterSpec {
        let tls = self.tls.as_ref().map(|tls| Box::new(tls.options()));
        ClusterSpec { name: self.servers.join(","), servers: self.servers.clone(), auth: None, tls }
    }
}

/// The part behind the scheme; every mistake in it is noted.
pub(super) fn url(whole: &str, rest: &str, tls: Option<Tls>, side: Side, mistakes: &mut Vec<String>) -> Option<Url> {
    let before = mistakes.len();
    let mut wrong = |problem: &str, help: &str| mistakes.push(mistake(side, &without_login(whole), problem, help));
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
    if let Some((_, bare)) = servers.rsplit_once('@') {
        wrong("it has a login in it", "a login is given in a config file, not on the command line");
        return check_servers(bare, wrong);
    }
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
            unknown_key(key, side, wrong);
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

fn unknown_key(key: &str, side: Side, wrong: &mut impl FnMut(&str, &str)) {
    let other = if side == Side::Source { Side::Target } else { Side::Source };
    let help = match nearest(key, side.keys().iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if other.keys().contains(&key) => format!("it belongs to {}", other.name()),
        None => format!("the keys of {} are {}", side.name(), side.keys().join(", ")),
    };
    wrong(&format!("the key `{key}` is not known here"), &help);
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

/// The URL as an error may show it: a login in it stays hidden.
fn without_login(url: &str) -> String {
    let found = [SCHEME, TLS_SCHEME].into_iter().find_map(|scheme| Some((scheme, url.strip_prefix(scheme)?)));
    let Some((scheme, rest)) = found else { return url.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}[redacted]{}", &rest[at..]),
        None => url.to_owned(),
    }
}
