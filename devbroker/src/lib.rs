//! A Kafka broker inside your process: for tests, for first steps, for a demo. Any Kafka client can talk to it.
//!
//! ```
//! use ottla_devbroker::{DevBroker, Fault, Release};
//! use ottla_protocol::{ApiKey, ErrorCode};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = DevBroker::builder().nodes(3).release(Release::V2_3).start().await?;
//! broker.create_topic("orders", 6)?;
//! println!("any client can connect to {}", broker.bootstrap().join(","));
//!
//! // Things go wrong when a test says so.
//! let fault = broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::NOT_ENOUGH_REPLICAS).times(2));
//! broker.move_leader("orders", 0, 2)?;
//! broker.kill_node(1).await?;
//! // … a client produces here …
//! assert_eq!(fault.hits(), broker.requests(ApiKey::PRODUCE).min(2));
//! broker.restart_node(1).await?;
//!
//! // And the log says what arrived.
//! for record in broker.log("orders", 0)? {
//!     println!("{} {:?}", record.offset, record.value);
//! }
//! broker.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What it serves
//!
//! ApiVersions, Metadata (with topics made on demand), CreateTopics, Produce (idempotent too), Fetch (with sessions and
//! long polls), ListOffsets (by time too), FindCoordinator, JoinGroup, SyncGroup, Heartbeat, LeaveGroup, DescribeGroups,
//! DescribeConfigs, OffsetCommit, OffsetFetch, InitProducerId, SaslHandshake and SaslAuthenticate (PLAIN, SCRAM,
//! OAUTHBEARER with unsecured tokens, any mechanism that a test brings as a [`TokenServer`], logins that end and are renewed), with the feature `tls` under TLS
//! too, each in every version of the [`Release`] it plays. It advertises nothing else. kcat, the Java client and
//! kafka-python work with it, groups included. The same feature has a `TokenEndpoint`, which gives OAUTHBEARER's tokens over
//! https.
//!
//! Where Kafka checks, it checks: checksums, sequence numbers, generations, sessions, leaders and their epochs, with
//! Kafka's own error codes. Each refusal is explained in a `tracing` event of this crate.
//!
//! # What it deliberately is not
//!
//! - **Not a production broker.** Everything is in memory and gone with the process. There is no retention by time; by size
//!   there is with [`Builder::retention_bytes`], else a log grows until [`DevBroker::delete_records_before`] or the end.
//! - Not replicated: the nodes share one log a partition, so `acks` 1 and -1 are the same, nothing is ever lost by
//!   [`DevBroker::kill_node`], and too few replicas or a high watermark before the log's end happen only by a [`Fault`].
//! - No transactions, ACLs, quotas, compaction, or message formats older than record batches v2: Produce below
//!   version 3 gets error 43, Fetch below version 4 gets 35 as soon as there is data.
//! - Topic settings other than `max.message.bytes` are taken and do nothing.
//! - Produce does not look into compressed batches; [`DevBroker::log`] does.
//!
//! # What it takes at most
//!
//! | what | bound | beyond it |
//! |---|---|---|
//! | connections | 1000, of them 1000 from one address ([`Builder::connections`]) | the one that has waited longest for its next request is closed; with all of them busy for less than a minute, the new one |
//! | a connection without a request | 10 min (`connections.max.idle.ms`) | it is closed |
//! | a request, from its first byte to its last | 30 s; 100 MiB, before a login 512 KiB | the connection is closed |
//! | requests that are being received | 256 MiB, those up to 256 KiB not counted | they wait for room, at most those 30 s |
//! | topics | 10,000 partitions each, 200,000 in all | error 44, the 10,000th with 37 |
//! | groups | 10,000, with 10,000 members in all, 64 KiB of protocols each | error 81, for the protocols 42 |
//! | records | [`Builder::retention_bytes`]; not bound unless said otherwise | the oldest go |
//!
//! # How it is built
//!
//! What decides is pure and knows no clock: one partition's log, the producers' sequence numbers, the cluster's leaders, the
//! groups, the fetch sessions, the faults, the SASL exchange. A connection is one task that takes a request, asks them, and
//! answers before it takes the next, so a client cannot make it queue anything. A batch is copied once, when it is
//! appended; a Fetch answer sends slices of the log.

mod batch;
mod broker;
mod builder;
mod cluster;
mod connection;
mod connections;
mod coordinator;
mod error;
mod faults;
mod groups;
mod handlers;
mod log;
mod node;
mod release;
mod sasl;
mod sequence;
mod session;
mod shared;
mod stream;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod token_endpoint;

pub use broker::{DevBroker, FaultHandle, LogRecord};
pub use builder::Builder;
pub use error::Error;
pub use faults::Fault;
pub use release::Release;
pub use sasl::{TokenServer, TokenStep};
#[cfg(feature = "tls")]
pub use tls::TlsVersion;
#[cfg(feature = "tls")]
pub use token_endpoint::TokenEndpoint;
