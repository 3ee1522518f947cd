use super::*;
use crate::config::{FixedEnvironment, check_text};

fn config(text: &str) -> Config {
    let text = text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    check_text("t.toml".as_ref(), &text, &FixedEnvironment::default()).good
}

/// Connections `NAME@HOST/TOPICS` and tasks `NAME: SOURCE > TARGET`, all of mode full.
fn file(connections: &[(&str, &str, &str)], tasks: &[(&str, &str, &str)]) -> Config {
    let connection = |(name, host, topics): &(&str, &str, &str)| {
        format!("[connections.{name}]\nkind = \"kafka\"\nbootstrap = [\"{host}:9092\"]\ntopics = '{topics}'\n")
    };
    let task = |(name, source, target): &(&str, &str, &str)| {
        format!("[tasks.{name}]\nsource = \"{source}\"\ntarget = \"{target}\"\nmode = \"full\"\n")
    };
    let text: Vec<_> = connections.iter().map(connection).chain(tasks.iter().map(task)).collect();
    config(&text.concat())
}

fn rings_of(config: &Config, facts: &Facts) -> Vec<String> {
    rings(&ways(config, config.tasks.values(), facts)).iter().map(Ring::path).collect()
}

const TWO: &[(&str, &str, &str)] = &[("a", "k", "a"), ("b", "k", "b")];

#[test]
fn two_tasks_that_feed_each_other_are_a_ring_in_their_order() {
    let config = file(TWO, &[("there", "a", "b"), ("back", "b", "a")]);
    assert_eq!(rings_of(&config, &Facts::new()), ["back -> there -> back"]);
    let apart = file(&[("a", "k", "a"), ("b", "other", "b")], &[("there", "a", "b")]);
    assert!(rings_of(&apart, &Facts::new()).is_empty());
}

#[test]
fn a_ring_of_three_and_a_task_beside_it() {
    let connections = [("a", "k", "a"), ("b", "k", "b"), ("c", "k", "c"), ("d", "k", "d")];
    let config = file(&connections, &[("one", "a", "b"), ("two", "b", "c"), ("three", "c", "a"), ("side", "b", "d")]);
    assert_eq!(rings_of(&config, &Facts::new()), ["one -> two -> three -> one"]);
    let line = file(&connections, &[("one", "a", "b"), ("two", "b", "c"), ("three", "c", "d")]);
    assert!(rings_of(&line, &Facts::new()).is_empty());
}

#[test]
fn expressions_and_kept_names_make_rings_where_one_name_goes_round() {
    // The mirror: both keep the name, on two clusters.
    let mirror = |one: &str, other: &str| {
        file(&[("a", "east", one), ("b", "west", other)], &[("there", "a", "b"), ("back", "b", "a")])
    };
    assert_eq!(rings_of(&mirror("orders.*", ".*-eu"), &Facts::new()).len(), 1);
    assert!(rings_of(&mirror("east-.*", "west-.*"), &Facts::new()).is_empty());
    // Each pair has a name in common, but no name goes round.
    let connections = [("a", "x", "a|b"), ("b", "y", "b|c"), ("c", "z", "c|a")];
    let config = file(&connections, &[("one", "a", "b"), ("two", "b", "c"), ("three", "c", "a")]);
    assert!(rings_of(&config, &Facts::new()).is_empty());
    // A plain name into an expression.
    let config = file(&[("a", "k", "raw"), ("b", "k", "raw.*")], &[("there", "b", "a")]);
    assert_eq!(rings_of(&config, &Facts::new()), ["there -> there"]);
}

#[test]
fn cluster_ids_tell_what_addresses_do_not() {
    let config = file(&[("a", "east", "a"), ("b", "west", "b")], &[("there", "a", "b"), ("back", "b", "a")]);
    // One of the two addresses is an alias of the other: "a" and "b" are on one cluster in any case.
    assert_eq!(rings_of(&config, &Facts::new()), ["back -> there -> back"]);
    let config = file(
        &[("a", "east", "a"), ("b", "west", "b"), ("alias", "alias", "b"), ("a2", "far", "a")],
        &[("there", "a", "b"), ("back", "alias", "a2")],
    );
    assert!(rings_of(&config, &Facts::new()).is_empty());
    let asked = undecided(&config, config.tasks.values());
    assert_eq!(asked, ["a", "a2", "alias", "b"]);
    let id = |id: &str| ClusterFacts { id: Some(id.to_owned()), brokers: vec![("same".to_owned(), 1)] };
    let facts = |alias: &str, a2: &str| {
        Facts::from([("a".into(), id("E")), ("b".into(), id("W")), ("alias".into(), id(alias)), ("a2".into(), id(a2))])
    };
    assert_eq!(rings_of(&config, &facts("W", "E")), ["back -> there -> back"]);
    assert!(rings_of(&config, &facts("W", "F")).is_empty());
    assert!(rings_of(&config, &facts("V", "E")).is_empty());
}

#[test]
fn nothing_is_asked_where_it_makes_no_difference() {
    let config = file(&[("a", "east", "a"), ("b", "west", "b")], &[("there", "a", "b")]);
    assert!(undecided(&config, config.tasks.values()).is_empty());
    let config = file(TWO, &[("there", "a", "b"), ("back", "b", "a")]);
    assert!(undecided(&config, config.tasks.values()).is_empty(), "the lists say it already");
}

#[test]
fn a_full_task_waits_for_the_full_tasks_that_write_what_it_reads() {
    let connections = [("a", "k", "a"), ("b", "k", "b"), ("c", "k", "c")];
    let config = file(&connections, &[("second", "b", "c"), ("first", "a", "b")]);
    let waits = waits(&ways(&config, config.tasks.values(), &Facts::new()));
    assert_eq!(waits["second"], [("first".to_owned(), Meeting::Topic("b".to_owned()))]);
    assert!(waits["first"].is_empty());
}

#[test]
fn tasks_that_would_wait_for_each_other_do_not_wait() {
    let connections = [("a", "x", "a|b"), ("b", "y", "b|c"), ("c", "z", "c|a")];
    let config = file(&connections, &[("one", "a", "b"), ("two", "b", "c"), ("three", "c", "a")]);
    let waits = waits(&ways(&config, config.tasks.values(), &Facts::new()));
    assert!(waits.values().all(Vec::is_empty), "{waits:?}");
}

#[cfg(unix)]
#[test]
fn a_file_is_the_same_through_links_and_before_it_exists() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("file"), "x").expect("written");
    std::os::unix::fs::symlink(at("file"), at("link")).expect("linked");
    std::fs::hard_link(at("file"), at("hard")).expect("linked");
    std::os::unix::fs::symlink(directory.path(), at("self")).expect("linked");
    let of = |name: &str| FileIdentity::of(&at(name));
    assert!(of("file").is_some());
    assert_eq!(of("file"), of("link"));
    assert_eq!(of("file"), of("hard"));
    assert_eq!(of("new"), of("self/new"));
    assert_ne!(of("new"), of("other"));
    assert_eq!(FileIdentity::of(Path::new("/dev/null")), None);
}
