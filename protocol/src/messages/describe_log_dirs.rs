//! DescribeLogDirs (35): a broker's directories and how large the replicas in them are.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks a broker about its own directories (KIP-113). For all there are, every broker has to be asked.
    request DescribeLogDirsRequest = DESCRIBE_LOG_DIRS (0..=1) => DescribeLogDirsResponse {
        /// The topics; null for all.
        topics: Option<Vec<DescribableLogDirTopic>>,
    }

    /// A topic asked for.
    struct DescribableLogDirTopic {
        /// The topic.
        topic: String,
        /// Its partitions.
        partition_index: Vec<i32>,
    }

    /// The directories.
    struct DescribeLogDirsResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on).
        throttle_time_ms: i32,
        /// The directories; none if the client may not ask.
        results: Vec<DescribeLogDirsResult>,
    }

    /// A directory.
    struct DescribeLogDirsResult {
        /// 56: the disk failed.
        error_code: ErrorCode,
        /// Its absolute path.
        log_dir: String,
        /// The topics.
        topics: Vec<DescribeLogDirsTopic>,
    }

    /// A topic's replicas.
    struct DescribeLogDirsTopic {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<DescribeLogDirsPartition>,
    }

    /// A replica.
    struct DescribeLogDirsPartition {
        /// The partition.
        partition_index: i32,
        /// How large its segments are, in bytes.
        partition_size: i64,
        /// How many offsets its end is behind: the high watermark, or the present replica if it is the one that will
        /// replace that. -1 if unknown.
        offset_lag: i64,
        /// It is being filled and will replace the present one (AlterReplicaLogDirs).
        is_future_key: bool,
    }
}
