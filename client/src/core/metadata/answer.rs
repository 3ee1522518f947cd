//! An answer in the form that the snapshot keeps, made while the body is read: a body's messages and the snapshot made of them
//! would be twice in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic, MetadataVisitor,
};
use ottla_protocol::wire::DecodeError;

use super::partitions::{PartitionsBuilder, growth};
use super::{Malformed, Node, NodeId, TopicInfo, host};
use crate::core::peer_text::{is_printable, printable};

/// What an `Arc` takes beside its value.
const ARC: usize = 2 * size_of::<usize>();
/// What a broker takes in the list of nodes and in the map made of it, without its host.
const NODE: usize = 3 * size_of::<(NodeId, Node)>();

/// A metadata answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    nodes: Vec<(NodeId, Node)>,
    pub(super) cluster_id: Option<String>,
    pub(super) controller: NodeId,
    /// In the order of the wire, without those that do not exist and those with impossible names.
    pub(super) topics: Vec<Arc<TopicInfo>>,
    /// How many topics it speaks of that do exist, as far as the broker knows.
    pub(super) present: usize,
    /// Whether a topic is all right.
    pub(super) knows_topics: bool,
    pub(super) unprintable: Option<String>,
    malformed: Option<Malformed>,
}

impl Answer {
    /// Reads a body.
    pub(crate) fn read(version: i16, body: Bytes) -> Result<Self, DecodeError> {
        let mut visitor = Visitor::default();
        let rest = MetadataResponse::visit(version, body, &mut visitor)?;
        let mut answer = visitor.answer;
        answer.controller = NodeId(rest.controller_id);
        answer.cluster_id = rest.cluster_id.as_deref().map(printable);
        Ok(answer)
    }

    /// Whether the broker lists no broker, not even itself.
    pub(crate) fn lists_no_broker(&self) -> bool {
        self.nodes.is_empty() && self.malformed.is_none()
    }

    /// The brokers, unless something in the answer makes no sense.
    pub(super) fn take_nodes(&mut self) -> Result<BTreeMap<NodeId, Node>, Malformed> {
        match self.malformed.take() {
            Some(malformed) => Err(malformed),
            None if self.nodes.is_empty() => Err(Malformed::NoBroker),
            None => Ok(std::mem::take(&mut self.nodes).into_iter().collect()),
        }
    }
}

/// Makes the answer.
#[derive(Debug, Default)]
struct Visitor {
    answer: Answer,
    partitions: PartitionsBuilder,
    /// How many bytes the nodes and topics hold, without their lists.
    held: usize,
}

impl MetadataVisitor for Visitor {
    fn held(&self) -> usize {
        self.held + self.partitions.held() + self.answer.topics.capacity() * size_of::<Arc<TopicInfo>>()
    }

    fn broker(&mut self, broker: MetadataResponseBroker, left: usize) -> bool {
        let cost = NODE + text(&broker.host);
        if cost > left {
            return false;
        }
        match node(&broker) {
            Ok(node) => {
                self.held += cost;
                self.answer.nodes.push((node.id, node));
            }
            Err(malformed) => self.answer.malformed = self.answer.malformed.take().or(Some(malformed)),
        }
        true
    }

    fn partition(&mut self, partition: MetadataResponsePartition, left: usize) -> bool {
        let MetadataResponsePartition { partition_index, leader_id, leader_epoch, replica_nodes, isr_nodes, .. } =
            partition;
        if self.partitions.cost(replica_nodes.len() + isr_nodes.len()) > left {
            return false;
        }
        self.partitions.push(partition_index, leader_id, leader_epoch, &replica_nodes, &isr_nodes);
        true
    }

    fn topic(&mut self, topic: MetadataResponseTopic, left: usize) -> bool {
        let code = topic.error_code;
        self.answer.knows_topics |= code.is_ok();
        if code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION {
            self.partitions.clear();
            return true;
        }
        self.answer.present += 1;
        if !is_printable(&topic.name) {
            self.partitions.clear();
            self.answer.unprintable.get_or_insert_with(|| printable(&topic.name));
            return true;
        }
        if !code.is_ok() {
            self.partitions.clear();
        }
        let kept = ARC + size_of::<TopicInfo>() + text(&topic.name) + self.partitions.taken();
        if kept + growth(&self.answer.topics, 1) > left {
            return false;
        }
        match self.partitions.take() {
            Ok(partitions) => {
                self.held += kept;
                let error = (!code.is_ok()).then_some(code);
                let info = TopicInfo { name: topic.name.into(), internal: topic.is_internal, error, partitions };
                self.answer.topics.push(Arc::new(info));
            }
            Err(partition) => {
                let malformed = Malformed::Partition { topic: topic.name, partition };
                self.answer.malformed = self.answer.malformed.take().or(Some(malformed));
            }
        }
        true
    }
}

/// What a shared text takes.
fn text(text: &str) -> usize {
    ARC + text.len().next_multiple_of(8)
}

fn node(broker: &MetadataResponseBroker) -> Result<Node, Malformed> {
    let port = u16::try_from(broker.port).ok().filter(|port| *port > 0);
    let port = port.ok_or(Malformed::Port { node: broker.node_id, port: broker.port })?;
    let server = host(&broker.host, port, || format!("broker {}", broker.node_id))?;
    Ok(Node { id: NodeId(broker.node_id), server })
}
