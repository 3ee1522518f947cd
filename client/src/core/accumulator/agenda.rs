//! What is due when, of one broker's partitions: each partition stands in it once, or not at all.

use std::collections::BTreeMap;
use std::time::Instant;

/// Items by the time from which something can be done about them. Ties go by id.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    entries: BTreeMap<(Instant, u64), T>,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self { entries: BTreeMap::new() }
    }

    /// Puts an item in. Says whether it is the earliest now, so that whoever sleeps until the earliest has to be woken.
    pub(crate) fn insert(&mut self, due: Instant, id: u64, item: T) -> bool {
        self.entries.insert((due, id), item);
        self.entries.first_key_value().is_some_and(|(first, _)| *first == (due, id))
    }

    /// Takes an item out that was put in for this time.
    pub(crate) fn remove(&mut self, due: Instant, id: u64) {
        self.entries.remove(&(due, id));
    }

    /// Takes out the earliest item if it is due; with `early`, even if it is not.
    pub(crate) fn pop(&mut self, now: Instant, early: bool) -> Option<T> {
        let first = self.entries.first_entry()?;
        (early || first.key().0 <= now).then(|| first.remove())
    }

    /// When the earliest item is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|((due, _), _)| *due)
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = &T> {
        self.entries.values()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn items_come_out_by_time_when_they_are_due_and_not_before() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut agenda = Agenda::new();
        assert!(agenda.insert(at(20), 1, "later"));
        assert!(!agenda.insert(at(20), 2, "later too"));
        assert!(agenda.insert(at(10), 3, "soon"));
        agenda.remove(at(20), 2);
        assert_eq!(agenda.next_due(), Some(at(10)));
        assert_eq!(agenda.pop(at(9), false), None);
        assert_eq!(agenda.pop(at(15), false), Some("soon"));
        assert_eq!(agenda.pop(at(15), false), None);
        assert_eq!(agenda.pop(at(15), true), Some("later"));
        assert_eq!(agenda.next_due(), None);
    }
}
