//! Being a group's only member, against development brokers: one at a time, however they start, stall and end.

mod net_support;

use std::time::{Duration, Instant};

use net_support::builder;
use ottla_client::{Client, CommitOffset, ErrorKind, JoinedAlone, SoleMember, SoleMemberOptions, TopicPartition};
use ottla_devbroker::{DevBroker, Fault, Release};
use ottla_protocol::{ApiKey, ErrorCode};

const GROUP: &str = "billing";
const PATIENCE: Duration = Duration::from_mins(1);

/// A broker of a release that takes short sessions, with a topic.
async fn broker_of(release: Release) -> DevBroker {
    let short = Duration::from_millis(100)..=Duration::from_mins(5);
    let broker = DevBroker::builder().release(release).nodes(3).session_timeout(short).start().await.unwrap();
    broker.create_topic("t", 1).unwrap();
    broker
}

async fn client(broker: &DevBroker) -> Client {
    builder(broker.bootstrap()).connect().await.unwrap()
}

fn named(name: &str) -> SoleMemberOptions {
    SoleMemberOptions { user_data: name.as_bytes().to_vec(), ..SoleMemberOptions::default() }
}

fn at(offset: i64) -> [CommitOffset; 1] {
    [CommitOffset::new(TopicPartition::new("t", 0), offset)]
}

async fn join(client: &Client, options: SoleMemberOptions) -> SoleMember {
    match client.join_group_alone(GROUP, options).await.unwrap() {
        JoinedAlone::Member(member) => member,
        refused @ JoinedAlone::Refused { .. } => panic!("{refused:?}"),
    }
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "not seen: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_second_member_is_refused_by_name_and_the_first_goes_on_in_every_release() {
    for release in Release::ALL {
        let broker = broker_of(release).await;
        let (one, two) = (client(&broker).await, client(&broker).await);
        // Short, so that the first hears of the second one soon.
        let options = SoleMemberOptions { session_timeout: Duration::from_millis(600), ..named("one") };
        let first = join(&one, options).await;
        first.commit(&at(3)).await.unwrap();
        for _ in 0..2 {
            match two.join_group_alone(GROUP, named("two")).await.unwrap() {
                JoinedAlone::Refused { user_data, .. } => assert_eq!(user_data, b"one", "{release}"),
                JoinedAlone::Member(_) => panic!("{release}: two sole members"),
            }
            first.commit(&at(4)).await.unwrap();
        }
        assert_eq!(broker.committed(GROUP, "t", 0), Some(4));
        first.leave().await;
        assert_eq!(broker.group(GROUP).0, 0, "{release}: nobody is left");
        join(&two, named("two")).await.commit(&at(5)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_start_at_the_same_moment_exactly_one_is_the_member() {
    for delay in [Duration::ZERO, Duration::from_millis(300)] {
        let broker = DevBroker::builder().nodes(3).initial_rebalance_delay(delay).start().await.unwrap();
        let mut joining = Vec::new();
        for number in 0..8 {
            let client = client(&broker).await;
            joining.push(tokio::spawn(async move { client.join_group_alone(GROUP, named(&number.to_string())).await }));
        }
        let (mut members, mut refused) = (Vec::new(), Vec::new());
        for joined in joining {
            match joined.await.unwrap().unwrap() {
                JoinedAlone::Member(member) => members.push(member),
                JoinedAlone::Refused { user_data, .. } => refused.push(user_data),
            }
        }
        assert_eq!((members.len(), refused.len()), (1, 7), "{delay:?}");
        assert!(refused.iter().all(|by| by == &refused[0]), "all name the same one: {refused:?}");
        until("the others have left", async || broker.group(GROUP).0 == 1).await;
    }
}

#[tokio::test]
async fn one_that_was_replaced_commits_nothing_and_says_that_it_is_fenced() {
    for release in Release::ALL {
        let broker = broker_of(release).await;
        let (one, two) = (client(&broker).await, client(&broker).await);
        let first = join(&one, named("one")).await;
        first.commit(&at(10)).await.unwrap();
        let dead = two.describe_group(GROUP).await.unwrap().members.remove(0);
        assert_eq!(dead.user_data.as_deref(), Some(&b"one"[..]));
        assert_eq!(dead.client_host, "127.0.0.1");
        // Its heartbeats are frequent, so it hears soon that the first one tries to come back.
        let options = SoleMemberOptions {
            session_timeout: Duration::from_secs(1),
            replaces: vec![dead.member_id],
            ..named("two")
        };
        let second = join(&two, options).await;
        second.commit(&at(20)).await.unwrap();
        let error = first.commit(&at(11)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{release}: {error}");
        assert_eq!(first.lost().await.kind(), ErrorKind::Fenced);
        assert_eq!(first.taken_over_by().as_deref(), Some(&b"two"[..]), "{release}");
        assert!(!first.is_held() && first.held().await.is_err());
        assert_eq!(broker.committed(GROUP, "t", 0), Some(20), "{release}");
        second.commit(&at(21)).await.unwrap();
        second.leave().await;
        assert_eq!(first.commit(&at(11)).await.unwrap_err().kind(), ErrorKind::Fenced, "for good");
        assert_eq!(broker.committed(GROUP, "t", 0), Some(21), "{release}");
    }
}

#[tokio::test]
async fn one_whose_replacement_has_left_already_commits_nothing_either() {
    let broker = broker_of(Release::default()).await;
    let (one, two) = (client(&broker).await, client(&broker).await);
    let first = join(&one, named("one")).await;
    first.commit(&at(10)).await.unwrap();
    // The first notices nothing of all that comes now.
    let silence = broker.inject(Fault::silence(ApiKey::HEARTBEAT));
    let dead = two.describe_group(GROUP).await.unwrap().members.remove(0).member_id;
    let second = join(&two, SoleMemberOptions { replaces: vec![dead], ..named("two") }).await;
    second.commit(&at(20)).await.unwrap();
    second.leave().await;
    assert_eq!(broker.group(GROUP).0, 0);
    silence.remove();
    let error = first.commit(&at(11)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert_eq!(broker.committed(GROUP, "t", 0), Some(20));
}

#[tokio::test]
async fn a_session_that_ended_while_nobody_else_came_is_taken_up_again() {
    for release in [Release::V0_11, Release::default()] {
        let broker = broker_of(release).await;
        let one = client(&broker).await;
        let options = SoleMemberOptions { session_timeout: Duration::from_millis(500), ..named("one") };
        let first = join(&one, options).await;
        first.commit(&at(10)).await.unwrap();
        let silence = broker.inject(Fault::silence(ApiKey::HEARTBEAT));
        until("the session ends", async || broker.group(GROUP).0 == 0 && !first.is_held()).await;
        silence.remove();
        first.held().await.unwrap();
        first.commit(&at(11)).await.unwrap();
        assert_eq!(broker.committed(GROUP, "t", 0), Some(11), "{release}");
    }
}

#[tokio::test]
async fn a_membership_outlives_its_coordinators() {
    let broker = broker_of(Release::default()).await;
    let one = client(&broker).await;
    let first = join(&one, named("one")).await;
    for offset in 0..3 {
        let coordinator = broker.coordinator(GROUP).unwrap();
        broker.kill_node(coordinator).await.unwrap();
        first.commit(&at(offset)).await.unwrap();
        assert_eq!(broker.committed(GROUP, "t", 0), Some(offset));
        broker.restart_node(coordinator).await.unwrap();
    }
    let beats = broker.requests(ApiKey::HEARTBEAT);
    until("a heartbeat", async || broker.requests(ApiKey::HEARTBEAT) > beats && first.is_held()).await;
    assert_eq!(broker.group(GROUP).0, 1);
}

#[tokio::test]
async fn a_member_that_is_dropped_leaves_and_leaves_no_task_behind() {
    let broker = broker_of(Release::default()).await;
    let one = client(&broker).await;
    drop(join(&one, named("one")).await);
    until("the group is empty", async || broker.group(GROUP).0 == 0).await;
    // A join that is given up before it is answered.
    let waiting = broker.inject(Fault::delay(ApiKey::SYNC_GROUP, Duration::from_secs(2)));
    let joining = tokio::time::timeout(Duration::from_millis(300), one.join_group_alone(GROUP, named("two")));
    assert!(joining.await.is_err());
    waiting.remove();
    until("the group is empty again", async || broker.group(GROUP).0 == 0).await;
}

#[tokio::test]
async fn a_refused_join_says_why_at_once() {
    let broker = broker_of(Release::default()).await;
    let one = client(&broker).await;
    broker.inject(Fault::error(ApiKey::JOIN_GROUP, ErrorCode::GROUP_AUTHORIZATION_FAILED));
    let error = one.join_group_alone(GROUP, named("one")).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::GROUP_AUTHORIZATION_FAILED), "{error}");
    assert!(error.to_string().contains("JoinGroup") && error.to_string().contains(GROUP), "{error}");
    broker.clear_faults();
    let error = one
        .join_group_alone(GROUP, SoleMemberOptions { session_timeout: Duration::from_millis(1), ..named("one") })
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::INVALID_SESSION_TIMEOUT), "{error}");
}
