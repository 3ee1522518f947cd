//! What a batch's records share: the one place where their outcome is put and looked up.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::Error;

/// What became of a record or of a row of them: the offset of the first if the broker told one.
pub(crate) type Outcome = Result<Option<i64>, Error>;

/// The shared outcome of the records that were appended to one batch. A batch that is split keeps its cell, and resolves it
/// part by part.
#[derive(Debug)]
pub(crate) struct Cell {
    partition: i32,
    /// Everything, once all is resolved: read without a lock.
    done: OnceLock<Vec<Part>>,
    pending: Mutex<Pending>,
}

#[derive(Debug)]
struct Pending {
    /// How many batches are still to resolve their part.
    outstanding: u32,
    parts: Vec<Part>,
    /// A place for each waiter, which keeps it: places are never given to another.
    wakers: Vec<Option<Waker>>,
}

#[derive(Debug, Clone)]
struct Part {
    records: Range<u32>,
    outcome: Outcome,
}

/// A waiter's place in the cell; starts as `None`.
pub(crate) type Place = Option<usize>;

impl Cell {
    pub(crate) fn new(partition: i32) -> Arc<Self> {
        let pending = Pending { outstanding: 1, parts: Vec::new(), wakers: Vec::new() };
        Arc::new(Self { partition, done: OnceLock::new(), pending: Mutex::new(pending) })
    }

    pub(crate) fn partition(&self) -> i32 {
        self.partition
    }

    /// The record's outcome, if there is one. Never waits for long.
    pub(crate) fn outcome(&self, record: u32) -> Option<Outcome> {
        match self.done.get() {
            Some(parts) => Some(look_up(parts, record).unwrap_or_else(lost)),
            None => look_up(&self.lock().parts, record),
        }
    }

    /// The record's outcome, or a wake-up when there may be one.
    pub(crate) fn poll(&self, record: u32, place: &mut Place, cx: &Context<'_>) -> Poll<Outcome> {
        self.poll_with(place, cx, |parts, _| look_up(parts, record)).map(|outcome| outcome.unwrap_or_else(lost))
    }

    /// Waits until all records are resolved.
    pub(crate) fn poll_all(&self, place: &mut Place, cx: &Context<'_>) -> Poll<()> {
        self.poll_with(place, cx, |_, outstanding| (outstanding == 0).then_some(())).map(drop)
    }

    /// Waits until these records are resolved, and gives those that failed, a row for each part. No allocation if none did.
    pub(crate) fn poll_refused(
        &self,
        records: &Range<u32>,
        place: &mut Place,
        cx: &Context<'_>,
    ) -> Poll<Vec<(Range<u32>, Error)>> {
        let look = |parts: &[Part], outstanding: u32| {
            let rows = || parts.iter().filter_map(|part| Some((overlap(&part.records, records)?, &part.outcome)));
            let resolved: u32 = rows().map(|(row, _)| row.end - row.start).sum();
            if outstanding > 0 && resolved < records.end - records.start {
                return None;
            }
            let from_first = |row: Range<u32>| row.start - records.start..row.end - records.start;
            Some(rows().filter_map(|(row, outcome)| Some((from_first(row), outcome.as_ref().err()?.clone()))).collect())
        };
        self.poll_with(place, cx, look).map(Option::unwrap_or_default)
    }

    fn poll_with<T>(
        &self,
        place: &mut Place,
        cx: &Context<'_>,
        look: impl Fn(&[Part], u32) -> Option<T>,
    ) -> Poll<Option<T>> {
        if let Some(parts) = self.done.get() {
            return Poll::Ready(look(parts, 0));
        }
        let mut pending = self.lock();
        // Again under the lock: it may have been resolved in between, and then nobody wakes us any more.
        if let Some(parts) = self.done.get() {
            return Poll::Ready(look(parts, 0));
        }
        if let Some(found) = look(&pending.parts, pending.outstanding) {
            return Poll::Ready(Some(found));
        }
        let at = *place.get_or_insert_with(|| {
            pending.wakers.push(None);
            pending.wakers.len() - 1
        });
        if let Some(waker) = pending.wakers.get_mut(at) {
            match waker {
                Some(waker) if waker.will_wake(cx.waker()) => {}
                _ => *waker = Some(cx.waker().clone()),
            }
        }
        Poll::Pending
    }

    /// The first failure among its records, as far as they are resolved.
    pub(crate) fn failure(&self) -> Option<Error> {
        let failure = |parts: &[Part]| parts.iter().find_map(|part| part.outcome.as_ref().err().cloned());
        self.done.get().map_or_else(|| failure(&self.lock().parts), |parts| failure(parts))
    }

    /// One more batch will resolve a part.
    pub(crate) fn add_part(&self) {
        self.lock().outstanding += 1;
    }

    /// Puts the outcome of these records; `Ok` has the first one's offset.
    pub(crate) fn resolve(&self, records: Range<u32>, outcome: Outcome) {
        let mut pending = self.lock();
        pending.parts.push(Part { records, outcome });
        pending.outstanding = pending.outstanding.saturating_sub(1);
        let wakers = if pending.outstanding == 0 {
            let _ = self.done.set(std::mem::take(&mut pending.parts));
            std::mem::take(&mut pending.wakers)
        } else {
            pending.wakers.clone()
        };
        drop(pending);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Nothing panics under this lock.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn overlap(part: &Range<u32>, records: &Range<u32>) -> Option<Range<u32>> {
    let common = part.start.max(records.start)..part.end.min(records.end);
    (!common.is_empty()).then_some(common)
}

fn look_up(parts: &[Part], record: u32) -> Option<Outcome> {
    let part = parts.iter().find(|part| part.records.contains(&record))?;
    let offset = |base: i64| base + i64::from(record - part.records.start);
    Some(part.outcome.clone().map(|base| base.map(offset)))
}

/// For a record that no part speaks of. Parts cover their batch, so this does not happen; if it did, the honest answer is
/// that nobody knows.
fn lost() -> Outcome {
    Err(Error::closed("the producer").written_maybe(true))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::ErrorKind;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn waiter() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        (count.clone(), Waker::from(count))
    }

    fn offset(outcome: Option<Outcome>) -> Option<i64> {
        outcome.unwrap().unwrap()
    }

    #[test]
    fn one_answer_resolves_all_records_of_a_batch_each_with_its_own_offset() {
        let cell = Cell::new(3);
        assert!(cell.outcome(0).is_none());
        cell.resolve(0..4, Ok(Some(100)));
        assert_eq!((offset(cell.outcome(0)), offset(cell.outcome(3)), cell.partition()), (Some(100), Some(103), 3));
    }

    #[test]
    fn every_waiter_is_woken_once_however_often_it_asked() {
        let cell = Cell::new(0);
        let (count, waker) = waiter();
        let cx = Context::from_waker(&waker);
        let (mut one, mut two) = (None, None);
        for _ in 0..3 {
            assert!(cell.poll(0, &mut one, &cx).is_pending() && cell.poll(1, &mut two, &cx).is_pending());
        }
        cell.resolve(0..2, Ok(None));
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert!(matches!(cell.poll(1, &mut two, &cx), Poll::Ready(Ok(None))));
    }

    #[test]
    fn a_split_batch_is_resolved_part_by_part() {
        let cell = Cell::new(0);
        let (_, waker) = waiter();
        let cx = Context::from_waker(&waker);
        cell.add_part();
        cell.resolve(2..4, Err(Error::new(ErrorKind::TooLarge, "too large")));
        assert!(cell.outcome(1).is_none() && cell.outcome(2).unwrap().is_err());
        assert!(cell.poll_all(&mut None, &cx).is_pending());
        cell.resolve(0..2, Ok(Some(10)));
        assert_eq!(offset(cell.outcome(1)), Some(11));
        assert!(cell.poll_all(&mut None, &cx).is_ready());
    }

    #[test]
    fn a_waiter_for_the_later_part_survives_the_earlier_one() {
        let cell = Cell::new(0);
        let (count, waker) = waiter();
        let cx = Context::from_waker(&waker);
        let mut place = None;
        cell.add_part();
        assert!(cell.poll(3, &mut place, &cx).is_pending());
        cell.resolve(0..2, Ok(Some(0)));
        assert!(cell.poll(3, &mut place, &cx).is_pending());
        cell.resolve(2..4, Ok(Some(2)));
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert_eq!(offset(cell.outcome(3)), Some(3));
    }
}
