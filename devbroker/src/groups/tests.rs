//! Groups played on a virtual clock: a story says when something happens, nothing sleeps.

use bytes::Bytes;
use ottla_protocol::messages::{JoinGroupRequestProtocol, SyncGroupRequestAssignment};

use super::*;

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_mins(1);

/// Groups, the time, and the answers given so far.
struct Play {
    groups: Groups,
    now: Duration,
    tickets: u64,
    answers: HashMap<Ticket, Answer>,
}

impl Play {
    fn new() -> Self {
        Self::with_delay(Duration::ZERO)
    }

    fn with_delay(rebalance_delay: Duration) -> Self {
        let session_timeout = Duration::from_secs(6)..=Duration::from_mins(30);
        let groups = Groups::new(Rules { session_timeout, rebalance_delay }, 7);
        Self { groups, now: Duration::ZERO, tickets: 0, answers: HashMap::new() }
    }

    /// Lets time pass, ticking at each deadline as the driver does.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.groups.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.groups.tick(self.now);
        }
        self.now = end;
        self.collect();
    }

    fn collect(&mut self) {
        for (ticket, answer) in self.groups.take_answers() {
            assert!(self.answers.insert(ticket, answer).is_none(), "{ticket:?} was answered twice");
        }
    }

    fn ask_join(&mut self, needs_id_first: bool, request: &JoinGroupRequest) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.groups.join(self.now, Asker { ticket, client_id: "client", needs_id_first }, request);
        self.collect();
        ticket
    }

    fn joined(&self, ticket: Ticket) -> Option<&JoinGroupResponse> {
        match self.answers.get(&ticket) {
            Some(Answer::Join(joined)) => Some(joined),
            Some(Answer::Sync(_)) => panic!("not a join"),
            None => None,
        }
    }

    fn join(&mut self, request: &JoinGroupRequest) -> JoinGroupResponse {
        let ticket = self.ask_join(false, request);
        self.joined(ticket).expect("an answer at once").clone()
    }

    fn ask_sync(&mut self, joined: &JoinGroupResponse) -> Ticket {
        let assignments = joined.members.iter().map(|member| SyncGroupRequestAssignment {
            member_id: member.member_id.clone(),
            assignment: Bytes::from(format!("for {}", member.member_id)),
        });
        let request = SyncGroupRequest {
            group_id: "g".to_owned(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            assignments: assignments.collect(),
            ..SyncGroupRequest::default()
        };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.groups.sync(self.now, ticket, &request);
        self.collect();
        ticket
    }

    fn synced(&self, ticket: Ticket) -> Option<&SyncGroupResponse> {
        match self.answers.get(&ticket) {
            Some(Answer::Sync(synced)) => Some(synced),
            Some(Answer::Join(_)) => panic!("not a sync"),
            None => None,
        }
    }

    fn sync(&mut self, joined: &JoinGroupResponse) -> SyncGroupResponse {
        let ticket = self.ask_sync(joined);
        self.synced(ticket).expect("an answer at once").clone()
    }

    fn heartbeat(&mut self, joined: &JoinGroupResponse) -> ErrorCode {
        let error = self.groups.heartbeat(self.now, &beat_of(joined));
        self.collect();
        error
    }

    fn leave(&mut self, member_id: &str) -> ErrorCode {
        let request = LeaveGroupRequest { group_id: "g".to_owned(), member_id: member_id.to_owned() };
        let error = self.groups.leave(self.now, &request);
        self.collect();
        error
    }

    fn may_commit(&mut self, generation: i32, member_id: &str) -> Result<(), ErrorCode> {
        let committer = Committer { group: "g", generation, member_id, instance_id: None };
        self.groups.may_commit(self.now, &committer)
    }

    /// A group of one, and one of two, both stable.
    fn one() -> (Self, JoinGroupResponse) {
        let mut play = Self::new();
        let joined = play.join(&new_member());
        assert_eq!(play.sync(&joined).error_code, ErrorCode::NONE);
        (play, joined)
    }

    fn two() -> (Self, JoinGroupResponse, JoinGroupResponse) {
        let (mut play, first) = Self::one();
        let second = play.ask_join(false, &new_member());
        let first = play.join(&again(&first));
        let second = play.joined(second).unwrap().clone();
        play.sync(&first);
        play.sync(&second);
        (play, first, second)
    }
}

fn new_member() -> JoinGroupRequest {
    knowing(&["range"])
}

fn knowing(protocols: &[&str]) -> JoinGroupRequest {
    let protocols = protocols.iter().map(|name| JoinGroupRequestProtocol {
        name: (*name).to_owned(),
        metadata: Bytes::from(format!("subscription for {name}")),
    });
    JoinGroupRequest {
        group_id: "g".to_owned(),
        session_timeout_ms: SESSION.as_millis() as i32,
        rebalance_timeout_ms: REBALANCE.as_millis() as i32,
        protocol_type: "consumer".to_owned(),
        protocols: protocols.collect(),
        ..JoinGroupRequest::default()
    }
}

fn fixed(instance: &str) -> JoinGroupRequest {
    JoinGroupRequest { group_instance_id: Some(instance.to_owned()), ..new_member() }
}

fn again(joined: &JoinGroupResponse) -> JoinGroupRequest {
    JoinGroupRequest { member_id: joined.member_id.clone(), ..new_member() }
}

fn beat_of(joined: &JoinGroupResponse) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: "g".to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        ..HeartbeatRequest::default()
    }
}

#[test]
fn a_group_is_described_with_its_members_and_what_they_say_while_it_is_stable() {
    let (mut play, joined) = Play::one();
    let group = play.groups.describe("g");
    assert_eq!((group.group_state.as_str(), group.protocol_type.as_str()), ("Stable", "consumer"));
    let member = &group.members[0];
    assert_eq!((member.member_id.as_str(), member.client_id.as_str()), (joined.member_id.as_str(), "client"));
    assert_eq!(member.member_metadata, "subscription for range");
    play.ask_join(false, &new_member());
    let group = play.groups.describe("g");
    assert_eq!((group.group_state.as_str(), group.members.len()), ("PreparingRebalance", 2));
    assert!(group.members.iter().all(|member| member.member_metadata.is_empty()));
    assert_eq!(play.groups.describe("other").group_state, "Dead");
}

#[test]
fn a_first_member_leads_a_generation_of_one() {
    let mut play = Play::new();
    let joined = play.join(&new_member());
    assert_eq!((joined.error_code, joined.generation_id), (ErrorCode::NONE, 1));
    assert_eq!(joined.leader, joined.member_id);
    assert_eq!(joined.protocol_name, "range");
    assert_eq!(joined.members.len(), 1);
    assert_eq!(joined.members[0].metadata, "subscription for range");
    assert_eq!(play.heartbeat(&joined), ErrorCode::REBALANCE_IN_PROGRESS, "not before its assignment");
    let synced = play.sync(&joined);
    assert_eq!(synced.assignment, format!("for {}", joined.member_id));
    assert_eq!(play.heartbeat(&joined), ErrorCode::NONE);
}

#[test]
fn a_second_member_waits_until_the_first_has_rejoined() {
    let (mut play, first) = Play::one();
    let second = play.ask_join(false, &new_member());
    assert_eq!(play.joined(second), None);
    assert_eq!(play.heartbeat(&first), ErrorCode::REBALANCE_IN_PROGRESS);
    let first = play.join(&again(&first));
    let second = play.joined(second).expect("the rebalance has ended").clone();
    assert_eq!((first.generation_id, second.generation_id), (2, 2));
    assert_eq!((first.members.len(), second.members.len()), (2, 0), "only the leader sees the members");
    let waits = play.ask_sync(&second);
    assert_eq!(play.synced(waits), None, "the leader has not assigned yet");
    play.sync(&first);
    assert_eq!(play.synced(waits).unwrap().assignment, format!("for {}", second.member_id));
}

#[test]
fn a_new_member_is_told_its_id_first_and_joins_with_it() {
    let mut play = Play::new();
    let ticket = play.ask_join(true, &new_member());
    let told = play.joined(ticket).unwrap().clone();
    assert_eq!(told.error_code, ErrorCode::MEMBER_ID_REQUIRED);
    assert!(told.member_id.starts_with("client-"));
    let ticket = play.ask_join(true, &again(&told));
    let joined = play.joined(ticket).unwrap();
    assert_eq!((joined.error_code, &joined.member_id), (ErrorCode::NONE, &told.member_id));
}

#[test]
fn an_id_that_nobody_comes_back_with_is_forgotten_and_holds_nobody_up() {
    let (mut play, first) = Play::one();
    let ticket = play.ask_join(true, &new_member());
    let told = play.joined(ticket).unwrap().clone();
    let rejoins = play.ask_join(true, &again(&first));
    assert_eq!(play.joined(rejoins), None, "the newcomer may come any moment");
    play.pass(SESSION);
    assert_eq!(play.joined(rejoins).unwrap().members.len(), 1);
    let late = play.join(&again(&told));
    assert_eq!(late.error_code, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_member_without_a_heartbeat_is_out_after_its_session_and_the_rest_rebalances() {
    let (mut play, first, second) = Play::two();
    play.pass(SESSION / 2);
    assert_eq!(play.heartbeat(&first), ErrorCode::NONE);
    play.pass(SESSION / 2);
    assert_eq!(play.heartbeat(&first), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(play.heartbeat(&second), ErrorCode::UNKNOWN_MEMBER_ID);
    let first = play.join(&again(&first));
    assert_eq!((first.generation_id, first.members.len()), (3, 1));
}

#[test]
fn one_that_does_not_rejoin_in_the_rebalance_timeout_is_left_out() {
    let (mut play, first, second) = Play::two();
    let third = play.ask_join(false, &new_member());
    let waits = play.ask_join(false, &again(&second));
    // The first only beats: alive, but it does not join.
    for _ in 0..12 {
        assert_eq!(play.heartbeat(&first), ErrorCode::REBALANCE_IN_PROGRESS);
        assert_eq!(play.joined(third), None);
        play.pass(REBALANCE / 12);
    }
    let second = play.joined(waits).expect("the time is over").clone();
    assert_eq!(second.leader, second.member_id, "the leader was left out, so another leads");
    assert_eq!(second.members.len(), 2);
    assert_eq!(play.heartbeat(&first), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_leaving_member_makes_the_rest_rebalance_at_once() {
    let (mut play, first, second) = Play::two();
    assert_eq!(play.leave(&second.member_id), ErrorCode::NONE);
    assert_eq!(play.leave(&second.member_id), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(play.heartbeat(&first), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(play.join(&again(&first)).members.len(), 1);
}

#[test]
fn when_the_leader_leaves_before_assigning_the_waiting_are_told() {
    let (mut play, first) = Play::one();
    let second = play.ask_join(false, &new_member());
    let first = play.join(&again(&first));
    let second = play.joined(second).unwrap().clone();
    let waits = play.ask_sync(&second);
    play.leave(&first.member_id);
    assert_eq!(play.synced(waits).unwrap().error_code, ErrorCode::REBALANCE_IN_PROGRESS);
    let second = play.join(&again(&second));
    assert_eq!(second.leader, second.member_id);
}

#[test]
fn an_old_generation_may_neither_commit_nor_sync_nor_beat() {
    let (mut play, old, _) = Play::two();
    let ticket = play.ask_join(false, &new_member());
    play.pass(SESSION);
    assert!(play.joined(ticket).is_some(), "the third is alone now");
    assert_eq!(play.may_commit(old.generation_id, &old.member_id), Err(ErrorCode::UNKNOWN_MEMBER_ID));

    let (mut play, first) = Play::one();
    let ticket = play.ask_join(false, &new_member());
    let newer = play.join(&again(&first));
    let second = play.joined(ticket).unwrap().clone();
    play.sync(&newer);
    play.sync(&second);
    assert_eq!(play.may_commit(first.generation_id, &first.member_id), Err(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(play.sync(&first).error_code, ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(play.heartbeat(&first), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(play.may_commit(newer.generation_id, &newer.member_id), Ok(()));
}

#[test]
fn a_member_may_commit_during_a_rebalance_but_not_before_its_assignment() {
    let (mut play, first) = Play::one();
    let ticket = play.ask_join(false, &new_member());
    assert_eq!(play.may_commit(first.generation_id, &first.member_id), Ok(()), "what it did before may count");
    let first = play.join(&again(&first));
    assert!(play.joined(ticket).is_some());
    let committed = play.may_commit(first.generation_id, &first.member_id);
    assert_eq!(committed, Err(ErrorCode::REBALANCE_IN_PROGRESS));
}

#[test]
fn one_that_is_no_member_may_commit_only_while_the_group_is_empty() {
    let mut play = Play::new();
    assert_eq!(play.may_commit(-1, ""), Ok(()));
    assert_eq!(play.may_commit(3, "gone"), Err(ErrorCode::ILLEGAL_GENERATION));
    let joined = play.join(&new_member());
    play.sync(&joined);
    assert_eq!(play.may_commit(-1, ""), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    play.leave(&joined.member_id);
    assert_eq!(play.may_commit(-1, ""), Ok(()));
}

#[test]
fn positions_outlive_the_members_and_a_group_without_either_is_gone() {
    let mut play = Play::new();
    let joined = play.join(&new_member());
    play.leave(&joined.member_id);
    assert_eq!(play.groups.size("g"), (0, 0), "dead");
    let committed = Committed { offset: 42, leader_epoch: 1, metadata: "m".to_owned() };
    play.groups.commit("g", "orders", 3, committed.clone());
    let joined = play.join(&new_member());
    play.leave(&joined.member_id);
    assert_eq!(play.groups.committed("g", "orders", 3), Some(&committed));
    assert_eq!(play.groups.committed("g", "orders", 2), None);
    assert_eq!(play.groups.all_committed("g").collect::<Vec<_>>(), [("orders", 3, &committed)]);
}

#[test]
fn the_assignor_that_all_know_and_most_prefer_is_chosen() {
    let mut play = Play::with_delay(Duration::from_secs(3));
    let tickets: Vec<Ticket> = [&["a", "b", "c"][..], &["c", "b"], &["b", "c"]]
        .into_iter()
        .map(|protocols| play.ask_join(false, &knowing(protocols)))
        .collect();
    play.pass(Duration::from_secs(3));
    for ticket in tickets {
        assert_eq!(play.joined(ticket).unwrap().protocol_name, "b", "a is not known to all");
    }
    let stranger = play.join(&knowing(&["a"]));
    assert_eq!(stranger.error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let other_type = JoinGroupRequest { protocol_type: "connect".to_owned(), ..knowing(&["b"]) };
    assert_eq!(play.join(&other_type).error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let nothing = JoinGroupRequest { group_id: "h".to_owned(), ..knowing(&[]) };
    assert_eq!(play.join(&nothing).error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
}

#[test]
fn the_first_rebalance_gathers_members_for_its_delay_and_each_newcomer_prolongs_it() {
    let mut play = Play::with_delay(Duration::from_secs(3));
    let first = play.ask_join(false, &new_member());
    play.pass(Duration::from_secs(2));
    let second = play.ask_join(false, &new_member());
    play.pass(Duration::from_secs(2));
    assert_eq!(play.joined(first), None);
    play.pass(Duration::from_secs(1));
    assert_eq!(play.joined(first).unwrap().generation_id, 1);
    assert_eq!(play.joined(second).unwrap().generation_id, 1);
}

#[test]
fn a_member_that_missed_the_answer_gets_it_again_without_a_rebalance() {
    let (mut play, first, second) = Play::two();
    let repeated = play.join(&again(&second));
    assert_eq!((repeated.generation_id, repeated.error_code), (second.generation_id, ErrorCode::NONE));
    assert_eq!(play.heartbeat(&first), ErrorCode::NONE);
    let leader = play.ask_join(false, &again(&first));
    assert_eq!(play.joined(leader), None, "a leader that joins again wants to assign again");
    assert_eq!(play.heartbeat(&second), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn a_static_member_that_restarts_takes_its_place_without_a_rebalance() {
    let mut play = Play::new();
    let first = play.join(&fixed("a"));
    play.sync(&first);
    let restarted = play.join(&fixed("a"));
    assert_eq!((restarted.generation_id, restarted.error_code), (first.generation_id, ErrorCode::NONE));
    assert_ne!(restarted.member_id, first.member_id);
    assert_eq!(restarted.leader, first.member_id, "so that it does not think that it leads");
    let synced = play.sync(&restarted);
    assert_eq!(synced.assignment, format!("for {}", first.member_id), "what it had before");
    let old = HeartbeatRequest { group_instance_id: Some("a".to_owned()), ..beat_of(&first) };
    assert_eq!(play.groups.heartbeat(play.now, &old), ErrorCode::FENCED_INSTANCE_ID);
    let new = HeartbeatRequest { group_instance_id: Some("a".to_owned()), ..beat_of(&restarted) };
    assert_eq!(play.groups.heartbeat(play.now, &new), ErrorCode::NONE);
}

#[test]
fn a_static_member_that_is_away_keeps_its_place_through_a_rebalance_until_its_session_ends() {
    let mut play = Play::new();
    let long = JoinGroupRequest { session_timeout_ms: 200_000, ..fixed("a") };
    let away = play.join(&long);
    play.sync(&away);
    let newcomer = play.ask_join(false, &new_member());
    play.pass(REBALANCE);
    let newcomer = play.joined(newcomer).expect("the rebalance is over").clone();
    assert_eq!(newcomer.members.len(), 2, "the absent one counts");
    assert_eq!(newcomer.leader, newcomer.member_id, "but it does not lead");
    play.sync(&newcomer);
    for _ in 0..15 {
        assert_eq!(play.heartbeat(&newcomer), ErrorCode::NONE);
        play.pass(Duration::from_secs(9));
    }
    assert_eq!(play.heartbeat(&newcomer), ErrorCode::NONE);
    play.pass(Duration::from_secs(5));
    assert_eq!(play.heartbeat(&newcomer), ErrorCode::REBALANCE_IN_PROGRESS, "now it is out");
}

#[test]
fn sessions_and_ids_that_are_not_valid_are_refused() {
    let mut play = Play::new();
    let ask = |request: JoinGroupRequest, play: &mut Play| play.join(&request).error_code;
    let unnamed = JoinGroupRequest { group_id: String::new(), ..new_member() };
    assert_eq!(ask(unnamed, &mut play), ErrorCode::INVALID_GROUP_ID);
    for session_timeout_ms in [-1, 0, 5_999, 1_800_001] {
        let request = JoinGroupRequest { session_timeout_ms, ..new_member() };
        assert_eq!(ask(request, &mut play), ErrorCode::INVALID_SESSION_TIMEOUT);
    }
    let unknown = JoinGroupRequest { member_id: "x".to_owned(), ..new_member() };
    assert_eq!(ask(unknown, &mut play), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(play.leave("x"), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(play.groups.deadline(), None, "and leave nothing behind");
}

#[test]
fn groups_and_members_have_a_bound_and_those_that_are_there_go_on() {
    let of = |group: String| JoinGroupRequest { group_id: group, ..new_member() };
    let mut play = Play::new();
    for number in 0..MAX_GROUPS {
        let group = format!("g{number}");
        let committer = Committer { group: &group, generation: -1, member_id: "", instance_id: None };
        assert_eq!(play.groups.may_commit(play.now, &committer), Ok(()));
        play.groups.commit(&group, "t", 0, Committed { offset: 1, leader_epoch: -1, metadata: String::new() });
    }
    let late = Committer { group: "late", generation: -1, member_id: "", instance_id: None };
    assert_eq!(play.groups.may_commit(play.now, &late), Err(ErrorCode::GROUP_MAX_SIZE_REACHED));
    assert_eq!(play.join(&of("late".to_owned())).error_code, ErrorCode::GROUP_MAX_SIZE_REACHED);
    // One that is there takes members, up to their own bound.
    for number in 0..MAX_MEMBERS {
        let ticket = play.ask_join(false, &of(format!("g{number}")));
        assert!(play.joined(ticket).is_none_or(|joined| joined.error_code.is_ok()), "member {number}");
    }
    assert_eq!(play.join(&of("g7".to_owned())).error_code, ErrorCode::GROUP_MAX_SIZE_REACHED);
}
