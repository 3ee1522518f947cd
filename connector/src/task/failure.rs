//! The client's errors as ends of a task: which exit code, and what to do.

use ottla_client::{Error, ErrorKind};
use ottla_protocol::{ApiKey, ErrorCode};

use crate::exit::{Exit, Failure};

/// How errors name a connection of the config file.
pub fn in_connection(name: &str) -> String {
    format!("connection {name}")
}

/// A client's error as the end of a task.
pub fn client_failure(place: &str, error: &Error) -> Failure {
    let failure = Failure::new(exit_of(error), format!("{place}: {error}"));
    match help(error) {
        Some(help) => failure.with_help(help),
        None => failure,
    }
}

fn exit_of(error: &Error) -> Exit {
    match error.kind() {
        ErrorKind::Config => Exit::Usage,
        ErrorKind::OffsetOutOfRange | ErrorKind::Corrupt => Exit::StoppedByData,
        _ if blames_the_record(error) => Exit::StoppedByData,
        ErrorKind::Closed => Exit::Internal,
        _ => Exit::Environment,
    }
}

fn help(error: &Error) -> Option<&'static str> {
    match (error.code(), error.api()) {
        (Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED), Some(ApiKey::INIT_PRODUCER_ID)) => {
            return Some("have the right granted, or write `acks = \"leader\"`, which does without idempotence");
        }
        (Some(ErrorCode::COORDINATOR_NOT_AVAILABLE), _) => {
            return Some(
                "`kafka-topics --describe --topic __consumer_offsets` shows what keeps it; `ottla test FILE` goes step by step",
            );
        }
        _ => {}
    }
    Some(match error.kind() {
        ErrorKind::Resolve => "check the host's name, and whether this machine can resolve it",
        ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::Disconnected => {
            "is the broker running, and are its advertised addresses reachable from here? `ottla test FILE` goes step by step"
        }
        ErrorKind::Protocol => {
            "is this the port of a Kafka listener, and does `tls` fit it? `ottla test FILE` goes step by step"
        }
        ErrorKind::Tls => "check `tls`; `ottla test FILE` goes step by step",
        ErrorKind::Authentication => {
            "check `auth`: the mechanism, and the user and password or the token; `ottla test FILE` says more"
        }
        ErrorKind::UnknownTopic => "check the topic's name; `ottla test FILE` lists what the expression matches",
        _ => return None,
    })
}

/// Is it the record that the target does not take, so that trying again would not help and others may be taken? Only these
/// may `on_push_error = "skip"` pass. The client names a record with one of these codes only after it was refused alone;
/// everything else is about the topic, the user, the options or the brokers.
pub fn blames_the_record(error: &Error) -> bool {
    const INVALID_RECORD: ErrorCode = ErrorCode(87);
    match error.code() {
        Some(code) => matches!(
            code,
            ErrorCode::CORRUPT_MESSAGE
                | ErrorCode::MESSAGE_TOO_LARGE
                | ErrorCode::RECORD_LIST_TOO_LARGE
                | ErrorCode::INVALID_TIMESTAMP
                | INVALID_RECORD
        ),
        // A login's token can be too large, too.
        None => error.kind() == ErrorKind::TooLarge && !error.is_from_login(),
    }
}
