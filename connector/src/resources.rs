//! What tasks read and write, and whether two of them meet: one comparison for rings, for tasks that wait for each
//! other, and for two writers of one file.
//!
//! A topic is known by its cluster and its name, a file by its device and inode. `ottla check` opens no socket: to it two
//! connections lead to one cluster if their bootstrap lists overlap. `ottla run` asks the clusters for their ids where
//! that could make a difference ([`undecided`]).

mod names;
mod rings;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use ottla_client::Client;

use crate::config::model::{Bootstrap, Config, Connection, JsonlPath, Kind, Mode, Task};
use crate::config::topics::TopicExpression;
use crate::file_id::{FileId, directory_of, resolved};
use crate::target::kafka::Naming;
use crate::task::build::naming;

pub use self::rings::{RING_HELP, Ring, rings};

/// What a cluster says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterFacts {
    /// Its id; Kafka has them from 0.10.1 on.
    pub id: Option<String>,
    /// Its brokers' advertised addresses.
    pub brokers: Vec<(String, u16)>,
}

impl ClusterFacts {
    /// Asks a client.
    pub fn of(client: &Client) -> Self {
        let brokers = client.brokers().into_iter().map(|broker| (broker.host.to_string(), broker.port)).collect();
        Self { id: client.cluster_id(), brokers }
    }

    /// Do both describe one cluster? Ids decide; without them a shared address does.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.id, &other.id) {
            (Some(one), Some(other)) => one == other,
            _ => self.brokers.iter().any(|broker| other.brokers.contains(broker)),
        }
    }
}

/// What is known of clusters, by connection; connections that were not asked are missing.
pub type Facts = BTreeMap<String, ClusterFacts>;

/// A file as the system tells it from others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FileIdentity {
    /// A file that exists.
    Existing(FileId),
    /// The resolved path of one that does not exist yet, or on systems without inodes.
    Path(PathBuf),
}

impl FileIdentity {
    /// The identity of the file at a path; `None` for what is no regular file, such as a pipe or `/dev/null`.
    pub fn of(path: &Path) -> Option<Self> {
        let existing = match std::fs::metadata(path) {
            Ok(about) if !about.is_file() => return None,
            Ok(about) => FileId::of(&about),
            Err(_) => None,
        };
        Some(existing.map_or_else(|| Self::Path(whole(path)), Self::Existing))
    }
}

/// The path with its links followed and its directory resolved.
fn whole(path: &Path) -> PathBuf {
    let path = resolved(path).unwrap_or_else(|_| path.to_owned());
    match (directory_of(&path).canonicalize(), path.file_name()) {
        (Ok(directory), Some(name)) => directory.join(name),
        _ => path,
    }
}

/// Names a cluster within one comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterNumber(usize);

/// Where a task's records come from.
#[derive(Debug, Clone)]
pub enum From {
    /// All topics of a cluster that an expression matches.
    Topics(ClusterNumber, TopicExpression),
    /// A file.
    File(FileIdentity),
    /// Standard input or a special file, which nobody else writes.
    Elsewhere,
}

/// Where a task's records go.
#[derive(Debug, Clone)]
pub enum To {
    /// Topics of a cluster.
    Topics(ClusterNumber, Naming),
    /// A file.
    File(FileIdentity),
    /// Standard output or a special file, which nobody else reads.
    Elsewhere,
}

/// One task as a way from one place to another.
#[derive(Debug, Clone)]
pub struct Way {
    /// The task.
    pub task: String,
    /// The connection that is read.
    pub source: String,
    /// The connection that is written.
    pub target: String,
    /// Its mode.
    pub mode: Mode,
    /// Where records come from.
    pub from: From,
    /// Where they go.
    pub to: To,
}

/// What two tasks share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meeting {
    /// A topic; with an expression on both sides, an example of one.
    Topic(String),
    /// A file.
    File,
}

impl Way {
    /// Does it write to the topic of the same name?
    pub fn keeps_names(&self) -> bool {
        matches!(self.to, To::Topics(_, Naming::Same))
    }

    /// What `self` writes and `reader` reads.
    pub fn feeds(&self, reader: &Self) -> Option<Meeting> {
        match (&self.to, &reader.from) {
            (To::File(one), From::File(other)) => (one == other).then_some(Meeting::File),
            (To::Topics(into, naming), From::Topics(of, expression)) if into == of => match (naming, &self.from) {
                (Naming::Fixed(name), _) => expression.matches(name).then(|| Meeting::Topic(name.clone())),
                (Naming::Same, From::Topics(_, own)) => names::common(&[own, expression]).map(Meeting::Topic),
                (Naming::Same, _) => None,
            },
            _ => None,
        }
    }
}

/// The tasks as ways. Tasks whose connections are missing or broken are left out.
pub fn ways<'t>(config: &Config, tasks: impl IntoIterator<Item = &'t Task>, facts: &Facts) -> Vec<Way> {
    let clusters = Clusters::of(config, |one, other| match (facts.get(one), facts.get(other)) {
        (Some(one), Some(other)) => Some(one.is_same(other)),
        _ => None,
    });
    ways_in(config, tasks, &clusters)
}

fn ways_in<'t>(config: &Config, tasks: impl IntoIterator<Item = &'t Task>, clusters: &Clusters<'_>) -> Vec<Way> {
    let way = |task: &Task| {
        let (source, target) = (config.source_of(task)?, config.target_of(task)?);
        Some(Way {
            task: task.name.clone(),
            source: source.name.clone(),
            target: target.name.clone(),
            mode: task.mode,
            from: clusters.from(source)?,
            to: clusters.to(source, target)?,
        })
    };
    tasks.into_iter().filter_map(way).collect()
}

/// Connections whose cluster has to be known before the tasks may run: only if two of them lead to one cluster does one
/// task feed another.
pub fn undecided<'t>(config: &Config, tasks: impl IntoIterator<Item = &'t Task> + Clone) -> Vec<String> {
    let sure = ways(config, tasks.clone(), &Facts::new());
    let perhaps = ways_in(config, tasks, &Clusters::of(config, |_, _| Some(true)));
    let mut connections = Vec::new();
    for (writer, sure_writer) in perhaps.iter().zip(&sure) {
        for (reader, sure_reader) in perhaps.iter().zip(&sure) {
            let depends = writer.task != reader.task
                && writer.feeds(reader).is_some()
                && sure_writer.feeds(sure_reader).is_none();
            if depends {
                connections.extend([&writer.source, &writer.target, &reader.source, &reader.target].map(String::clone));
            }
        }
    }
    connections.sort();
    connections.dedup();
    connections.retain(|name| {
        let kafka = config.connections.get(name).map(|connection| &connection.kind);
        matches!(kafka, Some(Kind::Kafka(kafka)) if kafka.bootstrap != Bootstrap::Embedded)
    });
    connections
}

/// By task: the `full` tasks whose end a `full` task waits for, since they write what it reads, and what that is. Tasks
/// that would wait for each other do not wait.
pub fn waits(ways: &[Way]) -> BTreeMap<String, Vec<(String, Meeting)>> {
    let mut edges: BTreeMap<String, Vec<(String, Meeting)>> = BTreeMap::new();
    for reader in ways.iter().filter(|way| way.mode == Mode::Full) {
        let writers = ways.iter().filter(|way| way.mode == Mode::Full && way.task != reader.task);
        let met = writers.filter_map(|writer| Some((writer.task.clone(), writer.feeds(reader)?)));
        edges.insert(reader.task.clone(), met.collect());
    }
    let reaches = |from: &str, to: &str| {
        let (mut seen, mut open) = (vec![from.to_owned()], vec![from.to_owned()]);
        while let Some(name) = open.pop() {
            for (next, _) in edges.get(&name).into_iter().flatten() {
                if next == to {
                    return true;
                }
                if !seen.contains(next) {
                    seen.push(next.clone());
                    open.push(next.clone());
                }
            }
        }
        false
    };
    let kept = |(name, writers): (&String, &Vec<(String, Meeting)>)| {
        let writers = writers.iter().filter(|(writer, _)| !reaches(writer, name)).cloned().collect();
        (name.clone(), writers)
    };
    edges.iter().map(kept).collect()
}

/// Pairs of tasks that write one file: the later one first.
pub fn shared_files(ways: &[Way]) -> Vec<(&Way, &Way)> {
    let mut written: HashMap<&FileIdentity, &Way> = HashMap::new();
    let mut shared = Vec::new();
    for way in ways {
        if let To::File(file) = &way.to
            && let Some(other) = written.insert(file, way)
        {
            shared.push((way, other));
        }
    }
    shared
}

/// Which Kafka connections lead to one cluster.
struct Clusters<'c>(BTreeMap<&'c str, ClusterNumber>);

impl<'c> Clusters<'c> {
    /// `known` says whether two connections lead to one cluster, if that is known; else the bootstrap lists decide.
    fn of(config: &'c Config, known: impl Fn(&str, &str) -> Option<bool>) -> Self {
        let mut numbers: Vec<(&str, &Bootstrap, usize)> = Vec::new();
        for connection in config.connections.values() {
            let Kind::Kafka(kafka) = &connection.kind else { continue };
            let own = numbers.len();
            let same: Vec<usize> = numbers
                .iter()
                .filter(|(name, bootstrap, _)| {
                    known(name, &connection.name).unwrap_or_else(|| overlap(bootstrap, &kafka.bootstrap))
                })
                .map(|(_, _, number)| *number)
                .collect();
            // A connection can show that two others are one cluster.
            let number = same.iter().copied().min().unwrap_or(own);
            numbers.iter_mut().filter(|(_, _, other)| same.contains(other)).for_each(|entry| entry.2 = number);
            numbers.push((&connection.name, &kafka.bootstrap, number));
        }
        Self(numbers.into_iter().map(|(name, _, number)| (name, ClusterNumber(number))).collect())
    }

    fn from(&self, source: &Connection) -> Option<From> {
        Some(match &source.kind {
            Kind::Kafka(kafka) => From::Topics(*self.0.get(source.name.as_str())?, kafka.topics.clone()),
            Kind::Jsonl(jsonl) => file(&jsonl.path).map_or(From::Elsewhere, From::File),
        })
    }

    fn to(&self, source: &Connection, target: &Connection) -> Option<To> {
        Some(match &target.kind {
            Kind::Kafka(kafka) => To::Topics(*self.0.get(target.name.as_str())?, naming(source, kafka)),
            Kind::Jsonl(jsonl) => file(&jsonl.path).map_or(To::Elsewhere, To::File),
        })
    }
}

fn file(path: &JsonlPath) -> Option<FileIdentity> {
    match path {
        JsonlPath::File(path) => FileIdentity::of(path),
        JsonlPath::Stdio => None,
    }
}

fn overlap(one: &Bootstrap, other: &Bootstrap) -> bool {
    match (one, other) {
        (Bootstrap::Embedded, Bootstrap::Embedded) => true,
        (Bootstrap::Servers(one), Bootstrap::Servers(other)) => {
            one.iter().any(|server| other.iter().any(|same| same.eq_ignore_ascii_case(server)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
