//! Record data: batches of ours as Kafka's own tools read them, batches of the Java tools as we read
//! them, with every codec; and message sets of formats 0 and 1 in topics that are kept in those formats.

use bytes::Bytes;
use ottla_brokers::{Error, Kafka, Release, skipped};
use ottla_protocol::compression::{Compression, Compressor, Decompressor};
use ottla_protocol::messages::*;
use ottla_protocol::records::{BatchBuilder, Batches, Header, MessageFormat, MessageSetBuilder};

use crate::logs::now_ms;
use crate::peer::{Peer, fine, is_settling};

const COUNT: usize = 40;
const LIMIT: usize = 1 << 20;

/// What every test sends: keys and values that compress, with text beyond ASCII.
fn key(n: usize) -> String {
    format!("key-{n}")
}

fn value(n: usize) -> String {
    format!("value {n}: 订单 订单 订单 {}", "again and again ".repeat(n % 7))
}

/// The codecs that the release has.
fn codecs(release: &Release) -> impl Iterator<Item = Compression> {
    let zstd = release.accepts_zstd();
    Compression::ALL.into_iter().filter(move |codec| zstd || *codec != Compression::Zstd)
}

/// A batch of ours: a header each, and one record with neither key nor value.
fn batch(codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::with_capacity(8192);
    for n in 0..COUNT {
        let header = Header { key: "n", value: Some(&[n as u8]) };
        builder.append(now_ms(), Some(key(n).as_bytes()), Some(value(n).as_bytes()), &[header]);
    }
    builder.append(now_ms(), None, None, &[]);
    builder.seal(codec, None, &mut Compressor::new()).expect("a batch").bytes()
}

fn message_set(format: MessageFormat, codec: Compression) -> Bytes {
    let mut builder = MessageSetBuilder::new(format, codec).expect("a codec of the format");
    for n in 0..COUNT {
        builder.append(now_ms(), Some(key(n).as_bytes()), Some(value(n).as_bytes()));
    }
    builder.seal(None, &mut Compressor::new()).expect("a message set")
}

fn produce(peer: &mut Peer, version: i16, topic: &str, records: Bytes) {
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topics: vec![TopicProduceData {
            name: topic.into(),
            partitions: vec![PartitionProduceData { partition_index: 0, records: Some(records) }],
        }],
        ..Default::default()
    };
    let code = |answer: &ProduceResponse| answer.responses[0].partitions[0].error_code;
    let answer = peer.until(version, &request, |answer| !is_settling(code(answer)));
    fine(code(&answer), topic);
}

/// All that the topic holds, as the bytes the broker gave.
fn fetch(peer: &mut Peer, version: i16, topic: &str) -> Bytes {
    let partition = FetchPartition { max_bytes: 1 << 20, ..Default::default() };
    let request = FetchRequest {
        replica_id: -1,
        max_wait: 1000,
        min_bytes: 1,
        epoch: -1,
        topics: vec![FetchableTopic { name: topic.into(), fetch_partitions: vec![partition] }],
        ..Default::default()
    };
    let answer = peer.ask(version, &request);
    let partition = &answer.topics[0].partitions[0];
    fine(partition.error_code, topic);
    partition.records.clone().unwrap_or_default()
}

/// What one record is to these tests: offset, key, value.
type Read = (i64, Option<String>, Option<String>);

/// Every record, and the magic bytes and codecs of the batches they were in.
fn read(records: Bytes) -> (Vec<Read>, Vec<(i8, Compression)>) {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).expect("text"));
    let (mut all, mut batches) = (Vec::new(), Vec::new());
    for batch in Batches::new(records) {
        let batch = batch.expect("a batch");
        batch.verify_crc().expect("a good checksum");
        batches.push((batch.header().magic, batch.header().attributes.compression().expect("a codec")));
        for record in &batch.open(&mut Decompressor::new(), LIMIT).expect("records") {
            let record = record.expect("a record");
            all.push((record.offset, text(record.key), text(record.value)));
        }
    }
    (all, batches)
}

fn expected() -> Vec<Read> {
    (0..COUNT).map(|n| (n as i64, Some(key(n)), Some(value(n)))).collect()
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven): run testdata/test"]
fn kafkas_own_tools_read_our_batches_with_every_codec() -> Result<(), Error> {
    let release = Release::from_env()?;
    let kafka = Kafka::start(release.clone())?;
    let mut peer = Peer::connect(&kafka.address(0));
    let version = *peer.versions::<ProduceRequest>().end();
    for codec in codecs(&release) {
        let topic = format!("ours-{codec}");
        kafka.admin()?.create_topic(&topic, 1, 1)?;
        produce(&mut peer, version, &topic, batch(codec));

        let args = ["--property", "print.key=true", "--property", "key.separator=|"];
        let console = kafka.tools().console_consumer(&kafka.bootstrap(), &topic, COUNT + 1, &args)?.text();
        let mut lines: Vec<_> = (0..COUNT).map(|n| format!("{}|{}", key(n), value(n))).collect();
        lines.push("null|null".to_owned());
        // 4.x says on its standard output that it has a new name for `--property`.
        let read: Vec<_> = console.lines().filter(|line| line.contains('|')).collect();
        assert_eq!(read, lines, "{codec}");

        let dump = kafka.dump_log(0, &topic, 0, &["--print-data-log", "--deep-iteration"])?.text();
        assert!(dump.contains("isvalid: true") && !dump.contains("isvalid: false"), "{codec}:\n{dump}");
        assert!((0..COUNT).all(|n| dump.contains(&value(n))), "{codec}:\n{dump}");
        assert_eq!(dump.matches("headerKeys: [n]").count(), COUNT, "{codec}:\n{dump}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven): run testdata/test"]
fn we_read_what_the_java_producer_wrote_with_every_codec() -> Result<(), Error> {
    let release = Release::from_env()?;
    let kafka = Kafka::start(release.clone())?;
    let mut peer = Peer::connect(&kafka.address(0));
    let lines = (0..COUNT).fold(String::new(), |lines, n| lines + &format!("{}|{}\n", key(n), value(n)));
    for codec in codecs(&release) {
        let topic = format!("java-{codec}");
        kafka.admin()?.create_topic(&topic, 1, 1)?;
        let name = codec.name();
        let args = ["--property", "parse.key=true", "--property", "key.separator=|", "--compression-codec", name];
        kafka.tools().console_producer(&kafka.bootstrap(), &topic, &args, lines.as_bytes())?;
        let newest = *peer.versions::<FetchRequest>().end();
        let (records, batches) = read(fetch(&mut peer, newest, &topic));
        assert_eq!(records, expected(), "{codec}");
        assert!(batches.iter().all(|(magic, stored)| (*magic, *stored) == (2, codec)), "{batches:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven): run testdata/test"]
fn message_sets_of_old_formats_go_in_and_come_out() -> Result<(), Error> {
    let release = Release::from_env()?;
    if release.at_least(3, 0) {
        // KIP-724: `message.format.version` has no effect from 3.0 on, and 4.0 refuses these versions of Produce.
        skipped(
            "message_sets_of_old_formats_go_in_and_come_out",
            &release,
            "it keeps no topic in an old format (KIP-724)",
        );
        return Ok(());
    }
    let kafka = Kafka::start(release)?;
    let mut peer = Peer::connect(&kafka.address(0));
    let formats = [(MessageFormat::V0, "0.9.0", 1, 1), (MessageFormat::V1, "0.10.2", 2, 3)];
    for (format, setting, produce_in, fetch_in) in formats {
        for codec in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4] {
            let topic = format!("magic-{}-{codec}", format.magic());
            kafka.admin()?.create_topic_with(&topic, 1, 1, &[("message.format.version", setting)])?;
            produce(&mut peer, produce_in, &topic, message_set(format, codec));
            // Of the newest version the broker gives what it stored; it has kept the format.
            let newest = *peer.versions::<FetchRequest>().end();
            for version in [fetch_in, newest] {
                let (records, batches) = read(fetch(&mut peer, version, &topic));
                assert_eq!(records, expected(), "{topic}, Fetch v{version}");
                let kept = batches.iter().all(|(magic, stored)| (*magic, *stored) == (format.magic(), codec));
                assert!(kept, "{topic}, Fetch v{version}: {batches:?}");
            }
        }
    }
    Ok(())
}
