//! What can go wrong while a broker is started, reached or stopped.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a broker or a tool did not do its work. `Display` says where, what and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is no release that this crate can start.
    #[error("\"{0}\" is no Kafka release such as 2.3.1 or 0.11.0.3 (0.11 or later; see OTTLA_KAFKA)")]
    Release(String),
    /// A program could not be run at all.
    #[error("cannot run {program}: {source}; testdata/test installs what the tests need")]
    Program {
        /// Its name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program that is not on this machine.
    #[error("there is no {program} here; Debian has it in {package}, and testdata/test installs what the tests need")]
    Missing {
        /// Its name.
        program: String,
        /// The package it comes with.
        package: String,
    },
    /// A program ran and failed.
    #[error("{program} ended with {status}\n{output}")]
    Failed {
        /// Its command line.
        program: String,
        /// Its exit status in words.
        status: String,
        /// What it printed, both streams.
        output: String,
    },
    /// A program was stopped because it ran too long.
    #[error("{program} was still running after {limit:?} and was killed\n{output}")]
    TooSlow {
        /// Its command line.
        program: String,
        /// The time it was given.
        limit: Duration,
        /// What it had printed, both streams.
        output: String,
    },
    /// A file or directory could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A server process ended before it was ready, or was not ready in time.
    #[error("{what} {how}; its log is {log}\n{tail}", log = log.display())]
    NotReady {
        /// Which process.
        what: String,
        /// What was seen.
        how: String,
        /// The kept log.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// No free port was found.
    #[error("found no free port on 127.0.0.1 in 200 tries")]
    Ports,
    /// A broker did not answer an administrative request as expected.
    #[error("broker {address}: {what}")]
    Broker {
        /// Its `host:port`.
        address: String,
        /// What was asked and what came back.
        what: String,
    },
    /// A broker refused an administrative request.
    #[error("broker {address}: {what}: Kafka error {code}")]
    Refused {
        /// Its `host:port`.
        address: String,
        /// What was asked.
        what: String,
        /// Kafka's error code.
        code: i16,
    },
    /// A tool does not exist in this release.
    #[error("Kafka {release} has no class {class}")]
    NoSuchTool {
        /// The release.
        release: String,
        /// The class asked for.
        class: String,
    },
}

impl Error {
    /// Whether the broker does not know yet that it leads the partition: LEADER_NOT_AVAILABLE or NOT_LEADER_FOR_PARTITION. The
    /// metadata of a topic that was just created can be ahead of its leader.
    pub(crate) fn is_leader_unknown(&self) -> bool {
        matches!(self, Self::Refused { code: 5 | 6, .. })
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
