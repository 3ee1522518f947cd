//! ListGroups (16): the groups that one broker coordinates.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks a broker for the groups that it coordinates. For all there are, every broker has to be asked.
    request ListGroupsRequest = LIST_GROUPS (0..=2) => ListGroupsResponse {}

    /// The groups.
    struct ListGroupsResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 2 on).
        throttle_time_ms: i32 [1.., ignorable],
        /// 15, 14: not ready, ask again.
        error_code: ErrorCode,
        /// The groups that the client may see.
        groups: Vec<ListedGroup>,
    }

    /// A group.
    struct ListedGroup {
        /// The group.
        group_id: String,
        /// `consumer` for consumers; empty for one that only has offsets.
        protocol_type: String,
    }
}
