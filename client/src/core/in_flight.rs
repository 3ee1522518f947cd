//! What was asked on a connection and not answered yet. Answers come in the order of the questions: a broker handles one
//! request a connection at a time. An answer out of order means that the stream is out of step, and ends it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ottla_protocol::ApiKey;

/// A first-in, first-out queue of questions, each with a deadline and its asker.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    next_id: i32,
    asked: VecDeque<Asked<T>>,
}

/// One question.
#[derive(Debug)]
pub(crate) struct Asked<T> {
    pub(crate) id: i32,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) deadline: Instant,
    pub(crate) asker: T,
}

/// An answer that belongs to no question, or not to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Desync {
    #[error("an answer with correlation id {got} came, but {expected} ({api}) was next: the stream is out of step")]
    Wrong { got: i32, expected: i32, api: ApiKey },
    #[error("an answer with correlation id {got} came, but nothing was asked: the stream is out of step")]
    Unasked { got: i32 },
}

impl<T> InFlight<T> {
    /// Nothing asked yet; the first question gets `first_id`.
    pub(crate) fn new(first_id: i32) -> Self {
        Self { next_id: first_id, asked: VecDeque::new() }
    }

    /// A correlation id. Ids go up by one and wrap within the positive numbers.
    pub(crate) fn take_id(&mut self) -> i32 {
        let id = self.next_id;
        self.next_id = id.checked_add(1).unwrap_or(0);
        id
    }

    /// Queues a question under an id just taken.
    pub(crate) fn ask(&mut self, asked: Asked<T>) {
        self.asked.push_back(asked);
    }

    /// Matches an answer with the oldest question.
    pub(crate) fn answer(&mut self, id: i32) -> Result<Asked<T>, Desync> {
        match self.asked.front() {
            None => Err(Desync::Unasked { got: id }),
            Some(next) if next.id != id => Err(Desync::Wrong { got: id, expected: next.id, api: next.api }),
            Some(_) => self.asked.pop_front().ok_or(Desync::Unasked { got: id }),
        }
    }

    /// When the first question expires. They need not expire in the order they were asked.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.asked.iter().map(|asked| asked.deadline).min()
    }

    /// The API of a question whose deadline has passed. The connection is of no use then: a late answer must never be
    /// taken for another's (`NetworkClient.handleTimedOutRequests`).
    pub(crate) fn expired(&self, now: Instant) -> Option<ApiKey> {
        self.asked.iter().find(|asked| asked.deadline <= now).map(|asked| asked.api)
    }

    /// Gives every question more time: the broker said that it will not read for so long (KIP-219).
    pub(crate) fn postpone(&mut self, by: Duration) {
        for asked in &mut self.asked {
            asked.deadline += by;
        }
    }

    /// Takes every question away, oldest first.
    pub(crate) fn drain(&mut self) -> VecDeque<Asked<T>> {
        std::mem::take(&mut self.asked)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// The API of the question whose answer comes next.
    pub(crate) fn next_api(&self) -> Option<ApiKey> {
        self.asked.front().map(|asked| asked.api)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ask(in_flight: &mut InFlight<&'static str>, asker: &'static str, deadline: Instant) -> i32 {
        let id = in_flight.take_id();
        in_flight.ask(Asked { id, api: ApiKey::FETCH, version: 4, deadline, asker });
        id
    }

    #[test]
    fn answers_reach_their_askers_in_the_order_of_the_questions() {
        let (mut in_flight, now) = (InFlight::new(7), Instant::now());
        let ids: Vec<_> = ["a", "b", "c"].into_iter().map(|name| ask(&mut in_flight, name, now)).collect();
        assert_eq!(ids, [7, 8, 9]);
        let names: Vec<_> = ids.into_iter().map(|id| in_flight.answer(id).unwrap().asker).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(in_flight.is_empty());
    }

    #[test]
    fn a_skipped_a_repeated_and_an_unasked_answer_are_each_noticed() {
        let (mut in_flight, now) = (InFlight::new(0), Instant::now());
        let first = ask(&mut in_flight, "a", now);
        let second = ask(&mut in_flight, "b", now);
        let skipped = in_flight.answer(second).unwrap_err();
        assert_eq!(skipped, Desync::Wrong { got: second, expected: first, api: ApiKey::FETCH });
        in_flight.answer(first).unwrap();
        assert_eq!(
            in_flight.answer(first).unwrap_err(),
            Desync::Wrong { got: first, expected: second, api: ApiKey::FETCH }
        );
        in_flight.answer(second).unwrap();
        assert_eq!(in_flight.answer(second).unwrap_err(), Desync::Unasked { got: second });
    }

    #[test]
    fn the_earliest_deadline_counts_whatever_the_order() {
        let (mut in_flight, now) = (InFlight::new(0), Instant::now());
        assert_eq!(in_flight.deadline(), None);
        ask(&mut in_flight, "slow", now + 5 * SECOND);
        let id = ask(&mut in_flight, "quick", now + SECOND);
        assert_eq!(in_flight.deadline(), Some(now + SECOND));
        assert_eq!(in_flight.expired(now + Duration::from_nanos(999_999_999)), None);
        assert_eq!(in_flight.expired(now + SECOND), Some(ApiKey::FETCH));
        assert_eq!(id, 1);
    }

    #[test]
    fn a_throttled_connection_gives_its_questions_more_time() {
        let (mut in_flight, now) = (InFlight::new(0), Instant::now());
        ask(&mut in_flight, "a", now + SECOND);
        in_flight.postpone(2 * SECOND);
        assert_eq!(in_flight.expired(now + 2 * SECOND), None);
        assert_eq!(in_flight.deadline(), Some(now + 3 * SECOND));
    }

    #[test]
    fn ids_wrap_within_the_positive_numbers() {
        let mut in_flight: InFlight<()> = InFlight::new(i32::MAX);
        assert_eq!((in_flight.take_id(), in_flight.take_id()), (i32::MAX, 0));
    }
}
