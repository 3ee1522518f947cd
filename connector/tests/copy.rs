//! `ottla copy` with the real binary against a development broker.

mod tasks_support;

use ottla_connector::mode::group;
use ottla_devbroker::DevBroker;
use ottla_protocol::ApiKey;
use ottla_protocol::compression::Compression;
use tasks_support::*;

/// The shipped orders, whole.
fn orders() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/orders.jsonl")).expect("the shipped orders")
}

fn url(broker: &DevBroker, rest: &str) -> String {
    format!("kafka://{}/{rest}", broker.bootstrap().join(","))
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("a path of letters")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_into_a_topic_and_back_unchanged_with_every_codec_and_acknowledgement() {
    let broker = broker().await;
    let out = OutFile::new();
    let input = out.path().with_file_name("in.jsonl");
    std::fs::write(&input, orders()).expect("written");
    let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for (codec, acks) in codecs.into_iter().zip(["none", "leader", "majority", "all", "all"]) {
        let topic = format!("orders-{codec}");
        let to = url(&broker, &format!("{topic}?acks={acks}&compression={codec}"));
        let sent = ottla(&["copy", text(&input), &to], b"").await;
        assert!(sent.status.success(), "{codec}: {}", said(&sent));
        assert!(said(&sent).contains("10,000 read, 10,000 written, 0 skipped"), "{}", said(&sent));
        // Without an acknowledgement the broker may still be at it.
        until("all records", async || log(&broker, &topic, 0).len() == 10_000).await;
        assert!(log(&broker, &topic, 0).iter().all(|record| record.compression == codec), "{codec}");
        let back = out.path().with_file_name(format!("{topic}.jsonl"));
        let got = ottla(&["copy", &url(&broker, &topic), text(&back)], b"").await;
        assert!(got.status.success(), "{codec}: {}", said(&got));
        assert!(std::fs::read(&back).expect("read") == orders(), "{codec}: the copy differs");
    }
    assert_eq!(broker.requests(ApiKey::OFFSET_COMMIT), 0, "a copy leaves no trace in the source");
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_and_output_serve_as_ends() {
    let broker = broker().await;
    let lines = b"{\"a\":1}\n\n{\"b\":\"\xe9\x95\xbf\"}\r\n{\"last\":true}";
    let sent = ottla(&["copy", "-", &url(&broker, "t")], lines).await;
    assert!(sent.status.success(), "{}", said(&sent));
    assert!(sent.stdout.is_empty());
    let got = ottla(&["copy", &url(&broker, "t"), "-"], b"").await;
    assert_eq!(String::from_utf8_lossy(&got.stdout), "{\"a\":1}\n{\"b\":\"长\"}\n{\"last\":true}\n");
    let through = ottla(&["copy", "-", "-"], lines).await;
    assert_eq!((through.status.code(), through.stdout), (Some(0), got.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn topic_to_topic_keeps_partitions() {
    let broker = broker().await;
    for topic in ["from", "to"] {
        broker.create_topic(topic, 2).expect("created");
    }
    for partition in 0..2 {
        fill(&broker, "from", partition, 0..100).await;
    }
    let done = ottla(&["copy", &url(&broker, "from"), &url(&broker, "to")], b"").await;
    assert!(done.status.success(), "{}", said(&done));
    for partition in 0..2 {
        assert_eq!(values(&broker, "to", partition), objects(partition, 0..100));
    }
    let itself = ottla(&["copy", &url(&broker, "from"), &url(&broker, "from")], b"").await;
    assert_eq!(itself.status.code(), Some(2), "{}", said(&itself));
    assert_eq!(committed(&broker, &group("copy"), "from", 2).await, [None, None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_end_with_2_and_open_no_socket() {
    let broker = broker().await;
    let bad = url(&broker, "t?acks=most&compresion=lz4");
    let done = ottla(&["copy", "-", &bad], b"{}\n").await;
    assert_eq!(done.status.code(), Some(2));
    for part in ["`most` is no value of `acks`", "did you mean `compression`?"] {
        assert!(said(&done).contains(part), "{}", said(&done));
    }
    assert_eq!(broker.requests(ApiKey::API_VERSIONS), 0);
    assert_eq!(broker.topics(), []);
    assert_eq!(ottla(&["copy", "only-one-end"], b"").await.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named_and_not_made() {
    let (broker, out) = (DevBroker::builder().auto_create(true).start().await.expect("a broker"), OutFile::new());
    let done = ottla(&["copy", &url(&broker, "no-such-topic"), text(&out.path())], b"").await;
    assert_eq!(done.status.code(), Some(3), "{}", said(&done));
    assert!(said(&done).contains("no-such-topic"), "{}", said(&done));
    assert_eq!(broker.topics(), []);
    let done = ottla(&["copy", "no/such/file.jsonl", &url(&broker, "t")], b"").await;
    assert_eq!(done.status.code(), Some(3), "{}", said(&done));
    assert!(said(&done).contains("no/such/file.jsonl"), "{}", said(&done));
    let address = broker.bootstrap().join(",");
    broker.shutdown().await;
    let done = ottla(&["copy", "-", &format!("kafka://{address}/t")], b"{}\n").await;
    assert_eq!(done.status.code(), Some(3), "{}", said(&done));
    assert!(said(&done).contains(&address) && said(&done).contains("help:"), "{}", said(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_holds_something_is_kept_unless_asked_otherwise() {
    let (broker, out) = (broker().await, OutFile::new());
    broker.create_topic("t", 1).expect("created");
    produce(&broker, "t", 0, &[b"{\"new\":1}"]).await;
    std::fs::write(out.path(), "{\"old\":1}\n").expect("written");
    let (from, to) = (url(&broker, "t"), out.path());
    let done = ottla(&["copy", &from, text(&to)], b"").await;
    assert_eq!((done.status.code(), out.lines()), (Some(2), vec!["{\"old\":1}".to_owned()]), "{}", said(&done));
    let done = ottla(&["copy", "--append", &from, text(&to)], b"").await;
    assert_eq!((done.status.code(), out.lines().join(" ")), (Some(0), "{\"old\":1} {\"new\":1}".to_owned()));
    let done = ottla(&["copy", "--overwrite", &from, text(&to)], b"").await;
    assert_eq!((done.status.code(), out.lines().join(" ")), (Some(0), "{\"new\":1}".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_ends_with_4_and_skip_bad_passes_it() {
    let broker = broker().await;
    let done = ottla(&["copy", "-", &url(&broker, "t")], b"{\"n\":0}\n[1]\n{\"n\":2}\n").await;
    assert_eq!(done.status.code(), Some(4), "{}", said(&done));
    assert!(said(&done).contains("standard input, line 2") && said(&done).contains("[1]"), "{}", said(&done));
    assert_eq!(values(&broker, "t", 0), ["{\"n\":0}"]);
    let done = ottla(&["copy", "--skip-bad", "-", &url(&broker, "u")], b"{\"n\":0}\n[1]\n{\"n\":2}\n").await;
    assert_eq!((done.status.code(), values(&broker, "u", 0).len()), (Some(0), 2), "{}", said(&done));
    assert!(said(&done).contains("1 skipped"), "{}", said(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codec_that_the_release_lacks_is_refused_before_anything_is_made() {
    let release = "2.0".parse().expect("a release");
    let broker = DevBroker::builder().auto_create(false).release(release).start().await.expect("a broker");
    let done = ottla(&["copy", "-", &url(&broker, "t?compression=zstd")], b"{}\n").await;
    assert_eq!(done.status.code(), Some(3), "{}", said(&done));
    assert!(said(&done).contains("zstd") && said(&done).contains("2.1"), "{}", said(&done));
    assert_eq!((broker.topics().len(), broker.requests(ApiKey::PRODUCE)), (0, 0));
}
