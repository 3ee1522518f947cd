//! `ottla demo`: the whole way in seconds, on a machine with nothing installed.
//!
//! A development broker in this process on a loopback port, the shipped orders into a topic, a `full` sync of the topic
//! into a file, and the proof by count and content that every order arrived. Nothing is left behind but that file.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use clap::Args;
use ottla_devbroker::DevBroker;
use ottla_protocol::compression::Compression;

use super::signals::Signals;
use super::{print, say};
use crate::config::model::{AckLevel, JsonlPath, OnError, OnUnavailable, SHUTDOWN_TIMEOUT, TopicExpression};
use crate::exit::{Exit, Failure};
use crate::mode::{Mode, group};
use crate::orders::orders;
use crate::progress::{Console, Verbosity, grouped, summary};
use crate::source::jsonl::Input;
use crate::source::kafka::Selection;
use crate::target::jsonl::{Existing, Purpose};
use crate::target::kafka::Naming;
use crate::task::{
    self, ClusterSpec, Command, Ending, Job, JsonlTo, KafkaFrom, KafkaTo, LinesFrom, Outcome, Shutdown, SourceSpec,
    TargetSpec, Timing,
};

static ORDERS: LazyLock<String> = LazyLock::new(orders);

const TOPIC: &str = "orders";
const FILE: &str = "orders-copy.jsonl";

/// Arguments of `ottla demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave the broker up afterwards, for any Kafka tool, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Where the copy is written; a new temporary directory without it.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Shows it all and proves it.
pub async fn run(args: DemoArgs, verbosity: Verbosity) -> Result<Exit, Failure> {
    let console = Console::stderr(verbosity);
    let signals = Signals::watch(&console, SHUTDOWN_TIMEOUT)?;
    let started = Instant::now();
    let directory = directory(args.dir.as_deref())?;
    let file = directory.join(FILE);
    let broker = DevBroker::builder().start().await;
    let broker =
        broker.map_err(|error| Failure::environment(format!("the development broker did not start: {error}")))?;
    let servers = broker.bootstrap();
    let address = servers.join(",");
    print(&format!("1. a development broker runs in this process, on {address}\n"))?;

    let ticker = console.tick();
    let sent = step(send(&servers), &console, &signals.shutdown()).await?;
    print(&format!("2. sent the shipped orders into the topic `{TOPIC}`: {}\n", summary(sent.counts, sent.elapsed)))?;
    let synced = step(sync(&servers, &file), &console, &signals.shutdown()).await?;
    drop(ticker);
    console.close();
    print(&format!("3. full sync of the topic into a file: {}\n", summary(synced.counts, synced.elapsed)))?;

    let orders = prove(&file)?;
    print(&format!("4. compared: all {} orders are in the file, byte for byte and in order\n\n", grouped(orders)))?;
    print(&format!("   {}\n\n", file.display()))?;
    print(&format!("   done in {:.2} s\n\n{}", started.elapsed().as_secs_f64(), next_steps()))?;
    if args.keep {
        keep(&address, signals.shutdown()).await;
    }
    broker.shutdown().await;
    Ok(Exit::Ok)
}

/// The directory asked for, or a new one that stays.
fn directory(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let Some(asked) = asked else {
        let made = tempfile::Builder::new().prefix("ottla-demo-").tempdir();
        let cannot = |error| Failure::environment(format!("no temporary directory can be made: {error}"));
        return Ok(made.map_err(cannot)?.keep());
    };
    let cannot = |error| Failure::environment(format!("{} cannot be made: {error}", asked.display()));
    std::fs::create_dir_all(asked).map_err(cannot)?;
    Ok(asked.to_owned())
}

fn cluster(servers: &[String]) -> ClusterSpec {
    ClusterSpec { name: "demo".to_owned(), servers: servers.to_vec(), auth: None, tls: None }
}

fn send(servers: &[String]) -> Job {
    Job {
        name: "send".to_owned(),
        group: group("send"),
        command: Command::Copy,
        source: SourceSpec::Lines(LinesFrom {
            input: Input::Memory(ORDERS.as_bytes()),
            on_bad_message: OnError::Stop,
            positions: None,
        }),
        target: TargetSpec::Kafka(KafkaTo {
            cluster: cluster(servers),
            naming: Naming::Fixed(TOPIC.to_owned()),
            acks: AckLevel::All,
            compression: Compression::Lz4,
            on_push_error: OnError::Stop,
            partition_by: None,
            max_request_bytes: None,
        }),
        timing: Timing::default(),
    }
}

fn sync(servers: &[String], file: &Path) -> Job {
    let expression = TopicExpression::parse(TOPIC).unwrap_or_else(|_| TopicExpression::all());
    Job {
        name: "sync".to_owned(),
        group: group("sync"),
        command: Command::Copy,
        source: SourceSpec::Kafka(KafkaFrom {
            cluster: cluster(servers),
            selection: Selection::Matching(expression),
            mode: Some(Mode::Full),
            on_unavailable: OnUnavailable::Stop,
            from_earliest: Vec::new(),
            command: String::new(),
            on_bad_message: OnError::Stop,
            allow_empty: false,
        }),
        target: TargetSpec::Jsonl(JsonlTo {
            path: JsonlPath::File(file.to_owned()),
            existing: Existing::Overwrite,
            purpose: Purpose::Copy,
        }),
        timing: Timing::default(),
    }
}

async fn step(job: Job, console: &Arc<Console>, shutdown: &Shutdown) -> Result<Outcome, Failure> {
    let mut outcome = task::run(job, Arc::clone(console), shutdown.clone()).await;
    match std::mem::replace(&mut outcome.result, Ok(Ending::Complete))? {
        Ending::Complete | Ending::ReaderLeft => Ok(outcome),
        Ending::Interrupted => Err(Failure::new(Exit::Interrupted, "the demonstration was interrupted")),
    }
}

/// Compares the file with what was sent, line by line; gives the number of lines.
fn prove(file: &Path) -> Result<u64, Failure> {
    let cannot = |error: std::io::Error| Failure::environment(format!("{} cannot be read: {error}", file.display()));
    let wrong = |what: String| Failure::internal(format!("{}: {what}", file.display()));
    let mut copy = BufReader::new(File::open(file).map_err(cannot)?);
    let (mut line, mut count) = (Vec::new(), 0);
    for sent in ORDERS.split_inclusive('\n') {
        line.clear();
        copy.read_until(b'\n', &mut line).map_err(cannot)?;
        count += 1;
        if line != sent.as_bytes() {
            return Err(wrong(format!("line {count} is not the order that was sent")));
        }
    }
    if copy.fill_buf().map_err(cannot)?.is_empty() {
        Ok(count)
    } else {
        Err(wrong(format!("there are more than {count} lines")))
    }
}

fn next_steps() -> String {
    "Next, for example:\n\
     \x20  ottla dev                                              a broker of your own, for any Kafka client\n\
     \x20  ottla copy orders.jsonl kafka://localhost:9092/orders  a file of yours into Kafka\n\
     \x20  ottla copy kafka://localhost:9092/orders -             and back, to standard output\n"
        .to_owned()
}

async fn keep(address: &str, mut shutdown: Shutdown) {
    say(&format!(
        "\nthe broker stays up until Ctrl-C; it is at {address}, for example:\n  \
         kcat -b {address} -C -t {TOPIC} -e\n  ottla copy kafka://{address}/{TOPIC} -"
    ));
    task::requested(&mut shutdown).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_finds_a_changed_a_missing_and_an_extra_line() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join(FILE);
        let with = |content: &[u8]| {
            std::fs::write(&file, content).expect("written");
            prove(&file)
        };
        let orders = ORDERS.as_bytes();
        assert_eq!(with(orders).expect("equal"), 10_000);
        let mut changed = orders.to_vec();
        changed[1_000_000] ^= 1;
        assert!(with(&changed).is_err());
        let last = orders[..orders.len() - 1].iter().rposition(|byte| *byte == b'\n').expect("lines") + 1;
        assert!(with(&orders[..last]).expect_err("one short").message.contains("line 10000"));
        assert!(with(&[orders, b"{}\n"].concat()).is_err());
    }
}
