//! The consumer groups: who is in them, in which generation, with which positions. Pure: time and identifiers are
//! arguments, answers that have to wait come out of [`Groups::take_answers`].
//!
//! The rules are those of `GroupCoordinator` at 2.3.1.

mod group;
mod member;
mod offsets;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{
    DescribedGroup, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
    SyncGroupResponse,
};

use group::Group;
pub(crate) use offsets::{Committed, Committer};

/// How many groups there may be.
const MAX_GROUPS: usize = 10_000;

/// How many members all groups may have together.
const MAX_MEMBERS: usize = 10_000;

/// How many bytes of protocols a member may bring. Consumers bring some hundred.
const MAX_PROTOCOL_BYTES: usize = 64 << 10;

/// Who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// An answer that may have had to wait.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
}

/// Who asks to join.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) ticket: Ticket,
    pub(crate) client_id: &'a str,
    /// Whether a new member first has to be told its id (JoinGroup v4, KIP-394).
    pub(crate) needs_id_first: bool,
}

/// How groups behave.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) session_timeout: RangeInclusive<Duration>,
    pub(crate) rebalance_delay: Duration,
}

/// A moment, and the answers that it brings.
struct Now<'a> {
    time: Duration,
    rules: &'a Rules,
    answers: &'a mut Vec<(Ticket, Answer)>,
}

/// All groups. A group that is dead, without members or positions, is in here no more.
#[derive(Debug)]
pub(crate) struct Groups {
    rules: Rules,
    by_id: HashMap<String, Group>,
    answers: Vec<(Ticket, Answer)>,
    /// Makes member ids of this broker's life differ from those of another.
    seed: u64,
    members: u64,
}

impl Groups {
    pub(crate) fn new(rules: Rules, seed: u64) -> Self {
        Self { rules, by_id: HashMap::new(), answers: Vec::new(), seed, members: 0 }
    }

    /// The answers that are due, each to whom it is for.
    pub(crate) fn take_answers(&mut self) -> Vec<(Ticket, Answer)> {
        std::mem::take(&mut self.answers)
    }

    /// When [`Groups::tick`] has something to do next.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.by_id.values().filter_map(Group::deadline).min()
    }

    /// Expires members and ends rebalances whose time is over.
    pub(crate) fn tick(&mut self, now: Duration) {
        let mut at = Now { time: now, rules: &self.rules, answers: &mut self.answers };
        for group in self.by_id.values_mut() {
            group.tick(&mut at);
        }
        self.by_id.retain(|_, group| !group.is_dead());
    }

    /// Joins a group, or rejoins it. The answer comes by the asker's ticket, perhaps much later.
    pub(crate) fn join(&mut self, now: Duration, asker: Asker<'_>, request: &JoinGroupRequest) {
        if let Err(error) = self.check_join(request) {
            let refused = join_error(error, request.member_id.clone());
            self.answers.push((asker.ticket, Answer::Join(refused)));
            return;
        }
        self.members += 1;
        let prefix = request.group_instance_id.as_deref().unwrap_or(asker.client_id);
        let new_id = format!("{prefix}-{:016x}{:016x}", self.seed, self.members);
        self.with(now, &request.group_id, |group, at| group.join(at, asker, request, new_id));
    }

    fn check_join(&self, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        if !self.rules.session_timeout.contains(&millis(request.session_timeout_ms)) {
            return Err(ErrorCode::INVALID_SESSION_TIMEOUT);
        }
        if !request.member_id.is_empty() && !self.by_id.contains_key(&request.group_id) {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        let protocols = request.protocols.iter().map(|protocol| protocol.name.len() + protocol.metadata.len());
        if protocols.sum::<usize>() > MAX_PROTOCOL_BYTES {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let new = request.member_id.is_empty();
        if new && self.by_id.values().map(Group::len).sum::<usize>() >= MAX_MEMBERS {
            return Err(ErrorCode::GROUP_MAX_SIZE_REACHED);
        }
        self.check_room(&request.group_id)
    }

    /// Whether there may be this group.
    fn check_room(&self, group: &str) -> Result<(), ErrorCode> {
        let is_there = self.by_id.len() < MAX_GROUPS || self.by_id.contains_key(group);
        if is_there { Ok(()) } else { Err(ErrorCode::GROUP_MAX_SIZE_REACHED) }
    }

    /// Ends a rebalance for one member. The answer comes by ticket, when the leader has handed out the assignments.
    pub(crate) fn sync(&mut self, now: Duration, ticket: Ticket, request: &SyncGroupRequest) {
        if !self.by_id.contains_key(&request.group_id) {
            self.answers.push((ticket, Answer::Sync(sync_error(ErrorCode::UNKNOWN_MEMBER_ID))));
            return;
        }
        self.with(now, &request.group_id, |group, at| group.sync(at, ticket, request));
    }

    /// A member is alive.
    pub(crate) fn heartbeat(&mut self, now: Duration, request: &HeartbeatRequest) -> ErrorCode {
        if !self.by_id.contains_key(&request.group_id) {
            return ErrorCode::UNKNOWN_MEMBER_ID;
        }
        self.with(now, &request.group_id, |group, at| group.heartbeat(at, request))
    }

    /// A member leaves.
    pub(crate) fn leave(&mut self, now: Duration, request: &LeaveGroupRequest) -> ErrorCode {
        if !self.by_id.contains_key(&request.group_id) {
            return ErrorCode::UNKNOWN_MEMBER_ID;
        }
        self.with(now, &request.group_id, |group, at| group.leave(at, &request.member_id))
    }

    /// Whether this committer may commit now. Counts as a sign of life of a member.
    pub(crate) fn may_commit(&mut self, now: Duration, committer: &Committer<'_>) -> Result<(), ErrorCode> {
        if !self.by_id.contains_key(committer.group) {
            return if committer.generation < 0 {
                self.check_room(committer.group)
            } else {
                Err(ErrorCode::ILLEGAL_GENERATION)
            };
        }
        self.with(now, committer.group, |group, at| group.may_commit(at, committer))
    }

    /// Keeps a position, after [`Groups::may_commit`].
    pub(crate) fn commit(&mut self, group: &str, topic: &str, partition: i32, committed: Committed) {
        let group = self.by_id.entry(group.to_owned()).or_default();
        group.offsets.insert((topic.to_owned(), partition), committed);
    }

    /// Forgets all positions of a group.
    pub(crate) fn forget_offsets(&mut self, group: &str) {
        if let Some(group) = self.by_id.get_mut(group) {
            group.offsets.clear();
        }
        self.by_id.retain(|_, group| !group.is_dead());
    }

    /// Forgets every group's positions in a topic, as brokers do when it is deleted.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        for group in self.by_id.values_mut() {
            group.offsets.retain(|(of, _), _| of != topic);
        }
        self.by_id.retain(|_, group| !group.is_dead());
    }

    /// A partition's position.
    pub(crate) fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.by_id.get(group)?.offsets.get(&(topic.to_owned(), partition))
    }

    /// Every position of a group, by topic and partition.
    pub(crate) fn all_committed(&self, group: &str) -> impl Iterator<Item = (&str, i32, &Committed)> {
        let offsets = self.by_id.get(group).into_iter().flat_map(|group| &group.offsets);
        offsets.map(|((topic, partition), committed)| (topic.as_str(), *partition, committed))
    }

    /// A group's state and members; `Dead` if there is none of this name.
    pub(crate) fn describe(&self, id: &str) -> DescribedGroup {
        let dead = || DescribedGroup { group_state: "Dead".to_owned(), ..DescribedGroup::default() };
        let group = self.by_id.get(id).map_or_else(dead, Group::describe);
        DescribedGroup { group_id: id.to_owned(), ..group }
    }

    /// How many members a group has, and its generation.
    pub(crate) fn size(&self, group: &str) -> (usize, i32) {
        self.by_id.get(group).map_or((0, 0), |group| (group.len(), group.generation()))
    }

    /// Does something with a group, which comes into being by that, and ends by it if nothing is left.
    fn with<T>(&mut self, now: Duration, id: &str, act: impl FnOnce(&mut Group, &mut Now<'_>) -> T) -> T {
        let mut at = Now { time: now, rules: &self.rules, answers: &mut self.answers };
        let group = self.by_id.entry(id.to_owned()).or_default();
        let done = act(group, &mut at);
        if group.is_dead() {
            self.by_id.remove(id);
        }
        done
    }
}

/// A join that failed.
pub(crate) fn join_error(error_code: ErrorCode, member_id: String) -> JoinGroupResponse {
    JoinGroupResponse { error_code, member_id, ..JoinGroupResponse::default() }
}

/// A sync that failed.
pub(crate) fn sync_error(error_code: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code, ..SyncGroupResponse::default() }
}

/// A client's number of milliseconds; none if it is negative.
fn millis(ms: i32) -> Duration {
    Duration::from_millis(ms.max(0) as u64)
}
