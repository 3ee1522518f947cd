//! What keeps a partition's batches from being acknowledged at the moment.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};

/// An answer that takes longer is overdue.
const OVERDUE_AFTER: Duration = Duration::from_secs(5);

/// A failure that is tried again.
#[derive(Debug, Clone)]
pub(crate) struct QueueTrouble {
    /// When it began.
    pub(crate) since: Instant,
    /// The failed attempts since then.
    pub(crate) attempts: u32,
    /// The last failure.
    pub(crate) error: Error,
}

impl QueueTrouble {
    /// Adds a failure to what there is.
    pub(crate) fn count(trouble: &mut Option<Self>, error: &Error, now: Instant) {
        let trouble = trouble.get_or_insert_with(|| Self { since: now, attempts: 0, error: error.clone() });
        trouble.attempts += 1;
        trouble.error = error.clone();
    }

    /// An answer that is waited for since `sent`, if that is long ago.
    pub(super) fn overdue(sent: Instant, now: Instant) -> Option<Self> {
        let waited = now.saturating_duration_since(sent);
        let message = || format!("no answer for {} s", waited.as_secs());
        (waited >= OVERDUE_AFTER).then(|| Self {
            since: sent,
            attempts: 0,
            error: Error::new(ErrorKind::Timeout, message()),
        })
    }
}
