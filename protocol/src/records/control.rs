//! Control batches: the marks of a transaction's end (KIP-98). They take an offset and are never a user's record.

use bytes::{Buf, Bytes};

use super::batch::{Attributes, BatchHeader};
use super::record::Record;
use super::writer::BatchBuilder;

/// What a control record says (`ControlRecordType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlType {
    /// The producer's open transaction is undone.
    Abort,
    /// It is done.
    Commit,
    /// A type of a later release: to be passed over.
    Unknown(i16),
}

impl ControlType {
    /// From the key of a control record: int16 version, int16 type. `None`: the key is too short.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let [_, _, high, low, ..] = key else { return None };
        Some(match i16::from_be_bytes([*high, *low]) {
            0 => Self::Abort,
            1 => Self::Commit,
            other => Self::Unknown(other),
        })
    }

    /// The number in a control record's key.
    pub fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::Unknown(id) => id,
        }
    }
}

/// The mark of a transaction's end (`EndTransactionMarker`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// How it ended.
    pub control: ControlType,
    /// The epoch of the transaction coordinator that wrote it.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// From a control record. `None`: its key or value is missing, too short, or of a negative version. What a later
    /// version adds at the end is passed over.
    pub fn read(record: &Record<'_>) -> Option<Self> {
        let control = ControlType::from_key(record.key?)?;
        let mut value = record.value?;
        let version = value.try_get_i16().ok()?;
        let coordinator_epoch = value.try_get_i32().ok()?;
        (version >= 0).then_some(Self { control, coordinator_epoch })
    }

    /// The control batch that says it, as a broker writes it (`MemoryRecords.withEndTransactionMarker`). `producer_id` and
    /// `producer_epoch` are those of the transaction's producer, `timestamp_ms` counts from 1970.
    pub fn batch(
        self,
        producer_id: i64,
        producer_epoch: i16,
        timestamp_ms: i64,
        base_offset: i64,
        leader_epoch: i32,
    ) -> Bytes {
        let [high, low] = self.control.id().to_be_bytes();
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        let mut record = BatchBuilder::with_capacity(128);
        record.append(timestamp_ms, Some(&[0, 0, high, low]), Some(&[0, 0, a, b, c, d]), &[]);
        let header = BatchHeader {
            base_offset,
            partition_leader_epoch: leader_epoch,
            attributes: Attributes::END_OF_TRANSACTION,
            first_timestamp: timestamp_ms,
            max_timestamp: timestamp_ms,
            producer_id,
            producer_epoch,
            count: 1,
            ..BatchHeader::EMPTY
        };
        header.batch(record.records())
    }
}
