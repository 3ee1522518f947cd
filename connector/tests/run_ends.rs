//! How a run ends: signals in every state, the deadline of draining, tasks that wait, and what is said when.

mod tasks_support;

use std::io::Write as _;
use std::time::{Duration, Instant};

use ottla_connector::mode::{Mode, group};
use ottla_connector::task::{Ending, TargetSpec};
use ottla_devbroker::{DevBroker, Fault};
use ottla_protocol::{ApiKey, ErrorCode};
use tasks_support::*;

/// Far below any timeout of the client (30 s for a request, 120 s for a delivery), and far above what a loaded machine
/// needs to end a process.
const SOON: Duration = Duration::from_secs(20);

impl Config {
    /// `to-kafka` copies `from` to `to`, `to-file` copies `then` to a file.
    fn new_pair(broker: &DevBroker, then: &str, mode: &str) -> Self {
        let config = Self::new("");
        let servers = format!("{:?}", broker.bootstrap());
        let kafka = |name: &str, topic: &str| {
            format!("[connections.{name}]\nkind = \"kafka\"\nbootstrap = {servers}\ntopics = \"{topic}\"\n")
        };
        let text = format!(
            "{}{}{}[connections.file]\nkind = \"jsonl\"\npath = '{}'\n\
             [tasks.to-kafka]\nsource = \"from\"\ntarget = \"to\"\nmode = \"{mode}\"\n\
             [tasks.to-file]\nsource = \"then\"\ntarget = \"file\"\nmode = \"{mode}\"\n",
            kafka("from", "from"),
            kafka("to", "to"),
            kafka("then", then),
            config.directory.path().join("out.jsonl").display()
        );
        std::fs::write(config.file(), text).expect("written");
        config
    }
}

async fn two_topics() -> DevBroker {
    let broker = broker().await;
    broker.create_topic("from", 1).expect("created");
    broker.create_topic("to", 1).expect("created");
    fill(&broker, "from", 0, 0..50).await;
    broker
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_waits_for_another_sees_the_first_signal_at_once() {
    let broker = two_topics().await;
    let silent = broker.inject(Fault::silence(ApiKey::PRODUCE));
    let config = Config::new_pair(&broker, "to", "full");
    let mut running = config.start(&["--shutdown-timeout", "2s"]);
    until("records on their way", async || silent.hits() > 0).await;
    until("the wait", async || running.log().contains("to-file: waits until to-kafka is complete")).await;
    assert!(running.log().contains("which writes what it reads: topic to"), "{}", running.log());
    running.signal("INT");
    until("its end", async || running.log().contains("to-file: ended on request before its start")).await;
    assert_eq!(running.wait().await, Some(3), "{}", running.log());
    assert!(running.log().contains("task to-kafka: not drained within 2s"), "{}", running.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_does_not_run_when_the_one_it_waits_for_has_failed() {
    let broker = two_topics().await;
    broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::INVALID_TIMESTAMP).on_partition("to", 0));
    let config = Config::new_pair(&broker, "to", "full");
    let mut running = config.start(&[]);
    assert_eq!(running.wait().await, Some(4), "{}", running.log());
    assert!(running.log().contains("to-file: not run, since it reads what to-kafka writes"), "{}", running.log());
    assert!(!config.directory.path().join("out.jsonl").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_when_it_happens_and_once() {
    let broker = two_topics().await;
    broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::INVALID_TIMESTAMP).on_partition("to", 0));
    let config = Config::new_pair(&broker, "from", "full+incremental");
    let mut running = config.start(&[]);
    until("the failure", async || running.log().contains("INVALID_TIMESTAMP")).await;
    assert!(running.log().contains("to-kafka: stopped"), "{}", running.log());
    assert_eq!(running.ended(), None, "the other task goes on");
    running.signal("TERM");
    assert_eq!(running.wait().await, Some(4), "{}", running.log());
    assert_eq!(running.log().matches("error: task to-kafka").count(), 1, "{}", running.log());
    assert!(running.log().contains("1 of 2 tasks did not come to a good end: to-kafka"), "{}", running.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_fail_fast_the_others_drain_and_end() {
    let broker = two_topics().await;
    broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::INVALID_TIMESTAMP).on_partition("to", 0));
    let config = Config::new_pair(&broker, "from", "full+incremental");
    let mut running = config.start(&["--fail-fast"]);
    assert_eq!(running.wait().await, Some(4), "{}", running.log());
    assert!(running.log().contains("to-file: ended on request, positions committed"), "{}", running.log());
}

/// The task was asked to end while a request hangs: it does so soon, and says from where on nothing is committed.
async fn ends_in_time(mut running: Process, broker: &DevBroker, from: i64) {
    running.signal("TERM");
    let asked = Instant::now();
    assert_eq!(running.wait().await, Some(3), "{}", running.log());
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    let log = running.log();
    assert!(log.contains("stopping: draining and committing, for 1s at most; a second signal ends at once"), "{log}");
    assert!(log.contains("task to-kafka: not drained within 1s"), "{log}");
    assert!(log.contains(&format!("from-0 from offset {from} on")), "{log}");
    broker.clear_faults();
    assert_eq!(committed(broker, &group("to-kafka"), "from", 1).await, [Some(from)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_answer_is_waited_for_until_the_deadline() {
    let broker = two_topics().await;
    let config = Config::new_pair(&broker, "from", "full+incremental");
    let silent = broker.inject(Fault::silence(ApiKey::PRODUCE));
    let running = config.start(&["to-kafka", "--shutdown-timeout", "1s"]);
    until("records on their way", async || silent.hits() > 0).await;
    ends_in_time(running, &broker, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_hangs_is_waited_for_until_the_deadline() {
    let broker = two_topics().await;
    let config = Config::new_pair(&broker, "from", "full+incremental");
    let running = config.start(&["to-kafka", "--shutdown-timeout", "1s"]);
    let first = async || committed(&broker, &group("to-kafka"), "from", 1).await == [Some(50)];
    until("the first commit", first).await;
    let silent = broker.inject(Fault::silence(ApiKey::OFFSET_COMMIT));
    fill(&broker, "from", 0, 50..60).await;
    until("a commit", async || silent.hits() > 0).await;
    ends_in_time(running, &broker, 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_broker_frozen_ends_within_the_deadline() {
    let broker = two_topics().await;
    let config = Config::new_pair(&broker, "from", "full+incremental");
    let mut running = config.start(&["--shutdown-timeout", "1s"]);
    until("the records", async || values(&broker, "to", 0).len() >= 50).await;
    for api in [ApiKey::FETCH, ApiKey::OFFSET_COMMIT, ApiKey::METADATA, ApiKey::PRODUCE, ApiKey::FIND_COORDINATOR] {
        broker.inject(Fault::silence(api));
    }
    fill_is_refused(&broker).await;
    running.signal("TERM");
    let asked = Instant::now();
    assert!(running.wait().await.is_some());
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
}

/// Waits until the broker has met one of the faults.
async fn fill_is_refused(broker: &DevBroker) {
    let before = broker.requests(ApiKey::FETCH);
    until("a fetch that is not answered", async || broker.requests(ApiKey::FETCH) > before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_a_cluster_only_accepts_connections_ends_at_once() {
    let frozen = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = frozen.local_addr().expect("its address");
    let text = format!(
        "[connections.k]\nkind = \"kafka\"\nbootstrap = [\"{address}\"]\ntopics = \"a\"\n\
         [connections.f]\nkind = \"jsonl\"\npath = \"out.jsonl\"\n\
         [tasks.t]\nsource = \"k\"\ntarget = \"f\"\nmode = \"full\"\n"
    );
    let config = Config::new(&text);
    let mut running = config.start(&[]);
    let accepted = tokio::task::spawn_blocking(move || frozen.accept().expect("a connection"));
    let _held = accepted.await.expect("no panic");
    running.signal("TERM");
    let asked = Instant::now();
    assert_eq!(running.wait().await, Some(0), "{}", running.log());
    assert!(asked.elapsed() < Duration::from_secs(9), "connecting alone may take 10 s: {:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_drains_as_a_termination_does() {
    let broker = two_topics().await;
    let config = Config::new_pair(&broker, "from", "full+incremental");
    let file = config.file();
    // The test itself may run under `nohup`.
    let args = [
        "--default-signal=HUP",
        binary().to_str().expect("letters"),
        "run",
        file.to_str().expect("letters"),
        "to-kafka",
    ]
    .map(str::to_owned);
    let mut running = Process::start_other(config.directory.path(), "env", &args);
    until("the records", async || values(&broker, "to", 0).len() >= 50).await;
    running.signal("HUP");
    assert_eq!(running.wait().await, Some(0), "{}", running.log());
    assert!(running.log().contains("ended on request, positions committed"), "{}", running.log());
    assert_eq!(committed(&broker, &group("to-kafka"), "from", 1).await, [Some(50)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_signal_ends_a_copy_of_standard_input_that_is_still_open_with_0() {
    for signal in ["INT", "TERM"] {
        let broker = two_topics().await;
        let directory = tempfile::tempdir().expect("a directory");
        let target = format!("kafka://{}/to", broker.bootstrap().join(","));
        let (mut running, mut input, _output) = Process::start_fed(directory.path(), &["copy", "-", &target]);
        input.write_all(b"{\"n\":1}\n{\"n\":2}\n").expect("written");
        until("the lines", async || values(&broker, "to", 0).len() >= 2).await;
        running.signal(signal);
        assert_eq!(running.wait().await, Some(0), "SIG{signal}: {}", running.log());
        assert!(running.log().contains("every line that was read is in the target"), "{}", running.log());
        drop(input);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_does_not_keep_a_copy_alive() {
    let broker = broker().await;
    broker.create_topic("from", 1).expect("created");
    // More than a pipe and our own buffers hold.
    let large = format!("{{\"pad\":\"{}\"}}", "x".repeat(500_000));
    let many: Vec<&[u8]> = (0..20).map(|_| large.as_bytes()).collect();
    produce(&broker, "from", 0, &many).await;
    let directory = tempfile::tempdir().expect("a directory");
    let source = format!("kafka://{}/from", broker.bootstrap().join(","));
    let args = ["copy", &source, "-", "--shutdown-timeout", "1s"];
    let (mut running, _input, mut output) = Process::start_fed(directory.path(), &args);
    let mut first = [0; 1000];
    let first = tokio::task::spawn_blocking(move || {
        std::io::Read::read_exact(&mut output, &mut first).expect("output");
        output
    });
    let _stalled = first.await.expect("no panic");
    running.signal("TERM");
    let asked = Instant::now();
    assert_eq!(running.wait().await, Some(3), "{}", running.log());
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    assert!(running.log().contains("not drained within 1s"), "{}", running.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_looks_for_topics_sees_the_signal() {
    let broker = two_topics().await;
    let mut job =
        job("t", from_topics(&broker, "from", Mode::FullIncremental), TargetSpec::Kafka(to_topic(&broker, "to")));
    job.timing.discover = Duration::from_millis(50);
    let running = start(job);
    until("the records", async || values(&broker, "to", 0).len() >= 50).await;
    let silent = broker.inject(Fault::silence(ApiKey::METADATA));
    until("a look for topics", async || silent.hits() > 0).await;
    let asked = Instant::now();
    let outcome = running.stop().await;
    assert_eq!(outcome.result, Ok(Ending::Interrupted));
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    broker.clear_faults();
    assert_eq!(committed(&broker, &group("t"), "from", 1).await, [Some(50)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_task_whose_expression_matches_nothing_fails_with_near_names() {
    let broker = broker().await;
    for topic in ["orders", "orders-eu", "payments"] {
        broker.create_topic(topic, 1).expect("created");
    }
    let out = OutFile::new();
    let (outcome, _) = heard(job("t", from_topics(&broker, "odrers", Mode::Full), out.target())).await;
    let failure = outcome.result.expect_err("no topic");
    assert_eq!(failure.exit, ottla_connector::exit::Exit::Environment);
    assert!(failure.to_string().contains("no topic matches \"odrers\""), "{failure}");
    let help = failure.help.expect("help");
    assert!(help.starts_with("did you mean \"orders\"") && help.contains("allow_empty = true"), "{help}");
    let mut from = from_topics(&broker, "odrers", Mode::Full);
    from.allow_empty = true;
    let (outcome, said) = heard(job("t", from, out.target())).await;
    assert_eq!(outcome.result, Ok(Ending::Complete));
    assert!(said.iter().any(|line| line.contains("there is nothing to do")), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_group_is_said_and_a_new_target_that_meets_old_positions_is_warned_of() {
    let broker = two_topics().await;
    let first = OutFile::new();
    let (outcome, said) = heard(job("t", from_topics(&broker, "from", Mode::Full), first.target())).await;
    assert_eq!(outcome.result, Ok(Ending::Complete));
    assert!(said.iter().any(|line| line == "t: mode full, positions in the group ottla-t on shop"), "{said:?}");
    assert!(!said.iter().any(|line| line.contains("warning")), "{said:?}");
    let (_, said) = heard(job("t", from_topics(&broker, "from", Mode::Full), first.target())).await;
    assert!(!said.iter().any(|line| line.contains("warning")), "the same file: {said:?}");

    let second = OutFile::new();
    let (_, said) = heard(job("t", from_topics(&broker, "from", Mode::Full), second.target())).await;
    let warned = said
        .iter()
        .any(|line| line.starts_with("warning: t: ") && line.contains("is new or empty") && line.contains("ottla-t"));
    assert!(warned, "{said:?}");
    let (_, said) =
        heard(job("t", from_topics(&broker, "from", Mode::Full), TargetSpec::Kafka(to_topic(&broker, "new")))).await;
    assert!(said.iter().any(|line| line.starts_with("warning: t: topic new does not exist yet")), "{said:?}");

    let mut own = job("t", from_topics(&broker, "from", Mode::Full), second.target());
    own.group = "another".to_owned();
    let (outcome, _) = heard(own).await;
    assert_eq!(outcome.counts.written, 50, "another group starts as a new task");
    assert_eq!(committed(&broker, "another", "from", 1).await, [Some(50)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_twenty_partitions_the_start_is_a_summary_and_v_lists_them() {
    let broker = broker().await;
    broker.create_topic("from", 21).expect("created");
    broker.create_topic("few", 20).expect("created");
    let servers = format!("{:?}", broker.bootstrap());
    let text = |topic: &str| {
        format!(
            "[connections.k]\nkind = \"kafka\"\nbootstrap = {servers}\ntopics = \"{topic}\"\n\
             [connections.f]\nkind = \"jsonl\"\npath = \"-\"\n\
             [tasks.t]\nsource = \"k\"\ntarget = \"f\"\nmode = \"full\"\n"
        )
    };
    let config = Config::new(&text("from"));
    let file = config.file();
    let file = file.to_str().expect("letters");
    let plain = said(&ottla(&["run", file], b"").await);
    assert_eq!(plain.matches(" starts at ").count(), 0, "{plain}");
    let summary = "t: 21 partitions of 1 topics start: 21 no committed offset, mode full: from the earliest offset; -v lists them";
    assert!(plain.contains(summary), "{plain}");
    let listed = said(&ottla(&["run", file, "-v"], b"").await);
    assert_eq!(listed.matches(" starts at ").count(), 21, "{listed}");
    let client = said(&ottla(&["run", file, "-vv"], b"").await);
    assert!(client.lines().count() >= listed.lines().count(), "{client}");
    let few = Config::new(&text("few"));
    let lines = said(&ottla(&["run", few.file().to_str().expect("letters")], b"").await);
    assert_eq!(lines.matches(" starts at ").count(), 20, "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_elsewhere_in_the_file_do_not_stop_what_does_not_use_them() {
    let broker = two_topics().await;
    let config = Config::new("");
    let text = format!(
        "[connections.from]\nkind = \"kafka\"\nbootstrap = {:?}\ntopics = \"from\"\n\
         [connections.file]\nkind = \"jsonl\"\npath = '{}'\n\
         [connections.other]\nkind = \"kafka\"\nbootstrap = [\"localhost:9092\"]\n\
         auth = {{ mechanism = \"plain\", username = \"u\", password = \"${{env:OTTLA_TEST_NOT_SET}}\" }}\n\
         [connections.file2]\nkind = \"jsonl\"\npath = '${{file:/no/such/file}}'\n\
         [tasks.good]\nsource = \"from\"\ntarget = \"file\"\nmode = \"full\"\n\
         [tasks.bad]\nsource = \"other\"\ntarget = \"file2\"\nmode = \"fulll\"\n\
         [tasks.same-file]\nsource = \"from\"\ntarget = \"file\"\nmode = \"full\"\n",
        broker.bootstrap(),
        config.directory.path().join("out.jsonl").display()
    );
    std::fs::write(config.file(), text).expect("written");
    let file = config.file();
    let file = file.to_str().expect("letters");
    let all = ottla(&["run", file], b"").await;
    assert_eq!(all.status.code(), Some(2), "{}", said(&all));
    let good = ottla(&["run", file, "good"], b"").await;
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    assert!(said(&good).contains("has 4 mistakes in parts that are not used here; `ottla check"), "{}", said(&good));
    assert!(!said(&good).contains("OTTLA_TEST_NOT_SET"), "{}", said(&good));
    let bad = ottla(&["run", file, "bad"], b"").await;
    assert_eq!(bad.status.code(), Some(2), "{}", said(&bad));
    for part in ["OTTLA_TEST_NOT_SET", "/no/such/file", "`fulll` is no value"] {
        assert!(said(&bad).contains(part), "{part}: {}", said(&bad));
    }
    let both = ottla(&["run", file, "good", "same-file"], b"").await;
    assert_eq!(both.status.code(), Some(2), "two writers of one file: {}", said(&both));
    let tested = ottla(&["test", file, "from"], b"").await;
    assert_eq!(tested.status.code(), Some(0), "{}", said(&tested));
    let wrong = ottla(&["test", file, "other"], b"").await;
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    let unknown = ottla(&["run", file, "godo"], b"").await;
    assert!(said(&unknown).contains("did you mean `good`?"), "{}", said(&unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_a_pipe_has_no_writer_ends_at_once() {
    let config = Config::new("");
    let pipe = config.directory.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let broker = two_topics().await;
    let target = format!("kafka://{}/to", broker.bootstrap().join(","));
    let args = ["copy", pipe.to_str().expect("letters"), &target];
    let mut running = Process::start(config.directory.path(), &args);
    // Signals are watched before the pipe is opened.
    until("its signal handlers", async || running.handles_termination()).await;
    running.signal("TERM");
    let asked = Instant::now();
    assert_eq!(running.wait().await, Some(143), "{}", running.log());
    // It may end before there is time to say that it is stopping.
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
}
