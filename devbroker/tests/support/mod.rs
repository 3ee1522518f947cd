//! A client that says exactly what a test wants it to say: raw frames over a socket.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla_devbroker::DevBroker;
use ottla_protocol::ErrorCode;
use ottla_protocol::compression::{Compression, Compressor};
use ottla_protocol::messages::{
    FetchPartition, FetchRequest, FetchResponse, FetchableTopic, Message, PartitionProduceData,
    PartitionProduceResponse, ProduceRequest, Request, TopicProduceData,
};
use ottla_protocol::records::{BatchBuilder, Batches, ProducerStamp};
use ottla_protocol::{frame, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No answer takes this long; a test that waits for it has found a bug.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    received: BytesMut,
    correlation: i32,
}

impl Client {
    /// Connects to node 0.
    pub(crate) async fn connect(broker: &DevBroker) -> Self {
        Self::connect_to(broker, 0).await
    }

    pub(crate) async fn connect_to(broker: &DevBroker, node: usize) -> Self {
        let stream = TcpStream::connect(&broker.bootstrap()[node]).await.expect("the node listens");
        Self { stream, received: BytesMut::new(), correlation: 100 }
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let id = self.send(version, request).await;
        self.answer::<R>(version, id).await
    }

    /// Asks only; gives the correlation id.
    pub(crate) async fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.correlation += 1;
        let frame = frame::request_frame(self.correlation, Some("test"), version, request).expect("a valid request");
        for chunk in frame.chunks() {
            self.stream.write_all(chunk).await.expect("the connection is open");
        }
        self.correlation
    }

    /// Waits for the answer to one request, which must be the next.
    pub(crate) async fn answer<R: Request>(&mut self, version: i16, id: i32) -> R::Response {
        let mut body = self.frame().await.expect("an answer, not a close");
        assert_eq!(header::split_correlation_id(&mut body).unwrap(), id, "answers come in order");
        R::Response::read(version, body).expect("an answer in the version asked")
    }

    /// The next frame, or `None` if the broker closes.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        let next = async {
            loop {
                if let Some(frame) = frame::split_frame(&mut self.received, frame::DEFAULT_LIMIT).unwrap() {
                    return Some(frame);
                }
                match self.stream.read_buf(&mut self.received).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        timeout(DEADLINE, next).await.expect("an answer or a close within the deadline")
    }

    /// Sends bytes as they are.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the connection is open");
    }

    /// Whether the broker closes instead of answering.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.frame().await.is_none()
    }

    /// Whether the broker says nothing for a moment, without closing.
    pub(crate) async fn is_silent(&mut self) -> bool {
        let moment = Duration::from_millis(50);
        timeout(moment, self.stream.read_buf(&mut self.received)).await.is_err()
    }

    /// Produces one batch to one partition.
    pub(crate) async fn produce(&mut self, topic: &str, partition: i32, batch: Bytes) -> PartitionProduceResponse {
        let request = produce(topic, partition, batch);
        let mut response = self.ask(7, &request).await;
        response.responses.remove(0).partitions.remove(0)
    }

    /// Fetches from one partition, without a session.
    pub(crate) async fn fetch(&mut self, topic: &str, partition: i32, offset: i64) -> FetchResponse {
        self.ask(11, &fetch(topic, &[(partition, offset)])).await
    }
}

pub(crate) fn produce(topic: &str, partition_index: i32, batch: Bytes) -> ProduceRequest {
    let partitions = vec![PartitionProduceData { partition_index, records: Some(batch) }];
    let topics = vec![TopicProduceData { name: topic.to_owned(), partitions }];
    ProduceRequest { acks: -1, timeout_ms: 1000, topics, ..ProduceRequest::default() }
}

pub(crate) fn fetch(topic: &str, partitions: &[(i32, i64)]) -> FetchRequest {
    let fetch_partitions = partitions.iter().map(|(partition_index, fetch_offset)| FetchPartition {
        partition_index: *partition_index,
        fetch_offset: *fetch_offset,
        max_bytes: 1 << 20,
        ..FetchPartition::default()
    });
    let topics = vec![FetchableTopic { name: topic.to_owned(), fetch_partitions: fetch_partitions.collect() }];
    FetchRequest { replica_id: -1, max_bytes: 1 << 25, min_bytes: 0, topics, ..FetchRequest::default() }
}

/// A batch of these values, a millisecond apart from time 1000 on.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    stamped(values, ProducerStamp::NONE)
}

pub(crate) fn stamped(values: &[&str], stamp: ProducerStamp) -> Bytes {
    compressed(values, Compression::None, stamp)
}

pub(crate) fn compressed(values: &[&str], codec: Compression, stamp: ProducerStamp) -> Bytes {
    let mut builder = BatchBuilder::with_capacity(1024);
    for (time, value) in (1000..).zip(values) {
        builder.append(time, None, Some(value.as_bytes()), &[]);
    }
    let mut sealed = builder.seal(codec, None, &mut Compressor::new()).unwrap();
    sealed.stamp(stamp);
    sealed.bytes()
}

/// A stamp of producer 5, epoch 0.
pub(crate) fn stamp(base_sequence: i32) -> ProducerStamp {
    ProducerStamp { producer_id: 5, producer_epoch: 0, base_sequence }
}

/// The base offsets of the batches in the only partition of an answer, all of them sound.
pub(crate) fn bases(response: &FetchResponse) -> Vec<i64> {
    let answer = &response.topics[0].partitions[0];
    assert_eq!(answer.error_code, ErrorCode::NONE);
    let batches = Batches::new(answer.records.clone().unwrap());
    batches
        .map(|batch| {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            batch.header().base_offset
        })
        .collect()
}

/// The values in a partition's log.
pub(crate) fn values(broker: &DevBroker, topic: &str, partition: i32) -> Vec<String> {
    let value = |value: Option<Bytes>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    broker.log(topic, partition).unwrap().into_iter().map(|record| value(record.value)).collect()
}
