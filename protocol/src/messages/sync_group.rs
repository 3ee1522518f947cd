//! SyncGroup (14): the leader hands out the assignments, every member gets its own.

use bytes::Bytes;

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Ends a rebalance. Only the leader's has assignments.
    request SyncGroupRequest = SYNC_GROUP (0..=3) => SyncGroupResponse {
        /// The group.
        group_id: String,
        /// The generation.
        generation_id: i32,
        /// The member.
        member_id: String,
        /// The static member's name (KIP-345).
        group_instance_id: Option<String> [3..],
        /// From the leader: everyone's assignment.
        assignments: Vec<SyncGroupRequestAssignment>,
    }

    /// A member's assignment.
    struct SyncGroupRequestAssignment {
        /// The member.
        member_id: String,
        /// For consumers an Assignment.
        assignment: Bytes,
    }

    /// This member's assignment.
    struct SyncGroupResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 2 on).
        throttle_time_ms: i32 [1.., ignorable],
        /// Anything but 0: join again.
        error_code: ErrorCode,
        /// Zero bytes for a member that the leader left out.
        assignment: Bytes,
    }
}
