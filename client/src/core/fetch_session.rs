//! Incremental fetch sessions (KIP-227): the broker remembers what a consumer reads, a request names only what changed.
//!
//! One machine per broker. It is told what is wanted ([`FetchSession::want`], [`FetchSession::forget`]), gives what a
//! request must say ([`FetchSession::ask`]) and learns how it went ([`FetchSession::answered`], [`FetchSession::lost`]).
//! A lost request leaves the broker's idea of the session unknown, so the next one names everything again. With a broker
//! older than Fetch v7, or one that has no session to give, every request is such a full one, and they are ordered so
//! that partitions served last come last: a broker fills its answer in the order of the request.
//!
//! The work of a request is proportional to what changed, not to what is assigned.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use ottla_protocol::ErrorCode;

/// What is asked of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) offset: i64,
    pub(crate) max_bytes: i32,
}

/// What one Fetch request has to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ask<K> {
    pub(crate) session_id: i32,
    pub(crate) epoch: i32,
    /// All that is wanted in a full request, else what is new or changed.
    pub(crate) partitions: Vec<(K, Want)>,
    /// What the broker's session holds and is no longer wanted; empty in a full request.
    pub(crate) forgotten: Vec<K>,
}

/// What stands between us and the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// No session that could be gone on with: ask for one, closing `old` (0: there is none).
    Fresh { old: i32 },
    /// The session the broker gave; `epoch` is the next request's.
    Open { id: i32, epoch: i32 },
}

#[derive(Debug)]
struct Entry {
    want: Want,
    /// What the last request that named it asked for; `None` before the first.
    asked: Option<Want>,
    /// The broker's session holds it, so leaving it has to be said.
    held: bool,
    /// Its place in full requests.
    turn: u64,
}

/// One broker's fetch session. `K` names a partition.
#[derive(Debug)]
pub(crate) struct FetchSession<K> {
    link: Link,
    entries: HashMap<K, Entry>,
    turns: BTreeMap<u64, K>,
    next_turn: u64,
    changed: HashSet<K>,
    forgotten: HashSet<K>,
    /// The last request named everything.
    full: bool,
}

impl<K: Clone + Eq + Hash> FetchSession<K> {
    /// Nothing wanted, no session.
    pub(crate) fn new() -> Self {
        Self {
            link: Link::Fresh { old: 0 },
            entries: HashMap::new(),
            turns: BTreeMap::new(),
            next_turn: 0,
            changed: HashSet::new(),
            forgotten: HashSet::new(),
            full: true,
        }
    }

    /// Whether nothing is wanted of this broker.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// From now on `key` is read at `want`.
    pub(crate) fn want(&mut self, key: &K, want: Want) {
        if let Some(entry) = self.entries.get_mut(key) {
            if entry.want != want {
                entry.want = want;
                self.changed.insert(key.clone());
            }
            return;
        }
        let held = self.forgotten.remove(key);
        let turn = self.take_turn(key);
        self.entries.insert(key.clone(), Entry { want, asked: None, held, turn });
        self.changed.insert(key.clone());
    }

    /// `key` is no longer read here.
    pub(crate) fn forget(&mut self, key: &K) {
        let Some(entry) = self.entries.remove(key) else { return };
        self.turns.remove(&entry.turn);
        self.changed.remove(key);
        if entry.held {
            self.forgotten.insert(key.clone());
        }
    }

    /// Data of `key` came: others go first next time.
    pub(crate) fn served(&mut self, key: &K) {
        let turn = self.next_turn;
        let Some(entry) = self.entries.get_mut(key) else { return };
        self.turns.remove(&entry.turn);
        entry.turn = turn;
        self.take_turn(key);
    }

    /// The offset that the broker's answer for `key` starts from; `None` if it was not asked for.
    pub(crate) fn asked(&self, key: &K) -> Option<i64> {
        Some(self.entries.get(key)?.asked?.offset)
    }

    /// The next request. `sessions`: whether the broker's Fetch version (7 or later) knows sessions.
    pub(crate) fn ask(&mut self, sessions: bool) -> Ask<K> {
        match self.link {
            _ if !sessions => self.ask_all(0, -1),
            Link::Fresh { old } => self.ask_all(old, 0),
            Link::Open { id, epoch } => self.ask_changes(id, epoch),
        }
    }

    /// The request was answered with this top-level error and session id. An error that is not about the session is
    /// given back; the session's own (70, 71) are dealt with here, by the next request.
    pub(crate) fn answered(&mut self, error: ErrorCode, session_id: i32) -> Result<(), ErrorCode> {
        match error {
            ErrorCode::NONE => {
                self.link = self.after(session_id);
                Ok(())
            }
            ErrorCode::FETCH_SESSION_ID_NOT_FOUND => {
                self.link = Link::Fresh { old: 0 };
                Ok(())
            }
            ErrorCode::INVALID_FETCH_SESSION_EPOCH => {
                self.lost();
                Ok(())
            }
            other => {
                self.lost();
                Err(other)
            }
        }
    }

    /// The request or its answer was lost, or cannot be trusted: begin again, naming everything.
    pub(crate) fn lost(&mut self) {
        if let Link::Open { id, .. } = self.link {
            self.link = Link::Fresh { old: id };
        }
    }

    fn after(&self, session_id: i32) -> Link {
        match self.link {
            _ if session_id == 0 => Link::Fresh { old: 0 },
            Link::Open { id, epoch } if id == session_id && !self.full => {
                Link::Open { id, epoch: if epoch == i32::MAX { 1 } else { epoch + 1 } }
            }
            // Another session than the one that was asked in: what it holds is unknown.
            Link::Open { .. } => Link::Fresh { old: session_id },
            Link::Fresh { .. } => Link::Open { id: session_id, epoch: 1 },
        }
    }

    fn ask_all(&mut self, session_id: i32, epoch: i32) -> Ask<K> {
        self.full = true;
        self.changed.clear();
        self.forgotten.clear();
        let mut partitions = Vec::with_capacity(self.entries.len());
        for key in self.turns.values() {
            let Some(entry) = self.entries.get_mut(key) else { continue };
            (entry.asked, entry.held) = (Some(entry.want), true);
            partitions.push((key.clone(), entry.want));
        }
        Ask { session_id, epoch, partitions, forgotten: Vec::new() }
    }

    fn ask_changes(&mut self, session_id: i32, epoch: i32) -> Ask<K> {
        self.full = false;
        let mut partitions = Vec::with_capacity(self.changed.len());
        for key in self.changed.drain() {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            (entry.asked, entry.held) = (Some(entry.want), true);
            partitions.push((key, entry.want));
        }
        Ask { session_id, epoch, partitions, forgotten: self.forgotten.drain().collect() }
    }

    fn take_turn(&mut self, key: &K) -> u64 {
        let turn = self.next_turn;
        self.next_turn += 1;
        self.turns.insert(turn, key.clone());
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(offset: i64) -> Want {
        Want { offset, max_bytes: 100 }
    }

    fn ids(ask: &Ask<u32>) -> (i32, i32, Vec<u32>, Vec<u32>) {
        let mut names: Vec<u32> = ask.partitions.iter().map(|(k, _)| *k).collect();
        let mut forgotten = ask.forgotten.clone();
        names.sort_unstable();
        forgotten.sort_unstable();
        (ask.session_id, ask.epoch, names, forgotten)
    }

    fn open(keys: &[u32]) -> FetchSession<u32> {
        let mut session = FetchSession::new();
        for key in keys {
            session.want(key, want(0));
        }
        assert_eq!(session.ask(true).epoch, 0);
        session.answered(ErrorCode::NONE, 9).unwrap();
        session
    }

    #[test]
    fn after_the_first_full_request_only_changes_are_named() {
        let mut session = open(&[1, 2, 3]);
        assert_eq!(ids(&session.ask(true)), (9, 1, vec![], vec![]));
        session.answered(ErrorCode::NONE, 9).unwrap();
        session.want(&2, want(10));
        session.want(&3, want(0));
        session.want(&4, want(0));
        session.forget(&1);
        assert_eq!(ids(&session.ask(true)), (9, 2, vec![2, 4], vec![1]));
        session.answered(ErrorCode::NONE, 9).unwrap();
        assert_eq!(ids(&session.ask(true)), (9, 3, vec![], vec![]));
    }

    #[test]
    fn a_partition_forgotten_and_wanted_again_is_asked_not_forgotten() {
        let mut session = open(&[1, 2]);
        session.forget(&1);
        session.want(&1, want(0));
        assert_eq!(ids(&session.ask(true)), (9, 1, vec![1], vec![]));
        for _ in 0..2 {
            session.forget(&2);
            session.want(&2, want(7));
            session.forget(&2);
        }
        session.answered(ErrorCode::NONE, 9).unwrap();
        assert_eq!(ids(&session.ask(true)), (9, 2, vec![], vec![2]));
    }

    #[test]
    fn a_partition_the_broker_never_heard_of_is_not_forgotten_to_it() {
        let mut session = open(&[1]);
        session.want(&2, want(0));
        session.forget(&2);
        assert_eq!(ids(&session.ask(true)), (9, 1, vec![], vec![]));
    }

    #[test]
    fn a_lost_request_is_followed_by_a_full_one_that_closes_the_session() {
        let mut session = open(&[1, 2]);
        session.want(&1, want(5));
        session.ask(true);
        session.lost();
        assert_eq!(ids(&session.ask(true)), (9, 0, vec![1, 2], vec![]));
        session.lost();
        assert_eq!(ids(&session.ask(true)), (9, 0, vec![1, 2], vec![]));
        session.answered(ErrorCode::NONE, 12).unwrap();
        assert_eq!(ids(&session.ask(true)), (12, 1, vec![], vec![]));
    }

    #[test]
    fn an_evicted_session_starts_anew_and_a_wrong_epoch_closes_the_old_one() {
        let mut session = open(&[1, 2]);
        session.ask(true);
        session.answered(ErrorCode::FETCH_SESSION_ID_NOT_FOUND, 0).unwrap();
        assert_eq!(ids(&session.ask(true)), (0, 0, vec![1, 2], vec![]));
        let mut session = open(&[1, 2]);
        session.ask(true);
        session.answered(ErrorCode::INVALID_FETCH_SESSION_EPOCH, 0).unwrap();
        assert_eq!(ids(&session.ask(true)), (9, 0, vec![1, 2], vec![]));
    }

    #[test]
    fn other_errors_are_given_back_and_end_the_session() {
        let mut session = open(&[1]);
        session.ask(true);
        assert_eq!(session.answered(ErrorCode::UNKNOWN_SERVER_ERROR, 0), Err(ErrorCode::UNKNOWN_SERVER_ERROR));
        assert_eq!(session.ask(true).epoch, 0);
    }

    #[test]
    fn a_broker_without_a_free_session_gets_full_requests() {
        let mut session = FetchSession::new();
        session.want(&1, want(0));
        for _ in 0..3 {
            assert_eq!(ids(&session.ask(true)), (0, 0, vec![1], vec![]));
            session.answered(ErrorCode::NONE, 0).unwrap();
        }
    }

    #[test]
    fn a_broker_too_old_for_sessions_gets_plain_full_requests() {
        let mut session = FetchSession::new();
        session.want(&1, want(0));
        for _ in 0..3 {
            assert_eq!(ids(&session.ask(false)), (0, -1, vec![1], vec![]));
            session.answered(ErrorCode::NONE, 0).unwrap();
        }
    }

    #[test]
    fn an_answer_from_another_session_is_not_trusted() {
        let mut session = open(&[1]);
        session.ask(true);
        session.answered(ErrorCode::NONE, 10).unwrap();
        assert_eq!(ids(&session.ask(true)), (10, 0, vec![1], vec![]));
    }

    #[test]
    fn the_epoch_wraps_to_one() {
        let mut session = open(&[1]);
        session.link = Link::Open { id: 9, epoch: i32::MAX };
        assert_eq!(session.ask(true).epoch, i32::MAX);
        session.answered(ErrorCode::NONE, 9).unwrap();
        assert_eq!(session.ask(true).epoch, 1);
    }

    #[test]
    fn partitions_served_last_come_last_in_a_full_request() {
        let mut session = FetchSession::new();
        for key in 0..4 {
            session.want(&key, want(0));
        }
        let order = |s: &mut FetchSession<u32>| s.ask(false).partitions.iter().map(|(k, _)| *k).collect::<Vec<_>>();
        assert_eq!(order(&mut session), [0, 1, 2, 3]);
        session.served(&0);
        session.served(&2);
        assert_eq!(order(&mut session), [1, 3, 0, 2]);
        session.forget(&3);
        session.served(&1);
        assert_eq!(order(&mut session), [0, 2, 1]);
    }

    #[test]
    fn what_was_asked_stays_known_while_the_wish_moves_on() {
        let mut session = open(&[1]);
        session.want(&1, want(50));
        assert_eq!(session.asked(&1), Some(0));
        session.ask(true);
        assert_eq!(session.asked(&1), Some(50));
        assert_eq!(session.asked(&2), None);
    }

    /// A broker's side of KIP-227, from its description: what would it read for us?
    #[derive(Default)]
    struct Broker {
        sessions: HashMap<i32, (i32, HashMap<u32, Want>)>,
        next_id: i32,
    }

    impl Broker {
        fn receive(&mut self, ask: &Ask<u32>, has_slot: bool) -> (ErrorCode, i32, HashMap<u32, Want>) {
            let named: HashMap<u32, Want> = ask.partitions.iter().copied().collect();
            if ask.epoch <= 0 {
                self.sessions.remove(&ask.session_id);
                if ask.epoch < 0 || !has_slot {
                    return (ErrorCode::NONE, 0, named);
                }
                self.next_id += 1;
                self.sessions.insert(self.next_id, (1, named.clone()));
                return (ErrorCode::NONE, self.next_id, named);
            }
            let Some((epoch, held)) = self.sessions.get_mut(&ask.session_id) else {
                return (ErrorCode::FETCH_SESSION_ID_NOT_FOUND, 0, HashMap::new());
            };
            if *epoch != ask.epoch {
                return (ErrorCode::INVALID_FETCH_SESSION_EPOCH, 0, HashMap::new());
            }
            *epoch += 1;
            for key in &ask.forgotten {
                assert!(held.remove(key).is_some(), "told to forget what it never heard of");
            }
            held.extend(named);
            (ErrorCode::NONE, ask.session_id, held.clone())
        }
    }

    #[test]
    fn whatever_is_lost_or_evicted_the_broker_reads_exactly_what_is_wanted() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let sessions = random.u8(0..5) != 0;
            let (mut broker, mut session) = (Broker::default(), FetchSession::new());
            let mut wanted: HashMap<u32, Want> = HashMap::new();
            for _ in 0..200 {
                for _ in 0..random.usize(0..4) {
                    let key = random.u32(0..12);
                    if random.u8(0..3) == 0 {
                        wanted.remove(&key);
                        session.forget(&key);
                    } else {
                        wanted.insert(key, want(random.i64(0..5)));
                        session.want(&key, wanted[&key]);
                    }
                }
                if random.u8(0..20) == 0 {
                    broker.sessions.clear();
                }
                let ask = session.ask(sessions);
                if random.u8(0..10) == 0 {
                    session.lost();
                    continue;
                }
                let (error, id, read) = broker.receive(&ask, random.u8(0..10) != 0);
                if random.u8(0..10) == 0 {
                    session.lost();
                    continue;
                }
                session.answered(error, id).unwrap();
                if error.is_ok() {
                    assert_eq!(read, wanted, "seed {seed}");
                    assert!(wanted.iter().all(|(key, want)| session.asked(key) == Some(want.offset)), "seed {seed}");
                }
            }
        }
    }
}
