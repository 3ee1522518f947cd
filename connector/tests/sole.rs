//! A task runs once at a time, with the real binary against a development broker: a second process is refused by name, the
//! next one after a `kill -9` starts at once, and one that was stopped for too long commits nothing.

mod tasks_support;

use std::path::Path;

use ottla_client::{JoinedAlone, SoleMember, SoleMemberOptions};
use ottla_connector::core::sole::Identity;
use ottla_connector::mode::group;
use ottla_devbroker::DevBroker;
use tasks_support::*;

const RECORDS: i64 = 1000;

async fn source() -> DevBroker {
    let broker = broker().await;
    broker.create_topic("from", 1).expect("created");
    fill(&broker, "from", 0, 0..RECORDS).await;
    broker
}

/// A process of the task with a target of its own.
fn start(broker: &DevBroker, directory: &Path) -> Process {
    let (servers, out) = (format!("{:?}", broker.bootstrap()), directory.join("out.jsonl"));
    let text = format!(
        "[connections.from]\nkind = \"kafka\"\nbootstrap = {servers}\ntopics = \"from\"\n\
         [connections.to]\nkind = \"jsonl\"\npath = '{}'\n\
         [tasks.t]\nsource = \"from\"\ntarget = \"to\"\nmode = \"full+incremental\"\n",
        out.display()
    );
    let file = directory.join("ottla.toml");
    std::fs::write(&file, text).expect("written");
    Process::start(directory, &["run", file.to_str().expect("letters")])
}

fn lines(directory: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(directory.join("out.jsonl")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn committed_up_to(broker: &DevBroker, offset: i64) {
    until("the commit", async || broker.committed(&group("t"), "from", 0) == Some(offset)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_by_name_and_no_record_is_doubled() {
    let (broker, one, two) = (source().await, tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let mut first = start(&broker, one.path());
    committed_up_to(&broker, RECORDS).await;
    let mut second = start(&broker, two.path());
    assert_eq!(second.wait().await, Some(3), "{}", second.log());
    for part in ["task t: another process runs it already", "client \"ottla\" at \"127.0.0.1\"", "UTC", "ottla-t"] {
        assert!(second.log().contains(part), "{part} is not in {}", second.log());
    }
    assert!(second.log().contains(&format!("process {}", first.id())), "{}", second.log());
    assert!(!two.path().join("out.jsonl").exists(), "the target was touched");
    fill(&broker, "from", 0, RECORDS..RECORDS + 10).await;
    committed_up_to(&broker, RECORDS + 10).await;
    first.signal("TERM");
    assert_eq!(first.wait().await, Some(0), "{}", first.log());
    assert_eq!(lines(one.path()), objects(0, 0..RECORDS + 10));
    assert_eq!(broker.group(&group("t")).0, 0, "the group is left at the end");
    let mut third = start(&broker, two.path());
    until("the next one runs", async || broker.group(&group("t")).0 == 1).await;
    third.signal("TERM");
    assert_eq!(third.wait().await, Some(0), "{}", third.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_that_start_at_the_same_moment_one_runs() {
    for _ in 0..5 {
        let (broker, one, two) = (source().await, tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
        let mut both = [start(&broker, one.path()), start(&broker, two.path())];
        let mut ended = None;
        until("one is refused", async || {
            ended = both.iter_mut().position(|process| process.ended().is_some());
            ended.is_some()
        })
        .await;
        let refused = ended.expect("one of them");
        assert_eq!(both[refused].wait().await, Some(3), "{}", both[refused].log());
        committed_up_to(&broker, RECORDS).await;
        let other = &mut both[1 - refused];
        other.signal("TERM");
        assert_eq!(other.wait().await, Some(0), "{}", other.log());
        let mut all = [lines(one.path()), lines(two.path())].concat();
        all.sort();
        assert_eq!(all, sorted(&[objects(0, 0..RECORDS)]), "every record once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_the_next_start_on_this_machine_waits_for_no_session() {
    let (broker, one) = (source().await, tempfile::tempdir().expect("one"));
    for life in 0..5 {
        let mut process = start(&broker, one.path());
        until("it runs", async || {
            broker.group(&group("t")).0 == 1 && process.log().matches("starts at").count() > life
        })
        .await;
        assert!(!process.log().contains("waiting"), "{}", process.log());
        process.signal("KILL");
        process.wait().await;
        assert_eq!(broker.group(&group("t")).0, 1, "the dead one is a member still");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_stopped_until_another_took_over_commits_nothing_and_says_so() {
    let (broker, one, two) = (source().await, tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let mut first = start(&broker, one.path());
    committed_up_to(&broker, RECORDS).await;
    first.signal("STOP");
    until("its session ends", async || broker.group(&group("t")).0 == 0).await;
    let mut second = start(&broker, two.path());
    fill(&broker, "from", 0, RECORDS..RECORDS + 10).await;
    committed_up_to(&broker, RECORDS + 10).await;
    first.signal("CONT");
    assert_eq!(first.wait().await, Some(3), "{}", first.log());
    assert!(first.log().contains("task t: another process has taken it over"), "{}", first.log());
    assert!(first.log().contains(&format!("process {}", second.id())), "{}", first.log());
    fill(&broker, "from", 0, RECORDS + 10..RECORDS + 20).await;
    committed_up_to(&broker, RECORDS + 20).await;
    second.signal("TERM");
    assert_eq!(second.wait().await, Some(0), "{}", second.log());
    assert_eq!(lines(two.path()), objects(0, RECORDS..RECORDS + 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_stopped_goes_on_when_nobody_took_over() {
    let (broker, one) = (source().await, tempfile::tempdir().expect("one"));
    let mut first = start(&broker, one.path());
    committed_up_to(&broker, RECORDS).await;
    first.signal("STOP");
    until("its session ends", async || broker.group(&group("t")).0 == 0).await;
    first.signal("CONT");
    fill(&broker, "from", 0, RECORDS..RECORDS + 10).await;
    committed_up_to(&broker, RECORDS + 10).await;
    first.signal("TERM");
    assert_eq!(first.wait().await, Some(0), "{}", first.log());
    assert_eq!(lines(one.path()), objects(0, 0..RECORDS + 10));
}

/// A member that says it is on another machine.
async fn elsewhere(broker: &DevBroker) -> SoleMember {
    let identity = Identity {
        host: "far-away".to_owned(),
        process: std::process::id(),
        space: "another kernel".to_owned(),
        session_ms: 2000,
        ..Identity::default()
    };
    let options = SoleMemberOptions { user_data: identity.to_bytes(), ..SoleMemberOptions::default() };
    match client(broker).await.join_group_alone(&group("t"), options).await.expect("joined") {
        JoinedAlone::Member(member) => member,
        JoinedAlone::Refused { .. } => panic!("nobody else is there"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_on_another_machine_is_waited_for_and_then_named() {
    let (broker, one) = (source().await, tempfile::tempdir().expect("one"));
    let member = elsewhere(&broker).await;
    let mut process = start(&broker, one.path());
    assert_eq!(process.wait().await, Some(3), "{}", process.log());
    for part in ["t: it may be running already", "waiting up to 2 s", "another process runs it already", "far-away"] {
        assert!(process.log().contains(part), "{part} is not in {}", process.log());
    }
    assert!(member.is_held(), "it was not disturbed");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_on_another_machine_that_is_gone_makes_room() {
    let (broker, one) = (source().await, tempfile::tempdir().expect("one"));
    let member = elsewhere(&broker).await;
    let mut process = start(&broker, one.path());
    until("it waits", async || process.log().contains("waiting up to 2 s")).await;
    member.leave().await;
    committed_up_to(&broker, RECORDS).await;
    process.signal("TERM");
    assert_eq!(process.wait().await, Some(0), "{}", process.log());
}
