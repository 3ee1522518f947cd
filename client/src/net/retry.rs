//! Tries of one call: with growing pauses, until its deadline.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::config::Options;
use crate::core::backoff::Backoff;
use crate::error::{Error, ErrorKind};

/// Counts the tries and remembers why the last one failed.
pub(crate) struct Retry {
    start: Instant,
    deadline: Instant,
    failures: u32,
    backoff: Backoff,
    last: Option<Error>,
}

impl Retry {
    pub(crate) fn new(options: &Options, timeout: Duration) -> Self {
        let start = Instant::now();
        let backoff = Backoff::new(options.retry_backoff, options.retry_backoff_max);
        Self { start, deadline: start + timeout, failures: 0, backoff, last: None }
    }

    /// The time that is left, at most `limit`.
    pub(crate) fn left(&self, limit: Duration) -> Duration {
        self.deadline.saturating_duration_since(Instant::now()).min(limit)
    }

    /// Awaits one try, but not beyond the call's deadline.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match tokio::time::timeout_at(self.deadline.into(), work).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(ErrorKind::Timeout, "no answer before the call's deadline")),
        }
    }

    /// Pauses before the next try, or says for good why the call failed.
    pub(crate) async fn pause(&mut self, error: Error) -> Result<(), Error> {
        self.failures += 1;
        if !error.may_be_retried() {
            return Err(if self.failures > 1 { error.gave_up(self.failures, self.start.elapsed()) } else { error });
        }
        let next = Instant::now() + self.backoff.fail(fastrand::f64());
        if next >= self.deadline {
            // A bare "too late" hides the reason that the tries before it gave.
            let cause = if self.deadline <= Instant::now() { self.last.take().unwrap_or(error) } else { error };
            return Err(cause.gave_up(self.failures, self.start.elapsed()));
        }
        tracing::debug!(%error, failures = self.failures, "trying again");
        self.last = Some(error);
        tokio::time::sleep_until(next.into()).await;
        Ok(())
    }
}
