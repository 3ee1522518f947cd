//! AlterReplicaLogDirs (34): moves replicas between a broker's disks.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks a broker to move replicas to other directories of its own (KIP-113).
    request AlterReplicaLogDirsRequest = ALTER_REPLICA_LOG_DIRS (0..=1) => AlterReplicaLogDirsResponse {
        /// The directories.
        dirs: Vec<AlterReplicaLogDir>,
    }

    /// A directory and what is to be in it.
    struct AlterReplicaLogDir {
        /// Its absolute path.
        path: String,
        /// The topics.
        topics: Vec<AlterReplicaLogDirTopic>,
    }

    /// A topic's partitions.
    struct AlterReplicaLogDirTopic {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<i32>,
    }

    /// What became of it. 0 says that the move has begun; DescribeLogDirs says how far it is.
    struct AlterReplicaLogDirsResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on).
        throttle_time_ms: i32,
        /// The topics.
        results: Vec<AlterReplicaLogDirTopicResult>,
    }

    /// A topic's results.
    struct AlterReplicaLogDirTopicResult {
        /// The topic.
        topic_name: String,
        /// Its partitions.
        partitions: Vec<AlterReplicaLogDirPartitionResult>,
    }

    /// A partition's result.
    struct AlterReplicaLogDirPartitionResult {
        /// The partition.
        partition_index: i32,
        /// 57: there is no such directory; 9: no replica here yet, it will be made there; 56: the disk failed.
        error_code: ErrorCode,
    }
}
