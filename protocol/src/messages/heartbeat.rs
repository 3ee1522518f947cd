//! Heartbeat (12): a group member is alive.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Tells the coordinator that a member is alive.
    request HeartbeatRequest = HEARTBEAT (0..=3) => HeartbeatResponse {
        /// The group.
        group_id: String,
        /// The generation the member is in.
        generation_id: i32,
        /// The member.
        member_id: String,
        /// The static member's name (KIP-345).
        group_instance_id: Option<String> [3..],
    }

    /// What the member has to know.
    struct HeartbeatResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 2 on).
        throttle_time_ms: i32 [1.., ignorable],
        /// 27: join again, the group is rebalancing; 22, 25: start over; 82: another took the static name.
        error_code: ErrorCode,
    }
}
