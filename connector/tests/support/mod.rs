//! What the tests against real Kafka share: one broker a test binary, the `ottla` binary, and data.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ottla_brokers::{Finished, Kafka, Release, kcat, run};
use tempfile::TempDir;

/// Longer than anything here takes on a loaded machine; a run that needs it has hung.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// The broker of this test binary, of the release named by `OTTLA_KAFKA`.
pub fn kafka() -> &'static Kafka {
    static KAFKA: OnceLock<Kafka> = OnceLock::new();
    KAFKA.get_or_init(|| {
        let release = Release::from_env().unwrap_or_else(|error| panic!("{error}"));
        Kafka::start(release).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// A name that no other test uses, for topics and tasks.
pub fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{stem}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// `count` JSON objects, one a line, with all that a careless reader would change: big integers, long decimals,
/// escapes, Chinese text, nested and repeated keys.
pub fn json_lines(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        let _ = writeln!(
            text,
            r#"{{"n":{n},"big":9007199254740993{n:03},"price":{n}.10,"tiny":1.0e-0{digit},"客户":"王\u5c0f明 \"{n}\"","in":{{"a":[1,{{}},null],"a":true}} }}"#,
            digit = n % 10
        );
        text
    })
}

/// Writes lines to a topic's partition by kcat.
pub fn produce(kafka: &Kafka, topic: &str, partition: i32, lines: &str) {
    let partition = partition.to_string();
    let args = ["-b", &kafka.bootstrap(), "-P", "-t", topic, "-p", &partition];
    kcat(&args, lines.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
}

/// All values of a topic's partition from an offset on, one a line, by kcat.
pub fn consume(kafka: &Kafka, topic: &str, partition: i32, from: i64) -> String {
    let (partition, from) = (partition.to_string(), from.to_string());
    let args = ["-b", &kafka.bootstrap(), "-C", "-t", topic, "-p", &partition, "-o", &from, "-e", "-q"];
    kcat(&args, &[]).unwrap_or_else(|error| panic!("{error}")).text()
}

/// The values of a topic's partition between two offsets, one a line, by kcat. Every offset must hold a record.
pub fn consume_range(kafka: &Kafka, topic: &str, partition: i32, offsets: std::ops::Range<i64>) -> String {
    if offsets.is_empty() {
        return String::new();
    }
    let [partition, from, count] =
        [i64::from(partition), offsets.start, offsets.end - offsets.start].map(|n| n.to_string());
    let args = ["-b", &kafka.bootstrap(), "-C", "-t", topic, "-p", &partition, "-o", &from, "-c", &count, "-q"];
    kcat(&args, &[]).unwrap_or_else(|error| panic!("{error}")).text()
}

/// Asks again and again until the answer is yes.
///
/// # Panics
///
/// When it is not yes after [`PATIENCE`].
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "not seen after {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The binary under test: ours, or the one that `OTTLA_BINARY` names, such as the static one.
pub fn binary() -> PathBuf {
    std::env::var_os("OTTLA_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_ottla").into(), PathBuf::from)
}

/// Runs `ottla` to its end.
pub fn ottla(args: &[&str], input: &[u8]) -> Finished {
    let mut command = Command::new(binary());
    run(command.args(args), input, PATIENCE).unwrap_or_else(|error| panic!("{error}"))
}

/// The same, for a run that must end with 0.
pub fn ottla_ok(args: &[&str], input: &[u8]) -> Finished {
    ottla(args, input).success().unwrap_or_else(|error| panic!("{error}"))
}

/// `ottla run` of one task between two connections, in a directory of its own.
pub struct Task {
    directory: TempDir,
    /// The task's name.
    pub name: String,
}

/// A task that runs.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Task {
    /// A task with a name of its own; the config file comes with [`Task::config`].
    pub fn new(stem: &str) -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        Self { directory, name: unique(stem) }
    }

    /// From a topic expression into [`Task::output`], in a mode.
    pub fn topic_to_file(&self, kafka: &Kafka, topics: &str, mode: &str, source_keys: &str) {
        let path = self.output();
        let target = format!("kind = \"jsonl\"\nrole = \"target\"\npath = '{}'\n", path.display());
        self.config(&kafka_source(kafka, topics, source_keys), &target, mode);
    }

    /// From one topic into another of the same cluster.
    pub fn topic_to_topic(&self, kafka: &Kafka, from: &str, to: &str, mode: &str, target_keys: &str) {
        let target = format!(
            "kind = \"kafka\"\nrole = \"target\"\nbootstrap = [{}]\ntopics = \"{to}\"\n{target_keys}\n",
            quoted(&kafka.bootstrap())
        );
        self.config(&kafka_source(kafka, from, ""), &target, mode);
    }

    /// Writes the config file.
    pub fn config(&self, source: &str, target: &str, mode: &str) {
        let text = format!(
            "[connections.from]\n{source}\n[connections.to]\n{target}\n\
             [tasks.{}]\nsource = \"from\"\ntarget = \"to\"\nmode = \"{mode}\"\n",
            self.name
        );
        fs::write(self.file(), text).unwrap_or_else(|error| panic!("the config file cannot be written: {error}"));
    }

    /// The name of the group that keeps the task's positions.
    pub fn group(&self) -> String {
        format!("ottla-{}", self.name)
    }

    /// The JSONL file that [`Task::topic_to_file`] writes.
    pub fn output(&self) -> PathBuf {
        self.path("out.jsonl")
    }

    /// What that file holds now; empty if it does not exist.
    pub fn written(&self) -> String {
        fs::read_to_string(self.output()).unwrap_or_default()
    }

    /// A path in the task's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The same task in a directory of its own, as another process with another target would run it.
    pub fn again(&self) -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        Self { directory, name: self.name.clone() }
    }

    /// Runs the task to its end.
    pub fn run(&self) -> Finished {
        ottla(&["run", &self.file().display().to_string()], &[])
    }

    /// Runs the task to its end, with more arguments.
    pub fn run_with(&self, more: &[&str]) -> Finished {
        let file = self.file().display().to_string();
        ottla(&[&["run", file.as_str()], more].concat(), &[])
    }

    /// The same, for a run that must end with 0.
    pub fn run_ok(&self) -> Finished {
        self.run().success().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts the task.
    pub fn start(&self) -> Running {
        self.start_with(&[])
    }

    /// Starts the task, with more arguments.
    pub fn start_with(&self, more: &[&str]) -> Running {
        let log = self.path("ottla.log");
        let output = File::options().create(true).append(true).open(&log);
        let output = output.unwrap_or_else(|error| panic!("no log file: {error}"));
        let mut command = Command::new(binary());
        command.arg("run").arg(self.file()).args(more).stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("ottla cannot be run: {error}"));
        Running { child, log }
    }

    fn file(&self) -> PathBuf {
        self.path("task.toml")
    }
}

impl Running {
    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap_or_else(|error| panic!("ottla cannot be waited for: {error}"))
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> ExitStatus {
        let mut status = None;
        let log = self.log.clone();
        until(&format!("the end of ottla, whose log is\n{}", self.log()), || {
            status = self.ended();
            status.is_some()
        });
        status.unwrap_or_else(|| panic!("no status; log:\n{}", read(&log)))
    }

    /// Waits until the answer is yes while it runs.
    ///
    /// # Panics
    ///
    /// When it ends by itself before, or after [`PATIENCE`].
    pub fn until(&mut self, what: &str, mut done: impl FnMut() -> bool) {
        until(&format!("{what}; log:\n{}", self.log()), || {
            let ended = self.ended();
            let done = done();
            assert!(done || ended.is_none(), "{what}: ottla ended by itself with {ended:?}; log:\n{}", self.log());
            done
        });
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(mut self) -> ExitStatus {
        assert!(self.ended().is_none(), "ottla ended by itself:\n{}", self.log());
        self.signal("TERM");
        self.wait()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} could not be sent");
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.unwrap_or_else(|error| panic!("ottla cannot be killed: {error}"));
    }

    /// What it has said so far, on standard error.
    pub fn log(&self) -> String {
        read(&self.log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only a test that fails leaves it running; its own message counts then.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The keys of a Kafka source connection.
pub fn kafka_source(kafka: &Kafka, topics: &str, keys: &str) -> String {
    format!(
        "kind = \"kafka\"\nrole = \"source\"\nbootstrap = [{}]\ntopics = \"{topics}\"\n{keys}\n",
        quoted(&kafka.bootstrap())
    )
}

/// `a,b` as `"a", "b"`.
fn quoted(bootstrap: &str) -> String {
    bootstrap.split(',').map(|address| format!("\"{address}\"")).collect::<Vec<_>>().join(", ")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
