//! ListOffsets (2): the first, the last, or the offset for a time.

use crate::wire::macros::messages;
use crate::{ErrorCode, IsolationLevel};

messages! {
    /// Asks partition leaders for offsets.
    request ListOffsetRequest = LIST_OFFSETS (0..=5) => ListOffsetResponse {
        /// -1 for a consumer.
        replica_id: i32,
        /// What the latest is: the high watermark, or the last stable offset (KIP-98).
        isolation_level: IsolationLevel [2..],
        /// The topics.
        topics: Vec<ListOffsetTopic>,
    }

    /// A topic asked for.
    struct ListOffsetTopic {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<ListOffsetPartition>,
    }

    /// A partition asked for.
    struct ListOffsetPartition {
        /// The partition.
        partition_index: i32,
        /// The leader epoch the client believes in; -1 goes unchecked (KIP-320).
        current_leader_epoch: i32 [4.., ignorable] = -1,
        /// -1: the latest; -2: the earliest; else milliseconds, for the first record not older.
        timestamp: i64,
        /// How many segment starts version 0 may list.
        max_num_offsets: i32 [0..=0, ignorable] = 1,
    }

    /// The offsets.
    struct ListOffsetResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 3 on).
        throttle_time_ms: i32 [2.., ignorable],
        /// The topics.
        topics: Vec<ListOffsetTopicResponse>,
    }

    /// A topic's offsets.
    struct ListOffsetTopicResponse {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<ListOffsetPartitionResponse>,
    }

    /// A partition's offset.
    struct ListOffsetPartitionResponse {
        /// The partition.
        partition_index: i32,
        /// 43: a message format without times; 78: just elected, ask again.
        error_code: ErrorCode,
        /// Version 0's list, the newest first.
        old_style_offsets: Vec<i64> [0..=0],
        /// The found record's time, or -1.
        timestamp: i64 [1..] = -1,
        /// The offset; -1 for none.
        offset: i64 [1..] = -1,
        /// The leader epoch of that record; -1 if unknown.
        leader_epoch: i32 [4.., ignorable] = -1,
    }
}
