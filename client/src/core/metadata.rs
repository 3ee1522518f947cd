//! Who leads what: the cluster as it was last heard of, when to ask again, and which answers are too old to believe.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{MetadataResponse, MetadataResponsePartition, MetadataResponseTopic};

use super::backoff::Backoff;
use crate::TopicPartition;
use crate::config::Server;
use crate::core::peer_text::{is_printable, printable};

/// After this many answers in a row with a lower leader epoch the lower one is believed: the topic was deleted and made
/// anew, which Metadata up to v9 cannot say otherwise (topic ids came with KIP-516).
const REWINDS_BELIEVED: u32 = 5;

/// A broker's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

/// A partition as it was last heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionInfo {
    pub(crate) id: i32,
    pub(crate) leader: Option<NodeId>,
    /// Rises with each election; `None` from brokers that do not tell (below Metadata v7).
    pub(crate) leader_epoch: Option<i32>,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
}

/// A topic as it was last heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicInfo {
    pub(crate) name: Arc<str>,
    pub(crate) internal: bool,
    /// What the broker said of the topic as a whole, if it was not all right; `partitions` may be empty then.
    pub(crate) error: Option<ErrorCode>,
    /// Sorted by id.
    pub(crate) partitions: Vec<PartitionInfo>,
}

impl TopicInfo {
    pub(crate) fn partition(&self, id: i32) -> Option<&PartitionInfo> {
        let found = self.partitions.binary_search_by_key(&id, |partition| partition.id).ok()?;
        self.partitions.get(found)
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
    pub(crate) topics: HashMap<Arc<str>, Arc<TopicInfo>>,
}

impl Metadata {
    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(crate) fn topic(&self, name: &str) -> Option<&Arc<TopicInfo>> {
        self.topics.get(name)
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
    pub(crate) fn of(scope: &Scope, answer: &MetadataResponse) -> Self {
        let missing = |topic: &&MetadataResponseTopic| topic.error_code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        if answer.topics.iter().any(|topic| topic.error_code.is_ok()) {
            return Self::Believed;
        }
        let present = answer.topics.len() - answer.topics.iter().filter(missing).count();
        match scope {
            Scope::Named(names) if present >= names.len() => Self::None,
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
    /// Partitions known before that have another leader now.
    pub(crate) moves: Vec<TopicPartition>,
    /// Partitions whose news were older than what is known.
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
    pub(crate) fn succeed(
        &mut self,
        now: Instant,
        scope: &Scope,
        answer: &MetadataResponse,
    ) -> Result<Changes, Malformed> {
        let nodes = nodes(answer)?;
        if nodes.is_empty() {
            return Err(Malformed::NoBroker);
        }
        let mut changes = Changes::default();
        let mut topics = match scope {
            Scope::All => HashMap::with_capacity(answer.topics.len()),
            Scope::Named(_) => self.snapshot.topics.clone(),
        };
        let mut missing = match scope {
            Scope::All => BTreeSet::new(),
            Scope::Named(names) => names.clone(),
        };
        for topic in &answer.topics {
            if !is_printable(&topic.name) {
                changes.unprintable.get_or_insert_with(|| printable(&topic.name));
                continue;
            }
            if topic.error_code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION || self.says_nothing(topic) {
                continue;
            }
            missing.remove(topic.name.as_str());
            let info = self.topic(topic, &mut changes)?;
            topics.insert(info.name.clone(), Arc::new(info));
        }
        for name in missing {
            topics.remove(&name);
        }
        self.rewinds.retain(|place, _| topics.contains_key(&place.topic));
        let cluster_id = answer.cluster_id.as_deref().map(printable);
        let cluster_id = cluster_id.or_else(|| self.snapshot.cluster_id.clone());
        let controller = nodes.contains_key(&NodeId(answer.controller_id)).then_some(NodeId(answer.controller_id));
        let next = Metadata { cluster_id, controller, nodes, topics };
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

    /// A topic without partitions that nobody asked for. Brokers send none; a peer that sends millions of them would make the
    /// snapshot many times as large as its answer.
    fn says_nothing(&self, topic: &MetadataResponseTopic) -> bool {
        topic.partitions.is_empty()
            && !self.interest.contains(topic.name.as_str())
            && self.snapshot.topic(&topic.name).is_none()
    }

    /// One topic's news, merged with what is known of it.
    fn topic(&mut self, news: &MetadataResponseTopic, changes: &mut Changes) -> Result<TopicInfo, Malformed> {
        let known = self.snapshot.topic(&news.name).cloned();
        let name = known.as_ref().map_or_else(|| Arc::from(news.name.as_str()), |known| known.name.clone());
        if !news.error_code.is_ok() {
            // A topic that is being made or elected again keeps the partitions it had.
            let partitions = match known {
                Some(known) if news.error_code.is_retriable() => known.partitions.clone(),
                _ => Vec::new(),
            };
            return Ok(TopicInfo { name, internal: news.is_internal, error: Some(news.error_code), partitions });
        }
        let mut partitions = Vec::with_capacity(news.partitions.len());
        for partition in &news.partitions {
            let place = TopicPartition { topic: name.clone(), partition: partition.partition_index };
            let before = known.as_ref().and_then(|known| known.partition(partition.partition_index));
            partitions.push(self.partition(place, before, partition, changes));
        }
        partitions.sort_unstable_by_key(|partition| partition.id);
        let twice = partitions.windows(2).find_map(|pair| match pair {
            [a, b] if a.id == b.id => Some(a.id),
            _ => None,
        });
        let negative = partitions.first().map(|first| first.id).filter(|id| *id < 0);
        match twice.or(negative) {
            Some(partition) => Err(Malformed::Partition { topic: news.name.clone(), partition }),
            None => Ok(TopicInfo { name, internal: news.is_internal, error: None, partitions }),
        }
    }

    /// One partition's news, unless they are older than what is known (KIP-320, `Metadata.updateLastSeenEpoch`).
    fn partition(
        &mut self,
        place: TopicPartition,
        before: Option<&PartitionInfo>,
        news: &MetadataResponsePartition,
        changes: &mut Changes,
    ) -> PartitionInfo {
        let leader_epoch = (news.leader_epoch >= 0).then_some(news.leader_epoch);
        if let (Some(before), Some(epoch)) = (before, leader_epoch)
            && before.leader_epoch.is_some_and(|known| epoch < known)
        {
            let rewinds = self.rewinds.entry(place.clone()).or_default();
            *rewinds += 1;
            if *rewinds < REWINDS_BELIEVED {
                changes.stale.push(place);
                return before.clone();
            }
        }
        self.rewinds.remove(&place);
        let leader = (news.leader_id >= 0).then_some(NodeId(news.leader_id));
        if before.is_some_and(|before| before.leader != leader) {
            changes.moves.push(place);
        }
        PartitionInfo {
            id: news.partition_index,
            leader,
            leader_epoch,
            replicas: news.replica_nodes.clone(),
            isr: news.isr_nodes.clone(),
        }
    }
}

fn nodes(answer: &MetadataResponse) -> Result<BTreeMap<NodeId, Node>, Malformed> {
    let node = |broker: &ottla_protocol::messages::MetadataResponseBroker| {
        let port = u16::try_from(broker.port).ok().filter(|port| *port > 0);
        let port = port.ok_or(Malformed::Port { node: broker.node_id, port: broker.port })?;
        let id = NodeId(broker.node_id);
        let server = host(&broker.host, port, || format!("broker {}", broker.node_id))?;
        Ok((id, Node { id, server }))
    };
    answer.brokers.iter().map(node).collect()
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
mod tests;
