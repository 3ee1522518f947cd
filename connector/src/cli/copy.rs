//! `ottla copy SOURCE TARGET`: moves records once, without a config file and without a trace in the source.
//!
//! An end is a path, `-`, or `kafka://host:port[,host:port…]/topic?key=value&…`, with TLS `kafka+tls://…`. A Kafka source is read from its earliest
//! offset to the end as it was at the start; no group is used and nothing is committed. A copy that was interrupted is
//! not whole, so it ends with 130 or 143 after it has drained.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use ottla_client::{Pem, TlsIdentity, TlsOptions, TrustedCa};
use ottla_protocol::compression::Compression;

use super::run::Signals;
use crate::config::address;
use crate::config::model::{AckLevel, JsonlPath, OnError};
use crate::config::nearest::nearest;
use crate::config::topics::is_topic_name;
use crate::exit::{Exit, Failure};
use crate::progress::{Console, summary};
use crate::source::jsonl::Input;
use crate::source::kafka::Selection;
use crate::target::jsonl::Existing;
use crate::target::kafka::Naming;
use crate::task::{
    self, ClusterSpec, Ending, Job, JsonlTo, KafkaFrom, KafkaTo, LinesFrom, SourceSpec, TargetSpec, Timing,
};

/// The scheme of a Kafka end.
const SCHEME: &str = "kafka://";
/// The scheme of a Kafka end under TLS.
const TLS_SCHEME: &str = "kafka+tls://";
/// The keys of an end under TLS. There is none for a secret: the command line is for everybody to read.
const TLS_KEYS: [&str; 4] = ["ca", "cert", "key", "server_name"];

/// Arguments of `ottla copy`.
#[derive(Debug, Args)]
#[command(after_help = "SOURCE and TARGET: a file of JSON objects, one a line; `-` for standard input or output; or\n\
    kafka://host:port[,host:port...]/topic[?key=value&...]\n\
    kafka+tls://host:port[,host:port...]/topic[?key=value&...] for TLS\n\n\
    Keys of a source: on_bad_message=stop|skip\n\
    Keys of a target: acks=none|leader|majority|all, compression=none|gzip|snappy|lz4|zstd, on_push_error=stop|skip\n\
    Keys of kafka+tls: ca=PATH (a PEM file or a directory; without it the system's authorities), cert=PATH and key=PATH of a \
    client certificate, server_name=NAME. What needs a password goes into a config file.")]
pub struct CopyArgs {
    /// Where records come from.
    source: String,
    /// Where they go.
    target: String,
    /// Write behind what a target file holds.
    #[arg(long, conflicts_with = "overwrite")]
    append: bool,
    /// Replace a target file.
    #[arg(long)]
    overwrite: bool,
    /// Pass lines and messages that are not JSON objects, instead of stopping at the first one.
    #[arg(long)]
    skip_bad: bool,
}

/// Copies to the end.
pub async fn run(args: CopyArgs) -> Result<Exit, Failure> {
    let job = job(&args)?;
    let signals = Signals::watch()?;
    let console = Console::stderr();
    let ticker = console.tick();
    let outcome = task::run(job, console.clone(), signals.shutdown()).await;
    drop(ticker);
    console.clear();
    console.say(&summary(outcome.counts, outcome.elapsed));
    match outcome.result? {
        Ending::Complete => Ok(Exit::Ok),
        Ending::Interrupted => Ok(signals.first().unwrap_or(Exit::Interrupted)),
    }
}

/// One end of a copy, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Path(JsonlPath),
    Kafka(Url),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Url {
    servers: Vec<String>,
    tls: Option<Tls>,
    topic: String,
    acks: AckLevel,
    compression: Compression,
    on_bad_message: OnError,
    on_push_error: OnError,
}

/// What a URL says of TLS: paths and a name, all of which may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Tls {
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    server_name: Option<String>,
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

/// Which end of the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Source => "SOURCE",
            Self::Target => "TARGET",
        }
    }

    /// The keys that mean something at this end.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Source => &["on_bad_message"],
            Self::Target => &["acks", "compression", "on_push_error"],
        }
    }
}

/// The whole copy, or all that is wrong with both ends.
fn job(args: &CopyArgs) -> Result<Job, Failure> {
    let mut mistakes = Vec::new();
    let source = place(&args.source, Side::Source, &mut mistakes);
    let target = place(&args.target, Side::Target, &mut mistakes);
    let (Some(source), Some(target)) = (source, target) else { return Err(refused(&mistakes)) };
    if !mistakes.is_empty() {
        return Err(refused(&mistakes));
    }
    refuse_loop(&source, &target)?;
    let bad = if args.skip_bad { Some(OnError::Skip) } else { None };
    let existing = match (args.append, args.overwrite) {
        (true, _) => Existing::Append,
        (_, true) => Existing::Overwrite,
        _ => Existing::Refuse,
    };
    Ok(Job {
        name: "copy".to_owned(),
        source: source_spec(source, bad),
        target: target_spec(target, existing),
        timing: Timing::default(),
    })
}

fn refused(mistakes: &[String]) -> Failure {
    Failure::report(Exit::Usage, mistakes.join("\n"))
}

fn refuse_loop(source: &Place, target: &Place) -> Result<(), Failure> {
    let loops = match (source, target) {
        (Place::Path(JsonlPath::File(from)), Place::Path(JsonlPath::File(to))) => {
            from == to || from.canonicalize().is_ok_and(|from| to.canonicalize().is_ok_and(|to| from == to))
        }
        (Place::Kafka(from), Place::Kafka(to)) => {
            from.topic == to.topic && from.servers.iter().any(|server| to.servers.contains(server))
        }
        _ => false,
    };
    if loops {
        return Err(Failure::usage("SOURCE and TARGET are the same").with_help("copy to another place"));
    }
    Ok(())
}

fn source_spec(place: Place, bad: Option<OnError>) -> SourceSpec {
    match place {
        Place::Path(path) => {
            SourceSpec::Lines(LinesFrom { input: Input::from(&path), on_bad_message: bad.unwrap_or_default() })
        }
        Place::Kafka(url) => SourceSpec::Kafka(KafkaFrom {
            cluster: url.cluster(),
            on_bad_message: bad.unwrap_or(url.on_bad_message),
            selection: Selection::Topic(url.topic),
            mode: None,
        }),
    }
}

fn target_spec(place: Place, existing: Existing) -> TargetSpec {
    match place {
        Place::Path(path) => TargetSpec::Jsonl(JsonlTo { path, existing }),
        Place::Kafka(url) => TargetSpec::Kafka(KafkaTo {
            cluster: url.cluster(),
            naming: Naming::Fixed(url.topic),
            acks: url.acks,
            compression: url.compression,
            on_push_error: url.on_push_error,
        }),
    }
}

impl Url {
    fn cluster(&self) -> ClusterSpec {
        let tls = self.tls.as_ref().map(|tls| Box::new(tls.options()));
        ClusterSpec { name: self.servers.join(","), servers: self.servers.clone(), auth: None, tls }
    }
}

fn place(text: &str, side: Side, mistakes: &mut Vec<String>) -> Option<Place> {
    if text == "-" {
        return Some(Place::Path(JsonlPath::Stdio));
    }
    for (scheme, tls) in [(SCHEME, None), (TLS_SCHEME, Some(Tls::default()))] {
        if let Some(rest) = text.strip_prefix(scheme) {
            return url(text, rest, tls, side, mistakes).map(Place::Kafka);
        }
    }
    if text.is_empty() {
        mistakes.push(mistake(side, text, "it is empty", "give a path, `-` or kafka://host:port/topic"));
        return None;
    }
    if let Some((scheme, _)) = text.split_once("://") {
        let problem = format!("the scheme `{scheme}` is not known");
        mistakes.push(mistake(
            side,
            text,
            &problem,
            "write kafka://host:port/topic, kafka+tls://host:port/topic, or a path",
        ));
        return None;
    }
    Some(Place::Path(JsonlPath::File(PathBuf::from(text))))
}

/// Laid out like the errors of a config file.
fn mistake(side: Side, text: &str, problem: &str, help: &str) -> String {
    let shown: String = text.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    format!("error: {} `{shown}`: {problem}\n  help: {help}", side.name())
}

/// The part behind the scheme; every mistake in it is noted.
fn url(whole: &str, rest: &str, tls: Option<Tls>, side: Side, mistakes: &mut Vec<String>) -> Option<Url> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn args(source: &str, target: &str) -> CopyArgs {
        CopyArgs {
            source: source.to_owned(),
            target: target.to_owned(),
            append: false,
            overwrite: false,
            skip_bad: false,
        }
    }

    fn kafka(text: &str, side: Side) -> Url {
        let mut mistakes = Vec::new();
        match place(text, side, &mut mistakes) {
            Some(Place::Kafka(url)) => url,
            other => panic!("{other:?} {mistakes:?}"),
        }
    }

    fn mistakes(source: &str, target: &str) -> String {
        let failure = job(&args(source, target)).expect_err("a mistake");
        assert_eq!(failure.exit, Exit::Usage);
        failure.to_string()
    }

    #[test]
    fn a_url_names_servers_topic_and_options() {
        let url =
            kafka("kafka://a:9092,[::1]:9093/orders.eu?acks=leader&compression=zstd&on_push_error=skip", Side::Target);
        assert_eq!(url.servers, ["a:9092", "[::1]:9093"]);
        assert_eq!((url.topic.as_str(), url.acks, url.compression), ("orders.eu", AckLevel::Leader, Compression::Zstd));
        assert_eq!((url.on_push_error, url.on_bad_message), (OnError::Skip, OnError::Stop));
        let plain = kafka("kafka://a:9092/orders", Side::Target);
        assert_eq!((plain.acks, plain.compression), (AckLevel::Majority, Compression::Lz4));
        assert_eq!(kafka("kafka://a:9092/or%2Dders", Side::Source).topic, "or-ders");
    }

    #[test]
    fn every_mistake_of_both_ends_is_told_at_once() {
        let text = mistakes(
            "kafka://a,b:99999/?acks=all",
            "kafka://c:9092/no topic?compresion=lz4&acks=most&acks=all&on_push_error=sikp",
        );
        for part in [
            "`a` is no address",
            "`b:99999` is no address",
            "it names no topic",
            "`acks` is not known here",
            "it belongs to TARGET",
            "`no topic` is no topic name",
            "did you mean `compression`?",
            "`most` is no value of `acks`",
            "`acks` stands in it twice",
            "write on_push_error=skip",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(text.matches("error:").count(), 9, "{text}");
    }

    #[test]
    fn other_schemes_and_logins_are_refused_and_no_secret_is_shown() {
        assert!(mistakes("http://a/b", "-").contains("the scheme `http` is not known"));
        assert!(mistakes("", "-").contains("it is empty"));
        let text = mistakes("kafka://etl:hunter2@a:9092/orders", "-");
        assert!(text.contains("it has a login in it") && !text.contains("hunter2"), "{text}");
        let text = mistakes("kafka://etl:hunter2@a/orders", "kafka://x:y@b:1/");
        assert!(!text.contains("hunter2") && !text.contains("x:y"), "{text}");
    }

    #[test]
    fn tls_is_a_scheme_with_keys_of_its_own() {
        let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls");
        let ca = tls.join("ca.pem").display().to_string();
        let url = kafka(&format!("kafka+tls://a:9093/orders?ca={ca}&server_name=kafka.test&acks=all"), Side::Target);
        let said = url.tls.clone().expect("TLS");
        assert_eq!((said.ca.as_deref(), said.server_name.as_deref()), (Some(ca.as_str()), Some("kafka.test")));
        assert!(url.cluster().tls.is_some());
        assert_eq!(kafka("kafka://a:9092/orders", Side::Target).tls, None);
        let text = mistakes(
            &format!("kafka+tls://a:9093/t?ca={ca}&cert=x.pem"),
            &format!("kafka://b:9092/u?ca={ca}&compresion=lz4"),
        );
        for part in ["`cert` and `key` belong together", "`ca` is for TLS", "did you mean `compression`?"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let pair = format!("cert={0}/client-p256.pem&key={0}/client-rsa.key", tls.display());
        let text = mistakes(&format!("kafka+tls://etl:hunter2@a:9093/t?ca={ca}&{pair}"), "-");
        assert!(text.contains("is not the one of") && !text.contains("hunter2"), "{text}");
        assert!(mistakes("kafka+tls://a:9093/t?ca=absent.pem", "-").contains("absent.pem cannot be read"));
    }

    #[test]
    fn a_copy_onto_itself_is_refused() {
        assert!(mistakes("kafka://a:1,b:1/t", "kafka://b:1/t").contains("the same"));
        assert!(mistakes("x.jsonl", "x.jsonl").contains("the same"));
        assert!(job(&args("kafka://a:1/t", "kafka://a:1/u")).is_ok());
        assert!(job(&args("-", "-")).is_ok());
    }

    #[test]
    fn a_kafka_source_is_read_once_without_a_group() {
        let SourceSpec::Kafka(from) = job(&args("kafka://a:1/t?on_bad_message=skip", "-")).expect("a job").source
        else {
            panic!("a Kafka source");
        };
        assert_eq!((from.mode, from.on_bad_message), (None, OnError::Skip));
        assert!(matches!(from.selection, Selection::Topic(topic) if topic == "t"));
    }
}
