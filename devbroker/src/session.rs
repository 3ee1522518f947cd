//! Fetch sessions (KIP-227, `FetchSession.scala` at 2.3.1): a node remembers what a client fetches, so that requests name
//! only what changed and answers only what happened.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{FetchRequest, FetchablePartitionResponse};

/// After this long without a request a session may give way to a new one.
const EVICT_AFTER: Duration = Duration::from_mins(2);

/// How many partitions a session may hold; who fetches more gets none. What a client sends must not stay for ever.
const MAX_TRACKED: usize = 50_000;

/// The request count that opens a session.
const OPENS: i32 = 0;
/// The request count that closes a session, or goes without one.
const CLOSES: i32 = -1;

/// A partition that is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
}

/// What is wanted of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) max_bytes: i32,
}

/// One node's sessions. Pure: `now` is the time since any fixed moment.
#[derive(Debug)]
pub(crate) struct Sessions {
    by_id: HashMap<i32, Session>,
    next_id: i32,
    slots: usize,
}

#[derive(Debug)]
struct Session {
    /// The request count that comes next.
    epoch: i32,
    used: Duration,
    partitions: Vec<Tracked>,
    places: HashMap<Key, usize>,
}

#[derive(Debug)]
struct Tracked {
    key: Key,
    wanted: Wanted,
    /// What the client was told last.
    high_watermark: i64,
    log_start: i64,
}

/// How a request is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// Everything in the answer, no session.
    Whole,
    /// Everything in the answer, and a session if there is a free slot.
    Opening,
    /// Only what happened.
    Incremental(i32),
}

impl Sessions {
    pub(crate) fn new(slots: usize) -> Self {
        Self { by_id: HashMap::new(), next_id: 1, slots }
    }

    /// Takes a request in: which partitions it fetches, in order, and how to answer.
    pub(crate) fn begin(
        &mut self,
        now: Duration,
        request: &FetchRequest,
    ) -> Result<(Context, Vec<(Key, Wanted)>), ErrorCode> {
        if request.epoch == CLOSES || request.epoch == OPENS {
            self.by_id.remove(&request.session_id);
            let wanted = named(request);
            let holds = (1..=MAX_TRACKED).contains(&wanted.len());
            let context = if request.epoch == OPENS && holds { Context::Opening } else { Context::Whole };
            return Ok((context, wanted));
        }
        let Some(session) = self.by_id.get_mut(&request.session_id) else {
            return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        };
        if session.epoch != request.epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        session.update(request);
        if session.partitions.len() > MAX_TRACKED {
            self.by_id.remove(&request.session_id);
            return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        }
        session.epoch = next_epoch(session.epoch);
        session.used = now;
        let wanted = session.partitions.iter().map(|tracked| (tracked.key.clone(), tracked.wanted)).collect();
        Ok((Context::Incremental(request.session_id), wanted))
    }

    /// Prepares the answer: drops what need not be said, and gives the session's id, 0 for none. `answers` are the
    /// partitions of `begin` in the same order.
    pub(crate) fn finish(
        &mut self,
        now: Duration,
        context: Context,
        answers: Vec<(Key, Wanted, FetchablePartitionResponse)>,
    ) -> (i32, Vec<(Key, FetchablePartitionResponse)>) {
        match context {
            Context::Whole => (0, answers.into_iter().map(|(key, _, answer)| (key, answer)).collect()),
            Context::Opening => {
                let id = self.open(now, &answers);
                (id, answers.into_iter().map(|(key, _, answer)| (key, answer)).collect())
            }
            Context::Incremental(id) => {
                // Closed while the request waited: the client meets 70 the next time.
                let Some(session) = self.by_id.get_mut(&id) else { return (id, Vec::new()) };
                (id, session.changes(answers))
            }
        }
    }

    fn open(&mut self, now: Duration, answers: &[(Key, Wanted, FetchablePartitionResponse)]) -> i32 {
        if self.by_id.len() >= self.slots && !self.evict(now) {
            return 0;
        }
        while self.by_id.contains_key(&self.next_id) {
            self.next_id = next_epoch(self.next_id);
        }
        let id = self.next_id;
        self.next_id = next_epoch(id);
        let mut session = Session { epoch: 1, used: now, partitions: Vec::new(), places: HashMap::new() };
        for (key, wanted, answer) in answers {
            session.track(key.clone(), *wanted);
            session.remember(key, answer);
        }
        self.by_id.insert(id, session);
        id
    }

    /// Drops the session that was idle longest, if it was idle long enough.
    fn evict(&mut self, now: Duration) -> bool {
        let oldest = self.by_id.iter().min_by_key(|(_, session)| session.used);
        let Some((id, _)) = oldest.filter(|(_, session)| now.saturating_sub(session.used) >= EVICT_AFTER) else {
            return false;
        };
        let id = *id;
        self.by_id.remove(&id);
        true
    }

    /// Forgets all, as a restarted node has.
    pub(crate) fn clear(&mut self) {
        self.by_id.clear();
    }
}

impl Session {
    fn update(&mut self, request: &FetchRequest) {
        for (key, wanted) in named(request) {
            self.track(key, wanted);
        }
        let forgotten = request.forgotten.iter().flat_map(|topic| {
            let name: Arc<str> = topic.name.as_str().into();
            let keys = topic.forgotten_partition_indexes.iter();
            keys.map(move |partition| Key { topic: Arc::clone(&name), partition: *partition })
        });
        let mut any = false;
        for key in forgotten {
            any |= self.places.remove(&key).is_some();
        }
        if any {
            self.partitions.retain(|tracked| self.places.contains_key(&tracked.key));
            self.renumber();
        }
    }

    fn track(&mut self, key: Key, wanted: Wanted) {
        if let Some(place) = self.places.get(&key) {
            self.partitions[*place].wanted = wanted;
            return;
        }
        self.places.insert(key.clone(), self.partitions.len());
        self.partitions.push(Tracked { key, wanted, high_watermark: -1, log_start: -1 });
    }

    /// What the client does not know yet. Partitions with records go to the end of the line, so that all get their turn.
    fn changes(
        &mut self,
        answers: Vec<(Key, Wanted, FetchablePartitionResponse)>,
    ) -> Vec<(Key, FetchablePartitionResponse)> {
        let mut changed = Vec::new();
        let mut served = Vec::new();
        for (key, _, answer) in answers {
            let has_records = answer.records.as_ref().is_some_and(|records| !records.is_empty());
            if has_records {
                served.push(key.clone());
            }
            if self.remember(&key, &answer) || has_records {
                changed.push((key, answer));
            }
        }
        self.move_to_end(&served);
        changed
    }

    /// Notes what the client is told; whether it is news.
    fn remember(&mut self, key: &Key, answer: &FetchablePartitionResponse) -> bool {
        let Some(tracked) = self.places.get(key).and_then(|place| self.partitions.get_mut(*place)) else { return true };
        if !answer.error_code.is_ok() {
            // So that the partition is in the answer again when the error is gone.
            (tracked.high_watermark, tracked.log_start) = (-1, -1);
            return true;
        }
        let told = (tracked.high_watermark, tracked.log_start);
        (tracked.high_watermark, tracked.log_start) = (answer.high_watermark, answer.log_start_offset);
        told != (tracked.high_watermark, tracked.log_start)
    }

    fn move_to_end(&mut self, served: &[Key]) {
        // With everything or nothing served the order stays as it is.
        if served.is_empty() || served.len() == self.partitions.len() {
            return;
        }
        let served: HashSet<&Key> = served.iter().collect();
        self.partitions.sort_by_cached_key(|tracked| served.contains(&tracked.key));
        self.renumber();
    }

    fn renumber(&mut self) {
        self.places = self.partitions.iter().enumerate().map(|(i, tracked)| (tracked.key.clone(), i)).collect();
    }
}

/// Counts 1, 2 … and wraps to 1.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

/// The partitions that a request names.
fn named(request: &FetchRequest) -> Vec<(Key, Wanted)> {
    let mut named = Vec::new();
    for topic in &request.topics {
        let name: Arc<str> = topic.name.as_str().into();
        named.extend(topic.fetch_partitions.iter().map(|partition| {
            let key = Key { topic: Arc::clone(&name), partition: partition.partition_index };
            let wanted = Wanted {
                offset: partition.fetch_offset,
                leader_epoch: partition.current_leader_epoch,
                max_bytes: partition.max_bytes,
            };
            (key, wanted)
        }));
    }
    named
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ottla_protocol::messages::{FetchPartition, FetchableTopic, ForgottenTopic};

    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn request(session_id: i32, epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest {
        let fetch_partitions = partitions.iter().map(|(partition_index, fetch_offset)| FetchPartition {
            partition_index: *partition_index,
            fetch_offset: *fetch_offset,
            max_bytes: 1000,
            ..FetchPartition::default()
        });
        let topic = FetchableTopic { name: "t".to_owned(), fetch_partitions: fetch_partitions.collect() };
        FetchRequest { session_id, epoch, topics: vec![topic], ..FetchRequest::default() }
    }

    /// Runs a request whose partitions have this high watermark, with records where `records` says so.
    fn fetch(sessions: &mut Sessions, request: &FetchRequest, high_watermark: i64, records: &[i32]) -> (i32, Vec<i32>) {
        let (context, wanted) = sessions.begin(NOW, request).unwrap();
        let answers = wanted.into_iter().map(|(key, wanted)| {
            let records = if records.contains(&key.partition) { "x" } else { "" };
            let answer = FetchablePartitionResponse {
                partition_index: key.partition,
                high_watermark,
                records: Some(Bytes::from(records)),
                ..FetchablePartitionResponse::default()
            };
            (key, wanted, answer)
        });
        let answers = answers.collect();
        let (id, said) = sessions.finish(NOW, context, answers);
        (id, said.iter().map(|(key, _)| key.partition).collect())
    }

    fn opened() -> (Sessions, i32) {
        let mut sessions = Sessions::new(10);
        let (id, said) = fetch(&mut sessions, &request(0, 0, &[(0, 0), (1, 0), (2, 0)]), 5, &[]);
        assert_eq!(said, [0, 1, 2]);
        assert_ne!(id, 0);
        (sessions, id)
    }

    #[test]
    fn an_incremental_answer_says_only_what_is_new() {
        let (mut sessions, id) = opened();
        assert_eq!(fetch(&mut sessions, &request(id, 1, &[]), 5, &[]), (id, vec![]));
        assert_eq!(fetch(&mut sessions, &request(id, 2, &[]), 5, &[1]), (id, vec![1]));
        assert_eq!(fetch(&mut sessions, &request(id, 3, &[]), 6, &[]), (id, vec![0, 2, 1]), "1 had its turn");
        assert_eq!(fetch(&mut sessions, &request(id, 4, &[]), 6, &[]), (id, vec![]));
    }

    #[test]
    fn a_session_takes_changes_and_forgets() {
        let (mut sessions, id) = opened();
        let mut change = request(id, 1, &[(1, 77), (3, 0)]);
        change.forgotten = vec![ForgottenTopic { name: "t".to_owned(), forgotten_partition_indexes: vec![0, 9] }];
        let (_, wanted) = sessions.begin(NOW, &change).unwrap();
        let wanted: Vec<_> = wanted.iter().map(|(key, wanted)| (key.partition, wanted.offset)).collect();
        assert_eq!(wanted, [(1, 77), (2, 0), (3, 0)]);
    }

    #[test]
    fn a_wrong_count_and_an_unknown_session_are_refused() {
        let (mut sessions, id) = opened();
        assert_eq!(sessions.begin(NOW, &request(id, 2, &[])), Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH));
        assert_eq!(sessions.begin(NOW, &request(id + 1, 1, &[])), Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
        assert!(sessions.begin(NOW, &request(id, 1, &[])).is_ok());
    }

    #[test]
    fn a_closed_session_is_gone_and_a_reopened_one_has_a_new_id() {
        let (mut sessions, id) = opened();
        let (again, said) = fetch(&mut sessions, &request(id, 0, &[(0, 0)]), 5, &[]);
        assert_ne!(again, id);
        assert_eq!(said, [0]);
        assert_eq!(fetch(&mut sessions, &request(again, -1, &[]), 5, &[]), (0, vec![]));
        assert_eq!(sessions.begin(NOW, &request(again, 1, &[])), Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
        assert!(sessions.by_id.is_empty());
    }

    #[test]
    fn a_full_table_gives_no_session_until_one_was_idle_for_two_minutes() {
        let mut sessions = Sessions::new(1);
        let (first, _) = fetch(&mut sessions, &request(0, 0, &[(0, 0)]), 5, &[]);
        assert_ne!(first, 0);
        assert_eq!(fetch(&mut sessions, &request(0, 0, &[(0, 0)]), 5, &[]), (0, vec![0]));
        let later = Duration::from_mins(2);
        let (context, _) = sessions.begin(later, &request(0, 0, &[(0, 0)])).unwrap();
        let (second, _) = sessions.finish(later, context, Vec::new());
        assert_ne!(second, 0);
        assert_eq!(sessions.begin(later, &request(first, 1, &[])), Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
    }

    #[test]
    fn an_error_is_told_each_time_and_its_end_too() {
        let (mut sessions, id) = opened();
        let error = |epoch, sessions: &mut Sessions, error_code| {
            let (context, wanted) = sessions.begin(NOW, &request(id, epoch, &[])).unwrap();
            let answers = wanted.into_iter().map(|(key, wanted)| {
                let answer = FetchablePartitionResponse {
                    error_code,
                    high_watermark: 5,
                    ..FetchablePartitionResponse::default()
                };
                (key, wanted, answer)
            });
            let answers = answers.collect();
            sessions.finish(NOW, context, answers).1.len()
        };
        assert_eq!(error(1, &mut sessions, ErrorCode::NOT_LEADER_FOR_PARTITION), 3);
        assert_eq!(error(2, &mut sessions, ErrorCode::NOT_LEADER_FOR_PARTITION), 3);
        assert_eq!(error(3, &mut sessions, ErrorCode::NONE), 3);
        assert_eq!(error(4, &mut sessions, ErrorCode::NONE), 0);
    }

    #[test]
    fn a_session_cannot_grow_for_ever() {
        let many: Vec<(i32, i64)> = (0..50_001).map(|partition| (partition, 0)).collect();
        let mut sessions = Sessions::new(10);
        assert_eq!(fetch(&mut sessions, &request(0, 0, &many), 5, &[]).0, 0, "too many for a session");
        let (id, _) = fetch(&mut sessions, &request(0, 0, &many[1..]), 5, &[]);
        assert_ne!(id, 0);
        let one_more = sessions.begin(NOW, &request(id, 1, &many[..1]));
        assert_eq!(one_more, Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
        assert!(sessions.by_id.is_empty());
    }

    #[test]
    fn the_count_wraps_to_one() {
        assert_eq!(next_epoch(i32::MAX), 1);
    }
}
