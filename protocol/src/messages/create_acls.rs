//! CreateAcls (30): new access rules.

use crate::ErrorCode;
use crate::acl::{AclOperation, AclPermissionType, PatternType, ResourceType};
use crate::wire::macros::messages;

messages! {
    /// Asks any broker to add access rules (KIP-140).
    request CreateAclsRequest = CREATE_ACLS (0..=1) => CreateAclsResponse {
        /// The rules.
        creations: Vec<CreatableAcl>,
    }

    /// A rule.
    struct CreatableAcl {
        /// What it is about.
        resource_type: ResourceType,
        /// Its name; `*` for all.
        resource_name: String,
        /// How to take that name: literal or as a prefix (KIP-290).
        resource_pattern_type: PatternType [1..] = PatternType::LITERAL,
        /// Who, like `User:etl`; `User:*` for all.
        principal: String,
        /// From where: an address, or `*`.
        host: String,
        /// To do what.
        operation: AclOperation,
        /// Allowed or denied.
        permission_type: AclPermissionType,
    }

    /// What became of them.
    struct CreateAclsResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on).
        throttle_time_ms: i32,
        /// One result a rule, in the order of the request.
        results: Vec<CreatableAclResult>,
    }

    /// What became of a rule.
    struct CreatableAclResult {
        /// 54: the cluster has no access rules; 31: not allowed; 42: a filter's word in a rule.
        error_code: ErrorCode,
        /// The broker's own words.
        error_message: Option<String>,
    }
}
