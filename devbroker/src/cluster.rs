//! The nodes, the topics and who leads which partition. Pure.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use ottla_protocol::ErrorCode;
use tokio::sync::Notify;

use crate::log::Log;

/// The longest topic name (`Topic.MAX_NAME_LENGTH`).
const MAX_NAME: usize = 249;

/// How many partitions a topic may have here. A client's typing error must not eat the machine.
const MAX_PARTITIONS: i32 = 10_000;

/// How many partitions all topics may have together.
const MAX_TOTAL: usize = 200_000;

/// The topics' settings that matter here, as the builder was told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TopicDefaults {
    pub(crate) partitions: i32,
    pub(crate) replicas: i16,
    pub(crate) max_message_bytes: usize,
    /// How many bytes all logs may hold together.
    pub(crate) retention_bytes: Option<u64>,
}

/// The topic in which real brokers keep groups and their offsets (`Topic.GROUP_METADATA_TOPIC_NAME`). Here it holds nothing:
/// clients see it, and may commit offsets for it.
const GROUP_METADATA_TOPIC: &str = "__consumer_offsets";

/// How many partitions it has (`offsets.topic.num.partitions`; 50 on a real broker).
const GROUP_METADATA_PARTITIONS: i32 = 4;

/// What all nodes know.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    topics: BTreeMap<Arc<str>, Topic>,
    /// Of all topics.
    partitions: usize,
    /// About as many as all logs hold: exact after each deletion by [`Cluster::retain`].
    stored_bytes: u64,
    defaults: TopicDefaults,
}

/// A broker node. Its number is its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) alive: bool,
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) partitions: Vec<Partition>,
    pub(crate) max_message_bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) log: Log,
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    /// Who waits for something to happen here.
    waiting: Vec<Weak<Notify>>,
}

/// Why a topic cannot be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) error: ErrorCode,
    pub(crate) why: String,
}

/// What a new topic is to be like.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewTopic {
    /// -1 with `assignments`.
    pub(crate) partitions: i32,
    /// -1 with `assignments`.
    pub(crate) replicas: i16,
    /// Partition and its nodes, the leader first; empty leaves it to the broker.
    pub(crate) assignments: Vec<(i32, Vec<i32>)>,
    /// Overrides the default.
    pub(crate) max_message_bytes: Option<usize>,
}

impl Cluster {
    pub(crate) fn new(nodes: Vec<Node>, defaults: TopicDefaults) -> Self {
        Self { nodes, topics: BTreeMap::new(), partitions: 0, stored_bytes: 0, defaults }
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes that are up.
    pub(crate) fn alive(&self) -> impl Iterator<Item = (i32, &Node)> {
        (0..).zip(&self.nodes).filter(|(_, node)| node.alive)
    }

    pub(crate) fn is_alive(&self, node: i32) -> bool {
        usize::try_from(node).ok().and_then(|index| self.nodes.get(index)).is_some_and(|node| node.alive)
    }

    /// The first node that is up.
    pub(crate) fn controller(&self) -> Option<i32> {
        self.alive().map(|(id, _)| id).next()
    }

    /// The node that coordinates a group: spread by the id, among those that are up.
    pub(crate) fn coordinator(&self, group: &str) -> Option<i32> {
        let alive: Vec<i32> = self.alive().map(|(id, _)| id).collect();
        let sum = group.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        alive.get(sum % alive.len().max(1)).copied()
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = (&Arc<str>, &Topic)> {
        self.topics.iter()
    }

    pub(crate) fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.topics.get(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }

    pub(crate) fn partition_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Partition> {
        self.topics.get_mut(topic)?.partitions.get_mut(usize::try_from(partition).ok()?)
    }

    /// The partition, if this node leads it and the client's idea of the epoch is right (KIP-320; -1 goes unchecked).
    pub(crate) fn led(
        &mut self,
        node: i32,
        topic: &str,
        partition: i32,
        epoch: i32,
    ) -> Result<&mut Partition, ErrorCode> {
        let Some(found) = self.partition_mut(topic, partition) else {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        };
        if found.leader != Some(node) {
            return Err(ErrorCode::NOT_LEADER_FOR_PARTITION);
        }
        match epoch {
            -1 => Ok(found),
            epoch if epoch < found.leader_epoch => Err(ErrorCode::FENCED_LEADER_EPOCH),
            epoch if epoch > found.leader_epoch => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
            _ => Ok(found),
        }
    }

    /// The partition, if this node has a replica of it.
    pub(crate) fn replica(&self, node: i32, topic: &str, partition: i32) -> Result<&Partition, ErrorCode> {
        let Some(found) = self.partition(topic, partition) else {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        };
        if found.replicas.contains(&node) { Ok(found) } else { Err(ErrorCode::REPLICA_NOT_AVAILABLE) }
    }

    /// Creates a topic as the builder's defaults say.
    pub(crate) fn create_default(&mut self, name: &str) -> Result<(), Refused> {
        let TopicDefaults { partitions, replicas, .. } = self.defaults;
        self.create(name, &NewTopic { partitions, replicas, ..NewTopic::default() })
    }

    /// Creates the groups' topic unless it exists, as brokers do when the first group looks for its coordinator.
    pub(crate) fn create_group_metadata_topic(&mut self) {
        if self.topic(GROUP_METADATA_TOPIC).is_none() {
            let new = NewTopic { partitions: GROUP_METADATA_PARTITIONS, replicas: 1, ..NewTopic::default() };
            // Without a live node there is no coordinator either.
            let _ = self.create(GROUP_METADATA_TOPIC, &new);
        }
    }

    /// Deletes a topic and its records, and wakes whoever waits for them. Returns false if there is none.
    pub(crate) fn delete(&mut self, name: &str) -> bool {
        let Some(topic) = self.topics.remove(name) else { return false };
        self.partitions -= topic.partitions.len();
        for mut partition in topic.partitions {
            partition.wake();
        }
        true
    }

    /// Deletes the oldest records if all logs together hold more than they may: down to nine tenths, so that not every append
    /// has to. `appended` is how many bytes came since the last call. Returns how many bytes were deleted.
    pub(crate) fn retain(&mut self, appended: u64) -> u64 {
        self.stored_bytes = self.stored_bytes.saturating_add(appended);
        let Some(limit) = self.defaults.retention_bytes.filter(|limit| self.stored_bytes > *limit) else { return 0 };
        let logs =
            || self.topics.values().flat_map(|topic| &topic.partitions).map(|partition| partition.log.stored_bytes());
        // Logs may have been deleted and truncated since.
        let before: u64 = logs().sum();
        let wanted = limit / 10 * 9;
        let mut left = before;
        while left > wanted {
            let partitions = self.topics.values_mut().flat_map(|topic| &mut topic.partitions);
            let Some(largest) = partitions.max_by_key(|partition| partition.log.stored_bytes()) else { break };
            let bytes = largest.log.stored_bytes();
            if !largest.log.delete_oldest() {
                break;
            }
            left -= bytes - largest.log.stored_bytes();
        }
        self.stored_bytes = left;
        before - left
    }

    /// How many replicas a topic gets that says nothing.
    pub(crate) fn default_replicas(&self) -> i16 {
        self.defaults.replicas
    }

    /// Creates a topic.
    pub(crate) fn create(&mut self, name: &str, new: &NewTopic) -> Result<(), Refused> {
        let replicas = self.check(name, new)?;
        let partitions: Vec<_> = replicas.into_iter().map(|replicas| self.new_partition(replicas)).collect();
        self.partitions += partitions.len();
        let max_message_bytes = new.max_message_bytes.unwrap_or(self.defaults.max_message_bytes);
        self.topics.insert(name.into(), Topic { partitions, max_message_bytes });
        Ok(())
    }

    /// Whether a topic can be created, and which nodes its partitions would have.
    pub(crate) fn check(&self, name: &str, new: &NewTopic) -> Result<Vec<Vec<i32>>, Refused> {
        check_name(name)?;
        if self.topics.contains_key(name) {
            return refuse(ErrorCode::TOPIC_ALREADY_EXISTS, format!("topic {name} exists"));
        }
        if !new.assignments.is_empty() {
            return self.check_assignments(new);
        }
        if !(1..=MAX_PARTITIONS).contains(&new.partitions) {
            let why = format!("{} partitions; there may be 1 to {MAX_PARTITIONS}", new.partitions);
            return refuse(ErrorCode::INVALID_PARTITIONS, why);
        }
        let alive = self.alive().count();
        let Some(replicas) = usize::try_from(new.replicas).ok().filter(|n| (1..=alive).contains(n)) else {
            let why = format!("{} replicas on {alive} nodes", new.replicas);
            return refuse(ErrorCode::INVALID_REPLICATION_FACTOR, why);
        };
        self.check_total(new.partitions as usize)?;
        Ok(self.spread(name, new.partitions as usize, replicas))
    }

    fn check_assignments(&self, new: &NewTopic) -> Result<Vec<Vec<i32>>, Refused> {
        if new.partitions != -1 || new.replicas != -1 {
            let why = "with assignments, partitions and replication factor must be -1".to_owned();
            return refuse(ErrorCode::INVALID_REQUEST, why);
        }
        let mut sorted = new.assignments.clone();
        sorted.sort_by_key(|(partition, _)| *partition);
        let consecutive = (0..).zip(&sorted).all(|(expected, (partition, _))| expected == *partition);
        let width = sorted.first().map_or(0, |(_, nodes)| nodes.len());
        let sound = |nodes: &Vec<i32>| {
            let known = nodes.iter().all(|node| self.is_alive(*node));
            let distinct = nodes.iter().enumerate().all(|(i, node)| !nodes[..i].contains(node));
            !nodes.is_empty() && nodes.len() == width && known && distinct
        };
        if !consecutive || sorted.len() > MAX_PARTITIONS as usize || !sorted.iter().all(|(_, nodes)| sound(nodes)) {
            let why =
                "assignments must number the partitions from 0, each with as many different live nodes".to_owned();
            return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, why);
        }
        self.check_total(sorted.len())?;
        Ok(sorted.into_iter().map(|(_, nodes)| nodes).collect())
    }

    fn check_total(&self, more: usize) -> Result<(), Refused> {
        if self.partitions + more <= MAX_TOTAL {
            return Ok(());
        }
        let why =
            format!("{} partitions and {more} more; a development broker has {MAX_TOTAL} at most", self.partitions);
        refuse(ErrorCode::POLICY_VIOLATION, why)
    }

    /// Partition after partition on node after node, beginning elsewhere for each topic.
    fn spread(&self, name: &str, partitions: usize, replicas: usize) -> Vec<Vec<i32>> {
        let alive: Vec<i32> = self.alive().map(|(id, _)| id).collect();
        let shift = if partitions == 1 { name.bytes().map(usize::from).sum() } else { 0 };
        let nodes_of = |first: usize| (0..replicas).map(|i| alive[(first + i) % alive.len()]).collect();
        (0..partitions).map(|partition| nodes_of(partition + shift)).collect()
    }

    fn new_partition(&self, replicas: Vec<i32>) -> Partition {
        let leader = replicas.iter().copied().find(|node| self.is_alive(*node));
        Partition { log: Log::new(), leader, leader_epoch: 0, replicas, waiting: Vec::new() }
    }

    /// Makes another node the leader, and a replica if it was none. `false` if there is no such partition or the node is
    /// not up.
    pub(crate) fn move_leader(&mut self, topic: &str, partition: i32, node: i32) -> bool {
        if !self.is_alive(node) {
            return false;
        }
        let Some(partition) = self.partition_mut(topic, partition) else { return false };
        if !partition.replicas.contains(&node) {
            partition.replicas.push(node);
        }
        partition.elect(Some(node));
        true
    }

    /// Marks a node as up or down and elects leaders among the replicas that are up.
    pub(crate) fn set_alive(&mut self, node: i32, alive: bool) {
        let Some(entry) = usize::try_from(node).ok().and_then(|index| self.nodes.get_mut(index)) else { return };
        entry.alive = alive;
        let nodes = std::mem::take(&mut self.nodes);
        let up = |node: &i32| usize::try_from(*node).ok().and_then(|i| nodes.get(i)).is_some_and(|node| node.alive);
        for partition in self.topics.values_mut().flat_map(|topic| &mut topic.partitions) {
            if partition.leader.as_ref().is_none_or(|leader| !up(leader)) {
                let next = partition.replicas.iter().copied().find(|node| up(node));
                partition.elect(next);
            }
        }
        self.nodes = nodes;
    }
}

impl Partition {
    fn elect(&mut self, leader: Option<i32>) {
        if self.leader != leader {
            self.leader = leader;
            self.leader_epoch += 1;
        }
        self.wake();
    }

    /// Asks to be woken by the next append, election or deletion.
    pub(crate) fn wait(&mut self, waiter: &Arc<Notify>) {
        // Those that stopped waiting have dropped theirs; without this an idle partition would gather them.
        self.waiting.retain(|waiter| waiter.strong_count() > 0);
        self.waiting.push(Arc::downgrade(waiter));
    }

    /// Wakes whoever waits for something to happen here.
    pub(crate) fn wake(&mut self) {
        for waiter in self.waiting.drain(..).filter_map(|waiter| waiter.upgrade()) {
            waiter.notify_one();
        }
    }
}

/// Whether a topic is the brokers' own (`Topic.isInternal`).
pub(crate) fn is_internal(name: &str) -> bool {
    name == GROUP_METADATA_TOPIC
}

/// Kafka's rule for topic names (`Topic.validate`).
pub(crate) fn check_name(name: &str) -> Result<(), Refused> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name == "." || name == ".." || name.len() > MAX_NAME || !name.chars().all(legal) {
        let why = format!("topic names have 1 to {MAX_NAME} of a-z, A-Z, 0-9, '.', '_', '-', and are not '.' or '..'");
        return refuse(ErrorCode::INVALID_TOPIC_EXCEPTION, why);
    }
    Ok(())
}

fn refuse<T>(error: ErrorCode, why: String) -> Result<T, Refused> {
    Err(Refused { error, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(nodes: usize) -> Cluster {
        let node = Node { host: "127.0.0.1".to_owned(), port: 9092, alive: true };
        let defaults = TopicDefaults { partitions: 1, replicas: 1, max_message_bytes: 1 << 20, retention_bytes: None };
        Cluster::new(vec![node; nodes], defaults)
    }

    fn new(partitions: i32, replicas: i16) -> NewTopic {
        NewTopic { partitions, replicas, ..NewTopic::default() }
    }

    fn leaders(cluster: &Cluster, topic: &str) -> Vec<Option<i32>> {
        cluster.topic(topic).unwrap().partitions.iter().map(|partition| partition.leader).collect()
    }

    fn error(cluster: &Cluster, name: &str, new: &NewTopic) -> ErrorCode {
        cluster.check(name, new).unwrap_err().error
    }

    #[test]
    fn leaders_are_spread_over_the_nodes() {
        let mut cluster = cluster(3);
        cluster.create("orders", &new(6, 1)).unwrap();
        assert_eq!(leaders(&cluster, "orders"), [0, 1, 2, 0, 1, 2].map(Some));
    }

    #[test]
    fn a_dead_leader_is_followed_by_the_next_replica_and_has_a_new_epoch() {
        let mut cluster = cluster(3);
        cluster.create("safe", &new(3, 2)).unwrap();
        cluster.create("bare", &new(3, 1)).unwrap();
        cluster.set_alive(1, false);
        assert_eq!(leaders(&cluster, "safe"), [Some(0), Some(2), Some(2)]);
        assert_eq!(leaders(&cluster, "bare"), [Some(0), None, Some(2)]);
        cluster.set_alive(1, true);
        assert_eq!(leaders(&cluster, "bare"), [Some(0), Some(1), Some(2)]);
        assert_eq!(cluster.partition("bare", 1).unwrap().leader_epoch, 2);
        assert_eq!(cluster.partition("bare", 0).unwrap().leader_epoch, 0);
    }

    #[test]
    fn only_the_leader_serves_and_only_the_right_epoch_passes() {
        let mut cluster = cluster(2);
        cluster.create("t", &new(1, 2)).unwrap();
        assert!(cluster.move_leader("t", 0, 0));
        assert!(cluster.move_leader("t", 0, 1));
        let epoch = cluster.partition("t", 0).unwrap().leader_epoch;
        let mut led = |node, partition, epoch| cluster.led(node, "t", partition, epoch).err();
        assert_eq!(led(1, 0, -1), None);
        assert_eq!(led(1, 0, epoch), None);
        assert_eq!(led(0, 0, -1), Some(ErrorCode::NOT_LEADER_FOR_PARTITION));
        assert_eq!(led(1, 0, epoch - 1), Some(ErrorCode::FENCED_LEADER_EPOCH));
        assert_eq!(led(1, 0, epoch + 1), Some(ErrorCode::UNKNOWN_LEADER_EPOCH));
        assert_eq!(led(1, 1, -1), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        assert_eq!(led(1, -1, -1), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    }

    #[test]
    fn what_a_topic_cannot_be_is_refused_with_kafka_s_code() {
        let mut cluster = cluster(2);
        cluster.create("there", &new(1, 1)).unwrap();
        assert_eq!(error(&cluster, "there", &new(1, 1)), ErrorCode::TOPIC_ALREADY_EXISTS);
        for name in ["", ".", "..", "a b", "é", &"x".repeat(250)] {
            assert_eq!(error(&cluster, name, &new(1, 1)), ErrorCode::INVALID_TOPIC_EXCEPTION, "{name}");
        }
        for partitions in [0, -1, i32::MAX] {
            assert_eq!(error(&cluster, "t", &new(partitions, 1)), ErrorCode::INVALID_PARTITIONS);
        }
        for replicas in [0, -1, 3] {
            assert_eq!(error(&cluster, "t", &new(1, replicas)), ErrorCode::INVALID_REPLICATION_FACTOR);
        }
    }

    #[test]
    fn a_client_cannot_make_more_partitions_than_the_machine_bears() {
        let mut cluster = cluster(1);
        for topic in 0..20 {
            cluster.create(&format!("t{topic}"), &new(10_000, 1)).unwrap();
        }
        assert_eq!(error(&cluster, "one-more", &new(1, 1)), ErrorCode::POLICY_VIOLATION);
    }

    #[test]
    fn assignments_are_taken_as_they_are_or_refused() {
        let mut cluster = cluster(2);
        let assigned = |assignments: &[(i32, &[i32])]| NewTopic {
            assignments: assignments.iter().map(|(p, nodes)| (*p, nodes.to_vec())).collect(),
            ..new(-1, -1)
        };
        cluster.create("t", &assigned(&[(1, &[0, 1]), (0, &[1, 0])])).unwrap();
        assert_eq!(leaders(&cluster, "t"), [Some(1), Some(0)]);
        let unsound: [&[(i32, &[i32])]; 5] =
            [&[(1, &[0])], &[(0, &[])], &[(0, &[0, 0])], &[(0, &[2])], &[(0, &[0]), (1, &[0, 1])]];
        for assignments in unsound {
            let code = error(&cluster, "u", &assigned(assignments));
            assert_eq!(code, ErrorCode::INVALID_REPLICA_ASSIGNMENT, "{assignments:?}");
        }
        let both = NewTopic { partitions: 1, ..assigned(&[(0, &[0])]) };
        assert_eq!(error(&cluster, "u", &both), ErrorCode::INVALID_REQUEST);
    }
}
