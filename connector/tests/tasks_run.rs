//! `ottla run` with the real binary against a development broker: what it says, how it ends, and signals.

mod tasks_support;

use ottla_connector::mode::group;
use ottla_devbroker::{DevBroker, Fault};
use ottla_protocol::{ApiKey, ErrorCode};
use tasks_support::*;

impl Config {
    /// From `from` to `to` on a broker and to a file, each by a task of its own.
    fn two_ways(broker: &DevBroker, mode: &str, keys: &str) -> Self {
        let config = Self::new("");
        let servers = format!("{:?}", broker.bootstrap());
        let out = config.out();
        let text = format!(
            "[connections.from]\nkind = \"kafka\"\nbootstrap = {servers}\ntopics = \"from\"\n{keys}\n\
             [connections.to]\nkind = \"kafka\"\nbootstrap = {servers}\ntopics = \"to\"\n\
             [connections.file]\nkind = \"jsonl\"\npath = '{}'\n\
             [tasks.to-kafka]\nsource = \"from\"\ntarget = \"to\"\nmode = \"{mode}\"\n\
             [tasks.to-file]\nsource = \"from\"\ntarget = \"file\"\nmode = \"{mode}\"\n",
            out.display()
        );
        std::fs::write(config.file(), text).expect("written");
        config
    }
}

async fn source() -> DevBroker {
    let broker = broker().await;
    broker.create_topic("from", 2).expect("created");
    for partition in 0..2 {
        fill(&broker, "from", partition, 0..50).await;
    }
    broker
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_run_side_by_side_and_say_where_each_partition_starts_and_why() {
    let broker = source().await;
    let config = Config::two_ways(&broker, "full", "");
    let done = config.run(&[]).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    for task in ["to-kafka", "to-file"] {
        for partition in 0..2 {
            let line = format!(
                "{task}: from-{partition} starts at 0, up to 50 (no committed offset, mode full: from the earliest offset)"
            );
            assert!(said(&done).contains(&line), "{line} is not in\n{}", said(&done));
        }
        assert!(
            said(&done).contains(&format!("{task}: complete; 100 read, 100 written, 0 skipped")),
            "{}",
            said(&done)
        );
    }
    assert_eq!(std::fs::read_to_string(config.out()).expect("read").lines().count(), 100);
    let arrived: usize = values(&broker, "to", 0).len();
    assert_eq!((arrived, done.stdout.len()), (100, 0));
    let again = config.run(&["to-file"]).await;
    assert!(
        said(&again).contains("to-file: from-1 starts at 50, up to 50 (resumed from the committed offset)"),
        "{}",
        said(&again)
    );
    assert!(!said(&again).contains("to-kafka"), "only the task that was named");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_task_is_refused_with_the_nearest_name_and_nothing_runs() {
    let broker = source().await;
    let config = Config::two_ways(&broker, "full", "");
    let before = broker.requests(ApiKey::API_VERSIONS);
    let done = config.run(&["to-flie"]).await;
    assert_eq!(done.status.code(), Some(2));
    assert!(
        said(&done).contains("no task `to-flie`") && said(&done).contains("did you mean `to-file`?"),
        "{}",
        said(&done)
    );
    assert_eq!(broker.requests(ApiKey::API_VERSIONS), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_is_the_worst_tasks_and_the_others_come_to_their_end() {
    let broker = source().await;
    broker.create_topic("to", 1).expect("created");
    broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::INVALID_TIMESTAMP).on_partition("to", 0));
    let config = Config::two_ways(&broker, "full", "");
    let done = config.run(&[]).await;
    assert_eq!(done.status.code(), Some(4), "{}", said(&done));
    assert!(said(&done).contains("to-file: complete") && said(&done).contains("to-kafka: stopped"), "{}", said(&done));
    assert!(said(&done).contains("INVALID_TIMESTAMP"), "{}", said(&done));
    assert_eq!(committed(&broker, &group("to-kafka"), "from", 2).await, [Some(0), Some(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn skipped_records_end_with_0_and_under_strict_with_5() {
    let broker = source().await;
    produce(&broker, "from", 0, &[b"not json"]).await;
    let config = Config::two_ways(&broker, "full", "on_bad_message = \"skip\"");
    let done = config.run(&["to-file"]).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert!(said(&done).contains("101 read, 100 written, 1 skipped"), "{}", said(&done));
    let done = config.run(&["--strict", "to-kafka"]).await;
    assert_eq!(done.status.code(), Some(5), "{}", said(&done));
    let stopping = Config::two_ways(&broker, "full", "");
    let directory = stopping.directory.path().join("elsewhere.toml");
    let text = std::fs::read_to_string(stopping.file()).expect("read").replace("to-file", "to-file-2");
    std::fs::write(&directory, text).expect("written");
    let done = ottla(&["run", directory.to_str().expect("letters"), "to-file-2"], b"").await;
    assert_eq!(done.status.code(), Some(4), "{}", said(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_drains_commits_and_ends_with_0() {
    for signal in ["INT", "TERM"] {
        let broker = source().await;
        let config = Config::two_ways(&broker, "full+incremental", "");
        let mut running = config.start(&["to-kafka"]);
        until("the records", async || values(&broker, "to", 0).len() >= 100).await;
        running.signal(signal);
        assert_eq!(running.wait().await, Some(0), "SIG{signal}: {}", running.log());
        assert!(running.log().contains("ended on request, positions committed"), "{}", running.log());
        assert_eq!(committed(&broker, &group("to-kafka"), "from", 2).await, [Some(50), Some(50)], "SIG{signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_task_that_still_waits_for_its_cluster() {
    let broker = source().await;
    let silent = broker.inject(Fault::silence(ApiKey::LIST_OFFSETS));
    let config = Config::two_ways(&broker, "full", "");
    let mut running = config.start(&[]);
    until("the question", async || silent.hits() > 0).await;
    running.signal("TERM");
    let asked = std::time::Instant::now();
    assert_eq!(running.wait().await, Some(0), "{}", running.log());
    assert!(asked.elapsed() < std::time::Duration::from_secs(20), "the request's own deadline is 30 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let broker = source().await;
        broker.create_topic("to", 1).expect("created");
        let silent = broker.inject(Fault::silence(ApiKey::PRODUCE).on_partition("to", 0));
        let config = Config::two_ways(&broker, "full", "");
        let mut running = config.start(&["to-kafka"]);
        until("records on their way", async || silent.hits() > 0).await;
        running.signal(signal);
        until("the draining", async || running.log().contains("draining")).await;
        running.signal(signal);
        assert_eq!(running.wait().await, Some(code), "{}", running.log());
        assert_eq!(committed(&broker, &group("to-kafka"), "from", 2).await, [Some(0), Some(0)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_embedded_broker_serves_all_tasks_of_a_run_in_the_order_of_their_data() {
    let config = Config::new("");
    let (orders, out) = (concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/orders.jsonl"), config.out());
    let text = format!(
        "[connections.in]\nkind = \"jsonl\"\npath = '{orders}'\n\
         [connections.broker]\nkind = \"kafka\"\nbootstrap = \"embedded\"\ntopics = \"orders\"\n\
         [connections.out]\nkind = \"jsonl\"\npath = '{}'\n\
         [tasks.back]\nsource = \"broker\"\ntarget = \"out\"\nmode = \"full\"\n\
         [tasks.fill]\nsource = \"in\"\ntarget = \"broker\"\nmode = \"full\"\n",
        out.display()
    );
    std::fs::write(config.file(), text).expect("written");
    let done = config.run(&[]).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert!(std::fs::read(out).expect("read") == std::fs::read(orders).expect("read"), "{}", said(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_task_that_starts_while_the_broker_does_not_know_its_cluster_yet_carries_everything() {
    for fault in [Fault::metadata_without_brokers as fn() -> Fault, Fault::metadata_without_topics] {
        for first in 0..4 {
            let broker = source().await;
            let config = Config::two_ways(&broker, "full", "");
            broker.inject(fault().after(first).times(4));
            let done = config.run(&["to-file"]).await;
            assert_eq!(done.status.code(), Some(0), "{first}: {}", said(&done));
            let written = std::fs::read_to_string(config.out()).unwrap_or_default();
            assert_eq!(written.lines().count(), 100, "{first}: {}", said(&done));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_starts_while_the_broker_does_not_know_its_topics_yet_finds_its_topic() {
    let broker = source().await;
    for fault in [Fault::metadata_without_brokers as fn() -> Fault, Fault::metadata_without_topics] {
        broker.inject(fault().times(4));
        let done = ottla(&["copy", &format!("kafka://{}/from", broker.bootstrap()[0]), "-"], b"").await;
        assert_eq!(done.status.code(), Some(0), "{}", said(&done));
        assert_eq!(done.stdout.split(|byte| *byte == b'\n').count() - 1, 100, "{}", said(&done));
        broker.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_something_else_ends_with_3_and_says_what_answered() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    for (greeting, name) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "an HTTP server answered"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "an SSH server answered"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "the broker speaks TLS on this port"),
        (b"\xff\xff\xff\xfe\x00\x00", "frame size -2 is negative"),
        (b"\x00\x00\x00\x08\x00\x00\x00\x63\x00\x00\x00\x00", "correlation id 99"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 512]).await;
                let _ = stream.write_all(greeting).await;
                let _ = stream.read(&mut [0; 512]).await;
            }
        });
        let done = ottla(&["copy", &format!("kafka://{address}/t"), "-"], b"").await;
        server.abort();
        assert_eq!(done.status.code(), Some(3), "{}", said(&done));
        for part in [name, &address.to_string(), "port"] {
            assert!(said(&done).contains(part), "{part}: {}", said(&done));
        }
    }
}
