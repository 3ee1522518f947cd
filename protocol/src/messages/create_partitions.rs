//! CreatePartitions (37): more partitions for a topic, to the controller only.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks the controller to add partitions (KIP-195). Others answer 41. Keys hash to other partitions afterwards.
    request CreatePartitionsRequest = CREATE_PARTITIONS (0..=1) => CreatePartitionsResponse {
        /// The topics.
        topics: Vec<CreatePartitionsTopic>,
        /// How long the controller waits for the partitions to be there, in milliseconds. When it runs out the answer is 7,
        /// and they may appear all the same.
        timeout_ms: i32,
        /// Check only.
        validate_only: bool,
    }

    /// A topic.
    struct CreatePartitionsTopic {
        /// The topic.
        name: String,
        /// How many partitions it is to have in all.
        count: i32,
        /// Which brokers hold the new ones; null leaves it to the controller.
        assignments: Option<Vec<CreatePartitionsAssignment>>,
    }

    /// The replicas of one new partition.
    struct CreatePartitionsAssignment {
        /// The brokers, the preferred leader first.
        broker_ids: Vec<i32>,
    }

    /// What became of each topic.
    struct CreatePartitionsResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on).
        throttle_time_ms: i32,
        /// One result a topic.
        results: Vec<CreatePartitionsTopicResult>,
    }

    /// What became of a topic.
    struct CreatePartitionsTopicResult {
        /// The topic.
        name: String,
        /// 37, 39: the numbers are wrong; 60: the topic is being moved; 41: not the controller; 3: there is none.
        error_code: ErrorCode,
        /// The broker's own words.
        error_message: Option<String>,
    }
}
