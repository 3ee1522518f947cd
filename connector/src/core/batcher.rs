//! When what was written is made durable and its positions are committed: after a time or after a number of bytes,
//! whichever comes first, and only if there is anything to commit.

use std::time::{Duration, Instant};

/// How long and how much may lie between two commits; so much is repeated at most after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Commit at the latest so long after the first record that is not committed.
    pub interval: Duration,
    /// Commit when so many bytes of values are not committed.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { interval: Duration::from_millis(250), bytes: 64 << 20 }
    }
}

/// Counts what was taken since the last commit.
#[derive(Debug)]
pub struct Batcher {
    limits: Limits,
    bytes: u64,
    /// When the first thing that is not committed was taken.
    since: Option<Instant>,
}

impl Batcher {
    /// Starts with nothing to commit.
    pub fn new(limits: Limits) -> Self {
        Self { limits, bytes: 0, since: None }
    }

    /// A batch with `bytes` of values was handed to the target.
    pub fn took(&mut self, bytes: u64, now: Instant) {
        self.bytes += bytes;
        self.since.get_or_insert(now);
    }

    /// Is it time to commit?
    pub fn is_due(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| self.bytes >= self.limits.bytes || now >= since + self.limits.interval)
    }

    /// When it will be time at the latest; `None` while there is nothing to commit.
    pub fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + self.limits.interval)
    }

    /// A commit was made (`settled`: of everything taken so far) or tried; counting starts again.
    pub fn restarted(&mut self, settled: bool, now: Instant) {
        self.bytes = 0;
        self.since = (!settled).then_some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { interval: Duration::from_secs(1), bytes: 1000 };

    #[test]
    fn nothing_taken_is_never_due() {
        let batcher = Batcher::new(LIMITS);
        assert!(!batcher.is_due(Instant::now() + Duration::from_secs(100)));
        assert_eq!(batcher.deadline(), None);
    }

    #[test]
    fn it_is_due_an_interval_after_the_first_batch() {
        let start = Instant::now();
        let mut batcher = Batcher::new(LIMITS);
        batcher.took(1, start);
        batcher.took(1, start + Duration::from_millis(900));
        assert!(!batcher.is_due(start + Duration::from_millis(999)));
        assert!(batcher.is_due(start + Duration::from_secs(1)));
        assert_eq!(batcher.deadline(), Some(start + Duration::from_secs(1)));
    }

    #[test]
    fn it_is_due_at_once_when_the_bytes_are_reached() {
        let start = Instant::now();
        let mut batcher = Batcher::new(LIMITS);
        batcher.took(999, start);
        assert!(!batcher.is_due(start));
        batcher.took(1, start);
        assert!(batcher.is_due(start));
    }

    #[test]
    fn what_was_on_its_way_at_a_commit_is_due_an_interval_later() {
        let start = Instant::now();
        let mut batcher = Batcher::new(LIMITS);
        batcher.took(1000, start);
        batcher.restarted(false, start);
        assert!(!batcher.is_due(start));
        assert!(batcher.is_due(start + Duration::from_secs(1)));
        batcher.restarted(true, start);
        assert_eq!(batcher.deadline(), None);
    }
}
