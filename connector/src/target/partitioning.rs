//! Which partition of the target topic a record goes to: a rule with a name, printed at each start.
//!
//! The default for topics, `source`, needs no memory and no key: partition `p` goes to `p` modulo the target's count. So a
//! source partition's records stay in one target partition, in their order, whatever partitions the source gains later, and
//! whatever the target gains while it has at least as many as the source. Lines of a file have no partition to keep; they
//! are spread batch by batch.

use std::fmt;
use std::str::FromStr;

use ottla_protocol::partition_for_key;

use crate::event::Event;
use crate::format::{Pointer, PointerError};

/// `partition_by`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionBy {
    /// The source partition's number, modulo the target's count.
    Source,
    /// The record's key, hashed as Kafka's own clients do; without one as [`PartitionBy::Source`].
    Key,
    /// One partition after the other, a batch each, whatever the key.
    Spread,
    /// All to partition 0.
    First,
    /// The scalar at this place in the value, hashed as Kafka's own clients hash a key.
    Field(Pointer),
}

/// Why a text is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartitionByError {
    /// No such word.
    #[error("it is none of \"source\", \"key\", \"spread\", \"first\" and \"key:/NAME\"")]
    Word,
    /// What follows `key:`.
    #[error(transparent)]
    Pointer(#[from] PointerError),
}

impl PartitionBy {
    /// The words, with an example of the one that takes a pointer.
    pub const WORDS: [&'static str; 5] = ["source", "key", "spread", "first", "key:/id"];
}

impl FromStr for PartitionBy {
    type Err = PartitionByError;

    fn from_str(text: &str) -> Result<Self, PartitionByError> {
        Ok(match text {
            "source" => Self::Source,
            "key" => Self::Key,
            "spread" => Self::Spread,
            "first" => Self::First,
            _ => Self::Field(text.strip_prefix("key:").ok_or(PartitionByError::Word)?.parse()?),
        })
    }
}

impl fmt::Display for PartitionBy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => out.write_str("source"),
            Self::Key => out.write_str("key"),
            Self::Spread => out.write_str("spread"),
            Self::First => out.write_str("first"),
            Self::Field(pointer) => write!(out, "key:{pointer}"),
        }
    }
}

/// The rule of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partitioning {
    pub(super) by: PartitionBy,
    /// Partitions of the target topic when the route was opened, at least 1. Those it gains later are used after the next
    /// start.
    pub(super) partitions: i32,
}

/// The target partition of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chosen {
    /// This one.
    Partition(i32),
    /// This one, together with all others that have no scalar at the place that the rule looks at.
    WithoutField(i32),
    /// The producer decides, batch by batch.
    Any,
}

impl Partitioning {
    /// The target partition of a record.
    #[inline]
    pub(super) fn choose(&self, source_partition: i32, event: &Event<'_>) -> Chosen {
        let own = || source_partition.rem_euclid(self.partitions);
        match &self.by {
            PartitionBy::Source => Chosen::Partition(own()),
            PartitionBy::Key => {
                Chosen::Partition(event.key.map_or_else(own, |key| partition_for_key(key, self.partitions)))
            }
            PartitionBy::Spread => Chosen::Any,
            PartitionBy::First => Chosen::Partition(0),
            PartitionBy::Field(pointer) => match event.value.and_then(|value| pointer.scalar(value)) {
                Some(scalar) => Chosen::Partition(partition_for_key(&scalar, self.partitions)),
                None => Chosen::WithoutField(partition_for_key(b"", self.partitions)),
            },
        }
    }

    /// The rule in words, for a source topic of so many partitions.
    pub(super) fn describe(&self, source_partitions: i32) -> String {
        match &self.by {
            PartitionBy::Source if source_partitions <= self.partitions => {
                "each source partition keeps its number".to_owned()
            }
            PartitionBy::Source => format!("source partition p goes to p modulo {}", self.partitions),
            PartitionBy::Key => "by the key; without one by the source partition".to_owned(),
            PartitionBy::Spread => "spread batch by batch; order is kept within a partition only".to_owned(),
            PartitionBy::First => "all to partition 0, in order".to_owned(),
            PartitionBy::Field(pointer) => format!("by the value at {pointer}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Layout;

    fn rule(by: &str, partitions: i32) -> Partitioning {
        Partitioning { by: by.parse().unwrap(), partitions }
    }

    fn event<'a>(key: Option<&'a [u8]>, value: &'a str) -> Event<'a> {
        Event { key, value: Some(value.as_bytes()), layout: Layout::default(), headers: None, timestamp_ms: None }
    }

    #[test]
    fn a_source_partition_keeps_its_place_when_others_are_added() {
        for source in 0..3 {
            for key in [None, Some(&b"any key"[..])] {
                assert_eq!(rule("source", 3).choose(source, &event(key, "{}")), Chosen::Partition(source));
            }
        }
        // The source's fourth partition joins one that is there, and the three others stay. The same when the target grows.
        assert_eq!(rule("source", 3).choose(3, &event(None, "{}")), Chosen::Partition(0));
        for source in 0..3 {
            assert_eq!(rule("source", 8).choose(source, &event(None, "{}")), Chosen::Partition(source));
        }
    }

    #[test]
    fn by_key_goes_as_kafkas_own_clients_do() {
        for key in [&b"a"[..], b"b", b"", "长".as_bytes()] {
            let chosen: Vec<_> = (0..5).map(|source| rule("key", 2).choose(source, &event(Some(key), "{}"))).collect();
            assert_eq!(
                chosen,
                [Chosen::Partition(partition_for_key(key, 2)); 5],
                "a key's records meet in one partition"
            );
        }
        assert_eq!(rule("key", 2).choose(3, &event(None, "{}")), Chosen::Partition(1));
    }

    #[test]
    fn by_a_field_equal_scalars_meet_and_records_without_it_stay_together() {
        let by_id = rule("key:/id", 7);
        assert_eq!(by_id.choose(0, &event(None, r#"{"id":"21"}"#)), Chosen::Partition(1_173_551_340 % 7));
        assert_eq!(by_id.choose(5, &event(Some(b"k"), r#"{"x":1,"id":21}"#)), Chosen::Partition(1_173_551_340 % 7));
        let without = [r#"{"a":1}"#, r#"{"id":null}"#, r#"{"id":{}}"#];
        for value in without {
            assert_eq!(by_id.choose(0, &event(None, value)), Chosen::WithoutField(partition_for_key(b"", 7)));
        }
    }

    #[test]
    fn spread_and_first_look_at_nothing() {
        assert_eq!(rule("spread", 3).choose(2, &event(Some(b"k"), "{}")), Chosen::Any);
        assert_eq!(rule("first", 3).choose(2, &event(Some(b"k"), "{}")), Chosen::Partition(0));
    }

    #[test]
    fn rules_are_read_as_they_are_written() {
        for word in PartitionBy::WORDS {
            assert_eq!(word.parse::<PartitionBy>().unwrap().to_string(), word);
        }
        assert_eq!("round-robin".parse::<PartitionBy>(), Err(PartitionByError::Word));
        assert_eq!("key:id".parse::<PartitionBy>(), Err(PartitionByError::Pointer(PointerError::NoSlash)));
    }
}
