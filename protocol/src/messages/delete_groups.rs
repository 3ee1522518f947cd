//! DeleteGroups (42): groups without members, at their coordinator.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks a coordinator to delete groups and their positions (KIP-229).
    request DeleteGroupsRequest = DELETE_GROUPS (0..=1) => DeleteGroupsResponse {
        /// The groups' ids. The spelling is Kafka's.
        groups_names: Vec<String>,
    }

    /// What became of each.
    struct DeleteGroupsResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on).
        throttle_time_ms: i32,
        /// One result a group.
        results: Vec<DeletableGroupResult>,
    }

    /// What became of a group.
    struct DeletableGroupResult {
        /// The group.
        group_id: String,
        /// 68: it has members; 69: there is none; 16: another broker coordinates; 30: not allowed.
        error_code: ErrorCode,
    }
}
