//! Jobs from the tasks of a config file.

use crate::config::model::{Bootstrap, Config, Connection, Jsonl, JsonlPath, Kafka, Kind, SHUTDOWN_TIMEOUT, Task};
use crate::exit::Failure;
use crate::mode::Mode;
use crate::source::jsonl::Input;
use crate::source::kafka::Selection;
use crate::source::sniff::quoted;
use crate::target::jsonl::{Existing, Purpose};
use crate::target::kafka::Naming;

use super::{
    ClusterSpec, Command, Job, JsonlTo, KafkaFrom, KafkaTo, LinesFrom, Positions, SourceSpec, TargetSpec, Timing,
};

impl Job {
    /// The job of one task. `embedded` are the addresses of the development broker in this process.
    ///
    /// # Errors
    /// Exit 2: the task asks for what its connections cannot do.
    pub fn from_config(config: &Config, task: &Task, embedded: &[String]) -> Result<Self, Failure> {
        let missing = |name: &str| Failure::usage(format!("task {}: there is no connection {name}", task.name));
        let source = config.source_of(task).ok_or_else(|| missing(&task.source))?;
        let target = config.target_of(task).ok_or_else(|| missing(&task.target))?;
        Ok(Self {
            name: task.name.clone(),
            group: task.group.clone(),
            command: Command::Run,
            source: source_spec(config, task, source, embedded)?,
            target: target_spec(source, target, embedded),
            timing: Timing { shutdown: config.shutdown_timeout.unwrap_or(SHUTDOWN_TIMEOUT), ..Timing::default() },
        })
    }

    /// Lets a task of a file forget its position and begin at the first line.
    ///
    /// # Errors
    /// Exit 2: its source is no file whose positions are kept here.
    pub fn begin_again(&mut self) -> Result<(), Failure> {
        if let SourceSpec::Lines(LinesFrom { positions: Some(positions), .. }) = &mut self.source {
            positions.from_start = true;
            return Ok(());
        }
        Err(Failure::usage(format!("task {}: --from-start is for a task whose source is a file", self.name))
            .with_help("the positions of topics are kept by their cluster"))
    }
}

impl Job {
    /// The same job, which reads these topics from their earliest offsets, whatever is committed.
    #[must_use]
    pub fn from_earliest(mut self, topics: &[String]) -> Self {
        if let SourceSpec::Kafka(from) = &mut self.source {
            from.from_earliest = topics.to_vec();
        }
        self
    }
}

fn source_spec(config: &Config, task: &Task, source: &Connection, embedded: &[String]) -> Result<SourceSpec, Failure> {
    match &source.kind {
        Kind::Kafka(kafka) => Ok(SourceSpec::Kafka(KafkaFrom {
            cluster: cluster(source, kafka, embedded),
            selection: Selection::Matching(kafka.topics.clone()),
            mode: Some(task.mode),
            on_unavailable: task.on_unavailable,
            from_earliest: Vec::new(),
            command: format!("ottla run {} {}", config.file.display(), task.name),
            on_bad_message: source.on_bad_message,
            allow_empty: task.allow_empty,
        })),
        Kind::Jsonl(Jsonl { path: JsonlPath::Stdio }) if task.mode != Mode::Full => {
            Err(Failure::usage(format!("task {}: standard input has no positions for mode {}", task.name, task.mode))
                .with_help("use mode = \"full\": it reads standard input to its end"))
        }
        Kind::Jsonl(jsonl) => Ok(SourceSpec::Lines(LinesFrom {
            input: Input::from(&jsonl.path),
            on_bad_message: source.on_bad_message,
            positions: positions(config, task),
        })),
    }
}

/// A file's positions outlive the process only if what was written does: the broker in this process forgets it.
fn positions(config: &Config, task: &Task) -> Option<Positions> {
    let forgets = |target: &Connection| match &target.kind {
        Kind::Kafka(kafka) => kafka.bootstrap == Bootstrap::Embedded,
        Kind::Jsonl(_) => false,
    };
    if task.mode == Mode::Full && config.target_of(task).is_some_and(forgets) {
        return None;
    }
    let (file, name) = (config.file.display().to_string(), &task.name);
    Some(Positions {
        directory: config.state_dir.clone(),
        mode: task.mode,
        from_start: false,
        again: format!("ottla run {} {name} --from-start {name}", quoted(&file)),
    })
}

fn target_spec(source: &Connection, target: &Connection, embedded: &[String]) -> TargetSpec {
    match &target.kind {
        Kind::Kafka(kafka) => TargetSpec::Kafka(KafkaTo {
            cluster: cluster(target, kafka, embedded),
            naming: naming(source, kafka),
            acks: kafka.acks,
            compression: kafka.compression,
            on_push_error: target.on_push_error,
            partition_by: kafka.partition_by.clone(),
            max_request_bytes: kafka.max_request_bytes,
        }),
        Kind::Jsonl(jsonl) => {
            TargetSpec::Jsonl(JsonlTo { path: jsonl.path.clone(), existing: Existing::Append, purpose: Purpose::Task })
        }
    }
}

/// The topic that the target names; else the source's own, which for a file is its name without the ending.
pub(crate) fn naming(source: &Connection, target: &Kafka) -> Naming {
    if let Some(topic) = target.topics.literal() {
        return Naming::Fixed(topic);
    }
    match &source.kind {
        Kind::Kafka(_) => Naming::Same,
        Kind::Jsonl(Jsonl { path }) => file_topic(path).map_or(Naming::Same, Naming::Fixed),
    }
}

fn file_topic(path: &crate::config::model::JsonlPath) -> Option<String> {
    let crate::config::model::JsonlPath::File(path) = path else { return None };
    let stem = path.file_stem()?.to_str()?;
    crate::config::topics::is_topic_name(stem).then(|| stem.to_owned())
}

fn cluster(connection: &Connection, kafka: &Kafka, embedded: &[String]) -> ClusterSpec {
    let servers = match &kafka.bootstrap {
        Bootstrap::Embedded => embedded.to_vec(),
        Bootstrap::Servers(servers) => servers.clone(),
    };
    ClusterSpec { name: connection.name.clone(), servers, auth: kafka.auth.clone(), tls: kafka.tls.clone() }
}
