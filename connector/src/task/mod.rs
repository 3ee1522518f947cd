//! A task from its start to its end.
//!
//! A [`Job`] says what to do and needs no config file; [`Job::from_config`] makes one of a task of a file. [`run`] does it:
//! it opens the target, reads the source, hands over record by record, and commits only what the target has acknowledged.
//! Work goes by batches: a record on its way meets no channel, no lock hand-off and no allocation of ours.

pub mod build;
pub mod failure;
mod file_positions;
mod from_jsonl;
mod from_kafka;
mod pump;
pub mod sole;
mod trouble;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_client::{Client, TlsOptions};
use tokio::sync::watch;

use crate::config::model::{AckLevel, Auth, JsonlPath, OnError, OnUnavailable, SHUTDOWN_TIMEOUT};
use crate::core::batcher::Limits;
use crate::exit::{Exit, Failure};
use crate::mode::Mode;
use crate::outage;
use crate::progress::{Console, Counts, Progress};
use crate::source::jsonl::Input;
use crate::source::kafka::Selection;
use crate::target::Target;
use crate::target::jsonl::{Existing, JsonlTarget, Purpose};
use crate::target::kafka::{KafkaTarget, KafkaTargetOptions, Naming};
use crate::target::partitioning::PartitionBy;
use ottla_protocol::compression::Compression;

use self::failure::{client_failure, in_connection};

/// Becomes true when the task is to drain, commit and end.
pub type Shutdown = watch::Receiver<bool>;

/// What a task is to do.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name, in every line about it.
    pub name: String,
    /// The group under which its positions are kept.
    pub group: String,
    /// What was typed for it.
    pub command: Command,
    /// Where records come from.
    pub source: SourceSpec,
    /// Where they go.
    pub target: TargetSpec,
    /// Its clock.
    pub timing: Timing,
}

/// The command that a job is of: advice in its errors names this command's keys and flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `ottla run`, with a config file.
    Run,
    /// `ottla copy`, with flags and URLs.
    Copy,
}

/// Where records come from.
#[derive(Debug, Clone)]
pub enum SourceSpec {
    /// Topics.
    Kafka(KafkaFrom),
    /// Lines.
    Lines(LinesFrom),
}

/// Topics as a source.
#[derive(Debug, Clone)]
pub struct KafkaFrom {
    /// The cluster.
    pub cluster: ClusterSpec,
    /// Which topics.
    pub selection: Selection,
    /// The mode of a task; `None` reads once from the earliest offset to the end and leaves no trace in the cluster.
    pub mode: Option<Mode>,
    /// What to do about partitions that cannot be read for a while, in the incremental modes.
    pub on_unavailable: OnUnavailable,
    /// Topics to read from their earliest offsets, whatever is committed (`--from-earliest`).
    pub from_earliest: Vec<String>,
    /// The command that starts the task again, for errors that say how to go on.
    pub command: String,
    /// What to do with a record that is not a JSON object.
    pub on_bad_message: OnError,
    /// A task that ends is complete when no topic matches; otherwise it fails.
    pub allow_empty: bool,
}

/// Lines as a source.
#[derive(Debug, Clone)]
pub struct LinesFrom {
    /// What they are read from.
    pub input: Input,
    /// What to do with a line that is not a JSON object.
    pub on_bad_message: OnError,
    /// Where positions are kept; `None` reads once and keeps none.
    pub positions: Option<Positions>,
}

/// How a task that reads a file remembers how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    /// The state directory.
    pub directory: PathBuf,
    /// What part of the file is moved.
    pub mode: Mode,
    /// Forget the position, and begin at the first line.
    pub from_start: bool,
    /// The command that does that, for errors.
    pub again: String,
}

/// Where records go.
#[derive(Debug, Clone)]
pub enum TargetSpec {
    /// Topics.
    Kafka(KafkaTo),
    /// Lines.
    Jsonl(JsonlTo),
}

/// Topics as a target.
#[derive(Debug, Clone)]
pub struct KafkaTo {
    /// The cluster.
    pub cluster: ClusterSpec,
    /// Which topics.
    pub naming: Naming,
    /// When a record counts as written.
    pub acks: AckLevel,
    /// How batches are compressed.
    pub compression: Compression,
    /// What to do with a record that the target refuses.
    pub on_push_error: OnError,
    /// Which partition a record goes to; `None` is the source's for topics, and spread for lines.
    pub partition_by: Option<PartitionBy>,
    /// How large a request and a record may be; `None` leaves a record's size to the topic.
    pub max_request_bytes: Option<usize>,
}

/// Lines as a target.
#[derive(Debug, Clone)]
pub struct JsonlTo {
    /// The file or standard output.
    pub path: JsonlPath,
    /// What to do with what is there already.
    pub existing: Existing,
    /// What the writing is for.
    pub purpose: Purpose,
}

/// How to reach a cluster.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// What errors call it: a connection's name, or an address.
    pub name: String,
    /// `host:port` each.
    pub servers: Vec<String>,
    /// The login.
    pub auth: Option<Auth>,
    /// How connections are protected; `None` is plain TCP.
    pub tls: Option<Box<TlsOptions>>,
}

/// How long things take that could take longer or shorter.
#[derive(Debug, Clone)]
pub struct Timing {
    /// How much may lie between two commits.
    pub commit: Limits,
    /// How often new topics and partitions are looked for; every second as long as there is none to read.
    pub discover: Duration,
    /// How long a record may take into a Kafka target, all attempts counted (Kafka: `delivery.timeout.ms`).
    pub delivery: Duration,
    /// How long draining may take after the task was asked to end.
    pub shutdown: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            commit: Limits::default(),
            discover: Duration::from_secs(30),
            delivery: Duration::from_mins(2),
            shutdown: SHUTDOWN_TIMEOUT,
        }
    }
}

/// How a task came to its end when nothing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything was done.
    Complete,
    /// It was asked to end before that; what it did is committed.
    Interrupted,
    /// The reader of its output has left, as `head` does; what it took is committed.
    ReaderLeft,
}

/// What became of a task.
#[derive(Debug)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Its counts.
    pub counts: Counts,
    /// How long it took.
    pub elapsed: Duration,
    /// How it ended.
    pub result: Result<Ending, Failure>,
}

impl Outcome {
    /// The exit code for this task alone.
    pub fn exit(&self) -> Exit {
        self.result.as_ref().map_or_else(|failure| failure.exit, |_| Exit::Ok)
    }
}

/// What the end of a task is made of, filled in as it goes.
pub(crate) struct End {
    ending: Ending,
    progress: Arc<Progress>,
    shutdown: Shutdown,
}

/// Does a job. Never fails: what went wrong is in the outcome.
pub async fn run(job: Job, console: Arc<Console>, shutdown: Shutdown) -> Outcome {
    let started = Instant::now();
    let progress = console.task(&job.name);
    let mut end = End { ending: Ending::Complete, progress, shutdown };
    let ran = match &job.source {
        // Boxed, once a task: with all its states it is larger than what callers should hold.
        SourceSpec::Kafka(from) => Box::pin(from_kafka::run(&job, from, &console, &mut end)).await,
        SourceSpec::Lines(from) => Box::pin(from_jsonl::run(&job, from, &console, &mut end)).await,
    };
    end.progress.finish();
    let (counts, elapsed) = (end.progress.counts(), started.elapsed());
    let result = match ran {
        Err(failure) if failure.is_reader_left() => Ok(Ending::ReaderLeft),
        ran => ran.map(|()| end.ending),
    };
    Outcome { name: job.name, counts, elapsed, result }
}

/// Does `work`; once the task was asked to end, for at most `limit` longer. `None`: that was not enough.
pub(crate) async fn drained<T>(shutdown: &Shutdown, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut shutdown = shutdown.clone();
    let overdue = async {
        requested(&mut shutdown).await;
        tokio::time::sleep(limit).await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = overdue => None,
    }
}

/// How many partitions an error about draining names.
const NOT_COMMITTED_SHOWN: usize = 10;

/// The end of a task that did not drain in time. `open` says what was read and not committed, partition by partition.
pub(crate) fn not_drained(task: &str, limit: Duration, open: &[String]) -> Failure {
    let what = if open.is_empty() {
        "everything that was read is committed".to_owned()
    } else {
        let mut lines: Vec<_> = open.iter().take(NOT_COMMITTED_SHOWN).map(|line| format!("\n  {line}")).collect();
        if open.len() > NOT_COMMITTED_SHOWN {
            lines.push(format!("\n  and {} more", open.len() - NOT_COMMITTED_SHOWN));
        }
        format!("not committed:{}", lines.concat())
    };
    Failure::environment(format!("task {task}: not drained within {limit:?} (`shutdown_timeout`); {what}"))
        .with_help("the next start reads it again; some of it may be in the target already")
}

/// Waits until the task is asked to end; for ever if nobody can ask any more.
pub(crate) async fn requested(shutdown: &mut Shutdown) {
    if shutdown.wait_for(|asked| *asked).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl ClusterSpec {
    /// As errors name it.
    pub fn place(&self) -> String {
        in_connection(&self.name)
    }

    /// Reaches the cluster.
    ///
    /// # Errors
    /// As the client says: exit 3 mostly.
    pub async fn connect(&self) -> Result<Client, Failure> {
        let mut builder = Client::builder().bootstrap(&self.servers).client_id("ottla");
        if let Some(auth) = &self.auth {
            builder = auth.apply(builder);
        }
        if let Some(tls) = &self.tls {
            builder = builder.tls(tls.as_ref().clone());
        }
        builder.connect().await.map_err(|error| client_failure(&self.place(), &error))
    }
}

impl ClusterSpec {
    /// [`ClusterSpec::connect`], and says after some seconds that nobody answers yet.
    async fn connect_saying(&self, task: &str, console: &Console) -> Result<Client, Failure> {
        outage::connecting(task, &self.name, &self.servers, console, self.connect()).await
    }
}

impl TargetSpec {
    fn on_push_error(&self) -> OnError {
        match self {
            Self::Kafka(to) => to.on_push_error,
            // A file refuses no single record: it can be written or it cannot.
            Self::Jsonl(_) => OnError::Stop,
        }
    }

    async fn open(&self, task: &str, console: &Console, timing: &Timing) -> Result<Target, Failure> {
        match self {
            Self::Kafka(to) => {
                let client = to.cluster.connect_saying(task, console).await?;
                let options = KafkaTargetOptions {
                    connection: to.cluster.name.clone(),
                    naming: to.naming.clone(),
                    acks: to.acks,
                    compression: to.compression,
                    delivery_timeout: timing.delivery,
                    partition_by: to.partition_by.clone(),
                    max_request_bytes: to.max_request_bytes,
                    stop_at_failure: to.on_push_error == OnError::Stop,
                };
                Ok(Target::Kafka(Box::new(KafkaTarget::open(client, options).await?)))
            }
            Self::Jsonl(to) => {
                let say = |line: &str| console.say(&format!("{task}: {line}"));
                let mut target = JsonlTarget::open(&to.path, to.existing, to.purpose, &say).await?;
                target.take_notes().iter().for_each(|note| say(note));
                Ok(Target::Jsonl(Box::new(target)))
            }
        }
    }
}

/// The target's cluster with its connection's name, if it is one.
fn watched(spec: &TargetSpec, target: &Target) -> Option<(String, Client)> {
    match (spec, target) {
        (TargetSpec::Kafka(to), Target::Kafka(kafka)) => Some((to.cluster.name.clone(), kafka.client().clone())),
        _ => None,
    }
}
