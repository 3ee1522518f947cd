//! How long to wait before the next try.

use std::time::Duration;

/// Doubles with each failure up to a limit. Each delay is spread by a fifth to both sides, so that many clients that lost
/// the same broker do not come back in the same instant (KIP-144).
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    limit: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, limit: Duration) -> Self {
        Self { first, limit, failures: 0 }
    }

    /// Counts a failure and says how long to wait. `chance` is in `0.0..1.0`.
    pub(crate) fn fail(&mut self, chance: f64) -> Duration {
        // Beyond 2^16 times the first delay every limit is reached; below it nothing overflows.
        let full = self.first.saturating_mul(1 << self.failures.min(16)).min(self.limit);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0))
    }

    /// Counts a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_the_limit_and_start_over_after_a_success() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(50), ms(1000));
        let delays: Vec<_> = (0..7).map(|_| backoff.fail(0.5)).collect();
        assert_eq!(delays, [50, 100, 200, 400, 800, 1000, 1000].map(ms));
        backoff.reset();
        assert_eq!(backoff.fail(0.5), ms(50));
    }

    #[test]
    fn chance_spreads_a_delay_by_a_fifth_and_no_more() {
        let first = Duration::from_millis(100);
        assert_eq!(Backoff::new(first, first).fail(0.0), Duration::from_millis(80));
        assert_eq!(Backoff::new(first, first).fail(1.0), Duration::from_millis(120));
        assert_eq!(Backoff::new(first, first).fail(f64::from(u32::MAX)), Duration::from_millis(120));
    }

    #[test]
    fn years_of_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        backoff.failures = u32::MAX;
        assert_eq!(backoff.fail(0.5), Duration::from_mins(1));
    }
}
