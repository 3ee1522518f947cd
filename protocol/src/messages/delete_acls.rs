//! DeleteAcls (31): deletes the access rules that filters match.

use crate::ErrorCode;
use crate::acl::{AclOperation, AclPermissionType, PatternType, ResourceType};
use crate::wire::macros::messages;

messages! {
    /// Asks any broker to delete access rules (KIP-140). A null matches anything.
    request DeleteAclsRequest = DELETE_ACLS (0..=1) => DeleteAclsResponse {
        /// The filters.
        filters: Vec<DeleteAclsFilter>,
    }

    /// Matches rules.
    struct DeleteAclsFilter {
        /// What the rules are about.
        resource_type_filter: ResourceType,
        /// Its name.
        resource_name_filter: Option<String>,
        /// How the rules take that name (KIP-290).
        pattern_type_filter: PatternType [1..] = PatternType::LITERAL,
        /// Who, like `User:etl`.
        principal_filter: Option<String>,
        /// From where: an address.
        host_filter: Option<String>,
        /// To do what.
        operation: AclOperation,
        /// Allowed or denied.
        permission_type: AclPermissionType,
    }

    /// What became of them.
    struct DeleteAclsResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on).
        throttle_time_ms: i32,
        /// One result a filter, in the order of the request.
        filter_results: Vec<DeleteAclsFilterResult>,
    }

    /// What became of a filter.
    struct DeleteAclsFilterResult {
        /// 54: the cluster has no access rules; 31: not allowed.
        error_code: ErrorCode,
        /// The broker's own words.
        error_message: Option<String>,
        /// The rules that it matched.
        matching_acls: Vec<DeleteAclsMatchingAcl>,
    }

    /// A rule that a filter matched.
    struct DeleteAclsMatchingAcl {
        /// 0: it is deleted.
        error_code: ErrorCode,
        /// The broker's own words.
        error_message: Option<String>,
        /// What it is about.
        resource_type: ResourceType,
        /// Its name.
        resource_name: String,
        /// How it takes that name (KIP-290).
        pattern_type: PatternType [1..] = PatternType::LITERAL,
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
