//! Whether a broker was asked for its partitions without a gap, so that none of them can have been deleted and created again
//! unnoticed.
//!
//! A fetch that waits at the broker ends with an error when its topic is deleted. Between the answer to one fetch and the next
//! one nobody watches: too short a time to delete, create and fill a topic, unless the program stood still (a full buffer, a
//! stopped process, a suspended machine).

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// How long nobody may watch. Deleting and creating a topic takes a controller and all replicas several round trips, and on a
/// broker of one node 200 ms at least.
const UNWATCHED: Duration = Duration::from_millis(100);

/// How much longer than it was asked to wait a broker may take to answer.
const ANSWERING: Duration = Duration::from_millis(150);

/// One moment on two clocks: the monotonic one stands still while a machine is suspended, the other may be set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) instant: Instant,
    pub(crate) wall: SystemTime,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }

    /// The longer of the times that have passed on both clocks. A wall clock that was set back has none.
    fn since(self, earlier: Self) -> Duration {
        let wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        self.instant.duration_since(earlier.instant).max(wall)
    }
}

/// The exchange with one broker.
#[derive(Debug)]
pub(crate) struct Watch {
    max_wait: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Fresh,
    Asked(Moment),
    Answered(Moment),
}

impl Watch {
    /// Nothing was asked yet. `max_wait`: how long the broker may wait for data (`fetch.max.wait.ms`).
    pub(crate) fn new(max_wait: Duration) -> Self {
        Self { max_wait, state: State::Fresh }
    }

    /// A fetch is sent. Returns false if nobody watched for too long before it.
    pub(crate) fn asked(&mut self, now: Moment) -> bool {
        let before = std::mem::replace(&mut self.state, State::Asked(now));
        match before {
            State::Fresh => true,
            State::Answered(at) => now.since(at) <= UNWATCHED,
            // The answer to the one before never came.
            State::Asked(_) => false,
        }
    }

    /// A fetch was answered. Returns false if the answer may have lain there for long, and nobody watched meanwhile.
    pub(crate) fn answered(&mut self, now: Moment) -> bool {
        let before = std::mem::replace(&mut self.state, State::Answered(now));
        match before {
            State::Asked(at) => now.since(at) <= self.max_wait + ANSWERING,
            State::Fresh | State::Answered(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(500);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A moment so much later on both clocks.
    fn later(moment: Moment, by: Duration) -> Moment {
        Moment { instant: moment.instant + by, wall: moment.wall + by }
    }

    #[test]
    fn fetch_after_fetch_is_a_watch_without_a_gap() {
        let mut watch = Watch::new(WAIT);
        let mut now = Moment::now();
        for _ in 0..3 {
            assert!(watch.asked(now));
            now = later(now, WAIT + ms(20));
            assert!(watch.answered(now));
            now = later(now, ms(100));
        }
    }

    #[test]
    fn a_pause_before_the_next_fetch_is_a_gap_once() {
        let mut watch = Watch::new(WAIT);
        let start = Moment::now();
        assert!(watch.asked(start) && watch.answered(later(start, ms(1))));
        assert!(!watch.asked(later(start, ms(102))));
        assert!(watch.answered(later(start, ms(103))));
        assert!(watch.asked(later(start, ms(104))));
    }

    #[test]
    fn an_answer_that_lay_there_while_the_process_was_stopped_is_a_gap() {
        let mut watch = Watch::new(WAIT);
        let start = Moment::now();
        assert!(watch.asked(start));
        assert!(!watch.answered(later(start, ms(651))));
    }

    #[test]
    fn a_machine_that_was_suspended_is_a_gap_that_only_the_wall_clock_sees() {
        let mut watch = Watch::new(WAIT);
        let start = Moment::now();
        assert!(watch.asked(start));
        assert!(!watch.answered(Moment { wall: start.wall + ms(60_000), ..start }));
        // A clock that is set back says nothing.
        let mut watch = Watch::new(WAIT);
        assert!(watch.asked(start));
        assert!(watch.answered(Moment { wall: start.wall - ms(60_000), ..start }));
    }

    #[test]
    fn a_fetch_without_an_answer_is_a_gap() {
        let mut watch = Watch::new(WAIT);
        let start = Moment::now();
        assert!(watch.asked(start));
        assert!(!watch.asked(later(start, ms(1))));
    }
}
