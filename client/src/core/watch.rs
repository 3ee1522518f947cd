//! Whether a broker answered so often that none of its partitions can have been deleted and created again in between.
//!
//! A fetch that waits at the broker does not end when its topic is deleted: on Kafka 2.3 it was seen to wait on and to be
//! answered from the topic that was created next. So what counts is the time from answer to answer, and nothing else.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// How long may pass from one answer to the next. Deleting a topic, creating it and filling it past the old position takes a
/// controller and a producer longer.
const UNWATCHED: Duration = Duration::from_millis(100);

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

/// The answers of one broker.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    answered: Option<Moment>,
}

impl Watch {
    /// A fetch was answered. Returns false if nobody watched for too long before it.
    pub(crate) fn answered(&mut self, now: Moment) -> bool {
        self.answered.replace(now).is_some_and(|before| now.since(before) <= UNWATCHED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A moment so much later on both clocks.
    fn later(moment: Moment, by: Duration) -> Moment {
        Moment { instant: moment.instant + by, wall: moment.wall + by }
    }

    #[test]
    fn answer_after_answer_is_a_watch_without_a_gap() {
        let mut watch = Watch::default();
        let mut now = Moment::now();
        assert!(!watch.answered(now), "nobody watched before the first");
        for _ in 0..3 {
            now = later(now, ms(100));
            assert!(watch.answered(now));
        }
    }

    #[test]
    fn an_answer_that_came_late_is_a_gap_whatever_it_waited_for_and_the_next_one_is_not() {
        let mut watch = Watch::default();
        let start = Moment::now();
        watch.answered(start);
        assert!(!watch.answered(later(start, ms(101))));
        assert!(watch.answered(later(start, ms(102))));
    }

    #[test]
    fn a_machine_that_was_suspended_is_a_gap_that_only_the_wall_clock_sees() {
        let mut watch = Watch::default();
        let start = Moment::now();
        watch.answered(start);
        assert!(!watch.answered(Moment { wall: start.wall + ms(60_000), ..start }));
        // A clock that is set back says nothing.
        assert!(watch.answered(start));
    }
}
