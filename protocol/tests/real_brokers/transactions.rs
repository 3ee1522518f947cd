//! Transactions: one for each version, committed and aborted in turn.

use ottla_protocol::messages::*;
use ottla_protocol::{ErrorCode, TransactionResult};

use crate::logs::{aborted, produce_transactional};
use crate::peer::{Peer, fine};
use crate::topics::ORDERS;

/// TxnOffsetCommit has three versions, the others two.
const ROUNDS: i16 = 3;
const GROUP: &str = "transactional-readers";

/// InitProducerId, AddPartitionsToTxn, Produce, AddOffsetsToTxn, TxnOffsetCommit, EndTxn; and what an aborted one leaves for
/// Fetch to say.
pub(crate) fn committed_and_aborted(peer: &mut Peer) {
    for n in 0..ROUNDS {
        for committed in [TransactionResult::Commit, TransactionResult::Abort] {
            transaction(peer, n, committed);
        }
    }
    let version = *peer.versions::<FetchRequest>().end();
    assert!(aborted(peer, version) >= usize::try_from(ROUNDS).expect("a count"), "aborted transactions are listed");
}

fn transaction(peer: &mut Peer, n: i16, committed: TransactionResult) {
    let transactional_id = format!("transaction-{n}");
    let version = peer.version::<InitProducerIdRequest>(n).expect("a version");
    let init =
        InitProducerIdRequest { transactional_id: Some(transactional_id.clone()), transaction_timeout_ms: 30_000 };
    let settled = |code| {
        !matches!(
            code,
            ErrorCode::CONCURRENT_TRANSACTIONS | ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
        )
    };
    let producer = peer.until(version, &init, |answer| settled(answer.error_code));
    fine(producer.error_code, "InitProducerId");
    let (producer_id, producer_epoch) = (producer.producer_id, producer.producer_epoch);

    let version = peer.version::<AddPartitionsToTxnRequest>(n).expect("a version");
    let add = AddPartitionsToTxnRequest {
        transactional_id: transactional_id.clone(),
        producer_id,
        producer_epoch,
        topics: vec![AddPartitionsToTxnTopic { name: ORDERS.into(), partitions: vec![0] }],
    };
    let answer = peer.until(version, &add, |answer| settled(answer.results[0].results[0].error_code));
    fine(answer.results[0].results[0].error_code, "AddPartitionsToTxn");
    produce_transactional(peer, &transactional_id, producer_id, producer_epoch);
    offsets(peer, n, &transactional_id, producer_id, producer_epoch);

    let version = peer.version::<EndTxnRequest>(n).expect("a version");
    let end = EndTxnRequest { transactional_id, producer_id, producer_epoch, committed };
    fine(peer.ask(version, &end).error_code, "EndTxn");
}

fn offsets(peer: &mut Peer, n: i16, transactional_id: &str, producer_id: i64, producer_epoch: i16) {
    let version = peer.version::<AddOffsetsToTxnRequest>(n).expect("a version");
    let add = AddOffsetsToTxnRequest {
        transactional_id: transactional_id.into(),
        producer_id,
        producer_epoch,
        group_id: GROUP.into(),
    };
    fine(peer.ask(version, &add).error_code, "AddOffsetsToTxn");
    let version = peer.version::<TxnOffsetCommitRequest>(n).expect("a version");
    let partition = TxnOffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: 3,
        committed_metadata: Some("three".into()),
        ..Default::default()
    };
    let commit = TxnOffsetCommitRequest {
        transactional_id: transactional_id.into(),
        group_id: GROUP.into(),
        producer_id,
        producer_epoch,
        topics: vec![TxnOffsetCommitRequestTopic { name: ORDERS.into(), partitions: vec![partition] }],
    };
    fine(peer.ask(version, &commit).topics[0].partitions[0].error_code, "TxnOffsetCommit");
}
