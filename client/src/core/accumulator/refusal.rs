//! What an error means for the batch that met it.

use ottla_protocol::ErrorCode;

use crate::error::{Error, ErrorKind};

/// Refusals that the lineage judges.
pub(super) fn is_about_numbers(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
            | ErrorCode::DUPLICATE_SEQUENCE_NUMBER
            | ErrorCode::UNKNOWN_PRODUCER_ID
            | ErrorCode::INVALID_PRODUCER_EPOCH
    )
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
