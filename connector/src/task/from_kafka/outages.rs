//! Partitions that cannot be read for a while: a task in an incremental mode goes on with its others, and says so.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ottla_client::{Error, ErrorKind, TopicPartition};

use super::FromKafka;

/// How often a lasting outage is said again.
const SAID_AGAIN: Duration = Duration::from_secs(30);

/// How long all partitions may be unavailable before the task ends: then there is nothing to go on with.
const ALL_UNAVAILABLE: Duration = Duration::from_mins(2);

/// The partitions that cannot be read.
#[derive(Debug, Default)]
pub(super) struct Outages {
    open: HashMap<TopicPartition, Outage>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    said: Instant,
}

impl Outages {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Notes that a partition still cannot be read. Returns since when, if it is time to say so.
    fn note(&mut self, place: TopicPartition, now: Instant) -> Option<Duration> {
        let mut is_new = false;
        let outage = self.open.entry(place).or_insert_with(|| {
            is_new = true;
            Outage { since: now, said: now }
        });
        if !is_new && now.duration_since(outage.said) < SAID_AGAIN {
            return None;
        }
        outage.said = now;
        Some(now.duration_since(outage.since))
    }

    /// Notes that a partition is read again. Returns how long it was not; `None` if it was not noted.
    fn ended(&mut self, place: &TopicPartition, now: Instant) -> Option<Duration> {
        Some(now.duration_since(self.open.remove(place)?.since))
    }

    /// Whether as many partitions as these, all there are, have been unavailable for too long.
    fn is_hopeless(&self, partitions: usize, now: Instant) -> bool {
        self.open.len() >= partitions
            && self.open.values().all(|outage| now.duration_since(outage.since) >= ALL_UNAVAILABLE)
    }
}

impl FromKafka {
    /// Reading failed. Returns whether the task goes on with its other partitions.
    pub(super) fn goes_on_without(&mut self, error: &Error) -> bool {
        let place = error.topic().zip(error.partition()).map(|(topic, id)| TopicPartition::new(topic, id));
        let may_pass = error.is_retriable() || error.kind() == ErrorKind::UnknownTopic;
        let Some(place) = place.filter(|_| self.skips_unavailable && may_pass) else { return false };
        let now = Instant::now();
        if let Some(since) = self.outages.note(place.clone(), now) {
            let since = if since.is_zero() { String::new() } else { format!(" for {} s", since.as_secs()) };
            self.console
                .say(&format!("{}: {place} cannot be read{since}; the other partitions go on: {error}", self.name));
        }
        !self.outages.is_hopeless(self.open, now)
    }

    /// Records of a partition came.
    pub(super) fn is_read_again(&mut self, place: &TopicPartition) {
        if let Some(after) = self.outages.ended(place, Instant::now()) {
            self.console.say(&format!("{}: {place} is read again, after {} s", self.name, after.as_secs()));
        }
    }

    /// Looks for partitions that are read again although no records come.
    pub(super) fn look_at_outages(&mut self) {
        let idle = self.outages.open.keys().filter(|place| self.source.consumer.known_end(place).is_some());
        for place in idle.cloned().collect::<Vec<_>>() {
            self.is_read_again(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_when_it_begins_every_30_s_and_when_it_ends() {
        let (mut outages, start) = (Outages::default(), Instant::now());
        let place = TopicPartition::new("t", 0);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(outages.note(place.clone(), start), Some(Duration::ZERO));
        assert_eq!(outages.note(place.clone(), at(10)), None);
        assert_eq!(outages.note(place.clone(), at(30)), Some(Duration::from_secs(30)));
        assert_eq!(outages.note(place.clone(), at(50)), None);
        assert_eq!(outages.ended(&place, at(55)), Some(Duration::from_secs(55)));
        assert_eq!(outages.ended(&place, at(56)), None);
    }

    #[test]
    fn only_all_partitions_together_end_the_task() {
        let (mut outages, start) = (Outages::default(), Instant::now());
        let late = start + ALL_UNAVAILABLE;
        outages.note(TopicPartition::new("t", 0), start);
        assert!(!outages.is_hopeless(2, late), "one of two can be read");
        outages.note(TopicPartition::new("t", 1), start + Duration::from_secs(1));
        assert!(!outages.is_hopeless(2, late), "not for long enough");
        assert!(outages.is_hopeless(2, late + Duration::from_secs(1)));
    }
}
