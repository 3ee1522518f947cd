//! Files and pipes as targets, and what people and tools do to them meanwhile: nothing is committed that is not in a
//! file that exists, or that the reader of a pipe did not take.

#![cfg(unix)]

mod tasks_support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use ottla_connector::config::model::JsonlPath;
use ottla_connector::exit::Exit;
use ottla_connector::mode::{Mode, group};
use ottla_connector::target::jsonl::{Existing, Purpose};
use ottla_connector::task::{Ending, Job, JsonlTo, TargetSpec};
use ottla_devbroker::DevBroker;
use ottla_protocol::ApiKey;
use tasks_support::*;
use tempfile::TempDir;

const ORDERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/orders.jsonl");

async fn source(records: i64) -> DevBroker {
    let broker = broker().await;
    broker.create_topic("from", 1).expect("created");
    fill(&broker, "from", 0, 0..records).await;
    broker
}

fn endless(broker: &DevBroker, path: &Path) -> Job {
    let path = JsonlPath::File(path.to_owned());
    let target = TargetSpec::Jsonl(JsonlTo { path, existing: Existing::Append, purpose: Purpose::Task });
    job("t", from_topics(broker, "from", Mode::FullIncremental), target)
}

async fn is_committed(broker: &DevBroker, position: i64) -> bool {
    committed(broker, &group("t"), "from", 1).await == [Some(position)]
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

/// What somebody does to the file of a running task.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Delete,
    Rename,
    ReplaceByAnEmptyOne,
    ReplaceByAFullOne,
    DeleteItsDirectoryAndMakeItAgain,
    TurnItsLink,
}

impl Deed {
    const ALL: [Self; 6] = [
        Self::Delete,
        Self::Rename,
        Self::ReplaceByAnEmptyOne,
        Self::ReplaceByAFullOne,
        Self::DeleteItsDirectoryAndMakeItAgain,
        Self::TurnItsLink,
    ];

    fn do_to(self, path: &Path) {
        let aside = path.with_extension("1");
        match self {
            Self::Delete => fs::remove_file(path).expect("deleted"),
            Self::Rename => fs::rename(path, aside).expect("renamed"),
            Self::ReplaceByAnEmptyOne => {
                fs::rename(path, aside).expect("renamed");
                fs::write(path, "").expect("created");
            }
            Self::ReplaceByAFullOne => {
                fs::write(&aside, "{\"other\":1}\n").expect("written");
                fs::rename(aside, path).expect("replaced");
            }
            Self::DeleteItsDirectoryAndMakeItAgain => {
                let directory = path.parent().expect("a directory");
                fs::remove_dir_all(directory).expect("deleted");
                fs::create_dir(directory).expect("made");
            }
            Self::TurnItsLink => {
                fs::remove_file(path).expect("deleted");
                symlink("elsewhere.jsonl", path).expect("linked");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_or_replaced_target_file_is_never_committed_into() {
    for deed in Deed::ALL {
        let (broker, home) = (source(10).await, tempfile::tempdir().expect("a directory"));
        let directory = home.path().join("out");
        fs::create_dir(&directory).expect("made");
        let path = directory.join("out.jsonl");
        if let Deed::TurnItsLink = deed {
            symlink("first.jsonl", &path).expect("linked");
        }
        let running = start(endless(&broker, &path));
        until("the first commit", async || is_committed(&broker, 10).await).await;
        deed.do_to(&path);
        fill(&broker, "from", 0, 10..20).await;
        until("the second commit", async || is_committed(&broker, 20).await).await;
        let found = lines(&path);
        assert!(found.ends_with(&objects(0, 10..20)), "{deed:?}: committed, and not in the file: {found:?}");
        // And it goes on there.
        fill(&broker, "from", 0, 20..30).await;
        until("the third commit", async || is_committed(&broker, 30).await).await;
        assert!(lines(&path).ends_with(&objects(0, 10..30)), "{deed:?}: {:?}", lines(&path));
        assert_eq!(running.stop().await.exit(), Exit::Ok, "{deed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_and_not_yet_committed_is_written_again_into_the_new_file() {
    let (broker, out) = (source(0).await, OutFile::new());
    let mut job = endless(&broker, &out.path());
    // No commit but the last one, so that chunks are written long before they are synced.
    job.timing.commit.interval = std::time::Duration::from_hours(1);
    let values: Vec<String> = (0..4000).map(|n| format!("{{\"n\":{n},\"pad\":\"{n:0200}\"}}")).collect();
    let borrowed: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
    produce(&broker, "from", 0, &borrowed).await;
    let running = start(job);
    until("the first chunk", async || !out.lines().is_empty()).await;
    fs::remove_file(out.path()).expect("deleted");
    let outcome = {
        until("the last record", async || broker.requests(ApiKey::FETCH) > 2).await;
        running.stop().await
    };
    assert_eq!(outcome.exit(), Exit::Ok, "{:?}", outcome.result);
    let position = committed(&broker, &group("t"), "from", 1).await[0].expect("a position");
    assert!(
        out.lines() == values[..position as usize],
        "{position} are committed, {} are in the file",
        out.lines().len()
    );
    assert!(position > 1000, "only {position} were written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_made_again_stops_the_task_before_its_commit() {
    let (broker, home) = (source(10).await, tempfile::tempdir().expect("a directory"));
    let directory = home.path().join("out");
    fs::create_dir(&directory).expect("made");
    let path = directory.join("out.jsonl");
    let running = start(endless(&broker, &path));
    until("the first commit", async || is_committed(&broker, 10).await).await;
    fs::rename(&directory, home.path().join("aside")).expect("renamed");
    fill(&broker, "from", 0, 10..20).await;
    let failure = running.end().await.result.expect_err("no place to write");
    assert_eq!(failure.exit, Exit::Environment, "{failure}");
    assert!(failure.message.contains("out.jsonl was deleted or renamed while it was written"), "{failure}");
    assert!(is_committed(&broker, 10).await);
    fs::rename(home.path().join("aside"), &directory).expect("renamed");
    let again = start(endless(&broker, &path));
    until("the second commit", async || is_committed(&broker, 20).await).await;
    again.stop().await;
    assert!(lines(&path).ends_with(&objects(0, 10..20)), "{:?}", lines(&path));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_cut_while_it_was_written_stops_the_task_and_the_next_start_writes_again() {
    let (broker, out) = (source(10).await, OutFile::new());
    let running = start(endless(&broker, &out.path()));
    until("the first commit", async || is_committed(&broker, 10).await).await;
    fs::File::options().write(true).open(out.path()).expect("open").set_len(0).expect("cut");
    fill(&broker, "from", 0, 10..20).await;
    let failure = running.end().await.result.expect_err("cut");
    assert_eq!(failure.exit, Exit::Environment, "{failure}");
    assert!(failure.message.contains("was cut while it was written") && failure.help.is_some(), "{failure}");
    assert!(is_committed(&broker, 10).await);
    let again = start(endless(&broker, &out.path()));
    until("the second commit", async || is_committed(&broker, 20).await).await;
    again.stop().await;
    assert!(out.lines().ends_with(&objects(0, 10..20)), "{:?}", out.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_file_was_deleted_does_not_say_that_it_is_whole() {
    let (broker, out) = (source(10).await, OutFile::new());
    let path = JsonlPath::File(out.path());
    let target = TargetSpec::Jsonl(JsonlTo { path, existing: Existing::Refuse, purpose: Purpose::Copy });
    let running = start(job("t", from_topics(&broker, "from", Mode::FullIncremental), target));
    until("the first commit", async || is_committed(&broker, 10).await).await;
    fs::remove_file(out.path()).expect("deleted");
    fill(&broker, "from", 0, 10..20).await;
    let failure = running.end().await.result.expect_err("half a copy");
    assert!(failure.message.contains("deleted or renamed"), "{failure}");
    assert!(!out.path().exists());
}

/// A config file with one task from the topic `from` to a path.
struct Run {
    directory: TempDir,
}

impl Run {
    fn new(broker: &DevBroker, target: &str, mode: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let text = format!(
            "[connections.from]\nkind = \"kafka\"\nbootstrap = {:?}\ntopics = \"from\"\n\
             [connections.to]\nkind = \"jsonl\"\npath = '{target}'\n\
             [tasks.t]\nsource = \"from\"\ntarget = \"to\"\nmode = \"{mode}\"\n",
            broker.bootstrap()
        );
        fs::write(directory.path().join("ottla.toml"), text).expect("written");
        Self { directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("ottla.toml")
    }

    fn start(&self) -> Process {
        Process::start(self.directory.path(), &["run", text(&self.file())])
    }
}

/// A named pipe in a directory of its own.
fn fifo() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pipe");
    mkfifo(&path);
    (directory, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_pipe_without_a_reader_is_waited_for_and_nothing_is_committed() {
    let (broker, (_keep, pipe)) = (source(500).await, fifo());
    let run = Run::new(&broker, text(&pipe), "full");
    let mut running = run.start();
    until("the wait for a reader", async || running.log().contains("that nobody reads; waiting for a reader")).await;
    running.signal("TERM");
    assert_eq!(running.wait().await, Some(0), "{}", running.log());
    assert_eq!(committed(&broker, &group("t"), "from", 1).await, [None]);

    let mut running = run.start();
    let reading = pipe.clone();
    let read = tokio::task::spawn_blocking(move || fs::read_to_string(reading).expect("read"));
    assert_eq!(running.wait().await, Some(0), "{}", running.log());
    let read = read.await.expect("no panic");
    assert!(read.lines().eq(objects(0, 0..500)), "{} lines", read.lines().count());
    assert!(is_committed(&broker, 500).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reader_of_a_named_pipe_that_leaves_ends_a_task_with_3_and_what_it_did_not_take_is_not_committed() {
    let (broker, (_keep, pipe)) = (source(10).await, fifo());
    let run = Run::new(&broker, text(&pipe), "full+incremental");
    let mut running = run.start();
    let mut reader = fs::File::open(&pipe).expect("open");
    // All is in the pipe then, and one byte of it was taken.
    assert_eq!(reader.read(&mut [0]).expect("read"), 1);
    drop(reader);
    assert_eq!(running.wait().await, Some(3), "{}", running.log());
    assert!(running.log().contains("its reader has left"), "{}", running.log());
    assert!(is_committed(&broker, 0).await, "{:?}", committed(&broker, &group("t"), "from", 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_task_whose_pipe_is_not_read_on_and_one_whose_reader_left() {
    let (broker, (_keep, pipe)) = (source(10).await, fifo());
    let run = Run::new(&broker, text(&pipe), "full+incremental");
    let mut running = run.start();
    let mut reader = BufReader::new(fs::File::open(&pipe).expect("open"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("a line");
    // The reader has taken all of it in one go, so it is committed; then there is nothing more to write.
    until("the commit", async || is_committed(&broker, 10).await).await;
    drop(reader);
    running.signal("TERM");
    assert_eq!(running.wait().await, Some(0), "{}", running.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_that_is_not_read_is_not_committed_and_a_closed_one_ends_a_task_quietly() {
    let broker = source(10).await;
    let run = Run::new(&broker, "-", "full+incremental");
    let (mut running, mut output) = Process::start_piped(run.directory.path(), &["run", text(&run.file())]);
    assert_eq!(output.read(&mut [0]).expect("read"), 1);
    drop(output);
    assert_eq!(running.wait().await, Some(0), "{}", running.log());
    assert!(!running.log().contains("error"), "{}", running.log());
    assert!(running.log().contains("the reader of its output left"), "{}", running.log());
    assert!(is_committed(&broker, 0).await, "{:?}", committed(&broker, &group("t"), "from", 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_reader_has_enough_ends_with_0_and_without_an_error() {
    let (broker, (keep, pipe)) = (source(0).await, fifo());
    let to = format!("kafka://{}/orders", broker.bootstrap().join(","));
    assert!(ottla(&["copy", ORDERS, &to], b"").await.status.success());
    for from in [ORDERS, &to] {
        let (mut running, output) = Process::start_piped(keep.path(), &["copy", from, "-"]);
        let mut output = BufReader::new(output);
        for _ in 0..2 {
            assert!(output.read_line(&mut String::new()).expect("a line") > 1);
        }
        drop(output);
        assert_eq!(running.wait().await, Some(0), "{}", running.log());
        let mut running = Process::start(keep.path(), &["copy", from, text(&pipe)]);
        let mut reader = BufReader::new(fs::File::open(&pipe).expect("open"));
        assert!(reader.read_line(&mut String::new()).expect("a line") > 1);
        drop(reader);
        assert_eq!(running.wait().await, Some(0), "{}", running.log());
        assert!(!running.log().contains("error"), "{}", running.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_prints_data_bears_a_closed_pipe() {
    let (broker, home) = (source(0).await, tempfile::tempdir().expect("a directory"));
    let run = Run::new(&broker, "out.jsonl", "full");
    let file = run.file();
    for args in [
        &["check", "--keys"][..],
        &["check", text(&file)],
        &["check", text(&file), "--output", "json"],
        &["test", text(&file)],
        &["--help"],
    ] {
        let (mut running, output) = Process::start_piped(home.path(), args);
        drop(output);
        assert_eq!(running.wait().await, Some(0), "{args:?}: {}", running.log());
        assert!(!running.log().contains("error"), "{args:?}: {}", running.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_take_lines_or_say_why_not_and_sockets_and_directories_are_refused() {
    let (broker, home) = (source(10).await, tempfile::tempdir().expect("a directory"));
    let from = format!("kafka://{}/from", broker.bootstrap().join(","));
    for flags in [&["copy"][..], &["copy", "--overwrite"], &["copy", "--append"]] {
        let to_null = ottla(&[flags, &[&from, "/dev/null"]].concat(), b"").await;
        assert_eq!(to_null.status.code(), Some(0), "{}", said(&to_null));
        let full = ottla(&[flags, &[&from, "/dev/full"]].concat(), b"").await;
        assert_eq!(full.status.code(), Some(3), "{}", said(&full));
        assert!(said(&full).contains("/dev/full cannot be written"), "{}", said(&full));
        let socket = home.path().join("socket");
        let _listening = std::os::unix::net::UnixListener::bind(&socket);
        let refused = ottla(&[flags, &[&from, text(&socket)]].concat(), b"").await;
        assert!(refused.status.code() == Some(3) && said(&refused).contains("is a socket"), "{}", said(&refused));
        let refused = ottla(&[flags, &[&from, text(home.path())]].concat(), b"").await;
        assert!(refused.status.code() == Some(3) && said(&refused).contains("is a directory"), "{}", said(&refused));
    }
}

/// A directory in which `out.jsonl` holds one old line.
struct Old(TempDir);

impl Old {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("out.jsonl"), "{\"old\":1}\n").expect("written");
        Self(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("out.jsonl")
    }

    fn is_untouched(&self) -> bool {
        let names: Vec<_> =
            fs::read_dir(self.0.path()).expect("listed").map(|entry| entry.expect("an entry").file_name()).collect();
        let names: Vec<_> = names.iter().filter(|name| *name != "ottla.log").collect();
        lines(&self.path()) == ["{\"old\":1}"] && names.len() == 1
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn overwrite_leaves_the_old_file_until_the_new_one_is_complete() {
    let broker = source(0).await;
    let url = |topic: &str| format!("kafka://{}/{topic}", broker.bootstrap().join(","));
    let old = Old::new();
    let missing = ottla(&["copy", "--overwrite", &url("no-such-topic"), text(&old.path())], b"").await;
    assert!(missing.status.code() == Some(3) && old.is_untouched(), "{}", said(&missing));
    let absent = ottla(&["copy", "--overwrite", "no/such/file.jsonl", text(&old.path())], b"").await;
    assert!(absent.status.code() == Some(3) && old.is_untouched(), "{}", said(&absent));
    let bad = ottla(&["copy", "--overwrite", "-", text(&old.path())], b"[1]\n{}\n").await;
    assert!(bad.status.code() == Some(4) && old.is_untouched(), "{}", said(&bad));
    let late = ottla(&["copy", "--overwrite", "-", text(&old.path())], b"{}\n{}\n[1]\n").await;
    assert!(late.status.code() == Some(4) && old.is_untouched(), "{}", said(&late));
    let empty = ottla(&["copy", "--overwrite", &url("from"), text(&old.path())], b"").await;
    assert!(empty.status.code() == Some(0) && old.is_untouched(), "{}", said(&empty));
    assert!(said(&empty).contains("is as it was"), "{}", said(&empty));
    let done = ottla(&["copy", "--overwrite", "-", text(&old.path())], b"{\"new\":1}\n").await;
    assert!(done.status.code() == Some(0) && lines(&old.path()) == ["{\"new\":1}"], "{}", said(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_overwrite_leaves_the_old_file_and_a_killed_one_is_cleaned_up_by_the_next() {
    let (old, (_keep, source)) = (Old::new(), fifo());
    for signal in ["INT", "TERM", "KILL"] {
        let mut running = Process::start(old.0.path(), &["copy", "--overwrite", text(&source), text(&old.path())]);
        let mut writer = fs::File::options().write(true).open(&source).expect("open");
        std::io::Write::write_all(&mut writer, b"{\"half\":1}\n").expect("written");
        let beside = old.0.path().join(".out.jsonl.ottla-new");
        until("the new file", async || beside.exists()).await;
        running.signal(signal);
        running.wait().await;
        drop(writer);
        assert_eq!(lines(&old.path()), ["{\"old\":1}"], "{signal}: {}", running.log());
        assert_eq!(beside.exists(), signal == "KILL", "{signal}: {}", running.log());
    }
    let done = ottla(&["copy", "--overwrite", "-", text(&old.path())], b"{\"new\":1}\n").await;
    assert!(said(&done).contains("removed what a killed run left"), "{}", said(&done));
    assert_eq!(lines(&old.path()), ["{\"new\":1}"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn overwrite_keeps_the_rights_and_the_link_and_two_do_not_meet() {
    let old = Old::new();
    fs::set_permissions(old.path(), fs::Permissions::from_mode(0o640)).expect("set");
    let link = old.0.path().join("link");
    symlink("out.jsonl", &link).expect("linked");
    let done = ottla(&["copy", "--overwrite", "-", text(&link)], b"{\"new\":1}\n").await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    assert_eq!(lines(&old.path()), ["{\"new\":1}"]);
    assert_eq!(fs::metadata(old.path()).expect("there").permissions().mode() & 0o777, 0o640);

    let writer = fs::File::options().append(true).open(old.path()).expect("open");
    writer.lock().expect("locked");
    let refused = ottla(&["copy", "--overwrite", "-", text(&link)], b"{\"new\":2}\n").await;
    assert!(refused.status.code() == Some(3) && said(&refused).contains("is being written"), "{}", said(&refused));
    // A process that another test is just starting has the file open, too, so that closing it would not be enough.
    writer.unlock().expect("unlocked");
    // A link planted under the new file's name is not written through.
    let victim = old.0.path().join("victim");
    fs::write(&victim, "precious\n").expect("written");
    symlink("victim", old.0.path().join(".out.jsonl.ottla-new")).expect("linked");
    let done = ottla(&["copy", "--overwrite", "-", text(&old.path())], b"{\"new\":3}\n").await;
    assert_eq!(
        (done.status.code(), lines(&victim), lines(&old.path())),
        (Some(0), vec!["precious".to_owned()], vec!["{\"new\":3}".to_owned()]),
        "{}",
        said(&done)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_task_ends_well_while_its_pipe_has_no_reader() {
    let (broker, (_keep, pipe)) = (source(5).await, fifo());
    let running = start(endless(&broker, &pipe));
    until("the source", async || broker.requests(ApiKey::METADATA) > 0).await;
    let outcome = running.stop().await;
    assert!(matches!(outcome.result, Ok(Ending::Interrupted)), "{:?}", outcome.result);
    assert_eq!(outcome.counts.written, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_failed_before_a_bad_record_is_what_is_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let lines = directory.path().join("in.jsonl");
    std::fs::write(&lines, "{\"a\":1}\n{\"a\":2}\nbad\n").expect("written");
    let broker = broker().await;
    broker.create_topic("from", 1).expect("created");
    produce(&broker, "from", 0, &[b"{\"a\":1}", b"{\"a\":2}", b"bad"]).await;
    let topic = format!("kafka://{}/from", broker.bootstrap().join(","));
    for (source, third) in
        [(lines.to_str().expect("letters"), "in.jsonl, line 3"), (&topic, "topic from, partition 0, offset 2")]
    {
        let ended = ottla(&["copy", source, "/dev/full"], b"").await;
        let said = said(&ended);
        assert_eq!(ended.status.code(), Some(3), "{said}");
        assert!(said.contains("error: ") && said.contains("/dev/full cannot be written"), "{said}");
        assert!(said.contains("after that: ") && said.contains(third), "{said}");
        assert!(!said.contains("delivered"), "{said}");
    }
}
