//! The Kafka 2.3 wire protocol: every message in both directions, record batches and their codecs.
//!
//! A frame, as it comes off a socket, and what is in it:
//!
//! ```
//! use bytes::BytesMut;
//! use ottla_protocol::compression::Decompressor;
//! use ottla_protocol::frame::{DEFAULT_LIMIT, split_frame};
//! use ottla_protocol::header::RequestHeader;
//! use ottla_protocol::messages::{Body, Direction, Message, ProduceRequest};
//! use ottla_protocol::records::Batches;
//!
//! let mut received = BytesMut::from(
//!     &b"\0\0\0\x7c\0\0\0\x07\0\0\0\x07\0\x05ottla\xff\xff\xff\xff\0\0\x03\xe8\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\x03\
//!        \0\0\0\x4d\0\0\0\0\0\0\0\0\0\0\0\x41\xff\xff\xff\xff\x02\xb1\x9b\x0b\xbe\0\0\0\0\0\0\0\0\x01\x6d\xdc\x21\x45\x58\0\0\x01\x6d\
//!        \xdc\x21\x45\x58\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x01\x1e\0\0\0\x021\x10{\"id\":1}\0"[..],
//! );
//! let mut body = split_frame(&mut received, DEFAULT_LIMIT)?.expect("the whole frame is here");
//! let header = RequestHeader::decode(&mut body)?;
//! assert_eq!(header.client_id.as_deref(), Some("ottla"));
//!
//! // The header says what the body is. Any message, by name:
//! let row = Body::find(header.api_key, Direction::Request).expect("an API of Kafka 2.3");
//! let message = row.read(header.api_version, body.clone())?;
//! println!("{} v{} {}", row.name, header.api_version, message.value(header.api_version));
//! # assert_eq!(message.value(header.api_version).to_string(), "{transactional_id: null, acks: -1, timeout_ms: 1000, \
//! #     topics: [{name: \"orders\", partitions: [{partition_index: 3, records: 77 bytes}]}]}");
//! // ProduceRequest v7 {transactional_id: null, acks: -1, timeout_ms: 1000,
//! //     topics: [{name: "orders", partitions: [{partition_index: 3, records: 77 bytes}]}]}
//!
//! // By its type, and down to its records:
//! let request = ProduceRequest::read(header.api_version, body)?;
//! let partition = &request.topics[0].partitions[0];
//! for batch in Batches::new(partition.records.clone().unwrap_or_default()) {
//!     let batch = batch?;
//!     batch.verify_crc()?;
//!     for record in &batch.open(&mut Decompressor::new(), 1 << 20)? {
//!         let record = record?;
//!         assert_eq!((record.offset, record.timestamp_ms), (0, 1_571_356_231_000));
//!         assert_eq!((record.key, record.value), (Some(&b"1"[..]), Some(&br#"{"id":1}"#[..])));
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The example `decode` does this for every frame on its standard input and prints each field with its byte offset:
//! `cargo run --example decode -- --help`.
//!
//! # Frames
//!
//! A frame is an int32 size, a header and a body. A request's header names the API, its version, a number for the answer to
//! come back under, and the client. A response's header is that number and nothing else: what the rest is only the asker
//! knows, so a connection needs a queue of what it asked. [`frame`] builds frames in one pass, with record data in them by
//! reference, ready for one vectored write; [`header`] takes headers off.
//!
//! # Messages and versions
//!
//! Kafka 2.3 has 45 APIs in 152 versions: 304 bodies. Each API is one file in [`messages`], each field one line, and a line
//! says everything: name, type, in which versions it is there, in which it may be null, its default, and what becomes of a
//! value that a version cannot carry. Both directions follow from that line, so they cannot disagree.
//!
//! A version is an argument, never a type: one [`MetadataResponse`](messages::MetadataResponse) holds what any version can say,
//! a field that the version lacks has its default when it is read. Written, a value other than the default in a version
//! without the field is an error, for the receiver would act on something else than was said; unless Kafka calls the field
//! ignorable. Which version to speak is not decided here.
//!
//! Sets that Kafka may add to are open: [`ErrorCode`] is a number with names for what 2.3 knows, not an enum that fails on the
//! next release.
//!
//! # Records
//!
//! Record data is a byte field to the messages, and a format of its own: [`records`]. A record is encoded once, into the batch
//! it travels in, and read in place, as slices of the frame it came in; neither way allocates for a record. A batch stays
//! closed until it is asked for its records: that is when it is decompressed, up to a limit that the caller names. Message
//! sets, the formats v0 and v1 of brokers before 0.11, are read by the same types.
//!
//! # Hostile bytes
//!
//! What a peer says is a claim. A decoder never panics, and never sets aside more memory than a small multiple of the bytes
//! that came, whatever count they claim; a decompressor stops at its limit. Errors have addresses:
//! `MetadataResponse v8: topics[3].partitions[9].isr_nodes: need 4 bytes, left 0 (byte 212)`. Bytes left over are an error
//! too: they mean that the two sides do not agree on the layout. Credentials show their length in `Debug` and in dumps,
//! nothing more. There is no `unsafe` here, and nothing compiles or links C.
//!
//! # What is not here, on purpose
//!
//! No I/O, no clock, no async: bytes go in and come out. No decision about retries or versions: that is the client's. No
//! flexible versions (KIP-482), compact types or tagged fields: Kafka 2.3 has none, and every broker from 0.11 to 4.x
//! still speaks versions without them. No zero-copy text: slices of the frame measured no faster than a `String`,
//! which keeps no frame alive.
//!
//! # How it is proven
//!
//! A ladder of tests, each rung finding what the others are blind to:
//!
//! 1. **Shape.** Every field of every version against Kafka's own schema data: name, order, type, null, default.
//! 2. **Golden bytes.** 912 bodies and 82 record sets written by Kafka 2.3.1's own classes: decoded, compared by field name and
//!    value, since bytes alone are blind to two swapped integers, and encoded again to the same bytes.
//! 3. **Random bodies** by a writer that knows only the schema data, none of this crate's encoder.
//! 4. **Hostile bytes.** Cuts, flips and absurd lengths, with memory counted; and the same bytes through the declarations' shape
//!    alone ([`mod@wire::trace`]), which has to see what the typed decoder sees and refuse in the same words. The same doors are
//!    `cargo fuzz` targets.
//! 5. **Real brokers**, from 0.11 to 4.x.
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
//! - [`wire`]: how a field becomes bytes, and [`mod@wire::trace`], which says of each byte which field it is part of.

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
