//! What a user of the broker can get wrong.

use std::io;

use crate::Release;

/// Why a call on [`DevBroker`](crate::DevBroker) or its builder failed. Clients never see these: they get Kafka's codes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address to listen on is not `host:port`.
    #[error("listen address {0:?} is not host:port; write 127.0.0.1:0 for any free port, or 127.0.0.1:9092")]
    BadAddress(String),
    /// What TLS listeners were given is of no use.
    #[error("TLS: {0}")]
    Tls(String),
    /// A token endpoint cannot listen.
    #[error("the token endpoint cannot listen on 127.0.0.1: {0}")]
    TokenEndpoint(io::Error),
    /// A setting of the builder is out of its range.
    #[error("{name} = {value}: {rule}")]
    BadSetting {
        /// The builder's method.
        name: &'static str,
        /// What it was given.
        value: i64,
        /// What it takes.
        rule: &'static str,
    },
    /// The port could not be had.
    #[error("node {node} cannot listen on {address}: {source}; is something else listening there?")]
    Listen {
        /// The node.
        node: i32,
        /// The address.
        address: String,
        /// The system's words.
        source: io::Error,
    },
    /// No release of this name is played.
    #[error("release {0:?} is not known; there are {names}", names = Release::ALL.map(Release::name).join(", "))]
    UnknownRelease(String),
    /// The broker has no node of this number.
    #[error("there is no node {0}; nodes count from 0 and are as many as the builder was told")]
    UnknownNode(i32),
    /// The node is up, or down, already.
    #[error("node {node} is {state} already")]
    NodeState {
        /// The node.
        node: i32,
        /// `up` or `down`.
        state: &'static str,
    },
    /// There is no such partition.
    #[error("there is no partition {topic}-{partition}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The topic cannot be made.
    #[error("topic {topic:?} cannot be created: {why}")]
    Topic {
        /// The topic.
        topic: String,
        /// Kafka's error and the reason.
        why: String,
    },
    /// A stored batch cannot be read: a client sent records that do not hold what their batch says.
    #[error("the log of {topic}-{partition} holds a batch at offset {offset} that cannot be read: {why}")]
    Unreadable {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The batch's base offset.
        offset: i64,
        /// What is wrong with it.
        why: String,
    },
}
