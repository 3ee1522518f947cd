//! The three sync modes, and the names under which Kafka keeps how far a task is.
//!
//! A task's state lives in the source cluster, so that it survives a change of host and shows up in every lag tool:
//!
//! - The *record* is the committed offset of the task's group for each partition: the group that its key `group` names,
//!   else [`group`].
//! - The *mark* "a full sync of this task completed this partition" is a committed offset of a second group,
//!   [`marks_group`]: it stays when the offsets of the first are reset or deleted. Its offset is the end that the full
//!   sync read up to. The mark is kept per partition, so a partition that is added later carries none. A partition that was
//!   only begun has a commit there too, with another note, so that a topic that was deleted is told from a group whose
//!   offsets were removed.
//! - Which topics the task has read is kept in that group too, in a topic that is never deleted
//!   ([`seen_topics`](crate::core::seen_topics)).
//!
//! Each position carries what identifies its log ([`evidence`](crate::core::evidence)).
//!
//! Task names have no dots, so the groups of two tasks never meet. A running task is the sole member of its
//! group ([`sole`](crate::task::sole)): a second process of the task is refused, and a process that was taken for dead
//! commits nothing more. The second group never has members.
//!
//! A broker forgets the offsets of a group without members when they were not committed again for `offsets.retention.minutes`
//! (7 days by default, 1 day before Kafka 2.0). So every start of a task commits all of them again, and so does a running
//! one every [`RENEW_EVERY`]. When both groups were forgotten the task starts as a new one.

use std::time::Duration;

pub use crate::config::model::Mode;

/// How often a running task commits every position again, moved or not, so that brokers do not forget idle ones.
pub const RENEW_EVERY: Duration = Duration::from_hours(6);

/// The name of the consumer group of a task without a `group` of its own: `ottla-<task>`.
pub fn group(task: &str) -> String {
    format!("ottla-{task}")
}

/// The name of the group that keeps the marks of completed full syncs: `ottla-<task>.full`.
pub fn full_group(task: &str) -> String {
    marks_group(&group(task))
}

/// The group that keeps the marks of completed full syncs beside the group of the positions: `<group>.full`.
pub fn marks_group(group: &str) -> String {
    format!("{group}.full")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_are_named_after_the_task_and_nothing_else() {
        assert_eq!(group("shop-to-file"), "ottla-shop-to-file");
        assert_eq!(full_group("shop-to-file"), "ottla-shop-to-file.full");
    }
}
