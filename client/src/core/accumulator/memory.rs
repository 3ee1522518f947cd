//! The producer's memory: a bound in bytes, and what holds a share of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes all batches of a producer may hold together. Takes no lock.
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
    /// Called after bytes came back; it has to be quick.
    on_release: Box<dyn Fn() + Send + Sync>,
}

impl Budget {
    pub(crate) fn new(limit: usize, on_release: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), on_release: Box::new(on_release) })
    }

    /// Takes so many bytes if they are free, or if nothing is taken: a record that is larger than the whole budget goes alone.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Grant> {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit || used == 0);
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits);
        taken.is_ok().then(|| Grant { budget: self.clone(), bytes })
    }

    /// Takes so many bytes even beyond the limit. Only for bytes that exist already in another form.
    pub(crate) fn overdraw(self: &Arc<Self>, bytes: usize) -> Grant {
        self.used.fetch_add(bytes, Ordering::AcqRel);
        Grant { budget: self.clone(), bytes }
    }

    /// How many bytes are taken.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// How many bytes there are.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        (self.on_release)();
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {} bytes used)", self.used(), self.limit)
    }
}

/// A share of the budget. It goes back when this is dropped, whoever drops it and why.
#[derive(Debug)]
pub(crate) struct Grant {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Grant {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Adds another share of the same budget.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Gives back all but so many bytes.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.budget.release(self.bytes - bytes);
            self.bytes = bytes;
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.release(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_granted_than_there_is_and_all_of_it_comes_back() {
        let budget = Budget::new(100, || ());
        let mut first = budget.take(60).unwrap();
        assert!(budget.take(41).is_none() && budget.take(usize::MAX).is_none());
        let second = budget.take(40).unwrap();
        first.merge(second);
        assert_eq!((first.bytes(), budget.used()), (100, 100));
        first.shrink_to(30);
        first.shrink_to(50);
        assert_eq!((first.bytes(), budget.used()), (30, 30));
        let beyond = budget.overdraw(90);
        assert_eq!(budget.used(), 120);
        drop((first, beyond));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_larger_than_the_budget_goes_alone() {
        let budget = Budget::new(100, || ());
        let small = budget.take(1).unwrap();
        assert!(budget.take(101).is_none());
        drop(small);
        let large = budget.take(101).unwrap();
        assert!(budget.take(1).is_none());
        drop(large);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn whoever_waits_is_told_of_every_return() {
        let returns = Arc::new(AtomicUsize::new(0));
        let counter = returns.clone();
        let count = move || {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        let budget = Budget::new(100, count);
        let mut grant = budget.take(10).unwrap();
        grant.shrink_to(5);
        drop(grant);
        assert_eq!(returns.load(Ordering::Relaxed), 2);
    }
}
