//! A few administrative requests, quick enough to poll with.
//!
//! Every version used here is offered by all releases from 0.11 to 4.3.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::Error;
use crate::wire::{Answer, Body, Wire, broken, refused};

const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const OFFSET_COMMIT: i16 = 8;
const OFFSET_FETCH: i16 = 9;
const FIND_COORDINATOR: i16 = 10;
const CREATE_TOPICS: i16 = 19;
const DELETE_TOPICS: i16 = 20;
const DELETE_RECORDS: i16 = 21;
const DELETE_GROUPS: i16 = 42;

/// ListOffsets' names for the two ends of a partition.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

const PATIENCE: Duration = Duration::from_mins(1);

/// Talks to a cluster. Every call opens its own connections, so that a broker may come and go between two calls.
#[derive(Debug, Clone)]
pub struct Admin {
    address: String,
}

/// A topic as the cluster describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicLayout {
    /// Its name.
    pub name: String,
    /// Per partition, in order of its number: the replicas' broker ids, the leader's first if there is one.
    pub replicas: Vec<Vec<i32>>,
    /// Per partition: the ids of the replicas that are in sync.
    pub in_sync: Vec<Vec<i32>>,
    leaders: Vec<i32>,
}

pub(crate) struct Cluster {
    pub(crate) brokers: BTreeMap<i32, String>,
    pub(crate) controller: i32,
    topics: Vec<TopicLayout>,
}

impl Admin {
    pub(crate) fn new(address: &str) -> Self {
        Self { address: address.to_owned() }
    }

    /// Creates a topic and returns once every partition has a leader.
    pub fn create_topic(&self, name: &str, partitions: i32, replicas: i16) -> Result<(), Error> {
        self.create_topic_with(name, partitions, replicas, &[])
    }

    /// The same with topic settings, such as `("min.insync.replicas", "2")`.
    pub fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        replicas: i16,
        settings: &[(&str, &str)],
    ) -> Result<(), Error> {
        let cluster = self.cluster()?;
        let controller = cluster.brokers.get(&cluster.controller).unwrap_or(&self.address);
        let mut body = Body::new().i32(1).text(name).i32(partitions).i16(replicas).i32(0).i32(settings.len() as i32);
        for (key, value) in settings {
            body = body.text(key).text(value);
        }
        let mut answer = Wire::connect(controller)?.ask(CREATE_TOPICS, 2, &body.i32(30_000).i8(0))?;
        answer.i32()?;
        answer.list(|topic| {
            topic.text()?;
            topic.accepted(&format!("create topic {name}"))?;
            topic.text()
        })?;
        self.until(&format!("leaders for topic {name}"), |admin| {
            let topic = admin.topic(name)?;
            Ok(topic.is_some_and(|topic| topic.leaders.len() == partitions as usize && !topic.leaders.contains(&-1)))
        })
    }

    /// Deletes a topic and returns once no broker names it any more.
    pub fn delete_topic(&self, name: &str) -> Result<(), Error> {
        let cluster = self.cluster()?;
        let controller = cluster.brokers.get(&cluster.controller).unwrap_or(&self.address);
        let mut answer =
            Wire::connect(controller)?.ask(DELETE_TOPICS, 1, &Body::new().i32(1).text(name).i32(30_000))?;
        answer.i32()?;
        // A broker that answers 7, REQUEST_TIMED_OUT, still deletes the topic.
        answer.list(|topic| {
            topic.text()?;
            match topic.i16()? {
                0 | 7 => Ok(()),
                code => Err(refused(&self.address, &format!("delete topic {name}"), code)),
            }
        })?;
        self.until(&format!("end of topic {name}"), |admin| Ok(admin.topic(name)?.is_none()))
    }

    /// All topics, internal ones included, sorted by name.
    pub fn topics(&self) -> Result<Vec<TopicLayout>, Error> {
        let mut topics = self.cluster()?.topics;
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(topics)
    }

    /// One topic, if it exists. Never creates it.
    pub fn topic(&self, name: &str) -> Result<Option<TopicLayout>, Error> {
        Ok(self.topics()?.into_iter().find(|topic| topic.name == name))
    }

    /// The first offset of each partition.
    pub fn start_offsets(&self, topic: &str) -> Result<Vec<i64>, Error> {
        self.offsets(topic, EARLIEST)
    }

    /// The offset after the last record of each partition.
    pub fn end_offsets(&self, topic: &str) -> Result<Vec<i64>, Error> {
        self.offsets(topic, LATEST)
    }

    /// Deletes the records of a partition below an offset, as retention would.
    pub fn delete_records_before(&self, topic: &str, partition: i32, offset: i64) -> Result<(), Error> {
        repeated(|| self.delete_records_now(topic, partition, offset), Error::is_leader_unknown)
    }

    fn delete_records_now(&self, topic: &str, partition: i32, offset: i64) -> Result<(), Error> {
        let body = Body::new().i32(1).text(topic).i32(1).i32(partition).i64(offset).i32(30_000);
        let mut answer = Wire::connect(&self.leader(topic, partition)?)?.ask(DELETE_RECORDS, 0, &body)?;
        answer.i32()?;
        answer.list(|topic| {
            topic.text()?;
            topic.list(|partition| {
                partition.i32()?;
                partition.i64()?;
                partition.accepted("delete records")
            })
        })?;
        Ok(())
    }

    /// The committed offset of a group for each partition of a topic; `None` where it has none.
    pub fn committed(&self, group: &str, topic: &str) -> Result<Vec<Option<i64>>, Error> {
        let layout = self.existing(topic)?;
        let count = layout.replicas.len() as i32;
        let mut body = Body::new().text(group).i32(1).text(topic).i32(count);
        for partition in 0..count {
            body = body.i32(partition);
        }
        let mut committed = vec![None; layout.replicas.len()];
        self.asking_coordinator(group, |wire| {
            let mut answer = wire.ask(OFFSET_FETCH, 1, &body)?;
            answer.list(|topic| {
                topic.text()?;
                topic.list(|partition| {
                    let (index, offset) = (partition.i32()?, partition.i64()?);
                    partition.text()?;
                    partition.accepted("committed offsets")?;
                    if let Some(slot) = committed.get_mut(index as usize) {
                        *slot = (offset >= 0).then_some(offset);
                    }
                    Ok(())
                })
            })?;
            Ok(())
        })?;
        Ok(committed)
    }

    /// Commits one offset for a group that has no members.
    pub fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) -> Result<(), Error> {
        let body = Body::new().text(group).i32(-1).text("").i64(-1);
        let body = body.i32(1).text(topic).i32(1).i32(partition).i64(offset).text("");
        self.asking_coordinator(group, |wire| {
            let mut answer = wire.ask(OFFSET_COMMIT, 2, &body)?;
            answer.list(|topic| {
                topic.text()?;
                topic.list(|partition| {
                    partition.i32()?;
                    partition.accepted("commit")
                })
            })?;
            Ok(())
        })
    }

    /// Deletes a group with its offsets. Needs Kafka 1.1 or later.
    pub fn delete_group(&self, group: &str) -> Result<(), Error> {
        self.asking_coordinator(group, |wire| {
            let mut answer = wire.ask(DELETE_GROUPS, 0, &Body::new().i32(1).text(group))?;
            answer.i32()?;
            answer.list(|group| {
                group.text()?;
                group.accepted("delete group")
            })?;
            Ok(())
        })
    }

    /// The broker id of the controller.
    pub fn controller(&self) -> Result<i32, Error> {
        Ok(self.cluster()?.controller)
    }

    pub(crate) fn cluster(&self) -> Result<Cluster, Error> {
        // A null array asks for every topic from version 1 on.
        Cluster::read(&mut Wire::connect(&self.address)?.ask(METADATA, 1, &Body::new().i32(-1))?)
    }

    fn existing(&self, topic: &str) -> Result<TopicLayout, Error> {
        self.topic(topic)?.ok_or_else(|| broken(&self.address, &format!("there is no topic {topic}")))
    }

    fn leader(&self, topic: &str, partition: i32) -> Result<String, Error> {
        let cluster = self.cluster()?;
        let layout = cluster.topics.iter().find(|layout| layout.name == topic);
        let leader = layout.and_then(|layout| layout.leaders.get(partition as usize));
        let address = leader.and_then(|leader| cluster.brokers.get(leader)).cloned();
        address.ok_or_else(|| broken(&self.address, &format!("{topic}-{partition} has no leader")))
    }

    fn offsets(&self, topic: &str, at: i64) -> Result<Vec<i64>, Error> {
        let count = self.existing(topic)?.replicas.len() as i32;
        (0..count).map(|partition| self.offset(topic, partition, at)).collect()
    }

    fn offset(&self, topic: &str, partition: i32, at: i64) -> Result<i64, Error> {
        repeated(|| self.offset_now(topic, partition, at), Error::is_leader_unknown)
    }

    fn offset_now(&self, topic: &str, partition: i32, at: i64) -> Result<i64, Error> {
        let body = Body::new().i32(-1).i32(1).text(topic).i32(1).i32(partition).i64(at);
        let mut answer = Wire::connect(&self.leader(topic, partition)?)?.ask(LIST_OFFSETS, 1, &body)?;
        let found = answer.list(|topic| {
            topic.text()?;
            topic.list(|partition| {
                partition.i32()?;
                partition.accepted("list offsets")?;
                partition.i64()?;
                partition.i64()
            })
        })?;
        found.into_iter().flatten().next().ok_or_else(|| broken(&self.address, "list offsets: an empty answer"))
    }

    /// Asks a group's coordinator, again while the group's partition of the offsets topic is still being made.
    fn asking_coordinator(
        &self,
        group: &str,
        mut ask: impl FnMut(&mut Wire) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let ask = || self.coordinator(group).and_then(|address| ask(&mut Wire::connect(&address)?));
        repeated(ask, |_| true)
    }

    fn coordinator(&self, group: &str) -> Result<String, Error> {
        let mut answer = Wire::connect(&self.address)?.ask(FIND_COORDINATOR, 0, &Body::new().text(group))?;
        answer.accepted("find coordinator")?;
        answer.i32()?;
        let host = answer.text()?;
        Ok(format!("{host}:{}", answer.i32()?))
    }

    fn until(&self, what: &str, mut done: impl FnMut(&Self) -> Result<bool, Error>) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self)? {
            if Instant::now() >= deadline {
                return Err(broken(&self.address, &format!("no {what} after {PATIENCE:?}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Cluster {
    /// Whether each of these topics is known and all of its partitions have leaders.
    pub(crate) fn leads_all(&self, topics: &[String]) -> bool {
        let led = |topic: &TopicLayout| !topic.leaders.is_empty() && !topic.leaders.contains(&-1);
        topics.iter().all(|name| self.topics.iter().any(|topic| topic.name == *name && led(topic)))
    }

    fn read(answer: &mut Answer) -> Result<Self, Error> {
        let brokers = answer.list(|broker| {
            let id = broker.i32()?;
            let host = broker.text()?;
            let address = format!("{host}:{}", broker.i32()?);
            broker.text()?;
            Ok((id, address))
        })?;
        let controller = answer.i32()?;
        let topics = answer.list(TopicLayout::read)?;
        Ok(Self { brokers: brokers.into_iter().collect(), controller, topics })
    }
}

impl TopicLayout {
    /// Number of partitions.
    pub fn partitions(&self) -> usize {
        self.replicas.len()
    }

    fn read(topic: &mut Answer) -> Result<Self, Error> {
        topic.i16()?;
        let name = topic.text()?;
        topic.i8()?;
        let mut partitions = topic.list(|partition| {
            partition.i16()?;
            let (index, leader) = (partition.i32()?, partition.i32()?);
            let mut replicas = partition.list(Answer::i32)?;
            replicas.sort_by_key(|replica| *replica != leader);
            Ok((index, leader, replicas, partition.list(Answer::i32)?))
        })?;
        partitions.sort_by_key(|(index, ..)| *index);
        let mut layout = Self { name, replicas: Vec::new(), in_sync: Vec::new(), leaders: Vec::new() };
        for (_, leader, replicas, in_sync) in partitions {
            layout.leaders.push(leader);
            layout.replicas.push(replicas);
            layout.in_sync.push(in_sync);
        }
        Ok(layout)
    }
}

/// Asks again after errors that may pass, for [`PATIENCE`] at most.
fn repeated<T>(mut ask: impl FnMut() -> Result<T, Error>, may_pass: impl Fn(&Error) -> bool) -> Result<T, Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Err(error) if may_pass(&error) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(100));
            }
            answered => return answered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(codes: &[i16]) -> (Result<i16, Error>, usize) {
        let (mut codes, mut asked) = (codes.iter(), 0);
        let answer = repeated(
            || {
                asked += 1;
                match *codes.next().expect("asked too often") {
                    0 => Ok(0),
                    code => Err(refused("127.0.0.1:1", "list offsets", code)),
                }
            },
            Error::is_leader_unknown,
        );
        (answer, asked)
    }

    #[test]
    fn a_leader_that_does_not_know_its_partition_yet_is_asked_again_and_no_other_error_is() {
        assert!(matches!(answered(&[5, 6, 0]), (Ok(0), 3)));
        let (answer, asked) = answered(&[6, 3, 0]);
        let error = answer.expect_err("UNKNOWN_TOPIC_OR_PARTITION stays");
        assert_eq!((error.to_string().as_str(), asked), ("broker 127.0.0.1:1: list offsets: Kafka error 3", 2));
    }
}
