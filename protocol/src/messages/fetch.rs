//! Fetch (1): record data from a partition's leader, or from a follower near by.

use bytes::Bytes;

use crate::wire::macros::messages;
use crate::{ErrorCode, IsolationLevel};

messages! {
    /// Asks a broker for records from given offsets on. From version 7 on within a session (KIP-227), where only changes
    /// are named. Version 10 is the first that may be answered with zstd.
    request FetchRequest = FETCH (0..=11) => FetchResponse {
        /// -1 for a consumer.
        replica_id: i32,
        /// How long the broker waits for `min_bytes`, in milliseconds.
        max_wait: i32,
        /// How many bytes the broker waits for.
        min_bytes: i32,
        /// About how many bytes the answer may have. The first batch comes whole, however large it is.
        max_bytes: i32 [3.., ignorable] = 0x7fff_ffff,
        /// Up to where, and whether with a list of aborted transactions (KIP-98).
        isolation_level: IsolationLevel [4..],
        /// The session, 0 for none yet.
        session_id: i32 [7..],
        /// The session's request count: 0 opens one, -1 closes it or goes without (KIP-227).
        epoch: i32 [7..] = -1,
        /// The partitions; in a session only those that are new or changed. Space is filled in this order.
        topics: Vec<FetchableTopic>,
        /// The partitions that leave the session.
        forgotten: Vec<ForgottenTopic> [7..],
        /// The client's rack, to be sent to a follower in it (KIP-392); empty for none.
        rack_id: String [11.., ignorable],
    }

    /// A topic to fetch from.
    struct FetchableTopic {
        /// The topic.
        name: String,
        /// Its partitions.
        fetch_partitions: Vec<FetchPartition>,
    }

    /// A partition to fetch from.
    struct FetchPartition {
        /// The partition.
        partition_index: i32,
        /// The leader epoch the client believes in; -1 goes unchecked (KIP-320).
        current_leader_epoch: i32 [9.., ignorable] = -1,
        /// The first offset wanted. The first batch may begin before it.
        fetch_offset: i64,
        /// A follower's log start; -1 for a consumer.
        log_start_offset: i64 [5..] = -1,
        /// About how many bytes of this partition.
        max_bytes: i32,
    }

    /// Partitions that leave the session.
    struct ForgottenTopic {
        /// The topic.
        name: String,
        /// Its partitions.
        forgotten_partition_indexes: Vec<i32>,
    }

    /// Record data. Within a session only partitions with something to say are in it.
    struct FetchResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 8 on).
        throttle_time_ms: i32 [1.., ignorable],
        /// An error of the session: 70, 71.
        error_code: ErrorCode [7..],
        /// The session; 0 if the broker gave none.
        session_id: i32 [7..],
        /// The topics.
        topics: Vec<FetchableTopicResponse>,
    }

    /// A topic's data.
    struct FetchableTopicResponse {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<FetchablePartitionResponse>,
    }

    /// A partition's data.
    struct FetchablePartitionResponse {
        /// The partition.
        partition_index: i32,
        /// 1: the offset is not in the log; 6, 3, 74, 78 …: ask elsewhere or later.
        error_code: ErrorCode,
        /// The first offset that not all in-sync replicas have.
        high_watermark: i64,
        /// The first offset of an open transaction, or the high watermark; -1 if unknown.
        last_stable_offset: i64 [4.., ignorable] = -1,
        /// The first offset of the log; -1 if unknown.
        log_start_offset: i64 [5.., ignorable] = -1,
        /// The aborted transactions within these records; null unless asked with READ_COMMITTED.
        aborted: Option<Vec<AbortedTransaction>> [4..],
        /// The follower to ask instead; -1 for none (KIP-392). A 2.3 broker always says -1.
        preferred_read_replica: i32 [11.., ignorable] = -1,
        /// Batches, the last of which may be cut. Empty and null mean the same.
        records: Option<Bytes>,
    }

    /// A transaction that was aborted.
    struct AbortedTransaction {
        /// The producer.
        producer_id: i64,
        /// The transaction's first offset.
        first_offset: i64,
    }
}
