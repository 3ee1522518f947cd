//! One group's life: Empty, PreparingRebalance, CompletingRebalance, Stable.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{
    DescribedGroup, DescribedGroupMember, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    JoinGroupResponseMember, SyncGroupRequest, SyncGroupResponse,
};

use super::member::{Member, Waits, owe_nothing, rebalance_timeout};
use super::{Answer, Asker, Committed, Committer, Now, Ticket, join_error, millis, sync_error};

/// How long a new member may wait for a rebalance to end (`GroupCoordinator.NewMemberJoinTimeoutMs`).
const NEW_MEMBER_WAIT: Duration = Duration::from_mins(5);

/// A group.
#[derive(Debug, Default)]
pub(super) struct Group {
    state: State,
    generation: i32,
    protocol_type: String,
    /// The chosen assignor of this generation.
    protocol: String,
    leader: String,
    /// In the order they came.
    members: Vec<Member>,
    /// Ids given out to members that have not come back with them, and how long they are good for (KIP-394).
    pending: BTreeMap<String, Duration>,
    pub(super) offsets: BTreeMap<(String, i32), Committed>,
}

/// Where a group stands. A dead one is not kept at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// No members.
    #[default]
    Empty,
    /// Waiting for all members to join, until then at the latest.
    Preparing {
        until: Duration,
        /// The first rebalance waits on for newcomers even when all have joined, but not beyond this.
        gather_until: Option<Duration>,
    },
    /// Waiting for the leader's assignments.
    Completing,
    /// Every member has, or can have, its assignment.
    Stable,
}

impl Group {
    pub(super) fn is_dead(&self) -> bool {
        self.members.is_empty() && self.pending.is_empty() && self.offsets.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    /// What DescribeGroups says of it. What members say of themselves shows while the group is stable only, as in Kafka.
    pub(super) fn describe(&self) -> DescribedGroup {
        let stable = self.state == State::Stable;
        let shown = |bytes: Bytes| if stable { bytes } else { Bytes::new() };
        let describe = |member: &Member| DescribedGroupMember {
            member_id: member.id.clone(),
            client_id: member.client_id.clone(),
            // Every listener is on the loopback interface.
            client_host: "/127.0.0.1".to_owned(),
            member_metadata: shown(self.metadata_of(member)),
            member_assignment: shown(member.assignment.clone()),
        };
        let state = match self.state {
            State::Empty => "Empty",
            State::Preparing { .. } => "PreparingRebalance",
            State::Completing => "CompletingRebalance",
            State::Stable => "Stable",
        };
        DescribedGroup {
            group_state: state.to_owned(),
            protocol_type: self.protocol_type.clone(),
            protocol_data: if stable { self.protocol.clone() } else { String::new() },
            members: self.members.iter().map(describe).collect(),
            ..DescribedGroup::default()
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        let rebalance = match self.state {
            State::Preparing { until, .. } => Some(until),
            _ => None,
        };
        let members = self.members.iter().filter_map(Member::expires);
        members.chain(self.pending.values().copied()).chain(rebalance).min()
    }

    pub(super) fn tick(&mut self, at: &mut Now<'_>) {
        self.pending.retain(|_, until| *until > at.time);
        let expired = self.members.iter().filter(|member| member.expires().is_some_and(|expires| expires <= at.time));
        for id in expired.map(|member| member.id.clone()).collect::<Vec<_>>() {
            self.remove(at, &id);
        }
        self.try_complete(at);
    }

    // Joining.

    pub(super) fn join(&mut self, at: &mut Now<'_>, asker: Asker<'_>, request: &JoinGroupRequest, new_id: String) {
        if let Err((error, id)) = self.admit(at, asker, request, new_id) {
            at.answers.push((asker.ticket, Answer::Join(join_error(error, id))));
        }
        self.try_complete(at);
    }

    /// Lets a member in or through; an error comes with the member id to tell.
    fn admit(
        &mut self,
        at: &mut Now<'_>,
        asker: Asker<'_>,
        request: &JoinGroupRequest,
        new_id: String,
    ) -> Result<(), (ErrorCode, String)> {
        let id = request.member_id.clone();
        if !self.supports(request) {
            return Err((ErrorCode::INCONSISTENT_GROUP_PROTOCOL, id));
        }
        if id.is_empty() {
            return self.admit_new(at, asker, request, new_id);
        }
        if self.pending.remove(&id).is_some() {
            self.add(at, asker, request, id);
            return Ok(());
        }
        self.check_member(&id, request.group_instance_id.as_deref()).map_err(|error| (error, id.clone()))?;
        self.rejoin(at, asker, request, &id);
        Ok(())
    }

    fn admit_new(
        &mut self,
        at: &mut Now<'_>,
        asker: Asker<'_>,
        request: &JoinGroupRequest,
        new_id: String,
    ) -> Result<(), (ErrorCode, String)> {
        if let Some(instance) = &request.group_instance_id {
            if let Some(old) = self.static_member(instance).map(|member| member.id.clone()) {
                self.replace_static(at, asker, request, &old, &new_id);
            } else {
                self.add(at, asker, request, new_id);
            }
            return Ok(());
        }
        if asker.needs_id_first {
            self.pending.insert(new_id.clone(), at.time + millis(request.session_timeout_ms));
            return Err((ErrorCode::MEMBER_ID_REQUIRED, new_id));
        }
        self.add(at, asker, request, new_id);
        Ok(())
    }

    /// Whether the member and the group have an assignor in common.
    fn supports(&self, request: &JoinGroupRequest) -> bool {
        if self.members.is_empty() {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        let others: Vec<&Member> = self.members.iter().filter(|member| member.id != request.member_id).collect();
        let common = |name: &str| others.iter().all(|member| member.knows(name));
        request.protocol_type == self.protocol_type && request.protocols.iter().any(|known| common(&known.name))
    }

    fn add(&mut self, at: &mut Now<'_>, asker: Asker<'_>, request: &JoinGroupRequest, id: String) {
        if self.members.is_empty() {
            self.leader.clone_from(&id);
            self.protocol_type.clone_from(&request.protocol_type);
        }
        let session = millis(request.session_timeout_ms);
        self.members.push(Member {
            id,
            client_id: asker.client_id.to_owned(),
            instance_id: request.group_instance_id.clone(),
            session,
            rebalance: rebalance_timeout(request),
            protocols: request.protocols.clone(),
            assignment: Bytes::new(),
            alive_until: at.time + session,
            waits_for: Waits::Join { ticket: asker.ticket, give_up: Some(at.time + NEW_MEMBER_WAIT) },
        });
        if let State::Preparing { until, gather_until: Some(gather_until) } = &mut self.state {
            *until = at.time.saturating_add(at.rules.rebalance_delay).min(*gather_until);
        }
        self.prepare(at);
    }

    /// A known member joins again: for a new generation, or because it missed the answer.
    fn rejoin(&mut self, at: &mut Now<'_>, asker: Asker<'_>, request: &JoinGroupRequest, id: &str) {
        let Some(index) = self.index(id) else { return };
        let same = self.members[index].protocols == request.protocols;
        let leads = self.leader == id;
        let answer_again = match self.state {
            State::Completing => same,
            State::Stable => same && !leads,
            State::Preparing { .. } | State::Empty => false,
        };
        if answer_again {
            let with_members = leads && self.state == State::Completing;
            let answer = self.joined(id, with_members);
            let member = &mut self.members[index];
            member.alive_until = at.time + member.session;
            at.answers.push((asker.ticket, Answer::Join(answer)));
            return;
        }
        self.update(at, asker, request, index);
        self.prepare(at);
    }

    fn update(&mut self, at: &mut Now<'_>, asker: Asker<'_>, request: &JoinGroupRequest, index: usize) {
        let member = &mut self.members[index];
        let give_up = match member.waits_for {
            Waits::Join { give_up, .. } => give_up,
            Waits::Nothing | Waits::Sync(_) => None,
        };
        // The same member asked before, over a connection that is gone by now.
        owe_nothing(at, member, ErrorCode::REBALANCE_IN_PROGRESS);
        let member = &mut self.members[index];
        member.protocols.clone_from(&request.protocols);
        member.session = millis(request.session_timeout_ms);
        member.rebalance = rebalance_timeout(request);
        member.alive_until = at.time + member.session;
        member.waits_for = Waits::Join { ticket: asker.ticket, give_up };
    }

    /// A static member came back without its id, after a restart: it takes its old place under a new id.
    fn replace_static(
        &mut self,
        at: &mut Now<'_>,
        asker: Asker<'_>,
        request: &JoinGroupRequest,
        old: &str,
        new_id: &str,
    ) {
        let Some(index) = self.index(old) else { return };
        let leader_before = self.leader.clone();
        if self.leader == old {
            new_id.clone_into(&mut self.leader);
        }
        owe_nothing(at, &mut self.members[index], ErrorCode::FENCED_INSTANCE_ID);
        new_id.clone_into(&mut self.members[index].id);
        self.update(at, asker, request, index);
        match self.state {
            State::Stable => {
                // The old leader's id, so that a returning leader does not assign: a stable group hands nothing out.
                let answer = JoinGroupResponse { leader: leader_before, ..self.joined(new_id, false) };
                self.members[index].waits_for = Waits::Nothing;
                at.answers.push((asker.ticket, Answer::Join(answer)));
            }
            State::Completing => self.prepare(at),
            State::Preparing { .. } | State::Empty => {}
        }
    }

    // Rebalancing.

    /// Starts a rebalance unless one is under way.
    fn prepare(&mut self, at: &mut Now<'_>) {
        let longest = self.members.iter().map(|member| member.rebalance).max().unwrap_or_default();
        let delay = at.rules.rebalance_delay;
        self.state = match self.state {
            State::Preparing { .. } => return,
            State::Empty if !delay.is_zero() => {
                State::Preparing { until: at.time + delay.min(longest), gather_until: Some(at.time + longest) }
            }
            State::Empty | State::Stable | State::Completing => {
                State::Preparing { until: at.time + longest, gather_until: None }
            }
        };
        for member in &mut self.members {
            if matches!(member.waits_for, Waits::Sync(_)) {
                owe_nothing(at, member, ErrorCode::REBALANCE_IN_PROGRESS);
                member.alive_until = at.time + member.session;
            }
            member.assignment = Bytes::new();
        }
    }

    /// Ends the rebalance if all have joined or its time is over.
    fn try_complete(&mut self, at: &mut Now<'_>) {
        let State::Preparing { until, gather_until } = self.state else { return };
        let all = gather_until.is_none() && self.pending.is_empty() && self.members.iter().all(Member::joins);
        if !all && until > at.time {
            return;
        }
        self.members.retain(|member| member.joins() || member.instance_id.is_some());
        if self.members.is_empty() {
            self.generation += 1;
            self.protocol.clear();
            self.leader.clear();
            self.state = State::Empty;
            return;
        }
        if !self.elect_joined() {
            // Static members only, none of which has come: they keep their places until their sessions end.
            let longest = self.members.iter().map(|member| member.rebalance).max().unwrap_or_default();
            self.state =
                State::Preparing { until: at.time + longest.max(Duration::from_millis(1)), gather_until: None };
            return;
        }
        self.next_generation(at);
    }

    /// Makes sure that the leader is one that has joined; `false` if nobody has.
    fn elect_joined(&mut self) -> bool {
        let leads = |member: &&Member| member.id == self.leader && member.joins();
        let leader = self.members.iter().find(leads).or_else(|| self.members.iter().find(|member| member.joins()));
        let Some(leader) = leader else { return false };
        self.leader = leader.id.clone();
        true
    }

    fn next_generation(&mut self, at: &mut Now<'_>) {
        self.generation += 1;
        self.protocol = self.choose_protocol();
        self.state = State::Completing;
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            let Waits::Join { ticket, .. } = member.waits_for else { continue };
            member.waits_for = Waits::Nothing;
            member.alive_until = at.time + member.session;
            let id = member.id.clone();
            let answer = self.joined(&id, id == self.leader);
            at.answers.push((ticket, Answer::Join(answer)));
        }
    }

    /// Each member votes for the first of its assignors that all know; the most votes win, of equals the earliest.
    fn choose_protocol(&self) -> String {
        let common = |name: &str| self.members.iter().all(|member| member.knows(name));
        let mut votes: Vec<(&str, usize)> = Vec::new();
        for member in &self.members {
            let Some(vote) = member.protocols.iter().map(|p| p.name.as_str()).find(|name| common(name)) else {
                continue;
            };
            match votes.iter_mut().find(|(name, _)| *name == vote) {
                Some((_, count)) => *count += 1,
                None => votes.push((vote, 1)),
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max();
        votes.iter().find(|(_, count)| Some(*count) == most).map_or_else(String::new, |(name, _)| (*name).to_owned())
    }

    /// The answer to a member that has joined.
    fn joined(&self, id: &str, with_members: bool) -> JoinGroupResponse {
        let described = |member: &Member| JoinGroupResponseMember {
            member_id: member.id.clone(),
            group_instance_id: member.instance_id.clone(),
            metadata: self.metadata_of(member),
        };
        let members = if with_members { self.members.iter().map(described).collect() } else { Vec::new() };
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_name: self.protocol.clone(),
            leader: self.leader.clone(),
            member_id: id.to_owned(),
            members,
            ..JoinGroupResponse::default()
        }
    }

    fn metadata_of(&self, member: &Member) -> Bytes {
        let chosen = member.protocols.iter().find(|known| known.name == self.protocol);
        chosen.map_or_else(Bytes::new, |known| known.metadata.clone())
    }

    // Within a generation.

    pub(super) fn sync(&mut self, at: &mut Now<'_>, ticket: Ticket, request: &SyncGroupRequest) {
        let checked = self.check(&request.member_id, request.group_instance_id.as_deref(), request.generation_id);
        let checked = checked.and_then(|index| match self.state {
            State::Completing | State::Stable => Ok(index),
            State::Preparing { .. } => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            State::Empty => Err(ErrorCode::UNKNOWN_MEMBER_ID),
        });
        let index = match checked {
            Ok(index) => index,
            Err(error) => return at.answers.push((ticket, Answer::Sync(sync_error(error)))),
        };
        let member = &mut self.members[index];
        owe_nothing(at, member, ErrorCode::REBALANCE_IN_PROGRESS);
        member.waits_for = Waits::Sync(ticket);
        if self.state == State::Completing && request.member_id == self.leader {
            for member in &mut self.members {
                let given = request.assignments.iter().find(|given| given.member_id == member.id);
                member.assignment = given.map_or_else(Bytes::new, |given| given.assignment.clone());
            }
            self.state = State::Stable;
        }
        if self.state == State::Stable {
            self.hand_out(at);
        }
    }

    /// Gives everyone who waits for it their assignment.
    fn hand_out(&mut self, at: &mut Now<'_>) {
        for member in &mut self.members {
            let Waits::Sync(ticket) = member.waits_for else { continue };
            member.waits_for = Waits::Nothing;
            member.alive_until = at.time + member.session;
            let assignment = member.assignment.clone();
            let answer = SyncGroupResponse { assignment, ..SyncGroupResponse::default() };
            at.answers.push((ticket, Answer::Sync(answer)));
        }
    }

    pub(super) fn heartbeat(&mut self, at: &mut Now<'_>, request: &HeartbeatRequest) -> ErrorCode {
        let instance_id = request.group_instance_id.as_deref();
        let index = match self.check(&request.member_id, instance_id, request.generation_id) {
            Ok(index) => index,
            Err(error) => return error,
        };
        let member = &mut self.members[index];
        match self.state {
            State::Empty => ErrorCode::UNKNOWN_MEMBER_ID,
            State::Completing => ErrorCode::REBALANCE_IN_PROGRESS,
            State::Preparing { .. } => {
                member.alive_until = at.time + member.session;
                ErrorCode::REBALANCE_IN_PROGRESS
            }
            State::Stable => {
                member.alive_until = at.time + member.session;
                ErrorCode::NONE
            }
        }
    }

    pub(super) fn leave(&mut self, at: &mut Now<'_>, id: &str) -> ErrorCode {
        if self.pending.remove(id).is_some() {
            self.try_complete(at);
            return ErrorCode::NONE;
        }
        if self.index(id).is_none() {
            return ErrorCode::UNKNOWN_MEMBER_ID;
        }
        self.remove(at, id);
        self.try_complete(at);
        ErrorCode::NONE
    }

    /// Whether this committer may commit now.
    pub(super) fn may_commit(&mut self, at: &mut Now<'_>, committer: &Committer<'_>) -> Result<(), ErrorCode> {
        if committer.generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        let index = self.check(committer.member_id, committer.instance_id, committer.generation)?;
        if self.state == State::Completing {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        let member = &mut self.members[index];
        member.alive_until = at.time + member.session;
        Ok(())
    }

    // Members.

    fn remove(&mut self, at: &mut Now<'_>, id: &str) {
        let Some(index) = self.index(id) else { return };
        let mut member = self.members.remove(index);
        owe_nothing(at, &mut member, ErrorCode::UNKNOWN_MEMBER_ID);
        if self.leader == id {
            self.leader = self.members.first().map_or_else(String::new, |member| member.id.clone());
        }
        self.prepare(at);
    }

    /// The member's place, if it may act in this generation.
    fn check(&self, id: &str, instance_id: Option<&str>, generation: i32) -> Result<usize, ErrorCode> {
        let index = self.check_member(id, instance_id)?;
        if generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        Ok(index)
    }

    fn check_member(&self, id: &str, instance_id: Option<&str>) -> Result<usize, ErrorCode> {
        if let Some(instance_id) = instance_id {
            return match self.members.iter().position(|member| member.instance_id.as_deref() == Some(instance_id)) {
                Some(index) if self.members[index].id == id => Ok(index),
                Some(_) => Err(ErrorCode::FENCED_INSTANCE_ID),
                None => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            };
        }
        self.index(id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)
    }

    fn static_member(&self, instance_id: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.instance_id.as_deref() == Some(instance_id))
    }

    fn index(&self, id: &str) -> Option<usize> {
        self.members.iter().position(|member| member.id == id)
    }
}
