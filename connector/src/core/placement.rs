//! Where a task puts the records of a topic, remembered from one run to the next.
//!
//! The partition of a record follows from the rule (`partition_by`) and the number of partitions of the target topic. When one
//! of them changes between two runs, records of one key can be in two partitions, where no consumer sees them in order. The
//! task cannot prevent that, so it says it. A task that reads Kafka keeps its placement in the metadata of each commit, one
//! that reads a file in its state.

use std::fmt;
use std::str::FromStr;

use ottla_client::Committed;

/// The rule's text is not kept when it is longer: brokers take 4096 bytes of metadata (`offset.metadata.max.bytes`).
const LONGEST: usize = 1024;

/// The part of a commit's metadata.
const KEY: &str = "to=";

/// A target topic, the number of its partitions, and the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The topic that records go to.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// The rule, as `partition_by` names it.
    pub by: String,
}

impl Placement {
    /// The placement that an earlier run committed; `None` if it committed none, or another tool did.
    pub fn of_commit(committed: &Committed) -> Option<Self> {
        Self::of_note(committed.metadata.as_deref()?)
    }

    fn of_note(note: &str) -> Option<Self> {
        note.split_ascii_whitespace().find_map(|part| part.strip_prefix(KEY)?.parse().ok())
    }

    /// Its part of a commit's metadata; `None` if it is too long to be kept.
    pub fn note(&self) -> Option<String> {
        let text = self.to_string();
        (text.len() <= LONGEST).then(|| format!("{KEY}{text}"))
    }

    /// Whether some records of a source topic with so many partitions go elsewhere than they did. Another target topic is a
    /// new beginning.
    pub fn moves_records(&self, before: &Self, source_partitions: i32) -> bool {
        if self.topic != before.topic {
            return false;
        }
        if self.by != before.by {
            return true;
        }
        let fewer = self.partitions.min(before.partitions);
        self.partitions != before.partitions
            && match self.by.as_str() {
                "spread" | "first" => false,
                "source" => source_partitions > fewer,
                _ => true,
            }
    }

    /// The change in words. `what` is placed.
    pub fn change(&self, before: &Self, what: &str) -> String {
        let partitions = |count: i32| if count == 1 { "1 partition".to_owned() } else { format!("{count} partitions") };
        let advice = if self.by == before.by {
            "consumers that need the order should be done with the old ones first".to_owned()
        } else {
            format!("partition_by = \"{}\" in the target connection keeps them where they were", before.by)
        };
        format!(
            "{what} go to other partitions of topic {} than in the last run: partition_by = \"{}\" over {} now, \"{}\" over {} \
             then; records of one key can be in two partitions, and {advice}",
            self.topic,
            self.by,
            partitions(self.partitions),
            before.by,
            partitions(before.partitions)
        )
    }
}

/// `TOPIC:PARTITIONS:RULE`, where `%` and white space of the rule are percent-encoded. A topic's name has no colon.
impl fmt::Display for Placement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:", self.topic, self.partitions)?;
        for character in self.by.chars() {
            if character == '%' || character.is_ascii_whitespace() || character.is_ascii_control() {
                write!(out, "%{:02x}", u32::from(character))?;
            } else {
                write!(out, "{character}")?;
            }
        }
        Ok(())
    }
}

/// The text is no placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not TOPIC:PARTITIONS:RULE")]
pub struct NoPlacement;

impl FromStr for Placement {
    type Err = NoPlacement;

    fn from_str(text: &str) -> Result<Self, NoPlacement> {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().filter(|part| !part.is_empty()).ok_or(NoPlacement);
        let (topic, partitions, by) = (next()?, next()?, next()?);
        let partitions = partitions.parse().ok().filter(|count| *count > 0).ok_or(NoPlacement)?;
        Ok(Self { topic: topic.to_owned(), partitions, by: decoded(by).ok_or(NoPlacement)? })
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut decoded = pieces.next()?.to_owned();
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(2)?;
        decoded.push(char::from(u8::from_str_radix(code, 16).ok()?));
        decoded.push_str(rest);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(by: &str, partitions: i32) -> Placement {
        Placement { topic: "orders.eu".to_owned(), partitions, by: by.to_owned() }
    }

    #[test]
    fn a_placement_is_read_back_from_the_note_of_a_commit() {
        for by in ["source", "key:/id", "key:/a b/100 %/\u{957f}:\t"] {
            let kept = placement(by, 12);
            let note = format!("ottla record=1,2,3 log_start=0 {}", kept.note().expect("short"));
            assert_eq!(Placement::of_note(&note), Some(kept), "{note}");
        }
        assert_eq!(placement(&format!("key:/{}", "x".repeat(2000)), 1).note(), None, "too long to be kept");
        for other in [
            "ottla",
            "",
            "ottla to=",
            "ottla to=a",
            "ottla to=a:0:key",
            "ottla to=a:1:",
            "ottla to=a:1:k%2",
            "to:a:1:key",
        ] {
            assert_eq!(Placement::of_note(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_change_counts_where_it_moves_records() {
        let moves = |now: (&str, i32), then: (&str, i32), source| {
            placement(now.0, now.1).moves_records(&placement(then.0, then.1), source)
        };
        assert!(!moves(("source", 3), ("source", 3), 9));
        assert!(!moves(("source", 8), ("source", 3), 3), "each partition keeps its number");
        assert!(moves(("source", 8), ("source", 3), 4), "partition 3 was in 0");
        assert!(moves(("key", 8), ("key", 3), 1) && moves(("key:/id", 2), ("key:/id", 3), 1));
        assert!(!moves(("spread", 8), ("spread", 3), 4) && !moves(("first", 8), ("first", 3), 4));
        assert!(moves(("key", 3), ("source", 3), 1) && moves(("key:/a", 3), ("key:/b", 3), 1));
        let elsewhere = Placement { topic: "other".to_owned(), ..placement("key", 3) };
        assert!(!elsewhere.moves_records(&placement("key", 8), 1), "another topic has no past");
    }
}
