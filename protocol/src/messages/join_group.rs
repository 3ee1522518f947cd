//! JoinGroup (11): becomes a member of a group, or stays one through a rebalance.

use bytes::Bytes;

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Joins a group. From version 4 on a first call without a member id is answered 79 with an id (KIP-394).
    request JoinGroupRequest = JOIN_GROUP (0..=5) => JoinGroupResponse {
        /// The group.
        group_id: String,
        /// Without a heartbeat for this long the member is out, in milliseconds.
        session_timeout_ms: i32,
        /// How long a rebalance waits for this member, in milliseconds. Before version 1 the session timeout is used.
        rebalance_timeout_ms: i32 [1.., ignorable] = -1,
        /// Empty for a new member.
        member_id: String,
        /// The static member's name (KIP-345).
        group_instance_id: Option<String> [5..],
        /// `consumer` for consumers.
        protocol_type: String,
        /// The assignors the member knows, the best first.
        protocols: Vec<JoinGroupRequestProtocol>,
    }

    /// An assignor and what the member tells it.
    struct JoinGroupRequestProtocol {
        /// `range`, `roundrobin`, `sticky` …
        name: String,
        /// For consumers a Subscription.
        metadata: Bytes,
    }

    /// The generation.
    struct JoinGroupResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 3 on).
        throttle_time_ms: i32 [2.., ignorable],
        /// 79: join again with the given id; 25: start over; 23, 26, 81, 82: give up.
        error_code: ErrorCode,
        /// The generation.
        generation_id: i32 = -1,
        /// The assignor that all members know.
        protocol_name: String,
        /// The member that assigns.
        leader: String,
        /// This member's id.
        member_id: String,
        /// All members, for the leader only.
        members: Vec<JoinGroupResponseMember>,
    }

    /// A member, as the leader sees it.
    struct JoinGroupResponseMember {
        /// Its id.
        member_id: String,
        /// Its static name (KIP-345).
        group_instance_id: Option<String> [5..],
        /// What it said of itself.
        metadata: Bytes,
    }
}
