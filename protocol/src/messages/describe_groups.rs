//! DescribeGroups (15): a group's state and members, from its coordinator.

use bytes::Bytes;

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks a coordinator about its groups.
    request DescribeGroupsRequest = DESCRIBE_GROUPS (0..=3) => DescribeGroupsResponse {
        /// The groups' ids.
        groups: Vec<String>,
        /// Whether to say what the client may do with them (KIP-430).
        include_authorized_operations: bool [3..],
    }

    /// The groups.
    struct DescribeGroupsResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 2 on).
        throttle_time_ms: i32 [1.., ignorable],
        /// One description a group asked for.
        groups: Vec<DescribedGroup>,
    }

    /// A group.
    struct DescribedGroup {
        /// 15, 14: no coordinator yet; 16: another broker coordinates; 30: not allowed. A group that is not there is no
        /// error but `Dead`.
        error_code: ErrorCode,
        /// The group.
        group_id: String,
        /// `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Empty` or `Dead`; empty on an error.
        group_state: String,
        /// `consumer` for consumers; empty if there is none.
        protocol_type: String,
        /// The assignor the members agreed on; empty unless the group is stable.
        protocol_data: String,
        /// The members.
        members: Vec<DescribedGroupMember>,
        /// A bit field of what the client may do with it, a bit `1 << code` for each [`crate::acl::AclOperation`]. 0 and
        /// the default both mean: unknown.
        authorized_operations: i32 [3..] = i32::MIN,
    }

    /// A member.
    struct DescribedGroupMember {
        /// The id that the coordinator gave it.
        member_id: String,
        /// The client id of its last JoinGroup.
        client_id: String,
        /// The address that came from, with a slash before it.
        client_host: String,
        /// What it said of itself; for consumers a Subscription. Empty unless the group is stable.
        member_metadata: Bytes,
        /// What it was given; for consumers an Assignment. Empty unless the group is stable.
        member_assignment: Bytes,
    }
}
