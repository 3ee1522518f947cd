//! What users are told who lack a right, on a real Kafka with an authorizer: which right it is and what grants it.

mod support;

use std::path::Path;

use ottla_brokers::{Error, Finished, Kafka, KafkaOptions, Release, skipped};
use support::{consume, json_lines, ottla, produce};

const TOPIC: &str = "orders";

/// A broker that lets nobody do anything without being told to, but for itself and for who comes without a name.
fn start(release: Release) -> Result<Kafka, Error> {
    let users = ["describer", "groupless", "reader", "writer"];
    let options = KafkaOptions::default()
        .property("authorizer.class.name", "kafka.security.auth.SimpleAclAuthorizer")
        .property("super.users", "User:ANONYMOUS");
    let options = users.iter().fold(options, |options, user| options.sasl_plain(user, "secret"));
    let kafka = Kafka::start_with(release, options)?;
    kafka.admin()?.create_topic(TOPIC, 1, 1)?;
    let topic = ["--topic", TOPIC];
    grant(&kafka, "describer", "Describe", &topic)?;
    grant(&kafka, "groupless", "Read", &topic)?;
    grant(&kafka, "reader", "Read", &topic)?;
    grant(&kafka, "reader", "Read", &["--group", "*"])?;
    grant(&kafka, "writer", "Write", &topic)?;
    Ok(kafka)
}

fn grant(kafka: &Kafka, user: &str, operation: &str, on: &[&str]) -> Result<Finished, Error> {
    let (bootstrap, user) = (kafka.bootstrap(), format!("User:{user}"));
    let args = ["--bootstrap-server", &bootstrap, "--add", "--allow-principal", &user, "--operation", operation];
    kafka.tools().run("kafka.admin.AclCommand", &[&args, on].concat(), &[])
}

/// A config file of this user: from the topic into a file, and from a file into the topic.
fn config(kafka: &Kafka, directory: &Path, user: &str) -> String {
    let place = |name: &str| directory.join(format!("{user}-{name}"));
    let address = kafka.sasl_bootstrap().expect("a SASL listener");
    let kafka = format!(
        "kind = \"kafka\"\nbootstrap = [\"{address}\"]\ntopics = \"{TOPIC}\"\n\
         auth = {{ mechanism = \"plain\", username = \"{user}\", password = \"secret\" }}\n"
    );
    let text = format!(
        "state_dir = '{}'\n\n\
         [connections.in]\nkind = \"jsonl\"\nrole = \"source\"\npath = '{}'\n\n\
         [connections.out]\nkind = \"jsonl\"\nrole = \"target\"\npath = '{}'\n\n\
         [connections.source]\nrole = \"source\"\n{kafka}\n[connections.target]\nrole = \"target\"\n{kafka}\n\
         [tasks.{user}-get]\nsource = \"source\"\ntarget = \"out\"\nmode = \"full\"\n\n\
         [tasks.{user}-put]\nsource = \"in\"\ntarget = \"target\"\nmode = \"full\"\n",
        place("state").display(),
        place("in.jsonl").display(),
        place("out.jsonl").display(),
    );
    std::fs::write(place("in.jsonl"), json_lines(100)).expect("written");
    std::fs::write(place("ottla.toml"), text).expect("written");
    place("ottla.toml").display().to_string()
}

/// Runs it; it has to end with this code and say these.
fn says(args: &[&str], code: i32, words: &[&str]) -> String {
    let done = ottla(args, &[]);
    let said = format!("{}{}", done.text(), done.stderr);
    assert_eq!(done.status.code(), Some(code), "{args:?}\n{said}");
    for word in words {
        assert!(said.contains(word), "{args:?} does not say {word:?}:\n{said}");
    }
    said
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn whoever_lacks_a_right_is_told_which_and_what_grants_it() -> Result<(), Error> {
    let release = Release::from_env()?;
    if !release.at_least(2, 3) || release.at_least(2, 4) {
        let why = "the authorizer's class and the tool that grants are those of 2.3";
        skipped("whoever_lacks_a_right_is_told_which_and_what_grants_it", &release, why);
        return Ok(());
    }
    let kafka = start(release)?;
    produce(&kafka, TOPIC, 0, &json_lines(50));
    let directory = tempfile::tempdir().expect("a directory");
    let file = |user: &str| config(&kafka, directory.path(), user);

    let describer = file("describer");
    says(&["test", &describer, "source"], 3, &["TOPIC_AUTHORIZATION_FAILED", "--operation Read --topic"]);
    says(&["test", &describer, "target"], 3, &["not write to it", "--operation Write --topic orders"]);
    says(&["run", &describer, "describer-put"], 3, &["TOPIC_AUTHORIZATION_FAILED", "WRITE"]);
    assert_eq!(consume(&kafka, TOPIC, 0, 0), json_lines(50), "nothing was written");

    let groupless = file("groupless");
    says(
        &["test", &groupless, "source"],
        3,
        &["GROUP_AUTHORIZATION_FAILED", "--operation Read --group ottla-groupless-get"],
    );
    says(&["run", &groupless, "groupless-get"], 3, &["GROUP_AUTHORIZATION_FAILED", "--operation Read --group"]);

    let reader = file("reader");
    says(&["test", &reader, "source"], 0, &["1 topic may be read"]);
    says(&["run", &reader, "reader-get"], 0, &["50 written"]);

    let writer = file("writer");
    says(&["test", &writer, "target"], 0, &["the topic orders may be written"]);
    let said = says(&["run", &writer, "writer-put"], 0, &["without: a batch", "--operation IdempotentWrite --cluster"]);
    assert_eq!(said.matches("IdempotentWrite").count(), 1, "{said}");
    assert_eq!(consume(&kafka, TOPIC, 0, 50), json_lines(100));
    Ok(())
}
