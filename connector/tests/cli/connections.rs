//! `ottla test`, against the development broker in this process and against peers that are no brokers.

use std::net::TcpListener;

use ottla_devbroker::{DevBroker, Fault, Release};
use ottla_protocol::{ApiKey, ErrorCode};
use serde_json::Value;

use super::{finish, ottla, run, with_config};

pub(super) fn kafka(bootstrap: &str, more: &str) -> String {
    format!("[connections.shop]\nkind = \"kafka\"\nbootstrap = [\"{bootstrap}\"]\n{more}")
}

/// Runs `ottla test` beside this process's own broker and returns each step with its outcome.
pub(super) async fn test(config: String, code: i32) -> (Vec<(String, String)>, String) {
    let run = move || {
        let directory = with_config(&config);
        let args = ["test", "shop.toml", "--timeout", "2", "--output", "json"];
        finish(ottla(directory.path()).args(args).env("PLANTED", "s3cret-planted"))
    };
    let ended = tokio::task::spawn_blocking(run).await.unwrap().ends_with(code);
    let printed = format!("{}{}", ended.stdout, ended.stderr);
    assert!(!printed.contains("s3cret-planted"), "{printed}");
    let result: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(result["ok"], code == 0);
    let steps =
        result["result"].as_array().unwrap().iter().flat_map(|connection| connection["steps"].as_array().unwrap());
    let steps =
        steps.map(|step| (step["step"].as_str().unwrap().to_owned(), step["outcome"].as_str().unwrap().to_owned()));
    (steps.collect(), printed)
}

/// How a step ended.
pub(super) fn outcome<'s>(steps: &'s [(String, String)], name: &str) -> &'s str {
    &steps.iter().find(|(step, _)| step == name).unwrap().1
}

#[track_caller]
fn assert_steps(found: &[(String, String)], expected: &[(&str, &str)]) {
    let found: Vec<_> = found.iter().map(|(step, outcome)| (step.as_str(), outcome.as_str())).collect();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_cluster_passes_every_step_in_order() {
    let broker = DevBroker::builder().start().await.unwrap();
    broker.create_topic("orders", 3).unwrap();
    let (steps, printed) = test(kafka(&broker.bootstrap()[0], "topics = \"orders\"\n"), 0).await;
    let expected = [
        ("config", "pass"),
        ("DNS", "pass"),
        ("TCP", "pass"),
        ("TLS", "skipped"),
        ("SASL", "skipped"),
        ("ApiVersions", "pass"),
        ("metadata", "pass"),
        ("brokers", "pass"),
        ("topics", "pass"),
        ("leaders", "pass"),
        ("read", "pass"),
        ("group", "pass"),
        ("target", "pass"),
        ("write", "pass"),
        ("compression", "pass"),
        ("acks", "pass"),
    ];
    assert_steps(&steps, &expected);
    assert!(printed.contains("1 topic, 3 partitions: orders"), "{printed}");
    assert!(printed.contains("majority and all are the same on the wire"), "{printed}");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_changes_nothing_in_the_cluster() {
    let broker = DevBroker::builder().start().await.unwrap();
    test(kafka(&broker.bootstrap()[0], "topics = \"orders\"\n"), 0).await;
    assert_eq!(broker.topics(), []);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_without_a_leader_and_topics_that_may_not_be_read_are_told() {
    let broker = DevBroker::builder().nodes(2).start().await.unwrap();
    broker.create_topic("orders", 2).unwrap();
    let fault = Fault::error(ApiKey::FETCH, ErrorCode::TOPIC_AUTHORIZATION_FAILED).on_partition("orders", 0);
    let refused = broker.inject(fault);
    let (steps, printed) = test(kafka(&broker.bootstrap()[0], "topics = \"orders\"\n"), 3).await;
    assert_eq!((outcome(&steps, "leaders"), outcome(&steps, "read")), ("pass", "fail"));
    assert!(printed.contains("--operation Read"), "{printed}");
    refused.remove();
    let refused = broker.inject(Fault::error(ApiKey::OFFSET_FETCH, ErrorCode::GROUP_AUTHORIZATION_FAILED));
    let (steps, printed) = test(kafka(&broker.bootstrap()[0], "topics = \"orders\"\n"), 3).await;
    assert_eq!((outcome(&steps, "read"), outcome(&steps, "group")), ("pass", "fail"));
    assert!(printed.contains("--group ottla-"), "{printed}");
    refused.remove();
    broker.kill_node(1).await.unwrap();
    let (steps, printed) = test(kafka(&broker.bootstrap()[0], "topics = \"orders\"\n"), 0).await;
    assert_eq!(outcome(&steps, "leaders"), "warn");
    assert!(printed.contains("1 of 2 partitions without a leader: orders-1"), "{printed}");
    broker.shutdown().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_others_can_read_is_a_warning_of_the_config_step() {
    use std::os::unix::fs::PermissionsExt as _;

    let broker = DevBroker::builder().sasl_plain(&[("etl", "s3cret-planted")]).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "s3cret-planted").unwrap();
    for (mode, expected) in [(0o600, "pass"), (0o644, "warn")] {
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
        let login = format!(
            "auth = {{ mechanism = \"plain\", username = \"etl\", password = \"${{file:{}}}\" }}\n",
            secret.display()
        );
        let (steps, printed) = test(kafka(&broker.bootstrap()[0], &login), 0).await;
        assert_eq!(outcome(&steps, "config"), expected, "{printed}");
        assert_eq!(printed.contains("other users can read the file of the password"), expected == "warn", "{printed}");
    }
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_listener_everything_after_tcp_is_skipped() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (steps, printed) = test(kafka(&free.to_string(), ""), 3).await;
    let outcome = |name: &str| steps.iter().find(|(step, _)| step == name).unwrap().1.clone();
    assert_eq!((outcome("DNS"), outcome("TCP")), ("pass".to_owned(), "fail".to_owned()));
    assert!(steps.iter().skip(3).all(|(_, outcome)| outcome == "skipped"), "{steps:?}");
    assert!(steps.len() == 16 && printed.contains("is the broker running"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_login_passes_and_a_refused_one_fails_at_its_own_step() {
    let broker = DevBroker::builder().sasl_plain(&[("etl", "s3cret-planted")]).start().await.unwrap();
    let bootstrap = broker.bootstrap()[0].clone();
    let login =
        |password: &str| format!("auth = {{ mechanism = \"plain\", username = \"etl\", password = \"{password}\" }}\n");
    let (steps, _) = test(kafka(&bootstrap, &login("${env:PLANTED}")), 0).await;
    assert_eq!(steps[4], ("SASL".to_owned(), "pass".to_owned()));

    let (steps, _) = test(kafka(&bootstrap, &login("${env:PLANTED}x")), 3).await;
    assert_eq!(steps[4], ("SASL".to_owned(), "fail".to_owned()));
    assert!(steps[5..].iter().all(|(_, outcome)| outcome == "skipped"), "{steps:?}");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_a_login_fails_has_its_reason_and_its_fix() {
    let users = [("etl", "s3cret-planted")];
    let broker = DevBroker::builder().sasl_scram_sha_256(&users).start().await.unwrap();
    let bearer = DevBroker::builder().sasl_oauthbearer().start().await.unwrap();
    let open = DevBroker::builder().start().await.unwrap();
    let login = |mechanism: &str, more: &str| format!("auth = {{ mechanism = \"{mechanism}\", {more} }}\n");
    let account = "username = \"etl\", password = \"${env:PLANTED}\"";
    let wrong = "username = \"etl\", password = \"${env:PLANTED}x\"";
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "no.jwt").unwrap();
    let file = format!("token_file = {:?}", token.to_str().unwrap());
    let missing = "token_file = \"/no/such/token\"";

    let (steps, printed) = test(kafka(&broker.bootstrap()[0], &login("scram-sha-256", account)), 0).await;
    assert!(steps.contains(&("SASL".to_owned(), "pass".to_owned())), "{printed}");
    for (broker, auth, reason, fix) in [
        (&broker, login("scram-sha-256", wrong), "Invalid user credentials", "which SCRAM hashes a user has"),
        (&broker, login("scram-sha-512", account), "the broker has SCRAM-SHA-256", "set `auth.mechanism` to one"),
        (&broker, login("plain", account), "asked for PLAIN", "set `auth.mechanism` to one"),
        (&open, login("plain", account), "takes no SASL on this port", "leave `auth` out"),
        (&bearer, login("oauthbearer", &file), "invalid_token", "where the token comes from"),
        (&bearer, login("oauthbearer", missing), "/no/such/token cannot be read", "where the token comes from"),
    ] {
        let (steps, printed) = test(kafka(&broker.bootstrap()[0], &auth), 3).await;
        assert!(steps.contains(&("SASL".to_owned(), "fail".to_owned())), "{printed}");
        assert!(printed.contains(reason) && printed.contains(fix), "{auth}{printed}");
    }
    for broker in [broker, bearer, open] {
        broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_asks_for_a_login_is_told_from_one_that_is_away() {
    let broker = DevBroker::builder().sasl_plain(&[("etl", "x")]).start().await.unwrap();
    let (steps, printed) = test(kafka(&broker.bootstrap()[0], ""), 3).await;
    assert_eq!(steps[2], ("TCP".to_owned(), "pass".to_owned()));
    assert!(printed.contains("auth") || printed.contains("login"), "{printed}");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_no_broker_fails_in_time() {
    // It takes connections in its backlog and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (steps, _) = test(kafka(&silent.local_addr().unwrap().to_string(), ""), 3).await;
    assert_eq!(steps[5], ("ApiVersions".to_owned(), "fail".to_owned()));

    let closing = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closing.local_addr().unwrap().to_string();
    std::thread::spawn(move || closing.incoming().for_each(drop));
    let (steps, printed) = test(kafka(&address, ""), 3).await;
    assert_eq!(steps[5], ("ApiVersions".to_owned(), "fail".to_owned()));
    assert!(printed.contains("help"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn compression_that_the_release_lacks_fails_with_the_release_named() {
    let broker = DevBroker::builder().release(Release::V2_0).start().await.unwrap();
    let (steps, printed) = test(kafka(&broker.bootstrap()[0], "compression = \"zstd\"\n"), 3).await;
    let failed: Vec<_> = steps.iter().filter(|(_, outcome)| outcome == "fail").map(|(step, _)| step.as_str()).collect();
    assert_eq!(failed, ["compression"]);
    assert!(printed.contains("2.1"), "{printed}");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_broker_and_files_are_tested_too() {
    let config = "[connections.broker]\nkind = \"kafka\"\nbootstrap = \"embedded\"\n\
                  [connections.out]\nkind = \"jsonl\"\nrole = \"target\"\npath = \"out.jsonl\"\n\
                  [connections.in]\nkind = \"jsonl\"\nrole = \"source\"\npath = \"shop.toml\"\n";
    let (steps, printed) = test(config.to_owned(), 0).await;
    assert!(steps.contains(&("ApiVersions".to_owned(), "pass".to_owned())), "{steps:?}");
    assert!(steps.contains(&("target".to_owned(), "pass".to_owned())), "{steps:?}");
    assert!(printed.contains("its first line is not a JSON object"), "{printed}");
}

#[test]
fn a_missing_source_file_or_target_directory_fails() {
    let config = "[connections.in]\nkind = \"jsonl\"\nrole = \"source\"\npath = \"none.jsonl\"\n\
                  [connections.out]\nkind = \"jsonl\"\nrole = \"target\"\npath = \"none/out.jsonl\"\n";
    let directory = with_config(config);
    let ended = run(directory.path(), &["test", "shop.toml"]).ends_with(3);
    assert!(ended.stderr.contains("2 of 2 connections failed the test: in, out"), "{}", ended.stderr);
    assert!(ended.stdout.contains("  fail     source       none.jsonl: "), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("  fail     target       none/out.jsonl: cannot be created in none"),
        "{}",
        ended.stdout
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing was left behind");
}

#[test]
fn one_connection_can_be_chosen_and_an_unknown_one_is_named() {
    let directory = with_config(
        "[connections.in]\nkind = \"jsonl\"\npath = \"-\"\n[connections.out]\nkind = \"jsonl\"\npath = \"none/x\"\n",
    );
    run(directory.path(), &["test", "shop.toml", "in"]).ends_with(0);
    let ended = run(directory.path(), &["test", "shop.toml", "inn"]).ends_with(2);
    assert_eq!(ended.stderr, "error: shop.toml has no connection `inn`\n  help: did you mean `in`?\n");
}
