//! The crate against the release named by `OTTLA_KAFKA` (default 2.3.1).

use std::sync::OnceLock;

use ottla_brokers::{Error, Kafka, KafkaOptions, Release, kcat, python};

/// One broker for all tests of this file; its guard ends it with the process.
fn kafka() -> &'static Kafka {
    static KAFKA: OnceLock<Kafka> = OnceLock::new();
    KAFKA.get_or_init(|| {
        let options = KafkaOptions::default().sasl_plain("alice", "alice-secret");
        Kafka::start_with(Release::from_env().expect("a release"), options).expect("a broker starts")
    })
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn a_record_passes_through_every_independent_client() -> Result<(), Error> {
    let kafka = kafka();
    let address = kafka.address(0);
    kafka.admin()?.create_topic("passing", 1, 1)?;
    kcat(&["-b", &address, "-P", "-t", "passing"], b"by kcat\n")?;
    kafka.tools().console_producer(&address, "passing", &[], b"by the console\n")?;
    let read = kafka.tools().console_consumer(&address, "passing", 2, &[])?.text();
    assert_eq!(read, "by kcat\nby the console\n");
    let back = kcat(&["-b", &address, "-C", "-t", "passing", "-e", "-q"], &[])?.text();
    assert_eq!(back, read);
    let dump = kafka.dump_log(0, "passing", 0, &["--print-data-log", "--deep-iteration"])?.text();
    assert!(dump.contains("by the console"), "{dump}");
    assert!(kafka.topics_tool(&["--describe", "--topic", "passing"])?.text().contains("passing"));
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn offsets_are_read_committed_and_cut() -> Result<(), Error> {
    let kafka = kafka();
    let admin = kafka.admin()?;
    admin.create_topic("offsets", 2, 1)?;
    kcat(&["-b", &kafka.address(0), "-P", "-t", "offsets", "-p", "1"], b"a\nb\nc\n")?;
    assert_eq!(admin.end_offsets("offsets")?, [0, 3]);
    assert_eq!(admin.committed("readers", "offsets")?, [None, None]);
    admin.commit("readers", "offsets", 1, 2)?;
    assert_eq!(admin.committed("readers", "offsets")?, [None, Some(2)]);
    admin.delete_records_before("offsets", 1, 2)?;
    assert_eq!(admin.start_offsets("offsets")?, [0, 2]);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn sasl_plain_lets_the_right_password_in_and_no_other() -> Result<(), Error> {
    let address = kafka().sasl_bootstrap().expect("a SASL listener");
    let login = |password: &str| {
        let (user, word) = ("sasl.username=alice", format!("sasl.password={password}"));
        let security = ["-X", "security.protocol=sasl_plaintext", "-X", "sasl.mechanism=PLAIN"];
        kcat(&[&["-b", &address, "-L", "-m", "10"][..], &security, &["-X", user, "-X", &word]].concat(), &[])
    };
    login("alice-secret")?;
    assert!(login("wrong").is_err());
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn a_killed_broker_comes_back_with_its_records() -> Result<(), Error> {
    let kafka = Kafka::start(Release::from_env()?)?;
    kafka.admin()?.create_topic("kept", 1, 1)?;
    let address = kafka.address(0);
    kcat(&["-b", &address, "-P", "-t", "kept"], b"one\n")?;
    kafka.kill(0);
    assert!(kafka.admin()?.topics().is_err(), "the broker still answers");
    kafka.start_again(0)?;
    kcat(&["-b", &address, "-P", "-t", "kept"], b"two\n")?;
    kafka.stop(0);
    kafka.start_again(0)?;
    assert_eq!(kcat(&["-b", &address, "-C", "-t", "kept", "-e", "-q"], &[])?.text(), "one\ntwo\n");
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn three_brokers_share_a_topic_of_three_replicas() -> Result<(), Error> {
    let kafka = Kafka::start_with(Release::from_env()?, KafkaOptions::default().brokers(3))?;
    let admin = kafka.admin()?;
    admin.create_topic("shared", 1, 3)?;
    let layout = admin.topic("shared")?.expect("the topic");
    assert_eq!((layout.partitions(), layout.replicas[0].len()), (1, 3));
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn python_has_its_kafka_module() -> Result<(), Error> {
    let version = python("import kafka, sys; print(kafka.__version__, sys.argv[1])", &["here"])?.text();
    assert!(version.ends_with("here\n"), "{version}");
    Ok(())
}
