//! What is seen of an outage: a line when it begins and one when it ends, with task, connection and cause. The lines in
//! between, one every 30 seconds, are tested on a virtual clock beside `outage.rs`.

mod tasks_support;

use ottla_devbroker::{DevBroker, Fault};
use ottla_protocol::{ApiKey, ErrorCode};
use tasks_support::*;

/// A task that has read the first ten records of partition 0.
async fn running(broker: &DevBroker, partitions: i32, directory: &std::path::Path, args: &[&str]) -> Process {
    let text = format!(
        "[connections.shop]\nkind = \"kafka\"\nbootstrap = {:?}\ntopics = \"from\"\n\
         [connections.file]\nkind = \"jsonl\"\npath = '{}'\n\
         [tasks.sync]\nsource = \"shop\"\ntarget = \"file\"\nmode = \"full+incremental\"\n",
        broker.bootstrap(),
        directory.join("out.jsonl").display()
    );
    let file = directory.join("ottla.toml");
    std::fs::write(&file, text).expect("written");
    broker.create_topic("from", partitions).expect("created");
    fill(broker, "from", 0, 0..10).await;
    let process = Process::start(directory, &[&["run", file.to_str().expect("letters")], args].concat());
    let out = directory.join("out.jsonl");
    until("the records", async || std::fs::read_to_string(&out).is_ok_and(|text| text.lines().count() == 10)).await;
    process
}

/// The lines about the connection.
fn outage(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("connection shop")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_away_is_told_of_once_and_its_return_too() {
    let broker = broker().await;
    let directory = tempfile::tempdir().expect("a directory");
    let mut running = running(&broker, 1, directory.path(), &[]).await;
    let address = broker.bootstrap().join(",");
    broker.kill_node(0).await.expect("killed");
    until("the outage", async || !outage(&running.log()).is_empty()).await;
    // More tries fail, each in another way than the first.
    let port = tokio::net::TcpListener::bind(&address).await.expect("the port is free");
    for _ in 0..8 {
        drop(port.accept().await.expect("a try"));
    }
    drop(port);
    let log = running.log();
    let lines = outage(&log);
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].starts_with("sync: connection shop: "), "{log}");
    assert!(lines[0].contains("cannot connect") && lines[0].ends_with("trying again until it answers"), "{log}");
    assert_eq!(lines[0].matches(&address).count(), 1, "the address once: {log}");
    broker.restart_node(0).await.expect("started");
    until("its end", async || running.log().contains("sync: connection shop: answers again after")).await;
    fill(&broker, "from", 0, 10..20).await;
    let out = directory.path().join("out.jsonl");
    until("more", async || std::fs::read_to_string(&out).is_ok_and(|text| text.lines().count() == 20)).await;
    running.signal("TERM");
    assert_eq!(running.wait().await, Some(0), "{}", running.log());
    let log = running.log();
    assert!(!log.contains("WARN") && !log.contains("ottla_client::"), "{log}");
    assert_eq!(outage(&log).len(), 2, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_accepts_and_never_answers_is_told_of_after_seconds() {
    let broker = broker().await;
    let directory = tempfile::tempdir().expect("a directory");
    let mut running = running(&broker, 1, directory.path(), &["--shutdown-timeout", "1s"]).await;
    for api in [ApiKey::FETCH, ApiKey::METADATA, ApiKey::API_VERSIONS, ApiKey::OFFSET_COMMIT] {
        broker.inject(Fault::silence(api));
    }
    let begun = std::time::Instant::now();
    until("the outage", async || !outage(&running.log()).is_empty()).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(25), "a request's own deadline is 30 s");
    let log = running.log();
    // Which of the requests waits longest is a matter of pace.
    assert!(outage(&log)[0].contains("no answer to "), "{log}");
    running.signal("TERM");
    assert!(running.wait().await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_cannot_be_read_have_a_line_together_and_hold_up_no_other() {
    let broker = broker().await;
    let directory = tempfile::tempdir().expect("a directory");
    let mut running = running(&broker, 3, directory.path(), &[]).await;
    let told = |log: &str, what: &str| log.lines().filter(|line| line.contains(what)).count();
    for partition in [1, 2] {
        let fault = Fault::error(ApiKey::FETCH, ErrorCode::LEADER_NOT_AVAILABLE);
        broker.inject(fault.on_partition("from", partition));
    }
    until("a line", async || told(&running.log(), "cannot be read") > 0).await;
    fill(&broker, "from", 0, 10..20).await;
    let out = directory.path().join("out.jsonl");
    let lines = || std::fs::read_to_string(&out).map_or(0, |text| text.lines().count());
    until("records of the one that can", async || lines() == 20).await;
    broker.clear_faults();
    fill(&broker, "from", 2, 0..5).await;
    until("records of another", async || lines() == 25).await;
    until("its end", async || told(&running.log(), "read again after") > 0).await;
    running.signal("TERM");
    assert_eq!(running.wait().await, Some(0), "{}", running.log());
    let log = running.log();
    assert!(log.contains("; the other partitions go on: ") && log.contains("LEADER_NOT_AVAILABLE"), "{log}");
    // Both may be found to be unreadable in one look, or in two.
    assert!((1..=2).contains(&told(&log, "sync: cannot be read: from-")), "{log}");
    assert!(outage(&log).is_empty(), "the broker answers: {log}");
}
