//! What went wrong in a fetch, in words: where, what, and what to do.

use ottla_protocol::records::RecordsError;
use ottla_protocol::{ApiKey, ErrorCode};

use crate::{Error, ErrorKind, TopicPartition};

/// What a partition's error code in a fetch answer asks for (Kafka's `Fetcher.parseCompletedFetch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No error.
    Good,
    /// The position is not in the log.
    OutOfRange,
    /// Ask again later, of the leader that fresh metadata names.
    Refresh,
    /// Ask again later.
    Retry,
    /// Asking again gives the same answer.
    Fatal,
}

/// Judges a partition's error code.
pub(super) fn judge(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::NONE => Verdict::Good,
        ErrorCode::OFFSET_OUT_OF_RANGE => Verdict::OutOfRange,
        // "Retriable" by its class, but what it says is that the broker's log is damaged at this offset.
        ErrorCode::CORRUPT_MESSAGE => Verdict::Fatal,
        // The broker is behind us and will catch up.
        ErrorCode::UNKNOWN_LEADER_EPOCH => Verdict::Retry,
        // Not all of them are "invalid metadata" by their class, yet another leader may be the way out.
        ErrorCode::REPLICA_NOT_AVAILABLE
        | ErrorCode::KAFKA_STORAGE_ERROR
        | ErrorCode::FENCED_LEADER_EPOCH
        | ErrorCode::OFFSET_NOT_AVAILABLE => Verdict::Refresh,
        code if code.is_invalid_metadata() => Verdict::Refresh,
        ErrorCode::UNKNOWN_SERVER_ERROR => Verdict::Retry,
        code if code.is_retriable() => Verdict::Retry,
        _ => Verdict::Fatal,
    }
}

/// A partition's error code as an error.
pub(super) fn of_code(code: ErrorCode, partition: &TopicPartition, offset: i64) -> Error {
    let error = match code {
        ErrorCode::UNSUPPORTED_COMPRESSION_TYPE => Error::new(
            ErrorKind::Unsupported,
            format!(
                "{code} The topic is compressed with zstd, and this broker gives zstd only to Fetch version 10 or later \
                 (Kafka 2.1); upgrade the broker, or set the topic's compression.type to another codec"
            ),
        ),
        ErrorCode::UNSUPPORTED_VERSION => Error::new(
            ErrorKind::Unsupported,
            format!(
                "{code} The broker would have to convert the records to an older format and may not \
                 (message.downconversion.enable is off, or it holds records it cannot convert)"
            ),
        ),
        ErrorCode::CORRUPT_MESSAGE => Error::new(
            ErrorKind::Corrupt,
            format!("{code} The broker found its own log damaged there; {}", after(None)),
        ),
        ErrorCode::TOPIC_AUTHORIZATION_FAILED => {
            Error::from_code(code).in_api(ApiKey::FETCH).advice("then seek or assign the partition again")
        }
        code => Error::from_code(code),
    };
    error.at(partition).at_offset(offset).in_api(ApiKey::FETCH)
}

/// The position is not in the log, whose first and next offset are `log`, if they could be asked.
pub(super) fn out_of_range(partition: &TopicPartition, offset: i64, log: Option<(i64, i64)>) -> Error {
    let log = match log {
        Some((earliest, latest)) if offset < earliest => {
            let gone = earliest.saturating_sub(offset);
            format!(
                "the log begins at {earliest} and ends at {latest}: {gone} offsets are gone, by retention or deletion"
            )
        }
        Some((earliest, latest)) => format!(
            "the log begins at {earliest} and ends at {latest}: it was cut, or the topic was deleted and made again"
        ),
        None => "where the log begins and ends could not be asked".to_owned(),
    };
    Error::from_code(ErrorCode::OFFSET_OUT_OF_RANGE)
        .advice(&log)
        .advice("the partition is not read until a seek to an offset that the log has")
        .at(partition)
        .at_offset(offset)
}

/// A batch that cannot be used. `next` is where the batch after it begins, if its header can be believed so far.
pub(super) fn corrupt_batch(partition: &TopicPartition, offset: i64, next: Option<i64>, error: RecordsError) -> Error {
    let message = format!("{error}; {}", after(next));
    Error::new(ErrorKind::Corrupt, message).with_source(error).at(partition).at_offset(offset)
}

/// A batch that contradicts itself or the question.
pub(super) fn absurd_batch(partition: &TopicPartition, offset: i64, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{what}; {}", after(None))).at(partition).at_offset(offset)
}

/// A record that cannot be read inside a batch that could be opened.
pub(super) fn corrupt_record(partition: &TopicPartition, next: i64, error: RecordsError) -> Error {
    let message =
        format!("{error}; the batch's other records are lost with it, the next batch begins at offset {next}");
    Error::new(ErrorKind::Corrupt, message).with_source(error).at(partition)
}

/// A record whose offset its batch's header denies.
pub(super) fn stray_record(partition: &TopicPartition, offset: i64, next: i64) -> Error {
    let message = format!("a record says that its offset is {offset}, but its batch ends before offset {next}");
    Error::new(ErrorKind::Corrupt, message).at(partition).at_offset(offset)
}

/// A record that comes after one with the same or a higher offset.
pub(super) fn disordered_record(partition: &TopicPartition, offset: i64, before: i64, next: i64) -> Error {
    let message = format!(
        "a record with offset {offset} comes after the one with offset {before} in its batch; the batch's other records are \
         lost with it, the next batch begins at offset {next}"
    );
    Error::new(ErrorKind::Corrupt, message).at(partition).at_offset(offset)
}

fn after(next: Option<i64>) -> String {
    let skip = match next {
        Some(next) => format!("seek to {next}, where its header says it ends, to leave it out"),
        None => "seek beyond it to leave it out".to_owned(),
    };
    format!(
        "the partition is not read until a seek: to the same offset to try again (another replica may be whole once it leads), \
         or {skip}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_error_has_its_verdict() {
        for (code, verdict) in [
            (0, Verdict::Good),
            (1, Verdict::OutOfRange),
            (-1, Verdict::Retry),
            (2, Verdict::Fatal),
            (3, Verdict::Refresh),
            (5, Verdict::Refresh),
            (6, Verdict::Refresh),
            (7, Verdict::Retry),
            (9, Verdict::Refresh),
            (29, Verdict::Fatal),
            (35, Verdict::Fatal),
            (56, Verdict::Refresh),
            (72, Verdict::Refresh),
            (74, Verdict::Refresh),
            (75, Verdict::Retry),
            (76, Verdict::Fatal),
            (78, Verdict::Refresh),
            (9999, Verdict::Fatal),
        ] {
            assert_eq!(judge(ErrorCode(code)), verdict, "{code}");
        }
    }

    #[test]
    fn an_offset_out_of_range_says_what_the_log_has() {
        let orders = TopicPartition::new("orders", 3);
        let error = out_of_range(&orders, 5, Some((100, 200)));
        assert_eq!((error.kind(), error.offset()), (ErrorKind::OffsetOutOfRange, Some(5)));
        let text = error.to_string();
        for part in ["orders-3", "offset 5", "begins at 100", "ends at 200", "95 offsets", "seek"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(out_of_range(&orders, 300, Some((100, 200))).to_string().contains("cut"));
        assert!(out_of_range(&orders, 300, None).to_string().contains("could not be asked"));
    }

    #[test]
    fn zstd_on_an_old_broker_is_unsupported_and_says_what_helps() {
        let error = of_code(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, &TopicPartition::new("orders", 0), 7);
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("zstd") && error.to_string().contains("2.1"), "{error}");
    }
}
