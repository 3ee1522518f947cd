//! `ottla demo` with the real binary.

mod tasks_support;

use std::path::Path;

use tasks_support::*;

fn orders() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/orders.jsonl")).expect("the shipped orders")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_0_and_leaves_nothing_but_the_file_it_names() {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.arg("demo").current_dir(home.path()).env("TMPDIR", home.path()).env("HOME", home.path());
    let done = tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("no panic");
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let told = String::from_utf8(done.stdout).expect("text");
    let file = told.lines().map(str::trim).find(|line| line.ends_with("orders-copy.jsonl")).expect("the file is named");
    assert!(std::fs::read(file).expect("it is there") == orders(), "not what was shipped");
    for part in ["10,000 read, 10,000 written, 0 skipped", "all 10,000 orders", "records/s", "ottla copy", "ottla dev"]
    {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    let left: Vec<_> =
        std::fs::read_dir(home.path()).expect("read").map(|entry| entry.expect("entry").path()).collect();
    assert_eq!(left, [Path::new(file).parent().expect("a directory")], "a trace elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_writes_where_it_is_asked_to_again_and_again() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("new/one");
    for _ in 0..2 {
        let done = ottla(&["demo", "--dir", directory.to_str().expect("letters")], b"").await;
        assert_eq!(done.status.code(), Some(0), "{}", said(&done));
        assert!(std::fs::read(directory.join("orders-copy.jsonl")).expect("read") == orders());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_broker_serves_until_a_signal() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("out");
    let mut demo = Process::start(home.path(), &["demo", "--keep", "--dir", directory.to_str().expect("letters")]);
    until("the broker's address", async || demo.log().contains("the broker stays up")).await;
    let log = demo.log();
    let address = log.split("it is at ").nth(1).and_then(|rest| rest.split(',').next()).expect("an address");
    let copied = ottla(&["copy", &format!("kafka://{address}/orders"), "-"], b"").await;
    assert!(copied.stdout == orders(), "{}", said(&copied));
    demo.signal("INT");
    assert_eq!(demo.wait().await, Some(0), "{}", demo.log());
}
