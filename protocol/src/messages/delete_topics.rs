//! DeleteTopics (20): to the controller only.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks the controller to delete topics (KIP-4). Others answer 41.
    request DeleteTopicsRequest = DELETE_TOPICS (0..=3) => DeleteTopicsResponse {
        /// The topics.
        topic_names: Vec<String>,
        /// How long the controller waits for the topics to be gone, in milliseconds. When it runs out the answer is 7, and
        /// they may go all the same.
        timeout_ms: i32,
    }

    /// What became of each topic.
    struct DeleteTopicsResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 2 on).
        throttle_time_ms: i32 [1..],
        /// One result a topic.
        responses: Vec<DeletableTopicResult>,
    }

    /// What became of a topic.
    struct DeletableTopicResult {
        /// The topic.
        name: String,
        /// 3: there is none; 41: not the controller; 29: not allowed; 73: deletion is switched off (42 before version 3).
        error_code: ErrorCode,
    }
}
