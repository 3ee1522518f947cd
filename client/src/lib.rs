//! A Kafka client in pure Rust on Tokio, for brokers from 0.11 to 4.x.

mod admin;
mod client;
mod config;
mod consumer;
mod core;
mod error;
mod net;
mod offsets;
mod producer;
mod sasl;
mod topic_partition;

pub use crate::core::isolation::Isolation;
pub use admin::{Created, NewTopic};
pub use client::{Broker, Client, Partition, Topic};
pub use config::ClientBuilder;
pub use consumer::{Consumer, ConsumerOptions, Fetched, Records};
pub use error::{Error, ErrorKind};
pub use offsets::{Committed, OffsetAt};
pub use topic_partition::TopicPartition;
