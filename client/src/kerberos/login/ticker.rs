//! Times that are each given once in the process.

use std::sync::atomic::{AtomicI64, Ordering};

use super::super::time::KerberosTime;

const MICROS: i64 = 1_000_000;

/// Gives times that only grow.
pub(super) struct Ticker(AtomicI64);

/// The process's own: an authenticator is never used twice (RFC 4120 §3.2.2), whichever login made it.
pub(super) static TICKER: Ticker = Ticker::new();

impl Ticker {
    const fn new() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }

    /// This time, or the next microsecond that was not given before. A clock that was set back by more than a second is
    /// followed.
    pub(super) fn next(&self, now: KerberosTime) -> KerberosTime {
        let wanted = now.seconds.saturating_mul(MICROS).saturating_add(now.micros.into());
        let after = |last: i64| match last.checked_sub(wanted) {
            Some(0..MICROS) => last + 1,
            _ => wanted,
        };
        let change = |last| Some(after(last));
        // It always changes, and gives what was there before.
        let last = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change).unwrap_or(i64::MIN);
        let given = after(last);
        KerberosTime { seconds: given.div_euclid(MICROS), micros: given.rem_euclid(MICROS) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static OWN: Ticker = Ticker::new();

    #[test]
    fn no_time_is_given_twice_by_however_many_threads() {
        let now = KerberosTime { seconds: 5000, micros: 999_990 };
        let thread = move || (0..1000).map(|_| OWN.next(now)).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(thread)).collect();
        let mut times: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        times.sort();
        let count = times.len();
        times.dedup();
        assert_eq!(times.len(), count);
        assert!(times.iter().all(|time| time.seconds - 5000 <= 1));
    }

    #[test]
    fn a_clock_that_was_set_back_is_followed() {
        let ticker = Ticker::new();
        for seconds in [5000, 4000, 9000, -9000] {
            let now = KerberosTime::at(seconds);
            assert_eq!(ticker.next(now), now);
        }
        let _ = (ticker.next(KerberosTime::at(i64::MAX)), ticker.next(KerberosTime::at(i64::MIN)));
    }
}
