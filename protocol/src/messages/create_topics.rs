//! CreateTopics (19): to the controller only.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks the controller to create topics (KIP-4). Others answer 41.
    request CreateTopicsRequest = CREATE_TOPICS (0..=3) => CreateTopicsResponse {
        /// The topics.
        topics: Vec<CreatableTopic>,
        /// How long the controller waits for the topics to be there, in milliseconds. When it runs out the answer is 7,
        /// and the topic may appear all the same.
        timeout_ms: i32 = 60000,
        /// Check only.
        validate_only: bool [1..],
    }

    /// A topic to create.
    struct CreatableTopic {
        /// `[a-zA-Z0-9._-]`, at most 249 characters.
        name: String,
        /// The number of partitions, or -1 with `assignments`.
        num_partitions: i32,
        /// The number of replicas, or -1 with `assignments`.
        replication_factor: i16,
        /// Which brokers hold which partition; empty leaves it to the controller.
        assignments: Vec<CreatableReplicaAssignment>,
        /// The topic's own settings.
        configs: Vec<CreateableTopicConfig>,
    }

    /// The replicas of one partition.
    struct CreatableReplicaAssignment {
        /// The partition.
        partition_index: i32,
        /// The brokers, the preferred leader first.
        broker_ids: Vec<i32>,
    }

    /// A setting of the topic. The name's spelling is Kafka's.
    struct CreateableTopicConfig {
        /// Its name, like `retention.ms`.
        name: String,
        /// Its value.
        value: Option<String>,
    }

    /// What became of each topic.
    struct CreateTopicsResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 3 on).
        throttle_time_ms: i32 [2.., ignorable],
        /// One result a topic.
        topics: Vec<CreatableTopicResult>,
    }

    /// What became of a topic.
    struct CreatableTopicResult {
        /// The topic.
        name: String,
        /// 36: it exists; 41: not the controller; 37, 38, 17: the numbers or the name are wrong.
        error_code: ErrorCode,
        /// The broker's own words.
        error_message: Option<String> [1.., ignorable],
    }
}
