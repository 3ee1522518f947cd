//! A member on a virtual clock, with a coordinator of a few lines.

use super::*;

const SESSION: Duration = Duration::from_secs(9);
const THIRD: Duration = Duration::from_secs(3);
const MS: Duration = Duration::from_millis(1);

/// Errors after which the same is asked again of whoever coordinates the group then.
const ELSEWHERE: [ErrorCode; 3] =
    [ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, ErrorCode::COORDINATOR_NOT_AVAILABLE, ErrorCode::NOT_COORDINATOR];
/// Errors that no later try mends.
const FINAL: [ErrorCode; 4] = [
    ErrorCode::GROUP_AUTHORIZATION_FAILED,
    ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
    ErrorCode::INVALID_SESSION_TIMEOUT,
    ErrorCode::GROUP_MAX_SIZE_REACHED,
];

struct Play {
    machine: Membership,
    now: Instant,
}

impl Play {
    fn new() -> Self {
        let now = Instant::now();
        let backoff = Backoff::new(100 * MS, 1000 * MS);
        Self { machine: Membership::new(SESSION, Bytes::from("me"), backoff, now), now }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn poll(&mut self) -> Action {
        self.machine.poll(self.now).expect("something to ask")
    }

    fn fail(&mut self, failure: Failure) {
        self.machine.failed(self.now, 0.5, failure);
    }

    fn fail_with(&mut self, code: ErrorCode) {
        self.fail(Failure::Code(code));
    }

    /// Asks JoinGroup, which is answered with this generation and these members, the first of them the leader.
    fn join(&mut self, generation: i32, members: &[(&str, Bytes)]) {
        assert!(matches!(self.poll(), Action::Join { .. }));
        let described = |(id, metadata): &(&str, Bytes)| JoinGroupResponseMember {
            member_id: (*id).to_owned(),
            metadata: metadata.clone(),
            ..JoinGroupResponseMember::default()
        };
        let leads = members[0].0 == "me";
        let answer = JoinGroupResponse {
            generation_id: generation,
            leader: members[0].0.to_owned(),
            member_id: "me".to_owned(),
            members: members.iter().filter(|_| leads).map(described).collect(),
            ..JoinGroupResponse::default()
        };
        self.machine.joined(self.now, 0.5, answer);
    }

    /// Asks SyncGroup, which is answered with what the leader assigned to this member.
    fn sync_as_leader(&mut self) {
        let Action::Sync { assignments, .. } = self.poll() else { panic!("SyncGroup comes next") };
        let mine = assignments.into_iter().find(|(id, _)| id == "me").expect("an assignment").1;
        self.machine.synced(self.now, mine);
    }

    /// The sole member of a generation.
    fn sole(generation: i32) -> Self {
        let mut play = Self::new();
        play.join(generation, &[("me", fresh())]);
        play.sync_as_leader();
        play
    }

    fn generation(&self) -> Option<i32> {
        match self.machine.standing() {
            Standing::Sole { generation, .. } => Some(generation),
            _ => None,
        }
    }

    fn heartbeat(&mut self) {
        self.pass(THIRD);
        assert!(matches!(self.poll(), Action::Heartbeat { .. }));
    }
}

fn fresh() -> Bytes {
    metadata(false, &Bytes::from("me"))
}

fn other(holds: bool) -> Bytes {
    metadata(holds, &Bytes::from("host b"))
}

#[test]
fn a_first_member_is_the_sole_one_and_lives_by_a_heartbeat_each_third_of_its_session() {
    let mut play = Play::new();
    let start = play.now;
    assert_eq!(play.machine.standing(), Standing::Joining);
    play.join(1, &[("me", fresh())]);
    play.sync_as_leader();
    let sole = |until| Standing::Sole { generation: 1, member_id: "me".to_owned(), until };
    assert_eq!(play.machine.standing(), sole(start + SESSION));
    for beat in 1..5_u32 {
        assert_eq!(play.machine.poll(play.now), None);
        assert_eq!(play.machine.deadline(), Some(start + beat * THIRD));
        play.heartbeat();
        let sent = play.now;
        assert_eq!(play.machine.poll(play.now), None, "one at a time");
        play.pass(500 * MS);
        play.machine.alive();
        assert_eq!(play.machine.standing(), sole(sent + SESSION), "the session counts from when it was asked");
        play.now = sent;
    }
}

#[test]
fn a_coordinator_that_gives_an_id_first_is_asked_again_with_it() {
    let mut play = Play::new();
    assert!(matches!(play.poll(), Action::Join { member_id, .. } if member_id.is_empty()));
    let answer = JoinGroupResponse {
        error_code: ErrorCode::MEMBER_ID_REQUIRED,
        member_id: "me".to_owned(),
        ..JoinGroupResponse::default()
    };
    play.machine.joined(play.now, 0.5, answer);
    assert!(matches!(play.poll(), Action::Join { member_id, .. } if member_id == "me"));
    assert_eq!(play.machine.member_id(), Some("me"));
}

#[test]
fn of_two_that_start_at_the_same_moment_the_leader_is_chosen_and_the_other_one_told() {
    let mut leader = Play::new();
    leader.join(1, &[("me", fresh()), ("b", other(false))]);
    let Action::Sync { assignments, generation: 1, .. } = leader.poll() else { panic!("SyncGroup comes next") };
    let [mine, theirs] = &assignments[..] else { panic!("one for each") };
    assert_eq!((mine.0.as_str(), theirs.0.as_str()), ("me", "b"));
    leader.machine.synced(leader.now, mine.1.clone());
    assert_eq!(leader.generation(), Some(1));

    let mut second = Play::new();
    second.join(1, &[("a", Bytes::new()), ("me", Bytes::new())]);
    let Action::Sync { assignments: none, .. } = second.poll() else { panic!("SyncGroup comes next") };
    assert!(none.is_empty(), "the leader assigns");
    let holder = Holder { member_id: "a".to_owned(), user_data: Bytes::from("host a") };
    second.machine.synced(second.now, assignment(&holder));
    assert_eq!(second.machine.standing(), Standing::Out(Out::Other(holder)));
    assert_eq!(second.machine.poll(second.now), None);
}

#[test]
fn one_that_holds_the_group_keeps_it_whoever_leads() {
    let mut newcomer = Play::new();
    newcomer.join(4, &[("me", fresh()), ("b", other(true))]);
    newcomer.sync_as_leader();
    let Standing::Out(Out::Other(holder)) = newcomer.machine.standing() else { panic!("refused") };
    assert_eq!((holder.member_id.as_str(), holder.user_data.as_ref()), ("b", &b"host b"[..]));

    let mut holder = Play::sole(3);
    holder.heartbeat();
    holder.fail_with(ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(holder.generation(), Some(3), "it may commit in its generation until the next one begins");
    let Action::Join { member_id, metadata } = holder.poll() else { panic!("JoinGroup comes next") };
    assert_eq!((member_id.as_str(), holds(&metadata).0), ("me", true), "at once, and as the holder");
}

#[test]
fn a_member_that_the_leader_left_out_is_not_the_sole_one() {
    for given in [Bytes::new(), Bytes::from_static(b"\0"), Assignment::default().write(0).unwrap()] {
        let mut play = Play::new();
        play.join(1, &[("a", Bytes::new()), ("me", Bytes::new())]);
        play.poll();
        play.machine.synced(play.now, given);
        assert_eq!(play.machine.standing(), Standing::Out(Out::Other(Holder::default())));
    }
}

#[test]
fn a_session_that_ended_is_taken_up_again_if_nobody_was_there_since() {
    // The end of the session is a generation, the join another one; a coordinator may save itself the first.
    for generation in [6, 7] {
        let mut play = Play::sole(5);
        play.heartbeat();
        play.fail_with(ErrorCode::UNKNOWN_MEMBER_ID);
        assert_eq!(play.machine.standing(), Standing::Doubtful);
        let Action::Join { member_id, metadata } = play.poll() else { panic!("JoinGroup comes next") };
        assert_eq!((member_id.as_str(), holds(&metadata).0), ("", false), "as a new member that holds nothing");
        play.machine.failed(play.now, 0.5, Failure::NoAnswer);
        play.pass(200 * MS);
        play.join(generation, &[("me", fresh())]);
        play.sync_as_leader();
        assert_eq!(play.generation(), Some(generation));
    }
}

#[test]
fn a_session_that_ended_is_lost_if_another_one_was_there_since() {
    // Lower: the group was deleted and made again.
    for generation in [8, 9, 100, 1, 5] {
        let mut play = Play::sole(5);
        play.heartbeat();
        play.fail_with(ErrorCode::UNKNOWN_MEMBER_ID);
        play.join(generation, &[("me", fresh())]);
        play.sync_as_leader();
        assert_eq!(play.machine.standing(), Standing::Out(Out::TakenOver), "{generation}");
    }
    for (generation, holds_it) in [(7, true), (8, true), (8, false), (1, false)] {
        let mut play = Play::sole(5);
        play.heartbeat();
        play.fail_with(ErrorCode::UNKNOWN_MEMBER_ID);
        play.join(generation, &[("me", fresh()), ("b", other(holds_it))]);
        play.sync_as_leader();
        let Standing::Out(Out::Other(holder)) = play.machine.standing() else { panic!("{generation}: b has it") };
        assert_eq!((holder.member_id.as_str(), holder.user_data.as_ref()), ("b", &b"host b"[..]));
    }
}

#[test]
fn a_rebalance_that_leaves_it_a_member_never_takes_the_group_from_it() {
    let mut play = Play::sole(5);
    play.heartbeat();
    play.fail_with(ErrorCode::REBALANCE_IN_PROGRESS);
    // Any number of newcomers came and left: it was a member all the time.
    play.join(42, &[("me", metadata(true, &Bytes::from("me")))]);
    assert_eq!(play.generation(), Some(5));
    play.sync_as_leader();
    assert_eq!(play.generation(), Some(42));
}

/// The three states that wait for an answer, each with what it asks again after a failure that may pass.
fn asking() -> [(&'static str, Play); 3] {
    let mut joining = Play::new();
    joining.poll();
    let mut syncing = Play::new();
    syncing.join(1, &[("me", fresh())]);
    syncing.poll();
    let mut beating = Play::sole(1);
    beating.heartbeat();
    [("Join", joining), ("Sync", syncing), ("Heartbeat", beating)]
}

#[test]
fn no_answer_and_no_coordinator_are_tried_again_with_growing_pauses_in_every_state() {
    let failures = ELSEWHERE.map(Failure::Code).into_iter().chain([Failure::NoAnswer]);
    for failure in failures {
        for (name, mut play) in asking() {
            for pause in [100, 200, 400, 800, 1000] {
                play.fail(failure);
                assert_eq!(play.machine.deadline(), Some(play.now + pause * MS), "{name}: {failure:?}");
                assert_eq!(play.machine.poll(play.now), None, "{name}: {failure:?}");
                play.pass(pause * MS);
                let again = play.poll();
                // The rebalance that a SyncGroup was about may be over: joining tells.
                let expected = if name == "Heartbeat" { "Heartbeat" } else { "Join" };
                assert!(format!("{again:?}").starts_with(expected), "{name}: {failure:?}: {again:?}");
            }
        }
    }
}

#[test]
fn a_rebalance_and_an_old_generation_make_it_join_again_with_its_id_in_every_state() {
    for code in [ErrorCode::REBALANCE_IN_PROGRESS, ErrorCode::ILLEGAL_GENERATION] {
        for (name, mut play) in asking() {
            let id = play.machine.member_id().unwrap_or_default().to_owned();
            play.fail_with(code);
            play.pass(if name == "Heartbeat" { Duration::ZERO } else { 100 * MS });
            assert!(matches!(play.poll(), Action::Join { member_id, .. } if member_id == id), "{name}: {code}");
        }
    }
}

#[test]
fn a_forgotten_id_is_not_used_again_in_any_state() {
    for (name, mut play) in asking() {
        play.fail_with(ErrorCode::UNKNOWN_MEMBER_ID);
        play.pass(100 * MS);
        assert!(matches!(play.poll(), Action::Join { member_id, .. } if member_id.is_empty()), "{name}");
        assert_eq!(play.machine.member_id(), None, "{name}");
    }
}

#[test]
fn what_no_later_try_mends_ends_it_in_every_state() {
    for failure in FINAL.map(Failure::Code) {
        for (name, mut play) in asking() {
            play.fail(failure);
            assert_eq!(play.machine.standing(), Standing::Out(Out::Refused), "{name}: {failure:?}");
            play.pass(SESSION);
            assert_eq!((play.machine.poll(play.now), play.machine.deadline()), (None, None), "{name}: {failure:?}");
        }
    }
    for (name, mut play) in asking() {
        play.fail(Failure::Hopeless);
        let out = play.machine.standing() == Standing::Out(Out::Refused);
        assert_eq!(out, name != "Heartbeat", "{name}: one that holds the group tries on");
    }
}

#[test]
fn a_refused_commit_of_this_generation_is_a_reason_to_ask_and_an_older_one_is_none() {
    for code in [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::ILLEGAL_GENERATION, ErrorCode::REBALANCE_IN_PROGRESS] {
        let mut play = Play::sole(5);
        play.machine.commit_refused(play.now, 4, code);
        assert_eq!(play.machine.poll(play.now), None, "{code}");
        play.machine.commit_refused(play.now, 5, code);
        assert!(matches!(play.poll(), Action::Join { .. }), "{code}");
        let doubtful = play.machine.standing() == Standing::Doubtful;
        assert_eq!(doubtful, code == ErrorCode::UNKNOWN_MEMBER_ID, "{code}");
    }
}

#[test]
fn a_heartbeats_answer_that_comes_during_a_rejoin_changes_nothing() {
    let mut play = Play::sole(5);
    play.heartbeat();
    play.machine.commit_refused(play.now, 5, ErrorCode::UNKNOWN_MEMBER_ID);
    play.machine.alive();
    assert_eq!(play.machine.standing(), Standing::Doubtful);
    assert!(matches!(play.poll(), Action::Join { .. }));
}

#[test]
fn what_members_say_of_themselves_is_read_and_other_clients_words_are_not() {
    for (holds_it, bytes) in [(false, fresh()), (true, metadata(true, &Bytes::from("me")))] {
        assert_eq!(holds(&bytes), (holds_it, Bytes::from("me")));
        assert_eq!(user_data_in(&bytes), Some(Bytes::from("me")));
    }
    let sticky = Subscription { user_data: Some(Bytes::from_static(b"\x07x")), ..Subscription::default() };
    for bytes in [Bytes::new(), Bytes::from_static(b"\xff\xff\xff"), sticky.write(0).unwrap()] {
        assert_eq!((holds(&bytes).0, user_data_in(&bytes)), (false, None));
    }
}

#[test]
fn a_member_whose_metadata_the_broker_mixes_up_is_known_by_its_assignment() {
    let mine = assignment(&Holder { member_id: "me".to_owned(), user_data: Bytes::from("host a") });
    assert_eq!(user_data_of("me", &mine, mine.clone()), Some(Bytes::from("host a")));
    assert_eq!(user_data_of("other", &mine, mine.clone()), None);
    assert_eq!(user_data_of("me", &fresh(), mine), Some(Bytes::from("me")));
    assert_eq!(user_data_of("me", &Bytes::new(), Bytes::new()), None);
}

#[test]
fn any_bytes_of_a_leader_make_it_out_and_never_panic() {
    let whole = assignment(&Holder { member_id: "a".to_owned(), user_data: Bytes::from("x") });
    for len in 0..whole.len() {
        let _ = chosen(whole.slice(..len));
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = chosen(flipped.into());
    }
}
