//! A record on its way: its parts as borrowed bytes, and the place it came from.

use std::fmt;
use std::path::PathBuf;

use ottla_client::TopicPartition;
use ottla_protocol::records::{Headers, Record};

use crate::format::{self, Layout, NotAnObject};

/// The name of the header that says what a record does to its row: `insert`, `update` or `delete`, as the original
/// writes and reads it. It travels from Kafka to Kafka like every other header.
pub const OPERATION_HEADER: &str = "mqOp";

/// What a record does to the row that its key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A new row; also what a record without the header or with an unknown word in it does.
    Insert,
    /// New values for a row.
    Update,
    /// The row is gone: said by the header, or by a record without a value (a tombstone).
    Delete,
}

/// One record between source and target. Its value, if it has one, was found to be a JSON object.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// The key; `None` for a record without one, and for a line of a file.
    pub key: Option<&'a [u8]>,
    /// The JSON object, byte for byte as it came; `None` deletes the row of the key.
    pub value: Option<&'a [u8]>,
    /// What was learnt about the value on the way.
    pub layout: Layout,
    /// The headers; `None` for a line of a file.
    pub headers: Option<Headers<'a>>,
    /// Milliseconds since 1970; `None` if the source has no times.
    pub timestamp_ms: Option<i64>,
}

impl<'a> Event<'a> {
    /// A Kafka record as an event.
    ///
    /// # Errors
    /// Its value is not a JSON object. A record without a value is a deletion, not a bad message.
    #[inline]
    pub fn from_record(record: &Record<'a>) -> Result<Self, NotAnObject> {
        let layout = match record.value {
            Some(value) => format::check(value)?,
            None => Layout::default(),
        };
        Ok(Self {
            key: record.key,
            value: record.value,
            layout,
            headers: Some(record.headers),
            timestamp_ms: (record.timestamp_ms >= 0).then_some(record.timestamp_ms),
        })
    }

    /// A line of JSONL, without its line break, as an event.
    ///
    /// # Errors
    /// It is not a JSON object.
    #[inline]
    pub fn from_line(line: &'a [u8]) -> Result<Self, NotAnObject> {
        let layout = format::check(line)?;
        Ok(Self { key: None, value: Some(line), layout, headers: None, timestamp_ms: None })
    }

    /// What the record does to its row.
    pub fn operation(&self) -> Operation {
        if self.value.is_none() {
            return Operation::Delete;
        }
        // The last one counts where the header stands more than once, as in the original.
        match self.headers.and_then(|headers| headers.last(OPERATION_HEADER)).flatten() {
            Some(b"update") => Operation::Update,
            Some(b"delete") => Operation::Delete,
            _ => Operation::Insert,
        }
    }

    /// The bytes of the value.
    pub fn len(&self) -> usize {
        self.value.map_or(0, <[u8]>::len)
    }

    /// Does it have no value or one of no bytes? The latter is never true of an event that was checked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where a row of records comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A partition of a topic; numbers are offsets.
    Partition(TopicPartition),
    /// A file; numbers are lines, counted from 0 here and shown from 1.
    File(PathBuf),
    /// Standard input or bytes in memory, by this name.
    Stream(&'static str),
}

impl Origin {
    /// The place of one record, for an error.
    pub fn at(&self, number: i64) -> Place<'_> {
        Place { origin: self, number }
    }

    /// The place of several records, for an error: `orders.jsonl, line 1 and 199 more, up to line 200`.
    pub fn range(&self, first: i64, last: i64, count: u64) -> String {
        match count {
            0 | 1 => self.at(first).to_string(),
            _ => format!("{} and {} more, up to {}", self.at(first), count - 1, Number(self, last)),
        }
    }
}

/// The place of one record: `topic orders, partition 3, offset 17` or `orders.jsonl, line 18`.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    origin: &'a Origin,
    number: i64,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, {}", self.origin, Number(self.origin, self.number))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition(place) => write!(out, "topic {}, partition {}", place.topic, place.partition),
            Self::File(path) => path.display().fmt(out),
            Self::Stream(name) => out.write_str(name),
        }
    }
}

/// `offset 17` or `line 18`.
struct Number<'a>(&'a Origin, i64);

impl fmt::Display for Number<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Origin::Partition(_) => write!(out, "offset {}", self.1),
            Origin::File(_) | Origin::Stream(_) => write!(out, "line {}", self.1 + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_protocol::compression::{Compression, Compressor, Decompressor};
    use ottla_protocol::records::{BatchBuilder, Batches, Header};

    use super::*;

    /// Hands the one record of a batch with this value and header to `look`.
    fn with_record(value: Option<&[u8]>, operation: Option<&[u8]>, look: impl FnOnce(&Record<'_>)) {
        let mut builder = BatchBuilder::with_capacity(256);
        let headers: Vec<_> =
            operation.map(|word| Header { key: OPERATION_HEADER, value: Some(word) }).into_iter().collect();
        builder.append(7, Some(b"k"), value, &headers);
        let sealed = builder.seal(Compression::None, None, &mut Compressor::new()).expect("sealed");
        let batch = Batches::new(sealed.bytes()).next().expect("a batch").expect("whole");
        let open = batch.open(&mut Decompressor::new(), 1 << 20).expect("open");
        look(&open.iter().next().expect("a record").expect("whole"));
    }

    #[test]
    fn a_record_becomes_an_event_with_all_its_parts() {
        with_record(Some(br#"{"a":1}"#), Some(b"update"), |record| {
            let event = Event::from_record(record).expect("an object");
            assert_eq!((event.key, event.value), (Some(&b"k"[..]), Some(&br#"{"a":1}"#[..])));
            assert_eq!((event.timestamp_ms, event.len(), event.is_empty()), (Some(7), 7, false));
            assert_eq!(event.operation(), Operation::Update);
        });
    }

    #[test]
    fn the_header_names_the_operation_and_its_absence_is_an_insert() {
        for (word, operation) in [
            (None, Operation::Insert),
            (Some(&b"insert"[..]), Operation::Insert),
            (Some(b"delete"), Operation::Delete),
            (Some(b"merge"), Operation::Insert),
        ] {
            with_record(Some(b"{}"), word, |record| {
                assert_eq!(Event::from_record(record).expect("an object").operation(), operation, "{word:?}");
            });
        }
    }

    #[test]
    fn a_record_without_a_value_is_a_deletion_and_no_bad_message() {
        with_record(None, None, |record| {
            let event = Event::from_record(record).expect("a deletion");
            assert_eq!((event.operation(), event.value, event.len()), (Operation::Delete, None, 0));
        });
        with_record(Some(b"null"), None, |record| assert!(Event::from_record(record).is_err()));
        with_record(Some(b""), None, |record| assert!(Event::from_record(record).is_err()));
    }

    #[test]
    fn a_place_reads_as_users_count() {
        let origin = Origin::Partition(TopicPartition::new("orders", 3));
        assert_eq!(origin.at(17).to_string(), "topic orders, partition 3, offset 17");
        assert_eq!(Origin::File("a.jsonl".into()).at(0).to_string(), "a.jsonl, line 1");
        assert_eq!(Origin::Stream("standard input").at(9).to_string(), "standard input, line 10");
        assert_eq!(origin.range(0, 9, 10), "topic orders, partition 3, offset 0 and 9 more, up to offset 9");
        assert_eq!(Origin::File("a.jsonl".into()).range(0, 199, 200), "a.jsonl, line 1 and 199 more, up to line 200");
        assert_eq!(Origin::File("a.jsonl".into()).range(3, 3, 1), "a.jsonl, line 4");
    }
}
