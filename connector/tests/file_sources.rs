//! Files as sources of tasks: a position is kept, rotation is followed, and what cannot be known stops the task.

#![cfg(unix)]

mod tasks_support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use ottla_devbroker::{DevBroker, Fault};
use ottla_protocol::{ApiKey, ErrorCode};
use tasks_support::*;
use tempfile::TempDir;

/// A task from `in.jsonl` into the topic `to`, run by the binary.
struct Task {
    home: TempDir,
    broker: DevBroker,
}

impl Task {
    async fn new(mode: &str) -> Self {
        let (home, broker) = (tempfile::tempdir().expect("a directory"), broker().await);
        broker.create_topic("to", 1).expect("created");
        let task = Self { home, broker };
        task.configure(mode, "");
        task
    }

    fn configure(&self, mode: &str, source_keys: &str) {
        let text = format!(
            "[connections.from]\nkind = \"jsonl\"\npath = '{}'\n{source_keys}\n\
             [connections.to]\nkind = \"kafka\"\nbootstrap = {:?}\ntopics = \"to\"\n\
             [tasks.t]\nsource = \"from\"\ntarget = \"to\"\nmode = \"{mode}\"\n",
            self.path("in.jsonl").display(),
            self.broker.bootstrap()
        );
        fs::write(self.path("ottla.toml"), text).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = fs::File::options().create(true).append(true).open(self.path(name)).expect("open");
        file.write_all(text.as_bytes()).expect("written");
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).expect("renamed");
    }

    async fn run(&self, args: &[&str]) -> (Option<i32>, String) {
        let file = self.path("ottla.toml");
        let done = ottla(&[&["run", text(&file)], args].concat(), b"").await;
        (done.status.code(), said(&done))
    }

    #[track_caller]
    fn run_ok(&self) -> impl Future<Output = String> {
        let at = std::panic::Location::caller();
        async move {
            let (code, said) = self.run(&[]).await;
            assert_eq!(code, Some(0), "{at}: {said}");
            said
        }
    }

    fn start(&self) -> Process {
        Process::start(self.home.path(), &["run", text(&self.path("ottla.toml"))])
    }

    fn arrived(&self) -> Vec<String> {
        values(&self.broker, "to", 0)
    }

    async fn arrives(&self, running: &mut Process, expected: &[String]) {
        let mut ended: Option<std::process::ExitStatus> = None;
        until(&format!("{} records", expected.len()), async || {
            ended = running.ended();
            ended.is_some() || self.arrived().len() >= expected.len()
        })
        .await;
        assert!(ended.is_none_or(|status| status.success()), "{}", running.log());
        assert_eq!(self.arrived(), expected, "{}", running.log());
    }

    /// The number of lines that the state says are sent; `None` while there is none.
    fn kept(&self) -> Option<i64> {
        let text = fs::read_to_string(self.path(".ottla/t.json")).ok()?;
        let state: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        state["entries"]["file"]["line"].as_i64()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

/// `{"at":"0-n"}` for each, as lines.
fn lines(range: std::ops::Range<i64>) -> String {
    objects(0, range).into_iter().map(|line| line + "\n").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_says_when_lines_go_to_other_partitions_than_in_the_last_run() {
    let task = Task::new("full").await;
    for (turn, (rule, change)) in
        [("spread", None), ("spread", None), ("key:/at", Some("spread")), ("key:/at", None)].into_iter().enumerate()
    {
        task.configure("full", "");
        let file = task.path("ottla.toml");
        let config = fs::read_to_string(&file).expect("read");
        let config = config.replace("[tasks.t]", &format!("partition_by = \"{rule}\"\n[tasks.t]"));
        fs::write(&file, config).expect("written");
        let from = turn as i64 * 5;
        task.append("in.jsonl", &lines(from..from + 5));
        let said = task.run_ok().await;
        let line = said.lines().find(|line| line.contains("than in the last run"));
        assert_eq!(line.is_some(), change.is_some(), "turn {turn}: {said}");
        if let (Some(line), Some(before)) = (line, change) {
            assert!(line.starts_with("warning: t: lines go to other partitions of topic to "), "{said}");
            assert!(
                line.contains(&format!("\"{rule}\" over 1 partition now, \"{before}\" over 1 partition then")),
                "{said}"
            );
        }
    }
    assert_eq!(task.arrived(), objects(0, 0..20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_full_run_sends_only_what_was_appended() {
    let task = Task::new("full").await;
    task.append("in.jsonl", &lines(0..5000));
    let said = task.run_ok().await;
    assert!(said.contains("starts at line 1 (no position is kept, mode full"), "{said}");
    assert!(task.run_ok().await.contains("0 read, 0 written"));
    task.append("in.jsonl", &lines(5000..5010));
    let said = task.run_ok().await;
    assert!(said.contains("starts at line 5001 (resumed from the kept position)"), "{said}");
    assert!(said.contains("10 read, 10 written"), "{said}");
    assert_eq!(task.arrived(), objects(0, 0..5010));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_line_without_a_line_break_is_sent_once() {
    let task = Task::new("full").await;
    task.append("in.jsonl", "{\"a\":1}\n{\"a\":2}");
    task.run_ok().await;
    task.run_ok().await;
    task.append("in.jsonl", "\n{\"a\":3}\r\n\n{\"a\":4}");
    task.run_ok().await;
    assert_eq!(task.kept(), Some(5));
    assert_eq!(task.arrived(), ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}", "{\"a\":4}"]);
    task.append("in.jsonl", " ,");
    let (code, said) = task.run(&[]).await;
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("in.jsonl, line 5: the line was sent when it was the last one"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_is_met_again_and_nothing_before_it_is_sent_twice() {
    let task = Task::new("full").await;
    task.append("in.jsonl", &(lines(0..100) + "\nbad\n" + &lines(100..200)));
    for _ in 0..2 {
        let (code, said) = task.run(&[]).await;
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains("in.jsonl, line 102: the value is no JSON object"), "{said}");
        assert_eq!((task.arrived(), task.kept()), (objects(0, 0..100), Some(101)));
    }
    task.configure("full", "on_bad_message = \"skip\"");
    task.run_ok().await;
    assert_eq!(task.arrived(), objects(0, 0..200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_line_is_not_passed_and_lines_are_counted_from_one() {
    let task = Task::new("full").await;
    task.append("in.jsonl", &lines(0..200));
    task.broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::TOPIC_AUTHORIZATION_FAILED).on_partition("to", 0));
    let (code, said) = task.run(&[]).await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("in.jsonl, line 1 and 199 more, up to line 200"), "{said}");
    assert_eq!(task.kept(), Some(0));
    task.broker.clear_faults();
    task.run_ok().await;
    assert_eq!(task.arrived(), objects(0, 0..200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_task_loses_no_line_wherever_it_is_killed() {
    let task = Task::new("full").await;
    task.append("in.jsonl", &lines(0..20_000));
    for life in 1..=5usize {
        let mut running = task.start();
        until("some records", async || task.arrived().len() >= life * 1000 || running.ended().is_some()).await;
        running.signal("KILL");
        running.wait().await;
    }
    task.run_ok().await;
    let mut arrived = task.arrived();
    assert_eq!(arrived.last(), objects(0, 19_999..20_000).last());
    arrived.sort();
    arrived.dedup();
    assert_eq!(arrived.len(), 20_000);
    assert_eq!(task.kept(), Some(20_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn full_and_incremental_follows_the_file_and_goes_on_after_a_stop() {
    let task = Task::new("full+incremental").await;
    task.append("in.jsonl", &lines(0..10));
    let mut running = task.start();
    task.arrives(&mut running, &objects(0, 0..10)).await;
    task.append("in.jsonl", "{\"at\":");
    task.append("in.jsonl", "\"0-10\"}\n");
    task.arrives(&mut running, &objects(0, 0..11)).await;
    running.signal("TERM");
    assert_eq!(running.wait().await, Some(0), "{}", running.log());
    task.append("in.jsonl", &lines(11..20));
    let mut running = task.start();
    task.arrives(&mut running, &objects(0, 0..20)).await;
    until("the position", async || task.kept() == Some(20)).await;
    running.signal("KILL");
    running.wait().await;
    task.append("in.jsonl", &lines(20..30));
    let mut running = task.start();
    task.arrives(&mut running, &objects(0, 0..30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn incremental_begins_at_the_end_of_its_first_start_and_nowhere_else() {
    let task = Task::new("incremental").await;
    // The line that is being written at the start comes after it.
    task.append("in.jsonl", &(lines(0..10) + "{\"at\":"));
    let mut running = task.start();
    until("the start", async || running.log().contains("starts at line 11")).await;
    assert_eq!(task.kept(), Some(10), "kept before anything is read");
    task.append("in.jsonl", "\"0-10\"}\n");
    task.arrives(&mut running, &objects(0, 10..11)).await;
    until("the position", async || task.kept() == Some(11)).await;
    running.signal("KILL");
    running.wait().await;
    task.append("in.jsonl", &lines(11..20));
    let mut running = task.start();
    task.arrives(&mut running, &objects(0, 10..20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn incremental_on_a_file_that_comes_later_begins_at_its_first_line_even_after_a_stop() {
    let task = Task::new("incremental").await;
    let mut running = task.start();
    until("the start", async || running.log().contains("the file does not exist yet: from its first line")).await;
    running.signal("TERM");
    assert_eq!(running.wait().await, Some(0), "{}", running.log());
    task.append("in.jsonl", &lines(0..5));
    let mut running = task.start();
    task.arrives(&mut running, &objects(0, 0..5)).await;
    drop(running);

    // The file that was begun is remembered before a line of it was sent, so that it can be rotated away.
    let task = Task::new("incremental").await;
    let silent = task.broker.inject(Fault::silence(ApiKey::PRODUCE));
    let mut running = task.start();
    until("the start", async || running.log().contains("does not exist yet")).await;
    task.append("in.jsonl", &lines(0..5));
    until("the first line", async || silent.hits() > 0).await;
    running.signal("KILL");
    running.wait().await;
    task.broker.clear_faults();
    task.rename("in.jsonl", "in.jsonl.1");
    task.append("in.jsonl", &lines(5..10));
    let mut running = task.start();
    task.arrives(&mut running, &objects(0, 0..10)).await;
    drop(running);

    let full = Task::new("full").await;
    let (code, said) = full.run(&[]).await;
    assert!(code == Some(3) && said.contains("in.jsonl"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_file_is_read_to_its_end_and_then_the_new_one() {
    let task = Task::new("full+incremental").await;
    task.append("in.jsonl", &lines(0..10));
    let mut running = task.start();
    task.arrives(&mut running, &objects(0, 0..10)).await;
    for round in 1..4 {
        let first = round * 10;
        task.rename("in.jsonl", &format!("in.jsonl.{round}"));
        // The writer has the old file open for a while.
        task.append(&format!("in.jsonl.{round}"), &lines(first..first + 3));
        task.arrives(&mut running, &objects(0, 0..first + 3)).await;
        task.append("in.jsonl", "");
        task.append(&format!("in.jsonl.{round}"), &lines(first + 3..first + 6));
        task.append("in.jsonl", &lines(first + 6..first + 10));
        task.arrives(&mut running, &objects(0, 0..first + 10)).await;
    }
    until("the position in the new file", async || task.kept() == Some(4)).await;
    running.signal("TERM");
    assert_eq!(running.wait().await, Some(0), "{}", running.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_while_the_task_is_stopped_loses_nothing_in_any_mode() {
    for mode in ["full", "full+incremental"] {
        let task = Task::new(mode).await;
        task.append("in.jsonl", &lines(0..10));
        let mut running = task.start();
        task.arrives(&mut running, &objects(0, 0..10)).await;
        if mode != "full" {
            until("the position", async || task.kept() == Some(10)).await;
            running.signal("TERM");
        }
        assert_eq!(running.wait().await, Some(0), "{}", running.log());
        task.append("in.jsonl", &lines(10..20));
        task.rename("in.jsonl", "in.jsonl.2");
        task.append("in.jsonl.1", &lines(20..30));
        task.append("in.jsonl", &lines(30..40));
        let mut running = task.start();
        task.arrives(&mut running, &objects(0, 0..40)).await;
        if mode != "full" {
            until("the position", async || task.kept() == Some(10)).await;
            running.signal("TERM");
        }
        assert_eq!(running.wait().await, Some(0), "{}", running.log());
        assert!(running.log().contains("was rotated and is"), "{}", running.log());
        task.append("in.jsonl", &lines(40..50));
        let mut running = task.start();
        task.arrives(&mut running, &objects(0, 0..50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_cut_or_is_another_stops_the_task_which_names_the_command_that_goes_on() {
    for mode in ["full", "full+incremental"] {
        for deed in ["cut", "written anew", "replaced"] {
            let task = Task::new(mode).await;
            task.append("in.jsonl", &lines(0..10));
            let mut running = task.start();
            task.arrives(&mut running, &objects(0, 0..10)).await;
            until("the position", async || task.kept() == Some(10)).await;
            let held = fs::File::open(task.path("in.jsonl")).expect("open");
            if mode == "full" {
                running.wait().await;
            } else if deed == "replaced" {
                running.signal("TERM");
                running.wait().await;
            }
            match deed {
                "cut" => drop(fs::File::create(task.path("in.jsonl")).expect("cut")),
                "written anew" => fs::write(task.path("in.jsonl"), lines(100..120)).expect("written"),
                _ => {
                    fs::remove_file(task.path("in.jsonl")).expect("removed");
                    fs::write(task.path("in.jsonl"), lines(100..120)).expect("written");
                }
            }
            let (code, said) = if mode == "full" || deed == "replaced" {
                task.run(&[]).await
            } else {
                (running.wait().await, running.log())
            };
            drop(held);
            assert_eq!(code, Some(4), "{mode}, {deed}: {said}");
            assert!(said.contains("--from-start t"), "{mode}, {deed}: {said}");
            assert_eq!(task.kept(), Some(10), "{mode}, {deed}");
            // It is no accident of the first look.
            assert_eq!(task.run(&[]).await.0, Some(4), "{mode}, {deed}");
            if deed != "cut" && mode == "full" {
                let before = task.arrived().len();
                let (code, said) = task.run(&["t", "--from-start", "t"]).await;
                assert_eq!(code, Some(0), "{mode}, {deed}: {said}");
                assert_eq!(task.arrived()[before..], objects(0, 100..120), "{mode}, {deed}");
                assert_eq!(task.run(&[]).await.0, Some(0), "{mode}, {deed}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_with_the_task_is_refused() {
    let task = Task::new("full+incremental").await;
    task.append("in.jsonl", &lines(0..10));
    let mut running = task.start();
    task.arrives(&mut running, &objects(0, 0..10)).await;
    let (code, said) = task.run(&[]).await;
    assert!(code == Some(3) && said.contains("task t: another process runs it"), "{said}");
    assert_eq!(task.arrived(), objects(0, 0..10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_state_file_is_never_a_silent_restart() {
    let task = Task::new("full").await;
    task.append("in.jsonl", &lines(0..10));
    task.run_ok().await;
    let state = task.path(".ottla/t.json");
    for bad in ["", "{}", "[1]", "\0\0\0"] {
        fs::write(&state, bad).expect("written");
        let (code, said) = task.run(&[]).await;
        assert!(code == Some(4) && said.contains("t.json") && said.contains("help:"), "{said}");
    }
    assert_eq!(task.arrived().len(), 10);
    let elsewhere = fs::read_to_string(task.path("ottla.toml")).expect("read");
    fs::write(task.path("ottla.toml"), format!("state_dir = \"sub/state\"\n{elsewhere}")).expect("written");
    task.run_ok().await;
    assert!(task.path("sub/state/t.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_positions_is_refused_by_check_in_the_modes_that_need_them() {
    let task = Task::new("incremental").await;
    assert!(Command::new("mkfifo").arg(task.path("in.jsonl")).status().expect("mkfifo runs").success());
    let file = task.path("ottla.toml");
    let checked = ottla(&["check", text(&file)], b"").await;
    assert_eq!(checked.status.code(), Some(2), "{}", said(&checked));
    assert!(said(&checked).contains("no positions for mode \"incremental\""), "{}", said(&checked));
    let config = fs::read_to_string(&file).expect("read");
    fs::write(&file, config.replace(text(&task.path("in.jsonl")), "-")).expect("written");
    let checked = ottla(&["check", text(&file)], b"").await;
    assert!(
        checked.status.code() == Some(2) && said(&checked).contains("standard input has no positions"),
        "{}",
        said(&checked)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_pipe_is_read_until_its_writers_close_it_and_a_signal_ends_the_wait_for_one() {
    let task = Task::new("full").await;
    let pipe = task.path("in.jsonl");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let mut running = task.start();
    until("the start", async || running.log().contains("is no regular file, so no position is kept")).await;
    running.signal("TERM");
    assert_eq!(running.wait().await, Some(0), "{}", running.log());
    let mut running = task.start();
    let writing = tokio::task::spawn_blocking(move || fs::write(pipe, lines(0..5000)).expect("written"));
    assert_eq!(running.wait().await, Some(0), "{}", running.log());
    writing.await.expect("no panic");
    assert_eq!(task.arrived(), objects(0, 0..5000));
    let tested = ottla(&["test", text(&task.path("ottla.toml")), "from", "--timeout", "5"], b"").await;
    assert_eq!(tested.status.code(), Some(0), "{}", said(&tested));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_another_kind_are_named_with_the_command_that_helps_and_nothing_is_sent() {
    let utf16: Vec<u8> = "\u{feff}{\"a\":1}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bare: Vec<u8> = "{\"a\":1}\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let kinds: [(&[u8], &str, &str); 7] = [
        (&utf16, "is UTF-16 text", "iconv -f UTF-16 -t UTF-8"),
        (&bare, "is UTF-16BE text", "iconv -f UTF-16BE -t UTF-8"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "is compressed with gzip", "zcat"),
        (b"\x28\xb5\x2f\xfd\x04\0", "is compressed with zstd", "zstdcat"),
        (b"[\n{\"a\":1},\n{\"a\":2}\n]\n", "is one JSON array", "jq -c '.[]'"),
        (b"{\n  \"a\": 1\n}\n{\n  \"a\": 2\n}\n", "over several lines", "jq -c ."),
        (b"id,name\n1,x\n", "CSV", "mlr --icsv --ojsonl cat"),
    ];
    for (content, what, command) in kinds {
        let task = Task::new("full").await;
        let input = task.path("in.jsonl");
        fs::write(&input, content).expect("written");
        let to = format!("kafka://{}/to", task.broker.bootstrap().join(","));
        let named = [text(&input), "ottla copy - TARGET"];
        for policy in ["stop", "skip"] {
            if policy == "skip" && what == "CSV" {
                continue;
            }
            task.configure("full", &format!("on_bad_message = \"{policy}\""));
            let (code, said) = task.run(&[]).await;
            assert_eq!(code, Some(4), "{what}: {said}");
            assert!(
                said.contains(what) && said.contains(command) && named.iter().all(|part| said.contains(part)),
                "{said}"
            );
        }
        let copied = ottla(&["copy", text(&input), &to], b"").await;
        assert!(copied.status.code() == Some(4) && said(&copied).contains(command), "{}", said(&copied));
        let piped = ottla(&["copy", "-", &to], content).await;
        assert!(piped.status.code() == Some(4) && said(&piped).contains(command), "{}", said(&piped));
        assert!(said(&piped).contains("standard input "), "{}", said(&piped));
        let tested = ottla(&["test", text(&task.path("ottla.toml")), "from"], b"").await;
        let report = String::from_utf8_lossy(&tested.stdout).into_owned();
        assert!(tested.status.code() == Some(3) && report.contains(what), "{report}");
        assert_eq!(task.broker.requests(ApiKey::PRODUCE), 0, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_too_long_is_named_with_its_file() {
    let task = Task::new("full").await;
    task.append("in.jsonl", &(lines(0..2) + "{\"x\":\"" + &"x".repeat(65 << 20)));
    let (code, said) = task.run(&[]).await;
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("in.jsonl, line 3: the line is longer than 64 MiB"), "{said}");
    assert_eq!((task.arrived(), task.kept()), (objects(0, 0..2), Some(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_not_copied_into_itself_under_any_name() {
    let home = tempfile::tempdir().expect("a directory");
    let at = |name: &str| home.path().join(name);
    fs::write(at("a.jsonl"), lines(0..3)).expect("written");
    symlink("a.jsonl", at("soft.jsonl")).expect("linked");
    fs::hard_link(at("a.jsonl"), at("hard.jsonl")).expect("linked");
    for other in ["a.jsonl", "soft.jsonl", "hard.jsonl"] {
        for flag in ["--append", "--overwrite"] {
            for (from, to) in [("a.jsonl", other), (other, "a.jsonl")] {
                let done = ottla(&["copy", flag, text(&at(from)), text(&at(to))], b"").await;
                assert!(done.status.code() == Some(2) && said(&done).contains("are the same"), "{}", said(&done));
            }
        }
        let config = |source: &str, target: &str| {
            format!(
                "[connections.a]\nkind = \"jsonl\"\npath = '{}'\n[connections.b]\nkind = \"jsonl\"\npath = '{}'\n\
                 [tasks.t]\nsource = \"a\"\ntarget = \"b\"\nmode = \"full+incremental\"\n",
                at(source).display(),
                at(target).display()
            )
        };
        fs::write(at("loop.toml"), config("a.jsonl", other)).expect("written");
        for command in ["check", "run"] {
            let done = ottla(&[command, text(&at("loop.toml"))], b"").await;
            assert!(
                done.status.code() == Some(2) && said(&done).contains("would write the file it reads"),
                "{}",
                said(&done)
            );
        }
    }
    // Redirections are files, too.
    let script = format!("{} copy - - < a.jsonl >> hard.jsonl", binary().display());
    let shell = Command::new("sh").arg("-c").arg(script).current_dir(home.path()).output().expect("sh runs");
    assert!(shell.status.code() == Some(2) && said(&shell).contains("are the same"), "{}", said(&shell));
    assert_eq!(fs::read_to_string(at("a.jsonl")).expect("read"), lines(0..3));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tasks_do_not_write_one_file_under_two_names() {
    let home = tempfile::tempdir().expect("a directory");
    let at = |name: &str| home.path().join(name);
    fs::write(at("in.jsonl"), lines(0..3)).expect("written");
    symlink("out.jsonl", at("soft.jsonl")).expect("linked");
    let config = format!(
        "[connections.in]\nkind = \"jsonl\"\npath = '{0}/in.jsonl'\n[connections.a]\nkind = \"jsonl\"\npath = '{0}/out.jsonl'\n\
         [connections.b]\nkind = \"jsonl\"\npath = '{0}/soft.jsonl'\n\
         [tasks.one]\nsource = \"in\"\ntarget = \"a\"\nmode = \"full\"\n[tasks.two]\nsource = \"in\"\ntarget = \"b\"\nmode = \"full\"\n",
        home.path().display()
    );
    fs::write(at("two.toml"), config).expect("written");
    let done = ottla(&["check", text(&at("two.toml"))], b"").await;
    assert!(done.status.code() == Some(2) && said(&done).contains("writes the same file"), "{}", said(&done));
}
