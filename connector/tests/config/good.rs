//! Good files become the config they describe.

use ottla_connector::config::{
    Account, AckLevel, Auth, Bootstrap, Config, Jsonl, JsonlPath, Kafka, Kind, Mode, OnError, Role, TopicExpression,
};
use ottla_connector::secret::Secret;
use ottla_protocol::compression::Compression;

use super::{PLANTED, check, dedented};

fn good(text: &str) -> Config {
    let checked = check(&dedented(text));
    let report = checked.report.render(ottla_connector::config::Paint::Plain);
    checked.config.unwrap_or_else(|| panic!("{report}"))
}

fn kafka<'c>(config: &'c Config, name: &str) -> &'c Kafka {
    match &config.connections[name].kind {
        Kind::Kafka(kafka) => kafka,
        Kind::Jsonl(_) => panic!("{name} is a file"),
    }
}

#[test]
fn every_key_is_read_into_its_place() {
    let config = good(
        r#"
        [connections.shop]
        kind = "kafka"
        role = "both"
        bootstrap = ["localhost:9092", "[::1]:9093"]
        topics = "orders.*"
        acks = "leader"
        compression = "zstd"
        on_bad_message = "skip"
        on_push_error = "skip"
        auth = { mechanism = "plain", username = "etl", password = "${env:SECRET}" }

        [connections.files]
        kind = "jsonl"
        role = "target"
        path = "a/b.jsonl"

        [connections.pipe]
        kind = "jsonl"
        path = "-"

        [tasks.shop-to-file]
        source = "shop"
        target = "files"
        mode = "full+incremental"
        "#,
    );
    let shop = &config.connections["shop"];
    assert_eq!((shop.name.as_str(), shop.role), ("shop", Role::Both));
    assert_eq!((shop.on_bad_message, shop.on_push_error), (OnError::Skip, OnError::Skip));
    let settings = kafka(&config, "shop");
    assert_eq!(settings.bootstrap, Bootstrap::Servers(vec!["localhost:9092".to_owned(), "[::1]:9093".to_owned()]));
    assert_eq!(settings.topics, TopicExpression::parse("orders.*").unwrap());
    assert_eq!((settings.acks, settings.compression), (AckLevel::Leader, Compression::Zstd));
    let login = Auth::Plain(Account { username: "etl".to_owned(), password: Secret::new(PLANTED) });
    assert_eq!(settings.auth, Some(login));
    let path = |name: &str| match &config.connections[name].kind {
        Kind::Jsonl(Jsonl { path }) => path.clone(),
        Kind::Kafka(_) => panic!("{name}"),
    };
    assert_eq!((path("files"), path("pipe")), (JsonlPath::File("a/b.jsonl".into()), JsonlPath::Stdio));
    let task = &config.tasks["shop-to-file"];
    assert_eq!((task.name.as_str(), task.source.as_str(), task.target.as_str()), ("shop-to-file", "shop", "files"));
    assert_eq!(task.mode, Mode::FullIncremental);
    assert_eq!(config.source_of(task).unwrap().name, "shop");
    assert_eq!(config.target_of(task).unwrap().name, "files");
}

#[test]
fn absent_keys_have_the_documented_defaults() {
    let config = good("[connections.shop]\nkind = \"kafka\"\nbootstrap = \"embedded\"\n");
    let shop = &config.connections["shop"];
    assert_eq!((shop.role, shop.on_bad_message, shop.on_push_error), (Role::Both, OnError::Stop, OnError::Stop));
    let settings = kafka(&config, "shop");
    assert_eq!(settings.bootstrap, Bootstrap::Embedded);
    assert!(settings.topics.is_all());
    assert_eq!((settings.acks, settings.compression), (AckLevel::Majority, Compression::Lz4));
    assert_eq!(settings.auth, None);
}

#[test]
fn an_expression_matches_whole_names_and_never_kafkas_own_topics() {
    let matches = |expression: &str, topic: &str| TopicExpression::parse(expression).unwrap().matches(topic);
    assert!(matches("orders.*", "orders") && matches("orders.*", "orders-cn"));
    assert!(!matches("orders.*", "old-orders") && !matches("orders", "orders-cn") && !matches("orders", "old-orders"));
    assert!(matches("a|ab", "ab"), "alternatives are tried to the end of the name");
    assert!(!matches("a|b", "ab"), "alternatives do not escape from the whole-name match");
    assert!(matches("(?i)ORDERS", "orders") && matches("(?x) orders # all of them", "orders"));
    assert!(matches("", "anything") && !matches("", "__consumer_offsets") && !matches(".*", "__transaction_state"));
    assert!(TopicExpression::parse("a)|(b").is_err(), "brackets do not pair up with those put around");
}

#[test]
fn an_expression_has_at_most_256_characters_however_many_bytes() {
    for letter in ["a", "订"] {
        assert!(TopicExpression::parse(&letter.repeat(256)).is_ok());
        let error = TopicExpression::parse(&letter.repeat(257)).unwrap_err().to_string();
        assert_eq!(error, "the topic expression has 257 characters, at most 256 are allowed");
    }
    let line = |length: usize| {
        format!("[connections.a]\nkind = \"kafka\"\nbootstrap = \"embedded\"\ntopics = \"{}\"\n", "订".repeat(length))
    };
    assert!(check(&line(256)).config.is_some());
    assert!(check(&line(257)).config.is_none());
}

#[test]
fn a_plain_name_is_the_topic_a_target_writes() {
    let literal = |expression: &str| TopicExpression::parse(expression).unwrap().literal();
    assert_eq!(literal("orders").as_deref(), Some("orders"));
    assert_eq!(literal("orders.v1").as_deref(), Some("orders.v1"));
    assert_eq!(literal(r"orders\.v1").as_deref(), Some("orders.v1"));
    for no_name in ["", "orders.*", "a|b", "orders?", "^orders$", "..", "订单"] {
        assert_eq!(literal(no_name), None, "{no_name}");
    }
}

#[test]
fn references_are_filled_in_after_parsing() {
    let config = good(
        r#"
        [connections.shop]
        kind = "kafka"
        bootstrap = ["${env:BROKER:-localhost}:9092"]
        topics = "orders$"
        auth = { mechanism = "plain", username = "etl", password = "${file:/run/secrets/shop}" }

        [connections.files]
        kind = "jsonl"
        path = "price-$${env:X}-$5"
        "#,
    );
    let settings = kafka(&config, "shop");
    assert_eq!(settings.bootstrap, Bootstrap::Servers(vec!["localhost:9092".to_owned()]));
    assert_eq!(settings.topics.as_str(), "orders$");
    let Kind::Jsonl(files) = &config.connections["files"].kind else { panic!("files is a file") };
    assert_eq!(files.path, JsonlPath::File("price-${env:X}-$5".into()));
    let Some(Auth::Plain(account)) = &settings.auth else { panic!("a plain login") };
    assert_eq!(account.password.expose(), PLANTED, "without the file's line break");
}
