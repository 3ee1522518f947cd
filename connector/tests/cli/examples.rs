use super::{project, run};

#[test]
fn every_example_passes_the_check_without_a_warning() {
    let project = project();
    let mut names: Vec<_> = std::fs::read_dir(project.join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    assert_eq!(names, ["embedded.toml", "file-to-kafka.toml", "kafka-to-file.toml", "kafka-to-kafka.toml"]);
    for name in names {
        let ended = run(&project, &["check", &format!("examples/{name}")]).ends_with(0);
        assert!(ended.stdout.contains("no mistakes\n") && ended.stderr.is_empty(), "{}{}", ended.stdout, ended.stderr);
    }
}
