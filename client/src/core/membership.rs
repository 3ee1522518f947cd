//! One member of a consumer group, which is to be the group's only one: joins, stays by heartbeats, leaves.
//!
//! The rules are those of Kafka's group protocol (`GroupCoordinator` at 2.3.1, KIP-394 for the first id). The group's leader
//! decides who is the sole member: the one that holds the group already, else itself. It says so in everyone's assignment;
//! whoever is not chosen leaves. Generations fence commits: a member that the coordinator has thrown out commits nothing.

use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::group::{Assignment, Subscription};
use ottla_protocol::messages::{JoinGroupResponse, JoinGroupResponseMember};

use super::backoff::Backoff;

/// What to ask the group's coordinator next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// JoinGroup, with an empty member id as a new member.
    Join { member_id: String, metadata: Bytes },
    /// SyncGroup; `assignments` by member id from the leader only.
    Sync { generation: i32, member_id: String, assignments: Vec<(String, Bytes)> },
    /// Heartbeat.
    Heartbeat { generation: i32, member_id: String },
}

/// Whether this is the group's sole member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not decided yet.
    Joining,
    /// It is, for as long as its session lasts.
    Sole { generation: i32, member_id: String, until: Instant },
    /// It was and wants to be again: its session ended, and whether another took over is not known yet.
    Doubtful,
    /// It is not, and must not go on.
    Out(Out),
}

/// Why it is not the sole member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Out {
    /// Another one is.
    Other(Holder),
    /// Its session ended, and another one was a member since then.
    TakenOver,
    /// The coordinator refuses it for good, or cannot be asked at all.
    Refused,
}

/// The sole member, as the leader names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Holder {
    pub(crate) member_id: String,
    /// What it says of itself.
    pub(crate) user_data: Bytes,
}

/// What went wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The coordinator's answer.
    Code(ErrorCode),
    /// No answer; a later try may get one.
    NoAnswer,
    /// No answer, and no later try will get one. One that holds the group tries on: its session has an end anyway.
    Hopeless,
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Membership {
    session: Duration,
    user_data: Bytes,
    backoff: Backoff,
    state: State,
    /// Empty until the coordinator gives one.
    member_id: String,
    /// The last generation in which this was the sole member, and until when its session surely lasts.
    held: Option<Held>,
}

#[derive(Debug, Clone)]
struct Held {
    generation: i32,
    until: Instant,
    /// The coordinator has forgotten this member since: another one may have been there.
    expired: bool,
}

#[derive(Debug, Clone)]
enum State {
    /// JoinGroup is to be sent.
    Join {
        at: Instant,
    },
    /// JoinGroup has been sent.
    Joining,
    /// SyncGroup is to be sent, or has been.
    Sync {
        generation: i32,
        assignments: Vec<(String, Bytes)>,
        sent: Option<Instant>,
        /// Another one was the sole member since this one's session ended.
        taken: bool,
    },
    /// Heartbeats are to be sent.
    Member {
        generation: i32,
        heartbeat_at: Instant,
        sent: Option<Instant>,
    },
    Out(Out),
}

impl Membership {
    pub(crate) fn new(session: Duration, user_data: Bytes, backoff: Backoff, now: Instant) -> Self {
        let state = State::Join { at: now };
        Self { session, user_data, backoff, state, member_id: String::new(), held: None }
    }

    /// The next thing to ask, once. Its outcome is told by the method of its name, or by [`failed`](Self::failed).
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Action> {
        let member_id = self.member_id.clone();
        match &mut self.state {
            State::Join { at } if *at <= now => {
                let holds = self.held.as_ref().is_some_and(|held| !held.expired);
                let metadata = metadata(holds, &self.user_data);
                self.state = State::Joining;
                Some(Action::Join { member_id, metadata })
            }
            State::Sync { generation, assignments, sent: sent @ None, .. } => {
                *sent = Some(now);
                Some(Action::Sync { generation: *generation, member_id, assignments: std::mem::take(assignments) })
            }
            State::Member { generation, heartbeat_at, sent: sent @ None } if *heartbeat_at <= now => {
                *sent = Some(now);
                Some(Action::Heartbeat { generation: *generation, member_id })
            }
            _ => None,
        }
    }

    /// When [`poll`](Self::poll) has something next, if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Join { at } => Some(*at),
            State::Member { heartbeat_at, sent: None, .. } => Some(*heartbeat_at),
            _ => None,
        }
    }

    /// Where it stands.
    pub(crate) fn standing(&self) -> Standing {
        match (&self.state, &self.held) {
            (State::Out(out), _) => Standing::Out(out.clone()),
            (_, None) => Standing::Joining,
            (_, Some(held)) if held.expired => Standing::Doubtful,
            (_, Some(held)) => {
                Standing::Sole { generation: held.generation, member_id: self.member_id.clone(), until: held.until }
            }
        }
    }

    /// The id to leave with; `None` if the coordinator never gave one.
    pub(crate) fn member_id(&self) -> Option<&str> {
        Some(self.member_id.as_str()).filter(|id| !id.is_empty())
    }

    /// JoinGroup was answered.
    pub(crate) fn joined(&mut self, now: Instant, chance: f64, answer: JoinGroupResponse) {
        if !matches!(self.state, State::Joining) {
            return;
        }
        match answer.error_code {
            ErrorCode::NONE => self.in_generation(answer),
            ErrorCode::MEMBER_ID_REQUIRED => {
                self.member_id = answer.member_id;
                self.state = State::Join { at: now };
            }
            code => self.failed(now, chance, Failure::Code(code)),
        }
    }

    fn in_generation(&mut self, answer: JoinGroupResponse) {
        self.backoff.reset();
        self.member_id = answer.member_id;
        let generation = answer.generation_id;
        // The end of the session and this join: a generation each. Another member's join would have been one more.
        let expired = self.held.as_ref().filter(|held| held.expired);
        let taken = expired.is_some_and(|held| !(held.generation + 1..=held.generation + 2).contains(&generation));
        let leads = answer.leader == self.member_id;
        let assignments = if leads { self.assign(&answer.members, taken) } else { Vec::new() };
        self.state = State::Sync { generation, assignments, sent: None, taken };
    }

    /// As the leader: tells everyone who is the sole member. If another one was there since this one's session ended, that is
    /// anybody else.
    fn assign(&self, members: &[JoinGroupResponseMember], taken: bool) -> Vec<(String, Bytes)> {
        let holder = members.iter().find(|member| holds(&member.metadata).0);
        let other = members.iter().find(|member| taken && member.member_id != self.member_id);
        let holder = match holder.or(other) {
            Some(member) => Holder { member_id: member.member_id.clone(), user_data: holds(&member.metadata).1 },
            None => Holder { member_id: self.member_id.clone(), user_data: self.user_data.clone() },
        };
        let assignment = assignment(&holder);
        members.iter().map(|member| (member.member_id.clone(), assignment.clone())).collect()
    }

    /// SyncGroup was answered with an assignment.
    pub(crate) fn synced(&mut self, now: Instant, given: Bytes) {
        let State::Sync { generation, sent: Some(sent), taken, .. } = self.state else { return };
        match chosen(given) {
            Some(holder) if holder.member_id == self.member_id && taken => self.state = State::Out(Out::TakenOver),
            Some(holder) if holder.member_id == self.member_id => {
                self.backoff.reset();
                // The coordinator counts from the moment it got the request, which is not before it was sent.
                self.held = Some(Held { generation, until: sent + self.session, expired: false });
                self.state = State::Member { generation, heartbeat_at: now + self.session / 3, sent: None };
            }
            holder => self.state = State::Out(Out::Other(holder.unwrap_or_default())),
        }
    }

    /// Heartbeat was answered without an error.
    pub(crate) fn alive(&mut self) {
        let State::Member { heartbeat_at, sent, .. } = &mut self.state else { return };
        let Some(sent) = sent.take() else { return };
        *heartbeat_at = sent + self.session / 3;
        self.backoff.reset();
        if let Some(held) = &mut self.held {
            held.until = held.until.max(sent + self.session);
        }
    }

    /// The last request failed.
    pub(crate) fn failed(&mut self, now: Instant, chance: f64, failure: Failure) {
        match failure {
            Failure::Hopeless if self.held.is_none() => self.state = State::Out(Out::Refused),
            Failure::NoAnswer
            | Failure::Hopeless
            | Failure::Code(
                ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
                | ErrorCode::COORDINATOR_NOT_AVAILABLE
                | ErrorCode::NOT_COORDINATOR,
            ) => self.again(now, chance),
            Failure::Code(ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::ILLEGAL_GENERATION) => self.rejoin(now, chance),
            Failure::Code(ErrorCode::UNKNOWN_MEMBER_ID) => {
                self.member_id.clear();
                if let Some(held) = &mut self.held {
                    held.expired = true;
                }
                self.rejoin(now, chance);
            }
            Failure::Code(_) => self.state = State::Out(Out::Refused),
        }
    }

    /// A commit in this generation was refused. A refusal of another generation than the present one is out of date.
    pub(crate) fn commit_refused(&mut self, now: Instant, generation: i32, code: ErrorCode) {
        let State::Member { generation: present, .. } = self.state else { return };
        if present == generation {
            self.failed(now, 0.0, Failure::Code(code));
        }
    }

    /// Tries the same again after a pause. A rebalance may have ended without us meanwhile, so SyncGroup is not repeated.
    fn again(&mut self, now: Instant, chance: f64) {
        let pause = self.backoff.fail(chance);
        match &mut self.state {
            State::Member { heartbeat_at, sent, .. } => {
                *sent = None;
                *heartbeat_at = now + pause;
            }
            State::Out(_) => {}
            State::Join { .. } | State::Joining | State::Sync { .. } => self.state = State::Join { at: now + pause },
        }
    }

    /// Joins again: at once after a heartbeat, which waits for nothing, else after a pause.
    fn rejoin(&mut self, now: Instant, chance: f64) {
        let at = match self.state {
            State::Out(_) => return,
            State::Member { .. } => now,
            _ => now + self.backoff.fail(chance),
        };
        self.state = State::Join { at };
    }
}

/// What a member tells the leader: whether it is the sole member already, and what it says of itself. It stands in a
/// consumer's Subscription without topics, so that Kafka's tools take the group for what it is and show its offsets.
fn metadata(holds: bool, user_data: &Bytes) -> Bytes {
    let said = Bytes::from([&[u8::from(holds)], user_data.as_ref()].concat());
    let subscription = Subscription { user_data: Some(said), ..Subscription::default() };
    // Version 0 can say all of it.
    subscription.write(0).unwrap_or_default()
}

/// Whether a member says that it is the sole one, and what it says of itself.
fn holds(metadata: &Bytes) -> (bool, Bytes) {
    (said(metadata).is_some_and(|said| said.first() == Some(&1)), user_data_in(metadata).unwrap_or_default())
}

fn said(metadata: &Bytes) -> Option<Bytes> {
    Subscription::read(metadata.clone()).ok()?.body.user_data
}

fn user_data_in(metadata: &Bytes) -> Option<Bytes> {
    let said = said(metadata)?;
    matches!(said.first(), Some(0 | 1)).then(|| said.slice(1..))
}

/// What a described member said of itself; `None` if that is not a sole member's. A sole member's assignment says it too: a broker
/// of 2.3.1 gives out the assignment as the metadata.
pub(crate) fn user_data_of(member_id: &str, metadata: &Bytes, assignment: Bytes) -> Option<Bytes> {
    let holder = chosen(assignment).filter(|holder| holder.member_id == member_id);
    user_data_in(metadata).or(holder.map(|holder| holder.user_data))
}

/// Everyone's assignment: no partitions, and who the sole member is.
fn assignment(holder: &Holder) -> Bytes {
    let said = [holder.member_id.as_bytes(), b"\n", holder.user_data.as_ref()].concat();
    let assignment = Assignment { user_data: Some(said.into()), ..Assignment::default() };
    assignment.write(0).unwrap_or_default()
}

fn chosen(given: Bytes) -> Option<Holder> {
    let said = Assignment::read(given).ok()?.body.user_data?;
    let end = said.iter().position(|byte| *byte == b'\n')?;
    let member_id = String::from_utf8(said.slice(..end).to_vec()).ok()?;
    Some(Holder { member_id, user_data: said.slice(end + 1..) })
}

#[cfg(test)]
mod tests;
