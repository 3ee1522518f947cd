//! OffsetFetch (9): a group's committed positions, from its coordinator.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks for committed positions. Version 0 reads ZooKeeper, not the group: never mix it with later ones.
    request OffsetFetchRequest = OFFSET_FETCH (0..=5) => OffsetFetchResponse {
        /// The group.
        group_id: String,
        /// `None` asks for all that there are.
        topics: Option<Vec<OffsetFetchRequestTopic>> [0.., null 2..],
    }

    /// A topic asked for.
    struct OffsetFetchRequestTopic {
        /// The topic.
        name: String,
        /// Its partitions.
        partition_indexes: Vec<i32>,
    }

    /// The positions.
    struct OffsetFetchResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 4 on).
        throttle_time_ms: i32 [3.., ignorable],
        /// The topics.
        topics: Vec<OffsetFetchResponseTopic>,
        /// The group's error. Before version 2 it is repeated in each partition instead.
        error_code: ErrorCode [2.., ignorable],
    }

    /// A topic's positions.
    struct OffsetFetchResponseTopic {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<OffsetFetchResponsePartition>,
    }

    /// A partition's position.
    struct OffsetFetchResponsePartition {
        /// The partition.
        partition_index: i32,
        /// The next offset to be read; -1 if none was committed.
        committed_offset: i64,
        /// The leader epoch of the last record read; -1 if unknown (KIP-320).
        committed_leader_epoch: i32 [5.., ignorable] = -1,
        /// The text that was committed with it.
        metadata: Option<String>,
        /// An error of the partition.
        error_code: ErrorCode,
    }
}
