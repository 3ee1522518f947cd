//! Where a task starts and stops in each partition.
//!
//! The inputs are what Kafka keeps: the *record* (the committed offset of the task's group), the *mark* (did a full
//! sync of this task complete this partition?), and the ends of the log. The rules:
//!
//! | mode | record | mark | start | stop |
//! |---|---|---|---|---|
//! | any | yes | any | the record | full: the end captured at the start; else never |
//! | full | no | any | earliest | the end captured at the start |
//! | incremental | no | any | latest | never |
//! | full+incremental | no | no | earliest | never |
//! | full+incremental | no | yes | latest | never |
//! | incremental modes, partition appeared after the task's first start | no | any | earliest | never |
//!
//! A task commits every start before its first fetch, with [`COMMIT_NOTE`] beside the offset. So a
//! partition without a record, in a group that has such a note elsewhere, did not exist (or did not match) when the
//! task began: it appeared later and is read from its beginning, also when it appeared while the task was down.
//!
//! A record before the first offset still there means that retention deleted what was not read yet; a record behind
//! the end means that the topic was made anew or lost its tail. Both are refused with the figures: a start is never
//! moved silently.

use std::fmt;

use ottla_client::RecordFingerprint;

use crate::mode::Mode;

/// Stands as metadata beside every offset that a task commits, to tell them from offsets set by other tools.
pub const COMMIT_NOTE: &str = "ottla";

/// What is known of one partition before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The committed offset of the task's group: the next one to read.
    pub record: Option<i64>,
    /// A full sync of this task completed this partition.
    pub full_completed: bool,
    /// The first offset still in the log.
    pub earliest: i64,
    /// The end of what may be read: the last stable offset.
    pub latest: i64,
}

/// When the partition came into the task's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appeared {
    /// At the first start of the task, when nothing had been committed yet.
    AtFirstStart,
    /// After the task had committed its first starts.
    Later,
}

/// From where to where a partition is read, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// The first offset to read.
    pub start: i64,
    /// The first offset not to read any more; `None` reads for ever.
    pub stop: Option<i64>,
    /// Why it starts there.
    pub reason: Reason,
}

impl Course {
    /// Has everything up to the stop been read by a reader that stands at `position`?
    pub fn done_at(self, position: i64) -> bool {
        self.stop.is_some_and(|stop| position >= stop)
    }

    /// Offsets between start and stop: at most so many records will be read.
    pub fn offsets(self) -> Option<u64> {
        self.stop.map(|stop| u64::try_from(stop - self.start).unwrap_or(0))
    }
}

/// Why a partition starts where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The group has a committed offset, which always wins.
    Resumed,
    /// `full` without a record: everything that is there.
    FullFromEarliest,
    /// `incremental` without a record: only what is new.
    IncrementalFromLatest,
    /// `full+incremental` without a record, and no full sync of this task ever completed the partition.
    NeverFull,
    /// `full+incremental` without a record, but a full sync of this task completed the partition before.
    FullBefore,
    /// The partition appeared after the task's first start, so all of it is new.
    AppearedLater,
    /// `--from-earliest` names its topic.
    FromEarliest,
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Resumed => "resumed from the committed offset",
            Self::FullFromEarliest => "no committed offset, mode full: from the earliest offset",
            Self::IncrementalFromLatest => "no committed offset, mode incremental: from the latest offset",
            Self::NeverFull => "no committed offset and no full sync ever completed: from the earliest offset",
            Self::FullBefore => "no committed offset, but a full sync completed before: from the latest offset",
            Self::FromEarliest => "--from-earliest: from the earliest offset",
            Self::AppearedLater => "appeared after the task's first start: from the earliest offset",
        })
    }
}

/// Why a partition cannot be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// The next record to read is gone: retention deleted it, or someone deleted records.
    #[error(
        "the next offset to read is {record}, but the log now begins at {earliest}: {} offsets were deleted before they were read",
        earliest - record
    )]
    Deleted {
        /// The committed offset or position.
        record: i64,
        /// The first offset still there.
        earliest: i64,
    },
    /// The record that was read there is another one now.
    #[error(
        "the next offset to read is {record}, but the record at offset {} is not the one that was read there (its time was {} and is \
         {}): the topic was deleted and created again",
        was.offset,
        was.timestamp_ms,
        is.timestamp_ms
    )]
    OtherRecord {
        /// The committed offset or position.
        record: i64,
        /// The record that was read.
        was: RecordFingerprint,
        /// The one that is there now.
        is: RecordFingerprint,
    },
    /// The log begins earlier than it did, which one log never does.
    #[error(
        "the next offset to read is {record}, of a log that began at {log_start}, but the log now begins at {earliest}: the topic was \
         deleted and created again"
    )]
    EarlierStart {
        /// The committed offset or position.
        record: i64,
        /// The first offset that the log had.
        log_start: i64,
        /// The first offset that it has.
        earliest: i64,
    },
    /// The partition's leader epoch went back, which one log's never does.
    #[error(
        "the next offset to read is {record}, read in leader epoch {was}, but the partition is in epoch {is} now: the topic was \
         deleted and created again"
    )]
    EarlierEpoch {
        /// The committed offset or position.
        record: i64,
        /// The committed epoch.
        was: i32,
        /// The epoch of the metadata.
        is: i32,
    },
    /// The task has read the topic before, and the brokers keep no offset of it any more.
    #[error(
        "the task has read this topic before, but its group has no committed offset in any of its partitions: the topic was deleted \
         and created again, and its log begins at {earliest} and ends at {latest}"
    )]
    Forgotten {
        /// The first offset still there.
        earliest: i64,
        /// The end of the log.
        latest: i64,
    },
    /// The broker had no such offset a moment ago.
    #[error(
        "the broker refused {record} as the next offset to read; the log begins at {earliest} and ends at {latest} now: it was cut, or \
         the topic was deleted and created again"
    )]
    Refused {
        /// The position.
        record: i64,
        /// The first offset still there.
        earliest: i64,
        /// The end of the log.
        latest: i64,
    },
    /// The log is shorter than what was already read: the topic was made anew, or its tail was lost.
    #[error(
        "the next offset to read is {record}, but the log ends at {latest}: the topic was made anew or lost its last {} offsets",
        record - latest
    )]
    BeyondEnd {
        /// The committed offset or position.
        record: i64,
        /// The end of the log.
        latest: i64,
    },
}

/// Chooses from where to where a partition is read.
///
/// # Errors
/// The record lies outside the log.
pub fn course(mode: Mode, appeared: Appeared, known: Known) -> Result<Course, Gap> {
    let stop = (mode == Mode::Full).then_some(known.latest);
    if let Some(record) = known.record {
        inside(record, known.earliest, known.latest)?;
        return Ok(Course { start: record, stop, reason: Reason::Resumed });
    }
    let reason = match (mode, appeared) {
        (Mode::Full, _) => Reason::FullFromEarliest,
        (_, Appeared::Later) => Reason::AppearedLater,
        (Mode::Incremental, Appeared::AtFirstStart) => Reason::IncrementalFromLatest,
        (Mode::FullIncremental, Appeared::AtFirstStart) if known.full_completed => Reason::FullBefore,
        (Mode::FullIncremental, Appeared::AtFirstStart) => Reason::NeverFull,
    };
    let start = match reason {
        Reason::IncrementalFromLatest | Reason::FullBefore => known.latest,
        _ => known.earliest,
    };
    Ok(Course { start, stop, reason })
}

/// Reads a partition from its beginning whatever is committed, because the user says so.
pub fn course_from_earliest(mode: Mode, known: Known) -> Course {
    let stop = (mode == Mode::Full).then_some(known.latest);
    Course { start: known.earliest, stop, reason: Reason::FromEarliest }
}

/// Checks that the next offset to read lies in the log or at its end.
///
/// # Errors
/// How far it lies outside.
pub fn inside(record: i64, earliest: i64, latest: i64) -> Result<(), Gap> {
    if record < earliest {
        return Err(Gap::Deleted { record, earliest });
    }
    if record > latest {
        return Err(Gap::BeyondEnd { record, latest });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Appeared::{AtFirstStart, Later};
    use super::Mode::{Full, FullIncremental, Incremental};
    use super::*;

    const MODES: [Mode; 3] = [Full, Incremental, FullIncremental];

    fn log(earliest: i64, latest: i64) -> Known {
        Known { record: None, full_completed: false, earliest, latest }
    }

    fn recorded(record: i64, earliest: i64, latest: i64) -> Known {
        Known { record: Some(record), ..log(earliest, latest) }
    }

    fn after_full(known: Known) -> Known {
        Known { full_completed: true, ..known }
    }

    #[test]
    fn the_whole_table_of_starts_and_stops_holds() {
        use Reason::*;
        let open = log(10, 50);
        let table = [
            // mode, appeared, known, start, stop, reason
            (Full, AtFirstStart, open, 10, Some(50), FullFromEarliest),
            (Full, Later, open, 10, Some(50), FullFromEarliest),
            (Full, AtFirstStart, after_full(open), 10, Some(50), FullFromEarliest),
            (Incremental, AtFirstStart, open, 50, None, IncrementalFromLatest),
            (Incremental, AtFirstStart, after_full(open), 50, None, IncrementalFromLatest),
            (Incremental, Later, open, 10, None, AppearedLater),
            (Incremental, Later, after_full(open), 10, None, AppearedLater),
            (FullIncremental, AtFirstStart, open, 10, None, NeverFull),
            (FullIncremental, AtFirstStart, after_full(open), 50, None, FullBefore),
            (FullIncremental, Later, open, 10, None, AppearedLater),
            (FullIncremental, Later, after_full(open), 10, None, AppearedLater),
        ];
        for (mode, appeared, known, start, stop, reason) in table {
            assert_eq!(
                course(mode, appeared, known),
                Ok(Course { start, stop, reason }),
                "{mode} {appeared:?} {known:?}"
            );
        }
    }

    #[test]
    fn a_record_always_wins() {
        for mode in MODES {
            for appeared in [AtFirstStart, Later] {
                for record in [10, 11, 49, 50] {
                    for known in [recorded(record, 10, 50), after_full(recorded(record, 10, 50))] {
                        let course = course(mode, appeared, known).expect("inside the log");
                        assert_eq!((course.start, course.reason), (record, Reason::Resumed), "{mode} {known:?}");
                        assert_eq!(course.stop, (mode == Full).then_some(50));
                    }
                }
            }
        }
    }

    #[test]
    fn an_empty_partition_starts_at_its_end_and_a_full_sync_of_it_is_done() {
        for at in [0, 77] {
            for mode in MODES {
                let course = course(mode, AtFirstStart, log(at, at)).expect("inside the log");
                assert_eq!(course.start, at);
                assert_eq!(course.done_at(course.start), mode == Full);
            }
        }
    }

    #[test]
    fn a_full_sync_is_done_at_its_stop_and_not_one_before() {
        let course = course(Full, AtFirstStart, log(10, 50)).expect("inside the log");
        assert!(!course.done_at(49));
        assert!(course.done_at(50));
        assert!(course.done_at(51));
        assert_eq!(course.offsets(), Some(40));
    }

    #[test]
    fn a_completed_full_sync_that_is_run_again_reads_only_what_is_new() {
        let again = course(Full, AtFirstStart, after_full(recorded(50, 10, 50))).expect("inside the log");
        assert!(again.done_at(again.start));
        let grown = course(Full, AtFirstStart, after_full(recorded(50, 10, 53))).expect("inside the log");
        assert_eq!((grown.start, grown.stop), (50, Some(53)));
    }

    #[test]
    fn what_retention_deleted_before_it_was_read_is_a_gap_with_its_size() {
        for mode in MODES {
            let gap = course(mode, AtFirstStart, recorded(10, 35, 50)).expect_err("a gap");
            assert_eq!(gap, Gap::Deleted { record: 10, earliest: 35 });
            assert!(gap.to_string().contains("25 offsets were deleted"), "{gap}");
            // Everything deleted, the log empty at its end.
            let all = course(mode, AtFirstStart, recorded(10, 50, 50)).expect_err("a gap");
            assert_eq!(all, Gap::Deleted { record: 10, earliest: 50 });
        }
    }

    #[test]
    fn a_record_behind_the_end_is_refused() {
        for mode in MODES {
            let gap = course(mode, AtFirstStart, recorded(51, 10, 50)).expect_err("a gap");
            assert_eq!(gap, Gap::BeyondEnd { record: 51, latest: 50 });
            let anew = course(mode, Later, recorded(51, 0, 0)).expect_err("a gap");
            assert!(anew.to_string().contains("made anew"), "{anew}");
        }
    }

    #[test]
    fn a_start_that_was_recorded_is_chosen_again() {
        for mode in MODES {
            for appeared in [AtFirstStart, Later] {
                for known in [log(10, 50), after_full(log(10, 50))] {
                    let first = course(mode, appeared, known).expect("inside the log");
                    // Killed before the first fetch, restarted when more has arrived: the same start.
                    let again = course(mode, Later, Known { record: Some(first.start), latest: 60, ..known });
                    assert_eq!(again.expect("inside the log").start, first.start, "{mode} {appeared:?} {known:?}");
                }
            }
        }
    }
}
