//! A Kafka client in pure Rust on Tokio, for brokers from 0.11 to 4.x: no C anywhere, one static binary.
//!
//! ```
//! use ottla_client::{Client, CommitOffset, NewTopic, OffsetAt, TopicPartition};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = ottla_devbroker::DevBroker::builder().start().await?;
//! # let servers = broker.bootstrap();
//! let client = Client::builder().bootstrap(servers).client_id("shop").connect().await?;
//!
//! let topic = NewTopic { name: "orders".to_owned(), partitions: 3, replicas: 1 };
//! client.create_topic(&topic).await?;
//!
//! let partition = TopicPartition::new("orders", 0);
//! let ends = client.offsets(&[partition.clone()], OffsetAt::Latest).await?;
//! client.commit("billing", &[CommitOffset::new(partition.clone(), ends[&partition])]).await?;
//! # assert_eq!(client.committed("billing", &[partition.clone()]).await?[&partition].offset, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # How it is made
//!
//! One [`Client`] is one handle on a cluster; producers, consumers and everything else are made from it and share its
//! knowledge of who leads what, not its connections: each purpose has its own connection to a broker, so that a fetch that
//! waits for data holds up nothing else. All that decides (which version, which leader, which batch, when again) is in pure
//! machines that tests drive with made-up time and chance; only the drivers around them await.
//!
//! # What every call keeps
//!
//! - It ends by its deadline. What a later try may mend is tried again until then, with growing pauses; the last error says
//!   how often and for how long.
//! - Its [`Error`] says where, what, and what to do; programs ask it questions ([`Error::kind`], [`Error::code`],
//!   [`Error::is_retriable`], [`Error::maybe_written`]).
//! - Its future may be dropped at any point. Nothing it leaves behind outlives the client.
//! - No topic comes into being but by [`Client::create_topic`], however the brokers are set.
//!
//! # What it does not do, on purpose
//!
//! No blocking calls and no runtime of its own: it runs on the caller's Tokio. No unbounded queue and no hidden thread. No
//! broker before 0.11, which has no record batches v2. Not yet: consumer groups of several members, and
//! transactions.

mod admin;
mod client;
mod config;
mod consumer;
mod core;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod groups;
// Every message has both directions: tests play the KDC and the service with those that a client does not need.
#[cfg_attr(not(test), allow(dead_code, unused_imports))]
mod kerberos;
mod net;
mod offsets;
mod producer;
mod sasl;
mod topic_partition;

pub use crate::core::accumulator::{Outgoing, OutgoingHeaders};
pub use crate::core::isolation::Isolation;
pub use crate::core::partitioner::Unkeyed;
pub use crate::core::peer_text::PeerText;
pub use admin::{Created, NewTopic};
pub use client::{Broker, BrokerTrouble, Client, Partition, Topic};
pub use config::{Bootstrap, ClientBuilder, Pem, TlsIdentity, TlsOptions, TlsSession, TlsVersion, TrustedCa};
pub use consumer::{Consumer, ConsumerOptions, Fetched, Records};
pub use error::{Error, ErrorKind};
pub use groups::{GroupDescription, GroupMember, JoinedAlone, SoleMember, SoleMemberOptions};
/// What signatures of this crate need of the wire protocol's.
pub use ottla_protocol::compression::Compression;
pub use ottla_protocol::records::{Header, HeaderIter, Headers, Record};
pub use ottla_protocol::{ApiKey, ErrorCode, partition_for_key};

pub use kerberos::login::{KerberosMistake, KerberosOptions, KerberosSetting};
pub use offsets::{CommitOffset, Committed, OffsetAt, RecordFingerprint};
pub use producer::{Ack, Acks, Delivery, Producer, ProducerOptions, TopicProducer, Trouble};
pub use sasl::{BearerToken, OauthBearer, ScramHash, TokenEndpoint, TokenFuture, TokenProvider};
pub use topic_partition::TopicPartition;
