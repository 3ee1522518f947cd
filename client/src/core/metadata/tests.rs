use ottla_protocol::messages::{
    Message, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

use super::*;

const MS: Duration = Duration::from_millis(1);

fn tracker() -> Tracker {
    Tracker::new(300_000 * MS, 100 * MS, Backoff::new(100 * MS, 1000 * MS))
}

fn partition(partition_index: i32, leader_id: i32, leader_epoch: i32) -> MetadataResponsePartition {
    let replica_nodes = vec![1, 2];
    MetadataResponsePartition { partition_index, leader_id, leader_epoch, replica_nodes, ..Default::default() }
}

fn topic(name: &str, partitions: Vec<MetadataResponsePartition>) -> MetadataResponseTopic {
    MetadataResponseTopic { name: name.to_owned(), partitions, ..Default::default() }
}

fn answer(topics: Vec<MetadataResponseTopic>) -> MetadataResponse {
    let broker = |node_id| MetadataResponseBroker { node_id, host: "kafka".into(), port: 9092, rack: None };
    MetadataResponse { brokers: [1, 2].map(broker).into(), controller_id: 2, topics, ..Default::default() }
}

/// The answer as it comes over the wire.
fn read(answer: &MetadataResponse) -> Answer {
    Answer::read(8, answer.write(8).unwrap().concat().into()).unwrap()
}

fn named(names: &[&str]) -> Scope {
    Scope::Named(names.iter().map(|name| Arc::from(*name)).collect())
}

#[test]
fn a_leader_is_known_after_an_answer_and_a_move_is_told() {
    let (mut tracker, now) = (tracker(), Instant::now());
    let first = tracker.succeed(
        now,
        &Scope::All,
        read(&answer(vec![topic("t", vec![partition(1, 2, 0), partition(0, 1, 0)])])),
    );
    assert_eq!(first.unwrap(), Changes { changed: true, ..Changes::default() });
    assert_eq!(tracker.snapshot().leader("t", 1), Some(NodeId(2)));
    assert_eq!(tracker.snapshot().controller, Some(NodeId(2)));
    let second = tracker.succeed(
        now,
        &Scope::All,
        read(&answer(vec![topic("t", vec![partition(0, 2, 1), partition(1, 2, 0)])])),
    );
    assert_eq!(second.unwrap().moves, [TopicPartition::new("t", 0)]);
    assert_eq!(tracker.snapshot().leader("t", 0), Some(NodeId(2)));
}

#[test]
fn the_same_answer_again_is_no_news() {
    let (mut tracker, now) = (tracker(), Instant::now());
    let news = answer(vec![topic("t", vec![partition(0, 1, 0)])]);
    tracker.succeed(now, &Scope::All, read(&news)).unwrap();
    let before = tracker.snapshot();
    assert_eq!(tracker.succeed(now, &Scope::All, read(&news)).unwrap(), Changes::default());
    assert!(Arc::ptr_eq(&before, &tracker.snapshot()));
}

#[test]
fn a_stale_leader_epoch_is_never_believed_over_a_newer_one() {
    let (mut tracker, now) = (tracker(), Instant::now());
    tracker.succeed(now, &Scope::All, read(&answer(vec![topic("t", vec![partition(0, 2, 7)])]))).unwrap();
    let stale = tracker.succeed(now, &Scope::All, read(&answer(vec![topic("t", vec![partition(0, 1, 6)])]))).unwrap();
    assert_eq!(stale.stale, [TopicPartition::new("t", 0)]);
    assert_eq!(tracker.snapshot().leader("t", 0), Some(NodeId(2)), "the deposed leader is back");
    assert!(tracker.due().unwrap() <= now + 100 * MS, "stale news call for newer ones");
}

#[test]
fn a_topic_made_anew_is_believed_after_a_few_answers() {
    let (mut tracker, now) = (tracker(), Instant::now());
    tracker.succeed(now, &Scope::All, read(&answer(vec![topic("t", vec![partition(0, 2, 7)])]))).unwrap();
    let anew = answer(vec![topic("t", vec![partition(0, 1, 0)])]);
    for _ in 1..REWINDS_BELIEVED {
        tracker.succeed(now, &Scope::All, read(&anew)).unwrap();
        assert_eq!(tracker.snapshot().leader("t", 0), Some(NodeId(2)));
    }
    tracker.succeed(now, &Scope::All, read(&anew)).unwrap();
    assert_eq!(tracker.snapshot().leader("t", 0), Some(NodeId(1)));
}

#[test]
fn a_topic_seen_gone_starts_with_any_epoch() {
    let (mut tracker, now) = (tracker(), Instant::now());
    tracker.succeed(now, &Scope::All, read(&answer(vec![topic("t", vec![partition(0, 2, 7)])]))).unwrap();
    tracker.succeed(now, &named(&["t"]), read(&answer(vec![]))).unwrap();
    assert!(tracker.snapshot().topic("t").is_none());
    tracker.succeed(now, &named(&["t"]), read(&answer(vec![topic("t", vec![partition(0, 1, 0)])]))).unwrap();
    assert_eq!(tracker.snapshot().leader("t", 0), Some(NodeId(1)));
}

#[test]
fn an_answer_about_some_topics_leaves_the_others() {
    let (mut tracker, now) = (tracker(), Instant::now());
    let both = answer(vec![topic("a", vec![partition(0, 1, 0)]), topic("b", vec![partition(0, 1, 0)])]);
    tracker.succeed(now, &Scope::All, read(&both)).unwrap();
    let mut unknown = topic("a", vec![]);
    unknown.error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    tracker.succeed(now, &named(&["a"]), read(&answer(vec![unknown]))).unwrap();
    assert!(tracker.snapshot().topic("a").is_none() && tracker.snapshot().topic("b").is_some());
    tracker.succeed(now, &Scope::All, read(&answer(vec![]))).unwrap();
    assert!(tracker.snapshot().topics.is_empty());
}

#[test]
fn a_topic_without_leader_keeps_its_partitions_and_says_why() {
    let (mut tracker, now) = (tracker(), Instant::now());
    tracker.succeed(now, &Scope::All, read(&answer(vec![topic("t", vec![partition(0, 1, 3)])]))).unwrap();
    let mut electing = topic("t", vec![]);
    electing.error_code = ErrorCode::LEADER_NOT_AVAILABLE;
    tracker.succeed(now, &Scope::All, read(&answer(vec![electing]))).unwrap();
    let info = tracker.snapshot().topic("t").cloned().unwrap();
    assert_eq!((info.error, info.partitions.len()), (Some(ErrorCode::LEADER_NOT_AVAILABLE), 1));
    assert!(!info.is_led());
}

#[test]
fn a_leader_that_is_not_listed_cannot_be_reached() {
    let (mut tracker, now) = (tracker(), Instant::now());
    tracker
        .succeed(now, &Scope::All, read(&answer(vec![topic("t", vec![partition(0, 9, 0), partition(1, -1, 0)])])))
        .unwrap();
    assert_eq!((tracker.snapshot().leader("t", 0), tracker.snapshot().leader("t", 1)), (None, None));
}

#[test]
fn refreshes_that_errors_ask_for_keep_their_distance_and_awaited_ones_do_not_wait() {
    let (mut tracker, now) = (tracker(), Instant::now());
    assert_eq!(tracker.due(), None);
    tracker.start(now);
    tracker.succeed(now, &Scope::All, read(&answer(vec![]))).unwrap();
    assert_eq!(tracker.due(), Some(now + 300_000 * MS));
    (0..1000).for_each(|_| tracker.want());
    assert_eq!(tracker.due(), Some(now + 100 * MS));
    tracker.want_now(&["t".into()]);
    assert!(tracker.due().unwrap() <= now);
    tracker.start(now + MS);
    assert_eq!(tracker.due(), Some(now + 300_000 * MS), "a started refresh has taken up the wish");
    tracker.fail(now + MS, 0.5);
    assert_eq!(tracker.due(), Some(now + 101 * MS));
    tracker.want_now(&[]);
    assert_eq!(tracker.due(), Some(now + 101 * MS), "even awaited ones keep the delay after a failure");
}

#[test]
fn an_answer_that_lists_no_broker_changes_nothing() {
    let (mut tracker, now) = (tracker(), Instant::now());
    tracker.succeed(now, &Scope::All, read(&answer(vec![topic("t", vec![partition(0, 1, 0)])]))).unwrap();
    let before = tracker.snapshot();
    assert_eq!(tracker.succeed(now, &Scope::All, read(&MetadataResponse::default())), Err(Malformed::NoBroker));
    assert_eq!(tracker.snapshot(), before);
}

#[test]
fn a_missing_topic_is_believed_only_from_a_broker_that_knows_some_topic() {
    let unknown =
        |name| MetadataResponseTopic { error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ..topic(name, vec![]) };
    let known = || topic("other", vec![partition(0, 1, 0)]);
    for (scope, topics, silence) in [
        (named(&[]), vec![], Silence::None),
        (named(&["t"]), vec![topic("t", vec![])], Silence::Believed),
        (named(&["t", "other"]), vec![unknown("t"), known()], Silence::Believed),
        (named(&["t"]), vec![unknown("t")], Silence::AskForAll),
        (named(&["t"]), vec![], Silence::AskForAll),
        (Scope::All, vec![known()], Silence::Believed),
        (Scope::All, vec![], Silence::Doubtful),
    ] {
        assert_eq!(Silence::of(&scope, &read(&answer(topics.clone()))), silence, "{scope:?} {topics:?}");
    }
}

#[test]
fn names_that_steer_a_terminal_are_left_out_and_hosts_that_none_has_refused() {
    let (mut tracker, now) = (tracker(), Instant::now());
    let news = answer(vec![topic("a\u{1b}[2Jb", vec![partition(0, 1, 0)]), topic("t", vec![partition(0, 1, 0)])]);
    let changes = tracker.succeed(now, &Scope::All, read(&news)).unwrap();
    assert_eq!(changes.unprintable.as_deref(), Some("a\\u{1b}[2Jb"));
    assert_eq!(tracker.snapshot().topics.iter().map(|topic| &*topic.name).collect::<Vec<_>>(), ["t"]);
    for host in ["kafka\u{1b}[2J", "", "a b", &"x".repeat(256)] {
        let mut bad = answer(vec![]);
        bad.brokers[0].host = host.to_owned();
        let refused = tracker.succeed(now, &Scope::All, read(&bad)).unwrap_err().to_string();
        assert!(refused.contains("broker 1") && !refused.contains('\u{1b}'), "{refused}");
    }
}

#[test]
fn nonsense_is_refused_and_changes_nothing() {
    let (mut tracker, now) = (tracker(), Instant::now());
    tracker.succeed(now, &Scope::All, read(&answer(vec![topic("t", vec![partition(0, 1, 0)])]))).unwrap();
    let before = tracker.snapshot();
    for bad in [vec![partition(0, 1, 0), partition(0, 2, 0)], vec![partition(-1, 1, 0)]] {
        let refused = tracker.succeed(now, &Scope::All, read(&answer(vec![topic("t", bad)])));
        assert!(matches!(refused, Err(Malformed::Partition { .. })), "{refused:?}");
    }
    let mut bad = answer(vec![]);
    bad.brokers[0].port = 70_000;
    assert_eq!(tracker.succeed(now, &Scope::All, read(&bad)), Err(Malformed::Port { node: 1, port: 70_000 }));
    assert_eq!(tracker.snapshot(), before);
}
