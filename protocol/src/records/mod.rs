//! Record batches, format v2 (KIP-98), as Produce carries them and Fetch brings them; and the message sets of before.
//!
//! ```
//! use ottla_protocol::compression::{Compression, Compressor, Decompressor};
//! use ottla_protocol::records::{BatchBuilder, Batches, ProducerStamp};
//!
//! let mut open = BatchBuilder::with_capacity(1024);
//! open.append(1_571_356_231_000, Some(b"1"), Some(br#"{"id":1}"#), &[]);
//! let mut sealed = open.seal(Compression::None, None, &mut Compressor::new())?;
//! sealed.stamp(ProducerStamp::NONE);
//!
//! for batch in Batches::new(sealed.bytes()) {
//!     let batch = batch?;
//!     batch.verify_crc()?;
//!     let batch = batch.open(&mut Decompressor::new(), 1 << 20)?;
//!     for record in batch.iter() {
//!         assert_eq!(record?.value, Some(&br#"{"id":1}"#[..]));
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A record is encoded once, into the batch it travels in; it is read in place, as slices of the frame it came in.
//! Neither way allocates for a record. Message sets (magic 0 and 1) are read
//! by the same types, mixed with batches as brokers store them, and written by [`MessageSetBuilder`].

mod batch;
mod control;
mod convert;
mod error;
mod legacy;
mod reader;
mod record;
mod small;
mod varint;
mod writer;

pub use batch::{Attributes, Batch, BatchHeader, Batches, HEADER_LEN};
pub use control::{ControlType, EndTxnMarker};
pub use convert::{Converted, down_convert, up_convert};
pub use error::{RecordsError, RecordsErrorKind};
pub use legacy::{MessageFormat, MessageSetBuilder};
pub use reader::{OpenBatch, RecordIter};
pub use record::{Header, HeaderIter, Headers, Record};
pub use varint::{get_varint, get_varlong, put_varint, put_varlong};
pub use writer::{BatchBuilder, ProducerStamp, SealedBatch, place, record_size_bound};
