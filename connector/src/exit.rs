//! How a command ends: the exit codes, and the failure that every command returns.

use std::fmt;
use std::process::ExitCode;

/// The exit codes of every command, stable for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// 0: everything asked for was done.
    Ok = 0,
    /// 1: a fault of ours.
    Internal = 1,
    /// 2: the command line or the config file is wrong; nothing was opened or sent.
    Usage = 2,
    /// 3: broker, name resolution, login, file system: the surroundings refused.
    Environment = 3,
    /// 4: stopped by data: a bad record under `stop`, or a record that the target refused.
    StoppedByData = 4,
    /// 5: finished, but records were skipped (only with `--strict`).
    Skipped = 5,
    /// 130: a second SIGINT cut the draining short.
    Interrupted = 130,
    /// 143: a second SIGTERM cut the draining short.
    Terminated = 143,
}

impl Exit {
    /// The number the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command failed: the exit code, what happened and where, and what to do about it.
/// It must never carry a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The code the process ends with.
    pub exit: Exit,
    /// What happened, and where; without a trailing full stop or line break.
    pub message: String,
    /// What to do about it, one sentence.
    pub help: Option<String>,
    /// `message` is a finished report (several errors with their own `error:` heads) and is printed as it is.
    report: bool,
    /// The reader of what is printed has left, which is no error.
    reader_left: bool,
}

impl Failure {
    /// A failure with any exit code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), help: None, report: false, reader_left: false }
    }

    /// The reader of a pipe has what it wants (`| head`): the end of the command, but no error.
    pub fn reader_left(message: impl Into<String>) -> Self {
        Self { reader_left: true, ..Self::new(Exit::Ok, message) }
    }

    /// Did nothing go wrong but that the reader of a pipe has left?
    pub fn is_reader_left(&self) -> bool {
        self.reader_left
    }

    /// Exit 1: a fault of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Internal, message)
    }

    /// Exit 2: wrong command line or config.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Exit 3: the surroundings refused.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(Exit::Environment, message)
    }

    /// Exit 4: stopped by a record.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Exit::StoppedByData, message)
    }

    /// A report that is already laid out for the reader, printed without a head of its own.
    pub fn report(exit: Exit, text: impl Into<String>) -> Self {
        Self { report: true, ..Self::new(exit, text) }
    }

    /// The same failure with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// As shown to the user: `error: …`, then `help: …` on a line of its own.
impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.report {
            return out.write_str(self.message.trim_end());
        }
        write!(out, "error: {}", self.message)?;
        match &self.help {
            Some(help) => write!(out, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_documented_numbers() {
        let all = [
            (Exit::Ok, 0),
            (Exit::Internal, 1),
            (Exit::Usage, 2),
            (Exit::Environment, 3),
            (Exit::StoppedByData, 4),
            (Exit::Skipped, 5),
            (Exit::Interrupted, 130),
            (Exit::Terminated, 143),
        ];
        for (exit, code) in all {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }

    #[test]
    fn a_failure_says_what_happened_and_what_to_do() {
        let failure = Failure::environment("no answer from 127.0.0.1:9").with_help("start the broker");
        assert_eq!(failure.to_string(), "error: no answer from 127.0.0.1:9\n  help: start the broker");
        assert_eq!(Failure::report(Exit::Usage, "error: a\nerror: b\n").to_string(), "error: a\nerror: b");
    }
}
