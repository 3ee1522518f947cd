//! Which topics a task has read, kept where it outlives them.
//!
//! A broker that deletes a topic drops every group's offsets in it, so a topic that was deleted and created again while the
//! task was stopped looks like one that it never read, and so does a task that was stopped before any topic matched. Both
//! are told apart by a commit in the group of the marks, for partitions of the brokers' own topic `__consumer_offsets`, which
//! is never deleted. Its offset says nothing; its metadata lists the topics: `ottla-topics:` and six characters for each, the
//! CRC-32C of the name in base64. Two names share one in 4 billion.
//!
//! Metadata is short (`offset.metadata.max.bytes`, 4096 by default), so the topics are spread over the partitions by that
//! checksum: a name is looked for in one of them only.

use std::collections::BTreeSet;

/// The topic whose partitions carry the list.
pub const KEPT_IN: &str = "__consumer_offsets";

const PREFIX: &str = "ottla-topics:";

/// Characters of a topic in the list.
const WIDTH: usize = 6;

/// How many topics a partition's metadata may list: less than the 4096 bytes that brokers take by default.
const MOST: usize = 660;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The topics that a task has read, by checksum, in as many lists as there are partitions to carry them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTopics {
    lists: Vec<List>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct List {
    topics: BTreeSet<u32>,
    /// It differs from what is committed.
    changed: bool,
    /// Something was committed for it.
    begun: bool,
}

impl SeenTopics {
    /// The lists that `metadata` of each partition holds, in the order of the partitions; `None` where nothing is committed.
    pub fn read(metadata: &[Option<&str>]) -> Self {
        Self { lists: metadata.iter().map(|text| text.and_then(List::read).unwrap_or_default()).collect() }
    }

    /// Whether the task has begun before: it has stored a list, however short.
    pub fn has_begun(&self) -> bool {
        self.lists.iter().any(|list| list.begun)
    }

    /// Whether the task has read a topic of this name.
    pub fn contains(&self, topic: &str) -> bool {
        let sum = checksum(topic);
        self.list_of(sum).is_some_and(|index| self.lists[index].topics.contains(&sum))
    }

    /// Adds a topic. Returns false if its list is full.
    pub fn insert(&mut self, topic: &str) -> bool {
        let sum = checksum(topic);
        let Some(index) = self.list_of(sum) else { return false };
        let list = &mut self.lists[index];
        if list.topics.contains(&sum) {
            return true;
        }
        if list.topics.len() >= MOST {
            return false;
        }
        list.topics.insert(sum);
        list.changed = true;
        true
    }

    /// What has to be committed: partition and metadata. A task that begins without any topic commits an empty list.
    pub fn to_commit(&self) -> Vec<(i32, String)> {
        let due = |index: &usize| self.lists[*index].changed || (*index == 0 && !self.has_begun());
        (0..self.lists.len()).filter(due).map(|index| (index as i32, self.lists[index].text())).collect()
    }

    /// Everything there is, to be committed again before brokers forget it.
    pub fn to_renew(&self) -> Vec<(i32, String)> {
        let begun = (0..self.lists.len()).filter(|index| self.lists[*index].begun);
        begun.map(|index| (index as i32, self.lists[index].text())).collect()
    }

    /// What [`to_commit`](Self::to_commit) gave is committed.
    pub fn committed(&mut self) {
        let begun = self.has_begun();
        for (index, list) in self.lists.iter_mut().enumerate() {
            list.begun |= list.changed || (index == 0 && !begun);
            list.changed = false;
        }
    }

    fn list_of(&self, sum: u32) -> Option<usize> {
        (sum as usize).checked_rem(self.lists.len())
    }
}

impl List {
    fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?.as_bytes();
        let topics = digits.as_chunks::<WIDTH>().0.iter().copied().filter_map(number);
        Some(Self { topics: topics.collect(), changed: false, begun: true })
    }

    fn text(&self) -> String {
        let mut text = String::with_capacity(PREFIX.len() + WIDTH * self.topics.len());
        text.push_str(PREFIX);
        for sum in &self.topics {
            let digit = |place: usize| DIGITS[(*sum as usize >> (6 * (WIDTH - 1 - place))) & 63];
            text.extend((0..WIDTH).map(|place| char::from(digit(place))));
        }
        text
    }
}

fn number(digits: [u8; WIDTH]) -> Option<u32> {
    let value = digits.iter().try_fold(0_u64, |value, digit| {
        let place = DIGITS.iter().position(|known| known == digit)?;
        Some(value << 6 | place as u64)
    })?;
    u32::try_from(value).ok()
}

fn checksum(topic: &str) -> u32 {
    crc32c::crc32c(topic.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(seen: &SeenTopics, partitions: usize) -> SeenTopics {
        let mut texts = vec![None; partitions];
        for (partition, text) in seen.to_commit() {
            texts[partition as usize] = Some(text);
        }
        SeenTopics::read(&texts.iter().map(Option::as_deref).collect::<Vec<_>>())
    }

    #[test]
    fn what_was_stored_is_known_and_nothing_else() {
        let mut seen = SeenTopics::read(&[None; 4]);
        assert!(!seen.has_begun() && !seen.contains("orders"));
        for topic in ["orders", "orders.eu", "", "长"] {
            assert!(seen.insert(topic));
        }
        let again = stored(&seen, 4);
        assert!(again.has_begun());
        assert!(["orders", "orders.eu", "", "长"].iter().all(|topic| again.contains(topic)));
        assert!(!again.contains("orders.us"));
        assert!(again.to_commit().is_empty(), "nothing is new");
        assert!(!again.to_renew().is_empty());
    }

    #[test]
    fn a_task_that_begins_without_a_topic_has_begun() {
        let mut seen = SeenTopics::read(&[None; 2]);
        assert_eq!(seen.to_commit(), [(0, PREFIX.to_owned())]);
        assert!(stored(&seen, 2).has_begun());
        seen.committed();
        assert!(seen.to_commit().is_empty() && seen.has_begun());
    }

    #[test]
    fn twelve_thousand_topics_fit_into_the_fifty_partitions_of_a_broker() {
        let mut seen = SeenTopics::read(&[None; 50]);
        let names: Vec<String> = (0..12_000).map(|number| format!("orders.region-{number}")).collect();
        assert!(names.iter().all(|name| seen.insert(name)));
        assert!(seen.to_commit().iter().all(|(_, text)| text.len() <= 4096));
        let again = stored(&seen, 50);
        assert!(names.iter().all(|name| again.contains(name)));
    }

    #[test]
    fn a_full_list_says_so_and_keeps_what_it_has() {
        let mut seen = SeenTopics::read(&[None]);
        let stored: Vec<bool> = (0..MOST + 10).map(|number| seen.insert(&format!("t{number}"))).collect();
        assert_eq!(stored.iter().filter(|stored| **stored).count(), MOST);
        assert!(seen.contains("t0") && !seen.contains(&format!("t{}", MOST + 5)));
        assert!(seen.to_commit()[0].1.len() <= 4096);
    }

    #[test]
    fn what_others_wrote_there_is_no_list() {
        for text in ["", "ottla", "topics:AAAAAA", "ottla record=1,2,3"] {
            assert!(!SeenTopics::read(&[Some(text)]).has_begun(), "{text:?}");
        }
        assert!(SeenTopics::read(&[Some("ottla-topics:????__")]).has_begun(), "broken digits are no topics");
        assert!(!SeenTopics::read(&[]).contains("orders"));
    }
}
