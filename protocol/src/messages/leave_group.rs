//! LeaveGroup (13): a member leaves at once, instead of by its session's end.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Leaves a group. A static member must not (KIP-345).
    request LeaveGroupRequest = LEAVE_GROUP (0..=2) => LeaveGroupResponse {
        /// The group.
        group_id: String,
        /// The member.
        member_id: String,
    }

    /// Whether it left.
    struct LeaveGroupResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 2 on).
        throttle_time_ms: i32 [1.., ignorable],
        /// 25: it was not a member any more.
        error_code: ErrorCode,
    }
}
