//! Which log a position was taken from.
//!
//! A topic that was deleted and created again has the same name and other records. Before topic ids (KIP-516) the protocol
//! does not tell one from the other, so each committed offset carries, in its metadata, what identifies the log: the
//! [fingerprint](RecordFingerprint) of a record that was read before the offset, and the first offset that the log had. The
//! leader epoch is committed beside them (KIP-320). A position is used only where none of them speaks of another log:
//!
//! - the record at that offset is another one;
//! - the log begins before the offset where it began (a log's start never moves back);
//! - the partition's leader epoch is lower than the committed one (an epoch never goes back).
//!
//! Compaction or retention may have removed the record; then the other two are all there is to go by.

use std::fmt;

use ottla_client::{Committed, RecordFingerprint};

use super::plan::{COMMIT_NOTE, Gap};

/// What is known of the log of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    /// A record before the position.
    pub record: Option<RecordFingerprint>,
    /// The first offset that the log had at some time.
    pub log_start: Option<i64>,
    /// The leader epoch of the last record read.
    pub leader_epoch: Option<i32>,
}

/// What the log says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// The record at the offset of [`Evidence::record`], if there is one.
    pub record: Option<RecordFingerprint>,
    /// The first offset still in the log.
    pub earliest: i64,
    /// The leader epoch by the metadata.
    pub leader_epoch: Option<i32>,
}

/// What holding evidence against a log came to, where it is not another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The record is there.
    Same,
    /// No record was read before the position, so there is none to compare.
    NothingRead,
    /// Compaction or retention removed the record: the rest does not contradict, and cannot prove.
    RecordGone,
}

impl Evidence {
    /// The evidence that another process committed; `None` if the offset was committed by another tool.
    pub fn of_commit(committed: &Committed) -> Option<Self> {
        Self::of_note(committed.metadata.as_deref()?, committed.leader_epoch)
    }

    fn of_note(note: &str, leader_epoch: Option<i32>) -> Option<Self> {
        let note = note.strip_prefix(COMMIT_NOTE)?;
        if !note.is_empty() && !note.starts_with(' ') {
            return None;
        }
        let mut evidence = Self { leader_epoch, ..Self::default() };
        for part in note.split_ascii_whitespace() {
            match part.split_once('=') {
                Some(("record", text)) => evidence.record = text.parse().ok(),
                Some(("log_start", text)) => evidence.log_start = text.parse().ok(),
                // A later release may say more.
                _ => {}
            }
        }
        Some(evidence)
    }

    /// Holds it against what the log of `position` says now.
    ///
    /// # Errors
    /// It is another log.
    pub fn hold_against(&self, position: i64, observed: Observed) -> Result<Identity, Gap> {
        if let (Some(was), Some(is)) = (self.record, observed.record) {
            // A replica may keep records that the leader before it had deleted, so the start may move back in one log, and
            // metadata may lag behind: the record counts for more than both.
            return if was == is { Ok(Identity::Same) } else { Err(Gap::OtherRecord { record: position, was, is }) };
        }
        if let Some(log_start) = self.log_start.filter(|start| observed.earliest < *start) {
            return Err(Gap::EarlierStart { record: position, log_start, earliest: observed.earliest });
        }
        if let (Some(was), Some(is)) = (self.leader_epoch, observed.leader_epoch)
            && is < was
        {
            return Err(Gap::EarlierEpoch { record: position, was, is });
        }
        Ok(if self.record.is_some() { Identity::RecordGone } else { Identity::NothingRead })
    }
}

/// The metadata of a commit: [`COMMIT_NOTE`] and what there is. The leader epoch has its own field.
impl fmt::Display for Evidence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(COMMIT_NOTE)?;
        if let Some(record) = self.record {
            write!(out, " record={record}")?;
        }
        if let Some(log_start) = self.log_start {
            write!(out, " log_start={log_start}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(offset: i64, hash: u64) -> RecordFingerprint {
        format!("{offset},1000,{hash:016x}").parse().expect("a fingerprint")
    }

    fn evidence() -> Evidence {
        Evidence { record: Some(fingerprint(99, 7)), log_start: Some(10), leader_epoch: Some(4) }
    }

    fn observed() -> Observed {
        Observed { record: Some(fingerprint(99, 7)), earliest: 10, leader_epoch: Some(4) }
    }

    #[test]
    fn evidence_is_read_back_from_the_commit_as_it_was_written() {
        for evidence in [evidence(), Evidence { record: None, ..evidence() }, Evidence::default()] {
            assert_eq!(Evidence::of_note(&evidence.to_string(), evidence.leader_epoch), Some(evidence));
        }
        assert_eq!(Evidence::of_note("ottla", None), Some(Evidence::default()), "an older release");
        let later = Evidence::of_note("ottla record=garbage log_start=3 more=1 word", None);
        assert_eq!(later, Some(Evidence { log_start: Some(3), ..Evidence::default() }));
        for other in ["", "ottlax", "kafka ottla"] {
            assert_eq!(Evidence::of_note(other, None), None, "{other:?} is another tool's");
        }
    }

    #[test]
    fn the_same_record_is_the_same_log_wherever_it_begins_now() {
        assert_eq!(evidence().hold_against(100, observed()), Ok(Identity::Same));
        let trimmed = Observed { earliest: 50, leader_epoch: Some(9), ..observed() };
        assert_eq!(evidence().hold_against(100, trimmed), Ok(Identity::Same));
        // Metadata may lag behind what was read; the record is proof enough.
        let behind = Observed { leader_epoch: Some(3), ..observed() };
        assert_eq!(evidence().hold_against(100, behind), Ok(Identity::Same));
    }

    #[test]
    fn another_record_an_earlier_start_or_an_earlier_epoch_is_another_log() {
        let (was, is) = (fingerprint(99, 7), fingerprint(99, 8));
        let other = Observed { record: Some(is), ..observed() };
        assert_eq!(evidence().hold_against(100, other), Err(Gap::OtherRecord { record: 100, was, is }));
        let gone = Observed { record: None, ..observed() };
        assert_eq!(evidence().hold_against(100, gone), Ok(Identity::RecordGone));
        let earlier = Observed { earliest: 9, ..gone };
        let gap = Gap::EarlierStart { record: 100, log_start: 10, earliest: 9 };
        assert_eq!(evidence().hold_against(100, earlier), Err(gap));
        let epoch = Observed { leader_epoch: Some(3), ..gone };
        assert_eq!(evidence().hold_against(100, epoch), Err(Gap::EarlierEpoch { record: 100, was: 4, is: 3 }));
        assert_eq!(evidence().hold_against(100, Observed { leader_epoch: None, ..gone }), Ok(Identity::RecordGone));
    }

    #[test]
    fn without_a_record_the_start_and_the_epoch_are_all_there_is() {
        let none = Evidence { record: None, ..evidence() };
        let now = Observed { record: None, ..observed() };
        assert_eq!(none.hold_against(100, now), Ok(Identity::NothingRead));
        assert!(none.hold_against(100, Observed { earliest: 0, ..now }).is_err());
        assert!(none.hold_against(100, Observed { leader_epoch: Some(0), ..now }).is_err());
        assert_eq!(Evidence::default().hold_against(0, now), Ok(Identity::NothingRead));
    }
}
