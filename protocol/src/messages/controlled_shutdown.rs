//! ControlledShutdown (7): a broker asks the controller to move its leaderships away before it stops.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Announces that a broker will stop. Between brokers only. Version 0 has a request header without a client id
    /// ([`crate::header`]).
    request ControlledShutdownRequest = CONTROLLED_SHUTDOWN (0..=2) => ControlledShutdownResponse {
        /// The broker that will stop.
        broker_id: i32,
        /// The epoch under which it registered; -1 goes unchecked (KIP-380).
        broker_epoch: i64 [2.., ignorable] = -1,
    }

    /// What it still leads.
    struct ControlledShutdownResponse {
        /// 41: not the controller; 77: the broker has registered again since.
        error_code: ErrorCode,
        /// The partitions that the broker still leads: ask again. Empty: it may stop.
        remaining_partitions: Vec<RemainingPartition>,
    }

    /// A partition that the broker still leads.
    struct RemainingPartition {
        /// The topic.
        topic_name: String,
        /// The partition.
        partition_index: i32,
    }
}
