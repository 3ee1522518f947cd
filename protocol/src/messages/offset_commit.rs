//! OffsetCommit (8): a group's positions, to its coordinator.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Commits positions. Version 0 writes to ZooKeeper, not to the group: never mix it with later ones.
    request OffsetCommitRequest = OFFSET_COMMIT (0..=7) => OffsetCommitResponse {
        /// The group.
        group_id: String,
        /// The generation, or -1 for a consumer that is no member.
        generation_id: i32 [1.., ignorable] = -1,
        /// The member, or empty.
        member_id: String [1.., ignorable],
        /// The static member's name (KIP-345).
        group_instance_id: Option<String> [7..],
        /// How long to keep the positions, in milliseconds; -1 as the broker is set. Gone with version 5 (KIP-211).
        retention_time_ms: i64 [2..=4, ignorable] = -1,
        /// The topics.
        topics: Vec<OffsetCommitRequestTopic>,
    }

    /// A topic's positions.
    struct OffsetCommitRequestTopic {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<OffsetCommitRequestPartition>,
    }

    /// A partition's position.
    struct OffsetCommitRequestPartition {
        /// The partition.
        partition_index: i32,
        /// The next offset to be read.
        committed_offset: i64,
        /// The leader epoch of the last record read; -1 if unknown (KIP-320).
        committed_leader_epoch: i32 [6.., ignorable] = -1,
        /// The commit's own time in version 1, in milliseconds; -1 for the broker's.
        commit_timestamp: i64 [1..=1] = -1,
        /// Any text, at most 4096 bytes unless the broker is set otherwise.
        committed_metadata: Option<String>,
    }

    /// What became of it.
    struct OffsetCommitResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 4 on).
        throttle_time_ms: i32 [3.., ignorable],
        /// The topics.
        topics: Vec<OffsetCommitResponseTopic>,
    }

    /// A topic's results.
    struct OffsetCommitResponseTopic {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<OffsetCommitResponsePartition>,
    }

    /// A partition's result.
    struct OffsetCommitResponsePartition {
        /// The partition.
        partition_index: i32,
        /// 22, 25, 27: the group moved on without this member; 16: another broker coordinates.
        error_code: ErrorCode,
    }
}
