//! `ottla test FILE [CONNECTION]`: tries every connection step by step, in the order in which real work would need
//! the steps, and says for each that fails what to do. A step after a failed one is skipped, not guessed.

mod jsonl;
mod kafka;
mod steps;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ottla_devbroker::DevBroker;
use serde_json::{Value, json};

use self::steps::{Outcome, Steps};
use super::check::bootstrap;
use super::{Output, load_config, print};
use crate::config::nearest::nearest;
use crate::config::{Bootstrap, Config, Connection, Kind, Needed, Paint, Task};
use crate::exit::{Exit, Failure};

/// Arguments of `ottla test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The config file (TOML).
    file: PathBuf,
    /// Only this connection; all of them without it.
    connection: Option<String>,
    /// How long one step may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// What the tasks of the file ask of a connection.
struct Wanted<'c> {
    reads: bool,
    writes: bool,
    /// The tasks that read from it, for the names of their groups.
    readers: Vec<&'c Task>,
}

impl<'c> Wanted<'c> {
    /// Its tasks decide; a connection without tasks is asked for all that its role allows.
    fn of(config: &'c Config, connection: &Connection) -> Self {
        let readers: Vec<_> = config.tasks.values().filter(|task| task.source == connection.name).collect();
        let written = config.tasks.values().any(|task| task.target == connection.name);
        let unused = readers.is_empty() && !written;
        Self {
            reads: !readers.is_empty() || (unused && connection.role.reads()),
            writes: written || (unused && connection.role.writes()),
            readers,
        }
    }
}

/// Tests the connections: exit 0 if nothing failed, 3 otherwise.
pub async fn run(args: TestArgs) -> Result<Exit, Failure> {
    let needed = args.connection.as_ref().map(|name| Needed { connections: vec![name.clone()], ..Needed::default() });
    let config = load_config(&args.file, needed)?;
    let chosen = chosen(&config, args.connection.as_deref())?;
    let embedded = embedded_broker(&chosen).await?;
    let limit = Duration::from_secs(args.timeout);
    let paint = Paint::for_stdout();
    let mut results = Vec::new();
    for connection in chosen {
        let steps = test_one(&config, connection, embedded.as_ref(), limit).await;
        if args.output == Output::Text {
            print(&format!("connection {} ({})\n{}\n", connection.name, place(connection), steps.render(paint)))?;
        }
        results.push((connection, steps));
    }
    if let Some(broker) = embedded {
        broker.shutdown().await;
    }
    if args.output == Output::Json {
        print(&format!("{}\n", as_json(&results)))?;
    }
    verdict(&results)
}

fn chosen<'c>(config: &'c Config, name: Option<&str>) -> Result<Vec<&'c Connection>, Failure> {
    let Some(name) = name else { return Ok(config.connections.values().collect()) };
    if let Some(connection) = config.connections.get(name) {
        return Ok(vec![connection]);
    }
    let names = || config.connections.keys().map(String::as_str);
    let help = match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the connections are {}", names().collect::<Vec<_>>().join(", ")),
    };
    Err(Failure::usage(format!("{} has no connection `{name}`", config.file.display())).with_help(help))
}

/// One broker for all connections that say `embedded`, as when the tasks run.
async fn embedded_broker(connections: &[&Connection]) -> Result<Option<DevBroker>, Failure> {
    let wanted = |connection: &&Connection| match &connection.kind {
        Kind::Kafka(kafka) => kafka.bootstrap == Bootstrap::Embedded,
        Kind::Jsonl(_) => false,
    };
    if !connections.iter().any(wanted) {
        return Ok(None);
    }
    let started = DevBroker::builder().start().await;
    started.map(Some).map_err(|error| Failure::environment(format!("the embedded broker did not start: {error}")))
}

async fn test_one(config: &Config, connection: &Connection, embedded: Option<&DevBroker>, limit: Duration) -> Steps {
    let wanted = Wanted::of(config, connection);
    let mut steps = Steps::default();
    match connection.exposures.split_first() {
        None => steps.pass("config", config.file.display().to_string()),
        Some((first, others)) => {
            let problems = std::iter::once(first).chain(others).map(|exposure| exposure.problem.as_str());
            steps.warn("config", problems.collect::<Vec<_>>().join("; "), first.help.clone());
        }
    }
    match &connection.kind {
        Kind::Jsonl(jsonl) => jsonl::test(&mut steps, &jsonl.path, &wanted, limit).await,
        Kind::Kafka(kafka) => {
            let servers = match &kafka.bootstrap {
                Bootstrap::Servers(servers) => servers.clone(),
                Bootstrap::Embedded => embedded.map(DevBroker::bootstrap).unwrap_or_default(),
            };
            kafka::test(&mut steps, kafka, &servers, &wanted, limit).await;
        }
    }
    steps
}

fn place(connection: &Connection) -> String {
    match &connection.kind {
        Kind::Kafka(kafka) => format!("kafka, {}", bootstrap(&kafka.bootstrap)),
        Kind::Jsonl(jsonl) => format!("jsonl, {}", jsonl.path),
    }
}

fn verdict(results: &[(&Connection, Steps)]) -> Result<Exit, Failure> {
    let failed: Vec<_> = results.iter().filter(|(_, steps)| steps.failed()).collect();
    if failed.is_empty() {
        return Ok(Exit::Ok);
    }
    let names: Vec<_> = failed.iter().map(|(connection, _)| connection.name.as_str()).collect();
    let noun = if results.len() == 1 { "connection" } else { "connections" };
    let message = format!("{} of {} {noun} failed the test: {}", failed.len(), results.len(), names.join(", "));
    Err(Failure::environment(message))
}

fn as_json(results: &[(&Connection, Steps)]) -> Value {
    let ok = results.iter().all(|(_, steps)| !steps.failed());
    let count = |outcome: Outcome| results.iter().map(|(_, steps)| steps.count(outcome)).sum::<usize>();
    let summary = format!(
        "{} passed, {} warned, {} failed, {} skipped",
        count(Outcome::Pass),
        count(Outcome::Warn),
        count(Outcome::Fail),
        count(Outcome::Skipped)
    );
    let connections =
        results.iter().map(|(connection, steps)| json!({ "name": connection.name, "steps": steps.as_json() }));
    json!({ "command": "test", "ok": ok, "summary": summary, "result": connections.collect::<Vec<_>>() })
}
