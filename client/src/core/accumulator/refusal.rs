//! What an error means for the batch that met it.

use ottla_protocol::ErrorCode;

use crate::error::{Error, ErrorKind};

/// A record that the topic does not take, such as one without a key for a compacted topic (Kafka 2.4, KIP-467).
pub(crate) const INVALID_RECORD: ErrorCode = ErrorCode(87);

/// How often a batch may be refused with CORRUPT_MESSAGE before the cause is taken for a record, not for the network.
pub(super) const CORRUPT_BELIEVED: u32 = 3;

/// What a broker's refusal of a batch is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concern {
    /// The size of the batch; a part of it may be small enough.
    Size,
    /// One of its records; the code does not say which.
    Record,
    /// One of its records, or bytes that changed on the way: brokers before 2.4 have one code for both.
    RecordOrBytes,
    /// Its sequence numbers, which the lineage judges.
    Numbers,
    /// Its producer id: the topic's message format has no room for one.
    Format,
    /// Something that passes with time.
    Passing,
    /// The topic, the user, the options or the broker: every other batch would be refused too.
    Whole,
}

impl Concern {
    pub(super) fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => Self::Size,
            INVALID_RECORD | ErrorCode::INVALID_TIMESTAMP => Self::Record,
            ErrorCode::CORRUPT_MESSAGE => Self::RecordOrBytes,
            ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
            | ErrorCode::DUPLICATE_SEQUENCE_NUMBER
            | ErrorCode::UNKNOWN_PRODUCER_ID
            | ErrorCode::INVALID_PRODUCER_EPOCH => Self::Numbers,
            ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT => Self::Format,
            code if code.is_retriable() || code.is_invalid_metadata() => Self::Passing,
            _ => Self::Whole,
        }
    }
}

/// Refusals after which the broker may still have the batch: 20 says so, 7 comes after the append, -1 and 56 can come at any
/// point of it.
pub(super) fn may_be_written(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
            | ErrorCode::REQUEST_TIMED_OUT
            | ErrorCode::UNKNOWN_SERVER_ERROR
            | ErrorCode::KAFKA_STORAGE_ERROR
    )
}

/// Whether sending again would fail again: nothing that time heals.
pub(crate) fn is_final(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Config
            | ErrorKind::Authentication
            | ErrorKind::Versions
            | ErrorKind::Unsupported
            | ErrorKind::TooLarge
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_about_a_record_are_taken_for_one() {
        let about_a_record =
            |code: &ErrorCode| matches!(Concern::of(*code), Concern::Size | Concern::Record | Concern::RecordOrBytes);
        let mut found: Vec<i16> =
            ErrorCode::ALL.iter().filter(|code| about_a_record(code)).map(|code| code.0).collect();
        found.extend((83..=130).map(ErrorCode).filter(about_a_record).map(|code| code.0));
        assert_eq!(found, [2, 10, 18, 32, 87]);
    }
}
