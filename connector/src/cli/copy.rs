//! `ottla copy SOURCE TARGET`: moves records once, without a config file and without a trace in the source.
//!
//! An end is a path, `-`, or `kafka://host:port[,host:port…]/topic?key=value&…`, with TLS `kafka+tls://…`. A Kafka source is read from its earliest
//! offset to the end as it was at the start; no group is used and nothing is committed. A copy of a file or topic that was
//! interrupted is not whole, so it ends with 130 or 143 after it has drained; one of standard input has no end to miss and
//! ends with 0.

pub(in crate::cli) mod url;

use std::fs::Metadata;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use self::url::{SCHEME, TLS_SCHEME, Tls, Url, shown, url};
use super::signals::Signals;
use crate::config::duration;
use crate::config::model::{Exposure, JsonlPath, OnError, OnUnavailable};
use crate::exit::{Exit, Failure};
use crate::file_id::{FileId, is_same_file};
use crate::mode;
use crate::progress::{Console, Verbosity, summary};
use crate::source::jsonl::Input;
use crate::source::kafka::Selection;
use crate::target::jsonl::{Existing, Purpose};
use crate::target::kafka::Naming;
use crate::task::{self, Command, Ending, Job, JsonlTo, KafkaFrom, KafkaTo, LinesFrom, SourceSpec, TargetSpec, Timing};

/// Arguments of `ottla copy`.
#[derive(Debug, Args)]
#[command(after_help = "SOURCE and TARGET: a file of JSON objects, one a line; `-` for standard input or output; or\n\
    kafka://host:port[,host:port...]/topic[?key=value&...]\n\
    kafka+tls://host:port[,host:port...]/topic[?key=value&...] for TLS\n\n\
    Keys of a source: on_bad_message=stop|skip\n\
    Keys of a target: acks=none|leader|majority|all, compression=none|gzip|snappy|lz4|zstd, on_push_error=stop|skip,\n\
    partition_by=source|key|spread|first|key:/NAME (default: source, and spread for lines), max_request_bytes=NUMBER\n\
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
    /// How long draining may take after the first signal.
    #[arg(long, value_name = "TIME", default_value = "25s", value_parser = duration::argument)]
    shutdown_timeout: Duration,
}

/// Copies to the end.
pub async fn run(args: CopyArgs, verbosity: Verbosity) -> Result<Exit, Failure> {
    let Checked { job, warnings } = job(&args)?;
    let console = Console::stderr(verbosity);
    for warning in &warnings {
        console.say(warning);
    }
    let signals = Signals::watch(&console, job.timing.shutdown)?;
    // Standard input has no end that a copy could have missed: what it was given until the signal is delivered.
    let is_endless = matches!(&job.source, SourceSpec::Lines(LinesFrom { input: Input::Stdin, .. }));
    let ticker = console.tick();
    let outcome = task::run(job, console.clone(), signals.shutdown()).await;
    drop(ticker);
    console.close();
    console.say(&summary(outcome.counts, outcome.elapsed));
    match outcome.result? {
        Ending::Complete | Ending::ReaderLeft => Ok(Exit::Ok),
        Ending::Interrupted if is_endless => {
            console.say("ended on request; every line that was read is in the target");
            Ok(Exit::Ok)
        }
        Ending::Interrupted => {
            console.say("ended on request; the copy is not whole");
            Ok(signals.first().unwrap_or(Exit::Interrupted))
        }
    }
}

/// One end of a copy, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Path(JsonlPath),
    Kafka(Url),
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
            Self::Target => &["acks", "compression", "max_request_bytes", "on_push_error", "partition_by"],
        }
    }
}

/// A copy without mistakes.
#[derive(Debug)]
struct Checked {
    job: Job,
    /// What is to be said before it begins.
    warnings: Vec<String>,
}

/// A warning for each end that has a secret which others get at.
fn warnings(source: &Place, target: &Place) -> Vec<String> {
    let exposures = [(Side::Source, source), (Side::Target, target)].into_iter().filter_map(|(side, place)| {
        let Place::Kafka(url) = place else { return None };
        Some((side, url.exposure()?))
    });
    exposures
        .map(|(side, Exposure { problem, help })| format!("warning: {}: {problem}\n  help: {help}", side.name()))
        .collect()
}

/// The whole copy, or all that is wrong with both ends.
fn job(args: &CopyArgs) -> Result<Checked, Failure> {
    let mut mistakes = Vec::new();
    let source = place(&args.source, Side::Source, &mut mistakes);
    let target = place(&args.target, Side::Target, &mut mistakes);
    let (Some(source), Some(target)) = (source, target) else { return Err(refused(&mistakes)) };
    if !mistakes.is_empty() {
        return Err(refused(&mistakes));
    }
    refuse_loop(&source, &target)?;
    let warnings = warnings(&source, &target);
    let bad = if args.skip_bad { Some(OnError::Skip) } else { None };
    let existing = match (args.append, args.overwrite) {
        (true, _) => Existing::Append,
        (_, true) => Existing::Overwrite,
        _ => Existing::Refuse,
    };
    let job = Job {
        name: "copy".to_owned(),
        // A copy keeps no positions.
        group: mode::group("copy"),
        command: Command::Copy,
        source: source_spec(source, bad),
        target: target_spec(target, existing),
        timing: Timing { shutdown: args.shutdown_timeout, ..Timing::default() },
    };
    Ok(Checked { job, warnings })
}

fn refused(mistakes: &[String]) -> Failure {
    Failure::report(Exit::Usage, mistakes.join("\n"))
}

fn refuse_loop(source: &Place, target: &Place) -> Result<(), Failure> {
    let loops = match (source, target) {
        (Place::Path(from), Place::Path(to)) => is_one_file(from, to),
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

/// Redirected ends count too: `ottla copy - - < x.jsonl >> x.jsonl` would never end.
fn is_one_file(from: &JsonlPath, to: &JsonlPath) -> bool {
    let of = |path: &JsonlPath, redirected: fn() -> Option<FileId>| match path {
        JsonlPath::File(path) => std::fs::metadata(path).ok().filter(Metadata::is_file).as_ref().and_then(FileId::of),
        JsonlPath::Stdio => redirected(),
    };
    let (one, other) = (of(from, FileId::of_stdin), of(to, FileId::of_stdout));
    if one.is_some() && one == other {
        return true;
    }
    matches!((from, to), (JsonlPath::File(from), JsonlPath::File(to)) if is_same_file(from, to))
}

fn source_spec(place: Place, bad: Option<OnError>) -> SourceSpec {
    match place {
        Place::Path(path) => SourceSpec::Lines(LinesFrom {
            input: Input::from(&path),
            on_bad_message: bad.unwrap_or_default(),
            positions: None,
        }),
        Place::Kafka(url) => SourceSpec::Kafka(KafkaFrom {
            cluster: url.cluster(),
            on_bad_message: bad.unwrap_or(url.on_bad_message),
            selection: Selection::Topic(url.topic),
            mode: None,
            on_unavailable: OnUnavailable::Stop,
            from_earliest: Vec::new(),
            command: String::new(),
            allow_empty: false,
        }),
    }
}

fn target_spec(place: Place, existing: Existing) -> TargetSpec {
    match place {
        Place::Path(path) => TargetSpec::Jsonl(JsonlTo { path, existing, purpose: Purpose::Copy }),
        Place::Kafka(url) => TargetSpec::Kafka(KafkaTo {
            cluster: url.cluster(),
            naming: Naming::Fixed(url.topic),
            acks: url.acks,
            compression: url.compression,
            on_push_error: url.on_push_error,
            partition_by: url.partition_by,
            max_request_bytes: url.max_request_bytes,
        }),
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
            &shown(text),
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ottla_protocol::compression::Compression;

    use super::*;
    use crate::config::model::{AckLevel, SHUTDOWN_TIMEOUT};

    fn args(source: &str, target: &str) -> CopyArgs {
        CopyArgs {
            source: source.to_owned(),
            target: target.to_owned(),
            append: false,
            overwrite: false,
            skip_bad: false,
            shutdown_timeout: SHUTDOWN_TIMEOUT,
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
        for url in [
            "kafka://a:9092/orders?password=hunter2",
            "kafka://a:9092/orders?on_bad_message=skip&sasl.password=hunter2&hunter2",
            "kafka://a:9092/orders?hunter2",
            "kafka://etl:/?@hunter2@a:9092/orders",
            "kafka://etl:hun/hunter2@a:9092/orders?acks=x@y",
            "kafka://etl:hun?hunter2@a:9092/orders",
            "kafka+tls://a:9092/orders?ca=/x@y&token=hunter2",
            "http://etl:hunter2@a/orders",
            "https://a/orders?password=hunter2",
        ] {
            let text = mistakes(url, "-");
            assert!(!text.contains("hunter2"), "{url}: {text}");
            assert!(text.contains("[redacted]"), "{url}: {text}");
        }
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

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_get_at_is_warned_of() {
        use std::os::unix::fs::PermissionsExt as _;

        let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls");
        let folder = tempfile::tempdir().expect("a directory");
        let key = folder.path().join("client.key");
        std::fs::copy(tls.join("client-p256.key"), &key).expect("copied");
        let url = format!(
            "kafka+tls://a:9093/t?ca={0}/ca.pem&cert={0}/client-p256.pem&key={1}",
            tls.display(),
            key.display()
        );
        for (mode, said) in [(0o600, None), (0o644, Some("other users can read the key"))] {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).expect("set");
            for (source, target, side) in [(url.as_str(), "-", "SOURCE"), ("-", url.as_str(), "TARGET")] {
                let warnings = job(&args(source, target)).expect("a job").warnings;
                assert_eq!(warnings.len(), usize::from(said.is_some()), "{warnings:?}");
                for (warning, said) in warnings.iter().zip(said) {
                    assert!(warning.starts_with(&format!("warning: {side}: {said} `")), "{warning}");
                    assert!(warning.contains("chmod 600"), "{warning}");
                }
            }
        }
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
        let SourceSpec::Kafka(from) = job(&args("kafka://a:1/t?on_bad_message=skip", "-")).expect("a job").job.source
        else {
            panic!("a Kafka source");
        };
        assert_eq!((from.mode, from.on_bad_message), (None, OnError::Skip));
        assert!(matches!(from.selection, Selection::Topic(topic) if topic == "t"));
    }
}
