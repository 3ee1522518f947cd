use super::{project, run};

#[test]
fn every_example_passes_the_check_without_a_warning() {
    let project = project();
    let mut names: Vec<_> = std::fs::read_dir(project.join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["embedded.toml", "file-to-kafka.toml", "kafka-to-file.toml", "kafka-to-kafka.toml"]);
    for name in names {
        let ended = run(&project, &["check", &format!("examples/{name}")]).ends_with(0);
        assert!(ended.stdout.contains("no mistakes\n") && ended.stderr.is_empty(), "{}{}", ended.stdout, ended.stderr);
    }
}

#[test]
fn every_example_that_ends_runs_to_its_end() {
    // Of the project the examples use the data set only; what they write goes into a directory of this test.
    let here = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(here.path().join("testdata")).unwrap();
    std::fs::create_dir_all(here.path().join("target")).unwrap();
    std::fs::copy(project().join("testdata/orders.jsonl"), here.path().join("testdata/orders.jsonl")).unwrap();
    for name in ["file-to-kafka.toml", "kafka-to-file.toml", "kafka-to-kafka.toml"] {
        let example = project().join("examples").join(name);
        let ended = run(here.path(), &["run", example.to_str().unwrap()]).ends_with(0);
        assert!(ended.stderr.contains("complete"), "{name}: {}", ended.stderr);
    }
    // `follow` of the remaining one never ends by its own; its other task does.
    let example = project().join("examples/embedded.toml");
    let ended = run(here.path(), &["run", example.to_str().unwrap(), "fill"]).ends_with(0);
    assert!(ended.stderr.contains("10,000 written"), "{}", ended.stderr);
}
