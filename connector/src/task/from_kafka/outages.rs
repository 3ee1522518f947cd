//! Partitions that cannot be read for a while: a task in an incremental mode goes on with its others, and says so.

use std::collections::BTreeMap;
use std::fmt;
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
    open: BTreeMap<TopicPartition, Outage>,
    /// Those that are read again, and how long they were not, if it was said that they cannot be read.
    over: BTreeMap<TopicPartition, Duration>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    said: Option<Instant>,
    /// The last error.
    why: String,
}

/// Partitions of which something is to be said, the first by name.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    first: TopicPartition,
    others: usize,
    /// How long it has lasted for the first, in full seconds.
    seconds: u64,
}

impl fmt::Display for Group {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.others {
            0 => write!(out, "{}", self.first),
            1 => write!(out, "{} and 1 more partition", self.first),
            others => write!(out, "{} and {others} more partitions", self.first),
        }
    }
}

impl Outages {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.over.is_empty()
    }

    /// Notes that a partition still cannot be read.
    fn note(&mut self, place: TopicPartition, why: String, now: Instant) {
        let outage = self.open.entry(place).or_insert_with(|| Outage { since: now, said: None, why: String::new() });
        outage.why = why;
    }

    /// The partitions of which it is time to say that they cannot be read, and why the first cannot.
    fn due(&mut self, now: Instant) -> Option<(Group, String)> {
        let is_due = |outage: &Outage| outage.said.is_none_or(|said| now.duration_since(said) >= SAID_AGAIN);
        let mut due = self.open.iter_mut().filter(|(_, outage)| is_due(outage));
        let (first, outage) = due.next()?;
        outage.said = Some(now);
        let (seconds, why) = (now.duration_since(outage.since).as_secs(), outage.why.clone());
        let others = due.map(|(_, outage)| outage.said = Some(now)).count();
        Some((Group { first: first.clone(), others, seconds }, why))
    }

    /// Notes that a partition is read again.
    fn ended(&mut self, place: &TopicPartition, now: Instant) {
        if let Some(outage) = self.open.remove(place)
            && outage.said.is_some()
        {
            self.over.insert(place.clone(), now.duration_since(outage.since));
        }
    }

    /// The partitions of which it is to be said that they are read again.
    fn take_over(&mut self) -> Option<Group> {
        let mut over = std::mem::take(&mut self.over).into_iter();
        let (first, lasted) = over.next()?;
        Some(Group { first, others: over.count(), seconds: lasted.as_secs() })
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
        self.outages.note(place, error.to_string(), now);
        !self.outages.is_hopeless(self.open, now)
    }

    /// Records of a partition came.
    pub(super) fn is_read_again(&mut self, place: &TopicPartition) {
        self.outages.ended(place, Instant::now());
    }

    /// Looks for partitions that are read again although no records come, and says what has changed. While a broker cannot be
    /// reached or does not answer, that is said of its connection ([`crate::outage`]), and its partitions need no line each.
    pub(super) fn look_at_outages(&mut self) {
        let now = Instant::now();
        let idle = self.outages.open.keys().filter(|place| self.source.consumer.known_end(place).is_some());
        for place in idle.cloned().collect::<Vec<_>>() {
            self.outages.ended(&place, now);
        }
        if let Some(group) = self.outages.take_over() {
            self.console.say(&format!("{}: read again after {} s: {group}", self.name, group.seconds));
        }
        if self.source.has_troubles() {
            return;
        }
        if let Some((group, why)) = self.outages.due(now) {
            let since = if group.seconds == 0 { String::new() } else { format!(" for {} s", group.seconds) };
            self.console
                .say(&format!("{}: cannot be read{since}: {group}; the other partitions go on: {why}", self.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    #[test]
    fn an_outage_is_said_when_it_begins_every_30_s_and_when_it_ends() {
        let (mut outages, start) = (Outages::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let group = |others, seconds| Group { first: place(0), others, seconds };
        outages.note(place(0), "no leader".to_owned(), start);
        assert_eq!(outages.due(at(0)), Some((group(0, 0), "no leader".to_owned())));
        outages.note(place(0), "still none".to_owned(), at(10));
        assert_eq!(outages.due(at(29)), None);
        assert_eq!(outages.due(at(30)), Some((group(0, 30), "still none".to_owned())));
        outages.ended(&place(0), at(55));
        assert!(!outages.is_empty(), "its end is to be said");
        assert_eq!(outages.take_over(), Some(group(0, 55)));
        assert!(outages.is_empty() && outages.take_over().is_none());
    }

    #[test]
    fn many_partitions_have_one_line_and_what_was_not_said_does_not_end() {
        let (mut outages, now) = (Outages::default(), Instant::now());
        for partition in [7, 3, 5] {
            outages.note(place(partition), "no leader".to_owned(), now);
        }
        let (group, _) = outages.due(now).expect("a line");
        assert_eq!(group.to_string(), "t-3 and 2 more partitions");
        assert_eq!(outages.due(now), None);
        outages.note(place(9), "no leader".to_owned(), now);
        for partition in [3, 5, 7, 9] {
            outages.ended(&place(partition), now);
        }
        assert_eq!(outages.take_over().map(|group| group.others), Some(2), "of the fourth nothing was said");
    }

    #[test]
    fn only_all_partitions_together_end_the_task() {
        let (mut outages, start) = (Outages::default(), Instant::now());
        let late = start + ALL_UNAVAILABLE;
        outages.note(place(0), String::new(), start);
        assert!(!outages.is_hopeless(2, late), "one of two can be read");
        outages.note(place(1), String::new(), start + Duration::from_secs(1));
        assert!(!outages.is_hopeless(2, late), "not for long enough");
        assert!(outages.is_hopeless(2, late + Duration::from_secs(1)));
    }
}
