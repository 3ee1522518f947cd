//! What the tests of tasks share: a development broker in this process, jobs on it, and looks at what they left.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_client::{Client, CommitOffset, Outgoing, ProducerOptions, TopicPartition};
use ottla_connector::config::model::{AckLevel, JsonlPath, OnError, OnUnavailable, TopicExpression};
use ottla_connector::core::batcher::Limits;
use ottla_connector::mode::{Mode, group};
use ottla_connector::progress::Console;
use ottla_connector::source::kafka::Selection;
use ottla_connector::target::jsonl::{Existing, Purpose};
use ottla_connector::target::kafka::Naming;
use ottla_connector::task::{
    self, ClusterSpec, Job, JsonlTo, KafkaFrom, KafkaTo, Outcome, SourceSpec, TargetSpec, Timing,
};
use ottla_devbroker::{DevBroker, LogRecord};
use ottla_protocol::ApiKey;
use ottla_protocol::compression::Compression;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longer than anything here takes on a loaded machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A config file, `ottla.toml`, in a temporary directory.
pub struct Config {
    /// Removed with the config.
    pub directory: TempDir,
}

impl Config {
    /// Writes the config file.
    pub fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("ottla.toml"), text).expect("written");
        Self { directory }
    }

    /// The config file.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("ottla.toml")
    }

    /// The file that targets of these configs write: `out.jsonl`.
    pub fn out(&self) -> PathBuf {
        self.directory.path().join("out.jsonl")
    }

    /// Runs `ottla run` to its end.
    pub async fn run(&self, args: &[&str]) -> std::process::Output {
        let file = self.file();
        let all = [&["run", file.to_str().expect("letters")], args].concat();
        ottla(&all, b"").await
    }

    /// Starts `ottla run`.
    pub fn start(&self, args: &[&str]) -> Process {
        let file = self.file();
        Process::start(self.directory.path(), &[&["run", file.to_str().expect("letters")], args].concat())
    }
}

/// A broker on a free port that makes no topics by itself.
pub async fn broker() -> DevBroker {
    DevBroker::builder().auto_create(false).start().await.expect("a broker")
}

/// A client of the broker.
pub async fn client(broker: &DevBroker) -> Client {
    Client::builder().bootstrap(broker.bootstrap()).connect().await.expect("connected")
}

/// Sends values to a partition, in order.
pub async fn produce(broker: &DevBroker, topic: &str, partition: i32, values: &[&[u8]]) {
    let records: Vec<_> = values.iter().map(|value| (None, Some(*value))).collect();
    produce_keyed(broker, topic, partition, &records).await;
}

/// A key and a value.
pub type Pair<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Sends keys and values to a partition, in order.
pub async fn produce_keyed(broker: &DevBroker, topic: &str, partition: i32, records: &[Pair<'_>]) {
    let producer = client(broker).await.producer(ProducerOptions::default()).await.expect("a producer");
    let topic = producer.topic(topic).await.expect("the topic");
    let mut last = Vec::new();
    for (key, value) in records {
        let outgoing = Outgoing { partition: Some(partition), key: *key, value: *value, ..Outgoing::default() };
        last.push(topic.send(outgoing).await.expect("sent"));
    }
    for delivery in last {
        delivery.await.expect("acknowledged");
    }
}

/// `{"at":"<partition>-<offset>"}` for each of these offsets.
pub fn objects(partition: i32, offsets: std::ops::Range<i64>) -> Vec<String> {
    offsets.map(|offset| format!("{{\"at\":\"{partition}-{offset}\"}}")).collect()
}

/// Sends what [`objects`] gives.
pub async fn fill(broker: &DevBroker, topic: &str, partition: i32, offsets: std::ops::Range<i64>) {
    let values = objects(partition, offsets);
    let values: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
    produce(broker, topic, partition, &values).await;
}

/// The values of a partition, as text.
pub fn values(broker: &DevBroker, topic: &str, partition: i32) -> Vec<String> {
    let text = |record: LogRecord| record.value.map(|value| String::from_utf8(value.to_vec()).expect("text"));
    log(broker, topic, partition)
        .into_iter()
        .map(|record| text(record).unwrap_or_else(|| "(none)".to_owned()))
        .collect()
}

/// Everything in a partition; nothing if it does not exist.
pub fn log(broker: &DevBroker, topic: &str, partition: i32) -> Vec<LogRecord> {
    broker.log(topic, partition).unwrap_or_default()
}

/// The committed offsets of a group for the partitions of a topic, from 0 on.
pub async fn committed(broker: &DevBroker, group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    let places: Vec<_> = (0..partitions).map(|partition| TopicPartition::new(topic, partition)).collect();
    let found = client(broker).await.committed(group, &places).await.expect("the group's offsets");
    places.iter().map(|place| found.get(place).map(|committed| committed.offset)).collect()
}

/// Commits offsets for partitions of a topic, from 0 on, as some other tool would.
pub async fn commit(broker: &DevBroker, group: &str, topic: &str, offsets: &[Option<i64>]) {
    let named = (0..).zip(offsets).filter_map(|(partition, offset)| Some((partition, (*offset)?)));
    let named: Vec<_> =
        named.map(|(partition, offset)| CommitOffset::new(TopicPartition::new(topic, partition), offset)).collect();
    client(broker).await.commit(group, &named).await.expect("committed");
}

/// Asks again and again until the answer is yes.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "not seen after {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A clock that makes tests quick: commits every 10 ms, new topics every 50 ms, push errors after 2 s.
pub fn quick() -> Timing {
    Timing {
        commit: Limits { interval: Duration::from_millis(10), bytes: 64 << 20 },
        discover: Duration::from_millis(50),
        delivery: Duration::from_secs(2),
        shutdown: Duration::from_secs(25),
    }
}

/// The cluster of a broker.
pub fn cluster(broker: &DevBroker) -> ClusterSpec {
    ClusterSpec { name: "shop".to_owned(), servers: broker.bootstrap(), auth: None, tls: None }
}

/// Topics as the source of a task.
pub fn from_topics(broker: &DevBroker, expression: &str, mode: Mode) -> KafkaFrom {
    KafkaFrom {
        cluster: cluster(broker),
        selection: Selection::Matching(TopicExpression::parse(expression).expect("an expression")),
        mode: Some(mode),
        on_unavailable: OnUnavailable::Continue,
        from_earliest: Vec::new(),
        command: String::new(),
        on_bad_message: OnError::Stop,
        allow_empty: false,
    }
}

/// A topic as the target of a task.
pub fn to_topic(broker: &DevBroker, topic: &str) -> KafkaTo {
    KafkaTo {
        cluster: cluster(broker),
        naming: Naming::Fixed(topic.to_owned()),
        acks: AckLevel::Majority,
        compression: Compression::Lz4,
        on_push_error: OnError::Stop,
        partition_by: None,
        max_request_bytes: None,
    }
}

/// A job with the quick clock.
pub fn job(name: &str, from: KafkaFrom, target: TargetSpec) -> Job {
    let source = SourceSpec::Kafka(from);
    Job { name: name.to_owned(), group: group(name), command: task::Command::Run, source, target, timing: quick() }
}

/// A file in a directory of its own.
pub struct OutFile {
    directory: TempDir,
}

impl OutFile {
    /// An empty directory.
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("out.jsonl")
    }

    /// The file as a target.
    pub fn target(&self) -> TargetSpec {
        TargetSpec::Jsonl(JsonlTo {
            path: JsonlPath::File(self.path()),
            existing: Existing::Append,
            purpose: Purpose::Task,
        })
    }

    /// Its lines; none while it does not exist.
    pub fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Its lines in order, without regard to how partitions were interleaved.
    pub fn sorted(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.sort();
        lines
    }
}

/// Sorted, for the comparison with [`OutFile::sorted`].
pub fn sorted(parts: &[Vec<String>]) -> Vec<String> {
    let mut all = parts.concat();
    all.sort();
    all
}

/// Runs a job to its end.
pub async fn run(job: Job) -> Outcome {
    let (_keep, shutdown) = watch::channel(false);
    let running = task::run(job, Console::nowhere(), shutdown);
    tokio::time::timeout(PATIENCE, running).await.expect("the task ends")
}

/// Runs a job to its end, and gives what it said, too.
pub async fn heard(job: Job) -> (Outcome, Vec<String>) {
    let (_keep, shutdown) = watch::channel(false);
    let console = Console::nowhere();
    let outcome = tokio::time::timeout(PATIENCE, task::run(job, console.clone(), shutdown)).await.expect("an end");
    (outcome, console.said())
}

/// Runs a job to its end, which has to be a good one.
pub async fn run_ok(job: Job) -> Outcome {
    let outcome = run(job).await;
    assert!(outcome.result.is_ok(), "{:?}", outcome.result);
    outcome
}

/// A job that runs in the background.
pub struct Running {
    shutdown: watch::Sender<bool>,
    task: JoinHandle<Outcome>,
}

/// Starts a job.
pub fn start(job: Job) -> Running {
    let (shutdown, receiver) = watch::channel(false);
    let task = tokio::spawn(task::run(job, Console::nowhere(), receiver));
    Running { shutdown, task }
}

impl Running {
    /// Asks it to end, and waits.
    pub async fn stop(self) -> Outcome {
        self.shutdown.send_replace(true);
        self.end().await
    }

    /// Asks it to end once it reads, and waits.
    pub async fn stop_when(self, broker: &DevBroker) -> Outcome {
        let before = broker.requests(ApiKey::OFFSET_COMMIT);
        until("the positions of the start", async || broker.requests(ApiKey::OFFSET_COMMIT) > before || self.is_over())
            .await;
        self.stop().await
    }

    /// Waits for its end.
    pub async fn end(self) -> Outcome {
        tokio::time::timeout(PATIENCE, self.task).await.expect("the task ends").expect("no panic")
    }

    /// Has it ended?
    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// The end of a process as the task sees it: nothing more of it runs.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// The binary under test: ours, or the one that `OTTLA_BINARY` names, such as the static one or an older one.
pub fn binary() -> PathBuf {
    std::env::var_os("OTTLA_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_ottla").into(), PathBuf::from)
}

/// Runs the `ottla` binary to its end with this on its standard input.
pub async fn ottla(args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(binary());
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("ottla runs");
    let mut stdin = child.stdin.take().expect("its input is ours");
    let (input, id) = (input.to_vec(), child.id());
    // It may end before it has read all.
    let feed = tokio::task::spawn_blocking(move || drop(stdin.write_all(&input)));
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().expect("its output"));
    let Ok(output) = tokio::time::timeout(PATIENCE, ended).await else {
        drop(Command::new("sh").arg("-c").arg(format!("kill -KILL {id}")).status());
        panic!("ottla {args:?} did not end within {PATIENCE:?}");
    };
    drop(feed.await);
    output.expect("no panic")
}

/// What it said on standard error.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `ottla` in the background, its standard error in a file.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; `directory` is where its log is written.
    pub fn start(directory: &Path, args: &[&str]) -> Self {
        let log = directory.join("ottla.log");
        let file = std::fs::File::options().create(true).append(true).open(&log).expect("a log file");
        let mut command = Command::new(binary());
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        Self { child: command.spawn().expect("ottla runs"), log }
    }

    /// Starts it with its standard output in our hands.
    pub fn start_piped(directory: &Path, args: &[&str]) -> (Self, ChildStdout) {
        let log = directory.join("ottla.log");
        let file = std::fs::File::options().create(true).append(true).open(&log).expect("a log file");
        let mut command = Command::new(binary());
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().expect("ottla runs");
        let stdout = child.stdout.take().expect("its output is ours");
        (Self { child, log }, stdout)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Starts it by another program that becomes it, such as `env`.
    pub fn start_other(directory: &Path, program: &str, args: &[String]) -> Self {
        let log = directory.join("ottla.log");
        let file = std::fs::File::options().create(true).append(true).open(&log).expect("a log file");
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        Self { child: command.spawn().expect("it runs"), log }
    }

    /// Starts it with its standard input and output as pipes, which the caller holds.
    pub fn start_fed(directory: &Path, args: &[&str]) -> (Self, ChildStdin, ChildStdout) {
        let log = directory.join("ottla.log");
        let file = std::fs::File::options().create(true).append(true).open(&log).expect("a log file");
        let mut command = Command::new(binary());
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().expect("ottla runs");
        let (stdin, stdout) = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
        (Self { child, log }, stdin, stdout)
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let kill = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(kill.expect("kill runs").success(), "SIG{name} was not sent");
    }

    /// Whether it has a handler for SIGTERM yet: bit 14 of `SigCgt` (proc_pid_status(5)).
    pub fn handles_termination(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & (1 << 14) != 0)
    }

    /// Waits for its end and gives its exit code.
    pub async fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        until("the end of ottla", async || {
            status = self.ended();
            status.is_some()
        })
        .await;
        status.and_then(|status| status.code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A console for tests that look at nothing it says.
pub fn nowhere() -> Arc<Console> {
    Console::nowhere()
}
