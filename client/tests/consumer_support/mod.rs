//! What the consumer's tests share: batches made by hand, a producer that is none of ours, and ways to read.

#![allow(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use bytes::Bytes;
use ottla_client::{Client, Consumer, ConsumerOptions, Error, Fetched, TopicPartition};
use ottla_devbroker::DevBroker;
use ottla_protocol::compression::{Compression, Compressor};
use ottla_protocol::frame;
use ottla_protocol::messages::{Message as _, PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use ottla_protocol::records::{BatchBuilder, HEADER_LEN, ProducerStamp, place};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than anything a test waits for.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// A batch of these values, keys their numbers, as a producer sends it.
pub(crate) fn batch(values: &[String], compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::with_capacity(1024);
    for (time, value) in (1_700_000_000_000..).zip(values) {
        builder.append(time, Some(b"key"), Some(value.as_bytes()), &[]);
    }
    let mut sealed = builder.seal(compression, None, &mut Compressor::new()).unwrap();
    sealed.stamp(ProducerStamp::NONE);
    sealed.bytes()
}

/// The values `from..to` as text.
pub(crate) fn values(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| format!("value {number}")).collect()
}

/// What a broker's log holds: a batch at an offset, its header's fields changed as told, its checksum right.
pub(crate) struct Crafted {
    bytes: Vec<u8>,
}

impl Crafted {
    pub(crate) fn new(base_offset: i64, values: &[&str]) -> Self {
        let values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        Self { bytes: place(&batch(&values, Compression::None), base_offset, 0).to_vec() }
    }

    /// A transaction's end: `kind` 0 aborts, 1 commits.
    pub(crate) fn control(base_offset: i64, producer_id: i64, kind: i16) -> Self {
        let mut builder = BatchBuilder::with_capacity(128);
        let key = [0_i16.to_be_bytes(), kind.to_be_bytes()].concat();
        builder.append(0, Some(&key), Some(&[0; 6]), &[]);
        let mut sealed = builder.seal(Compression::None, None, &mut Compressor::new()).unwrap();
        sealed.stamp(ProducerStamp::NONE);
        let bytes = place(&sealed.bytes(), base_offset, 0).to_vec();
        Self { bytes }.attributes(0b11_0000).producer(producer_id)
    }

    pub(crate) fn transactional(self, producer_id: i64) -> Self {
        self.attributes(0b01_0000).producer(producer_id)
    }

    pub(crate) fn attributes(self, bits: i16) -> Self {
        self.put(21, &bits.to_be_bytes())
    }

    pub(crate) fn producer(self, id: i64) -> Self {
        self.put(43, &id.to_be_bytes())
    }

    pub(crate) fn last_offset_delta(self, delta: i32) -> Self {
        self.put(23, &delta.to_be_bytes())
    }

    pub(crate) fn base_offset(self, offset: i64) -> Self {
        self.put(0, &offset.to_be_bytes())
    }

    pub(crate) fn count(self, count: i32) -> Self {
        self.put(57, &count.to_be_bytes())
    }

    pub(crate) fn magic(self, magic: u8) -> Self {
        self.put(16, &[magic])
    }

    /// Changes the offset delta of the second of several records of one length.
    pub(crate) fn second_record_at(self, delta: u8) -> Self {
        // A length of one byte, zigzag; then attributes and timestamp delta of a byte each.
        let first = 1 + usize::from(self.bytes[HEADER_LEN] >> 1);
        self.put(HEADER_LEN + first + 3, &[delta << 1])
    }

    fn put(mut self, at: usize, field: &[u8]) -> Self {
        self.bytes[at..at + field.len()].copy_from_slice(field);
        self
    }

    pub(crate) fn bytes(mut self) -> Vec<u8> {
        let crc = crc32c(&self.bytes[21..]).to_be_bytes();
        self.bytes[17..21].copy_from_slice(&crc);
        self.bytes
    }

    /// The bytes as they are, the checksum of the batch before the changes.
    pub(crate) fn bytes_with_old_crc(self) -> Vec<u8> {
        self.bytes
    }
}

/// CRC-32C, a bit at a time: an oracle that is not the code under test.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// Appends a batch to a partition, of its leader, by the plainest means. Gives its base offset.
pub(crate) async fn produce(broker: &DevBroker, topic: &str, partition: i32, batch: Bytes) -> i64 {
    let leader = broker.leader(topic, partition).unwrap().expect("a leader");
    let address = &broker.bootstrap()[usize::try_from(leader).unwrap()];
    let mut stream = TcpStream::connect(address).await.unwrap();
    let data = PartitionProduceData { partition_index: partition, records: Some(batch) };
    let topics = vec![TopicProduceData { name: topic.to_owned(), partitions: vec![data] }];
    let request = ProduceRequest { transactional_id: None, acks: 1, timeout_ms: 10_000, topics };
    // The oldest version for zstd where there is one, so that old releases take all else.
    let version = if broker_is_old(broker) { 3 } else { 7 };
    let frame = frame::request_frame(1, Some("test"), version, &request).unwrap();
    stream.write_all(&frame.chunks().concat()).await.unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).await.unwrap();
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
    stream.read_exact(&mut answer).await.unwrap();
    let answer = ProduceResponse::read(version, Bytes::from(answer.split_off(4))).unwrap();
    let partition = &answer.responses[0].partitions[0];
    assert!(partition.error_code.is_ok(), "{:?}", partition.error_code);
    partition.base_offset
}

fn broker_is_old(broker: &DevBroker) -> bool {
    format!("{broker:?}").contains("V0_11")
}

/// Fills a partition with `count` values in batches of `per_batch`.
pub(crate) async fn fill(broker: &DevBroker, topic: &str, partition: i32, count: usize, per_batch: usize) {
    for from in (0..count).step_by(per_batch) {
        let values = values(from, count.min(from + per_batch));
        produce(broker, topic, partition, batch(&values, Compression::None)).await;
    }
}

pub(crate) async fn connect(broker: &DevBroker) -> Client {
    Client::builder()
        .bootstrap(broker.bootstrap())
        .connect_timeout(Duration::from_secs(30))
        .request_timeout(Duration::from_secs(30))
        .retry_backoff(Duration::from_millis(10), Duration::from_millis(50))
        .reconnect_backoff(Duration::from_millis(5), Duration::from_millis(20))
        .connect()
        .await
        .unwrap()
}

/// Options that make a test's waits short.
pub(crate) fn quick() -> ConsumerOptions {
    ConsumerOptions { fetch_max_wait: Duration::from_millis(50), ..ConsumerOptions::default() }
}

pub(crate) async fn next(consumer: &mut Consumer) -> Result<Fetched, Error> {
    tokio::time::timeout(SOON, consumer.next()).await.expect("something comes soon")
}

/// A record as tests compare it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Got {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) value: String,
}

pub(crate) fn records(fetched: &Fetched) -> Vec<Got> {
    let got = fetched.iter().map(|record| {
        let record = record.unwrap();
        let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
        Got { partition: fetched.partition().partition, offset: record.offset, value }
    });
    got.collect()
}

/// Reads until `count` records came.
pub(crate) async fn read(consumer: &mut Consumer, count: usize) -> Vec<Got> {
    let mut got = Vec::new();
    while got.len() < count {
        got.extend(records(&next(consumer).await.unwrap()));
    }
    got
}

/// What [`fill`] wrote, from `from` on.
pub(crate) fn filled(partition: i32, from: usize, to: usize) -> Vec<Got> {
    let got = (from..to).map(|number| Got { partition, offset: number as i64, value: format!("value {number}") });
    got.collect()
}
