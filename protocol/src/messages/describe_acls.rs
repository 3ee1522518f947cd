//! DescribeAcls (29): the access rules that a filter matches.

use crate::ErrorCode;
use crate::acl::{AclOperation, AclPermissionType, PatternType, ResourceType};
use crate::wire::macros::messages;

messages! {
    /// Asks any broker for access rules (KIP-140). A null matches anything.
    request DescribeAclsRequest = DESCRIBE_ACLS (0..=1) => DescribeAclsResponse {
        /// What the rules are about.
        resource_type: ResourceType,
        /// Its name.
        resource_name_filter: Option<String>,
        /// How the rules take that name (KIP-290).
        resource_pattern_type: PatternType [1..] = PatternType::LITERAL,
        /// Who, like `User:etl`.
        principal_filter: Option<String>,
        /// From where: an address.
        host_filter: Option<String>,
        /// To do what.
        operation: AclOperation,
        /// Allowed or denied.
        permission_type: AclPermissionType,
    }

    /// The rules.
    struct DescribeAclsResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on).
        throttle_time_ms: i32,
        /// 54: the cluster has no access rules; 31: not allowed.
        error_code: ErrorCode,
        /// The broker's own words.
        error_message: Option<String>,
        /// What there are rules about.
        resources: Vec<DescribeAclsResource>,
    }

    /// What rules are about.
    struct DescribeAclsResource {
        /// What it is. Kafka's schema says `type`, which is no name in Rust; Kafka's class says this.
        resource_type: ResourceType,
        /// Its name.
        name: String,
        /// How the rules take that name (KIP-290).
        pattern_type: PatternType [1..] = PatternType::LITERAL,
        /// The rules.
        acls: Vec<AclDescription>,
    }

    /// A rule.
    struct AclDescription {
        /// Who, like `User:etl`; `User:*` for all.
        principal: String,
        /// From where: an address, or `*`.
        host: String,
        /// To do what.
        operation: AclOperation,
        /// Allowed or denied.
        permission_type: AclPermissionType,
    }
}
