//! The Kafka 2.3 wire protocol: every message in both directions, record batches and their codecs.
//!
//! A program that asks, as a broker would read it:
//!
//! ```
//! use bytes::BytesMut;
//! use ottla_protocol::header::RequestHeader;
//! use ottla_protocol::messages::{Message, MetadataRequest, MetadataRequestTopic};
//! use ottla_protocol::{ApiKey, frame};
//!
//! let request = MetadataRequest {
//!     topics: Some(vec![MetadataRequestTopic { name: "orders".to_owned() }]),
//!     ..MetadataRequest::default()
//! };
//! let frame = frame::request_frame(7, Some("ottla"), 8, &request)?;
//!
//! // On the other side:
//! let mut received = BytesMut::new();
//! frame.chunks().iter().for_each(|chunk| received.extend_from_slice(chunk));
//! let mut body = frame::split_frame(&mut received, frame::DEFAULT_LIMIT)?.expect("a whole frame");
//! let header = RequestHeader::decode(&mut body)?;
//! assert_eq!((header.api_key, header.api_version, header.correlation_id), (ApiKey::METADATA, 8, 7));
//! assert_eq!(MetadataRequest::read(header.api_version, body)?, request);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where things are
//!
//! - [`messages`]: one file an API, one line a field; version rules stand there and nowhere else.
//! - [`records`]: record batches v2 and the message sets of before; read and written without an allocation a record.
//! - [`compression`]: the codecs, each with a bounded output.
//! - [`group`]: what members of a consumer group tell each other, and who coordinates them.
//! - [`error_code`], [`api_key`]: the tables.
//! - [`acl`], [`config`], [`coordinator_type`], [`isolation_level`], [`transaction_result`]: what the numbers in fields mean.
//! - [`header`], [`frame`]: what stands around a body.
//! - [`wire`]: how a field becomes bytes.
//!
//! # What is not here, on purpose
//!
//! No I/O, no clock, no async: bytes go in and come out. No decision about retries or versions: that is the client's. No
//! flexible versions (KIP-482), compact types or tagged fields: Kafka 2.3 has none, and every broker from 0.11 to 4.x
//! still speaks versions without them.
//!
//! # Hostile bytes
//!
//! A decoder never panics and never sets aside more memory than a small multiple of the bytes that came. Its errors have
//! addresses: `MetadataResponse v8: topics[3].partitions[9].isr_nodes: need 4 bytes, left 0 (byte 212)`.

pub mod acl;
pub mod api_key;
pub mod compression;
pub mod config;
pub mod coordinator_type;
pub mod error_code;
pub mod frame;
pub mod group;
pub mod header;
pub mod isolation_level;
pub mod messages;
pub mod murmur2;
pub mod records;
pub mod transaction_result;
pub mod wire;

pub use api_key::ApiKey;
pub use coordinator_type::CoordinatorType;
pub use error_code::ErrorCode;
pub use isolation_level::IsolationLevel;
pub use murmur2::{murmur2, partition_for_key};
pub use transaction_result::TransactionResult;
