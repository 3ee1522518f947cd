//! The sixth rung: bytes that a C client (kcat, on librdkafka) and a Python client (kafka-python) wrote and ours reads, and
//! the other way round, through the development broker, which passes batches on as they are. With every codec, with keys,
//! headers and text beyond ASCII.

mod producer_support;

use std::fmt::Write as _;

use ottla_brokers::{Error, Finished, kcat, python};
use ottla_client::{Client, ConsumerOptions, Outgoing, OutgoingHeaders, ProducerOptions, TopicPartition};
use ottla_devbroker::DevBroker;
use ottla_protocol::compression::Compression;
use ottla_protocol::records::Header;

use producer_support::{connect, outcomes, quick, within};

const COUNT: usize = 200;
/// kcat gives all records of a run the same headers.
const HEADER: Header<'static> = Header { key: "source", value: Some("订单".as_bytes()) };

const PYTHON_READS: &str = r#"
import sys
from kafka import KafkaConsumer
address, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
consumer = KafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="earliest", consumer_timeout_ms=30000)
for read, record in enumerate(consumer, 1):
    headers = ",".join(f"{name}={value.decode()}" for name, value in record.headers)
    sys.stdout.buffer.write(f"{record.key.decode()}|{record.value.decode()}|{headers}\n".encode())
    if read == count:
        break
"#;

const PYTHON_WRITES: &str = r#"
import sys
from kafka import KafkaProducer
address, topic, codec, lines = sys.argv[1:5]
codec = None if codec == "none" else codec
producer = KafkaProducer(bootstrap_servers=address, acks="all", compression_type=codec, linger_ms=20)
for line in lines.splitlines():
    key, value, header = line.split("|")
    name, text = header.split("=")
    producer.send(topic, key=key.encode(), value=value.encode(), headers=[(name, text.encode())])
producer.flush(30)
"#;

fn value(n: usize) -> String {
    format!("{{\"订单\":{n},\"pad\":\"{}\"}}", "again ".repeat(n % 9))
}

/// What every client here writes and prints: key, value, header.
fn lines() -> String {
    (0..COUNT).fold(String::new(), |lines, n| lines + &format!("k{n}|{}|source=订单\n", value(n)))
}

/// Ours writes.
async fn write(client: &Client, topic: &str, compression: Compression) {
    let producer = within(client.producer(ProducerOptions { compression, ..quick() })).await.unwrap();
    let topic = within(producer.topic(topic)).await.unwrap();
    let mut deliveries = Vec::new();
    for n in 0..COUNT {
        let (key, value) = (format!("k{n}"), value(n));
        let headers = OutgoingHeaders::List(&[HEADER]);
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        deliveries.push(within(topic.send(Outgoing { key, value, headers, ..Outgoing::default() })).await.unwrap());
    }
    for outcome in outcomes(deliveries).await {
        outcome.unwrap();
    }
}

/// Ours reads what the topic's only partition holds.
async fn read(client: &Client, topic: &str) -> String {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.expect("no null").to_vec()).unwrap();
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    within(consumer.assign(&[(TopicPartition::new(topic, 0), 0)])).await.unwrap();
    let (mut lines, mut count) = (String::new(), 0);
    while count < COUNT {
        let fetched = within(consumer.next()).await.unwrap();
        for record in &fetched {
            let record = record.unwrap();
            let header = record.headers.last("source").expect("the header");
            let _ = writeln!(lines, "{}|{}|source={}", text(record.key), text(record.value), text(header));
            count += 1;
        }
    }
    lines
}

/// Another client's program, off the runtime's threads: the broker is on them.
async fn foreign(run: impl FnOnce() -> Result<Finished, Error> + Send + 'static) -> String {
    tokio::task::spawn_blocking(run).await.unwrap().unwrap().text()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kcat: run testdata/test"]
async fn kcat_reads_what_we_wrote_and_we_read_what_kcat_wrote_with_every_codec() {
    let broker = DevBroker::builder().start().await.unwrap();
    let (client, address) = (connect(&broker).await, broker.bootstrap().join(","));
    for codec in Compression::ALL {
        let (ours, kcats) = (format!("ours-{codec}"), format!("kcat-{codec}"));
        broker.create_topic(&ours, 1).unwrap();
        broker.create_topic(&kcats, 1).unwrap();
        write(&client, &ours, codec).await;
        let at = address.clone();
        let printed = foreign(move || {
            kcat(&["-b", &at, "-C", "-t", &ours, "-e", "-q", "-X", "check.crcs=true", "-f", "%k|%s|%h\n"], &[])
        });
        assert_eq!(printed.await, lines(), "{codec}");

        let (at, topic) = (address.clone(), kcats.clone());
        foreign(move || {
            let input = lines().replace("|source=订单", "");
            let header = "source=订单";
            kcat(&["-b", &at, "-P", "-t", &topic, "-z", codec.name(), "-K", "|", "-H", header], input.as_bytes())
        })
        .await;
        assert_eq!(read(&client, &kcats).await, lines(), "{codec}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kafka-python: run testdata/test"]
async fn kafka_python_reads_what_we_wrote_and_we_read_what_it_wrote_with_every_codec() {
    let broker = DevBroker::builder().start().await.unwrap();
    let (client, address) = (connect(&broker).await, broker.bootstrap().join(","));
    for codec in Compression::ALL {
        let (ours, pythons) = (format!("ours-{codec}"), format!("python-{codec}"));
        broker.create_topic(&ours, 1).unwrap();
        broker.create_topic(&pythons, 1).unwrap();
        write(&client, &ours, codec).await;
        let at = address.clone();
        let printed = foreign(move || python(PYTHON_READS, &[&at, &ours, &COUNT.to_string()]));
        assert_eq!(printed.await, lines(), "{codec}");

        let (at, topic) = (address.clone(), pythons.clone());
        foreign(move || python(PYTHON_WRITES, &[&at, &topic, &codec.name().to_owned(), &lines()])).await;
        assert_eq!(read(&client, &pythons).await, lines(), "{codec}");
    }
}
