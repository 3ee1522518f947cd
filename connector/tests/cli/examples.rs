use std::path::Path;
use std::time::{Duration, Instant};

use super::{ottla, project, run, wait};

const NAMES: [&str; 4] = ["embedded.toml", "file-to-kafka.toml", "kafka-to-file.toml", "kafka-to-kafka.toml"];

#[test]
fn every_example_passes_the_check_without_a_warning() {
    let project = project();
    let mut names: Vec<_> = std::fs::read_dir(project.join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, NAMES);
    for name in names {
        let ended = run(&project, &["check", &format!("examples/{name}")]).ends_with(0);
        assert!(ended.stdout.contains("no mistakes\n") && ended.stderr.is_empty(), "{}{}", ended.stdout, ended.stderr);
    }
}

/// An empty directory with nothing in it but this example, after the command that the example names first.
fn beside_its_first_step(name: &str) -> tempfile::TempDir {
    let here = tempfile::tempdir().unwrap();
    let example = std::fs::read_to_string(project().join("examples").join(name)).unwrap();
    std::fs::write(here.path().join(name), &example).unwrap();
    let steps: Vec<_> = example.lines().filter_map(|line| line.strip_prefix("#   ottla ")).collect();
    let words = |step: &str| step.split('#').next().unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(steps[1]), ["run", name], "the second step is the run");
    run(here.path(), &words(steps[0]).iter().map(String::as_str).collect::<Vec<_>>()).ends_with(0);
    here
}

fn read(directory: &Path, name: &str) -> String {
    std::fs::read_to_string(directory.join(name)).unwrap_or_default()
}

#[test]
fn every_example_that_ends_moves_its_records_in_an_empty_directory() {
    for name in ["file-to-kafka.toml", "kafka-to-file.toml", "kafka-to-kafka.toml"] {
        let here = beside_its_first_step(name);
        let ended = run(here.path(), &["run", name]).ends_with(0);
        let moved = ended.stderr.matches("10,000 written").count();
        assert_eq!(moved, if name == "file-to-kafka.toml" { 1 } else { 2 }, "{name}: {}", ended.stderr);
        if name == "kafka-to-file.toml" {
            assert!(read(here.path(), "shop-orders.jsonl") == read(here.path(), "orders-copy.jsonl"));
        }
    }
}

#[test]
fn the_example_that_follows_has_every_record_of_a_topic_that_is_made_after_its_start() {
    let here = beside_its_first_step("embedded.toml");
    let mut running =
        ottla(here.path()).args(["run", "embedded.toml"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let orders = read(here.path(), "orders-copy.jsonl");
    let deadline = Instant::now() + Duration::from_mins(1);
    while read(here.path(), "orders-back.jsonl") != orders && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let signalled = std::process::Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    assert_eq!(wait(&mut running), Some(0));
    assert!(read(here.path(), "orders-back.jsonl") == orders, "not every order came back");
}
