//! What stands in an access rule (KIP-11, KIP-140): `org.apache.kafka.common.acl` and `.resource`.

use crate::wire::codes::codes;

codes! {
    /// What kind of thing a rule is about (`ResourceType`).
    ResourceType {
        /// A kind that the sender does not know.
        UNKNOWN = 0,
        /// Any kind; in filters only.
        ANY = 1,
        /// A topic.
        TOPIC = 2,
        /// A consumer group.
        GROUP = 3,
        /// The cluster, whose only name is `kafka-cluster`.
        CLUSTER = 4,
        /// A transactional id.
        TRANSACTIONAL_ID = 5,
        /// A delegation token, named by its id.
        DELEGATION_TOKEN = 6,
    }
}

codes! {
    /// How a rule's name is to be taken (`PatternType`, KIP-290).
    PatternType {
        /// A way that the sender does not know.
        UNKNOWN = 0,
        /// Any way; in filters only.
        ANY = 1,
        /// Whatever rule applies to the name, literal, by prefix or `*`; in filters only.
        MATCH = 2,
        /// The name itself, or `*` for all. The only way before version 1 of the ACL APIs.
        LITERAL = 3,
        /// Every name that begins so.
        PREFIXED = 4,
    }
}

codes! {
    /// What a rule is for (`AclOperation`). The `authorized_operations` fields of KIP-430 have the bit `1 << code` set
    /// for each.
    AclOperation {
        /// An operation that the sender does not know.
        UNKNOWN = 0,
        /// Any operation; in filters only.
        ANY = 1,
        /// All operations.
        ALL = 2,
        /// To read.
        READ = 3,
        /// To write.
        WRITE = 4,
        /// To create.
        CREATE = 5,
        /// To delete.
        DELETE = 6,
        /// To alter.
        ALTER = 7,
        /// To describe; `READ`, `WRITE`, `DELETE` and `ALTER` include it.
        DESCRIBE = 8,
        /// What brokers do among themselves.
        CLUSTER_ACTION = 9,
        /// To describe settings; `ALTER_CONFIGS` includes it.
        DESCRIBE_CONFIGS = 10,
        /// To alter settings.
        ALTER_CONFIGS = 11,
        /// To write idempotently, without a transaction.
        IDEMPOTENT_WRITE = 12,
    }
}

codes! {
    /// What a rule says (`AclPermissionType`). A denial outweighs everything.
    AclPermissionType {
        /// Something that the sender does not know.
        UNKNOWN = 0,
        /// Either; in filters only.
        ANY = 1,
        /// No.
        DENY = 2,
        /// Yes.
        ALLOW = 3,
    }
}
