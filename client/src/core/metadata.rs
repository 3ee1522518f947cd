//! Who leads what: the cluster as it was last heard of, when to ask again, and which answers are too old to believe.

mod answer;
mod partitions;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_protocol::ErrorCode;

pub(crate) use answer::Answer;
pub(crate) use partitions::{PartitionInfo, Partitions};

use super::backoff::Backoff;
use crate::TopicPartition;
use crate::config::Server;
use crate::core::peer_text::printable;

/// After this many answers in a row with a lower leader epoch the lower one is believed: the topic was deleted and made
/// anew, which Metadata up to v9 cannot say otherwise (topic ids came with KIP-516).
const REWINDS_BELIEVED: u32 = 5;

/// How many partitions [`Changes`] names: an answer may be of millions.
const MOST_NAMED: usize = 100;

/// Of how many partitions at most lower epochs are counted at a time. Of more, which only a broken peer has, some are believed
/// later.
const MOST_REWINDS: usize = 10_000;

/// A broker's id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) i32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A broker and where it listens. Displays as `broker 1 at kafka:9092`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) server: Server,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broker {} at {}", self.id, self.server)
    }
}

/// A topic as it was last heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicInfo {
    pub(crate) name: Arc<str>,
    pub(crate) internal: bool,
    /// What the broker said of the topic as a whole, if it was not all right; `partitions` may be empty then.
    pub(crate) error: Option<ErrorCode>,
    pub(crate) partitions: Partitions,
}

impl TopicInfo {
    pub(crate) fn partition(&self, id: i32) -> Option<PartitionInfo<'_>> {
        self.partitions.get(id)
    }

    /// Whether every partition has a leader.
    pub(crate) fn is_led(&self) -> bool {
        self.error.is_none() && !self.partitions.is_empty() && self.partitions.iter().all(|p| p.leader.is_some())
    }
}

/// The cluster at one moment. Shared, never changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) cluster_id: Option<String>,
    pub(crate) controller: Option<NodeId>,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    /// Sorted by name: a list takes less memory than a map, and an answer becomes it without a copy.
    pub(crate) topics: Vec<Arc<TopicInfo>>,
}

impl Metadata {
    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(crate) fn topic(&self, name: &str) -> Option<&Arc<TopicInfo>> {
        let found = self.topics.binary_search_by(|topic| (*topic.name).cmp(name)).ok()?;
        self.topics.get(found)
    }

    /// The partition's leader, if it has one and that one is reachable from here.
    pub(crate) fn leader(&self, topic: &str, partition: i32) -> Option<NodeId> {
        let leader = self.topic(topic)?.partition(partition)?.leader?;
        self.nodes.contains_key(&leader).then_some(leader)
    }
}

/// Which topics an answer speaks of.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    /// All there are: what is missing is gone.
    All,
    /// These: what is missing of them is gone.
    Named(BTreeSet<Arc<str>>),
}

/// Whether an answer's silence about topics can be believed.
///
/// A broker that starts lists the cluster's brokers a moment before the topics: the controller's first UpdateMetadata has no
/// partition in it (`KafkaController.onControllerFailover`). An answer with any topic in it comes after that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Nothing that was asked for is missing.
    None,
    /// The broker knows topics: what is missing does not exist.
    Believed,
    /// The answer speaks of some topics only, all of which are missing: a list of all tells more.
    AskForAll,
    /// The broker lists no topic at all: the cluster has none, or the broker does not know them yet.
    Doubtful,
}

impl Silence {
    pub(crate) fn of(scope: &Scope, answer: &Answer) -> Self {
        match scope {
            _ if answer.knows_topics => Self::Believed,
            Scope::Named(names) if answer.present >= names.len() => Self::None,
            Scope::Named(_) => Self::AskForAll,
            Scope::All => Self::Doubtful,
        }
    }
}

/// An answer that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// A broker that has just started, before the controller has told it about the cluster (seen in Kafka 2.3.1).
    #[error("the broker lists no broker, not even itself: it is starting or stopping")]
    NoBroker,
    #[error("broker {node} has the port {port}")]
    Port { node: i32, port: i32 },
    #[error("{who} is said to listen on \"{host}\", which no host is called")]
    Host { who: String, host: String },
    #[error("topic {topic} has the partition {partition} twice, or below 0")]
    Partition { topic: String, partition: i32 },
}

/// What an answer changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Whether the snapshot is another one now.
    pub(crate) changed: bool,
    /// Partitions known before that have another leader now, up to [`MOST_NAMED`].
    pub(crate) moves: Vec<TopicPartition>,
    /// Partitions whose news were older than what is known, up to [`MOST_NAMED`].
    pub(crate) stale: Vec<TopicPartition>,
    /// The first topic that was left out since its name, here fit to be shown, steers a terminal or hides. No Kafka has such.
    pub(crate) unprintable: Option<String>,
}

/// Keeps the snapshot and says when to refresh it.
#[derive(Debug)]
pub(crate) struct Tracker {
    snapshot: Arc<Metadata>,
    interest: BTreeSet<Arc<str>>,
    rewinds: HashMap<TopicPartition, u32>,
    want: Want,
    max_age: Duration,
    min_interval: Duration,
    backoff: Backoff,
    last_start: Option<Instant>,
    last_success: Option<Instant>,
    not_before: Option<Instant>,
}

/// How badly a refresh is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Want {
    /// Only when the metadata gets old.
    No,
    /// Something moved: soon, but not more often than the interval.
    Soon,
    /// Someone waits for it.
    Now,
}

impl Tracker {
    /// Knows nothing. `min_interval` is the least time between two refreshes that errors ask for.
    pub(crate) fn new(max_age: Duration, min_interval: Duration, backoff: Backoff) -> Self {
        Self {
            snapshot: Arc::default(),
            interest: BTreeSet::new(),
            rewinds: HashMap::new(),
            want: Want::No,
            max_age,
            min_interval,
            backoff,
            last_start: None,
            last_success: None,
            not_before: None,
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Metadata> {
        self.snapshot.clone()
    }

    /// The topics that a refresh has to ask for.
    pub(crate) fn interest(&self) -> &BTreeSet<Arc<str>> {
        &self.interest
    }

    /// Something turned out to be out of date.
    pub(crate) fn want(&mut self) {
        self.want = self.want.max(Want::Soon);
    }

    /// Someone waits for news of these topics, which are asked for from now on.
    pub(crate) fn want_now(&mut self, topics: &[Arc<str>]) {
        self.interest.extend(topics.iter().cloned());
        self.want = Want::Now;
    }

    /// When the next refresh is due; `None` before the first answer, which the bootstrap brings.
    pub(crate) fn due(&self) -> Option<Instant> {
        let last_success = self.last_success?;
        let by_age = last_success + self.max_age;
        let wanted = match self.want {
            Want::No => by_age,
            Want::Soon => by_age.min(self.last_start.unwrap_or(last_success) + self.min_interval),
            Want::Now => last_success,
        };
        Some(self.not_before.map_or(wanted, |not_before| wanted.max(not_before)))
    }

    /// A refresh starts: wishes uttered from now on need another one.
    pub(crate) fn start(&mut self, now: Instant) {
        self.last_start = Some(now);
        self.want = Want::No;
    }

    /// No broker could answer. Asks again after a delay that grows. `chance` is in `0.0..1.0`.
    pub(crate) fn fail(&mut self, now: Instant, chance: f64) {
        self.not_before = Some(now + self.backoff.fail(chance));
        self.want();
    }

    /// Takes an answer.
    pub(crate) fn succeed(&mut self, now: Instant, scope: &Scope, answer: Answer) -> Result<Changes, Malformed> {
        let mut answer = answer;
        let nodes = answer.take_nodes()?;
        let mut changes = Changes { unprintable: answer.unprintable, ..Changes::default() };
        let topics = self.topics(scope, answer.topics, &mut changes);
        let cluster_id = answer.cluster_id.or_else(|| self.snapshot.cluster_id.clone());
        let controller = nodes.contains_key(&answer.controller).then_some(answer.controller);
        let next = Metadata { cluster_id, controller, nodes, topics };
        self.rewinds.retain(|place, _| next.topic(&place.topic).is_some());
        if *self.snapshot != next {
            changes.changed = true;
            self.snapshot = Arc::new(next);
        }
        self.last_success = Some(now);
        self.not_before = None;
        self.backoff.reset();
        if !changes.stale.is_empty() {
            self.want();
        }
        Ok(changes)
    }

    /// The topics that are known after an answer that speaks of `heard`, in which it merges what was known.
    fn topics(&mut self, scope: &Scope, heard: Vec<Arc<TopicInfo>>, changes: &mut Changes) -> Vec<Arc<TopicInfo>> {
        let mut topics = heard;
        topics.retain_mut(|topic| {
            // Nobody asked for the others; a peer that sends other ones each time would make the snapshot grow.
            let asked = match scope {
                Scope::All => true,
                Scope::Named(names) => names.contains(&topic.name),
            };
            let told = asked && !self.says_nothing(topic);
            if told {
                self.merge(topic, changes);
            }
            told
        });
        if let Scope::Named(names) = scope {
            topics.extend(self.snapshot.topics.iter().filter(|topic| !names.contains(&topic.name)).cloned());
        }
        if !topics.is_sorted_by(|a, b| a.name < b.name) {
            topics.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            topics.dedup_by(|a, b| a.name == b.name);
        }
        topics
    }

    /// A topic without partitions that nobody asked for. Brokers send none; a peer that sends millions of them would make the
    /// snapshot many times as large as its answer.
    fn says_nothing(&self, topic: &TopicInfo) -> bool {
        topic.partitions.is_empty()
            && !self.interest.contains(&topic.name)
            && self.snapshot.topic(&topic.name).is_none()
    }

    /// One topic's news, merged with what is known of it.
    fn merge(&mut self, topic: &mut Arc<TopicInfo>, changes: &mut Changes) {
        let Some(known) = self.snapshot.topic(&topic.name).cloned() else { return };
        if let Some(news) = Arc::get_mut(topic) {
            news.name = known.name.clone();
            match news.error {
                // A topic that is being made or elected again keeps the partitions it had.
                Some(error) if error.is_retriable() => news.partitions = known.partitions.clone(),
                Some(_) => {}
                None => self.merge_partitions(&known, news, changes),
            }
        }
        if *topic == known {
            // The old one stays, so that what is unchanged is in memory once.
            *topic = known;
        }
    }

    /// The partitions' news, except where they are older than what is known (KIP-320, `Metadata.updateLastSeenEpoch`).
    fn merge_partitions(&mut self, known: &TopicInfo, news: &mut TopicInfo, changes: &mut Changes) {
        if self.rewinds.is_empty() && news.partitions == known.partitions {
            return;
        }
        for before in known.partitions.iter() {
            let Some(now) = news.partition(before.id) else { continue };
            let place = || TopicPartition { topic: known.name.clone(), partition: before.id };
            let older = now.leader_epoch.zip(before.leader_epoch).is_some_and(|(now, before)| now < before);
            if older && self.rewinds(place()) < REWINDS_BELIEVED {
                name(&mut changes.stale, place);
                news.partitions.set_leader(before.id, before.leader, before.leader_epoch);
                continue;
            }
            if !self.rewinds.is_empty() {
                self.rewinds.remove(&place());
            }
            if before.leader != now.leader {
                name(&mut changes.moves, place);
            }
        }
    }

    /// How many answers in a row named a lower leader epoch of this partition, with this one.
    fn rewinds(&mut self, place: TopicPartition) -> u32 {
        if self.rewinds.len() >= MOST_REWINDS && !self.rewinds.contains_key(&place) {
            return 0;
        }
        let rewinds = self.rewinds.entry(place).or_default();
        *rewinds += 1;
        *rewinds
    }
}

/// Adds a partition to a list that stays short.
fn name(list: &mut Vec<TopicPartition>, place: impl FnOnce() -> TopicPartition) {
    if list.len() < MOST_NAMED {
        list.push(place());
    }
}

/// A server by what a peer says. Its host has the characters that `advertised.listeners` may have, or it is not one.
pub(crate) fn host(host: &str, port: u16, who: impl Fn() -> String) -> Result<Server, Malformed> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte);
    if host.is_empty() || host.len() > 255 || !host.bytes().all(good) {
        return Err(Malformed::Host { who: who(), host: printable(host) });
    }
    Ok(Server::new(host, port))
}

#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod tests;
