//! The error codes, a line each: what it means, and what a client may do about it.

use std::fmt;

use crate::wire::{DecodeError, EncodeError, Reader, Shape, Value, Wire, Writer};

/// A broker's error code. An open set: later releases have more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ErrorCode(pub i16);

/// What a client may do, by the superclass of the exception that Kafka's own client throws.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Asking again gives the same answer.
    Final,
    /// Asking again may help.
    Retry,
    /// Asking again may help, with fresh metadata.
    Refresh,
}

macro_rules! error_codes {
    ($($name:ident = $code:literal $class:ident $message:literal,)*) => {
        impl ErrorCode {
            $(#[doc = $message] pub const $name: Self = Self($code);)*

            /// Every code of Kafka 2.3.1.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Kafka's name, or `None` for a code that 2.3.1 lacks.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// What it means; empty for a code that 2.3.1 lacks.
            pub fn message(self) -> &'static str {
                match self.0 {
                    $($code => $message,)*
                    _ => "",
                }
            }

            fn class(self) -> Class {
                match self.0 {
                    $($code => Class::$class,)*
                    _ => Class::Final,
                }
            }
        }
    };
}

error_codes! {
    UNKNOWN_SERVER_ERROR = -1 Final "The broker failed in a way it did not expect; its log says how.",
    NONE = 0 Final "No error.",
    OFFSET_OUT_OF_RANGE = 1 Final "The offset is not in the log: before its start or after its end.",
    CORRUPT_MESSAGE = 2 Retry "The batch has a wrong checksum or size, or a null key for a compacted topic.",
    UNKNOWN_TOPIC_OR_PARTITION = 3 Refresh "The broker has no such topic or partition.",
    INVALID_FETCH_SIZE = 4 Final "The fetch size is not valid.",
    LEADER_NOT_AVAILABLE = 5 Refresh "The partition has no leader at the moment.",
    NOT_LEADER_FOR_PARTITION = 6 Refresh "The broker does not lead the partition.",
    REQUEST_TIMED_OUT = 7 Retry "The broker did not finish in the time that the request gave it.",
    BROKER_NOT_AVAILABLE = 8 Final "The broker is not available.",
    REPLICA_NOT_AVAILABLE = 9 Final "The broker holds no replica of the partition.",
    MESSAGE_TOO_LARGE = 10 Final "The batch is larger than the topic takes (max.message.bytes).",
    STALE_CONTROLLER_EPOCH = 11 Final "The controller has moved.",
    OFFSET_METADATA_TOO_LARGE = 12 Final "The text beside the offset is longer than the broker takes.",
    NETWORK_EXCEPTION = 13 Refresh "The connection broke before the answer came.",
    COORDINATOR_LOAD_IN_PROGRESS = 14 Retry "The coordinator is still loading the group.",
    COORDINATOR_NOT_AVAILABLE = 15 Retry "There is no coordinator yet.",
    NOT_COORDINATOR = 16 Retry "Another broker is the coordinator.",
    INVALID_TOPIC_EXCEPTION = 17 Final "The topic's name is not valid, or clients may not write to it.",
    RECORD_LIST_TOO_LARGE = 18 Final "The batch is larger than a segment of the topic.",
    NOT_ENOUGH_REPLICAS = 19 Retry "Fewer replicas are in sync than min.insync.replicas asks for; nothing was written.",
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20 Retry "Written, but to fewer in-sync replicas than min.insync.replicas asks for.",
    INVALID_REQUIRED_ACKS = 21 Final "acks is neither -1, 0 nor 1.",
    ILLEGAL_GENERATION = 22 Final "The group has moved on to another generation.",
    INCONSISTENT_GROUP_PROTOCOL = 23 Final "The member has no protocol in common with the group.",
    INVALID_GROUP_ID = 24 Final "The group id is not valid.",
    UNKNOWN_MEMBER_ID = 25 Final "The coordinator does not know the member.",
    INVALID_SESSION_TIMEOUT = 26 Final "The session timeout is outside the broker's range.",
    REBALANCE_IN_PROGRESS = 27 Final "The group is rebalancing: join again.",
    INVALID_COMMIT_OFFSET_SIZE = 28 Final "The commit is larger than the broker takes.",
    TOPIC_AUTHORIZATION_FAILED = 29 Final "The user has no right to the topic.",
    GROUP_AUTHORIZATION_FAILED = 30 Final "The user has no right to the group.",
    CLUSTER_AUTHORIZATION_FAILED = 31 Final "The user has no right to do this to the cluster.",
    INVALID_TIMESTAMP = 32 Final "The record's time is further from the broker's than the topic allows.",
    UNSUPPORTED_SASL_MECHANISM = 33 Final "The broker has this SASL mechanism not enabled.",
    ILLEGAL_SASL_STATE = 34 Final "The request does not fit the state of the authentication.",
    UNSUPPORTED_VERSION = 35 Final "The broker does not know this version of the API.",
    TOPIC_ALREADY_EXISTS = 36 Final "There is a topic of this name already.",
    INVALID_PARTITIONS = 37 Final "The number of partitions is below 1.",
    INVALID_REPLICATION_FACTOR = 38 Final "The number of replicas is below 1 or above the number of brokers.",
    INVALID_REPLICA_ASSIGNMENT = 39 Final "The replica assignment is not valid.",
    INVALID_CONFIG = 40 Final "A setting is not valid.",
    NOT_CONTROLLER = 41 Retry "Another broker is the controller.",
    INVALID_REQUEST = 42 Final "The broker cannot make sense of the request; its log says why.",
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43 Final "The topic's message format is too old for this.",
    POLICY_VIOLATION = 44 Final "A policy of the cluster forbids this.",
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45 Final "The batch does not follow the producer's last one.",
    DUPLICATE_SEQUENCE_NUMBER = 46 Final "The broker has this batch of the producer already.",
    INVALID_PRODUCER_EPOCH = 47 Final "A newer producer has the same identity: this one is fenced.",
    INVALID_TXN_STATE = 48 Final "The transaction is in no state for this.",
    INVALID_PRODUCER_ID_MAPPING = 49 Final "The producer id does not belong to the transactional id.",
    INVALID_TRANSACTION_TIMEOUT = 50 Final "The transaction timeout is above the broker's limit.",
    CONCURRENT_TRANSACTIONS = 51 Final "The last transaction of this id is still being ended.",
    TRANSACTION_COORDINATOR_FENCED = 52 Final "The transaction has another coordinator by now.",
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53 Final "The user has no right to the transactional id.",
    SECURITY_DISABLED = 54 Final "The broker has security switched off.",
    OPERATION_NOT_ATTEMPTED = 55 Final "Not tried, since another part of the request failed.",
    KAFKA_STORAGE_ERROR = 56 Refresh "The broker's disk failed.",
    LOG_DIR_NOT_FOUND = 57 Final "The broker has no such log directory.",
    SASL_AUTHENTICATION_FAILED = 58 Final "The broker refused the credentials.",
    UNKNOWN_PRODUCER_ID = 59 Final "The broker no longer knows the producer, since its records are gone.",
    REASSIGNMENT_IN_PROGRESS = 60 Final "The partition is being moved.",
    DELEGATION_TOKEN_AUTH_DISABLED = 61 Final "Delegation tokens are not enabled.",
    DELEGATION_TOKEN_NOT_FOUND = 62 Final "There is no such delegation token.",
    DELEGATION_TOKEN_OWNER_MISMATCH = 63 Final "The user may not handle this delegation token.",
    DELEGATION_TOKEN_REQUEST_NOT_ALLOWED = 64 Final "Delegation tokens cannot be asked for on this kind of connection.",
    DELEGATION_TOKEN_AUTHORIZATION_FAILED = 65 Final "The user has no right to delegation tokens.",
    DELEGATION_TOKEN_EXPIRED = 66 Final "The delegation token has expired.",
    INVALID_PRINCIPAL_TYPE = 67 Final "The kind of principal is not known.",
    NON_EMPTY_GROUP = 68 Final "The group has members.",
    GROUP_ID_NOT_FOUND = 69 Final "There is no such group.",
    FETCH_SESSION_ID_NOT_FOUND = 70 Retry "The broker has forgotten the fetch session.",
    INVALID_FETCH_SESSION_EPOCH = 71 Retry "The fetch session's count is not the broker's.",
    LISTENER_NOT_FOUND = 72 Refresh "The leader lacks the listener that was asked on.",
    TOPIC_DELETION_DISABLED = 73 Final "Topics cannot be deleted here (delete.topic.enable).",
    FENCED_LEADER_EPOCH = 74 Refresh "The leader epoch asked with is older than the broker's.",
    UNKNOWN_LEADER_EPOCH = 75 Retry "The leader epoch asked with is newer than the broker's.",
    UNSUPPORTED_COMPRESSION_TYPE = 76 Final "This version of the API does not take the codec of the data.",
    STALE_BROKER_EPOCH = 77 Final "The broker has started again since.",
    OFFSET_NOT_AVAILABLE = 78 Retry "Just elected, the leader does not know the high watermark yet.",
    MEMBER_ID_REQUIRED = 79 Final "Join again with the member id that came with this.",
    PREFERRED_LEADER_NOT_AVAILABLE = 80 Refresh "The preferred leader is not available.",
    GROUP_MAX_SIZE_REACHED = 81 Final "The group is full.",
    FENCED_INSTANCE_ID = 82 Final "Another member has taken the same group.instance.id.",
}

impl ErrorCode {
    /// Whether there is no error.
    pub fn is_ok(self) -> bool {
        self == Self::NONE
    }

    /// Whether asking again may help, as Kafka's own client decides it (`RetriableException`).
    pub fn is_retriable(self) -> bool {
        self.class() != Class::Final
    }

    /// Whether the metadata is out of date (`InvalidMetadataException`).
    pub fn is_invalid_metadata(self) -> bool {
        self.class() == Class::Refresh
    }
}

/// `NOT_ENOUGH_REPLICAS (19): Fewer replicas …`
impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({}): {}", self.0, self.message()),
            None => write!(f, "error {}, which Kafka 2.3 does not know", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name}({})", self.0),
            None => write!(f, "ErrorCode({})", self.0),
        }
    }
}

impl Wire for ErrorCode {
    const SHAPE: Shape = Shape::Int16;

    fn encode(&self, out: &mut Writer) -> Result<(), EncodeError> {
        self.0.encode(out)
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        i16::decode(input).map(Self)
    }

    fn value(&self, version: i16) -> Value {
        self.0.value(version)
    }
}
