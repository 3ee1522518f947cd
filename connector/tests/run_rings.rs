//! Tasks that feed each other: found by `check` where the file shows it, by `run` where only the clusters know.

mod tasks_support;

use std::path::Path;

use ottla_devbroker::DevBroker;
use ottla_protocol::ApiKey;
use tasks_support::*;

/// A Kafka connection by name, server and topics.
fn kafka(name: &str, server: &str, topics: &str) -> String {
    format!("[connections.{name}]\nkind = \"kafka\"\nbootstrap = [\"{server}\"]\ntopics = '{topics}'\n")
}

fn task(name: &str, source: &str, target: &str, mode: &str) -> String {
    format!("[tasks.{name}]\nsource = \"{source}\"\ntarget = \"{target}\"\nmode = \"{mode}\"\n")
}

fn written(directory: &Path, parts: &[String]) -> String {
    let file = directory.join("ottla.toml");
    std::fs::write(&file, parts.concat()).expect("written");
    file.to_str().expect("letters").to_owned()
}

/// The broker's address under its two names.
fn addresses(broker: &DevBroker) -> (String, String) {
    let address = broker.bootstrap().join(",");
    let port = address.rsplit(':').next().expect("a port");
    (format!("127.0.0.1:{port}"), format!("localhost:{port}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn full_tasks_in_a_ring_of_three_are_refused_and_never_wait() {
    let broker = broker().await;
    let (server, _) = addresses(&broker);
    let directory = tempfile::tempdir().expect("a directory");
    let topics = ["a", "b", "c"].map(|topic| kafka(topic, &server, topic));
    let tasks = [task("one", "a", "b", "full"), task("two", "b", "c", "full"), task("three", "c", "a", "full")];
    let file = written(directory.path(), &[topics.concat(), tasks.concat()]);
    for command in ["check", "run"] {
        let done = ottla(&[command, &file], b"").await;
        assert_eq!(done.status.code(), Some(2), "{}", said(&done));
        assert!(said(&done).contains("the tasks one -> two -> three -> one feed each other"), "{}", said(&done));
        assert!(said(&done).contains("narrow the `topics`"), "{}", said(&done));
    }
    assert_eq!(broker.requests(ApiKey::API_VERSIONS), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_only_the_clusters_ids_show_is_refused_before_the_first_record() {
    let broker = broker().await;
    for topic in ["a", "b"] {
        broker.create_topic(topic, 1).expect("created");
    }
    fill(&broker, "a", 0, 0..10).await;
    let (server, alias) = addresses(&broker);
    let directory = tempfile::tempdir().expect("a directory");
    let connections = [
        kafka("a", &server, "a"),
        kafka("b", &server, "b"),
        kafka("b-alias", &alias, "b"),
        kafka("a-alias", &alias, "a"),
    ];
    for mode in ["full", "full+incremental"] {
        let tasks = [task("there", "a", "b", mode), task("back", "b-alias", "a-alias", mode)];
        let file = written(directory.path(), &[connections.concat(), tasks.concat()]);
        let checked = ottla(&["check", &file], b"").await;
        assert_eq!(checked.status.code(), Some(0), "`check` opens no socket: {}", said(&checked));
        let before = broker.requests(ApiKey::PRODUCE);
        let mut running = Process::start(directory.path(), &["run", &file]);
        assert_eq!(running.wait().await, Some(2), "{}", running.log());
        assert!(running.log().contains("the tasks back -> there -> back feed each other"), "{}", running.log());
        assert_eq!(broker.requests(ApiKey::PRODUCE), before, "nothing was written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_cannot_be_asked_stops_the_tasks_that_use_it_and_no_other() {
    let broker = broker().await;
    for topic in ["a", "b", "c"] {
        broker.create_topic(topic, 1).expect("created");
    }
    fill(&broker, "c", 0, 0..10).await;
    let (server, _) = addresses(&broker);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out.jsonl");
    let parts = [
        kafka("a", &server, "a"),
        kafka("b", &server, "b"),
        kafka("c", &server, "c"),
        kafka("gone-b", &gone.to_string(), "b"),
        kafka("gone-a", &gone.to_string(), "a"),
        format!("[connections.file]\nkind = \"jsonl\"\npath = '{}'\n", out.display()),
        task("there", "a", "b", "full"),
        task("back", "gone-b", "gone-a", "full"),
        task("beside", "c", "file", "full"),
    ];
    let file = written(directory.path(), &parts);
    let done = ottla(&["run", &file], b"").await;
    assert_eq!(done.status.code(), Some(3), "{}", said(&done));
    assert!(said(&done).contains("beside: complete; 10 read"), "{}", said(&done));
    assert!(said(&done).contains("error: connection gone-"), "{}", said(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tasks_that_write_one_file_through_a_link_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let (real, link) = (directory.path().join("out.jsonl"), directory.path().join("link.jsonl"));
    std::fs::write(&real, "").expect("written");
    std::os::unix::fs::symlink(&real, &link).expect("linked");
    let file =
        |name: &str, path: &Path| format!("[connections.{name}]\nkind = \"jsonl\"\npath = '{}'\n", path.display());
    let kafka = kafka("k", "127.0.0.1:9", "orders");
    let two = [
        kafka.clone(),
        file("one", &real),
        file("two", &link),
        task("one", "k", "one", "full"),
        task("two", "k", "two", "full"),
    ];
    let done = ottla(&["check", &written(directory.path(), &two)], b"").await;
    assert_eq!(done.status.code(), Some(2), "{}", said(&done));
    assert!(said(&done).contains("the task `one` writes the same file"), "{}", said(&done));
    let itself = [file("one", &real), file("two", &link), task("one", "one", "two", "full")];
    let done = ottla(&["check", &written(directory.path(), &itself)], b"").await;
    assert_eq!(done.status.code(), Some(2), "{}", said(&done));
    assert!(said(&done).contains("the task would write the file it reads"), "{}", said(&done));
}
