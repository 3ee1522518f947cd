//! The messages, one file an API, named for it.
//!
//! A declaration reads like the protocol guide and is the only place where a version rule stands:
//!
//! ```text
//! messages! {
//!     request MetadataRequest = METADATA (0..=8) => MetadataResponse {
//!         topics: Option<Vec<MetadataRequestTopic>> [0.., null 1..],
//!         allow_auto_topic_creation: bool [4..] = true,
//!     }
//!     struct MetadataRequestTopic { name: String }
//!     struct MetadataResponse { throttle_time_ms: i32 [3..], … }
//! }
//! ```
//!
//! No bracket: in every version. `[4..]`, `[2..=4]`: only then. `null 1..`: an `Option` may be null from version 1 on
//! (without it: always). `ignorable`: dropped silently where the version lacks the field; otherwise a value other than the
//! default is an error there. Names are Kafka's own at 2.3.1, in snake case.

use std::fmt::Debug;
use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::ApiKey;
use crate::wire::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, Reader, Wire, Writer};

pub use secret::Secret;
pub use table::{AnyMessage, Body, Direction};

mod secret;
mod table;

macro_rules! apis {
    ($($file:ident: $request:ident,)*) => {
        $(mod $file; pub use $file::*;)*

        impl Body {
            /// Every API in the order of its key, the request before the response.
            pub const ALL: &'static [Self] = &[$(
                Self::of::<$request>(Direction::Request),
                Self::of::<<$request as Request>::Response>(Direction::Response),
            )*];
        }
    };
}

// The one list: a file and its request, a line an API, in the order of the keys.
apis! {
    produce: ProduceRequest,
    fetch: FetchRequest,
    list_offsets: ListOffsetRequest,
    metadata: MetadataRequest,
    leader_and_isr: LeaderAndIsrRequest,
    stop_replica: StopReplicaRequest,
    update_metadata: UpdateMetadataRequest,
    controlled_shutdown: ControlledShutdownRequest,
    offset_commit: OffsetCommitRequest,
    offset_fetch: OffsetFetchRequest,
    find_coordinator: FindCoordinatorRequest,
    join_group: JoinGroupRequest,
    heartbeat: HeartbeatRequest,
    leave_group: LeaveGroupRequest,
    sync_group: SyncGroupRequest,
    describe_groups: DescribeGroupsRequest,
    list_groups: ListGroupsRequest,
    sasl_handshake: SaslHandshakeRequest,
    api_versions: ApiVersionsRequest,
    create_topics: CreateTopicsRequest,
    delete_topics: DeleteTopicsRequest,
    delete_records: DeleteRecordsRequest,
    init_producer_id: InitProducerIdRequest,
    offset_for_leader_epoch: OffsetForLeaderEpochRequest,
    add_partitions_to_txn: AddPartitionsToTxnRequest,
    add_offsets_to_txn: AddOffsetsToTxnRequest,
    end_txn: EndTxnRequest,
    write_txn_markers: WriteTxnMarkersRequest,
    txn_offset_commit: TxnOffsetCommitRequest,
    describe_acls: DescribeAclsRequest,
    create_acls: CreateAclsRequest,
    delete_acls: DeleteAclsRequest,
    describe_configs: DescribeConfigsRequest,
    alter_configs: AlterConfigsRequest,
    alter_replica_log_dirs: AlterReplicaLogDirsRequest,
    describe_log_dirs: DescribeLogDirsRequest,
    sasl_authenticate: SaslAuthenticateRequest,
    create_partitions: CreatePartitionsRequest,
    create_delegation_token: CreateDelegationTokenRequest,
    renew_delegation_token: RenewDelegationTokenRequest,
    expire_delegation_token: ExpireDelegationTokenRequest,
    describe_delegation_token: DescribeDelegationTokenRequest,
    delete_groups: DeleteGroupsRequest,
    elect_preferred_leaders: ElectPreferredLeadersRequest,
    incremental_alter_configs: IncrementalAlterConfigsRequest,
}

/// A request's or a response's body.
pub trait Message: Wire + Debug + Clone + Default + PartialEq + Send + Sync + 'static {
    /// The API it belongs to.
    const KEY: ApiKey;
    /// Its Rust name.
    const NAME: &'static str;
    /// The versions that Kafka 2.3.1 knows.
    const VERSIONS: RangeInclusive<i16>;

    /// Reads a whole body. Bytes left over are an error: they mean that the two sides do not agree on the layout.
    fn read(version: i16, body: Bytes) -> Result<Self, DecodeError> {
        read_by(version, body, Self::decode)
    }

    /// Appends the body. The writer's version decides the layout.
    fn write_to(&self, out: &mut Writer) -> Result<(), EncodeError> {
        let (min, max) = (*Self::VERSIONS.start(), *Self::VERSIONS.end());
        if !Self::VERSIONS.contains(&out.version()) {
            return Err(out.fail(EncodeErrorKind::NoSuchVersion { min, max }).in_message(Self::NAME));
        }
        self.encode(out).map_err(|e| e.in_message(Self::NAME))
    }

    /// The body alone, as chunks; large byte fields are among them by reference.
    fn write(&self, version: i16) -> Result<Vec<Bytes>, EncodeError> {
        let mut out = Writer::new(version);
        self.write_to(&mut out)?;
        Ok(out.into_chunks())
    }
}

/// Reads a whole body by `decode`.
fn read_by<M: Message>(
    version: i16,
    body: Bytes,
    decode: impl FnOnce(&mut Reader) -> Result<M, DecodeError>,
) -> Result<M, DecodeError> {
    let (min, max) = (*M::VERSIONS.start(), *M::VERSIONS.end());
    let mut input = Reader::new(version, body);
    if !M::VERSIONS.contains(&version) {
        return Err(input.fail(DecodeErrorKind::NoSuchVersion { min, max }).in_message(M::NAME));
    }
    let message = decode(&mut input).map_err(|e| e.in_message(M::NAME))?;
    match input.left() {
        0 => Ok(message),
        left => Err(input.fail(DecodeErrorKind::Trailing(left)).in_message(M::NAME)),
    }
}

/// A message that asks.
pub trait Request: Message {
    /// What answers it, in the same version.
    type Response: Message;
}
