//! The APIs, a line each.

use std::fmt;

/// An API's number. An open set: a broker may name APIs that this crate does not know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApiKey(pub i16);

macro_rules! api_keys {
    ($($name:ident = $key:literal $kafka:literal,)*) => {
        impl ApiKey {
            $(#[doc = concat!("`", $kafka, "`.")] pub const $name: Self = Self($key);)*

            /// Every API of Kafka 2.3.1.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Kafka's name, or `None` for an API that 2.3.1 lacks.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($key => Some($kafka),)*
                    _ => None,
                }
            }
        }
    };
}

api_keys! {
    PRODUCE = 0 "Produce",
    FETCH = 1 "Fetch",
    LIST_OFFSETS = 2 "ListOffsets",
    METADATA = 3 "Metadata",
    LEADER_AND_ISR = 4 "LeaderAndIsr",
    STOP_REPLICA = 5 "StopReplica",
    UPDATE_METADATA = 6 "UpdateMetadata",
    CONTROLLED_SHUTDOWN = 7 "ControlledShutdown",
    OFFSET_COMMIT = 8 "OffsetCommit",
    OFFSET_FETCH = 9 "OffsetFetch",
    FIND_COORDINATOR = 10 "FindCoordinator",
    JOIN_GROUP = 11 "JoinGroup",
    HEARTBEAT = 12 "Heartbeat",
    LEAVE_GROUP = 13 "LeaveGroup",
    SYNC_GROUP = 14 "SyncGroup",
    DESCRIBE_GROUPS = 15 "DescribeGroups",
    LIST_GROUPS = 16 "ListGroups",
    SASL_HANDSHAKE = 17 "SaslHandshake",
    API_VERSIONS = 18 "ApiVersions",
    CREATE_TOPICS = 19 "CreateTopics",
    DELETE_TOPICS = 20 "DeleteTopics",
    DELETE_RECORDS = 21 "DeleteRecords",
    INIT_PRODUCER_ID = 22 "InitProducerId",
    OFFSET_FOR_LEADER_EPOCH = 23 "OffsetForLeaderEpoch",
    ADD_PARTITIONS_TO_TXN = 24 "AddPartitionsToTxn",
    ADD_OFFSETS_TO_TXN = 25 "AddOffsetsToTxn",
    END_TXN = 26 "EndTxn",
    WRITE_TXN_MARKERS = 27 "WriteTxnMarkers",
    TXN_OFFSET_COMMIT = 28 "TxnOffsetCommit",
    DESCRIBE_ACLS = 29 "DescribeAcls",
    CREATE_ACLS = 30 "CreateAcls",
    DELETE_ACLS = 31 "DeleteAcls",
    DESCRIBE_CONFIGS = 32 "DescribeConfigs",
    ALTER_CONFIGS = 33 "AlterConfigs",
    ALTER_REPLICA_LOG_DIRS = 34 "AlterReplicaLogDirs",
    DESCRIBE_LOG_DIRS = 35 "DescribeLogDirs",
    SASL_AUTHENTICATE = 36 "SaslAuthenticate",
    CREATE_PARTITIONS = 37 "CreatePartitions",
    CREATE_DELEGATION_TOKEN = 38 "CreateDelegationToken",
    RENEW_DELEGATION_TOKEN = 39 "RenewDelegationToken",
    EXPIRE_DELEGATION_TOKEN = 40 "ExpireDelegationToken",
    DESCRIBE_DELEGATION_TOKEN = 41 "DescribeDelegationToken",
    DELETE_GROUPS = 42 "DeleteGroups",
    ELECT_PREFERRED_LEADERS = 43 "ElectPreferredLeaders",
    INCREMENTAL_ALTER_CONFIGS = 44 "IncrementalAlterConfigs",
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "API {}", self.0),
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({})", self.0)
    }
}
